//! Recipes that go up and down again and again.

use crate::schedule::{Number, Schedule, Steps};

/// Half cosines from a peak to `end_lr`, `cycles` times. The first takes `period` steps and starts at `peak_lr`; each next
/// one is `period_factor` times as long and starts at `amplitude_factor` times the peak of the one before.
///
/// Source: Loshchilov and Hutter 2017, arXiv:1608.03983 (`period` is T_0, `period_factor` T_mult). Peers: torch
/// `CosineAnnealingWarmRestarts`, optax `sgdr_schedule`.
pub fn sgdr(
    peak_lr: f64,
    end_lr: impl Into<Number>,
    period: u64,
    period_factor: u32,
    amplitude_factor: f64,
    cycles: u16,
) -> Schedule {
    let end_lr = end_lr.into();
    let (mut peak, mut len) = (peak_lr, i128::from(period));
    let mut cycle = || {
        let ramp = Schedule::cosine(peak, end_lr.clone()).over(Steps::Literal(len));
        peak *= amplitude_factor;
        len = len.saturating_mul(period_factor.into());
        ramp
    };
    let first = cycle();
    if period_factor == 1 && amplitude_factor == 1.0 {
        return first.repeat_times(cycles.into());
    }
    (1..cycles).fold(first, |so_far, _| so_far.then(cycle()))
}

/// What happens to the height of a [`cyclic`] schedule's triangles.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Cyclic {
    /// Nothing.
    Triangular,
    /// It halves with each cycle.
    Triangular2,
    /// It is multiplied by this number, at most 1, with each step.
    ExpRange(f64),
}

/// Triangles for ever: linear from `init_lr` to `peak_lr` over `rise_steps`, back over `fall_steps`.
///
/// Source: Smith 2017, arXiv:1506.01186, section 3.2. Peer: torch `CyclicLR`.
pub fn cyclic(
    init_lr: f64,
    peak_lr: f64,
    rise_steps: impl Into<Steps>,
    fall_steps: impl Into<Steps>,
    mode: Cyclic,
) -> Schedule {
    let (rise_steps, fall_steps) = (rise_steps.into(), fall_steps.into());
    let period = rise_steps.clone() + fall_steps.clone();
    let height = peak_lr - init_lr;
    let rise = Schedule::linear(0.0, height).over(rise_steps);
    let triangles = rise.then(Schedule::linear(height, 0.0).over(fall_steps)).repeat();
    let scaled = match mode {
        Cyclic::Triangular => triangles,
        Cyclic::Triangular2 => triangles * Schedule::step_decay(1.0, 0.5, period),
        Cyclic::ExpRange(factor) => triangles * Schedule::exponential_decay(1.0, factor),
    };
    scaled + init_lr
}
