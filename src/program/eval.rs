//! What a program means on the host: the value at a step, in f64. `emit` writes the same operations as CUDA text.

use super::{Clock, Count, Curve, Node, Program, Real, curves, math};
use crate::schedule::{Between, Binary, Unary};

/// What a schedule is a function of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    /// Applied updates.
    pub t: u64,
    /// Samples, tokens: whatever the engine counts.
    pub progress: u64,
}

impl Clocks {
    fn at(self, t: u64) -> Clocks {
        Clocks { t, ..self }
    }
}

impl Program {
    /// The value on `clocks`.
    pub fn eval(&self, clocks: Clocks) -> f64 {
        Constants(&self.constants).value(&self.root, clocks)
    }
}

/// A table of constants, as `lower` builds it and the device reads it.
pub(crate) struct Constants<'a>(pub &'a [u64]);

impl Constants<'_> {
    fn real(&self, at: Real) -> f64 {
        f64::from_bits(self.0[at.0 as usize])
    }

    fn count(&self, at: Count) -> u64 {
        self.0[at.0 as usize]
    }

    /// What `node` yields on `clocks`.
    pub fn value(&self, node: &Node, clocks: Clocks) -> f64 {
        let t = clocks.t;
        match node {
            Node::Constant(value) => self.real(*value),
            Node::Step => t as f64,
            Node::Ramp { curve, from, to, len } => {
                self.ramp(*curve, self.real(*from), self.real(*to), t, self.count(*len))
            }
            Node::Exponential { init, ln_hi, ln_lo } => {
                curves::exponential(self.real(*init), self.real(*ln_hi), self.real(*ln_lo), t)
            }
            Node::InverseSqrt { init, timescale } => curves::inverse_sqrt(self.real(*init), self.real(*timescale), t),
            Node::InverseTime { init, rate } => curves::inverse_time(self.real(*init), self.real(*rate), t),
            Node::PowerLaw { factor, exponent, shift } => {
                curves::power_law(self.real(*factor), self.real(*exponent), self.real(*shift), t)
            }
            Node::Piecewise { between, steps, values, len } => {
                let steps = &self.0[steps.0 as usize..][..*len as usize];
                let value = |i: usize| self.real(Real(values.0 + i as u32));
                match between {
                    Between::Constant => curves::piecewise_constant(t, steps, value),
                    Between::Linear => curves::piecewise_linear(t, steps, value),
                    Between::Cosine => curves::piecewise_cosine(t, steps, value),
                }
            }
            Node::Then { .. } => {
                // A loop, not a recursion: a chain may have thousands of pieces.
                let (mut node, mut t) = (node, t);
                while let Node::Then { boundary, first, next } = node {
                    let boundary = self.count(*boundary);
                    if t < boundary {
                        return self.value(first, clocks.at(t));
                    }
                    t -= boundary;
                    node = next;
                }
                self.value(node, clocks.at(t))
            }
            Node::Clamp { min, max, inner } => math::clamp(self.value(inner, clocks), self.real(*min), self.real(*max)),
            Node::Clocked { clock, inner } => self.value(inner, clocks.at(self.clock(clock, clocks))),
            Node::Unary { op, of } => unary(*op, self.value(of, clocks)),
            Node::PowInt { base, exponent } => math::pow_int(self.value(base, clocks), *exponent),
            Node::Binary { op, left, right } => binary(*op, self.value(left, clocks), self.value(right, clocks)),
            Node::Select { condition, then, otherwise } => {
                let chosen = if self.value(condition, clocks) != 0.0 { then } else { otherwise };
                self.value(chosen, clocks)
            }
        }
    }

    fn ramp(&self, curve: Curve, from: f64, to: f64, t: u64, len: u64) -> f64 {
        match curve {
            Curve::Linear => curves::linear(from, to, t, len),
            Curve::Cosine => curves::cosine(from, to, t, len),
            Curve::CosinePower { exponent, k } => {
                curves::cosine_power(from, to, t, len, self.real(exponent), self.real(k))
            }
            Curve::Polynomial { power } => curves::polynomial(from, to, t, len, self.real(power)),
            Curve::PolynomialK { power, k } => curves::polynomial_k(from, to, t, len, self.real(power), self.real(k)),
            Curve::PowerRise { power } => curves::power_rise(from, to, t, len, self.real(power)),
            Curve::Geometric { ln_ratio } => curves::geometric(from, to, t, len, self.real(ln_ratio)),
            Curve::Tanh { start, end } => curves::tanh_ramp(from, to, t, len, self.real(start), self.real(end)),
            Curve::Rex { d } => curves::rex(from, to, t, len, self.real(d)),
            Curve::HalfLife => curves::half_life(from, to, t, len),
            Curve::LogRise => curves::log_rise(from, to, t, len),
        }
    }

    fn clock(&self, clock: &Clock, clocks: Clocks) -> u64 {
        let t = clocks.t;
        match clock {
            Clock::Until { end } => t.min(self.count(*end)),
            Clock::After { start } => t.saturating_sub(self.count(*start)),
            Clock::Every { every } => t / self.count(*every),
            Clock::Passed { first, len } => {
                let steps = &self.0[first.0 as usize..][..*len as usize];
                steps.partition_point(|step| *step <= t) as u64
            }
            Clock::Cycle { period, last } => {
                let period = self.count(*period);
                if t <= self.count(*last) { t % period } else { period }
            }
            Clock::Progress => clocks.progress,
        }
    }
}

fn unary(op: Unary, x: f64) -> f64 {
    match op {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Floor => x.floor(),
        Unary::Sqrt => x.sqrt(),
        Unary::Exp => math::exp(x),
        Unary::Ln => math::ln(x),
        Unary::Sin => math::sin(x),
        Unary::Cos => math::cos(x),
        Unary::Tanh => math::tanh(x),
    }
}

fn binary(op: Binary, a: f64, b: f64) -> f64 {
    let truth = |holds: bool| if holds { 1.0 } else { 0.0 };
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::FloorDiv => math::floor_div_mod(a, b).0,
        Binary::Mod => math::floor_div_mod(a, b).1,
        Binary::Pow => math::pow(a, b),
        Binary::Min => {
            if b < a {
                b
            } else {
                a
            }
        }
        Binary::Max => {
            if b > a {
                b
            } else {
                a
            }
        }
        Binary::Less => truth(a < b),
        Binary::LessEqual => truth(a <= b),
        Binary::Equal => truth(a == b),
    }
}
