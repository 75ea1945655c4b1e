//! The schedulers of MosaicML's Composer and llm-foundry: factors of each group's rate, over times with a unit.
//!
//! As in `composer/optim/scheduler.py` of Composer 0.32.1 and `llmfoundry/optim/scheduler.py` of llm-foundry 0.22.0, which has the
//! short names. Composer calls a scheduler after every batch, and one batch is one step; times in samples or tokens are on the
//! progress clock. The trainer's arguments stand beside the scheduler's: `max_duration`, `dataloader_len` (batches in an epoch) and
//! `scale_schedule_ratio`. Start at [`recipes`].

use serde_json::Value;

use super::composer_time::{Clock, Span, Unit};
use super::llm_foundry::{inverse_sqrt, restarts_with_warmup};
use super::shapes::{drops, endless_cosine, geometric, whole};
use super::{Arguments, Group, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Ramp, Schedule, step};

/// Names that have a translation, and those of llm-foundry's registry for the same.
const SCHEDULERS: [&str; 20] = [
    "StepScheduler",
    "MultiStepScheduler",
    "ConstantScheduler",
    "LinearScheduler",
    "ExponentialScheduler",
    "CosineAnnealingScheduler",
    "CosineAnnealingWarmRestartsScheduler",
    "PolynomialScheduler",
    "MultiStepWithWarmupScheduler",
    "ConstantWithWarmupScheduler",
    "LinearWithWarmupScheduler",
    "CosineAnnealingWithWarmupScheduler",
    "PolynomialWithWarmupScheduler",
    "InverseSquareRootWithWarmupScheduler",
    "CosineAnnealingWarmRestartsWithWarmupScheduler",
    "constant_with_warmup",
    "linear_decay_with_warmup",
    "cosine_with_warmup",
    "inv_sqrt_with_warmup",
    "cosine_restarts_with_warmup",
];

/// The most intervals of growing length that are written out.
const MAX_RESTARTS: usize = 320;

/// One recipe for each group.
pub(super) fn recipes(api: &str, arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let (factor, _) = factor(api, arguments)?;
    Ok(groups.iter().map(|group| Recipe::new(group.lr * factor.clone())).collect())
}

/// Whether `name` is a scheduler's, of Composer or of llm-foundry's registry.
pub(super) fn is_scheduler(name: &str) -> bool {
    SCHEDULERS.contains(&last_name(name))
}

/// What the progress clock has to count for the scheduler `api` with the arguments `params`; None if all its times are in batches,
/// or if it has no translation, which [`recipes`] says.
pub(super) fn counted(api: &str, params: &Value) -> Option<Unit> {
    Arguments::new("params", params).and_then(|arguments| factor(api, arguments)).ok().and_then(|(_, counted)| counted)
}

/// What multiplies every group's rate, and what the progress clock has to count for it.
fn factor(api: &str, mut arguments: Arguments) -> Result<(Schedule, Option<Unit>)> {
    let read = &mut arguments;
    let clock = Clock::read(read)?;
    let factor = match last_name(api) {
        "StepScheduler" => {
            let (size, gamma) = (clock.divisor(read, "step_size", None)?, read.f64_or("gamma", 0.1)?);
            size.clock(Schedule::step_decay(1.0, gamma, size.count))
        }
        "MultiStepScheduler" => multi_step(read, &clock)?,
        "ConstantScheduler" => {
            let (alpha, end) = (read.f64_or("alpha", 1.0)?, clock.scaled(read, "t_max", Some("1dur"))?);
            end.clock(Schedule::join([alpha, 1.0].map(Schedule::from), [end.count]))
        }
        "LinearScheduler" => {
            let (from, to) = (read.f64_or("alpha_i", 1.0)?, read.f64_or("alpha_f", 0.0)?);
            over(Schedule::linear(from, to), clock.divisor(read, "t_max", Some("1dur"))?)
        }
        "ExponentialScheduler" => {
            let (gamma, period) = (read.f64("gamma")?, clock.divisor(read, "decay_period", Some("1ep"))?);
            if gamma < 0.0 {
                return Err(read.error("gamma", gamma, "must not be negative"));
            }
            period.clock(geometric(1.0, gamma, period.count, false))
        }
        "CosineAnnealingScheduler" => {
            let end = clock.divisor(read, "t_max", Some("1dur"))?;
            over(Schedule::cosine(1.0, read.f64_or("alpha_f", 0.0)?), end)
        }
        "CosineAnnealingWarmRestartsScheduler" => {
            let first = clock.divisor(read, "t_0", None)?;
            first.clock(warm_restarts(read, first.count)?)
        }
        "PolynomialScheduler" => {
            let (power, end) = (power(read, None)?, clock.divisor(read, "t_max", Some("1dur"))?);
            over(Schedule::polynomial(1.0, read.f64_or("alpha_f", 0.0)?, power), end)
        }
        "MultiStepWithWarmupScheduler" => {
            let warmup = Warmup::read(read, &clock)?;
            let running = multi_step(read, &clock)?;
            // The milestones count from the start of the training, not from the end of the warm-up.
            let end = warmup.end;
            let is_warming = end.clock(step().less(read.told_apart("t_warmup", end.count)?));
            is_warming.select(end.clock(warmup.to(1.0)), running)
        }
        "ConstantWithWarmupScheduler" | "constant_with_warmup" => {
            let alpha = read.f64_or("alpha", 1.0)?;
            with_warmup(read, &clock, alpha, Schedule::linear(alpha, alpha))?
        }
        "LinearWithWarmupScheduler" | "linear_decay_with_warmup" => {
            let (from, to) = (read.f64_or("alpha_i", 1.0)?, read.f64_or("alpha_f", 0.0)?);
            with_warmup(read, &clock, from, Schedule::linear(from, to))?
        }
        "CosineAnnealingWithWarmupScheduler" | "cosine_with_warmup" => {
            let end = read.f64_or("alpha_f", 0.0)?;
            with_warmup(read, &clock, 1.0, Schedule::cosine(1.0, end))?
        }
        "PolynomialWithWarmupScheduler" => {
            let (power, end) = (power(read, Some(2.0))?, read.f64_or("alpha_f", 0.0)?);
            with_warmup(read, &clock, 1.0, Schedule::polynomial(1.0, end, power))?
        }
        "InverseSquareRootWithWarmupScheduler" | "inv_sqrt_with_warmup" => inverse_sqrt(read, &clock)?,
        "CosineAnnealingWarmRestartsWithWarmupScheduler" | "cosine_restarts_with_warmup" => {
            restarts_with_warmup(read, &clock)?
        }
        _ => return Err(unknown(api, &SCHEDULERS)),
    };
    arguments.finish()?;
    Ok((factor, clock.progress()))
}

fn over(ramp: Ramp, span: Span) -> Schedule {
    span.clock(ramp.over(span.count))
}

fn power(read: &mut Arguments, default: Option<f64>) -> Result<f64> {
    let value = read.optional_f64("power")?.or(default).ok_or_else(|| read.missing("power"))?;
    if value > 0.0 { Ok(value) } else { Err(read.error("power", value, "must be above 0")) }
}

/// Each milestone at or before `t` multiplies by `gamma`, in whatever order they are given, and whatever each counts.
fn multi_step(read: &mut Arguments, clock: &Clock) -> Result<Schedule> {
    let (milestones, gamma) = (clock.scaled_list(read, "milestones")?, read.f64_or("gamma", 0.1)?);
    let of_unit = |unit: Unit| {
        let mut counts: Vec<u64> = milestones.iter().filter(|span| span.unit == unit).map(|span| span.count).collect();
        counts.sort_unstable();
        (!counts.is_empty()).then(|| unit.clock(drops(1.0, gamma, counts)))
    };
    let drops = Unit::ALL.into_iter().filter_map(of_unit);
    Ok(drops.reduce(|product, next| product * next).unwrap_or(1.0.into()))
}

/// Half cosines, of which the first is `first` long, and each other `t_mult` as long as the one before, rounded down.
pub(super) fn warm_restarts(read: &mut Arguments, first: u64) -> Result<Schedule> {
    let (longer, end) = (read.f64_or("t_mult", 1.0)?, read.f64_or("alpha_f", 0.0)?);
    if longer < 1.0 {
        let rule = "must be at least 1: Composer raises once the shrinking intervals have come to 0";
        return Err(read.error("t_mult", longer, rule));
    }
    let (mut pieces, mut boundaries, mut len, mut start) = (Vec::new(), Vec::new(), first, 0u64);
    loop {
        let next = (longer * len as f64).trunc();
        let fall = Schedule::cosine(1.0, end).over(len);
        if whole(next) == Some(len) {
            pieces.push(fall.repeat());
            return Ok(Schedule::join(pieces, boundaries));
        }
        if pieces.len() == MAX_RESTARTS {
            let rule = format!("must be 1, or large enough for {MAX_RESTARTS} intervals");
            return Err(read.error("t_mult", longer, rule));
        }
        pieces.push(fall);
        start = start.saturating_add(len); // seen to be below 2^64 before it was taken for the next length
        boundaries.push(start);
        match whole(next) {
            Some(next) if start.checked_add(next).is_some() => len = next,
            // It ends after the last step that there is.
            _ => {
                pieces.push(endless_cosine(1.0, end, next));
                return Ok(Schedule::join(pieces, boundaries));
            }
        }
    }
}

/// A warm-up to a factor. `scale_schedule_ratio` leaves it alone unless `scale_warmup` is set, and then shortens or
/// lengthens the rise, but not the time until the rest begins.
struct Warmup {
    end: Span,
    rise: u64,
}

impl Warmup {
    fn read(read: &mut Arguments, clock: &Clock) -> Result<Warmup> {
        let end = clock.unscaled(read, "t_warmup")?;
        let scaled = clock.scaled(read, "t_warmup", None)?.count;
        let rise = if read.bool_or("scale_warmup", false)? { scaled } else { end.count };
        if end.count > 0 && rise == 0 {
            let rule = "must not come to 0 when scaled: Composer divides by it";
            return Err(read.error("t_warmup", end, rule));
        }
        Ok(Warmup { end, rise })
    }

    fn to(&self, factor: f64) -> Schedule {
        Schedule::linear(0.0, factor).over(self.rise)
    }
}

/// A warm-up to `peak`, then `fall` until `t_max`, which must not come before the end of the training. A warm-up that
/// reaches beyond `t_max` leaves the peak.
fn with_warmup(read: &mut Arguments, clock: &Clock, peak: f64, fall: Ramp) -> Result<Schedule> {
    let warmup = Warmup::read(read, clock)?;
    let (start, end) = (warmup.end, clock.scaled(read, "t_max", Some("1dur"))?);
    if start.unit != end.unit {
        let rule = format!("must count what t_max counts, {end}");
        return Err(read.error("t_warmup", start, rule));
    }
    let duration = clock.duration;
    // Composer compares no times of different units.
    if end.unit == duration.unit && end.count < duration.count {
        let rule = format!("must not come before the end of the training, {duration}");
        return Err(read.error("t_max", end, rule));
    }
    let after = if end.count > start.count { fall.over(end.count - start.count) } else { Schedule::constant(peak) };
    Ok(start.clock(Schedule::join([warmup.to(peak), after], [start.count])))
}
