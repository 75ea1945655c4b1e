//! Every curve against its formula in 256-bit arithmetic, at lengths from 1 to 2^40, near both ends and in the middle.

use astro_float_num::{BigFloat, Consts, RoundingMode};
use instep::Schedule;

const PRECISION: usize = 256;
const ROUND: RoundingMode = RoundingMode::ToEven;
/// The relative error that every curve stays below.
const CLAIM: f64 = 1e-14;

const LENGTHS: [u64; 6] = [1, 2, 1_000, 1_000_000, (1 << 24) + 1, 1 << 40];
/// Falling, rising, to zero, from zero, tiny, close together, negative.
const ENDS: [(f64, f64); 8] = [
    (3e-4, 3e-5),
    (1e-5, 0.1),
    (0.1, 0.0),
    (0.0, 0.3),
    (1e-30, 1e-35),
    (0.3, 0.300_000_1),
    (-0.2, -0.7),
    (1e30, 1e-30),
];

/// 256-bit arithmetic, written as in a formula.
struct Exact {
    constants: Consts,
}

impl Exact {
    fn new() -> Exact {
        Exact { constants: Consts::new().unwrap() }
    }

    fn of(&self, x: f64) -> BigFloat {
        BigFloat::from_f64(x, PRECISION)
    }

    fn count(&self, n: u64) -> BigFloat {
        // In two halves, each of which f64 holds.
        let high = self.mul(&self.of((n >> 32) as f64), &self.of(4_294_967_296.0));
        self.add(&high, &self.of((n & 0xffff_ffff) as f64))
    }

    fn add(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.add(b, PRECISION, ROUND)
    }

    fn sub(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.sub(b, PRECISION, ROUND)
    }

    fn mul(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.mul(b, PRECISION, ROUND)
    }

    fn div(&self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        a.div(b, PRECISION, ROUND)
    }

    fn pow(&mut self, a: &BigFloat, b: &BigFloat) -> BigFloat {
        if a.is_zero() {
            return self.of(0.0);
        }
        a.pow(b, PRECISION, ROUND, &mut self.constants)
    }

    fn cos_pi(&mut self, x: &BigFloat) -> BigFloat {
        let pi = self.constants.pi(PRECISION, ROUND);
        self.mul(x, &pi).cos(PRECISION, ROUND, &mut self.constants)
    }

    /// `from + (to - from) · part`.
    fn between(&self, from: f64, to: f64, part: &BigFloat) -> BigFloat {
        let (from, to) = (self.of(from), self.of(to));
        self.add(&from, &self.mul(&self.sub(&to, &from), part))
    }

    /// |ours - exact| / |exact|.
    fn relative_error(&self, ours: f64, exact: &BigFloat) -> f64 {
        let error = self.sub(&self.of(ours), exact);
        match (error.is_zero(), exact.is_zero()) {
            (true, _) => 0.0,
            (false, true) => f64::INFINITY,
            (false, false) => magnitude(&self.div(&error, exact)),
        }
    }
}

/// |x| to f64's precision.
fn magnitude(x: &BigFloat) -> f64 {
    let (words, _, _, exponent, _) = x.as_raw_parts().expect("a finite number");
    // The mantissa is a fraction in [1/2, 1) whose highest word comes last.
    let top = *words.last().expect("at least one word") as f64 / 2.0f64.powi(64);
    top * 2.0f64.powi(exponent)
}

/// Both ends of `0..=n`, the middle, and a few places between.
fn steps(n: u64) -> Vec<u64> {
    let far = |part: u64| (u128::from(n) * u128::from(part) / 97) as u64;
    let mut steps: Vec<u64> = [1, 7, 24, 25, 33, 48, 49, 60, 72, 73, 90, 96].map(far).to_vec();
    for k in [0, 1, 2, 3, 10] {
        steps.extend([k, n / 2 + k, n.saturating_sub(k), (n / 2).saturating_sub(k)]);
    }
    steps.retain(|t| *t <= n);
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// The worst error of a curve so far, and where.
struct Worst {
    curve: &'static str,
    error: f64,
    at: String,
}

impl Worst {
    fn new(curve: &'static str) -> Worst {
        Worst { curve, error: 0.0, at: "exact everywhere".to_owned() }
    }

    fn note(&mut self, error: f64, at: impl FnOnce() -> String) {
        if error > self.error {
            (self.error, self.at) = (error, at());
        }
    }

    #[track_caller]
    fn claim(self) {
        println!("{}: worst relative error {:.2e}, {}", self.curve, self.error, self.at);
        assert!(self.error <= CLAIM, "{}: relative error {:e}, {}", self.curve, self.error, self.at);
    }
}

/// Compares a ramp with `from + (to - from) · part(t / n)` at every length, pair of ends and step.
fn check_ramp(
    worst: &mut Worst,
    ramp: impl Fn(f64, f64) -> instep::Ramp,
    part: impl Fn(&mut Exact, &BigFloat) -> BigFloat,
) {
    let mut exact = Exact::new();
    for n in LENGTHS {
        for t in steps(n) {
            let x = exact.div(&exact.count(t), &exact.count(n));
            let part = part(&mut exact, &x);
            for (from, to) in ENDS {
                let ours = ramp(from, to).over(n).at(t).unwrap();
                let error = exact.relative_error(ours, &exact.between(from, to, &part));
                worst.note(error, || format!("from {from:e} to {to:e} at {t} of {n}"));
            }
        }
    }
}

#[test]
fn linear_is_accurate() {
    let mut worst = Worst::new("linear");
    check_ramp(&mut worst, Schedule::linear, |_, x| x.clone());
    worst.claim();
}

#[test]
fn cosine_is_accurate() {
    let mut worst = Worst::new("cosine");
    check_ramp(&mut worst, Schedule::cosine, |exact, x| {
        let cosine = exact.cos_pi(x);
        let fall = exact.sub(&exact.of(1.0), &cosine);
        exact.div(&fall, &exact.of(2.0))
    });
    worst.claim();
}

#[test]
fn polynomial_is_accurate() {
    for (name, power) in [
        ("polynomial, power 0.5", 0.5),
        ("polynomial, power 0.9", 0.9),
        ("polynomial, power 1", 1.0),
        ("polynomial, power 2", 2.0),
        ("polynomial, power 3.7", 3.7),
    ] {
        let mut worst = Worst::new(name);
        let ramp = |from, to| Schedule::polynomial(from, to, power);
        check_ramp(&mut worst, ramp, |exact, x| {
            let left = exact.pow(&exact.sub(&exact.of(1.0), x), &exact.of(power));
            exact.sub(&exact.of(1.0), &left)
        });
        worst.claim();
    }
}

#[test]
fn exponential_ramp_is_accurate() {
    let (mut exact, mut worst) = (Exact::new(), Worst::new("exponential"));
    for (from, to) in ENDS.into_iter().filter(|(from, to)| from * to != 0.0) {
        let ratio = exact.div(&exact.of(to), &exact.of(from));
        for n in LENGTHS {
            for t in steps(n) {
                let x = exact.div(&exact.count(t), &exact.count(n));
                let power = exact.pow(&ratio, &x);
                let ours = Schedule::exponential(from, to).over(n).at(t).unwrap();
                let error = exact.relative_error(ours, &exact.mul(&exact.of(from), &power));
                worst.note(error, || format!("from {from:e} to {to:e} at {t} of {n}"));
            }
        }
    }
    worst.claim();
}

/// `init · factor^k`, compared at step `t` of `schedule`.
fn check_power(worst: &mut Worst, exact: &mut Exact, schedule: &Schedule, init: f64, factor: f64, k: u64, t: u64) {
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
    let (mut exact, mut worst) = (Exact::new(), Worst::new("exponential_decay"));
    for n in LENGTHS {
        for factor in [0.1, 0.5, 0.97, 1.0 - 1e-6, 1.0 - 1e-12, 1.0 - f64::EPSILON, 1.0 + 1e-12, 1.0] {
            let schedule = Schedule::exponential_decay(0.3, factor).over(n);
            for t in steps(n) {
                check_power(&mut worst, &mut exact, &schedule, 0.3, factor, t, t);
            }
        }
    }
    worst.claim();
}

#[test]
fn step_decay_is_accurate() {
    let (mut exact, mut worst) = (Exact::new(), Worst::new("step_decay"));
    for n in LENGTHS {
        for (factor, every) in [(0.1, 1), (0.5, n.div_ceil(30)), (0.94, n.div_ceil(400)), (1.0 - 1e-9, 3)] {
            let schedule = Schedule::step_decay(0.7, factor, every);
            for t in steps(n) {
                check_power(&mut worst, &mut exact, &schedule, 0.7, factor, t / every, t);
            }
        }
    }
    worst.claim();
}

#[test]
fn multi_step_is_accurate() {
    let (mut exact, mut worst) = (Exact::new(), Worst::new("multi_step"));
    for n in LENGTHS {
        let mut milestones: Vec<u64> = [3, 6, 8, 9].map(|tenths| (u128::from(n) * tenths / 10) as u64).to_vec();
        milestones.dedup();
        for factor in [0.1, 0.2, 0.7, 3.0] {
            let schedule = Schedule::multi_step(0.1, factor, milestones.clone());
            for t in steps(n) {
                let passed = milestones.iter().filter(|milestone| **milestone <= t).count() as u64;
                check_power(&mut worst, &mut exact, &schedule, 0.1, factor, passed, t);
            }
        }
    }
    worst.claim();
}
