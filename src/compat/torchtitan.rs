//! torchtitan's one scheduler: warm-up, stable phase and decay, as a factor of each group's rate.
//!
//! `training_steps`, which torchtitan takes from its training section, stands beside the scheduler's own settings.

use super::shapes::wave;
use super::{Arguments, Group, Recipe, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// One recipe for each group.
pub(super) fn recipes(api: &str, mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    if !api.contains("LRSchedulersContainer") {
        return Err(unknown(api));
    }
    let factor = factor(&mut arguments)?;
    arguments.finish()?;
    Ok(groups.iter().map(|group| Recipe::new(group.lr * factor.clone())).collect())
}

/// The warm-up is `(t + 1) / warmup_steps`. One stable step is always there, and counts as one after the last, so that the
/// last step does not get `min_lr_factor`. Nothing stops the decay past the end: a line goes below 0 and a cosine rises
/// again. Warm-up and decay give way to `total_steps` where they exceed it, with no more than a warning. Without a decay
/// torchtitan fails past the end, where this holds.
fn factor(read: &mut Arguments) -> Result<Schedule> {
    let training = read.optional_steps("training_steps")?;
    let total = match read.optional_steps("total_steps")?.or(training) {
        Some(total) => total,
        None => return Err(read.missing("training_steps")),
    };
    let warmup = read.steps_or("warmup_steps", 200)?.min(total);
    let decay = match read.optional_f64("decay_ratio")? {
        None => total - warmup,
        Some(ratio) if ratio < 0.0 => return Err(read.error("decay_ratio", ratio, "must not be negative")),
        Some(ratio) => ((total as f64 * ratio).round_ties_even() as u64).min(total - warmup),
    };
    let min = read.f64_or("min_lr_factor", 0.0)?;
    let shape = read.text_or("decay_type", "linear")?;
    let begin = total + 1 - decay;
    let rise = Schedule::linear(1.0 / warmup.max(1) as f64, 1.0).over(warmup.saturating_sub(1));
    let progress = || (step() + 1.0) / decay.max(1) as f64;
    let fall = match shape.as_str() {
        _ if decay == 0 => Schedule::constant(1.0),
        "linear" => 1.0 + (min - 1.0) * progress(),
        "sqrt" => 1.0 + (min - 1.0) * progress().sqrt(),
        "cosine" => wave(1.0, min, 0.5, decay, 1),
        other => return Err(read.error("decay_type", other, "must be linear, sqrt or cosine")),
    };
    Ok(Schedule::join([rise, 1.0.into(), fall], [warmup, begin]))
}
