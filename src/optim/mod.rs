//! Update rules: hyperparameters, what may be asked of them, state, bytes per parameter. One file per rule; the
//! arithmetic is in `kernels/` and, bit for bit the same, in `src/host/`. Knows schedules, no tensors and no device.

mod adam;
mod sgd;

pub(crate) use adam::record as adam_record;
pub use adam::{Adam, AdamRule, AdamW, Coupled, DecayForm, Decoupled};
pub(crate) use sgd::record as sgd_record;
pub use sgd::{Momentum, Sgd};

use crate::error::{Error, Result};
use crate::program::{Bounds, Knobs, Program};
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

/// A hyperparameter as a rule gives it: to be lowered when the optimizer is built, and anew when a knob is edited.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameter {
    name: &'static str,
    pub(crate) schedule: Schedule,
    range: Range,
}

impl Hyperparameter {
    fn new(name: &'static str, schedule: &Schedule, range: Range) -> Hyperparameter {
        Hyperparameter { name, schedule: schedule.clone(), range }
    }

    /// Lowers the schedule with the values of `knobs` and checks that all of its values lie in the range.
    pub(crate) fn lower(&self, knobs: &mut Knobs) -> Result<Program> {
        let name = self.name;
        let program = Program::with_knobs(&self.schedule, knobs).map_err(|e| match &self.schedule.0 {
            // The hyperparameter itself is what the user calls a plain number.
            Form::Constant(_) => e.renamed("constant", name),
            _ => e.within(&format!("{name}.")),
        })?;
        let Bounds { min, max } = program.bounds;
        let (holds, rule) = match self.range {
            Range::NotNegative => (min >= 0.0, "must not be negative at any step"),
            Range::BelowOne => (min >= 0.0 && max < 1.0, "must lie in [0, 1) at every step"),
            Range::PositiveInF32 => {
                (min as f32 > 0.0 && (max as f32).is_finite(), "must be above 0 and finite in f32 at every step")
            }
        };
        if holds {
            return Ok(program);
        }
        let value = if min == max { min.to_string() } else { format!("{min} to {max}") };
        Err(Error::argument(name, value, rule))
    }
}

/// The values that a hyperparameter may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    NotNegative,
    BelowOne,
    /// A denominator of which it is the least must not be 0.
    PositiveInF32,
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
