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
mod chain;
mod curves;
pub(crate) mod emit;
mod eval;
mod knobs;
mod ln;
mod lower;
pub(crate) mod math;
#[cfg(feature = "serde")]
pub(crate) mod names;

pub(crate) use bounds::Bounds;
pub(crate) use eval::{Clocks, Constants};
pub(crate) use knobs::{Knob, Knobs};
pub(crate) use lower::WHOLE;

use std::collections::BTreeSet;

use crate::error::{Error, Result};
use crate::schedule::{Between, Binary, Schedule, Unary};

/// A checked schedule: structure, constants, and what is known of its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Program {
    pub root: Node,
    /// The bits of f64 values and u64 counts, addressed by [`Real`] and [`Count`].
    pub constants: Vec<u64>,
    /// The interval that every value lies in.
    pub bounds: Bounds,
    /// The length in steps, if there is an end.
    pub len: Option<u64>,
    /// First values of ramps that are the value reached, so that an edit may replace them.
    pub reached: Vec<Real>,
    /// The names of the knobs in it.
    pub knobs: BTreeSet<String>,
    /// Those of them that stand in lists of steps.
    pub listed: BTreeSet<String>,
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
    /// The clock itself.
    Step,
    /// `from` at 0, `to` at `len` and after.
    Ramp {
        curve: Curve,
        from: Real,
        to: Real,
        len: Count,
    },
    /// `init · exp(t · (ln_hi + ln_lo))`.
    Exponential {
        init: Real,
        ln_hi: Real,
        ln_lo: Real,
    },
    InverseSqrt {
        init: Real,
        timescale: Real,
    },
    InverseTime {
        init: Real,
        rate: Real,
    },
    PowerLaw {
        factor: Real,
        exponent: Real,
        shift: Real,
    },
    /// Values at `len` steps; one value more if they are constant between.
    Piecewise {
        between: Between,
        steps: Count,
        values: Real,
        len: u32,
    },
    /// `first` below `boundary`, else `next` on the clock `t - boundary`.
    Then {
        boundary: Count,
        first: Box<Node>,
        next: Box<Node>,
    },
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
    Unary {
        op: Unary,
        of: Box<Node>,
    },
    PowInt {
        base: Box<Node>,
        exponent: i32,
    },
    Binary {
        op: Binary,
        left: Box<Node>,
        right: Box<Node>,
    },
    /// `then` where `condition` is not 0, else `otherwise`.
    Select {
        condition: Box<Node>,
        then: Box<Node>,
        otherwise: Box<Node>,
    },
}

/// How a ramp gets from its first value to its last, with the parameters of its curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Curve {
    Linear,
    Cosine,
    CosinePower { exponent: Real, k: Real },
    Polynomial { power: Real },
    PolynomialK { power: Real, k: Real },
    PowerRise { power: Real },
    Geometric { ln_ratio: Real },
    Tanh { start: Real, end: Real },
    Rex { d: Real },
    HalfLife,
    LogRise,
}

/// An operation that makes a clock from the clock `t`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Clock {
    /// `min(t, end)`.
    Until { end: Count },
    /// `max(t - start, 0)`.
    After { start: Count },
    /// `⌊t / every⌋`.
    Every { every: Count },
    /// How many of the `len` counts from `first` on, none below the one before it, are at most `t`.
    Passed { first: Count, len: u32 },
    /// `t mod period` up to `last`, `period` after it.
    Cycle { period: Count, last: Count },
    /// The progress clock, whatever `t` is.
    Progress,
}

impl Program {
    /// Lowers and checks `schedule`. Errors name the part of the schedule that breaks a rule, e.g. `then[1].linear.to`.
    pub fn new(schedule: &Schedule) -> Result<Program> {
        Program::with_knobs(schedule, &mut Knobs::default())
    }

    /// [`Program::new`] with the values of knobs taken from `knobs`, into which new ones are put.
    pub fn with_knobs(schedule: &Schedule, knobs: &mut Knobs) -> Result<Program> {
        lower::lower(schedule, knobs)
    }

    /// The value at `step`, which the lowering knows to be finite, but for roundings that it does not follow.
    fn finite(&self, step: u64) -> Result<f64> {
        let value = self.eval(Clocks { t: step, progress: step });
        if value.is_finite() {
            return Ok(value);
        }
        Err(Error::argument(format!("the value at step {step}"), value, "must be finite"))
    }
}

/// The most values of one trace: what asks for more is a slip of the pen.
const MAX_TRACE: usize = 1 << 24;

impl Schedule {
    /// The value for update `step`, in f64. The device computes the same bits. Errors as when an optimizer is built.
    ///
    /// A part that is [`on_progress`](Schedule::on_progress) sees a progress clock that advances by 1 with each step.
    pub fn at(&self, step: u64) -> Result<f64> {
        Program::new(self)?.finite(step)
    }

    /// The values for `steps`, of which there are at most 2^24, in f64; checks the schedule once.
    pub fn trace(&self, steps: impl IntoIterator<Item = u64>) -> Result<Vec<f64>> {
        let program = Program::new(self)?;
        let steps = steps.into_iter();
        let expected = steps.size_hint().0;
        let too_many = |count: usize| {
            let rule = format!("must be at most {MAX_TRACE} at a time; trace the rest with another call");
            Err(Error::argument("steps", format!("{count} steps long or longer"), rule))
        };
        if expected > MAX_TRACE {
            return too_many(expected);
        }
        let mut values = Vec::with_capacity(expected);
        for step in steps {
            if values.len() == MAX_TRACE {
                return too_many(MAX_TRACE + 1);
            }
            values.push(program.finite(step)?);
        }
        Ok(values)
    }

    /// The length in steps, or None if the schedule has no end.
    pub fn len(&self) -> Result<Option<u64>> {
        Ok(Program::new(self)?.len)
    }
}
