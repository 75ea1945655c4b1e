//! Keras' callbacks that set an optimizer's rate, as of 3.15.1
//! (`keras/src/callbacks/{reduce_lr_on_plateau,learning_rate_scheduler,monitor_callback}.py`).
//!
//! Their clock counts epochs: whoever reads a file holds each rate for the updates of one. `ReduceLROnPlateau` observes a metric at
//! the end of each.

use super::plateau::{InRates, of_group};
use super::python::expression_with;
use super::{Arguments, Group, Recipe, last_name};
use crate::error::{Error, Result};
use crate::schedule::{Better, Form, Improvement, Number, Plateau, Schedule, step};

pub(super) const CALLBACKS: [&str; 2] = ["ReduceLROnPlateau", "LearningRateScheduler"];

/// Whether this is a scheduler whose calls are epochs by its library's own doing, and not by the user's loop.
pub(super) fn acts_once_an_epoch(library: &str, api: &str) -> bool {
    library == "keras" && last_name(api) == CALLBACKS[1]
}

/// The longest table that a function of the rate before becomes.
const MAX_EPOCHS: u64 = 1 << 16;

/// Metrics that are better when they are higher, by the names that Keras gives them; `_direction` in `keras/src/metrics`.
const HIGHER: [&str; 12] = [
    "accuracy",
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "top_k_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "auc",
    "precision",
    "recall",
    "f1_score",
    "r2_score",
    "cosine_similarity",
];

/// Those that are better when they are lower.
const LOWER: [&str; 6] = [
    "loss",
    "mean_squared_error",
    "root_mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
];

/// One recipe for each group.
pub(super) fn recipes(
    name: &str,
    mut arguments: Arguments,
    groups: &[Group],
    horizon: Option<u64>,
) -> Result<Vec<Recipe>> {
    if groups.is_empty() {
        return Err(Error::argument("optimizer", "null", "must be given: a callback acts on its rate"));
    }
    arguments.value("verbose");
    let of = |group: &Group| match name {
        "ReduceLROnPlateau" => plateau(arguments.clone(), group),
        _ => scheduler(arguments.clone(), group, horizon),
    };
    groups.iter().map(of).collect()
}

/// Keras reduces when `patience` epochs in a row were not better, and ours when more than that were; 0 is as 1. An epoch counts again
/// from the last of the cool-down on. A first metric that is NaN is the best for ever in Keras, and counts as bad here.
fn plateau(mut read: Arguments, group: &Group) -> Result<Recipe> {
    let monitor = read.text_or("monitor", "val_loss")?;
    let modes = [("auto", None), ("min", Some(Better::Lower)), ("max", Some(Better::Higher))];
    let better = match read.word_or("mode", None, &modes)? {
        Some(better) => better,
        None => direction(&read, &monitor)?,
    };
    let (factor, min_lr) = (read.f64_or("factor", 0.1)?, read.f64_or("min_lr", 0.0)?);
    let (patience, cooldown) = (read.steps_or("patience", 10)?, read.steps_or("cooldown", 0)?);
    let delta = read.f64_or("min_delta", 1e-4)?.abs();
    let rule = Plateau::new()
        .improvement(Improvement::signed(better, 0.0, delta))
        .patience(patience.saturating_sub(1))
        .cooldown(cooldown.saturating_sub(1));
    let bounds = InRates { min: min_lr, eps: 0.0 };
    let metric = of_group(rule, factor, &bounds, group.lr, &read, ["factor", "min_lr"])?;
    read.finish()?;
    Ok(Recipe { metric: Some(metric), ..Recipe::new(group.lr) })
}

/// What `mode="auto"` finds out of the metrics that a model was compiled with.
fn direction(read: &Arguments, monitor: &str) -> Result<Better> {
    let name = monitor.strip_prefix("val_").unwrap_or(monitor);
    if LOWER.contains(&name) {
        Ok(Better::Lower)
    } else if HIGHER.contains(&name) {
        Ok(Better::Higher)
    } else {
        Err(read.error("monitor", monitor, "must be a metric whose direction is known, or mode must be min or max"))
    }
}

/// `schedule`, a function of the epoch, or of that and the rate before.
fn scheduler(mut read: Arguments, group: &Group, horizon: Option<u64>) -> Result<Recipe> {
    const ARGUMENT: &str = "params.schedule";
    let text = read.text("schedule")?;
    let (epoch, lr, body) = parts(&text);
    let lr = lr.filter(|lr| names(body).any(|name| name == *lr));
    let Some(lr) = lr else {
        let rate = expression_with(ARGUMENT, body, (epoch, &step()), None)?;
        read.finish()?;
        return Ok(Recipe::new(rate));
    };
    let Some(epochs) = horizon.filter(|epochs| *epochs <= MAX_EPOCHS) else {
        let rule = format!("asks for the rate before, which takes the number of epochs, at most {MAX_EPOCHS}");
        return Err(read.error("schedule", &text, rule));
    };
    read.finish()?;
    let (mut rates, mut before) = (Vec::new(), group.lr);
    for index in 0..epochs.max(1) {
        let of = Schedule::constant(index as f64);
        let rate = expression_with(ARGUMENT, body, (epoch, &of), Some((lr, before)))?;
        let Form::Constant(Number::Literal(rate)) = rate.0 else {
            return Err(Error::argument(ARGUMENT, &text, "must be a number at every epoch"));
        };
        rates.push(rate);
        before = rate;
    }
    Ok(Recipe::new(Schedule::table(rates)))
}

/// What the function calls the epoch and the rate before, and what it returns: a `lambda`, or an expression of `epoch` and `lr`.
fn parts(text: &str) -> (&str, Option<&str>, &str) {
    let lambda = text.trim_start().strip_prefix("lambda ").and_then(|rest| rest.split_once(':'));
    match lambda {
        None => ("epoch", Some("lr"), text),
        Some((arguments, body)) => {
            let mut arguments = arguments.split(',').map(str::trim);
            (arguments.next().unwrap_or("epoch"), arguments.next(), body)
        }
    }
}

/// The names in an expression.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_'))
}
