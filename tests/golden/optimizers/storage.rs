//! How the tensors of a case are stored, and their values as bytes.

use half::{bf16, f16};
use instep::{Buffer, Half};

/// How the tensors of a case are stored.
#[derive(Clone, Copy, Default)]
pub struct Storage {
    /// None: f32.
    pub param: Option<Half>,
    pub grad: Option<Half>,
    pub beside: Beside,
}

/// What lies beside a parameter of 16 bits and has a start of its own.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Beside {
    #[default]
    Nothing,
    /// An f32 master of the engine's, with all bits of the start.
    Master,
    /// 16-bit remainders, with the other bits of the start.
    Remainder,
}

impl Storage {
    /// The parameters that begin from `values`.
    pub fn start(self, values: &[f32]) -> Vec<u8> {
        let from = match self.beside {
            Beside::Remainder => values.iter().map(|value| f32::from_bits(upper(*value) << 16)).collect(),
            Beside::Nothing | Beside::Master => values.to_vec(),
        };
        encode(self.param, &from)
    }
}

/// Where `len` elements of a type lie.
pub fn buffer(half: Option<Half>, address: u64, len: u64) -> Buffer {
    match half {
        None => Buffer::f32(address, len),
        Some(Half::Bf16) => Buffer::bf16(address, len),
        Some(Half::F16) => Buffer::f16(address, len),
    }
}

/// Rounded to nearest, ties to even.
pub fn nearest(half: Half, value: f32) -> u16 {
    match half {
        Half::Bf16 => bf16::from_f32(value).to_bits(),
        Half::F16 => f16::from_f32(value).to_bits(),
    }
}

pub fn widened(half: Half, bits: u16) -> f32 {
    match half {
        Half::Bf16 => bf16::from_bits(bits).to_f32(),
        Half::F16 => f16::from_bits(bits).to_f32(),
    }
}

/// Bytes of `len` elements, with what fills up a word of 32 bits.
pub fn size(half: Option<Half>, len: usize) -> usize {
    if half.is_some() { (2 * len).next_multiple_of(4) } else { 4 * len }
}

/// As [`size`] says.
pub fn encode(half: Option<Half>, values: &[f32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = match half {
        None => values.iter().flat_map(|value| value.to_ne_bytes()).collect(),
        Some(half) => values.iter().flat_map(|value| nearest(half, *value).to_ne_bytes()).collect(),
    };
    bytes.resize(size(half, values.len()), 0);
    bytes
}

/// `bytes` that are filled up by nothing.
pub fn decode(half: Option<Half>, bytes: &[u8]) -> Vec<f32> {
    match half {
        None => bytes.as_chunks().0.iter().map(|word| f32::from_ne_bytes(*word)).collect(),
        Some(half) => bytes.as_chunks().0.iter().map(|word| widened(half, u16::from_ne_bytes(*word))).collect(),
    }
}

/// The upper half of a value that is kept with a remainder: the nearest bf16, of ties the one away from zero.
fn upper(value: f32) -> u32 {
    value.to_bits().wrapping_add(0x8000) >> 16
}

/// The remainders of `values`: the lower halves.
pub fn remainders(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| (value.to_bits() as u16).to_ne_bytes()).collect()
}

/// The values that bf16 parameters and their remainders stand for.
pub fn joined(params: &[f32], remainders: &[u8]) -> Vec<f32> {
    let join = |(param, lower): (&f32, &[u8; 2])| {
        let lower = u32::from(u16::from_ne_bytes(*lower));
        // The half that the remainder is of was rounded up where it is at least half a unit.
        f32::from_bits(param.to_bits().wrapping_add(lower).wrapping_sub((lower >> 15) << 16))
    };
    params.iter().zip(remainders.as_chunks().0).map(join).collect()
}
