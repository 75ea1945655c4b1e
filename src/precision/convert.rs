//! A stream that was stored in one way, stored in another: to nearest, so that what is converted twice is the same twice. Bytes are as they
//! lie in memory, wherever they begin.

use super::form::{CODES_BLOCK, Form, Storage, Values};
use super::store::{Constant, Stored};
use super::{codes, round};

/// Elements that are converted at once: whole blocks of codes.
const CHUNK: usize = 8 * CODES_BLOCK as usize;
/// Random bits that round to nearest.
const HALF_WAY: u32 = 1 << 31;

/// Elements and what belongs to them, as [`Form::sizes`] has their lengths.
pub(crate) type Bytes<'a> = [&'a [u8]; 2];
/// The same to be written.
pub(crate) type BytesMut<'a> = [&'a mut [u8]; 2];

/// Writes the `len` elements of a state that is stored as `from` says to `target`, as `to` says.
pub(crate) fn convert(len: u64, from: Storage, source: Bytes<'_>, to: Storage, target: BytesMut<'_>) {
    let [first, second] = target;
    if from == to {
        first.copy_from_slice(source[0]);
        second.copy_from_slice(source[1]);
        return;
    }
    let mut wide = Vec::new();
    for begin in (0..len as usize).step_by(CHUNK) {
        wide.resize((len as usize - begin).min(CHUNK), 0.0);
        load(from, source, begin, &mut wide);
        let place = |size: usize| size * begin..size * (begin + wide.len());
        match to.form {
            Form::Half(half, _) => {
                let mut halves = vec![0; wide.len()];
                round::nearest(half, &wide, &mut halves);
                if to.values == Values::Denominator {
                    round::keep_above_zero(&wide, &mut halves);
                }
                first[place(2)].copy_from_slice(bytemuck::cast_slice(&halves));
            }
            Form::EightBit => {
                let blocks = begin / CODES_BLOCK as usize..;
                let mut scales = vec![0.0f32; wide.len().div_ceil(CODES_BLOCK as usize)];
                let codes = &mut first[begin..begin + wide.len()];
                codes::encode(to.values, &wide, &vec![HALF_WAY; wide.len()], codes, &mut scales);
                second[4 * blocks.start..][..4 * scales.len()].copy_from_slice(bytemuck::cast_slice(&scales));
            }
            Form::F32 | Form::Master(_) | Form::Remainder => {
                first[place(4)].copy_from_slice(bytemuck::cast_slice(&wide));
            }
        }
    }
}

/// Elements from `begin` on, the first of a block.
fn load(from: Storage, [first, second]: Bytes<'_>, begin: usize, to: &mut [f32]) {
    match from.form {
        Form::Half(half, _) => Stored::Half(half, &values(&first[2 * begin..], to.len())).load(to),
        Form::EightBit => {
            let scales = values(&second[4 * (begin / CODES_BLOCK as usize)..], to.len().div_ceil(CODES_BLOCK as usize));
            Stored::EightBit(from.values, &first[begin..begin + to.len()], &scales).load(to);
        }
        Form::F32 | Form::Master(_) | Form::Remainder => {
            to.copy_from_slice(&values(&first[4 * begin..], to.len()));
        }
    }
}

/// Writes one value to all elements.
pub(crate) fn fill(value: Constant, [first, second]: BytesMut<'_>) {
    let repeat =
        |to: &mut [u8], bytes: &[u8]| to.chunks_exact_mut(bytes.len()).for_each(|to| to.copy_from_slice(bytes));
    match value {
        Constant::F32(value) => repeat(first, &value.to_ne_bytes()),
        Constant::Half(value) => repeat(first, &value.to_ne_bytes()),
        Constant::EightBit(code, scale) => {
            first.fill(code);
            repeat(second, &scale.to_ne_bytes());
        }
    }
}

/// What lies beside a parameter of 16 bits, with what it was made from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Beside<'a> {
    /// From the parameter alone.
    Parameter,
    /// A master.
    Master(&'a [u8]),
    /// A remainder of that parameter.
    Remainder(&'a [u8]),
}

impl Beside<'_> {
    /// Writes what lies beside a parameter that is stored as `form` says. `param`: the parameter, where [`Beside::reads`] asks for it.
    pub fn write(self, form: Form, param: &[u8], target: &mut [u8]) {
        match (form, self) {
            (Form::Master(_), Beside::Master(master)) => target.copy_from_slice(master),
            (Form::Remainder, Beside::Remainder(remainder)) => target.copy_from_slice(remainder),
            (Form::Remainder, Beside::Master(master)) => {
                for (to, bytes) in target.chunks_exact_mut(2).zip(master.chunks_exact(4)) {
                    to.copy_from_slice(&left_of(bytemuck::pod_read_unaligned(bytes)).to_ne_bytes());
                }
            }
            (Form::Master(half), Beside::Parameter) => each(param, target, |from, to| round::widen(half, from, to)),
            (Form::Master(_), Beside::Remainder(lower)) => {
                for ((to, upper), lower) in
                    target.chunks_mut(4 * CHUNK).zip(param.chunks(2 * CHUNK)).zip(lower.chunks(2 * CHUNK))
                {
                    let (upper, lower) = (values(upper, upper.len() / 2), values(lower, lower.len() / 2));
                    let mut wide = vec![0.0f32; upper.len()];
                    round::join(&upper, &lower, &mut wide);
                    to.copy_from_slice(bytemuck::cast_slice(&wide));
                }
            }
            // Nothing is left of a parameter.
            _ => target.fill(0),
        }
    }

    /// Whether the parameter is needed.
    pub fn reads(self, form: Form) -> bool {
        matches!((form, self), (Form::Master(_), Beside::Parameter | Beside::Remainder(_)))
    }
}

/// What is left of a master beside its rounding to nearest. Of a tie, which a master rounds to even and a remainder away from zero, it is the
/// next smaller value that both round alike.
fn left_of(master: f32) -> u16 {
    let bits = master.to_bits();
    match bits as u16 {
        _ if master.is_nan() => 0,
        0x8000 if bits >> 16 & 1 == 0 => 0x7fff,
        left => left,
    }
}

/// Widens chunk by chunk.
fn each(from: &[u8], to: &mut [u8], widen: impl Fn(&[u16], &mut [f32])) {
    for (from, to) in from.chunks(2 * CHUNK).zip(to.chunks_mut(4 * CHUNK)) {
        let mut wide = vec![0.0f32; from.len() / 2];
        widen(&values(from, from.len() / 2), &mut wide);
        to.copy_from_slice(bytemuck::cast_slice(&wide));
    }
}

/// The first values of `bytes`.
fn values<T: bytemuck::Pod>(bytes: &[u8], len: usize) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).take(len).map(bytemuck::pod_read_unaligned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::precision::{Half, Rounding};

    fn state(form: Form, values: Values, len: u64) -> (Storage, [Vec<u8>; 2]) {
        (Storage { form, values }, form.sizes(len).map(|size| vec![0; size as usize]))
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        values(bytes, bytes.len())
    }

    /// `of` in `form` and back.
    fn there_and_back(of: &[f32], form: Form, known: Values) -> Vec<f32> {
        let len = of.len() as u64;
        let (wide, [mut bytes, _]) = state(Form::F32, Values::Any, len);
        let (stored, [mut first, mut second]) = state(form, known, len);
        let from = [bytemuck::cast_slice(of), &[]];
        convert(len, wide, from, stored, [&mut first, &mut second]);
        convert(len, stored, [&first, &second], wide, [&mut bytes, &mut []]);
        floats(&bytes)
    }

    #[test]
    fn a_denominator_that_is_not_0_does_not_become_0() {
        let mut tiny = vec![1e-9f32; 5_000];
        tiny[4_999] = 0.0;
        tiny[0] = 1.0;
        for form in [Form::Half(Half::F16, Rounding::Stochastic), Form::EightBit] {
            let back = there_and_back(&tiny, form, Values::Denominator);
            assert!(back[..4_999].iter().all(|x| *x > 0.0) && back[4_999] == 0.0, "{form}");
        }
        assert!(there_and_back(&tiny, Form::Half(Half::F16, Rounding::Nearest), Values::Any)[1] == 0.0);
    }

    #[test]
    fn every_chunk_and_block_is_converted_with_its_own_scale() {
        let of: Vec<f32> = (0..5_000).map(|i| (1 + i / 256) as f32 * if i % 2 == 0 { 1.0 } else { -0.5 }).collect();
        for (form, most) in [(Form::EightBit, 1.0 / 16.0), (Form::Half(Half::Bf16, Rounding::Nearest), 1.0 / 256.0)] {
            let back = there_and_back(&of, form, Values::Any);
            let off = of.iter().zip(&back).position(|(x, y)| (x - y).abs() > (x.abs() + 1e-3) * most);
            assert_eq!(off, None, "{form}: {:?}", off.map(|i| (of[i], back[i])));
        }
    }

    #[test]
    fn one_value_fills_a_stream_in_every_form() {
        for form in [Form::F32, Form::Half(Half::Bf16, Rounding::Nearest), Form::EightBit] {
            let (storage, [mut first, mut second]) = state(form, Values::NotNegative, 300);
            fill(storage.constant(0.5), [&mut first, &mut second]);
            let (wide, [mut bytes, _]) = state(Form::F32, Values::Any, 300);
            convert(300, storage, [&first, &second], wide, [&mut bytes, &mut []]);
            let all = floats(&bytes);
            assert!(all.iter().all(|x| (x - 0.5).abs() < 1e-3), "{form}: {}", all[0]);
        }
    }
}
