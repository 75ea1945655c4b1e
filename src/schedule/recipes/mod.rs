//! Recipes by their usual names, each a few words of the language and nothing else: what stands here a user can write.
//!
//! Counts of steps may be knobs, except where the values of a recipe follow from them: those of [`noam`], [`inverse_sqrt`], [`sgdr`] and
//! [`infinite`] are plain.
//!
//! `t` is the step. `total_steps` has the warm-up in it; at `total_steps` and after, a recipe holds its last value. Counts
//! that do not fit together, such as `warmup_steps` above `total_steps`, are refused where every schedule is checked, with
//! the piece that comes out negative. Names, arguments and defaults of other libraries are in `compat`.

mod cycles;
mod one_cycle;

pub use cycles::{Cyclic, cyclic, sgdr};
pub use one_cycle::{Anneal, OneCycle, Phases};

use super::{Number, Ramp, Schedule, Steps, reached};

impl Ramp {
    /// This ramp from the end of a linear warm-up of `warmup_steps` to `total_steps`.
    fn after_warmup(self, warmup_steps: impl Into<Steps>, total_steps: impl Into<Steps>) -> Schedule {
        let warmup_steps = warmup_steps.into();
        self.over(total_steps.into() - warmup_steps.clone()).warmup(warmup_steps)
    }
}

/// Linear from 0 to `peak_lr` over `warmup_steps`, then half a cosine to `end_lr` at `total_steps`.
///
/// ```
/// use instep::{knob_steps, recipes};
/// let lr = recipes::warmup_cosine(3e-4, 3e-5, 200, knob_steps("total_steps", 2_000));
/// assert_eq!((lr.at(200)?, lr.at(2_000)?), (3e-4, 3e-5));
/// # Ok::<(), instep::Error>(())
/// ```
///
/// Sources: Goyal et al. 2017, arXiv:1706.02677 (warm-up); Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5. Peers:
/// optax `warmup_cosine_decay_schedule`, transformers `cosine` (with `end_lr` 0).
pub fn warmup_cosine(
    peak_lr: impl Into<Number>,
    end_lr: impl Into<Number>,
    warmup_steps: impl Into<Steps>,
    total_steps: impl Into<Steps>,
) -> Schedule {
    Schedule::cosine(peak_lr, end_lr).after_warmup(warmup_steps, total_steps)
}

/// Linear from 0 to `peak_lr` over `warmup_steps`, then linear to 0 at `total_steps` (D2Z).
///
/// Source: Bergsma et al. 2025, arXiv:2502.15938. Peer: transformers `linear`.
pub fn linear_to_zero(
    peak_lr: impl Into<Number>,
    warmup_steps: impl Into<Steps>,
    total_steps: impl Into<Steps>,
) -> Schedule {
    Schedule::linear(peak_lr, 0.0).after_warmup(warmup_steps, total_steps)
}

/// How a decay phase gets to its end; `x` is the part of it that is over, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// `1 - x`. Peers: transformers, Megatron, llm.c.
    Linear,
    /// `(1 + cos(π x)) / 2`.
    Cosine,
    /// `1 - √x`, as found best by Hägele et al. 2024, arXiv:2405.18392. Peers: transformers, Megatron `minus_sqrt`.
    OneMinusSqrt,
    /// `2 · 2^-x - 1`, half a half-life stretched to its end. Peer: Megatron `exponential`.
    HalfLife,
    /// `(end_lr / peak_lr)^x`, which needs an end above 0. MiniCPM's `0.5^(t / T)` over `n` steps is the one that ends at
    /// `peak_lr · 0.5^(n / T)`: Hu et al. 2024, arXiv:2404.06395.
    Exponential,
    /// `(1 - x)^power`, with `power` above 0.
    Polynomial(f64),
}

/// Warm-up, stable, decay: linear from 0 to `peak_lr` over `warmup_steps`, constant, then `decay` to `end_lr` over the last
/// `decay_steps` before `total_steps`.
///
/// Source: Hu et al. 2024, arXiv:2404.06395. Peers: transformers `warmup_stable_decay`, Megatron `WSD`.
pub fn wsd(
    peak_lr: impl Into<Number>,
    end_lr: impl Into<Number>,
    warmup_steps: impl Into<Steps>,
    decay_steps: impl Into<Steps>,
    total_steps: impl Into<Steps>,
    decay: Decay,
) -> Schedule {
    let (peak_lr, end_lr) = (peak_lr.into(), end_lr.into());
    let (warmup_steps, decay_steps) = (warmup_steps.into(), decay_steps.into());
    let stable_steps = total_steps.into() - warmup_steps.clone() - decay_steps.clone();
    let stable = Schedule::constant(peak_lr.clone()).over(stable_steps);
    let decay = match decay {
        Decay::Linear => Schedule::linear(peak_lr, end_lr),
        Decay::Cosine => Schedule::cosine(peak_lr, end_lr),
        Decay::OneMinusSqrt => Schedule::one_minus_sqrt(peak_lr, end_lr),
        Decay::HalfLife => Schedule::half_life(peak_lr, end_lr),
        Decay::Exponential => Schedule::exponential(peak_lr, end_lr),
        Decay::Polynomial(power) => Schedule::polynomial(peak_lr, end_lr, power),
    };
    stable.warmup(warmup_steps).then(decay.over(decay_steps))
}

/// [`wsd`] with a linear decay to 0.
///
/// Source: Xing et al. 2018, arXiv:1802.08770. Peer: llm.c `wsd`.
pub fn trapezoid(
    peak_lr: impl Into<Number>,
    warmup_steps: impl Into<Steps>,
    decay_steps: impl Into<Steps>,
    total_steps: impl Into<Steps>,
) -> Schedule {
    wsd(peak_lr, 0.0, warmup_steps, decay_steps, total_steps, Decay::Linear)
}

/// The phases of [`infinite`], each with its length in steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfinitePhases {
    /// Linear from 0 to the peak.
    pub warmup_steps: u64,
    /// Half a cosine from the peak to the constant rate.
    pub cooldown_steps: u64,
    /// At the constant rate, from where training may go on at any time.
    pub constant_steps: u64,
    /// Exponential from the constant rate to the end.
    pub anneal_steps: u64,
}

/// Linear to `peak_lr`, half a cosine to `constant_lr`, constant for as long as is wanted, then exponential to `end_lr`,
/// which is above 0, for a checkpoint.
///
/// Source: Ibrahim et al. 2024, arXiv:2403.08763, section 7.
pub fn infinite(
    peak_lr: impl Into<Number>,
    constant_lr: impl Into<Number>,
    end_lr: impl Into<Number>,
    phases: InfinitePhases,
) -> Schedule {
    let constant_lr = constant_lr.into();
    Schedule::cosine(peak_lr, constant_lr.clone())
        .over(phases.cooldown_steps)
        .warmup(phases.warmup_steps)
        .then(Schedule::constant(constant_lr.clone()).over(phases.constant_steps))
        .then(Schedule::exponential(constant_lr, end_lr).over(phases.anneal_steps))
}

/// `min(peak_lr, batch_size · factor · (n + 1)^exponent)` after a linear warm-up over `warmup_steps`, where `n` is the
/// progress clock in tokens. `exponent` is near -0.5. Without an end: multiply it with a decay, or cut it with
/// [`Schedule::over`].
///
/// Source: Shen et al. 2024, arXiv:2408.13359.
pub fn power(
    peak_lr: impl Into<Number>,
    factor: f64,
    exponent: f64,
    batch_size: f64,
    warmup_steps: impl Into<Steps>,
) -> Schedule {
    let law = Schedule::power_law(batch_size * factor, exponent, 1.0).on_progress();
    law.min(peak_lr.into()) * Schedule::linear(0.0, 1.0).over(warmup_steps)
}

/// Linear from 0 to `peak_lr` over `warmup_steps`, then the reflected exponential to `end_lr` at `total_steps`.
///
/// Source: Chen et al. 2021, arXiv:2107.04197.
pub fn rex(
    peak_lr: impl Into<Number>,
    end_lr: impl Into<Number>,
    warmup_steps: impl Into<Steps>,
    total_steps: impl Into<Steps>,
) -> Schedule {
    Schedule::rex(peak_lr, end_lr, 0.5).after_warmup(warmup_steps, total_steps)
}

/// How the rate of a range test grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// By equal amounts, as in the paper.
    Linear,
    /// By equal factors, as in fastai; both ends are above 0.
    Exponential,
}

/// The rate grows from `init_lr` to `peak_lr` over `total_steps`, to see where training breaks.
///
/// Source: Smith 2017, arXiv:1506.01186, section 3.3. Peer: fastai `lr_find`.
pub fn lr_range_test(
    init_lr: impl Into<Number>,
    peak_lr: impl Into<Number>,
    total_steps: impl Into<Steps>,
    growth: Growth,
) -> Schedule {
    match growth {
        Growth::Linear => Schedule::linear(init_lr, peak_lr).over(total_steps),
        Growth::Exponential => Schedule::exponential(init_lr, peak_lr).over(total_steps),
    }
}

/// `peak_lr`, divided by 10 at 30, 60 and 90 % of `total_steps`: the 90-epoch recipe of vision training.
///
/// Source: Goyal et al. 2017, arXiv:1706.02677, section 5.1.
pub fn step_30_60_90(peak_lr: impl Into<Number>, total_steps: impl Into<Steps>) -> Schedule {
    Schedule::multi_step_fractions(peak_lr, 0.1, total_steps, [0.3, 0.6, 0.9])
}

/// `training` for `start` steps, then half a cosine over `anneal_steps` from where that ends to `swa_lr`, which stays while
/// weights are averaged.
///
/// Source: Izmailov et al. 2018, arXiv:1803.05407. Peer: torch `SWALR`.
pub fn swa(
    training: Schedule,
    swa_lr: impl Into<Number>,
    start: impl Into<Steps>,
    anneal_steps: impl Into<Steps>,
) -> Schedule {
    training.over(start).then(Schedule::cosine(reached(), swa_lr).over(anneal_steps))
}

/// `factor · d_model^-½ · min(s^-½, s · warmup_steps^-1.5)` with `s = t + 1`: linear, then an inverse square root.
///
/// Source: Vaswani et al. 2017, arXiv:1706.03762, section 5.3. Peer: Burn `NoamLrScheduler`.
pub fn noam(factor: f64, d_model: u32, warmup_steps: u64) -> Schedule {
    let peak = factor / (f64::from(d_model) * warmup_steps as f64).sqrt();
    let rise = Schedule::linear(peak / warmup_steps as f64, peak).over(Steps::from(warmup_steps) - 1);
    rise.then(Schedule::inverse_sqrt(peak, warmup_steps as f64))
}

/// Linear from 0 to `peak_lr` over `warmup_steps`, which is above 0, then `peak_lr · √(warmup_steps / t)`.
///
/// Source: Raffel et al. 2020, arXiv:1910.10683, section 3.1.2. Peer: transformers `inverse_sqrt`.
pub fn inverse_sqrt(peak_lr: impl Into<Number>, warmup_steps: u64) -> Schedule {
    Schedule::inverse_sqrt(peak_lr, warmup_steps as f64).warmup(warmup_steps)
}
