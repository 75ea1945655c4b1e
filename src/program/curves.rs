//! The curves that schedules are made of, in f64. `kernels/curves.cuh` is the same file in CUDA, operation for operation.
//!
//! Counts stay integers until one division; a ramp is computed from its nearer end, so that neither `1 + cos` nor
//! `1 - √r` cancels: [`Weight`] says how far a value is from which end, and that distance is accurate by itself.

use super::math::{exp, exp_sum, expm1, ln, ln_one_minus, ln_quotient, pow, sin2_half_pi};
use std::f64::consts::LN_2;

/// How far a value is from an end of its ramp, as a share of the way.
enum Weight {
    FromStart(f64),
    FromEnd(f64),
}

/// The value at `weight` on the way from `from` to `to`.
fn blend(from: f64, to: f64, weight: Weight) -> f64 {
    match weight {
        Weight::FromStart(w) => (to - from).mul_add(w, from),
        Weight::FromEnd(w) => (from - to).mul_add(w, to),
    }
}

/// From `e^y`, the share that is left to go, with y ≤ 0.
fn left_exp(y: f64) -> Weight {
    if y < -LN_2 { Weight::FromEnd(exp(y)) } else { Weight::FromStart(-expm1(y)) }
}

/// From `e^y`, the share that is gone, with y ≤ 0.
fn gone_exp(y: f64) -> Weight {
    if y < -LN_2 { Weight::FromStart(exp(y)) } else { Weight::FromEnd(-expm1(y)) }
}

/// `part / whole`.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

// Ramps go from `from` at t = 0 to `to` at t = len and stay there.

/// Straight.
pub(crate) fn linear(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    let weight = if left <= t { Weight::FromEnd(share(left, len)) } else { Weight::FromStart(share(t, len)) };
    blend(from, to, weight)
}

/// Along half a cosine.
pub(crate) fn cosine(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    let weight = if left <= t {
        Weight::FromEnd(sin2_half_pi(share(left, len)))
    } else {
        Weight::FromStart(sin2_half_pi(share(t, len)))
    };
    blend(from, to, weight)
}

/// Left to go: `cos²(π (t / len)^k / 2)^exponent`.
pub(crate) fn cosine_power(from: f64, to: f64, t: u64, len: u64, exponent: f64, k: f64) -> f64 {
    if t >= len {
        return to;
    }
    if t == 0 {
        return from;
    }
    // x = (t / len)^k; `rest` = 1 - x, accurate where x is near 1.
    let y = k * ln_quotient(t, len);
    let (x, rest) = (exp(y), -expm1(y));
    let weight = if rest <= 0.5 {
        Weight::FromEnd(pow(sin2_half_pi(rest), exponent))
    } else {
        left_exp(exponent * ln_one_minus(sin2_half_pi(x)))
    };
    blend(from, to, weight)
}

/// Left to go: `(1 - t / len)^power`.
pub(crate) fn polynomial(from: f64, to: f64, t: u64, len: u64, power: f64) -> f64 {
    if t >= len {
        return to;
    }
    blend(from, to, left_exp(power * ln_quotient(len - t, len)))
}

/// Left to go: `(1 - (t / len)^k)^power`.
pub(crate) fn polynomial_k(from: f64, to: f64, t: u64, len: u64, power: f64, k: f64) -> f64 {
    if t >= len {
        return to;
    }
    if t == 0 {
        return from;
    }
    let y = k * ln_quotient(t, len);
    let ln_rest = if y < -LN_2 { ln_one_minus(exp(y)) } else { ln(-expm1(y)) };
    blend(from, to, left_exp(power * ln_rest))
}

/// Gone: `(t / len)^power`.
pub(crate) fn power_rise(from: f64, to: f64, t: u64, len: u64, power: f64) -> f64 {
    if t >= len {
        return to;
    }
    if t == 0 {
        return from;
    }
    blend(from, to, gone_exp(power * ln_quotient(t, len)))
}

/// `from · (to / from)^(t / len)`, with `ln_ratio` = ln(to / from).
pub(crate) fn geometric(from: f64, to: f64, t: u64, len: u64, ln_ratio: f64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    if left <= t { to * exp(-ln_ratio * share(left, len)) } else { from * exp(ln_ratio * share(t, len)) }
}

/// Left to go: `(1 - tanh(start + (end - start) t / len)) / 2`, which is not quite 1 at t = 0.
pub(crate) fn tanh_ramp(from: f64, to: f64, t: u64, len: u64, start: f64, end: f64) -> f64 {
    if t >= len {
        return to;
    }
    let u = 2.0 * (end - start).mul_add(share(t, len), start);
    let weight = if u > 0.0 {
        let e = exp(-u);
        Weight::FromEnd(e / (1.0 + e))
    } else {
        let e = exp(u);
        Weight::FromStart(e / (1.0 + e))
    };
    blend(from, to, weight)
}

/// Left to go: `z / (1 - d + d z)` with z = 1 - t / len.
pub(crate) fn rex(from: f64, to: f64, t: u64, len: u64, d: f64) -> f64 {
    if t >= len {
        return to;
    }
    let (x, z) = (share(t, len), share(len - t, len));
    let below = d.mul_add(z, 1.0 - d);
    let (left, gone) = (z / below, (1.0 - d) * x / below);
    blend(from, to, if left <= gone { Weight::FromEnd(left) } else { Weight::FromStart(gone) })
}

/// Left to go: `2 · 2^(-t / len) - 1`.
pub(crate) fn half_life(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    let weight = if left <= t {
        Weight::FromEnd(expm1(LN_2 * share(left, len)))
    } else {
        Weight::FromStart(-2.0 * expm1(-LN_2 * share(t, len)))
    };
    blend(from, to, weight)
}

/// Gone: `ln(t + 1) / ln(len + 1)`.
pub(crate) fn log_rise(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let whole = ln(len as f64 + 1.0);
    let (gone, left) = (ln(t as f64 + 1.0) / whole, -ln_quotient(t + 1, len.saturating_add(1)) / whole);
    blend(from, to, if left <= gone { Weight::FromEnd(left) } else { Weight::FromStart(gone) })
}

// Curves without an end.

/// `init · exp(t · (ln_hi + ln_lo))`; exactly `init` at `t = 0`.
pub(crate) fn exponential(init: f64, ln_hi: f64, ln_lo: f64, t: u64) -> f64 {
    if init == 0.0 {
        return init; // where the power is infinite, 0 times it would be a NaN
    }
    let n = t as f64;
    let y = n * ln_hi;
    init * exp_sum(y, n.mul_add(ln_hi, -y) + n * ln_lo)
}

/// `init · √(timescale / (timescale + t))`.
pub(crate) fn inverse_sqrt(init: f64, timescale: f64, t: u64) -> f64 {
    init * (timescale / (timescale + t as f64)).sqrt()
}

/// `init / (1 + rate · t)`.
pub(crate) fn inverse_time(init: f64, rate: f64, t: u64) -> f64 {
    init / rate.mul_add(t as f64, 1.0)
}

/// `factor · (t + shift)^exponent`, with t + shift > 0.
pub(crate) fn power_law(factor: f64, exponent: f64, shift: f64, t: u64) -> f64 {
    if factor == 0.0 {
        return factor; // as in `exponential`
    }
    factor * pow(t as f64 + shift, exponent)
}

// Values given at steps.

/// The last of `steps`, in rising order, that is at most `t`, counted from 1; 0 if there is none.
fn passed(t: u64, steps: &[u64]) -> usize {
    steps.partition_point(|step| *step <= t)
}

/// `values[i]` from the i-th of `steps` on (i from 1), `values[0]` before.
pub(crate) fn piecewise_constant(t: u64, steps: &[u64], values: impl Fn(usize) -> f64) -> f64 {
    values(passed(t, steps))
}

/// `values[i]` at the i-th of `steps` (i from 0), straight between, the nearest value outside.
pub(crate) fn piecewise_linear(t: u64, steps: &[u64], values: impl Fn(usize) -> f64) -> f64 {
    match passed(t, steps) {
        0 => values(0),
        i if i == steps.len() => values(i - 1),
        i => linear(values(i - 1), values(i), t - steps[i - 1], steps[i] - steps[i - 1]),
    }
}

/// [`piecewise_linear`] along half cosines.
pub(crate) fn piecewise_cosine(t: u64, steps: &[u64], values: impl Fn(usize) -> f64) -> f64 {
    match passed(t, steps) {
        0 => values(0),
        i if i == steps.len() => values(i - 1),
        i => cosine(values(i - 1), values(i), t - steps[i - 1], steps[i] - steps[i - 1]),
    }
}
