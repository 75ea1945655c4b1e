//! What rows have to reach on one NVIDIA H100, and whether they do. `cargo xtask performance` reads this file too.

/// At most so many nanoseconds a step, or at least such a share of the best copy of the same run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    Nanoseconds(f64),
    PercentOfCopy(f64),
}

/// What the row of this name has to reach at this size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    pub row: &'static str,
    pub size: &'static str,
    pub bound: Bound,
}

/// How the rows end that say what a schedule adds to a step.
pub const COST: &str = "the schedule's cost";

const fn at_most(row: &'static str, size: &'static str, nanoseconds: f64) -> Bar {
    Bar { row, size, bound: Bound::Nanoseconds(nanoseconds) }
}

const fn share(row: &'static str, size: &'static str) -> Bar {
    Bar { row, size, bound: Bound::PercentOfCopy(98.0) }
}

const fn kept(row: &'static str, percent: f64) -> Bar {
    Bar { row, size: LARGE[0], bound: Bound::PercentOfCopy(percent) }
}

const fn cost(size: &'static str) -> Bar {
    at_most("AdamW, the schedule's cost", size, 300.0)
}

/// How parameters, gradients and states are kept in the rows `AdamW in FORM, MODE`, and the bytes that a step then moves per
/// parameter.
pub const FORMS: [(&str, f64); 9] = [
    ("f32", 28.0),
    ("bf16 with f32 master", 28.0),
    ("bf16 with remainder", 26.0),
    ("f32, bf16 states", 20.0),
    ("bf16 with f32 master, bf16 states", 20.0),
    ("bf16", 14.0),
    ("bf16 rounded stochastically", 14.0),
    ("bf16 rounded stochastically, 8-bit states", 10.0625),
    ("bf16 with f32 master, 8-bit states", 16.0625),
];
/// How the names of those rows begin.
pub const KEPT: &str = "AdamW in ";
/// A size of those rows. How many layers one takes, the device's memory decides: the row's note says it.
pub const LLAMA: &str = "Llama-3 8B, what fits";

pub const BARS: [Bar; 28] = [
    at_most("AdamW, 32 steps in a graph", "1 x 64", 2_600.0),
    at_most("SGD with momentum, 32 steps in a graph", "1 x 64", 2_300.0),
    at_most("AdamW, clip by norm, 32 steps in a graph", "1 x 64", 4_800.0),
    at_most("AdamW, 32 steps in a graph", "148 x 64", 2_800.0),
    at_most("AdamW, 32 steps in a graph", "1000 x 1024", 7_000.0),
    at_most("AdamW, 32 steps in a graph", "10000 x 64", 6_500.0),
    at_most("AdamW, 32 steps in a graph", "1 x 1 Mi", 7_000.0),
    share("AdamW, one-step graph", "148 tensors, 124 M"),
    share("AdamW, one-step graph", "1 x 1 B"),
    share("SGD with momentum, one-step graph", "148 tensors, 124 M"),
    cost("1 x 64"),
    cost("148 x 64"),
    cost("1000 x 1024"),
    cost("10000 x 64"),
    cost("1 x 1 Mi"),
    cost("148 tensors, 124 M"),
    cost("1 x 1 B"),
    at_most("SGD with momentum, the schedule's cost", "1 x 64", 300.0),
    at_most("SGD with momentum, the schedule's cost", "148 tensors, 124 M", 300.0),
    kept("AdamW in f32, one-step graph", 97.0),
    kept("AdamW in bf16 with f32 master, one-step graph", 97.0),
    kept("AdamW in bf16 with remainder, one-step graph", 97.0),
    kept("AdamW in f32, bf16 states, one-step graph", 97.0),
    kept("AdamW in bf16 with f32 master, bf16 states, one-step graph", 97.0),
    kept("AdamW in bf16, one-step graph", 97.0),
    kept("AdamW in bf16 rounded stochastically, one-step graph", 97.0),
    kept("AdamW in bf16 rounded stochastically, 8-bit states, one-step graph", 85.0),
    kept("AdamW in bf16 with f32 master, 8-bit states, one-step graph", 85.0),
];

const TINY: [&str; 5] = ["1 x 64", "148 x 64", "1000 x 1024", "10000 x 64", "1 x 1 Mi"];
const ALL: [&str; 7] = [TINY[0], TINY[1], TINY[2], TINY[3], TINY[4], LARGE[0], LARGE[1]];
const LARGE: [&str; 2] = ["148 tensors, 124 M", "1 x 1 B"];
const SOME: [&str; 2] = [TINY[0], LARGE[0]];

/// Rows that are compared with `torch fused` and the same name, and the sizes at which. Ours has to be faster, 1.1 times at
/// the large ones and 1.3 times in bf16. PyTorch's bf16 is rounded to nearest alone.
pub const COMPARED: [(&str, &[&str]); 14] = [
    ("AdamW, eager", &ALL),
    ("AdamW, one-step graph", &ALL),
    ("AdamW, 32 steps in a graph", &TINY),
    ("SGD with momentum, eager", &SOME),
    ("SGD with momentum, one-step graph", &SOME),
    ("SGD with momentum, 32 steps in a graph", &[TINY[0]]),
    ("AdamW, clip by norm, eager", &ALL),
    ("AdamW, clip by norm, one-step graph", &ALL),
    ("AdamW, clip by norm, 32 steps in a graph", &TINY),
    ("AdamW, clip by norm and dynamic loss scale, eager", &ALL),
    ("AdamW in bf16, eager", &[LARGE[0]]),
    ("AdamW in bf16, one-step graph", &[LARGE[0]]),
    ("AdamW in bf16 rounded stochastically, eager", &[LARGE[0]]),
    ("AdamW in bf16 rounded stochastically, one-step graph", &[LARGE[0]]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Met,
    Missed,
    /// A difference of two times, whose noise reaches across the bar.
    NotResolved,
}

impl Bar {
    /// `time`: median, 10th and 90th percentile in nanoseconds, and the number of samples. None without what it judges.
    pub fn verdict(&self, (median, low, high, samples): (f64, f64, f64, u64), percent: Option<f64>) -> Option<Verdict> {
        let met = match self.bound {
            Bound::Nanoseconds(most) => median <= most,
            Bound::PercentOfCopy(least) => percent? >= least,
        };
        // Twice the standard error of a median is about 0.98 of this spread over the root of the number.
        let noise = (high - low) / (samples as f64).sqrt();
        Some(match self.bound {
            _ if met => Verdict::Met,
            Bound::Nanoseconds(most) if self.row.ends_with(COST) && median - noise <= most => Verdict::NotResolved,
            _ => Verdict::Missed,
        })
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::Nanoseconds(most) => write!(f, "at most {} µs", most / 1e3),
            Bound::PercentOfCopy(least) => write!(f, "at least {least} % of the best copy"),
        }
    }
}
