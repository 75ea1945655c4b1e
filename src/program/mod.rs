//! The waist: a [`Program`] is a schedule whose every rule was checked.
//!
//! Here live the operations ([`Node`], [`Clock`]), their lowering from the language (`lower`), their meaning on the host
//! (`eval`) and their CUDA text (`emit`). `eval` and `emit` match exhaustively: an operation that one of them does not
//! know does not compile. What may not live here: anything that knows an optimizer or a device. Start at
//! [`Program::new`].
//!
//! A program is a *structure* and a table of *constants*. Programs of one structure share their CUDA text, so that 64
//! groups that differ in their peak rate are one function run by 64 lanes, and a changed constant recompiles nothing.

mod bounds;
pub(crate) mod curves;
pub(crate) mod emit;
mod eval;
mod ln;
mod lower;

pub(crate) use bounds::Bounds;
pub(crate) use eval::Constants;

use crate::error::Result;
use crate::schedule::Schedule;

/// A checked schedule: structure, constants, and what is known of its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Program {
    pub root: Node,
    /// The bits of f64 values and u64 counts, addressed by [`Real`] and [`Count`].
    pub constants: Vec<u64>,
    /// The interval that every value lies in.
    pub bounds: Bounds,
}

/// The place of an f64 in the table of constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Real(pub u32);

/// The place of a u64 in the table of constants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Count(pub u32);

/// An operation that yields a value from the clock `t`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Constant(Real),
    /// `from` at 0, `to` at `len` and after.
    Linear {
        from: Real,
        to: Real,
        len: Count,
    },
    Cosine {
        from: Real,
        to: Real,
        len: Count,
    },
    Polynomial {
        from: Real,
        to: Real,
        len: Count,
        power: Real,
    },
    /// `ln_ratio` is ln(to / from).
    Geometric {
        from: Real,
        to: Real,
        len: Count,
        ln_ratio: Real,
    },
    /// `init · exp(t · (ln_hi + ln_lo))`.
    Exponential {
        init: Real,
        ln_hi: Real,
        ln_lo: Real,
    },
    /// `first` below `boundary`, else `next` on the clock `t - boundary`.
    Then {
        boundary: Count,
        first: Box<Node>,
        next: Box<Node>,
    },
    Product(Box<Node>, Box<Node>),
    Clamp {
        min: Real,
        max: Real,
        inner: Box<Node>,
    },
    /// `inner` on another clock.
    Clocked {
        clock: Clock,
        inner: Box<Node>,
    },
}

/// An operation that makes a clock from the clock `t`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Clock {
    /// `min(t, end)`.
    Until { end: Count },
    /// `⌊t / every⌋`.
    Every { every: Count },
    /// How many of the `len` counts from `first` on are at most `t`.
    Passed { first: Count, len: u32 },
    /// `t mod period` below `end`, `period` from there on.
    Cycle { period: Count, end: Count },
}

impl Program {
    /// Lowers and checks `schedule`. Errors name the part of the schedule that breaks a rule, e.g. `then[1].linear.to`.
    pub fn new(schedule: &Schedule) -> Result<Program> {
        lower::lower(schedule)
    }
}

impl Schedule {
    /// The value for update `step`, in f64. The device computes the same bits. Errors as when an optimizer is built.
    pub fn at(&self, step: u64) -> Result<f64> {
        Ok(Program::new(self)?.eval(step))
    }

    /// The values for `steps`, in f64; checks the schedule once.
    pub fn trace(&self, steps: impl IntoIterator<Item = u64>) -> Result<Vec<f64>> {
        let program = Program::new(self)?;
        Ok(steps.into_iter().map(|step| program.eval(step)).collect())
    }
}
