//! DeepSpeed's schedulers, which put rates of their own in place of the optimizer's.
//!
//! As of 0.19.8 (`deepspeed/runtime/lr_schedules.py`). Their counter starts at -1 and construction leaves the lowest rate, so
//! everything comes one step late: the warm-ups give that rate to steps 0 and 1 (DeepSpeed#5287, closed). An argument may hold one
//! value for each group.

use super::shapes::not_negative;
use super::{Arguments, Group, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

const SCHEDULERS: [&str; 5] = ["LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"];

/// One recipe for each group. The arguments may be a file's section `{type, params}`.
pub(super) fn recipes(api: &str, mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    if let Some(named) = arguments.optional_text("type")? {
        if named != last_name(api) {
            let rule = format!("must be {}, as api has it", last_name(api));
            return Err(arguments.error("type", named, rule));
        }
        let of_section = arguments.call("params")?;
        arguments.finish()?;
        arguments = of_section;
    }
    let read = &mut arguments;
    let last = read.int_or("last_batch_iteration", -1)?;
    if last != -1 {
        return Err(read.error("last_batch_iteration", last, "must be -1: a schedule starts at step 0"));
    }
    let recipes = match last_name(api) {
        "LRRangeTest" => range_test(read, groups)?,
        "OneCycle" => one_cycle(read, groups)?,
        "WarmupLR" => warmup(read, groups)?,
        "WarmupDecayLR" => warmup_decay(read, groups)?,
        "WarmupCosineLR" => warmup_cosine(read, groups)?,
        _ => return Err(unknown(api, &SCHEDULERS)),
    };
    arguments.finish()?;
    Ok(recipes)
}

fn per_group(read: &mut Arguments, name: &str, groups: &[Group], default: f64) -> Result<Vec<f64>> {
    Ok(read.numbers_per_group(name, groups.len())?.unwrap_or_else(|| vec![default; groups.len()]))
}

/// [`per_group`] of an argument that must be given.
fn given_per_group(read: &mut Arguments, name: &str, groups: &[Group]) -> Result<Vec<f64>> {
    read.numbers_per_group(name, groups.len())?.ok_or_else(|| read.missing(name))
}

fn at_least_one(read: &mut Arguments, name: &str, default: u64) -> Result<u64> {
    match read.steps_or(name, default)? {
        0 => Err(read.error(name, 0, "must be at least 1")),
        steps => Ok(steps),
    }
}

/// `min · (1 + rate · t / size)` without an end, by whole intervals if `staircase`.
fn range_test(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let min = per_group(read, "lr_range_test_min_lr", groups, 1e-3)?;
    let size = at_least_one(read, "lr_range_test_step_size", 2_000)? as f64;
    let rate = read.f64_or("lr_range_test_step_rate", 1.0)?;
    let staircase = read.bool_or("lr_range_test_staircase", false)?;
    let interval = if staircase { step().floor_div(size) } else { step() / size };
    Ok(min.iter().map(|min| Recipe::new(*min * (1.0 + rate * interval.clone()))).collect())
}

/// One cycle up and down, and a decay. Cycling the momentum moves beta1 against the rate, and puts 0.99 in place of beta2,
/// whatever it was. Step 0 has `cycle_min_mom`, step 1 is near `cycle_max_mom`. In the decay beta1
/// grows past 1 if `decay_mom_rate` is not 0. An optimizer without betas keeps its momentum.
fn one_cycle(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let (min, max) = (given_per_group(read, "cycle_min_lr", groups)?, given_per_group(read, "cycle_max_lr", groups)?);
    let first = at_least_one(read, "cycle_first_step_size", 2_000)?;
    let second = read.steps_or("cycle_second_step_size", first)?;
    let first_stairs = read.steps_or("cycle_first_stair_count", 0)?;
    let second_stairs = read.steps_or("cycle_second_stair_count", first_stairs)?;
    let decay_size = read.f64_or("decay_step_size", 0.0)?;
    let rates = [read.f64_or("decay_lr_rate", 0.0)?, read.f64_or("decay_mom_rate", 0.0)?];
    let [lr_rate, momentum_rate] = rates.map(|rate| if decay_size == 0.0 { 0.0 } else { rate / decay_size });
    if lr_rate < 0.0 {
        return Err(read.error("decay_lr_rate", rates[0], "must not be negative: DeepSpeed divides by 0 on the way"));
    }
    let (low, high) = (per_group(read, "cycle_min_mom", groups, 0.8)?, per_group(read, "cycle_max_mom", groups, 0.9)?);
    let cycles_momentum = read.bool_or("cycle_momentum", true)?;
    let cycle = |base: f64, peak: f64| {
        let (up, down) = (stairs_up(first, first_stairs), stairs_down(second, second_stairs));
        half_cycle(base, peak, first, up).then(half_cycle(peak, base, second, down))
    };
    let recipe = |(i, group): (usize, &Group)| {
        let mut recipe = Recipe::new(cycle(min[i], max[i]).then(Schedule::inverse_time(min[i], lr_rate)));
        if cycles_momentum && group.betas.is_some() {
            recipe.beta2 = Some(0.99.into());
            let after = high[i] * (1.0 + momentum_rate * step());
            recipe.beta1 = Some(step().less(1.0).select(low[i], cycle(high[i], low[i]).then(after)));
        }
        recipe
    };
    Ok(groups.iter().enumerate().map(recipe).collect())
}

/// Between two values over `steps` steps, in a line or by `stairs`, which go from 0 to 1.
fn half_cycle(from: f64, to: f64, steps: u64, stairs: Option<Schedule>) -> Schedule {
    match stairs {
        None => Schedule::linear(from, to).over(steps),
        Some(stairs) => (from + (to - from) * stairs).over(steps),
    }
}

/// `count` equal stairs up over `steps` steps; none if either is 0.
fn stairs_up(steps: u64, count: u64) -> Option<Schedule> {
    let stairs = || (step() * count as f64).floor_div(steps as f64) / count as f64;
    (steps > 0 && count > 0).then(stairs)
}

/// The mirror image of [`stairs_up`], so that a stair down ends where one up began.
fn stairs_down(steps: u64, count: u64) -> Option<Schedule> {
    let left = || ((steps as f64 - step()) * count as f64).floor_div(steps as f64) / count as f64;
    (steps > 0 && count > 0).then(|| 1.0 - left())
}

/// The rise of a warm-up over at least 2 steps, on the scheduler's own counter.
struct Rise {
    steps: u64,
    linear: bool,
}

impl Rise {
    /// DeepSpeed takes a `warmup_type` that it does not know for `log`, with no more than a warning.
    fn read(read: &mut Arguments) -> Result<Rise> {
        let steps = at_least_one(read, "warmup_num_steps", 1_000)?.max(2);
        Ok(Rise { steps, linear: read.word_or("warmup_type", false, &[("log", false), ("linear", true)])? })
    }

    /// Linear, or `ln(n + 1) / ln(steps)`, which is complete one step earlier.
    fn between(&self, from: f64, to: f64) -> Schedule {
        if self.linear {
            Schedule::linear(from, to).over(self.steps)
        } else {
            Schedule::log_rise(from, to).over(self.steps - 1)
        }
    }
}

/// `warmup_max_lr`, which is each group's own rate where nothing is said. Up to 0.19.3 that was the first group's for all of them.
fn highest(read: &mut Arguments, groups: &[Group]) -> Result<Vec<f64>> {
    let own = || groups.iter().map(|group| group.lr).collect();
    Ok(read.numbers_per_group("warmup_max_lr", groups.len())?.unwrap_or_else(own))
}

fn warmup(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let min = per_group(read, "warmup_min_lr", groups, 0.0)?;
    let max = highest(read, groups)?;
    let rise = Rise::read(read)?;
    Ok(min.iter().zip(&max).map(|(min, max)| Recipe::new(rise.between(*min, *max).delay(1u64))).collect())
}

/// A warm-up, then a line to the lowest rate at `total_num_steps`; there at once if the warm-up takes longer. `warmup_max_lr` is
/// 0.001 where it is left out, and as in [`warmup`] where it is null.
fn warmup_decay(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let total = read.steps("total_num_steps")?;
    let min = per_group(read, "warmup_min_lr", groups, 0.0)?;
    let max = if read.names("warmup_max_lr") { highest(read, groups)? } else { vec![1e-3; groups.len()] };
    let rise = Rise::read(read)?;
    let recipe = |(min, max): (&f64, &f64)| {
        let fall = Schedule::linear(*max, *min).over(total.saturating_sub(rise.steps));
        Recipe::new(Schedule::join([rise.between(*min, *max), fall], [rise.steps]).delay(1u64))
    };
    Ok(min.iter().zip(&max).map(recipe).collect())
}

/// Ratios of the optimizer's rate. Step 0 has rate 0, whatever `warmup_min_ratio` says, and the cosine is a step ahead.
fn warmup_cosine(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let total = read.steps("total_num_steps")?;
    let (first, last) = (read.f64_or("warmup_min_ratio", 0.0)?, read.f64_or("cos_min_ratio", 1e-4)?);
    let rise = Rise::read(read)?;
    let counted = read.told_apart("warmup_num_steps", rise.steps)?;
    let recipe = |group: &Group| {
        let (lr, start) = (group.lr, rise.steps);
        let fall = Schedule::cosine(lr, lr * last).over(total.saturating_sub(start).max(1)).delay(start - 1);
        let fall = not_negative(fall, last);
        let counted = step().less(counted).select(rise.between(lr * first, lr), fall);
        Recipe::new(step().less(1.0).select(0.0, counted.delay(1u64)))
    };
    Ok(groups.iter().map(recipe).collect())
}
