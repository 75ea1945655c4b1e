//! Values without a length of their own: constants, decays that go on for ever, values given at steps.

use super::form::{Between, Form, Milestones};
use super::number::{Number, Steps};
use super::{Schedule, StepList};

/// Curves without an end. Give one an end with [`Schedule::over`] to put something after it.
impl Schedule {
    /// Always `value`.
    pub fn constant(value: impl Into<Number>) -> Schedule {
        Schedule(Form::Constant(value.into()))
    }

    /// `init · factor^t`. A factor above 1 needs an end ([`Schedule::over`]) or a [`Schedule::clamp`].
    /// Peer: torch `ExponentialLR`.
    pub fn exponential_decay(init: impl Into<Number>, factor: impl Into<Number>) -> Schedule {
        Schedule(Form::Exponential { init: init.into(), factor: factor.into() })
    }

    /// `init · factor^⌊t / every⌋`. Peer: torch `StepLR`.
    pub fn step_decay(init: impl Into<Number>, factor: impl Into<Number>, every: impl Into<Steps>) -> Schedule {
        Schedule(Form::StepDecay { init: init.into(), factor: factor.into(), every: every.into() })
    }

    /// `init · factor^k`, where `k` counts the milestones at or before `t`. Milestones are steps in rising order, each a
    /// number or a [`knob_steps`](crate::knob_steps), which an edit can move as long as the order stays.
    /// Peer: torch `MultiStepLR`.
    pub fn multi_step(init: impl Into<Number>, factor: impl Into<Number>, milestones: impl Into<StepList>) -> Schedule {
        let milestones = Milestones::Steps(milestones.into());
        Schedule(Form::MultiStep { init: init.into(), factor: factor.into(), milestones })
    }

    /// [`Schedule::multi_step`] with milestones as fractions of `total_steps`, in rising order, each rounded to the nearest
    /// step: the 30/60/90 % of vision training is `[0.3, 0.6, 0.9]`. In a short run several may round to one step, which is then
    /// multiplied by `factor` once for each of them.
    pub fn multi_step_fractions(
        init: impl Into<Number>,
        factor: impl Into<Number>,
        total_steps: impl Into<Steps>,
        at: impl Into<Vec<f64>>,
    ) -> Schedule {
        let milestones = Milestones::Fractions { of: total_steps.into(), at: at.into() };
        Schedule(Form::MultiStep { init: init.into(), factor: factor.into(), milestones })
    }

    /// `init · √(timescale / (timescale + t))`, with `timescale` above 0. Peer: transformers `inverse_sqrt`.
    pub fn inverse_sqrt(init: impl Into<Number>, timescale: impl Into<Number>) -> Schedule {
        Schedule(Form::InverseSqrt { init: init.into(), timescale: timescale.into() })
    }

    /// `init / (1 + rate · t)`, with `rate` not negative. Peer: Keras `InverseTimeDecay`.
    pub fn inverse_time(init: impl Into<Number>, rate: impl Into<Number>) -> Schedule {
        Schedule(Form::InverseTime { init: init.into(), rate: rate.into() })
    }

    /// `factor · (t + shift)^exponent`, with `shift` above 0.
    /// Source: Shen et al. 2024, arXiv:2408.13359 (the power scheduler, on a clock of tokens).
    pub fn power_law(factor: impl Into<Number>, exponent: impl Into<Number>, shift: impl Into<Number>) -> Schedule {
        Schedule(Form::PowerLaw { factor: factor.into(), exponent: exponent.into(), shift: shift.into() })
    }

    /// `values[0]` before the first of `boundaries`, `values[i]` from the i-th on: one value more than boundaries, which
    /// are steps in rising order and may be knobs. Peers: Keras `PiecewiseConstantDecay` (which switches one step later).
    pub fn piecewise_constant(boundaries: impl Into<StepList>, values: impl Into<Vec<f64>>) -> Schedule {
        Schedule(Form::Piecewise { between: Between::Constant, steps: boundaries.into(), values: values.into() })
    }

    /// `values[i]` at `steps[i]`, straight lines between, the nearest value outside. Steps are in rising order
    /// and may be knobs.
    pub fn piecewise_linear(steps: impl Into<StepList>, values: impl Into<Vec<f64>>) -> Schedule {
        Schedule(Form::Piecewise { between: Between::Linear, steps: steps.into(), values: values.into() })
    }

    /// [`Schedule::piecewise_linear`] with half cosines between. Peer: optax `piecewise_interpolate_schedule`.
    pub fn piecewise_cosine(steps: impl Into<StepList>, values: impl Into<Vec<f64>>) -> Schedule {
        Schedule(Form::Piecewise { between: Between::Cosine, steps: steps.into(), values: values.into() })
    }

    /// A table computed elsewhere: `values[t]`, and the last value after. At most 2^20 values.
    pub fn table(values: impl Into<Vec<f64>>) -> Schedule {
        let values = values.into();
        let steps: Vec<u64> = (1..values.len().max(1) as u64).collect();
        Schedule(Form::Piecewise { between: Between::Constant, steps: steps.into(), values })
    }
}
