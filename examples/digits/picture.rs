//! The picture: losses and learning rate over the steps, one above the other, as an SVG. A grey line through both marks
//! each step from which on a stalled validation loss had lowered the rate. Where the rule finds its rate itself, its estimate
//! is beside the rate.

use std::path::Path;

use plotters::chart::SeriesLabelPosition::{self, LowerMiddle, UpperRight};
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

use crate::Result;
use crate::optimizer::Estimate;
use crate::training::Report;

const GREY: RGBColor = RGBColor(150, 150, 150);

/// A curve of the picture.
struct Curve {
    name: &'static str,
    color: RGBColor,
    width: u32,
    points: Vec<(usize, f64)>,
}

/// Draws `report` into a new file; missing folders are made. `drops` are the steps to mark.
pub fn draw(path: &Path, report: &Report, drops: &[usize], estimates: &[Estimate]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let page = SVGBackend::new(path, (900, 640)).into_drawing_area();
    page.fill(&WHITE)?;
    let panels = page.split_evenly((2, 1));
    let steps = report.loss.len();

    // Three decades or more lie between the first loss and the last. A loss of 0 has no logarithm.
    let loss = |loss: f32| f64::from(loss).max(1e-6);
    let training = report.loss.iter().map(|&value| loss(value)).enumerate().collect();
    let validation = report.validations.iter().map(|seen| (seen.steps, loss(seen.loss))).collect();
    let losses = [
        Curve { name: "training loss, mean over the batch", color: BLUE, width: 1, points: training },
        Curve { name: "validation loss, mean over the held-out images", color: BLACK, width: 2, points: validation },
    ];
    let (low, high) = bounds(losses.iter().flat_map(|curve| &curve.points));
    panel(&panels[0], "loss [nats]", &losses, drops, steps, (low * 0.9..high * 1.1).log_scale(), UpperRight)?;

    if !estimates.is_empty() {
        let rates = rates(report, estimates);
        let (low, high) = bounds(rates.iter().flat_map(|curve| &curve.points));
        let y = (low * 0.7..high * 1.4).log_scale();
        // Below the curves, which rise at once and stay high.
        panel(&panels[1], "estimate and learning rate", &rates, drops, steps, y, LowerMiddle)?;
        page.present()?;
        return Ok(());
    }
    let points: Vec<_> = report.lr.iter().map(|&lr| f64::from(lr)).enumerate().collect();
    let mut lr = [Curve { name: "learning rate", color: RED, width: 1, points }];
    let (_, high) = bounds(&lr[0].points);
    match drops.first() {
        None => panel(&panels[1], "learning rate, as applied", &lr, drops, steps, 0.0..high * 1.05, UpperRight)?,
        Some(&drop) => {
            // Each drop is by the same factor: the same height on this axis. It has no 0, where the warm-up starts.
            let (low, _) = bounds(&lr[0].points[drop..]);
            lr[0].points.retain(|(_, value)| *value >= low * 0.7);
            let y = (low * 0.7..high * 1.4).log_scale();
            panel(&panels[1], "learning rate, as applied", &lr, drops, steps, y, UpperRight)?;
        }
    }
    page.present()?;
    Ok(())
}

/// The estimates, and what they are with the part of the schedule in them.
fn rates(report: &Report, estimates: &[Estimate]) -> [Curve; 2] {
    let rate = |estimate: &Estimate| (estimate.step, f64::from(estimate.used) * f64::from(report.lr[estimate.step]));
    let estimate = |estimate: &Estimate| (estimate.step, f64::from(estimate.used));
    [
        Curve { name: "estimate", color: BLACK, width: 2, points: estimates.iter().map(estimate).collect() },
        Curve {
            name: "learning rate, as applied: the estimate times the schedule",
            color: RED,
            width: 1,
            points: estimates.iter().map(rate).collect(),
        },
    ]
}

/// Curves over the steps, with their axes, and a legend at `place` where there is more than one.
fn panel<Y>(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    label: &str,
    curves: &[Curve],
    drops: &[usize],
    steps: usize,
    y: Y,
    place: SeriesLabelPosition,
) -> Result<()>
where
    Y: AsRangedCoord<Value = f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(80)
        .build_cartesian_2d(0..steps, y)?;
    let number = |value: &f64| format!("{value}");
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc("step")
        .y_desc(label)
        .y_label_formatter(&number)
        .draw()?;
    let (low, high) = (chart.y_range().start, chart.y_range().end);
    let mark = |&step: &usize| PathElement::new([(step, low), (step, high)], GREY);
    chart.draw_series(drops.iter().map(mark))?;
    for curve in curves {
        let style = curve.color.stroke_width(curve.width);
        let series = chart.draw_series(LineSeries::new(curve.points.iter().copied(), style))?;
        if curves.len() > 1 {
            series.label(curve.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
    }
    if curves.len() > 1 {
        chart.configure_series_labels().position(place).background_style(WHITE).border_style(GREY).draw()?;
    }
    Ok(())
}

/// The smallest and the largest value.
fn bounds<'a>(points: impl IntoIterator<Item = &'a (usize, f64)>) -> (f64, f64) {
    let start = (f64::INFINITY, f64::NEG_INFINITY);
    points.into_iter().fold(start, |(low, high), &(_, value)| (low.min(value), high.max(value)))
}
