//! The curves between two values. Each claim is a relative error, whichever end the value is near.

use astro_float_num::BigFloat;
use instep::{Ramp, Schedule};

use super::exact::Exact;
use super::{LENGTHS, Worst, steps};

/// Falling, rising, to zero, from zero, tiny, close together, negative, far apart.
pub const ENDS: [(f64, f64); 8] = [
    (3e-4, 3e-5),
    (1e-5, 0.1),
    (0.1, 0.0),
    (0.0, 0.3),
    (1e-30, 1e-35),
    (0.3, 0.300_000_1),
    (-0.2, -0.7),
    (1e30, 1e-30),
];

/// The relative error of a ramp.
const CLAIM: f64 = 1e-14;

/// Compares a ramp with `from + (to - from) · gone(t, n)` at every length, pair of ends and step; at `n` with `to`.
fn check(name: impl Into<String>, ramp: impl Fn(f64, f64) -> Ramp, gone: impl Fn(&Exact, u64, u64) -> BigFloat) {
    let (exact, mut worst) = (Exact::new(), Worst::new(name));
    for n in LENGTHS {
        for t in steps(n) {
            let gone = if t == n { exact.of(1.0) } else { gone(&exact, t, n) };
            for (from, to) in ENDS {
                let ours = ramp(from, to).over(n).at(t).unwrap();
                let error = exact.relative_error(ours, &exact.between(from, to, &gone));
                worst.note(error, || format!("from {from:e} to {to:e} at {t} of {n}"));
            }
        }
    }
    worst.claim(CLAIM);
}

#[test]
fn linear_is_accurate() {
    check("linear", Schedule::linear, |exact, t, n| exact.share(t, n));
}

#[test]
fn cosine_is_accurate() {
    check("cosine", Schedule::cosine, |exact, t, n| exact.half_cosine(&exact.share(t, n)));
}

#[test]
fn cosine_power_is_accurate() {
    for exponent in [0.5, 1.0, 2.0] {
        for k in [0.5, 1.0, 1.5, 3.0] {
            let ramp = |from, to| Schedule::cosine_power(from, to, exponent, k);
            check(format!("cosine_power, exponent {exponent}, k {k}"), ramp, |exact, t, n| {
                let x = exact.pow(&exact.share(t, n), &exact.of(k));
                let left = exact.one_minus(&exact.half_cosine(&x));
                let left = exact.pow(&left, &exact.of(exponent));
                exact.one_minus(&left)
            });
        }
    }
}

#[test]
fn polynomial_is_accurate() {
    for power in [0.5, 0.9, 1.0, 2.0, 3.7] {
        let ramp = |from, to| Schedule::polynomial(from, to, power);
        check(format!("polynomial, power {power}"), ramp, |exact, t, n| {
            let left = exact.pow(&exact.share(n - t, n), &exact.of(power));
            exact.one_minus(&left)
        });
    }
}

#[test]
fn polynomial_k_is_accurate() {
    for power in [0.5, 0.9, 1.0, 2.0, 3.7] {
        for k in [0.5, 1.0, 1.5, 3.0] {
            let ramp = |from, to| Schedule::polynomial_k(from, to, power, k);
            check(format!("polynomial_k, power {power}, k {k}"), ramp, |exact, t, n| {
                let x = exact.pow(&exact.share(t, n), &exact.of(k));
                let left = exact.pow(&exact.one_minus(&x), &exact.of(power));
                exact.one_minus(&left)
            });
        }
    }
}

#[test]
fn power_rise_is_accurate() {
    for power in [0.25, 0.5, 1.0, 2.0, 3.7] {
        let ramp = |from, to| Schedule::power_rise(from, to, power);
        let gone = |exact: &Exact, t, n| exact.pow(&exact.share(t, n), &exact.of(power));
        check(format!("power_rise, power {power}"), ramp, gone);
    }
}

#[test]
fn one_minus_sqrt_is_accurate() {
    check("one_minus_sqrt", Schedule::one_minus_sqrt, |exact, t, n| exact.sqrt(&exact.share(t, n)));
}

#[test]
fn tanh_ramp_is_accurate() {
    for (start, end) in [(-7.0, 3.0), (-6.0, 6.0), (0.0, 4.0), (-15.0, -0.5), (2.0, -3.0)] {
        let ramp = |from, to| Schedule::tanh_ramp(from, to, start, end);
        check(format!("tanh_ramp, {start} to {end}"), ramp, |exact, t, n| {
            let way = exact.between(start, end, &exact.share(t, n));
            let tanh = exact.tanh(&way);
            exact.div(&exact.add(&exact.of(1.0), &tanh), &exact.of(2.0))
        });
    }
}

#[test]
fn rex_is_accurate() {
    for d in [0.0, 0.3, 0.5, 0.9] {
        let ramp = |from, to| Schedule::rex(from, to, d);
        check(format!("rex, d {d}"), ramp, |exact, t, n| {
            let z = exact.share(n - t, n);
            let below = exact.add(&exact.one_minus(&exact.of(d)), &exact.mul(&exact.of(d), &z));
            exact.one_minus(&exact.div(&z, &below))
        });
    }
}

#[test]
fn half_life_is_accurate() {
    check("half_life", Schedule::half_life, |exact, t, n| {
        let halved = exact.pow(&exact.of(0.5), &exact.share(t, n));
        exact.mul(&exact.of(2.0), &exact.one_minus(&halved))
    });
}

#[test]
fn log_rise_is_accurate() {
    check("log_rise", Schedule::log_rise, |exact, t, n| {
        let (part, whole) = (exact.ln(&exact.count(t + 1)), exact.ln(&exact.count(n + 1)));
        exact.div(&part, &whole)
    });
}

#[test]
fn exponential_ramp_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("exponential"));
    for (from, to) in ENDS.into_iter().filter(|(from, to)| from * to != 0.0) {
        let ratio = exact.div(&exact.of(to), &exact.of(from));
        for n in LENGTHS {
            for t in steps(n) {
                let power = exact.pow(&ratio, &exact.share(t, n));
                let ours = Schedule::exponential(from, to).over(n).at(t).unwrap();
                let error = exact.relative_error(ours, &exact.mul(&exact.of(from), &power));
                worst.note(error, || format!("from {from:e} to {to:e} at {t} of {n}"));
            }
        }
    }
    worst.claim(CLAIM);
}
