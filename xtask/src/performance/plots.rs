//! The plots, as SVG. Every one is drawn from the rows that are there; a curve without a point is left out.

use std::fmt::Display;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use super::results::{Results, Row, tensors_and_elements};
use super::tables::pairs;

pub const TENSORS: &str = "performance-tensors.svg";
pub const SIZES: &str = "performance-sizes.svg";
pub const RATIOS: &str = "performance-ratios.svg";

const WIDTH: u32 = 900;
const HEIGHT: u32 = 480;
const GREY: RGBColor = RGBColor(150, 150, 150);
/// Ours are dark and the peer's are light.
const OURS: [RGBColor; 4] = [BLACK, RGBColor(0, 70, 170), RGBColor(170, 30, 30), RGBColor(20, 120, 60)];
const THEIRS: [RGBColor; 3] = [RGBColor(240, 140, 40), RGBColor(190, 130, 220), RGBColor(120, 180, 220)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

struct Curve {
    name: String,
    color: RGBColor,
    points: Vec<(f64, f64)>,
}

fn problem(problem: impl Display) -> String {
    format!("a plot is not drawn: {problem}")
}

/// A white page that `draw` draws on.
fn svg(height: u32, draw: impl FnOnce(&Area<'_>) -> Result<(), String>) -> Result<String, String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        area.fill(&WHITE).map_err(problem)?;
        draw(&area)?;
        area.present().map_err(problem)?;
    }
    Ok(text)
}

/// The curves of these rows of ours and of PyTorch's, through the points that `point` makes of their sizes and values.
fn curves(results: &Results, ours: &[&str], theirs: &[&str], point: impl Fn(&Row) -> Option<(f64, f64)>) -> Vec<Curve> {
    let curve = |name: String, color: RGBColor, rows: &[Row]| {
        let mut points: Vec<_> = rows.iter().filter(|row| row.name == name).filter_map(&point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Curve { name, color, points }
    };
    let ours = ours.iter().zip(OURS).map(|(name, color)| curve((*name).to_owned(), color, &results.bench));
    let theirs =
        theirs.iter().zip(THEIRS).map(|(name, color)| curve(format!("torch fused {name}"), color, &results.peers));
    ours.chain(theirs).filter(|curve| !curve.points.is_empty()).collect()
}

/// Microseconds against the number of tensors of 64 elements.
pub fn tensors(results: &Results) -> Result<String, String> {
    let point = |row: &Row| Some((row.size.strip_suffix(" x 64")?.parse().ok()?, row.time.median / 1e3));
    let ours = ["AdamW, 32 steps in a graph", "AdamW, one-step graph", "AdamW, clip by norm, one-step graph"];
    let theirs = ["AdamW, one-step graph", "AdamW, eager", "AdamW, clip by norm, one-step graph"];
    let curves = curves(results, &ours, &theirs, point);
    let highest = highest(&curves).max(10.0);
    svg(HEIGHT, |area| {
        let (x, y) = ((0.8..13_000.0).log_scale(), (1.0..2.0 * highest).log_scale());
        chart(area, ["tensors of 64 elements", "µs a step"], x, y, &curves, SeriesLabelPosition::UpperLeft)
    })
}

/// Gigabytes per second against the number of parameters.
pub fn sizes(results: &Results) -> Result<String, String> {
    let point = |row: &Row| {
        // Sizes of many small tensors are in the other plot.
        let (tensors, elements) = tensors_and_elements(&row.size)?;
        (tensors == 1.0 || elements > 1e7).then_some((elements, row.gigabytes_per_second?))
    };
    let ours = [
        "AdamW, one-step graph",
        "SGD with momentum, one-step graph",
        "AdamW, clip by norm, one-step graph",
        "SGD, one-step graph",
    ];
    let theirs = ["AdamW, one-step graph", "SGD with momentum, one-step graph", "AdamW, clip by norm, one-step graph"];
    let mut curves = curves(results, &ours, &theirs, point);
    let copies = results.bench.iter().filter(|row| row.name.starts_with("copy"));
    let best = copies.filter_map(|row| row.gigabytes_per_second).fold(0.0, f64::max);
    curves.push(Curve { name: "the best copy".to_owned(), color: GREY, points: vec![(40.0, best), (2e9, best)] });
    let highest = highest(&curves);
    svg(HEIGHT, |area| {
        let axes = ["parameters", "GB/s"];
        chart(area, axes, (40.0..2e9).log_scale(), 0.0..1.1 * highest, &curves, SeriesLabelPosition::UpperLeft)
    })
}

fn highest(curves: &[Curve]) -> f64 {
    curves.iter().flat_map(|curve| &curve.points).fold(0.0, |highest: f64, (_, y)| highest.max(*y))
}

/// Curves with a mark at each point, axes and a legend.
fn chart<X, Y>(
    area: &Area<'_>,
    [x_label, y_label]: [&str; 2],
    x: X,
    y: Y,
    curves: &[Curve],
    legend: SeriesLabelPosition,
) -> Result<(), String>
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut builder = ChartBuilder::on(area);
    builder.margin(12).x_label_area_size(40).y_label_area_size(70);
    let mut chart = builder.build_cartesian_2d(x, y).map_err(problem)?;
    let number = |value: &f64| short(*value);
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).x_desc(x_label).y_desc(y_label);
    mesh.x_label_formatter(&number).y_label_formatter(&number).draw().map_err(problem)?;
    for curve in curves {
        let style = curve.color.stroke_width(2);
        let line = LineSeries::new(curve.points.iter().copied(), style);
        let series = chart.draw_series(line).map_err(problem)?;
        series.label(&curve.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        if curve.color != GREY {
            let marks = curve.points.iter().map(|point| Circle::new(*point, 3, curve.color.filled()));
            chart.draw_series(marks).map_err(problem)?;
        }
    }
    chart.configure_series_labels().position(legend).background_style(WHITE).border_style(GREY).draw().map_err(problem)
}

/// `1000000` as `1 M`.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{} B", v / 1e9),
        v if v >= 1e6 => format!("{} M", v / 1e6),
        v => format!("{v}"),
    }
}

const BAR: i32 = 22;
const NAMES: i32 = 430;
const MARGIN: i32 = 30;

/// A bar for each pair that was measured, on a logarithmic scale from 1, and a line at 1.1.
pub fn ratios(results: &Results) -> Result<String, String> {
    let measured: Vec<_> =
        pairs(results).into_iter().filter_map(|pair| Some((pair.name, pair.size, pair.ratio()?))).collect();
    let most = measured.iter().fold(2.0, |most: f64, (_, _, ratio)| most.max(*ratio));
    let width = f64::from(WIDTH as i32 - NAMES - 80);
    // A ratio below 1 goes to the left.
    let place = |ratio: f64| NAMES + (width * ratio.max(0.8).ln() / most.ln()) as i32;
    let bottom = MARGIN + BAR * measured.len().max(1) as i32;
    svg((bottom + MARGIN) as u32, |area| {
        let text = |text: &str, at: (i32, i32)| {
            area.draw(&Text::new(text.to_owned(), at, ("sans-serif", 13).into_font())).map_err(problem)
        };
        if measured.is_empty() {
            text("not measured", (NAMES, MARGIN))?;
        }
        for (row, (name, size, ratio)) in (0..).zip(&measured) {
            let top = MARGIN + BAR * row;
            text(&format!("{name}, {size}"), (10, top + 3))?;
            let color = if *ratio > 1.0 { OURS[1] } else { OURS[2] };
            let bar = Rectangle::new([(place(1.0), top + 3), (place(*ratio), top + BAR - 4)], color.filled());
            area.draw(&bar).map_err(problem)?;
            text(&format!("{ratio:.2}"), (place(ratio.max(1.1)) + 6, top + 3))?;
        }
        for mark in [1.0, 1.1] {
            let line = PathElement::new([(place(mark), MARGIN - 4), (place(mark), bottom)], GREY);
            area.draw(&line).map_err(problem)?;
        }
        text("PyTorch's fused step over ours, logarithmic; lines at 1 and at 1.1", (10, 8))
    })
}
