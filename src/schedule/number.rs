//! The constants of a schedule: plain numbers, or named ones that can be edited while the optimizer lives.

/// A real constant of a schedule: a number, or a [`knob`].
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

/// A count of steps in a schedule: a number, or a [`knob_steps`].
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

impl From<f64> for Number {
    fn from(value: f64) -> Number {
        Number::Literal(value)
    }
}

impl From<f32> for Number {
    fn from(value: f32) -> Number {
        Number::Literal(value.into())
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Number {
        Number::Literal(value.into())
    }
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
