//! From the language to the operations: the only place where a schedule's rules are checked.
//!
//! Every part is lowered with the number of steps that its clock can reach (`None`: any), because what is finite over
//! 100 steps may be infinite over 2^64.

use super::eval::Constants;
use super::ln::ln_pair;
use super::{Bounds, Clock, Count, Node, Program, Real, curves};
use crate::error::{Error, Result};
use crate::schedule::{Form, Milestones, Schedule, Shape, Warmup};

/// The deepest nesting and the largest number of operations that a schedule may have: bounds the emitted text.
const MAX_DEPTH: usize = 32;
const MAX_NODES: usize = 4_096;

/// A lowered part: its operation, the interval of its values, and its length in steps if it has an end.
struct Part {
    node: Node,
    bounds: Bounds,
    len: Option<u64>,
}

pub(super) fn lower(schedule: &Schedule) -> Result<Program> {
    let mut lowering = Lowering::default();
    let part = lowering.part(schedule, None, 0)?;
    if !part.bounds.fits_f32() {
        let rule = "every value must be finite in f32; give it an end with .over(steps) or a .clamp(min, max)";
        return Err(Error::argument("values", format!("up to {:e}", part.bounds.max), rule));
    }
    Ok(Program { root: part.node, constants: lowering.constants, bounds: part.bounds })
}

#[derive(Default)]
struct Lowering {
    constants: Vec<u64>,
    nodes: usize,
}

impl Lowering {
    fn real(&mut self, value: f64) -> Real {
        self.constants.push(value.to_bits());
        Real(self.constants.len() as u32 - 1)
    }

    fn count(&mut self, value: u64) -> Count {
        self.constants.push(value);
        Count(self.constants.len() as u32 - 1)
    }

    fn part(&mut self, schedule: &Schedule, reach: Option<u64>, depth: usize) -> Result<Part> {
        self.nodes += 1;
        if depth > MAX_DEPTH {
            return Err(Error::argument("nesting", depth, format!("a schedule nests at most {MAX_DEPTH} levels")));
        }
        if self.nodes > MAX_NODES {
            return Err(Error::argument("pieces", self.nodes, format!("a schedule has at most {MAX_NODES}")));
        }
        match &schedule.0 {
            Form::Constant(value) => {
                finite("constant", *value)?;
                Ok(self.constant(*value))
            }
            Form::Ramp { shape, from, to, over } => self.ramp(*shape, *from, *to, *over),
            Form::Exponential { init, factor } => self.exponential("exponential_decay", *init, *factor, reach),
            Form::StepDecay { init, factor, every } => {
                if *every == 0 {
                    return Err(Error::argument("step_decay.every", every, "must be at least 1"));
                }
                let steps = reach.map(|t| t / every);
                let inner = self.exponential("step_decay", *init, *factor, steps)?;
                let clock = Clock::Every { every: self.count(*every) };
                Ok(clocked(clock, inner, None))
            }
            Form::MultiStep { init, factor, milestones } => self.multi_step(*init, *factor, milestones),
            Form::Over { inner, steps } => {
                let reach = Some(reach.map_or(*steps, |t| t.min(*steps)));
                let inner = self.part(inner, reach, depth + 1).map_err(|e| e.within("over."))?;
                let clock = Clock::Until { end: self.count(*steps) };
                Ok(clocked(clock, inner, Some(*steps)))
            }
            Form::Then(pieces) => self.then(pieces, reach, depth),
            Form::Warmup { inner, form, steps } => self.warmup(inner, *form, *steps, reach, depth),
            Form::Product(factors) => self.product(factors, reach, depth),
            Form::Clamp { inner, min, max } => {
                finite("clamp.min", *min)?;
                finite("clamp.max", *max)?;
                if min > max {
                    return Err(Error::argument("clamp.min", min, format!("must not exceed max, {max}")));
                }
                let inner = self.part(inner, reach, depth + 1).map_err(|e| e.within("clamp."))?;
                let (lo, hi) = (self.real(*min), self.real(*max));
                let node = Node::Clamp { min: lo, max: hi, inner: Box::new(inner.node) };
                Ok(Part { node, bounds: inner.bounds.clamp(*min, *max), len: inner.len })
            }
            Form::Repeat { inner, times } => self.repeat(inner, *times, reach, depth),
        }
    }

    fn constant(&mut self, value: f64) -> Part {
        Part { node: Node::Constant(self.real(value)), bounds: Bounds::point(value), len: None }
    }

    fn ramp(&mut self, shape: Shape, from: f64, to: f64, over: u64) -> Result<Part> {
        let name = match shape {
            Shape::Linear => "linear",
            Shape::Cosine => "cosine",
            Shape::Polynomial { .. } => "polynomial",
            Shape::Exponential => "exponential",
        };
        finite(&format!("{name}.from"), from)?;
        finite(&format!("{name}.to"), to)?;
        let (first, last, len) = (self.real(from), self.real(to), self.count(over));
        let node = match shape {
            Shape::Linear => Node::Linear { from: first, to: last, len },
            Shape::Cosine => Node::Cosine { from: first, to: last, len },
            Shape::Polynomial { power } => {
                finite("polynomial.power", power)?;
                if power <= 0.0 {
                    return Err(Error::argument("polynomial.power", power, "must be above 0"));
                }
                Node::Polynomial { from: first, to: last, len, power: self.real(power) }
            }
            Shape::Exponential => {
                if from * to <= 0.0 && (from == 0.0 || to == 0.0 || from.signum() != to.signum()) {
                    let rule = format!("must be nonzero and of the same sign as from, {from}");
                    return Err(Error::argument("exponential.to", to, rule));
                }
                let (high, low) = (ln_pair(to.abs()), ln_pair(from.abs()));
                let ln_ratio = (high.0 - low.0) + (high.1 - low.1);
                Node::Geometric { from: first, to: last, len, ln_ratio: self.real(ln_ratio) }
            }
        };
        Ok(Part { node, bounds: Bounds::between(from, to), len: Some(over) })
    }

    fn exponential(&mut self, name: &str, init: f64, factor: f64, reach: Option<u64>) -> Result<Part> {
        finite(&format!("{name}.init"), init)?;
        finite(&format!("{name}.factor"), factor)?;
        if factor < 0.0 {
            return Err(Error::argument(format!("{name}.factor"), factor, "must not be negative"));
        }
        if factor == 0.0 {
            let (boundary, first, next) = (self.count(1), self.constant(init), self.constant(0.0));
            let node = Node::Then { boundary, first: Box::new(first.node), next: Box::new(next.node) };
            return Ok(Part { node, bounds: Bounds::between(init, 0.0), len: None });
        }
        let (hi, lo) = ln_pair(factor);
        let last = match reach {
            Some(t) => curves::exponential(init, hi, lo, t),
            None if factor > 1.0 && init != 0.0 => init * f64::INFINITY,
            None if factor < 1.0 => 0.0,
            None => init,
        };
        let (init_at, ln_hi, ln_lo) = (self.real(init), self.real(hi), self.real(lo));
        let node = Node::Exponential { init: init_at, ln_hi, ln_lo };
        Ok(Part { node, bounds: Bounds::between(init, last), len: None })
    }

    fn multi_step(&mut self, init: f64, factor: f64, milestones: &Milestones) -> Result<Part> {
        let steps = match milestones {
            Milestones::Steps(steps) => steps.clone(),
            Milestones::Fractions { of, at } => {
                for (i, fraction) in at.iter().enumerate() {
                    if !(0.0..=1.0).contains(fraction) {
                        let argument = format!("multi_step.milestones[{i}]");
                        return Err(Error::argument(argument, fraction, "a fraction lies in [0, 1]"));
                    }
                }
                at.iter().map(|fraction| (fraction * *of as f64).round() as u64).collect()
            }
        };
        if steps.len() > MAX_NODES {
            return Err(Error::argument("multi_step.milestones", steps.len(), format!("at most {MAX_NODES} fit")));
        }
        for (i, pair) in steps.windows(2).enumerate() {
            if pair[0] >= pair[1] {
                let argument = format!("multi_step.milestones[{}]", i + 1);
                return Err(Error::argument(argument, pair[1], format!("must exceed the one before, {}", pair[0])));
            }
        }
        let inner = self.exponential("multi_step", init, factor, Some(steps.len() as u64))?;
        let first = Count(self.constants.len() as u32);
        self.constants.extend_from_slice(&steps);
        let clock = Clock::Passed { first, len: steps.len() as u32 };
        Ok(clocked(clock, inner, None))
    }

    fn then(&mut self, pieces: &[Schedule], reach: Option<u64>, depth: usize) -> Result<Part> {
        let (last, firsts) = pieces.split_last().expect("`then` has at least two pieces");
        let mut lowered = Vec::with_capacity(firsts.len());
        let mut total = 0u64;
        let mut bounds: Option<Bounds> = None;
        let mut widen = |b: Bounds| bounds = Some(bounds.map_or(b, |all| all.union(b)));
        for (i, piece) in firsts.iter().enumerate() {
            let path = format!("then[{i}]");
            // A piece with an end is never asked beyond it; which one lacks an end is known only after lowering.
            let part = self.part(piece, reach, depth + 1).map_err(|e| e.within(&format!("{path}.")))?;
            let Some(len) = part.len else {
                return Err(Error::argument(path, "without an end", "only the last piece may be; call .over(steps)"));
            };
            total = total.checked_add(len).ok_or_else(|| {
                Error::argument(path, format!("{len} steps long"), "all boundaries must stay below 2^64")
            })?;
            // A piece of length zero takes no time: its values never show.
            if len > 0 {
                widen(part.bounds);
                lowered.push((self.count(len), part.node));
            }
        }
        let path = format!("then[{}].", firsts.len());
        let rest = reach.map(|t| t.saturating_sub(total));
        let end = self.part(last, rest, depth + 1).map_err(|e| e.within(&path))?;
        widen(end.bounds);
        let len = match end.len {
            Some(len) => Some(total.checked_add(len).ok_or_else(|| {
                Error::argument("then", format!("{total} + {len} steps long"), "all boundaries must stay below 2^64")
            })?),
            None => None,
        };
        let node = lowered.into_iter().rev().fold(end.node, |next, (boundary, first)| Node::Then {
            boundary,
            first: Box::new(first),
            next: Box::new(next),
        });
        Ok(Part { node, bounds: bounds.expect("at least the last piece"), len })
    }

    /// The peers' warm-up conventions as ramps; see [`Warmup`] for what each means.
    fn warmup(&mut self, inner: &Schedule, form: Warmup, n: u64, reach: Option<u64>, depth: usize) -> Result<Part> {
        let after = self.part(inner, reach, depth + 1).map_err(|e| e.within("warmup."))?;
        let peak = Constants(&self.constants).value(&after.node, 0);
        let too_long = || Error::argument("warmup.steps", n, "all boundaries must stay below 2^64");
        let (ramp, len) = match form {
            _ if n == 0 => return Ok(after),
            Warmup::FromZero => (self.ramp(Shape::Linear, 0.0, peak, n)?, n),
            Warmup::FromFirst => (self.ramp(Shape::Linear, peak / n as f64, peak, n - 1)?, n),
            Warmup::Between => (self.ramp(Shape::Linear, peak / (n as f64 + 1.0), peak, n)?, n),
            Warmup::ZeroTwice => {
                let (zero, ramp) = (self.constant(0.0), self.ramp(Shape::Linear, 0.0, peak, n)?);
                let (boundary, bounds) = (self.count(1), ramp.bounds);
                let node = Node::Then { boundary, first: Box::new(zero.node), next: Box::new(ramp.node) };
                (Part { node, bounds, len: None }, n.checked_add(1).ok_or_else(too_long)?)
            }
        };
        let boundary = self.count(len);
        let total = match after.len {
            Some(rest) => Some(rest.checked_add(len).ok_or_else(too_long)?),
            None => None,
        };
        let bounds = ramp.bounds.union(after.bounds);
        let node = Node::Then { boundary, first: Box::new(ramp.node), next: Box::new(after.node) };
        Ok(Part { node, bounds, len: total })
    }

    fn product(&mut self, factors: &[Schedule], reach: Option<u64>, depth: usize) -> Result<Part> {
        let mut product: Option<Part> = None;
        for (i, factor) in factors.iter().enumerate() {
            let path = format!("product[{i}]");
            let part = self.part(factor, reach, depth + 1).map_err(|e| e.within(&format!("{path}.")))?;
            if !part.bounds.fits_f32() {
                let rule = "a factor must be finite in f32; give it an end with .over(steps) or a .clamp(min, max)";
                return Err(Error::argument(path, format!("up to {:e}", part.bounds.max), rule));
            }
            product = Some(match product {
                None => part,
                Some(before) => Part {
                    node: Node::Product(Box::new(before.node), Box::new(part.node)),
                    bounds: before.bounds.product(part.bounds),
                    len: before.len.zip(part.len).map(|(a, b)| a.max(b)),
                },
            });
        }
        Ok(product.expect("a product has at least two factors"))
    }

    fn repeat(&mut self, inner: &Schedule, times: Option<u64>, reach: Option<u64>, depth: usize) -> Result<Part> {
        let inner = self.part(inner, reach, depth + 1).map_err(|e| e.within("repeat."))?;
        let period = match inner.len {
            None => {
                return Err(Error::argument("repeat", "without an end", "what repeats needs one; call .over(steps)"));
            }
            Some(0) => return Err(Error::argument("repeat", "0 steps long", "what repeats takes at least one step")),
            Some(period) => period,
        };
        let len = match times {
            None => None,
            Some(0) => return Err(Error::argument("repeat.times", 0, "must be at least 1")),
            Some(times) => Some(period.checked_mul(times).ok_or_else(|| {
                Error::argument("repeat.times", times, format!("{times} times {period} steps must stay below 2^64"))
            })?),
        };
        let clock = Clock::Cycle { period: self.count(period), end: self.count(len.unwrap_or(u64::MAX)) };
        Ok(clocked(clock, inner, len))
    }
}

fn clocked(clock: Clock, inner: Part, len: Option<u64>) -> Part {
    Part { node: Node::Clocked { clock, inner: Box::new(inner.node) }, bounds: inner.bounds, len }
}

fn finite(argument: &str, value: f64) -> Result<()> {
    if value.is_finite() && value.abs() <= f64::from(f32::MAX) {
        return Ok(());
    }
    Err(Error::argument(argument, value, "must be finite in f32, into which every value is rounded"))
}
