//! Every curve against its formula in 512-bit arithmetic, at lengths from 1 to 2^40, near both ends and in the middle.
//!
//! `exact` is that arithmetic. `ramps` has the curves between two values, `decays` those without an end and the piecewise
//! ones, `expressions` the functions that expressions are made of. Each test prints the worst error that it saw.

mod decays;
mod exact;
mod expressions;
mod ramps;

const LENGTHS: [u64; 6] = [1, 2, 1_000, 1_000_000, (1 << 24) + 1, 1 << 40];

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
    curve: String,
    error: f64,
    at: String,
}

impl Worst {
    fn new(curve: impl Into<String>) -> Worst {
        Worst { curve: curve.into(), error: 0.0, at: "exact everywhere".to_owned() }
    }

    fn note(&mut self, error: f64, at: impl FnOnce() -> String) {
        assert!(!error.is_nan(), "{}: not a number {}", self.curve, at());
        if error > self.error {
            (self.error, self.at) = (error, at());
        }
    }

    /// The error, relative unless the name of the curve says otherwise, is at most `bound`.
    #[track_caller]
    fn claim(self, bound: f64) {
        let Worst { curve, error, at } = self;
        println!("{curve}: worst error {error:.2e}, {at}");
        assert!(error <= bound, "{curve}: error {error:e}, {at}");
    }
}
