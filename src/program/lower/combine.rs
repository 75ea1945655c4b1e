//! Lowers what puts schedules together: sequences, other clocks, warm-up, repetition.

use super::{Before, Lowering, Part, Reach, clocked};
use crate::error::{Error, Result, number};
use crate::program::eval::{Clocks, Constants};
use crate::program::{Bounds, Clock, Node};
use crate::schedule::{Number, Schedule, Shape, Steps, Warmup};

const BELOW_END_OF_TIME: &str = "must leave all boundaries below 2^64";
/// No schedule reaches it: values are finite in f32.
const FAR_OFF: f64 = 1e60;

/// Pieces that were lowered in their order, and what is known of them together.
#[derive(Default)]
struct Sequence {
    pieces: Vec<(u64, Node)>,
    total: u64,
    bounds: Option<Bounds>,
}

impl Sequence {
    /// Adds a piece that takes `len` steps.
    fn push(&mut self, argument: &str, part: Part, len: u64) -> Result<()> {
        let total = self.total.checked_add(len);
        self.total = total.ok_or_else(|| Error::argument(argument, format!("of {len} steps"), BELOW_END_OF_TIME))?;
        // The values of a piece that takes no time never show.
        if len > 0 {
            self.widen(part.bounds);
        }
        self.pieces.push((len, part.node));
        Ok(())
    }

    /// What the next piece may start from; `first` is what the first one may.
    fn before(&self, lowering: &mut Lowering<'_>, first: Before) -> Before {
        match self.pieces.last() {
            None => first,
            Some((len, node)) => lowering.end_of(node, *len),
        }
    }

    fn widen(&mut self, bounds: Bounds) {
        self.bounds = Some(self.bounds.map_or(bounds, |all| all.union(bounds)));
    }

    /// The whole, with its last piece.
    fn end(mut self, lowering: &mut Lowering<'_>, argument: &str, last: Part) -> Result<Part> {
        self.widen(last.bounds);
        let len = match last.len {
            None => None,
            Some(len) => Some(self.total.checked_add(len).ok_or_else(|| {
                Error::argument(argument, format!("of {} + {len} steps", self.total), BELOW_END_OF_TIME)
            })?),
        };
        let node = self.pieces.into_iter().rev().fold(last.node, |next, (len, first)| {
            let boundary = lowering.count(len);
            Node::Then { boundary, first: Box::new(first), next: Box::new(next) }
        });
        Ok(Part { node, bounds: self.bounds.expect("at least the last piece"), len })
    }
}

impl Reach {
    /// What a clock that starts at `start` can reach.
    fn after(self, start: u64) -> Reach {
        Reach { from: self.from.saturating_sub(start), to: self.to.saturating_sub(start) }
    }

    /// What a clock that stops at `end` can reach.
    fn until(self, end: u64) -> Reach {
        Reach { from: self.from.min(end), to: self.to.min(end) }
    }
}

impl Lowering<'_> {
    pub fn over(&mut self, inner: &Schedule, steps: &Steps, reach: Reach) -> Result<Part> {
        let steps = self.steps("over.steps", steps)?;
        let inner = self.part(inner, reach.until(steps)).map_err(|e| e.within("over."))?;
        let clock = Clock::Until { end: self.count(steps) };
        Ok(clocked(clock, inner, Some(steps)))
    }

    /// The value that a piece of `len` steps ends with.
    fn end_of(&mut self, piece: &Node, len: u64) -> Before {
        if piece.sees_progress() {
            return Before::Unknown("the piece before is on the progress clock, so its end is not known ahead");
        }
        let end = Clocks { t: len, progress: 0 };
        let value = Constants(&self.constants).value(piece, end);
        // What a piece started from can change while the optimizer lives; its end must not change with it.
        let starts: Vec<_> = self.reached.iter().map(|at| (at.0 as usize, self.constants[at.0 as usize])).collect();
        for (place, _) in &starts {
            self.constants[*place] = FAR_OFF.to_bits();
        }
        let other = Constants(&self.constants).value(piece, end);
        for (place, bits) in starts {
            self.constants[place] = bits;
        }
        if value.to_bits() != other.to_bits() {
            return Before::Unknown("the piece before starts from the value reached too, and its end depends on that");
        }
        Before::Reaches(value)
    }

    pub fn then(&mut self, pieces: &[Schedule], reach: Reach, before: Before) -> Result<Part> {
        let (last, firsts) = pieces.split_last().expect("`then` has at least two pieces");
        let mut sequence = Sequence::default();
        for (i, piece) in firsts.iter().enumerate() {
            let path = format!("then[{i}]");
            self.before = sequence.before(self, before);
            // What the piece can reach is known only with its length, and a piece with an end stops there by itself.
            let part = self.part(piece, Reach { from: 0, to: reach.to }).map_err(|e| e.within(&format!("{path}.")))?;
            let Some(len) = part.len else {
                let rule = "must have one, as every piece but the last: give it one with `over`";
                return Err(Error::argument(path, "without an end", rule));
            };
            sequence.push(&path, part, len)?;
        }
        let path = format!("then[{}].", firsts.len());
        self.before = sequence.before(self, before);
        let end = self.part(last, reach.after(sequence.total)).map_err(|e| e.within(&path))?;
        sequence.end(self, "then", end)
    }

    pub fn join(&mut self, pieces: &[Schedule], boundaries: &[Steps], reach: Reach, before: Before) -> Result<Part> {
        if pieces.len() != boundaries.len() + 1 {
            let rule = format!("must be {} for {} boundaries", boundaries.len() + 1, boundaries.len());
            return Err(Error::argument("join.pieces", format!("a list of {}", pieces.len()), rule));
        }
        let (last, firsts) = pieces.split_last().expect("one piece more than boundaries");
        let mut sequence = Sequence::default();
        for (i, (piece, boundary)) in firsts.iter().zip(boundaries).enumerate() {
            let argument = format!("join.boundaries[{i}]");
            let boundary = self.steps(&argument, boundary)?;
            let len = boundary.checked_sub(sequence.total).ok_or_else(|| {
                Error::argument(
                    argument.clone(),
                    boundary,
                    format!("must not be below the one before, {}", sequence.total),
                )
            })?;
            let reach = reach.after(sequence.total).until(len.saturating_sub(1));
            self.before = sequence.before(self, before);
            let part = self.part(piece, reach).map_err(|e| e.within(&format!("join.pieces[{i}].")))?;
            sequence.push(&argument, part, len)?;
        }
        let path = format!("join.pieces[{}].", firsts.len());
        self.before = sequence.before(self, before);
        let end = self.part(last, reach.after(sequence.total)).map_err(|e| e.within(&path))?;
        sequence.end(self, "join", end)
    }

    pub fn delay(&mut self, inner: &Schedule, steps: &Steps, reach: Reach) -> Result<Part> {
        let steps = self.steps("delay.steps", steps)?;
        let inner = self.part(inner, reach.after(steps)).map_err(|e| e.within("delay."))?;
        let len = match inner.len {
            None => None,
            Some(len) => {
                Some(len.checked_add(steps).ok_or_else(|| Error::argument("delay.steps", steps, BELOW_END_OF_TIME))?)
            }
        };
        let clock = Clock::After { start: self.count(steps) };
        Ok(clocked(clock, inner, len))
    }

    pub fn every(&mut self, inner: &Schedule, steps: &Steps, reach: Reach) -> Result<Part> {
        let every = self.steps("every.steps", steps)?;
        if every == 0 {
            return Err(Error::argument("every.steps", every, "must be at least 1"));
        }
        let reach = Reach { from: reach.from / every, to: reach.to / every };
        let inner = self.part(inner, reach).map_err(|e| e.within("every."))?;
        let len = match inner.len {
            None => None,
            Some(len) => {
                Some(len.checked_mul(every).ok_or_else(|| Error::argument("every.steps", every, BELOW_END_OF_TIME))?)
            }
        };
        let clock = Clock::Every { every: self.count(every) };
        Ok(clocked(clock, inner, len))
    }

    /// The peers' warm-up conventions as ramps; see [`Warmup`] for what each means.
    pub fn warmup(&mut self, inner: &Schedule, form: Warmup, steps: &Steps, reach: Reach) -> Result<Part> {
        let n = self.steps("warmup.steps", steps)?;
        let after = self.part(inner, Reach { from: 0, ..reach.after(n) }).map_err(|e| e.within("warmup."))?;
        let start = Clocks { t: 0, progress: 0 };
        let peak = Constants(&self.constants).value(&after.node, start);
        let ramp = |lowering: &mut Self, from: f64, over: u64| {
            lowering.ramp(&Shape::Linear, &Number::Literal(from), &Number::Literal(peak), &over.into(), Before::Nothing)
        };
        let (share, mut sequence) = (n.max(1) as f64, Sequence::default());
        match form {
            Warmup::FromZero => {
                let ramp = ramp(self, 0.0, n)?;
                sequence.push("warmup.steps", ramp, n)?;
            }
            Warmup::FromFirst => {
                let ramp = ramp(self, peak / share, n.saturating_sub(1))?;
                sequence.push("warmup.steps", ramp, n)?;
            }
            Warmup::Between => {
                let ramp = ramp(self, peak / (n as f64 + 1.0), n)?;
                sequence.push("warmup.steps", ramp, n)?;
            }
            Warmup::ZeroTwice => {
                let zero = self.constant(0.0);
                sequence.push("warmup.steps", zero, u64::from(n > 0))?;
                let ramp = ramp(self, 0.0, n)?;
                sequence.push("warmup.steps", ramp, n)?;
            }
        }
        sequence.end(self, "warmup.steps", after)
    }

    pub fn clamp(&mut self, inner: &Schedule, min: &Number, max: &Number, reach: Reach) -> Result<Part> {
        let (min, max) = (self.number("clamp.min", min)?, self.number("clamp.max", max)?);
        if min > max {
            return Err(Error::argument("clamp.min", number(min), format!("must not exceed max, {}", number(max))));
        }
        let inner = self.part(inner, reach).map_err(|e| e.within("clamp."))?;
        let node = Node::Clamp { min: self.real(min), max: self.real(max), inner: Box::new(inner.node) };
        Ok(Part { node, bounds: inner.bounds.clamp(min, max), len: inner.len })
    }

    pub fn repeat(&mut self, inner: &Schedule, times: Option<u64>, reach: Reach) -> Result<Part> {
        let inner = self.part(inner, Reach { from: 0, to: reach.to }).map_err(|e| e.within("repeat."))?;
        let period = match inner.len {
            None => {
                let rule = "must have one, to begin again there: give it one with `over`";
                return Err(Error::argument("repeat", "of a schedule without an end", rule));
            }
            Some(0) => return Err(Error::argument("repeat", "of 0 steps", "must be of at least 1")),
            Some(period) => period,
        };
        let len = match times {
            None => None,
            Some(0) => return Err(Error::argument("repeat.times", 0, "must be at least 1")),
            Some(times) => Some(period.checked_mul(times).ok_or_else(|| {
                Error::argument("repeat.times", times, format!("must stay below 2^64 with {period} steps each time"))
            })?),
        };
        // Without an end it goes on at the last step that there is, too.
        let last = len.map_or(u64::MAX, |len| len - 1);
        let clock = Clock::Cycle { period: self.count(period), last: self.count(last) };
        Ok(clocked(clock, inner, len))
    }
}
