//! The functions that values are made of, in f64. `kernels/curves.cuh` is the same file in CUDA, operation for operation,
//! so that a value has the same bits on every CPU and GPU. Only `+ - * /`, `sqrt`, fused multiply-add, conversions and
//! bit operations are used, and none is ever contracted.
//!
//! Each is accurate to 1e-14 relative (a claim of `tests/pure/curves.rs`), in a form that is well-conditioned at both
//! ends: a ramp is computed from its nearer end, so that neither `1 + cos` nor `1 - √r` cancels.

use std::f64::consts::LN_2;

const LOG2_E: f64 = std::f64::consts::LOG2_E;
const LN_2_HI: f64 = 0.693_147_180_369_123_8; // 0x3FE62E42FEE00000: k * LN_2_HI is exact for |k| < 2^20
const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;
const HALF_PI: f64 = std::f64::consts::FRAC_PI_2;

/// 1/3!, 1/4!, … 1/14!, highest first.
const EXP: [f64; 12] = [
    1.0 / 87_178_291_200.0,
    1.0 / 6_227_020_800.0,
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
];

/// `e^r - 1` for |r| ≤ ln(2)/2 or a little more, by its Taylor series: `r + r²/2 + r³ (1/6 + …)`.
fn expm1_reduced(r: f64) -> f64 {
    let mut p = EXP[0];
    for c in &EXP[1..] {
        p = p.mul_add(r, *c);
    }
    let r2 = r * r;
    r + r2.mul_add(0.5, p * (r2 * r))
}

/// `x · 2^k` for k in -1100..=1100, in two exact steps but for the last rounding.
fn scale(x: f64, k: i64) -> f64 {
    let half = k >> 1;
    x * power_of_two(half) * power_of_two(k - half)
}

fn power_of_two(k: i64) -> f64 {
    f64::from_bits(((k + 1023) as u64) << 52)
}

/// `e^(x + low)`, where `low` is a correction far below `x`. 0 and infinity past the range of f64.
pub(crate) fn exp_sum(x: f64, low: f64) -> f64 {
    if x > 710.0 {
        return f64::INFINITY;
    }
    if x < -750.0 {
        return 0.0;
    }
    let k = (x * LOG2_E).round_ties_even();
    let r = k.mul_add(-LN_2_LO, k.mul_add(-LN_2_HI, x)) + low;
    scale(1.0 + expm1_reduced(r), k as i64)
}

/// `e^x`.
pub(crate) fn exp(x: f64) -> f64 {
    exp_sum(x, 0.0)
}

/// `e^x - 1`, accurate near 0.
pub(crate) fn expm1(x: f64) -> f64 {
    if x > -0.35 && x < 0.35 { expm1_reduced(x) } else { exp(x) - 1.0 }
}

/// `ln((1 + s) / (1 - s))` for |s| ≤ 0.1716: `2s + 2s³/3 + 2s⁵/5 + …`.
fn ln_series(s: f64) -> f64 {
    let z = s * s;
    let mut p: f64 = 1.0 / 25.0;
    let mut odd = 23.0;
    while odd > 2.0 {
        p = p.mul_add(z, 1.0 / odd);
        odd -= 2.0;
    }
    2.0 * (p * z).mul_add(s, s)
}

/// The natural logarithm of a positive, finite `x`; minus infinity for 0.
pub(crate) fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * power_of_two(54), -54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut k = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    let k = (k + bias) as f64;
    let y = ln_series((m - 1.0) / (m + 1.0));
    k.mul_add(LN_2_HI, k.mul_add(LN_2_LO, y))
}

/// `ln(part / whole)` for 0 < part ≤ whole, accurate near 1 because the difference is taken in integers.
pub(crate) fn ln_quotient(part: u64, whole: u64) -> f64 {
    let gap = whole - part;
    if gap <= whole / 4 {
        // (part - whole) / (part + whole), with part + whole = 2 whole - gap.
        return ln_series(-(gap as f64) / (2.0f64).mul_add(whole as f64, -(gap as f64)));
    }
    ln(part as f64 / whole as f64)
}

/// `sin²(π x / 2)` for x in [0, 1/2].
fn sin2_half_pi(x: f64) -> f64 {
    let y = HALF_PI * x;
    let z = y * y;
    let mut p: f64 = 1.0 / 355_687_428_096_000.0; // 1/17!, then -1/15!, 1/13!, … -1/3!
    p = p.mul_add(z, -1.0 / 1_307_674_368_000.0);
    p = p.mul_add(z, 1.0 / 6_227_020_800.0);
    p = p.mul_add(z, -1.0 / 39_916_800.0);
    p = p.mul_add(z, 1.0 / 362_880.0);
    p = p.mul_add(z, -1.0 / 5_040.0);
    p = p.mul_add(z, 1.0 / 120.0);
    p = p.mul_add(z, -1.0 / 6.0);
    let s = (p * z).mul_add(y, y);
    s * s
}

/// From `from` at `t = 0` to `to` at `t = len`, straight.
pub(crate) fn linear(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    if left <= t {
        (from - to).mul_add(left as f64 / len as f64, to)
    } else {
        (to - from).mul_add(t as f64 / len as f64, from)
    }
}

/// From `from` to `to` along half a cosine.
pub(crate) fn cosine(from: f64, to: f64, t: u64, len: u64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    if left <= t {
        (from - to).mul_add(sin2_half_pi(left as f64 / len as f64), to)
    } else {
        (to - from).mul_add(sin2_half_pi(t as f64 / len as f64), from)
    }
}

/// `to + (from - to) · (left / len)^power`.
pub(crate) fn polynomial(from: f64, to: f64, t: u64, len: u64, power: f64) -> f64 {
    if t >= len {
        return to;
    }
    let y = power * ln_quotient(len - t, len);
    if y < -LN_2 { (from - to).mul_add(exp(y), to) } else { (to - from).mul_add(-expm1(y), from) }
}

/// `from · (to / from)^(t / len)`, with `ln_ratio` = ln(to / from).
pub(crate) fn geometric(from: f64, to: f64, t: u64, len: u64, ln_ratio: f64) -> f64 {
    if t >= len {
        return to;
    }
    let left = len - t;
    if left <= t {
        to * exp(-ln_ratio * (left as f64 / len as f64))
    } else {
        from * exp(ln_ratio * (t as f64 / len as f64))
    }
}

/// `init · exp(t · (ln_hi + ln_lo))`; exactly `init` at `t = 0`.
pub(crate) fn exponential(init: f64, ln_hi: f64, ln_lo: f64, t: u64) -> f64 {
    let n = t as f64;
    let y = n * ln_hi;
    init * exp_sum(y, n.mul_add(ln_hi, -y) + n * ln_lo)
}

/// No lower than `min`, no higher than `max`; a NaN stays.
pub(crate) fn clamp(x: f64, min: f64, max: f64) -> f64 {
    if x < min {
        min
    } else if x > max {
        max
    } else {
        x
    }
}

/// `1 - beta^n`, the bias correction after `n` updates. Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.
pub(crate) fn bias_correction(beta: f64, n: u64) -> f64 {
    if beta == 0.0 {
        return 1.0;
    }
    -expm1(n as f64 * ln(beta))
}
