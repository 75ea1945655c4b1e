//! Options that several rules have.

use crate::rule::RuleOption;
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
    /// The option where it is not the default.
    pub fn named(self) -> Option<(&'static str, RuleOption)> {
        (self == Direction::Maximize).then_some(("maximize", RuleOption::Flag(true)))
    }

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
    /// As files have it.
    pub(super) const WORDS: [(&'static str, Parity); 3] =
        [("stated", Parity::Stated), ("torch_for_loop", Parity::TorchForLoop), ("torch_fused", Parity::TorchFused)];

    /// The option where it is not the default.
    pub(super) fn named(self) -> Option<(&'static str, RuleOption)> {
        let word = Parity::WORDS.into_iter().find(|(_, parity)| *parity == self)?.0;
        (self != Parity::Stated).then(|| ("parity", RuleOption::Word(word.to_owned())))
    }

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
pub(super) fn is_zero(schedule: &Schedule) -> bool {
    matches!(schedule.0, Form::Constant(Number::Literal(0.0)))
}
