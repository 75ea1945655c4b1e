//! From the language to the operations: the only place where a schedule's rules are checked.
//!
//! Every part is lowered with the steps that its clock can reach, because what is finite over 100 steps may be infinite
//! over 2^64. `curves` lowers what makes values, `combine` what puts schedules together, `expression` the operators.
//! A structure never depends on a knob's value, so that an edit changes constants alone.

mod combine;
mod curves;
mod expression;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::iter::repeat;

use super::{Bounds, Clock, Count, Knob, Knobs, Node, Program, Real};
use crate::error::{Error, Result, number};
use crate::schedule::{Form, MAX_TABLE, Number, Schedule, StepList, Steps};

/// The deepest nesting and the largest number of operations that a schedule may have: bounds the emitted text.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 4_096;
/// The most constants of one schedule in tables and lists: the largest table, with a step and a value each, takes all.
const MAX_LISTED: usize = 2 * MAX_TABLE;

/// What an error calls [`Number::Reached`].
const REACHED: &str = "the value reached";
/// What an error calls a schedule as a whole, until its name is known.
pub(crate) const WHOLE: &str = "schedule";

/// A lowered part: its operation, the interval of its values, and its length in steps if it has an end.
struct Part {
    node: Node,
    bounds: Bounds,
    len: Option<u64>,
}

/// The steps that a clock can reach, both ends included.
#[derive(Debug, Clone, Copy)]
struct Reach {
    from: u64,
    to: u64,
}

const ALL: Reach = Reach { from: 0, to: u64::MAX };

pub(super) fn lower(schedule: &Schedule, knobs: &mut Knobs) -> Result<Program> {
    let mut lowering = Lowering {
        constants: Vec::new(),
        listed_constants: 0,
        nodes: 0,
        depth: 0,
        too_large: None,
        before: Before::Nothing,
        reached: Vec::new(),
        used: BTreeSet::new(),
        listed: BTreeSet::new(),
        knobs,
    };
    let part = match lowering.part(schedule, ALL) {
        Ok(part) => part,
        Err(error) => return Err(lowering.too_large.unwrap_or(error)),
    };
    if !part.bounds.fits_f32() {
        let rule = "must be finite in f32 at every step";
        let rule = lowering.with_cure(rule, schedule, ALL.from, Bounds::fits_f32);
        return Err(Error::argument(WHOLE, part.bounds, rule));
    }
    Ok(Program {
        root: part.node,
        constants: lowering.constants,
        bounds: part.bounds,
        len: part.len,
        reached: lowering.reached,
        knobs: lowering.used,
        listed: lowering.listed,
    })
}

/// What is known of the piece before the one that is lowered next.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    /// The value that it ends with.
    Reaches(f64),
    /// Its end is not known before it comes, and why.
    Unknown(&'static str),
}

struct Lowering<'k> {
    constants: Vec<u64>,
    /// How many of them stand in tables and lists. The others are a few for each operation.
    listed_constants: usize,
    nodes: usize,
    depth: usize,
    /// Why it was given up, wherever in the schedule that was.
    too_large: Option<Error>,
    before: Before,
    /// Places of first values that are [`Number::Reached`].
    reached: Vec<Real>,
    /// The names of all knobs seen.
    used: BTreeSet<String>,
    /// Of those in lists of steps.
    listed: BTreeSet<String>,
    knobs: &'k mut Knobs,
}

impl Lowering<'_> {
    fn part(&mut self, schedule: &Schedule, reach: Reach) -> Result<Part> {
        self.nodes += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let rule = format!("must nest at most {MAX_DEPTH} levels");
            return Err(self.refuse(format!("nested more than {MAX_DEPTH} levels deep"), rule));
        }
        if self.nodes > MAX_NODES {
            let rule = format!("must have at most {MAX_NODES}");
            return Err(self.refuse(format!("made of more than {MAX_NODES} parts"), rule));
        }
        // Only a ramp starts from it, and the first piece of a sequence inside a sequence.
        let before = std::mem::replace(&mut self.before, Before::Nothing);
        let part = match &schedule.0 {
            Form::Constant(value) => {
                let value = self.number("constant", value)?;
                Ok(self.constant(value))
            }
            Form::Ramp { shape, from, to, over } => self.ramp(shape, from, to, over, before),
            Form::Exponential { init, factor } => self.exponential("exponential_decay", init, factor, reach),
            Form::StepDecay { init, factor, every } => self.step_decay(init, factor, every, reach),
            Form::MultiStep { init, factor, milestones } => self.multi_step(init, factor, milestones),
            Form::InverseSqrt { init, timescale } => self.inverse_sqrt(init, timescale),
            Form::InverseTime { init, rate } => self.inverse_time(init, rate),
            Form::PowerLaw { factor, exponent, shift } => self.power_law(factor, exponent, shift, reach),
            Form::Piecewise { between, steps, values } => self.piecewise(*between, steps, values),
            Form::Over { inner, steps } => self.over(inner, steps, reach),
            Form::Then(pieces) => self.then(pieces, reach, before),
            Form::Join { pieces, boundaries } => self.join(pieces, boundaries, reach, before),
            Form::Delay { inner, steps } => self.delay(inner, steps, reach),
            Form::Every { inner, steps } => self.every(inner, steps, reach),
            Form::Warmup { inner, form, steps } => self.warmup(inner, *form, steps, reach),
            Form::Clamp { inner, min, max } => self.clamp(inner, min, max, reach),
            Form::Repeat { inner, times } => self.repeat(inner, *times, reach),
            Form::Progress(inner) => {
                let inner = self.part(inner, ALL).map_err(|e| e.within("on_progress."))?;
                Ok(clocked(Clock::Progress, inner, None))
            }
            Form::Step => {
                let bounds = Bounds { min: reach.from as f64, max: reach.to as f64 };
                Ok(Part { node: Node::Step, bounds, len: None })
            }
            Form::Unary { op, of } => self.unary(*op, of, reach),
            Form::PowInt { base, exponent } => self.pow_int(base, *exponent, reach),
            Form::Binary { op, left, right } => self.binary(*op, left, right, reach),
            Form::Select { condition, then, otherwise } => self.select(condition, then, otherwise, reach),
        };
        self.depth -= 1;
        part
    }

    /// The value of a number, which must be finite in f32.
    fn number(&mut self, argument: &str, given: &Number) -> Result<f64> {
        let value = match given {
            Number::Literal(value) => *value,
            Number::Knob { name, value } => match self.declare(name, Knob::Real(expect_finite(argument, *value)?))? {
                Knob::Real(value) => value,
                Knob::Count(steps) => return Err(Error::argument(argument, steps, "is a count of steps elsewhere")),
            },
            Number::Reached => {
                let rule =
                    "must be a number: only a ramp that follows another piece of `then` or `join` may start from it";
                return Err(Error::argument(argument, REACHED, rule));
            }
        };
        expect_finite(argument, value)
    }

    /// The error of a schedule that is too large.
    fn refuse(&mut self, value: String, rule: String) -> Error {
        let error = Error::argument(WHOLE, value, rule);
        self.too_large = Some(error.clone());
        error
    }

    fn declare(&mut self, name: &str, default: Knob) -> Result<Knob> {
        self.used.insert(name.to_owned());
        self.knobs.declare(name, default)
    }

    /// [`Lowering::number`] above 0.
    fn positive(&mut self, argument: &str, given: &Number) -> Result<f64> {
        let value = self.number(argument, given)?;
        if value > 0.0 { Ok(value) } else { Err(Error::argument(argument, number(value), "must be above 0")) }
    }

    /// The value of a count of steps.
    fn steps(&mut self, argument: &str, steps: &Steps) -> Result<u64> {
        match steps {
            Steps::Literal(value) => u64::try_from(*value)
                .map_err(|_| Error::argument(argument, value, "must be a count of steps, from 0 to 2^64 - 1")),
            Steps::Knob { name, value } => match self.declare(name, Knob::Count(*value))? {
                Knob::Count(value) => Ok(value),
                Knob::Real(value) => {
                    Err(Error::argument(argument, number(value), "is a number elsewhere, and no count of steps"))
                }
            },
            Steps::Sum(parts) => {
                let (plus, minus) = &**parts;
                let mut rest = 0i128;
                for (steps, sign) in plus.iter().zip(repeat(1)).chain(minus.iter().zip(repeat(-1))) {
                    rest = rest.saturating_add(sign * i128::from(self.steps(argument, steps)?));
                }
                self.steps(argument, &Steps::Literal(rest))
            }
        }
    }

    /// The values of steps in a list, which must be in rising order.
    fn rising(&mut self, argument: &str, list: &StepList) -> Result<Vec<u64>> {
        let mut steps = Vec::with_capacity(list.len());
        for (i, step) in list.iter().enumerate() {
            self.listed.extend(step.knobs().into_iter().map(str::to_owned));
            // The path is made for an error alone: a table may have a million steps.
            steps.push(self.steps("", &step).map_err(|e| e.renamed("", &format!("{argument}[{i}]")))?);
        }
        expect_rising(argument, &steps)?;
        Ok(steps)
    }

    fn real(&mut self, value: f64) -> Real {
        self.constants.push(value.to_bits());
        Real(self.constants.len() as u32 - 1)
    }

    fn count(&mut self, value: u64) -> Count {
        self.constants.push(value);
        Count(self.constants.len() as u32 - 1)
    }

    /// Puts a list into the table of constants, and says where it begins. Nothing is put there before it is known to fit.
    fn list(&mut self, argument: &str, list: impl ExactSizeIterator<Item = u64>) -> Result<u32> {
        self.listed_constants = self.listed_constants.saturating_add(list.len());
        if self.listed_constants > MAX_LISTED {
            let rule = format!("all tables of one schedule have at most {MAX_LISTED} steps and values together");
            return Err(Error::argument(argument, format!("{} long", list.len()), rule));
        }
        let first = self.constants.len() as u32;
        self.constants.extend(list);
        Ok(first)
    }

    fn constant(&mut self, value: f64) -> Part {
        Part { node: Node::Constant(self.real(value)), bounds: Bounds::point(value), len: None }
    }
}

fn clocked(clock: Clock, inner: Part, len: Option<u64>) -> Part {
    Part { node: Node::Clocked { clock, inner: Box::new(inner.node) }, bounds: inner.bounds, len }
}

/// A number is finite in f32.
fn expect_finite(argument: &str, value: f64) -> Result<f64> {
    if value.is_finite() && value.abs() <= f64::from(f32::MAX) {
        return Ok(value);
    }
    Err(Error::argument(argument, number(value), "must be finite in f32, into which every value is rounded"))
}

/// Steps are in rising order, each above the one before.
fn expect_rising(argument: &str, steps: &[u64]) -> Result<()> {
    match steps.windows(2).position(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(i) => {
            let rule = format!("must exceed the one before, {}", steps[i]);
            Err(Error::argument(format!("{argument}[{}]", i + 1), steps[i + 1], rule))
        }
    }
}
