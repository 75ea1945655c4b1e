//! A chart in text. Each curve has a letter of its own, so it needs no color and can be piped.

use crate::plot::Chart;

const COLUMNS: usize = 72;
const ROWS: usize = 20;
const MARKS: [char; 6] = ['*', 'o', '+', 'x', '#', '@'];

pub fn draw(chart: &Chart) -> String {
    let (last, (low, high)) = (chart.last(), chart.values());
    let place = |value: f64, from: f64, to: f64, cells: usize| {
        ((value - from) / (to - from) * (cells - 1) as f64).round().clamp(0.0, (cells - 1) as f64) as usize
    };
    let mut grid = vec![[' '; COLUMNS]; ROWS];
    for (curve, mark) in chart.curves.iter().zip(MARKS.iter().cycle()) {
        for (step, value) in &curve.points {
            let (column, row) = (place(*step, 0.0, last, COLUMNS), place(*value, low, high, ROWS));
            grid[ROWS - 1 - row][column] = *mark;
        }
    }
    let mut text = format!("{}\n", chart.value);
    for (i, row) in grid.iter().enumerate() {
        // A label at the top, in the middle and at the bottom.
        let label = match i {
            0 => number(high),
            _ if i == ROWS / 2 => number(high - (high - low) * i as f64 / (ROWS - 1) as f64),
            _ if i == ROWS - 1 => number(low),
            _ => String::new(),
        };
        let line: String = row.iter().collect();
        text += &format!("{label:>11} |{}\n", line.trim_end());
    }
    text += &format!("{:>11} +{}\n", "", "-".repeat(COLUMNS));
    text += &format!("{:>13}{:<width$}{}\n", "", "0", last, width = COLUMNS - last.to_string().len());
    text += &format!("{:>13}{:^COLUMNS$}\n\n", "", "step");
    for (curve, mark) in chart.curves.iter().zip(MARKS.iter().cycle()) {
        text += &format!("{:>13}{mark} {}\n", "", curve.label);
    }
    text
}

/// A number for an axis: four digits.
pub fn number(value: f64) -> String {
    if value == 0.0 || (1e-2..1e5).contains(&value.abs()) {
        let text = format!("{value:.4}");
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    let text = format!("{value:.3e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
}
