//! Cycles as timm and Keras have them: a curve that falls and starts again, longer and lower each time.
//!
//! The number of a cycle follows from sums of lengths. Both peers take a logarithm in floating point, and are one cycle
//! late where it comes out a hair too low at the first step of one.

use std::f64::consts::FRAC_PI_2;

use crate::schedule::{Schedule, step};

/// The most cycles of growing length that are written out.
const MAX_CYCLES: u64 = 320;
/// Past the last step that there is.
const END_OF_TIME: f64 = 18_446_744_073_709_551_616.0;

/// How one cycle falls.
pub(super) enum Shape {
    /// Half a cosine of `(t / T)^k`.
    Cosine { k: f64 },
    /// From `tanh(start)` to `tanh(end)`.
    Tanh { start: f64, end: f64 },
    /// `(1 - (t / T)^k)^power`.
    Poly { power: f64, k: f64 },
}

/// The limit of what repeats without one.
pub(super) const FOR_EVER: u64 = u64::MAX;

/// A curve over `first` steps that repeats `limit` times, each time `length_factor` as long and `decay` as high.
pub(super) struct Cycles {
    pub shape: Shape,
    pub first: u64,
    pub end: f64,
    pub length_factor: f64,
    pub decay: f64,
    pub limit: u64,
}

impl Cycles {
    /// Whether the cycles can be written out; if not, the rule for `length_factor` that says why.
    pub fn check(&self) -> Result<(), String> {
        if self.length_factor > 1.0 && self.starts().len() as u64 > MAX_CYCLES + 1 {
            return Err(format!("must be 1, or large enough for at most {MAX_CYCLES} cycles"));
        }
        Ok(())
    }

    pub fn schedule(&self, base: f64) -> Schedule {
        if self.limit == 0 {
            return Schedule::constant(self.end);
        }
        if self.length_factor == 1.0 { self.equal(base) } else { self.growing(base) }
    }

    fn equal(&self, base: f64) -> Schedule {
        let cycles = if self.limit == 1 {
            self.shape.ramp(base, self.end, self.first)
        } else {
            let fall = self.shape.ramp(1.0, 0.0, self.first).repeat();
            let cycles = self.end + (Schedule::step_decay(base, self.decay, self.first) - self.end) * fall;
            match self.first.checked_mul(self.limit) {
                Some(steps) if self.limit < FOR_EVER => cycles.over(steps),
                // The last one ends after the last step that there is.
                _ => return cycles,
            }
        };
        cycles.then(self.end)
    }

    fn growing(&self, base: f64) -> Schedule {
        let starts = self.starts();
        let piece = |i: usize| {
            let top = base * self.decay.powi(i as i32); // at most MAX_CYCLES
            let (start, end) = (starts[i], starts[i + 1]);
            if start.fract() == 0.0 && end.fract() == 0.0 && end < END_OF_TIME {
                return self.shape.ramp(top, self.end, (end - start) as u64);
            }
            let (offset, len) = (start.ceil() - start, end - start);
            self.end + (top - self.end) * self.shape.left((step() + offset) / len)
        };
        // What comes after a last cycle that goes on beyond the last step never shows.
        let after = Schedule::constant(self.end);
        let ends = starts.iter().skip(1).take_while(|end| **end < END_OF_TIME).map(|end| end.ceil() as u64);
        let ends: Vec<u64> = ends.collect();
        let pieces = (0..starts.len().saturating_sub(1)).map(piece).chain([after]).take(ends.len() + 1);
        Schedule::join(pieces, ends)
    }

    /// Where each cycle starts, and the last one ends, which may be past the last step that there is. Sums that miss an integer by
    /// rounding alone are put on it.
    fn starts(&self) -> Vec<f64> {
        let (mut starts, mut len, mut last) = (vec![0.0], self.first as f64, 0.0);
        while (starts.len() as u64) <= self.limit.min(MAX_CYCLES + 1) && last < END_OF_TIME {
            let next: f64 = last + len;
            last = if (next - next.round()).abs() <= next * 1e-14 { next.round() } else { next };
            starts.push(last);
            len *= self.length_factor;
        }
        starts
    }
}

impl Shape {
    /// One cycle from `from` to `to`, in whole steps.
    fn ramp(&self, from: f64, to: f64, steps: u64) -> Schedule {
        match *self {
            Shape::Cosine { k: 1.0 } => Schedule::cosine(from, to).over(steps),
            Shape::Cosine { k } => Schedule::cosine_power(from, to, 1.0, k).over(steps),
            Shape::Tanh { start, end } => Schedule::tanh_ramp(from, to, start, end).over(steps),
            Shape::Poly { power: 0.0, .. } => Schedule::constant(from).over(steps),
            Shape::Poly { power, k: 1.0 } => Schedule::polynomial(from, to, power).over(steps),
            Shape::Poly { power, k } => Schedule::polynomial_k(from, to, power, k).over(steps),
        }
    }

    /// What is left of the fall at `x`, a fraction of a cycle that starts or ends between two steps.
    fn left(&self, x: Schedule) -> Schedule {
        // Rounding may put the last step of a cycle a hair past its end.
        let x = x.min(1.0);
        match *self {
            Shape::Cosine { k } => {
                let x = if k == 1.0 { x } else { x.pow(k) };
                ((1.0 - x) * FRAC_PI_2).sin().pow_int(2)
            }
            Shape::Tanh { start, end } => (1.0 - (start + (end - start) * x).tanh()) * 0.5,
            Shape::Poly { power, k } => (1.0 - x.pow(k)).pow(power),
        }
    }
}
