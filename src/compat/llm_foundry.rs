//! The schedulers that llm-foundry adds to Composer's, over times as [`composer`](super::composer) reads them.
//!
//! As in `llmfoundry/optim/scheduler.py` of llm-foundry 0.22.0; the warm restarts after a warm-up are of its main branch of 2025. Both
//! want their times in the unit that `max_duration` is written in.

use super::Arguments;
use super::composer::warm_restarts;
use super::composer_time::Clock;
use crate::error::Result;
use crate::schedule::Schedule;

/// A warm-up, then a fall as the inverse root of the time since, and, at the end, a line down. A cooldown that would begin during the
/// warm-up begins after it.
pub(super) fn inverse_sqrt(read: &mut Arguments, clock: &Clock) -> Result<Schedule> {
    for name in ["t_warmup", "t_scale", "t_cooldown"] {
        clock.expect_unit_of_duration(read, name)?;
    }
    let warmup = clock.unscaled(read, "t_warmup")?;
    read.value("t_warmup");
    let (scale, cooldown) = (clock.divisor(read, "t_scale", None)?, clock.scaled(read, "t_cooldown", None)?);
    let end = clock.scaled(read, "t_max", Some("1dur"))?;
    if end.unit != warmup.unit {
        return Err(read.error("t_max", end, format!("must count what t_warmup counts, {warmup}")));
    }
    let (to, cooled) = (read.f64_or("alpha_f_decay", 0.0)?, read.f64_or("alpha_f_cooldown", 0.0)?);
    if to < cooled {
        return Err(read.error("alpha_f_decay", to, format!("must not be below alpha_f_cooldown, {cooled}")));
    }
    let start = end.count.saturating_sub(cooldown.count).max(warmup.count);
    let since = (start - warmup.count) as f64;
    let reached = to + (1.0 - to) / (1.0 + since / scale.count as f64).sqrt();
    let fall = to + (1.0 - to) * Schedule::inverse_sqrt(1.0, scale.count as f64);
    let last = match cooldown.count {
        0 => reached.into(),
        count => Schedule::linear(reached, cooled).over(count),
    };
    let rise = Schedule::linear(0.0, 1.0).over(warmup.count);
    Ok(warmup.clock(Schedule::join([rise, fall, last], [warmup.count, start])))
}

/// Composer's warm restarts after a warm-up, which, other than with Composer's own, ends when it is scaled to end.
pub(super) fn restarts_with_warmup(read: &mut Arguments, clock: &Clock) -> Result<Schedule> {
    for name in ["t_warmup", "t_0"] {
        clock.expect_unit_of_duration(read, name)?;
    }
    let (unscaled, scaled) = (clock.unscaled(read, "t_warmup")?, clock.scaled(read, "t_warmup", None)?);
    let warmup = if read.bool_or("scale_warmup", false)? { scaled } else { unscaled };
    let first = clock.divisor(read, "t_0", None)?;
    let restarts = warm_restarts(read, first.count)?;
    let rise = Schedule::linear(0.0, 1.0).over(warmup.count);
    Ok(warmup.clock(Schedule::join([rise, restarts], [warmup.count])))
}
