//! The elementary functions that values are made of, in f64. `kernels/math.cuh` is the same file in CUDA, operation for
//! operation, so that a value has the same bits on every CPU and GPU. Only `+ - * /`, `sqrt`, fused multiply-add,
//! conversions, rounding to integers and bit operations are used, and none is ever contracted.
//!
//! Each is accurate to about 1e-15 relative where it says no more; tests compare them with arbitrary precision.

use std::f64::consts::LOG2_E;

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

/// `ln((1 + s) / (1 - s)) / 2s - 1` for |s| ≤ 0.1716: `s²/3 + s⁴/5 + …`.
fn ln_series_rest(s: f64) -> f64 {
    let z = s * s;
    let mut p: f64 = 1.0 / 25.0;
    let mut odd = 23.0;
    while odd > 2.0 {
        p = p.mul_add(z, 1.0 / odd);
        odd -= 2.0;
    }
    p * z
}

/// `ln((1 + s) / (1 - s))` for |s| ≤ 0.1716.
fn ln_series(s: f64) -> f64 {
    2.0 * ln_series_rest(s).mul_add(s, s)
}

/// `m` in (√½, √2] and `k` with `x = m · 2^k`, for a positive, finite `x`.
fn split(x: f64) -> (f64, f64) {
    let (x, bias) = if x < f64::MIN_POSITIVE { (x * power_of_two(54), -54) } else { (x, 0) };
    let bits = x.to_bits();
    let mut k = ((bits >> 52) & 0x7ff) as i64 - 1023;
    let mut m = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        k += 1;
    }
    (m, (k + bias) as f64)
}

/// The natural logarithm of a positive, finite `x`; minus infinity for 0.
pub(crate) fn ln(x: f64) -> f64 {
    if x == 0.0 {
        return f64::NEG_INFINITY;
    }
    let (m, k) = split(x);
    let y = ln_series((m - 1.0) / (m + 1.0));
    k.mul_add(LN_2_HI, k.mul_add(LN_2_LO, y))
}

/// `ln x` as a sum of two, about 60 bits, for a positive, finite `x`: what a large factor leaves accurate.
fn ln_sum(x: f64) -> (f64, f64) {
    let (m, k) = split(x);
    // s + s_low = (m - 1) / (m + 1), where m - 1 is exact.
    let (above, below) = (m - 1.0, m + 1.0);
    let s = above / below;
    let s_low = (-s).mul_add(m - (below - 1.0), (-s).mul_add(below, above)) / below;
    let (whole, part) = (k * LN_2_HI, 2.0 * s);
    let sum = whole + part;
    let low = (part - (sum - whole)) + k.mul_add(LN_2_LO, 2.0 * ln_series_rest(s).mul_add(s, s_low));
    let high = sum + low;
    (high, low - (high - sum))
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

/// Π/2 in three parts, each the f64 nearest to what the parts before leave.
const HALF_PI_PARTS: [f64; 3] = [HALF_PI, 6.123_233_995_736_766e-17, -1.497_384_904_859_169_8e-33];

/// The quadrant (0..4) and the rest in [-π/4, π/4] of an angle; arguments of 2^52 and more count as 0.
fn reduce_angle(x: f64) -> (i64, f64) {
    if !(x > -4_503_599_627_370_496.0 && x < 4_503_599_627_370_496.0) {
        return (0, 0.0);
    }
    let k = (x * (1.0 / HALF_PI)).round_ties_even();
    let [high, middle, low] = HALF_PI_PARTS;
    let r = k.mul_add(-low, k.mul_add(-middle, k.mul_add(-high, x)));
    ((k as i64) & 3, r)
}

/// sin `y` for |y| ≤ π/4 and a little more.
fn sin_reduced(y: f64) -> f64 {
    let z = y * y;
    let mut p: f64 = 1.0 / 355_687_428_096_000.0; // 1/17!, then -1/15!, 1/13!, … -1/3!
    p = p.mul_add(z, -1.0 / 1_307_674_368_000.0);
    p = p.mul_add(z, 1.0 / 6_227_020_800.0);
    p = p.mul_add(z, -1.0 / 39_916_800.0);
    p = p.mul_add(z, 1.0 / 362_880.0);
    p = p.mul_add(z, -1.0 / 5_040.0);
    p = p.mul_add(z, 1.0 / 120.0);
    p = p.mul_add(z, -1.0 / 6.0);
    (p * z).mul_add(y, y)
}

/// cos `y` for |y| ≤ π/4 and a little more.
fn cos_reduced(y: f64) -> f64 {
    let z = y * y;
    let mut p: f64 = 1.0 / 20_922_789_888_000.0; // 1/16!, then -1/14!, 1/12!, … -1/2!
    p = p.mul_add(z, -1.0 / 87_178_291_200.0);
    p = p.mul_add(z, 1.0 / 479_001_600.0);
    p = p.mul_add(z, -1.0 / 3_628_800.0);
    p = p.mul_add(z, 1.0 / 40_320.0);
    p = p.mul_add(z, -1.0 / 720.0);
    p = p.mul_add(z, 1.0 / 24.0);
    p = p.mul_add(z, -0.5);
    p.mul_add(z, 1.0)
}

/// sin `x`, with an absolute error near 1e-16 up to 2^40.
pub(crate) fn sin(x: f64) -> f64 {
    match reduce_angle(x) {
        (0, r) => sin_reduced(r),
        (1, r) => cos_reduced(r),
        (2, r) => -sin_reduced(r),
        (_, r) => -cos_reduced(r),
    }
}

/// cos `x`, with an absolute error near 1e-16 up to 2^40.
pub(crate) fn cos(x: f64) -> f64 {
    match reduce_angle(x) {
        (0, r) => cos_reduced(r),
        (1, r) => -sin_reduced(r),
        (2, r) => -cos_reduced(r),
        (_, r) => sin_reduced(r),
    }
}

/// `sin²(π x / 2)` for x in [0, 1/2].
pub(crate) fn sin2_half_pi(x: f64) -> f64 {
    let s = sin_reduced(HALF_PI * x);
    s * s
}

/// The hyperbolic tangent.
pub(crate) fn tanh(x: f64) -> f64 {
    if x > 20.0 {
        return 1.0;
    }
    if x < -20.0 {
        return -1.0;
    }
    let e = expm1(2.0 * x);
    e / (e + 2.0)
}

/// `ln(1 - s)` for s in [0, 1).
pub(crate) fn ln_one_minus(s: f64) -> f64 {
    if s < 0.25 { ln_series(-s / (2.0 - s)) } else { ln(1.0 - s) }
}

/// `x^y` for x ≥ 0; `0^0` is 1.
pub(crate) fn pow(x: f64, y: f64) -> f64 {
    if y == 0.0 {
        return 1.0;
    }
    if x == 0.0 {
        return if y > 0.0 { 0.0 } else { f64::INFINITY };
    }
    let (high, low) = ln_sum(x);
    let product = y * high;
    exp_sum(product, y.mul_add(high, -product) + y * low)
}

/// `(a + a_low) · (b + b_low)` as a sum of two, about 100 bits.
fn product((a, a_low): (f64, f64), (b, b_low): (f64, f64)) -> (f64, f64) {
    let high = a * b;
    if !high.is_finite() {
        return (high, 0.0);
    }
    let low = a.mul_add(b, -high) + (a * b_low + a_low * b);
    let sum = high + low;
    (sum, low - (sum - high))
}

/// `x^n` by repeated squaring, any sign of x. In sums of two, or the error would grow with n.
pub(crate) fn pow_int(x: f64, n: i32) -> f64 {
    let (mut base, mut left, mut y) = ((x, 0.0), n.unsigned_abs(), (1.0, 0.0));
    while left > 0 {
        if left & 1 == 1 {
            y = product(y, base);
        }
        base = product(base, base);
        left >>= 1;
    }
    if n < 0 { 1.0 / y.0 } else { y.0 }
}

/// `⌊a / b⌋` and `a - b ⌊a / b⌋`, as Python's `//` and `%`, for a finite a / b. The first is rounded where it is 2^53 or more.
pub(crate) fn floor_div_mod(a: f64, b: f64) -> (f64, f64) {
    let mut q = (a / b).round_ties_even();
    let mut r = (-q).mul_add(b, a);
    // A rounded quotient leaves more than one b. Each pass is exact and leaves at most 2^-53 of what there was.
    while r.abs() > b.abs() {
        r = (-(r / b).round_ties_even()).mul_add(b, r);
    }
    if (r < 0.0 && b > 0.0) || (r > 0.0 && b < 0.0) {
        q -= 1.0;
        r += b;
    }
    (q, r)
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
    bias_correction_of_ln(ln(beta), n)
}

/// The same from the logarithm of beta, which is minus infinity for 0.
pub(crate) fn bias_correction_of_ln(ln_beta: f64, n: u64) -> f64 {
    -expm1(n as f64 * ln_beta)
}
