//! The constants of a schedule: plain numbers, or named ones that can be edited while the optimizer lives.

use std::ops::{Add, Sub};

/// A real constant of a schedule: a number, or a [`knob`]. Made from f64, from f32 (exactly what that is), and from integers, those above
/// 2^53 rounded.
#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    /// Fixed when the optimizer is built.
    Literal(f64),
    /// Named: its value can be edited later.
    Knob {
        /// The name by which it is edited. Equal names of one optimizer are one knob.
        name: String,
        /// Its value until it is edited.
        value: f64,
    },
    /// The value that the piece before ends with: see [`reached`].
    Reached,
}

/// A count of steps in a schedule: a number, a [`knob_steps`], or sums and differences of these.
///
/// ```
/// use instep::{Schedule, knob_steps};
/// let (warmup, total) = (knob_steps("warmup_steps", 100), knob_steps("total_steps", 1_000));
/// let lr = Schedule::cosine(3e-4, 0.0).over(total - warmup.clone()).warmup(warmup);
/// assert_eq!((lr.at(100)?, lr.at(1_000)?), (3e-4, 0.0));
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Steps {
    /// Fixed when the optimizer is built. Negative counts are refused then.
    Literal(i128),
    /// Named: its value can be edited later.
    Knob {
        /// The name by which it is edited. Equal names of one optimizer are one knob.
        name: String,
        /// Its value until it is edited.
        value: u64,
    },
    /// What is left of the first counts after the others, with the values that knobs have: of `+` and `-`. A negative rest is refused.
    Sum(Box<(Vec<Steps>, Vec<Steps>)>),
}

/// A real constant with a name, which can be edited while the optimizer lives, between replays of a captured graph too.
pub fn knob(name: impl Into<String>, value: f64) -> Number {
    Number::Knob { name: name.into(), value }
}

/// The value that the piece before ends with, for the first value of a ramp that follows another piece of
/// [`Schedule::then`](crate::Schedule::then) or [`Schedule::join`](crate::Schedule::join). Any other place is refused when
/// the schedule is checked, and so is [`Schedule::exponential`](crate::Schedule::exponential), which needs the number itself.
///
/// ```
/// use instep::{Schedule, knob_steps, reached};
/// let stable = Schedule::constant(3e-4).over(knob_steps("stable_steps", 10_000));
/// let lr = stable.then(Schedule::linear(reached(), 0.0).over(1_000));
/// assert_eq!(lr.at(10_500)?, 1.5e-4);
/// # Ok::<(), instep::Error>(())
/// ```
pub fn reached() -> Number {
    Number::Reached
}

/// A count of steps with a name, which can be edited while the optimizer lives.
pub fn knob_steps(name: impl Into<String>, value: u64) -> Steps {
    Steps::Knob { name: name.into(), value }
}

impl From<u64> for Steps {
    fn from(value: u64) -> Steps {
        Steps::Literal(value.into())
    }
}

impl From<u32> for Steps {
    fn from(value: u32) -> Steps {
        Steps::Literal(value.into())
    }
}

impl From<usize> for Steps {
    fn from(value: usize) -> Steps {
        Steps::Literal(value as i128)
    }
}

impl From<i32> for Steps {
    fn from(value: i32) -> Steps {
        Steps::Literal(value.into())
    }
}

impl From<i64> for Steps {
    fn from(value: i64) -> Steps {
        Steps::Literal(value.into())
    }
}

impl Steps {
    /// What it adds and what it subtracts.
    fn parts(self) -> (Vec<Steps>, Vec<Steps>) {
        match self {
            Steps::Sum(parts) => *parts,
            other => (vec![other], Vec::new()),
        }
    }

    /// The knobs in it.
    pub(crate) fn knobs(&self) -> Vec<&str> {
        match self {
            Steps::Literal(_) => Vec::new(),
            Steps::Knob { name, .. } => vec![name],
            Steps::Sum(parts) => parts.0.iter().chain(&parts.1).flat_map(Steps::knobs).collect(),
        }
    }

    /// A text of it: of what it adds and subtracts, by `word`.
    pub(super) fn text(&self, word: &dyn Fn(&Steps) -> String) -> String {
        let Steps::Sum(parts) = self else { return word(self) };
        let (plus, minus) = &**parts;
        let texts = |steps: &[Steps]| steps.iter().map(|part| part.text(word)).collect::<Vec<_>>();
        let plus = if plus.is_empty() { vec!["0".to_owned()] } else { texts(plus) };
        [vec![plus.join(" + ")], texts(minus)].concat().join(" - ")
    }
}

impl<S: Into<Steps>> Add<S> for Steps {
    type Output = Steps;

    fn add(self, right: S) -> Steps {
        match (self, right.into()) {
            (Steps::Literal(left), Steps::Literal(right)) => Steps::Literal(left.saturating_add(right)),
            (left, right) => {
                let ((plus, minus), (more, less)) = (left.parts(), right.parts());
                Steps::Sum(Box::new(([plus, more].concat(), [minus, less].concat())))
            }
        }
    }
}

impl<S: Into<Steps>> Sub<S> for Steps {
    type Output = Steps;

    fn sub(self, right: S) -> Steps {
        match (self, right.into()) {
            (Steps::Literal(left), Steps::Literal(right)) => Steps::Literal(left.saturating_sub(right)),
            (left, right) => {
                let ((plus, minus), (more, less)) = (left.parts(), right.parts());
                Steps::Sum(Box::new(([plus, less].concat(), [minus, more].concat())))
            }
        }
    }
}
