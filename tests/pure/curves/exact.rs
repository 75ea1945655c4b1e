//! 512-bit arithmetic, written as in a formula: what the values of f64 are compared with.
//!
//! So many bits, because the formulas are taken as they stand: `1 - cos²` of a cubed share of 2^-40 loses 240 of them.

use std::cell::RefCell;

use astro_float_num::{BigFloat, Consts, RoundingMode};

const PRECISION: usize = 512;
/// Correct rounding of an exact result would never end; the last bits do not matter.
const ROUND: RoundingMode = RoundingMode::None;

/// The operations, with the constants that they need.
pub struct Exact {
    constants: RefCell<Consts>,
}

impl Exact {
    pub fn new() -> Exact {
        Exact { constants: RefCell::new(Consts::new().unwrap()) }
    }

    pub fn of(&self, x: f64) -> BigFloat {
        BigFloat::from_f64(x, PRECISION)
    }

    pub fn count(&self, n: u64) -> BigFloat {
        // In two halves, each of which f64 holds.
        let high = self.mul(&self.of((n >> 32) as f64), &self.of(4_294_967_296.0));
        self.add(&high, &self.of((n & 0xffff_ffff) as f64))
    }

    /// `part / whole`.
    pub fn share(&self, part: u64, whole: u64) -> BigFloat {
        self.div(&self.count(part), &self.count(whole))
    }

    pub fn add(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.add(b, PRECISION, ROUND)
    }

    pub fn sub(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.sub(b, PRECISION, ROUND)
    }

    pub fn mul(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.mul(b, PRECISION, ROUND)
    }

    pub fn div(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.div(b, PRECISION, ROUND)
    }

    /// `1 - x`.
    pub fn one_minus(&self, x: &BigFloat) -> BigFloat {
        self.sub(&self.of(1.0), x)
    }

    pub fn sqrt(&self, x: &BigFloat) -> BigFloat {
        x.sqrt(PRECISION, ROUND)
    }

    pub fn pow(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        if a.is_zero() {
            return self.of(0.0);
        }
        a.pow(b, PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    pub fn exp(&self, x: &BigFloat) -> BigFloat {
        x.exp(PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    pub fn ln(&self, x: &BigFloat) -> BigFloat {
        x.ln(PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    pub fn sin(&self, x: &BigFloat) -> BigFloat {
        x.sin(PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    pub fn cos(&self, x: &BigFloat) -> BigFloat {
        x.cos(PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    pub fn tanh(&self, x: &BigFloat) -> BigFloat {
        x.tanh(PRECISION, ROUND, &mut self.constants.borrow_mut())
    }

    /// `(1 - cos(π x)) / 2`.
    pub fn half_cosine(&self, x: &BigFloat) -> BigFloat {
        let pi = self.constants.borrow_mut().pi(PRECISION, ROUND);
        let cosine = self.cos(&self.mul(x, &pi));
        self.div(&self.one_minus(&cosine), &self.of(2.0))
    }

    /// `from + (to - from) · part`.
    pub fn between(&self, from: f64, to: f64, part: &BigFloat) -> BigFloat {
        let (from, to) = (self.of(from), self.of(to));
        self.add(&from, &self.mul(&self.sub(&to, &from), part))
    }

    /// |ours - exact| / |exact|.
    pub fn relative_error(&self, ours: f64, exact: &BigFloat) -> f64 {
        let error = self.sub(&self.of(ours), exact);
        match (error.is_zero(), exact.is_zero()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => magnitude(&self.div(&error, exact)),
        }
    }

    /// |ours - exact|.
    pub fn absolute_error(&self, ours: f64, exact: &BigFloat) -> f64 {
        magnitude(&self.sub(&self.of(ours), exact))
    }
}

/// |x| to f64's precision.
pub fn magnitude(x: &BigFloat) -> f64 {
    if x.is_zero() {
        return 0.0;
    }
    let (words, _, _, exponent, _) = x.as_raw_parts().expect("a finite number");
    // The mantissa is a fraction in [1/2, 1) whose highest word comes last.
    let top = *words.last().expect("at least one word") as f64 / 2.0f64.powi(64);
    top * 2.0f64.powi(exponent)
}
