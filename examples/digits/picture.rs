//! The picture: loss and learning rate over the steps, one above the other, as an SVG.

use std::path::Path;

use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::Result;
use crate::training::Report;

type Panel<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

/// Draws `report` into a new file; missing folders are made.
pub fn draw(path: &Path, report: &Report) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let page = SVGBackend::new(path, (900, 640)).into_drawing_area();
    page.fill(&WHITE)?;
    let panels = page.split_evenly((2, 1));
    // Three decades or more lie between the first loss and the last. A batch without any loss has no logarithm.
    let loss = report.loss.iter().map(|&loss| f64::from(loss).max(1e-6)).collect::<Vec<_>>();
    let (low, high) = bounds(&loss);
    panel(&panels[0], "training loss, mean over the batch [nats]", &loss, (low * 0.9..high * 1.1).log_scale(), &BLUE)?;
    let lr = report.lr.iter().map(|&lr| f64::from(lr)).collect::<Vec<_>>();
    let (_, high) = bounds(&lr);
    panel(&panels[1], "learning rate, as applied", &lr, 0.0..high * 1.05, &RED)?;
    page.present()?;
    Ok(())
}

/// One curve over the steps, with its axes.
fn panel<Y>(area: &Panel<'_>, label: &str, values: &[f64], y: Y, color: &RGBColor) -> Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0..values.len(), y)?;
    let number = |value: &f64| format!("{value}");
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        .y_desc(label)
        .y_label_formatter(&number)
        .draw()?;
    chart.draw_series(LineSeries::new(values.iter().copied().enumerate(), color.stroke_width(1)))?;
    Ok(())
}

/// The smallest and the largest value.
fn bounds(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| (low.min(value), high.max(value)))
}
