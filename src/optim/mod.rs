//! Update rules: hyperparameters, what may be asked of them, state, bytes per parameter. One file per rule; the
//! arithmetic is in `kernels/` and, bit for bit the same, in `src/host/`. Knows schedules, no tensors and no device.

mod adam;
mod hyperparameter;
mod sgd;

pub(crate) use adam::record as adam_record;
pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled};
pub use hyperparameter::Hyperparameter;
pub(crate) use sgd::record as sgd_record;
pub use sgd::{Momentum, Sgd};

use crate::schedule::{Form, Metric, Number, Schedule};

/// An update rule with its hyperparameters: [`AdamW`], [`Adam`], [`Sgd`].
pub trait Rule: sealed::Sealed {}

impl<R: sealed::Sealed> Rule for R {}

pub(crate) mod sealed {
    pub trait Sealed {
        /// What the rest of the crate needs of a rule, or the first of its own rules that the values break.
        fn describe(&self) -> crate::Result<super::Description>;
    }
}

/// A rule as the plan sees it.
#[derive(Debug)]
pub struct Description {
    pub(crate) variant: Variant,
    /// In the order of [`Variant::hyperparameters`].
    pub(crate) hyperparameters: Vec<Hyperparameter>,
    /// What scales the learning rate by observed metrics.
    pub(crate) metric: Option<Metric>,
}

/// How weight decay enters. The names are those of `kernels/adam.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decay {
    None,
    Coupled,
    Decoupled,
}

/// Which way the objective goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Direction {
    Minimize,
    Maximize,
}

/// What is fixed when a kernel is compiled: one type of `kernels/`, one monomorph of `src/host/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Variant {
    Adam { decay: Decay, direction: Direction },
    Sgd { momentum: Momentum, decay: Decay, direction: Direction },
}

impl Variant {
    /// The names of the f32 state tensors, each as long as the parameter.
    pub fn states(self) -> &'static [&'static str] {
        match self {
            Variant::Adam { .. } => &adam::STATES,
            Variant::Sgd { momentum: Momentum::None, .. } => &[],
            Variant::Sgd { .. } => &sgd::STATES,
        }
    }

    /// Bytes read and written per f32 parameter.
    pub fn bytes_per_param(self) -> usize {
        match self {
            Variant::Adam { .. } => adam::BYTES_PER_PARAM,
            Variant::Sgd { momentum: Momentum::None, .. } => sgd::BYTES_PER_PARAM,
            Variant::Sgd { .. } => sgd::BYTES_PER_PARAM_WITH_MOMENTUM,
        }
    }

    /// The names of the leading values of a record, which are the hyperparameters themselves.
    pub fn hyperparameters(self) -> &'static [&'static str] {
        match self {
            Variant::Adam { .. } => &adam::HYPERPARAMETERS,
            Variant::Sgd { .. } => &sgd::HYPERPARAMETERS,
        }
    }

    /// Places of hyperparameters whose bias corrections are further inputs of [`Variant::resolve`].
    pub fn corrected(self) -> &'static [usize] {
        match self {
            Variant::Adam { .. } => &adam::CORRECTED,
            Variant::Sgd { .. } => &[],
        }
    }

    /// How many values a record of this rule has: the hyperparameters and what is derived from them.
    pub fn record_len(self) -> usize {
        match self {
            Variant::Adam { .. } => adam::record::LEN,
            Variant::Sgd { .. } => sgd::record::LEN,
        }
    }

    /// The record of a cohort that has had `updates` updates, from the values of the hyperparameters and their bias
    /// corrections after this update: the twin of `resolve` in `kernels/`.
    pub fn resolve(self, inputs: &[f64], updates: u64, record: &mut [f32]) {
        match self {
            Variant::Adam { .. } => adam::resolve(inputs, record),
            Variant::Sgd { .. } => sgd::resolve(inputs, updates, record),
        }
    }

    /// The type in `kernels/` that applies this variant.
    pub fn cuda_type(self) -> String {
        match self {
            Variant::Adam { decay, direction } => format!("Adam<{}, {}>", decay.cuda(), direction.cuda()),
            Variant::Sgd { momentum, decay, direction } => {
                format!("Sgd<{}, {}, {}>", momentum.cuda(), decay.cuda(), direction.cuda())
            }
        }
    }
}

impl Decay {
    fn cuda(self) -> &'static str {
        match self {
            Decay::None => "Decay::none",
            Decay::Coupled => "Decay::coupled",
            Decay::Decoupled => "Decay::decoupled",
        }
    }
}

impl Direction {
    fn cuda(self) -> &'static str {
        match self {
            Direction::Minimize => "Direction::minimize",
            Direction::Maximize => "Direction::maximize",
        }
    }
}

/// Whether `schedule` is written as the constant 0, so that its term can be left out of the kernel.
fn is_zero(schedule: &Schedule) -> bool {
    matches!(schedule.0, Form::Constant(Number::Literal(0.0)))
}
