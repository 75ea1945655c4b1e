//! Shapes that several peers share and that no single curve of the language is.

use std::f64::consts::FRAC_PI_2;

use crate::schedule::{Schedule, step};

/// `init · rate^(t / steps)`, for a rate that is not negative; with `staircase`, of whole periods only.
pub(super) fn geometric(init: f64, rate: f64, steps: u64, staircase: bool) -> Schedule {
    if init == 0.0 || rate == 0.0 {
        Schedule::step_decay(init, rate, if staircase { steps } else { 1 })
    } else if staircase {
        Schedule::step_decay(init, rate, steps)
    } else {
        init * Schedule::constant(rate).pow(step() / steps as f64)
    }
}

/// `base · rate^k`, where `k` counts the `starts` at or before `t`; they do not fall, and equal ones each count.
pub(super) fn drops(base: f64, rate: f64, starts: impl IntoIterator<Item = u64>) -> Schedule {
    let (mut boundaries, mut values) = (Vec::new(), vec![base]);
    for (i, start) in starts.into_iter().enumerate() {
        if start == 0 || boundaries.last() == Some(&start) {
            values.pop();
        } else {
            boundaries.push(start);
        }
        // A list of 2^31 steps is far longer than a table may be.
        values.push(base * rate.powi(i32::try_from(i).unwrap_or(i32::MAX).saturating_add(1)));
    }
    Schedule::piecewise_constant(boundaries, values)
}

/// `low + (high - low) · ½ (1 + cos(2π · waves · (t + offset) / steps))`, which rises again after each fall, for ever.
pub(super) fn wave(high: f64, low: f64, waves: f64, steps: u64, offset: u64) -> Schedule {
    let waves = waves.abs();
    if waves == 0.0 {
        return Schedule::constant(high);
    }
    let half = steps as f64 / (2.0 * waves);
    if let (0, Some(half)) = (offset, whole(half)) {
        return Schedule::cosine(high, low).over(half).then(Schedule::cosine(low, high).over(half)).repeat();
    }
    // Half waves in units of 1 / steps, reduced to one wave first: the distance from the bottom keeps its digits there.
    let steps = steps as f64;
    let phase = ((step() + offset as f64) * (2.0 * waves)).modulo(2.0 * steps);
    low + (high - low) * ((steps - phase) * (FRAC_PI_2 / steps)).sin().pow_int(2)
}

/// `steps` as a count, if it is one from 1 to below 2^63, so that two can be added.
pub(super) fn whole(steps: f64) -> Option<u64> {
    (steps.fract() == 0.0 && (1.0..2f64.powi(63)).contains(&steps)).then_some(steps as u64)
}

/// Half a cosine from `high` to `low` over more steps than there are: it has no end.
pub(super) fn endless_cosine(high: f64, low: f64, steps: f64) -> Schedule {
    low + (high - low) * ((steps - step()) * (FRAC_PI_2 / steps)).sin().pow_int(2)
}

/// [`Schedule::max`] with 0, where the values could be negative because their lowest, `low`, is.
pub(super) fn not_negative(schedule: Schedule, low: f64) -> Schedule {
    if low < 0.0 { schedule.max(0.0) } else { schedule }
}
