//! Lowers what makes values by itself: ramps, decays without an end, values given at steps.

use super::{Before, Lowering, MAX_NODES, Part, REACHED, Reach, clocked, expect_finite};
use crate::error::{Error, Result, number};
use crate::program::ln::ln_pair;
use crate::program::{Bounds, Clock, Count, Curve, Node, Real, curves};
use crate::schedule::{Between, MAX_TABLE, Milestones, Number, Shape, StepList, Steps};

impl Lowering<'_> {
    pub fn ramp(&mut self, shape: &Shape, from: &Number, to: &Number, over: &Steps, before: Before) -> Result<Part> {
        let name = shape.name();
        let place = |argument: &str| format!("{name}.{argument}");
        let starts_reached = *from == Number::Reached;
        let from = match (from, before) {
            (Number::Reached, _) if *shape == Shape::Exponential => {
                let rule = "must be a number: what a geometric ramp computes from it is computed ahead";
                return Err(Error::argument(place("from"), REACHED, rule));
            }
            // The piece before is checked at the steps that it is in force, of which its end is none.
            (Number::Reached, Before::Reaches(value)) => expect_finite(&place("from"), value)?,
            (Number::Reached, Before::Unknown(why)) => {
                return Err(Error::argument(place("from"), REACHED, format!("must be a number: {why}")));
            }
            (from, _) => self.number(&place("from"), from)?,
        };
        let to = self.number(&place("to"), to)?;
        let len = self.steps(&place("over"), over)?;
        let curve = match shape {
            Shape::Linear => Curve::Linear,
            Shape::Cosine => Curve::Cosine,
            Shape::CosinePower { exponent, k } => {
                let (exponent, k) = (self.positive(&place("exponent"), exponent)?, self.positive(&place("k"), k)?);
                Curve::CosinePower { exponent: self.real(exponent), k: self.real(k) }
            }
            Shape::Polynomial { power } => {
                let power = self.positive(&place("power"), power)?;
                Curve::Polynomial { power: self.real(power) }
            }
            Shape::PolynomialK { power, k } => {
                let (power, k) = (self.positive(&place("power"), power)?, self.positive(&place("k"), k)?);
                Curve::PolynomialK { power: self.real(power), k: self.real(k) }
            }
            Shape::PowerRise { power } => {
                let power = self.positive(&place("power"), power)?;
                Curve::PowerRise { power: self.real(power) }
            }
            Shape::Exponential => {
                if from == 0.0 || to == 0.0 || from.signum() != to.signum() {
                    let rule = format!("must be of the same sign as from, {}, and neither may be 0", number(from));
                    return Err(Error::argument(place("to"), number(to), rule));
                }
                let (high, low) = (ln_pair(to.abs()), ln_pair(from.abs()));
                Curve::Geometric { ln_ratio: self.real((high.0 - low.0) + (high.1 - low.1)) }
            }
            Shape::Tanh { start, end } => {
                let (start, end) = (self.number(&place("start"), start)?, self.number(&place("end"), end)?);
                Curve::Tanh { start: self.real(start), end: self.real(end) }
            }
            Shape::Rex { d } => {
                let d = self.number(&place("d"), d)?;
                if !(0.0..1.0).contains(&d) {
                    return Err(Error::argument(place("d"), number(d), "must lie in [0, 1)"));
                }
                Curve::Rex { d: self.real(d) }
            }
            Shape::HalfLife => Curve::HalfLife,
            Shape::LogRise => Curve::LogRise,
        };
        let start = self.real(from);
        if starts_reached {
            self.reached.push(start);
        }
        let node = Node::Ramp { curve, from: start, to: self.real(to), len: self.count(len) };
        let bounds = Bounds::between(from, to);
        // A geometric ramp multiplies; the others add, and may lose the smaller end beside the larger one.
        let bounds = if *shape == Shape::Exponential { bounds } else { rounded(bounds) };
        Ok(Part { node, bounds, len: Some(len) })
    }

    pub fn exponential(&mut self, name: &str, init: &Number, factor: &Number, reach: Reach) -> Result<Part> {
        let init = self.number(&format!("{name}.init"), init)?;
        let factor = self.number(&format!("{name}.factor"), factor)?;
        if factor < 0.0 {
            return Err(Error::argument(format!("{name}.factor"), number(factor), "must not be negative"));
        }
        // A factor of 0 is e^(-1000 t): 1 at 0, and 0 from 1 on.
        let (hi, lo) = if factor == 0.0 { (-1000.0, 0.0) } else { ln_pair(factor) };
        let at = |t: u64| if init == 0.0 { 0.0 } else { curves::exponential(init, hi, lo, t) };
        let bounds = Bounds::between(at(reach.from), at(reach.to));
        let node = Node::Exponential { init: self.real(init), ln_hi: self.real(hi), ln_lo: self.real(lo) };
        Ok(Part { node, bounds, len: None })
    }

    pub fn step_decay(&mut self, init: &Number, factor: &Number, every: &Steps, reach: Reach) -> Result<Part> {
        let every = self.steps("step_decay.every", every)?;
        if every == 0 {
            return Err(Error::argument("step_decay.every", every, "must be at least 1"));
        }
        let reach = Reach { from: reach.from / every, to: reach.to / every };
        let inner = self.exponential("step_decay", init, factor, reach)?;
        let clock = Clock::Every { every: self.count(every) };
        Ok(clocked(clock, inner, None))
    }

    pub fn multi_step(&mut self, init: &Number, factor: &Number, milestones: &Milestones) -> Result<Part> {
        let steps = match milestones {
            Milestones::Steps(steps) => {
                expect_few(steps.len())?;
                self.rising("multi_step.milestones", steps)?
            }
            Milestones::Fractions { of, at } => {
                let of = self.steps("multi_step.total_steps", of)?;
                if let Some(i) = at.iter().position(|fraction| !(0.0..=1.0).contains(fraction)) {
                    let argument = format!("multi_step.milestones[{i}]");
                    let rule = "must lie in [0, 1], as it is a fraction of total_steps";
                    return Err(Error::argument(argument, number(at[i]), rule));
                }
                if let Some(i) = at.windows(2).position(|pair| pair[0] >= pair[1]) {
                    let rule = format!("must exceed the one before, {}", number(at[i]));
                    return Err(Error::argument(format!("multi_step.milestones[{}]", i + 1), number(at[i + 1]), rule));
                }
                expect_few(at.len())?;
                // In a short run some come to one step, where each of them counts.
                at.iter().map(|fraction| (fraction * of as f64).round() as u64).collect()
            }
        };
        let reach = Reach { from: 0, to: steps.len() as u64 };
        let inner = self.exponential("multi_step", init, factor, reach)?;
        let first = Count(self.list("multi_step.milestones", steps.iter().copied())?);
        let clock = Clock::Passed { first, len: steps.len() as u32 };
        Ok(clocked(clock, inner, None))
    }

    pub fn inverse_sqrt(&mut self, init: &Number, timescale: &Number) -> Result<Part> {
        let init = self.number("inverse_sqrt.init", init)?;
        let timescale = self.positive("inverse_sqrt.timescale", timescale)?;
        let node = Node::InverseSqrt { init: self.real(init), timescale: self.real(timescale) };
        Ok(Part { node, bounds: Bounds::between(init, 0.0), len: None })
    }

    pub fn inverse_time(&mut self, init: &Number, rate: &Number) -> Result<Part> {
        let init = self.number("inverse_time.init", init)?;
        let rate = self.number("inverse_time.rate", rate)?;
        if rate < 0.0 {
            return Err(Error::argument("inverse_time.rate", number(rate), "must not be negative"));
        }
        let node = Node::InverseTime { init: self.real(init), rate: self.real(rate) };
        Ok(Part { node, bounds: Bounds::between(init, 0.0), len: None })
    }

    pub fn power_law(&mut self, factor: &Number, exponent: &Number, shift: &Number, reach: Reach) -> Result<Part> {
        let factor = self.number("power_law.factor", factor)?;
        let exponent = self.number("power_law.exponent", exponent)?;
        let shift = self.positive("power_law.shift", shift)?;
        let at = |t: u64| if factor == 0.0 { 0.0 } else { curves::power_law(factor, exponent, shift, t) };
        let bounds = Bounds::between(at(reach.from), at(reach.to));
        let node = Node::PowerLaw { factor: self.real(factor), exponent: self.real(exponent), shift: self.real(shift) };
        Ok(Part { node, bounds, len: None })
    }

    pub fn piecewise(&mut self, between: Between, steps: &StepList, values: &[f64]) -> Result<Part> {
        let (name, more) = (between.name(), usize::from(between == Between::Constant));
        if values.is_empty() || values.len() != steps.len() + more {
            let steps = steps.len();
            let rule = format!("must be {} for {steps} steps, and at least 1", steps + more);
            return Err(Error::argument(format!("{name}.values"), format!("a list of {}", values.len()), rule));
        }
        if values.len() > MAX_TABLE {
            let rule = format!("must have at most {MAX_TABLE}");
            return Err(Error::argument(format!("{name}.values"), format!("a list of {}", values.len()), rule));
        }
        let steps = self.rising(&format!("{name}.steps"), steps)?;
        let mut bounds: Option<Bounds> = None;
        for (i, value) in values.iter().enumerate() {
            // The path is made for an error alone, as in `rising`.
            let value = expect_finite("", *value).map_err(|e| e.renamed("", &format!("{name}.values[{i}]")))?;
            bounds = Some(bounds.map_or(Bounds::point(value), |b| b.union(Bounds::point(value))));
        }
        let first_step = Count(self.list(&format!("{name}.steps"), steps.iter().copied())?);
        let bits = values.iter().map(|value| value.to_bits());
        let first_value = Real(self.list(&format!("{name}.values"), bits)?);
        let node = Node::Piecewise { between, steps: first_step, values: first_value, len: steps.len() as u32 };
        Ok(Part { node, bounds: bounds.expect("at least one value"), len: None })
    }
}

fn expect_few(milestones: usize) -> Result<()> {
    match milestones > MAX_NODES {
        true => {
            let rule = format!("must have at most {MAX_NODES}");
            Err(Error::argument("multi_step.milestones", format!("a list of {milestones}"), rule))
        }
        false => Ok(()),
    }
}

/// `bounds` of a sum of two that are each between 0 and one of them: an end that is lost beside the other comes out as 0.
fn rounded(bounds: Bounds) -> Bounds {
    let Bounds { min, max } = bounds;
    Bounds {
        min: if min > 0.0 && min < max * f64::EPSILON { 0.0 } else { min },
        max: if max < 0.0 && max > min * f64::EPSILON { 0.0 } else { max },
    }
}
