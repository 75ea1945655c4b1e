//! Sixteen bits: `kernels/elements.cuh` in Rust. One NaN is stored, whatever NaN was rounded.

use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};

use super::Half;

/// The NaN that is stored.
const NAN: u16 = 0x7fff;

pub(crate) fn widen(half: Half, from: &[u16], to: &mut [f32]) {
    match half {
        Half::Bf16 => from.reinterpret_cast::<bf16>().convert_to_f32_slice(to),
        Half::F16 => from.reinterpret_cast::<f16>().convert_to_f32_slice(to),
    }
}

/// To nearest, ties to even.
pub(crate) fn nearest(half: Half, from: &[f32], to: &mut [u16]) {
    match half {
        Half::Bf16 => to.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(from),
        Half::F16 => to.reinterpret_cast_mut::<f16>().convert_from_f32_slice(from),
    }
    for (x, to) in from.iter().zip(to) {
        *to = if x.is_nan() { NAN } else { *to };
    }
}

/// The same of one number.
pub(crate) fn nearest_of(half: Half, x: f32) -> u16 {
    let mut to = [0];
    nearest(half, &[x], &mut to);
    to[0]
}

/// Up or down, by random bits.
pub(crate) fn stochastic(half: Half, from: &[f32], random: &[u32], to: &mut [u16]) {
    let round = match half {
        Half::Bf16 => stochastic_bf16,
        Half::F16 => stochastic_f16,
    };
    for ((x, random), to) in from.iter().zip(random).zip(to) {
        *to = round(*x, *random);
    }
}

/// What is not 0 was not to be rounded to 0.
pub(crate) fn keep_above_zero(from: &[f32], to: &mut [u16]) {
    for (x, to) in from.iter().zip(to) {
        *to = if *to == 0 && *x != 0.0 { 1 } else { *to };
    }
}

fn stochastic_bf16(x: f32, random: u32) -> u16 {
    if x.is_nan() {
        return NAN;
    }
    // Never past an infinity, whose fraction is 0.
    (x.to_bits().wrapping_add(random >> 16) >> 16) as u16
}

fn stochastic_f16(x: f32, random: u32) -> u16 {
    let bits = x.to_bits();
    let (sign, magnitude) = (bits >> 16 & 0x8000, bits & 0x7fff_ffff);
    if x.is_nan() {
        return NAN;
    }
    if magnitude >= 0x4780_0000 {
        return (sign | 0x7c00) as u16;
    }
    let exponent = magnitude >> 23;
    let significand = if exponent == 0 { magnitude } else { magnitude & 0x7f_ffff | 0x80_0000 };
    let dropped = if exponent >= 113 { 13 } else { 126 - exponent.max(1) };
    let kept = significand.checked_shr(dropped).unwrap_or(0);
    let fraction = match dropped {
        0..=32 => significand << (32 - dropped),
        33..=55 => significand >> (dropped - 32),
        _ => 0,
    };
    let whole = if exponent >= 113 { (exponent - 113) << 10 } else { 0 };
    (sign | (whole + kept + u32::from(fraction > random))) as u16
}

/// A bf16 and what is left: rounded to nearest with ties away from zero.
pub(crate) fn split(from: &[f32], upper: &mut [u16], lower: &mut [u16]) {
    for ((x, upper), lower) in from.iter().zip(upper).zip(lower) {
        let bits = if x.is_nan() { u32::from(NAN) << 16 } else { x.to_bits() };
        (*upper, *lower) = ((bits.wrapping_add(0x8000) >> 16) as u16, bits as u16);
    }
}

pub(crate) fn join(upper: &[u16], lower: &[u16], to: &mut [f32]) {
    for ((upper, lower), to) in upper.iter().zip(lower).zip(to) {
        let left = i32::from(*lower as i16) as u32;
        *to = f32::from_bits((u32::from(*upper) << 16).wrapping_add(left));
    }
}
