//! What a program means on the host: the value at a step, in f64. `emit` writes the same operations as CUDA text.

use super::{Clock, Count, Node, Program, Real, curves};

impl Program {
    /// The value for update `t`.
    pub fn eval(&self, t: u64) -> f64 {
        Constants(&self.constants).value(&self.root, t)
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

    /// What `node` yields on the clock `t`.
    pub fn value(&self, node: &Node, t: u64) -> f64 {
        match node {
            Node::Constant(value) => self.real(*value),
            Node::Linear { from, to, len } => curves::linear(self.real(*from), self.real(*to), t, self.count(*len)),
            Node::Cosine { from, to, len } => curves::cosine(self.real(*from), self.real(*to), t, self.count(*len)),
            Node::Polynomial { from, to, len, power } => {
                curves::polynomial(self.real(*from), self.real(*to), t, self.count(*len), self.real(*power))
            }
            Node::Geometric { from, to, len, ln_ratio } => {
                curves::geometric(self.real(*from), self.real(*to), t, self.count(*len), self.real(*ln_ratio))
            }
            Node::Exponential { init, ln_hi, ln_lo } => {
                curves::exponential(self.real(*init), self.real(*ln_hi), self.real(*ln_lo), t)
            }
            Node::Then { .. } => {
                // A loop, not a recursion: a chain may have thousands of pieces.
                let (mut node, mut t) = (node, t);
                while let Node::Then { boundary, first, next } = node {
                    let boundary = self.count(*boundary);
                    if t < boundary {
                        return self.value(first, t);
                    }
                    t -= boundary;
                    node = next;
                }
                self.value(node, t)
            }
            Node::Product(a, b) => self.value(a, t) * self.value(b, t),
            Node::Clamp { min, max, inner } => curves::clamp(self.value(inner, t), self.real(*min), self.real(*max)),
            Node::Clocked { clock, inner } => self.value(inner, self.clock(clock, t)),
        }
    }

    fn clock(&self, clock: &Clock, t: u64) -> u64 {
        match clock {
            Clock::Until { end } => t.min(self.count(*end)),
            Clock::Every { every } => t / self.count(*every),
            Clock::Passed { first, len } => {
                let first = first.0 as usize;
                self.0[first..first + *len as usize].iter().filter(|milestone| **milestone <= t).count() as u64
            }
            Clock::Cycle { period, end } => {
                let period = self.count(*period);
                if t < self.count(*end) { t % period } else { period }
            }
        }
    }
}
