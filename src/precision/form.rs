//! How a stream is stored: the type of the kernel that does it, and the bytes that it takes and moves.

use std::fmt;

use super::Rounding;

/// Elements of a block of 8-bit codes. `kernels/codes.cuh` has the same number.
pub(crate) const CODES_BLOCK: u64 = 256;

/// A type of sixteen bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Half {
    /// bfloat16.
    Bf16,
    /// IEEE binary16.
    F16,
}

/// How a parameter, a gradient or a state is stored. The rule computes in f32: loading widens, storing rounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Form {
    /// IEEE binary32.
    F32,
    /// Sixteen bits.
    Half(Half, Rounding),
    /// A parameter of sixteen bits beside an f32 master: the master is what is updated, the parameter its rounding to nearest, ties
    /// to even.
    Master(Half),
    /// A bf16 parameter beside the sixteen bits that are left of the f32 value. The parameter is that value rounded to nearest, ties
    /// away from zero.
    Remainder,
    /// 8-bit codes beside an f32 scale for each block of 256 elements, counted from element 0. With S the scale and TOP the largest
    /// code, 127 beside a sign in bit 7, or 255 where the rule says that the state is never negative: `origin` is the float
    /// whose bits are those of S less `TOP << 20`, and a code is worth the float whose bits are those of `origin` plus `code << 20`, less
    /// `origin`. A scale of NaN makes all of its block NaN.
    EightBit,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Half::Bf16 => "bf16",
            Half::F16 => "f16",
        })
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Form::F32 => f.write_str("f32"),
            Form::Half(half, Rounding::Nearest) => write!(f, "{half}"),
            Form::Half(half, Rounding::Stochastic) => write!(f, "{half}, rounded stochastically"),
            Form::Master(half) => write!(f, "{half} with an f32 master"),
            Form::Remainder => f.write_str("bf16 with a 16-bit remainder"),
            Form::EightBit => f.write_str("8-bit"),
        }
    }
}

impl Form {
    /// Bytes per element that loading reads; of [`Form::EightBit`] with the scale of its block.
    pub fn bytes_read(self) -> f64 {
        match self {
            Form::F32 | Form::Master(_) | Form::Remainder => 4.0,
            Form::Half(..) => 2.0,
            Form::EightBit => 1.0 + 4.0 / CODES_BLOCK as f64,
        }
    }

    /// Bytes per element that storing writes.
    pub fn bytes_written(self) -> f64 {
        match self {
            Form::Master(_) => 6.0,
            Form::F32 | Form::Half(..) | Form::Remainder | Form::EightBit => self.bytes_read(),
        }
    }

    /// Whether storing takes random bits.
    pub fn is_stochastic(self) -> bool {
        matches!(self, Form::Half(_, Rounding::Stochastic) | Form::EightBit)
    }

    /// Bytes that `len` elements take at the first address of the stream, and at the second one.
    pub(crate) fn sizes(self, len: u64) -> [u64; 2] {
        match self {
            Form::F32 => [4 * len, 0],
            Form::Half(..) => [2 * len, 0],
            Form::Master(_) => [2 * len, 4 * len],
            Form::Remainder => [2 * len, 2 * len],
            Form::EightBit => [len, 4 * len.div_ceil(CODES_BLOCK)],
        }
    }

    /// Whether it has a second address.
    pub(crate) fn has_second(self) -> bool {
        matches!(self, Form::Master(_) | Form::Remainder | Form::EightBit)
    }
}

/// What is known of the values of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Values {
    Any,
    NotNegative,
    /// Not negative, and what is not 0 is not rounded to 0.
    Denominator,
}

/// A form with what a store needs to know beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Storage {
    pub form: Form,
    pub values: Values,
}

impl Storage {
    pub const F32: Storage = Storage { form: Form::F32, values: Values::Any };

    /// Of any values.
    pub fn of(form: Form) -> Storage {
        Storage { form, values: Values::Any }
    }

    /// The type of `kernels/storage.cuh`.
    pub fn cuda(self) -> String {
        let denominator = |inner: String| match self.values {
            Values::Denominator => format!("Denominator<{inner}>"),
            Values::Any | Values::NotNegative => inner,
        };
        match self.form {
            Form::F32 => "f32".to_owned(),
            Form::Half(half, Rounding::Nearest) => denominator(half.to_string()),
            Form::Half(half, Rounding::Stochastic) => denominator(format!("Stochastic<{half}>")),
            Form::Master(half) => format!("Master<{half}>"),
            Form::Remainder => "Remainder".to_owned(),
            Form::EightBit => match self.values {
                Values::Any => "EightBit<Codes::any>".to_owned(),
                Values::NotNegative => "EightBit<Codes::not_negative>".to_owned(),
                Values::Denominator => "EightBit<Codes::denominator>".to_owned(),
            },
        }
    }
}
