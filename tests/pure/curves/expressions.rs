//! The functions that expressions are made of. Their arguments are f64 sums and products of the step; those are taken as
//! they are, and the function of them is compared.

use astro_float_num::BigFloat;
use instep::{Schedule, step};

use super::exact::Exact;
use super::{LENGTHS, Worst, steps};

/// The relative error of a function; the absolute error of sine and cosine.
const CLAIM: f64 = 1e-14;

/// A function of one argument: ours on schedules, and the exact one.
struct Function<O, E> {
    worst: Worst,
    exact: Exact,
    ours: O,
    formula: E,
    error: fn(&Exact, f64, &BigFloat) -> f64,
}

impl<O: Fn(Schedule) -> Schedule, E: Fn(&Exact, &BigFloat) -> BigFloat> Function<O, E> {
    fn new(name: impl Into<String>, ours: O, formula: E) -> Function<O, E> {
        Function { worst: Worst::new(name), exact: Exact::new(), ours, formula, error: Exact::relative_error }
    }

    /// Compares at `scale · t + offset` for the steps up to `n`.
    fn check(&mut self, n: u64, scale: f64, offset: f64) {
        let schedule = (self.ours)(step() * scale + offset).over(n);
        for t in steps(n) {
            let x = t as f64 * scale + offset;
            let expected = (self.formula)(&self.exact, &self.exact.of(x));
            let error = (self.error)(&self.exact, schedule.at(t).unwrap(), &expected);
            self.worst.note(error, || format!("of {x:e}"));
        }
    }
}

#[test]
fn exp_is_accurate() {
    let mut exp = Function::new("exp", Schedule::exp, |exact, x| exact.exp(x));
    for n in LENGTHS {
        for range in [88.0, -700.0, 1.0, -1.0, 1e-9, -1e-9] {
            exp.check(n, range / n as f64, 0.0);
        }
        exp.check(n, 176.0 / n as f64, -88.0);
    }
    exp.worst.claim(CLAIM);
}

#[test]
fn ln_is_accurate() {
    let mut ln = Function::new("ln", Schedule::ln, |exact, x| exact.ln(x));
    for n in LENGTHS {
        for (scale, offset) in [(1.0, 1.0), (1.0, 1e-30), (1e-3, 0.5), (1e30, 1e-300)] {
            ln.check(n, scale, offset);
        }
        // Near 1, where the logarithm is near 0.
        for gap in [1e-15, 1e-9, 1e-3, 0.3, 0.5] {
            ln.check(n, 2.0 * gap / n as f64, 1.0 - gap);
        }
    }
    ln.worst.claim(CLAIM);
}

/// Steps near multiples of π/2: numerators of its convergents, and the steps around.
const NEAR_ZEROS: [u64; 12] =
    [3, 11, 22, 344, 355, 51_819, 52_174, 104_348, 573_204, 4_846_147, 37_362_253, 122_925_461];

#[test]
fn sin_and_cos_are_accurate() {
    let mut sin = Function::new("sin, absolute", Schedule::sin, |exact, x| exact.sin(x));
    let mut cos = Function::new("cos, absolute", Schedule::cos, |exact, x| exact.cos(x));
    (sin.error, cos.error) = (Exact::absolute_error, Exact::absolute_error);
    for n in LENGTHS.into_iter().chain(NEAR_ZEROS) {
        for (scale, offset) in [(1.0, 0.0), (-1.0, 0.0), (0.1, -3.0), (std::f64::consts::PI / n as f64, 0.0)] {
            sin.check(n, scale, offset);
            cos.check(n, scale, offset);
        }
    }
    sin.worst.claim(CLAIM);
    cos.worst.claim(CLAIM);
}

#[test]
fn tanh_is_accurate() {
    let mut tanh = Function::new("tanh", Schedule::tanh, |exact, x| exact.tanh(x));
    for n in LENGTHS {
        for range in [1e-12, 0.1, 0.4, 1.0, 18.0, 25.0] {
            tanh.check(n, 2.0 * range / n as f64, -range);
        }
    }
    tanh.worst.claim(CLAIM);
}

#[test]
fn sqrt_is_accurate() {
    let mut sqrt = Function::new("sqrt", Schedule::sqrt, |exact, x| exact.sqrt(x));
    for n in LENGTHS {
        for (scale, offset) in [(1.0, 0.0), (1e-3, 1e-30)] {
            sqrt.check(n, scale, offset);
        }
    }
    sqrt.worst.claim(f64::EPSILON / 2.0);
}

#[test]
fn pow_is_accurate() {
    for exponent in [-3.0, -0.51, -0.5, 0.0, 0.25, 0.9, 1.0, 2.0, 3.0] {
        let ours = |x: Schedule| x.pow(exponent);
        let mut pow =
            Function::new(format!("pow, exponent {exponent}"), ours, |exact, x| exact.pow(x, &exact.of(exponent)));
        for n in LENGTHS {
            pow.check(n, 1.0, 1.0);
            pow.check(n, 0.7 / n as f64, 0.3);
            pow.check(n, 2e-9 / n as f64, 1.0 - 1e-9);
        }
        pow.worst.claim(CLAIM);
    }
    // Bases near 1 under exponents that take them to either end of f32.
    let mut pow = Function::new("pow, exponent 8.7e10", |x| x.pow(8.7e10), |exact, x| exact.pow(x, &exact.of(8.7e10)));
    for n in LENGTHS {
        pow.check(n, 2e-9 / n as f64, 1.0 - 1e-9);
    }
    pow.worst.claim(CLAIM);
}

#[test]
fn pow_int_is_accurate_whatever_the_exponent() {
    for exponent in [0, 1, 2, 3, 7, 63, 64, 65, 1_000, 100_001, i32::MAX, -1, -2, -65, -1_000, i32::MIN + 1, i32::MIN] {
        let (ours, power) = (|x: Schedule| x.pow_int(exponent), f64::from(exponent));
        let mut pow = Function::new(format!("pow_int, exponent {exponent}"), ours, |exact, x| {
            let sign = exact.of(if x.is_negative() && exponent % 2 != 0 { -1.0 } else { 1.0 });
            exact.mul(&sign, &exact.pow(&x.abs(), &exact.of(power)))
        });
        // What takes 1 ± range to within the range of f32.
        let range = 0.5f64.min(80.0 / power.abs());
        for n in LENGTHS {
            pow.check(n, 2.0 * range / n as f64, 1.0 - range);
            pow.check(n, 2.0 * range / n as f64, -1.0 - range);
        }
        pow.worst.claim(CLAIM);
    }
}

/// Compares `ours(a, b)` with `formula(a, b, ⌊a / b⌋)` for quotients up to 2^52.
fn check_division(
    name: &str,
    ours: impl Fn(Schedule, f64) -> Schedule,
    formula: impl Fn(&Exact, &BigFloat, &BigFloat, &BigFloat) -> BigFloat,
) {
    let (exact, mut worst) = (Exact::new(), Worst::new(name));
    for n in LENGTHS {
        for (scale, offset) in [(1.0, 0.0), (-1.0, 0.0), (0.1, 0.0), (1.0, -500.5), (1e-3, 1e-20)] {
            for divisor in [1.0, 7.0, -7.0, 0.1, -0.3, 1e6, n as f64] {
                let schedule = ours(step() * scale + offset, divisor).over(n);
                for t in steps(n) {
                    let dividend = t as f64 * scale + offset;
                    let (a, b) = (exact.of(dividend), exact.of(divisor));
                    let expected = formula(&exact, &a, &b, &exact.div(&a, &b).floor());
                    let error = exact.relative_error(schedule.at(t).unwrap(), &expected);
                    worst.note(error, || format!("of {dividend:e} by {divisor:e}"));
                }
            }
        }
    }
    worst.claim(f64::EPSILON / 2.0);
}

#[test]
fn floor_div_is_exact() {
    check_division("floor_div", |a, b| a.floor_div(b), |_, _, _, quotient| quotient.clone());
}

#[test]
fn modulo_is_exact() {
    check_division("modulo", |a, b| a.modulo(b), |exact, a, b, quotient| exact.sub(a, &exact.mul(b, quotient)));
}
