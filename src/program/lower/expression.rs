//! Lowers operators, and refuses those that some step could take out of their domain.

use super::{Lowering, Part, Reach};
use crate::error::{CURE, Error, Result};
use crate::program::{Bounds, Node, math};
use crate::schedule::{Binary, Form, Number, Schedule, Unary};

impl Lowering<'_> {
    pub fn unary(&mut self, op: Unary, of: &Schedule, reach: Reach) -> Result<Part> {
        let name = op.name();
        let inner = of;
        let of = self.operand(name, inner, reach)?;
        let Bounds { min, max } = of.bounds;
        let mut outside = |rule: &str, holds: fn(Bounds) -> bool| {
            let rule = self.with_cure(rule, inner, reach.from, holds);
            Err(Error::argument(name, format!("of {}", of.bounds), rule))
        };
        let bounds = match op {
            Unary::Neg => Bounds { min: -max, max: -min },
            Unary::Abs if min >= 0.0 => of.bounds,
            Unary::Abs => Bounds { min: if max < 0.0 { -max } else { 0.0 }, max: max.max(-min) },
            Unary::Floor => Bounds { min: min.floor(), max: max.floor() },
            Unary::Sqrt if min < 0.0 => {
                return outside("must not be of a negative value at any step", |bounds| bounds.min >= 0.0);
            }
            Unary::Sqrt => Bounds { min: min.sqrt(), max: max.sqrt() },
            Unary::Exp => Bounds { min: math::exp(min), max: math::exp(max) },
            Unary::Ln if min <= 0.0 => {
                return outside("must be of a value above 0 at every step", |bounds| bounds.min > 0.0);
            }
            Unary::Ln => Bounds { min: math::ln(min), max: math::ln(max) },
            Unary::Sin | Unary::Cos | Unary::Tanh => Bounds { min: -1.0, max: 1.0 },
        };
        Ok(Part { node: Node::Unary { op, of: Box::new(of.node) }, bounds, len: of.len })
    }

    pub fn pow_int(&mut self, base: &Schedule, exponent: i32, reach: Reach) -> Result<Part> {
        let inner = base;
        let base = self.operand("pow_int", inner, reach)?;
        let Bounds { min, max } = base.bounds;
        if exponent < 0 && base.bounds.holds_zero() {
            let rule = format!("must not be of 0 at any step, with exponent {exponent}");
            let rule = self.with_cure(&rule, inner, reach.from, |bounds| !bounds.holds_zero());
            return Err(Error::argument("pow_int", format!("of {}", base.bounds), rule));
        }
        let ends = Bounds::between(math::pow_int(min, exponent), math::pow_int(max, exponent));
        let crosses_zero = min < 0.0 && max > 0.0;
        let bounds = if crosses_zero && exponent > 0 { ends.union(Bounds::point(0.0)) } else { ends };
        Ok(Part { node: Node::PowInt { base: Box::new(base.node), exponent }, bounds, len: base.len })
    }

    pub fn binary(&mut self, op: Binary, left: &Schedule, right: &Schedule, reach: Reach) -> Result<Part> {
        let name = op.name();
        let (base, divisor) = (left, right);
        let left = self.operand(&format!("{name}[0]"), left, reach)?;
        let right = self.operand(&format!("{name}[1]"), right, reach)?;
        let (a, b) = (left.bounds, right.bounds);
        let divides = matches!(op, Binary::Div | Binary::FloorDiv | Binary::Mod);
        if divides && b.holds_zero() {
            let rule = "must not be 0 at any step, as it divides";
            let rule = self.with_cure(rule, divisor, reach.from, |bounds| !bounds.holds_zero());
            return Err(Error::argument(format!("{name}[1]"), b, rule));
        }
        if op == Binary::Pow && a.min < 0.0 {
            let rule = "must not be negative at any step";
            let rule = self.with_cure(rule, base, reach.from, |bounds| bounds.min >= 0.0);
            let whole = b.min == b.max && b.min.fract() == 0.0;
            let rule = if whole { format!("{rule}; `pow_int` takes any base") } else { rule };
            return Err(Error::argument("pow[0]", a, rule));
        }
        if op == Binary::Pow && a.min == 0.0 && b.min < 0.0 {
            let rule = format!("must be above 0 at every step, with an exponent of {b}");
            let rule = self.with_cure(&rule, base, reach.from, |bounds| bounds.min > 0.0);
            return Err(Error::argument("pow[0]", a, rule));
        }
        let bounds = match op {
            Binary::Add => Bounds { min: a.min + b.min, max: a.max + b.max },
            Binary::Sub => Bounds { min: a.min - b.max, max: a.max - b.min },
            Binary::Mul => a.product(b),
            Binary::Div => a.product(Bounds::between(1.0 / b.min, 1.0 / b.max)),
            Binary::FloorDiv => {
                let quotient = a.product(Bounds::between(1.0 / b.min, 1.0 / b.max));
                Bounds { min: quotient.min.floor() - 1.0, max: quotient.max.floor() + 1.0 }
            }
            Binary::Mod => {
                let quotient = a.product(Bounds::between(1.0 / b.min, 1.0 / b.max));
                if !(quotient.min.is_finite() && quotient.max.is_finite()) {
                    return Err(Error::argument(format!("{name}[1]"), b, format!("is too small to divide {a}")));
                }
                Bounds { min: b.min.min(0.0), max: b.max.max(0.0) }
            }
            Binary::Pow => pow_bounds(a, b),
            Binary::Min => Bounds { min: a.min.min(b.min), max: a.max.min(b.max) },
            Binary::Max => Bounds { min: a.min.max(b.min), max: a.max.max(b.max) },
            Binary::Less | Binary::LessEqual | Binary::Equal => Bounds { min: 0.0, max: 1.0 },
        };
        let len = left.len.zip(right.len).map(|(a, b)| a.max(b));
        let node = Node::Binary { op, left: Box::new(left.node), right: Box::new(right.node) };
        Ok(Part { node, bounds, len })
    }

    pub fn select(
        &mut self,
        condition: &Schedule,
        then: &Schedule,
        otherwise: &Schedule,
        reach: Reach,
    ) -> Result<Part> {
        let (if_true, if_false) = narrow(condition, reach);
        let condition = self.operand("select.condition", condition, reach)?;
        let then = self.operand("select.then", then, if_true)?;
        let otherwise = self.operand("select.otherwise", otherwise, if_false)?;
        let len = then.len.zip(otherwise.len).zip(condition.len).map(|((a, b), c)| a.max(b).max(c));
        let bounds = then.bounds.union(otherwise.bounds);
        let node = Node::Select {
            condition: Box::new(condition.node),
            then: Box::new(then.node),
            otherwise: Box::new(otherwise.node),
        };
        Ok(Part { node, bounds, len })
    }

    /// An operand: finite, so that no operator sees an infinity.
    fn operand(&mut self, name: &str, schedule: &Schedule, reach: Reach) -> Result<Part> {
        let part = self.part(schedule, reach).map_err(|e| e.within(&format!("{name}.")))?;
        let finite = |bounds: Bounds| bounds.min.is_finite() && bounds.max.is_finite();
        if finite(part.bounds) {
            return Ok(part);
        }
        let rule = self.with_cure("must be finite at every step", schedule, reach.from, finite);
        Err(Error::argument(name, part.bounds, rule))
    }

    /// A rule that the values of `schedule` break at some step from `from` on, with what to add if it keeps it at first.
    pub fn with_cure(&mut self, rule: &str, schedule: &Schedule, from: u64, holds: fn(Bounds) -> bool) -> String {
        let (nodes, depth) = (self.nodes, self.depth);
        let first = self.part(schedule, Reach { from, to: from });
        (self.nodes, self.depth, self.too_large) = (nodes, depth, None);
        match first {
            Ok(part) if holds(part.bounds) => {
                format!("{rule}{CURE}")
            }
            _ => rule.to_owned(),
        }
    }
}

/// Those of a power whose base is never negative.
fn pow_bounds(base: Bounds, exponent: Bounds) -> Bounds {
    // y · ln x is linear in each of y and ln x, so its extremes lie at the corners.
    let mut all = Bounds::point(math::pow(base.min, exponent.min));
    for x in [base.min, base.max] {
        for y in [exponent.min, exponent.max] {
            all = all.union(Bounds::point(math::pow(x, y)));
        }
    }
    all
}

/// No step is further from its f64 than this: half the distance of two f64 below 2^64.
const MAX_ROUNDING: u64 = 1 << 10;

/// The steps at which `condition` can hold, and those at which it can fail, where it compares the step with a constant.
fn narrow(condition: &Schedule, reach: Reach) -> (Reach, Reach) {
    let Form::Binary { op, left, right } = &condition.0 else { return (reach, reach) };
    let constant = |schedule: &Schedule| match &schedule.0 {
        Form::Constant(Number::Literal(value)) => Some(*value),
        _ => None,
    };
    // `below`: the steps t with t < bound. Conversions saturate, as they should. What is compared is the step as f64, which is
    // rounded from 2^53 on: then neither side knows its end better than that.
    let split = |bound: f64| {
        let first = bound.ceil().max(0.0) as u64;
        let blur = if first >= 1 << 53 { MAX_ROUNDING } else { 0 };
        let last = first.saturating_sub(1).saturating_add(blur);
        let below = Reach { from: reach.from, to: reach.to.min(last).max(reach.from) };
        let rest = Reach { from: reach.from.max(first.saturating_sub(blur)).min(reach.to), to: reach.to };
        (below, rest)
    };
    let next = |value: f64| value.floor() + 1.0;
    match (op, &left.0, &right.0) {
        (Binary::Less, Form::Step, _) => constant(right).map(split),
        (Binary::LessEqual, Form::Step, _) => constant(right).map(|value| split(next(value))),
        (Binary::Less, _, Form::Step) => constant(left).map(|value| swap(split(next(value)))),
        (Binary::LessEqual, _, Form::Step) => constant(left).map(|value| swap(split(value))),
        _ => None,
    }
    .unwrap_or((reach, reach))
}

fn swap<T>((a, b): (T, T)) -> (T, T) {
    (b, a)
}
