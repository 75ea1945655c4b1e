//! torchtitan's one scheduler: warm-up, stable phase and decay, as a factor of each group's rate.
//!
//! `training_steps`, which torchtitan takes from its training section, stands beside the scheduler's own settings.

use super::shapes::wave;
use super::{Arguments, Group, Recipe, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// The class, whose `Config` may be named too, and the section of a file.
const SCHEDULERS: [&str; 2] = ["LRSchedulersContainer", "lr_scheduler"];

/// One recipe for each group, which ends with the run, where torchtitan's rates may go below 0.
pub(super) fn recipes(
    api: &str,
    mut arguments: Arguments,
    groups: &[Group],
    horizon: Option<u64>,
) -> Result<Vec<Recipe>> {
    if !api.split('.').any(|name| SCHEDULERS.contains(&name)) {
        return Err(unknown(api, &SCHEDULERS));
    }
    let factor = factor(&mut arguments)?;
    arguments.finish()?;
    let factor = match horizon {
        Some(steps) => factor.over(steps),
        None => factor,
    };
    Ok(groups.iter().map(|group| Recipe::new(group.lr * factor.clone())).collect())
}

#[derive(Clone, Copy)]
enum Fall {
    Linear,
    Sqrt,
    Cosine,
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
    let shapes = [("linear", Fall::Linear), ("sqrt", Fall::Sqrt), ("cosine", Fall::Cosine)];
    let shape = read.word_or("decay_type", Fall::Linear, &shapes)?;
    let begin = total - decay + 1;
    let rise = Schedule::linear(1.0 / warmup.max(1) as f64, 1.0).over(warmup.saturating_sub(1));
    let progress = || (step() + 1.0) / decay.max(1) as f64;
    let fall = match shape {
        _ if decay == 0 => Schedule::constant(1.0),
        Fall::Linear => 1.0 + (min - 1.0) * progress(),
        Fall::Sqrt => 1.0 + (min - 1.0) * progress().sqrt(),
        Fall::Cosine => wave(1.0, min, 0.5, decay, 1),
    };
    Ok(Schedule::join([rise, 1.0.into(), fall], [warmup, begin]))
}
