//! Elements as they lie in memory, to and from f32.

use super::form::{Form, Storage, Values};
use super::random::Throws;
use super::{Half, Rounding, codes, round};

/// What every element of a state that starts from a value begins with.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Constant {
    F32(f32),
    Half(u16),
    /// A code, and the scale of each block.
    EightBit(u8, f32),
}

impl Storage {
    /// `value`, as near as it holds it.
    pub fn constant(self, value: f32) -> Constant {
        match self.form {
            Form::Half(half, _) => {
                let bits = round::nearest_of(half, value);
                let vanished = self.values == Values::Denominator && bits == 0 && value != 0.0;
                Constant::Half(if vanished { 1 } else { bits })
            }
            Form::EightBit => {
                let (code, scale) = codes::of_constant(self.values, value);
                Constant::EightBit(code, scale)
            }
            Form::F32 | Form::Master(_) | Form::Remainder => Constant::F32(value),
        }
    }
}

/// Elements of a stream that are only read.
#[derive(Debug)]
pub(crate) enum Stored<'a> {
    F32(&'a [f32]),
    Half(Half, &'a [u16]),
    /// Of a parameter: the upper and the lower half.
    Split(&'a [u16], &'a [u16]),
    /// Codes from the first element of a block on, and their scales.
    EightBit(Values, &'a [u8], &'a [f32]),
}

impl Stored<'_> {
    pub fn load(&self, to: &mut [f32]) {
        match self {
            Stored::F32(from) => to.copy_from_slice(from),
            Stored::Half(half, from) => round::widen(*half, from, to),
            Stored::Split(upper, lower) => round::join(upper, lower, to),
            Stored::EightBit(values, codes, scales) => codes::decode(*values, codes, scales, to),
        }
    }
}

/// Elements of a stream.
#[derive(Debug)]
pub(crate) enum StoredMut<'a> {
    F32(&'a mut [f32]),
    Half(Half, Rounding, Values, &'a mut [u16]),
    /// A parameter and its master.
    Master(Half, &'a mut [u16], &'a mut [f32]),
    Split(&'a mut [u16], &'a mut [u16]),
    EightBit(Values, &'a mut [u8], &'a mut [f32]),
}

impl StoredMut<'_> {
    pub fn is_f32(&self) -> bool {
        matches!(self, StoredMut::F32(_))
    }

    /// Zeroes a gradient.
    pub fn zero(&mut self) {
        match self {
            StoredMut::F32(to) => to.fill(0.0),
            StoredMut::Half(_, _, _, to) => to.fill(0),
            StoredMut::Master(..) | StoredMut::Split(..) | StoredMut::EightBit(..) => {}
        }
    }

    /// Sets a state to one value.
    pub fn fill(&mut self, value: Constant) {
        match (self, value) {
            (StoredMut::F32(to), Constant::F32(value)) => to.fill(value),
            (StoredMut::Half(_, _, _, to), Constant::Half(value)) => to.fill(value),
            (StoredMut::EightBit(_, codes, scales), Constant::EightBit(code, scale)) => {
                codes.fill(code);
                scales.fill(scale);
            }
            (to, value) => debug_assert!(false, "{value:?} is not of {to:?}"),
        }
    }

    /// Those that are read.
    pub fn as_stored(&self) -> Stored<'_> {
        match self {
            StoredMut::F32(from) | StoredMut::Master(_, _, from) => Stored::F32(from),
            StoredMut::Half(half, _, _, from) => Stored::Half(*half, from),
            StoredMut::Split(upper, lower) => Stored::Split(upper, lower),
            StoredMut::EightBit(values, codes, scales) => Stored::EightBit(*values, codes, scales),
        }
    }

    /// Rounds `from` to where element `begin` of the stream is the first. `bits`: memory to throw into.
    pub fn store(&mut self, from: &[f32], throws: Throws, begin: u64, bits: &mut Vec<u32>) {
        match self {
            StoredMut::F32(to) => to.copy_from_slice(from),
            StoredMut::Half(half, rounding, values, to) => {
                match rounding {
                    Rounding::Nearest => round::nearest(*half, from, to),
                    Rounding::Stochastic => {
                        throws.fill(begin, from.len(), bits);
                        round::stochastic(*half, from, bits, to);
                    }
                }
                if *values == Values::Denominator {
                    round::keep_above_zero(from, to);
                }
            }
            StoredMut::Master(half, param, master) => {
                master.copy_from_slice(from);
                round::nearest(*half, from, param);
            }
            StoredMut::Split(upper, lower) => round::split(from, upper, lower),
            StoredMut::EightBit(values, codes, scales) => {
                throws.fill(begin, from.len(), bits);
                codes::encode(*values, from, bits, codes, scales);
            }
        }
    }

    /// Rounds `from` to the engine's parameter alone, to nearest.
    pub fn show(&mut self, from: &[f32]) {
        match self {
            StoredMut::F32(to) => to.copy_from_slice(from),
            StoredMut::Half(half, _, _, param) | StoredMut::Master(half, param, _) => {
                round::nearest(*half, from, param);
            }
            StoredMut::Split(upper, _) => round::split(from, upper, &mut vec![0; from.len()]),
            StoredMut::EightBit(..) => {}
        }
    }

    /// Makes what lies beside a parameter anew.
    pub fn remake(&mut self) {
        match self {
            StoredMut::Master(half, param, master) => round::widen(*half, param, master),
            StoredMut::Split(_, lower) => lower.fill(0),
            StoredMut::F32(_) | StoredMut::Half(..) | StoredMut::EightBit(..) => {}
        }
    }
}
