//! Options that several rules have.

use crate::schedule::{Form, Number, Schedule};

/// What stands for a schedule where its value does not matter.
pub(super) const ZERO: Schedule = Schedule(Form::Constant(Number::Literal(0.0)));
pub(super) const ONE: Schedule = Schedule(Form::Constant(Number::Literal(1.0)));

/// How weight decay enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decay {
    None,
    Coupled,
    Decoupled,
}

impl Decay {
    /// `form`, or none where `weight_decay` is written as 0: its term is then left out.
    #[inline(always)]
    pub(super) fn of(weight_decay: &Schedule, form: Decay) -> Decay {
        if is_zero(weight_decay) { Decay::None } else { form }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Decay::None => "none",
            Decay::Coupled => "coupled",
            Decay::Decoupled => "decoupled",
        }
    }
}

/// Which way the objective goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Minimize,
    Maximize,
}

impl Direction {
    pub fn name(self) -> &'static str {
        match self {
            Direction::Minimize => "minimize",
            Direction::Maximize => "maximize",
        }
    }
}

/// Whose order of operations in f32 a rule follows, where they differ. Rates, betas and corrections are computed in f64 and
/// rounded once in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Parity {
    /// That which the rule states: fewest roundings.
    #[default]
    Stated,
    /// That of torch with `foreach=False, fused=False`, its vectorized CPU kernels. Those of the square root are MKL's, which is off
    /// by one unit in the last place now and then; here it is rounded correctly.
    TorchForLoop,
    /// That of torch's CUDA kernels with `fused=True`.
    TorchFused,
}

impl Parity {
    /// What a state block adds to the name of a rule.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Parity::Stated => "",
            Parity::TorchForLoop => ", Parity::torch_for_loop",
            Parity::TorchFused => ", Parity::torch_fused",
        }
    }
}

/// Whether `schedule` is written as the constant 0.
#[inline(always)]
pub(super) fn is_zero(schedule: &Schedule) -> bool {
    matches!(schedule.0, Form::Constant(Number::Literal(0.0)))
}
