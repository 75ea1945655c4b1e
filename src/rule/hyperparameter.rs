//! Hyperparameters and the values that each may take, said once for whoever builds, edits or only looks.

use std::borrow::Cow;

use crate::error::{Error, Result};
use crate::program::{Bounds, Knobs, Program, WHOLE};
use crate::schedule::{Form, Schedule};

/// The values that a hyperparameter may take, at every step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Range {
    /// Any finite number.
    Any,
    /// 0 or more.
    NotNegative,
    /// In [0, 1).
    BelowOne,
    /// In [0, 1].
    UpToOne,
    /// Above 0 and finite after rounding to f32: a denominator of which it is the least must not be 0.
    Positive,
}

impl Range {
    pub(crate) const ALL: [Range; 5] =
        [Range::Any, Range::NotNegative, Range::BelowOne, Range::UpToOne, Range::Positive];

    /// As the text of a tape has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Range::Any => "any",
            Range::NotNegative => "not_negative",
            Range::BelowOne => "below_one",
            Range::UpToOne => "up_to_one",
            Range::Positive => "positive",
        }
    }

    /// Whether all of `bounds` lies in it, and the rule.
    fn holds(self, Bounds { min, max }: Bounds) -> (bool, &'static str) {
        match self {
            Range::Any => (min.is_finite() && max.is_finite(), "must be finite at every step"),
            Range::NotNegative => (min >= 0.0, "must not be negative at any step"),
            Range::BelowOne => (min >= 0.0 && max < 1.0, "must lie in [0, 1) at every step"),
            Range::UpToOne => (min >= 0.0 && max <= 1.0, "must lie in [0, 1] at every step"),
            Range::Positive => {
                (min as f32 > 0.0 && (max as f32).is_finite(), "must be above 0 and finite in f32 at every step")
            }
        }
    }
}

/// A hyperparameter of a rule, with its schedule.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "give it back from `Rule::hyperparameters`"]
pub struct Hyperparameter {
    name: Cow<'static, str>,
    pub(crate) schedule: Schedule,
    pub(crate) range: Range,
    pub(crate) default: Option<f64>,
}

impl Hyperparameter {
    /// The hyperparameter `name` with its schedule, whose values must lie in `range`. A name has letters, digits and underscores.
    pub fn new(name: impl Into<Cow<'static, str>>, schedule: &Schedule, range: Range) -> Hyperparameter {
        Hyperparameter { name: name.into(), schedule: schedule.clone(), range, default: None }
    }

    /// Sets what a configuration that does not mention it means. Without a default it must.
    pub fn default(mut self, value: f64) -> Hyperparameter {
        self.default = Some(value);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Lowers the schedule with the values of `knobs` and checks that all of its values lie in the range.
    pub(crate) fn lower(&self, knobs: &mut Knobs) -> Result<Program> {
        let name = self.name();
        let program = Program::with_knobs(&self.schedule, knobs).map_err(|e| match (&self.schedule.0, &e) {
            // The hyperparameter itself is what the user calls a plain number.
            (Form::Constant(_), _) => e.renamed("constant", name),
            (_, Error::Argument { argument, .. }) if argument == WHOLE => e.renamed(WHOLE, name),
            _ => e.within(&format!("{name}.")),
        })?;
        let (holds, rule) = self.range.holds(program.bounds);
        match holds {
            true => Ok(program),
            false => Err(Error::argument(name, program.bounds, rule)),
        }
    }
}
