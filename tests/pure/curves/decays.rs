//! The curves without an end, after any number of steps, and values that are given at steps.

use astro_float_num::BigFloat;
use instep::Schedule;

use super::exact::{Exact, magnitude};
use super::ramps::ENDS;
use super::{LENGTHS, Worst, steps};

/// The relative error of a decay.
const CLAIM: f64 = 1e-14;

/// Compares `schedule` with `formula` at the steps of every length.
fn check(worst: &mut Worst, exact: &Exact, schedule: &Schedule, formula: impl Fn(&Exact, u64) -> BigFloat) {
    for n in LENGTHS {
        for t in steps(n) {
            let expected = formula(exact, t);
            let ours = schedule.at(t).unwrap();
            worst.note(exact.relative_error(ours, &expected), || format!("{schedule:?} at {t}"));
        }
    }
}

/// Compares step `t` of `schedule` with `init · factor^k`.
fn check_power(worst: &mut Worst, exact: &Exact, schedule: &Schedule, init: f64, factor: f64, k: u64, t: u64) {
    let power = exact.pow(&exact.of(factor), &exact.count(k));
    let expected = exact.mul(&exact.of(init), &power);
    // Below the smallest normal number f64 has no relative precision.
    if magnitude(&expected) > f64::MIN_POSITIVE {
        let ours = schedule.at(t).unwrap();
        let error = exact.relative_error(ours, &expected);
        worst.note(error, || format!("{schedule:?} at {t}"));
    }
}

#[test]
fn exponential_decay_is_accurate_after_any_number_of_steps() {
    let (exact, mut worst) = (Exact::new(), Worst::new("exponential_decay"));
    for n in LENGTHS {
        for factor in [0.1, 0.5, 0.97, 1.0 - 1e-6, 1.0 - 1e-12, 1.0 - f64::EPSILON, 1.0 + 1e-12, 1.0] {
            let schedule = Schedule::exponential_decay(0.3, factor).over(n);
            for t in steps(n) {
                check_power(&mut worst, &exact, &schedule, 0.3, factor, t, t);
            }
        }
    }
    worst.claim(CLAIM);
}

#[test]
fn step_decay_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("step_decay"));
    for n in LENGTHS {
        for (factor, every) in [(0.1, 1), (0.5, n.div_ceil(30)), (0.94, n.div_ceil(400)), (1.0 - 1e-9, 3)] {
            let schedule = Schedule::step_decay(0.7, factor, every);
            for t in steps(n) {
                check_power(&mut worst, &exact, &schedule, 0.7, factor, t / every, t);
            }
        }
    }
    worst.claim(CLAIM);
}

#[test]
fn multi_step_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("multi_step"));
    for n in LENGTHS {
        let mut milestones: Vec<u64> = [3, 6, 8, 9].map(|tenths| (u128::from(n) * tenths / 10) as u64).to_vec();
        milestones.dedup();
        for factor in [0.1, 0.2, 0.7, 3.0] {
            let schedule = Schedule::multi_step(0.1, factor, milestones.clone());
            for t in steps(n) {
                let passed = milestones.iter().filter(|milestone| **milestone <= t).count() as u64;
                check_power(&mut worst, &exact, &schedule, 0.1, factor, passed, t);
            }
        }
    }
    worst.claim(CLAIM);
}

#[test]
fn inverse_sqrt_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("inverse_sqrt"));
    for timescale in [1e-3, 1.0, 10.0, 4_000.0, 1e7] {
        check(&mut worst, &exact, &Schedule::inverse_sqrt(0.3, timescale), |exact, t| {
            let timescale = exact.of(timescale);
            let share = exact.div(&timescale, &exact.add(&timescale, &exact.count(t)));
            exact.mul(&exact.of(0.3), &exact.sqrt(&share))
        });
    }
    worst.claim(CLAIM);
}

#[test]
fn inverse_time_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("inverse_time"));
    for rate in [0.0, 1e-9, 1e-3, 0.5, 7.0] {
        check(&mut worst, &exact, &Schedule::inverse_time(0.3, rate), |exact, t| {
            let below = exact.add(&exact.of(1.0), &exact.mul(&exact.of(rate), &exact.count(t)));
            exact.div(&exact.of(0.3), &below)
        });
    }
    worst.claim(CLAIM);
}

#[test]
fn power_law_is_accurate() {
    let (exact, mut worst) = (Exact::new(), Worst::new("power_law"));
    for exponent in [-3.0, -1.0, -0.51, -0.5, 0.0, 0.3, 1.0] {
        for shift in [0.5, 1.0, 1_000.0] {
            check(&mut worst, &exact, &Schedule::power_law(0.3, exponent, shift), |exact, t| {
                let base = exact.add(&exact.count(t), &exact.of(shift));
                let power = exact.pow(&base, &exact.of(exponent));
                exact.mul(&exact.of(0.3), &power)
            });
        }
    }
    worst.claim(CLAIM);
}

/// Compares a piecewise schedule with `from + (to - from) · gone(t / n)` after a piece of length 5, and mirrored after that.
fn check_pieces(
    name: &str,
    piecewise: impl Fn(Vec<u64>, Vec<f64>) -> Schedule,
    gone: impl Fn(&Exact, &BigFloat) -> BigFloat,
) {
    let (exact, mut worst) = (Exact::new(), Worst::new(name));
    for n in LENGTHS {
        for t in steps(n) {
            let share = exact.share(t, n);
            let gone = if t == n { share } else { gone(&exact, &share) };
            for (from, to) in ENDS {
                let schedule = piecewise(vec![3, 8, 8 + n, 8 + 2 * n], vec![1.0, from, to, from]);
                let expected = exact.between(from, to, &gone);
                for step in [8 + t, 8 + 2 * n - t] {
                    let error = exact.relative_error(schedule.at(step).unwrap(), &expected);
                    worst.note(error, || format!("from {from:e} to {to:e} at {step}, pieces of {n}"));
                }
            }
        }
    }
    worst.claim(CLAIM);
}

#[test]
fn piecewise_linear_is_accurate() {
    check_pieces("piecewise_linear", Schedule::piecewise_linear, |_, share| share.clone());
}

#[test]
fn piecewise_cosine_is_accurate() {
    check_pieces("piecewise_cosine", Schedule::piecewise_cosine, |exact, share| exact.half_cosine(share));
}
