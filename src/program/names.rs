//! What the constants of a program are: for whoever reads its text. Start at [`constants`].

use std::collections::BTreeMap;

use super::{Clock, Count, Curve, Node, Real};
use crate::schedule::Between;

/// What a constant is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A u64.
    Count,
    /// The bits of an f64.
    Real,
}

/// Of each constant that `root` reads: its name there, and what it is. One that several parts read has the first one's name.
pub(crate) fn constants(root: &Node) -> BTreeMap<u32, (String, Kind)> {
    let mut names = Names(BTreeMap::new());
    names.node(root);
    names.0
}

struct Names(BTreeMap<u32, (String, Kind)>);

impl Names {
    fn real(&mut self, name: &str, at: Real) {
        self.0.entry(at.0).or_insert_with(|| (name.to_owned(), Kind::Real));
    }

    fn count(&mut self, name: &str, at: Count) {
        self.0.entry(at.0).or_insert_with(|| (name.to_owned(), Kind::Count));
    }

    fn reals(&mut self, all: &[(&str, Real)]) {
        all.iter().for_each(|(name, at)| self.real(name, *at));
    }

    fn node(&mut self, node: &Node) {
        match node {
            Node::Constant(value) => self.real("value", *value),
            Node::Step => {}
            Node::Ramp { curve, from, to, len } => {
                self.reals(&[("from", *from), ("to", *to)]);
                self.count("over", *len);
                self.curve(*curve);
            }
            Node::Exponential { init, ln_hi, ln_lo } => {
                self.reals(&[("init", *init), ("ln(factor), high part", *ln_hi), ("ln(factor), low part", *ln_lo)]);
            }
            Node::InverseSqrt { init, timescale } => self.reals(&[("init", *init), ("timescale", *timescale)]),
            Node::InverseTime { init, rate } => self.reals(&[("init", *init), ("rate", *rate)]),
            Node::PowerLaw { factor, exponent, shift } => {
                self.reals(&[("factor", *factor), ("exponent", *exponent), ("shift", *shift)]);
            }
            Node::Piecewise { between, steps, values, len } => {
                (0..*len).for_each(|i| self.count(&format!("steps[{i}]"), Count(steps.0 + i)));
                let more = u32::from(matches!(between, Between::Constant));
                (0..*len + more).for_each(|i| self.real(&format!("values[{i}]"), Real(values.0 + i)));
            }
            Node::Then { .. } => {
                let mut rest = node;
                while let Node::Then { boundary, first, next } = rest {
                    self.node(first);
                    self.count("steps until the next piece", *boundary);
                    rest = next;
                }
                self.node(rest);
            }
            Node::Clamp { min, max, inner } => {
                self.node(inner);
                self.reals(&[("min", *min), ("max", *max)]);
            }
            Node::Clocked { clock, inner } => {
                match clock {
                    Clock::Until { end } => self.count("end of the clock", *end),
                    Clock::After { start } => self.count("start of the clock", *start),
                    Clock::Every { every } => self.count("every", *every),
                    Clock::Passed { first, len } => {
                        (0..*len).for_each(|i| self.count(&format!("milestones[{i}]"), Count(first.0 + i)));
                    }
                    Clock::Cycle { period, last } => {
                        self.count("period", *period);
                        self.count("last step that repeats", *last);
                    }
                    Clock::Progress => {}
                }
                self.node(inner);
            }
            Node::Unary { of, .. } => self.node(of),
            Node::PowInt { base, .. } => self.node(base),
            Node::Binary { left, right, .. } => {
                self.node(left);
                self.node(right);
            }
            Node::Select { condition, then, otherwise } => {
                [condition, then, otherwise].into_iter().for_each(|node| self.node(node));
            }
        }
    }

    fn curve(&mut self, curve: Curve) {
        match curve {
            Curve::Linear | Curve::Cosine | Curve::HalfLife | Curve::LogRise => {}
            Curve::CosinePower { exponent, k } => self.reals(&[("exponent", exponent), ("k", k)]),
            Curve::Polynomial { power } | Curve::PowerRise { power } => self.real("power", power),
            Curve::PolynomialK { power, k } => self.reals(&[("power", power), ("k", k)]),
            Curve::Geometric { ln_ratio } => self.real("ln(to / from)", ln_ratio),
            Curve::Tanh { start, end } => self.reals(&[("start", start), ("end", end)]),
            Curve::Rex { d } => self.real("d", d),
        }
    }
}
