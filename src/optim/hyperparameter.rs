//! Hyperparameters: which there are and the values that each may take, said once for whoever builds, edits or only looks.

use crate::error::{Error, Result};
use crate::program::{Bounds, Knobs, Program};
use crate::schedule::{Form, Schedule};

/// The values that a hyperparameter may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Range {
    NotNegative,
    BelowOne,
    /// A denominator of which it is the least must not be 0.
    PositiveInF32,
}

/// Every hyperparameter of every rule.
const RANGES: [(&str, Range); 7] = [
    ("lr", Range::NotNegative),
    ("weight_decay", Range::NotNegative),
    ("momentum", Range::BelowOne),
    ("dampening", Range::NotNegative),
    ("beta1", Range::BelowOne),
    ("beta2", Range::BelowOne),
    ("eps", Range::PositiveInF32),
];

/// A hyperparameter as a rule gives it: to be lowered when the optimizer is built, and anew when a knob is edited.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameter {
    name: &'static str,
    pub(crate) schedule: Schedule,
    range: Range,
}

impl Hyperparameter {
    /// `name` is one of [`RANGES`].
    pub(super) fn new(name: &'static str, schedule: &Schedule) -> Hyperparameter {
        let range = RANGES.iter().find(|(known, _)| *known == name).map(|(_, range)| *range);
        Hyperparameter { name, schedule: schedule.clone(), range: range.expect("every hyperparameter has a range") }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
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
