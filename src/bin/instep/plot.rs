//! `instep plot`: several schedules over each other, by one sampling, on one of two surfaces.

use std::path::Path;

use crate::commands::Plot;
use crate::{Result, input, picture, terminal, trace};

/// How many points a curve has, in the terminal as in a picture.
const POINTS: u64 = 1_200;

/// One curve: its name in the legend, its points.
pub struct Curve {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

/// What is drawn, with the name of the value axis.
pub struct Chart {
    pub curves: Vec<Curve>,
    pub value: String,
}

impl Chart {
    /// The last step.
    pub fn last(&self) -> f64 {
        self.curves.iter().flat_map(|curve| &curve.points).map(|(step, _)| *step).fold(1.0, f64::max)
    }

    /// The interval of the value axis: all values, and 0 where they are of one sign and reach near it.
    pub fn values(&self) -> (f64, f64) {
        let values = self.curves.iter().flat_map(|curve| &curve.points).map(|(_, value)| *value);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = (if low > 0.0 && low < 0.5 * high { 0.0 } else { low }, high);
        if low < high { (low, high) } else { (low - 0.5 * low.abs().max(1e-3), high + 0.5 * high.abs().max(1e-3)) }
    }
}

pub fn run(options: &Plot) -> Result<String> {
    let chart = sample(options)?;
    let Some(out) = &options.out else { return Ok(terminal::draw(&chart)) };
    match out.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => picture::svg(out, &chart).map_err(|e| input::at(out, e))?,
        Some("png") => picture::png(out, &chart).map_err(|e| input::at(out, e))?,
        _ => return Err(input::at(out, "the name must end in .svg or .png").into()),
    }
    Ok(format!("{}\n", out.display()))
}

fn sample(options: &Plot) -> Result<Chart> {
    let mut found = Vec::new();
    let mut end = None;
    for path in &options.files {
        let config = input::read(path, &options.facts)?.config;
        end = end.max(trace::end(&config)?);
        let several = config.groups.len() > 1;
        for (i, group) in config.groups.iter().enumerate() {
            for (name, schedule) in group.hyperparameters().filter(|(name, _)| *name == options.of) {
                let label = match (&group.name, several) {
                    (Some(group), _) => group.clone(),
                    (None, true) => format!("{} {}", stem(path), input::label(group, i, name)),
                    (None, false) => stem(path),
                };
                found.push((label, schedule.clone()));
            }
        }
    }
    if found.is_empty() {
        return Err(format!("--of is {}, but must be a hyperparameter that a group has, such as lr", options.of).into());
    }
    let end: u64 = end.unwrap_or(1_000).max(1);
    let last = options.until.unwrap_or_else(|| end.saturating_add(end / 20).max(2)).max(1);
    let steps: Vec<u64> =
        (0..=POINTS).map(|i| (u128::from(last) * u128::from(i) / u128::from(POINTS)) as u64).collect();
    let curve = |(label, schedule): (String, instep::Schedule)| {
        let values = schedule.trace(steps.iter().copied())?;
        Ok(Curve { label, points: steps.iter().map(|step| *step as f64).zip(values).collect() })
    };
    let curves = found.into_iter().map(curve).collect::<instep::Result<_>>()?;
    let value = if options.of == "lr" { "learning rate".to_owned() } else { options.of.replace('_', " ") };
    Ok(Chart { curves, value })
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
