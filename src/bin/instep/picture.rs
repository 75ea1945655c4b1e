//! A chart as a picture: SVG, whose text the viewer draws, and PNG, whose text [`Lettered`] draws.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::Result;
use crate::plot::Chart;
use crate::terminal::number;
use crate::text::Lettered;

const SIZE: (u32, u32) = (960, 480);
const FONT: &str = "sans-serif";

/// Distinguishable for the color-blind as well. Source: Okabe and Ito 2008.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
];

pub fn svg(path: &Path, chart: &Chart) -> Result<()> {
    let mut text = String::new();
    draw(&SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), chart)?;
    Ok(std::fs::write(path, text)?)
}

pub fn png(path: &Path, chart: &Chart) -> Result<()> {
    let (width, height) = SIZE;
    let mut pixels = vec![0; 3 * width as usize * height as usize];
    draw(&Lettered::new(BitMapBackend::with_buffer(&mut pixels, SIZE)).into_drawing_area(), chart)?;
    let mut encoder = png::Encoder::new(BufWriter::new(File::create(path)?), width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    Ok(encoder.write_header()?.write_image_data(&pixels)?)
}

fn draw<B: DrawingBackend>(page: &DrawingArea<B, Shift>, chart: &Chart) -> Result<()>
where
    B::ErrorType: 'static,
{
    page.fill(&WHITE)?;
    let (low, high) = chart.values();
    let margin = 0.05 * (high - low);
    // A rate that starts at 0 stands on the axis.
    let low = if low == 0.0 { 0.0 } else { low - margin };
    let mut panel = ChartBuilder::on(page)
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(84)
        .build_cartesian_2d(0.0..chart.last(), low..high + margin)?;
    panel
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style((FONT, 14))
        .axis_desc_style((FONT, 16))
        .x_desc("step")
        .y_desc(&chart.value)
        .x_label_formatter(&|step| format!("{step}"))
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    for (curve, color) in chart.curves.iter().zip(COLORS.iter().cycle()) {
        let style = color.stroke_width(2);
        panel
            .draw_series(LineSeries::new(curve.points.iter().copied(), style))?
            .label(&curve.label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 24, y)], style));
    }
    panel
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .legend_area_size(32)
        .margin(12)
        .label_font((FONT, 14))
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    page.present()?;
    Ok(())
}
