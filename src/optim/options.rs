//! Options that several rules have.

use crate::rule::{Element, RuleOption};
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

    /// The same for rules where it is coupled unless an option decouples it.
    #[inline(always)]
    pub(super) fn of_form(weight_decay: &Schedule, decoupled: bool) -> Decay {
        Decay::of(weight_decay, if decoupled { Decay::Decoupled } else { Decay::Coupled })
    }

    /// The parameter `p` after the update `u`, with the decay if it is decoupled; rounded once, so that no decay is lost beside an update.
    #[inline(always)]
    pub(super) fn step<E: Element>(self, lr_weight_decay: E, step_size: E, u: E, p: E) -> E {
        match self {
            Decay::Decoupled => p - lr_weight_decay.fma(p, step_size * u),
            Decay::None | Decay::Coupled => (-step_size).fma(u, p),
        }
    }

    /// The same where the step size is in `u`.
    #[inline(always)]
    pub(super) fn whole_step<E: Element>(self, lr_weight_decay: E, u: E, p: E) -> E {
        match self {
            Decay::Decoupled => p - lr_weight_decay.fma(p, u),
            Decay::None | Decay::Coupled => p - u,
        }
    }

    /// The gradient `g` with the decay if it is coupled.
    #[inline(always)]
    pub(super) fn gradient<E: Element>(self, weight_decay: E, p: E, g: E) -> E {
        if self == Decay::Coupled { weight_decay.fma(p, g).named("decayed_g") } else { g }
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

    /// The gradient that goes down.
    #[inline(always)]
    pub fn of<E: Element>(self, g: E) -> E {
        if self == Direction::Maximize { -g } else { g }
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

/// 1, -1, or what is neither: 0 and NaN.
#[inline(always)]
pub(super) fn sign<E: Element>(x: E) -> E {
    let zero = E::literal(0.0);
    E::select(zero.less(x), E::literal(1.0), E::select(x.less(zero), E::literal(-1.0), x)).named("sign")
}
