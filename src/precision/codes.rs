//! 8-bit codes in blocks of 256 with a scale each: `kernels/codes.cuh` in Rust, which says what they are.

use super::form::{CODES_BLOCK, Values};

const BLOCK: usize = CODES_BLOCK as usize;
const INFINITY: u32 = 0x7f80_0000;

struct Table {
    values: Values,
    base: u32,
    origin: f32,
}

/// The largest code beside a sign, or without one.
fn top(values: Values) -> u32 {
    if values == Values::Any { 127 } else { 255 }
}

impl Table {
    fn new(values: Values, scale: f32) -> Table {
        let base = scale.to_bits().wrapping_sub(top(values) << 20);
        Table { values, base, origin: if scale.is_nan() { scale } else { f32::from_bits(base) } }
    }

    fn value(&self, code: u8) -> f32 {
        let code = u32::from(code);
        let magnitude = f32::from_bits(self.base.wrapping_add((code & top(self.values)) << 20)) - self.origin;
        match self.values {
            Values::Any => f32::from_bits(magnitude.to_bits() | (code & 0x80) << 24),
            Values::NotNegative | Values::Denominator => magnitude,
        }
    }

    fn code(&self, x: f32, random: u32) -> u8 {
        let shifted = x.abs() + self.origin;
        let code = shifted.to_bits().wrapping_sub(self.base).wrapping_add(random >> 12) >> 20;
        let code = code.min(top(self.values)) as u8;
        match self.values {
            Values::Any => code | (x.to_bits() >> 24 & 0x80) as u8,
            Values::NotNegative => code,
            Values::Denominator => code.max(u8::from(x != 0.0)),
        }
    }
}

/// The scale of a block whose largest magnitude has these bits.
fn scale(values: Values, largest: u32) -> f32 {
    match largest {
        0 => 0.0,
        INFINITY.. => f32::from_bits(0x7fff_ffff),
        _ => f32::from_bits((largest.div_ceil(1 << 20)).clamp(top(values) + 1, 0x7f7) << 20),
    }
}

/// The code of every element of a block of one value, to nearest, and its scale.
pub(crate) fn of_constant(values: Values, value: f32) -> (u8, f32) {
    let scale = scale(values, value.abs().to_bits());
    (Table::new(values, scale).code(value, 1 << 31), scale)
}

/// Whole blocks, and what is left of a tensor.
pub(crate) fn decode(values: Values, codes: &[u8], scales: &[f32], to: &mut [f32]) {
    for ((codes, scale), to) in codes.chunks(BLOCK).zip(scales).zip(to.chunks_mut(BLOCK)) {
        let table = Table::new(values, *scale);
        to.iter_mut().zip(codes).for_each(|(to, code)| *to = table.value(*code));
    }
}

/// The same.
pub(crate) fn encode(values: Values, from: &[f32], random: &[u32], codes: &mut [u8], scales: &mut [f32]) {
    let blocks = from.chunks(BLOCK).zip(random.chunks(BLOCK));
    for (((from, random), codes), to) in blocks.zip(codes.chunks_mut(BLOCK)).zip(scales) {
        let largest = from.iter().map(|x| x.to_bits() & 0x7fff_ffff).max().unwrap_or(0);
        *to = scale(values, largest);
        if to.is_nan() {
            codes.fill(0);
            continue;
        }
        let table = Table::new(values, *to);
        for ((x, random), code) in from.iter().zip(random).zip(codes) {
            *code = table.code(*x, *random);
        }
    }
}
