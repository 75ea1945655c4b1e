//! MosaicML Composer's schedulers: factors of each group's rate, over times with a unit.
//!
//! The trainer's arguments stand beside the scheduler's: `max_duration`, `dataloader_len` (batches in an epoch) and
//! `scale_schedule_ratio`. Times are in batches (`ba`), epochs (`ep`) or fractions of the training (`dur`); one batch is
//! one step. Start at [`recipes`].

use super::composer_time::Clock;
use super::shapes::{drops, geometric};
use super::{Arguments, Group, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Ramp, Schedule, step};

/// The most intervals of growing length that are written out.
const MAX_RESTARTS: usize = 256;

/// One recipe for each group.
pub(super) fn recipes(api: &str, mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let read = &mut arguments;
    let clock = Clock::read(read)?;
    let lr = match last_name(api) {
        "StepScheduler" => {
            let (size, gamma) = (clock.divisor(read, "step_size", None)?, read.f64_or("gamma", 0.1)?);
            Schedule::step_decay(1.0, gamma, size)
        }
        "MultiStepScheduler" => multi_step(read, &clock)?,
        "ConstantScheduler" => {
            let (alpha, end) = (read.f64_or("alpha", 1.0)?, clock.scaled(read, "t_max", Some("1dur"))?);
            Schedule::join([alpha, 1.0].map(Schedule::from), [end])
        }
        "LinearScheduler" => {
            let (from, to) = (read.f64_or("alpha_i", 1.0)?, read.f64_or("alpha_f", 0.0)?);
            Schedule::linear(from, to).over(clock.divisor(read, "t_max", Some("1dur"))?)
        }
        "ExponentialScheduler" => {
            let (gamma, period) = (read.f64("gamma")?, clock.divisor(read, "decay_period", Some("1ep"))?);
            if gamma < 0.0 {
                return Err(read.error("gamma", gamma, "must not be negative"));
            }
            geometric(1.0, gamma, period, false)
        }
        "CosineAnnealingScheduler" => {
            let end = clock.divisor(read, "t_max", Some("1dur"))?;
            Schedule::cosine(1.0, read.f64_or("alpha_f", 0.0)?).over(end)
        }
        "CosineAnnealingWarmRestartsScheduler" => warm_restarts(read, &clock)?,
        "PolynomialScheduler" => {
            let (power, end) = (power(read, None)?, clock.divisor(read, "t_max", Some("1dur"))?);
            Schedule::polynomial(1.0, read.f64_or("alpha_f", 0.0)?, power).over(end)
        }
        "MultiStepWithWarmupScheduler" => {
            let warmup = Warmup::read(read, &clock)?;
            let running = multi_step(read, &clock)?;
            // The milestones count from step 0, not from the end of the warm-up.
            step().less(warmup.steps as f64).select(warmup.to(1.0), running)
        }
        "ConstantWithWarmupScheduler" => {
            let alpha = read.f64_or("alpha", 1.0)?;
            with_warmup(read, &clock, alpha, Schedule::linear(alpha, alpha))?
        }
        "LinearWithWarmupScheduler" => {
            let (from, to) = (read.f64_or("alpha_i", 1.0)?, read.f64_or("alpha_f", 0.0)?);
            with_warmup(read, &clock, from, Schedule::linear(from, to))?
        }
        "CosineAnnealingWithWarmupScheduler" => {
            let end = read.f64_or("alpha_f", 0.0)?;
            with_warmup(read, &clock, 1.0, Schedule::cosine(1.0, end))?
        }
        "PolynomialWithWarmupScheduler" => {
            let (power, end) = (power(read, Some(2.0))?, read.f64_or("alpha_f", 0.0)?);
            with_warmup(read, &clock, 1.0, Schedule::polynomial(1.0, end, power))?
        }
        _ => return Err(unknown(api)),
    };
    arguments.finish()?;
    Ok(groups.iter().map(|group| Recipe::new(group.lr * lr.clone())).collect())
}

fn power(read: &mut Arguments, default: Option<f64>) -> Result<f64> {
    let value = read.optional_f64("power")?.or(default).ok_or_else(|| read.missing("power"))?;
    if value > 0.0 { Ok(value) } else { Err(read.error("power", value, "must be above 0")) }
}

/// Each milestone at or before `t` multiplies by `gamma`, in whatever order they are given.
fn multi_step(read: &mut Arguments, clock: &Clock) -> Result<Schedule> {
    let (mut milestones, gamma) = (clock.scaled_list(read, "milestones")?, read.f64_or("gamma", 0.1)?);
    milestones.sort_unstable();
    Ok(drops(1.0, gamma, milestones))
}

/// Half cosines, each `t_mult` as long as the one before, rounded down to whole batches.
fn warm_restarts(read: &mut Arguments, clock: &Clock) -> Result<Schedule> {
    let (first, longer) = (clock.divisor(read, "t_0", None)?, read.f64_or("t_mult", 1.0)?);
    let end = read.f64_or("alpha_f", 0.0)?;
    if longer < 1.0 {
        let rule = "must be at least 1: Composer raises once the shrinking intervals have come to 0";
        return Err(read.error("t_mult", longer, rule));
    }
    let (mut pieces, mut boundaries, mut len, mut start) = (Vec::new(), Vec::new(), first, 0);
    loop {
        let next = (longer * len as f64) as u64;
        let fall = Schedule::cosine(1.0, end).over(len);
        if next == len || len >= 1 << 53 {
            pieces.push(fall.repeat());
            return Ok(Schedule::join(pieces, boundaries));
        }
        if pieces.len() == MAX_RESTARTS {
            return Err(read.error(
                "t_mult",
                longer,
                format!("must be 1, or large enough for {MAX_RESTARTS} intervals"),
            ));
        }
        pieces.push(fall);
        start += len;
        boundaries.push(start);
        len = next;
    }
}

/// A warm-up to a factor. `scale_schedule_ratio` leaves it alone unless `scale_warmup` is set, and then shortens or
/// lengthens the rise, but not the time until the rest begins.
struct Warmup {
    steps: u64,
    rise: u64,
}

impl Warmup {
    fn read(read: &mut Arguments, clock: &Clock) -> Result<Warmup> {
        let steps = clock.unscaled(&read.clone(), "t_warmup")?;
        let scaled = clock.scaled(read, "t_warmup", None)?;
        let rise = if read.bool_or("scale_warmup", false)? { scaled } else { steps };
        if steps > 0 && rise == 0 {
            return Err(read.error(
                "t_warmup",
                steps,
                "must not come to 0 batches when scaled: Composer divides by it",
            ));
        }
        Ok(Warmup { steps, rise })
    }

    fn to(&self, factor: f64) -> Schedule {
        Schedule::linear(0.0, factor).over(self.rise)
    }
}

/// A warm-up to `peak`, then `fall` until `t_max`, which must not come before the end of the training. A warm-up that
/// reaches beyond `t_max` leaves the peak.
fn with_warmup(read: &mut Arguments, clock: &Clock, peak: f64, fall: Ramp) -> Result<Schedule> {
    let warmup = Warmup::read(read, clock)?;
    let end = clock.scaled(read, "t_max", Some("1dur"))?;
    if end < clock.duration {
        let rule = format!("must not come before the end of the training, {} batches", clock.duration);
        return Err(read.error("t_max", format!("{end} batches"), rule));
    }
    let after = if end > warmup.steps { fall.over(end - warmup.steps) } else { Schedule::constant(peak) };
    Ok(Schedule::join([warmup.to(peak), after], [warmup.steps]))
}
