//! Parameters and gradients in memory of the test, as an engine would own them.

use instep::{Buffer, Tensor};

/// f32 values that start `skew` elements past a 16-byte boundary.
pub struct Values {
    // Boxed in 16-byte units: the address is aligned and stays.
    units: Box<[u128]>,
    skew: usize,
    len: usize,
}

impl Values {
    pub fn new(values: &[f32], skew: usize) -> Values {
        let units = vec![0u128; (skew + values.len()).div_ceil(4)].into_boxed_slice();
        let mut ours = Values { units, skew, len: values.len() };
        ours.write(values);
        ours
    }

    pub fn address(&self) -> u64 {
        self.units.as_ptr() as u64 + 4 * self.skew as u64
    }

    pub fn read(&self) -> Vec<f32> {
        let words = self.units.iter().flat_map(|unit| [0, 32, 64, 96].map(|shift| (unit >> shift) as u32));
        words.skip(self.skew).take(self.len).map(f32::from_bits).collect()
    }

    pub fn write(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.len);
        for (i, value) in values.iter().enumerate() {
            let (unit, shift) = ((self.skew + i) / 4, 32 * ((self.skew + i) % 4));
            self.units[unit] &= !(u128::from(u32::MAX) << shift);
            self.units[unit] |= u128::from(value.to_bits()) << shift;
        }
    }
}

/// A parameter and its gradient.
pub struct Pair {
    pub param: Values,
    pub grad: Values,
}

impl Pair {
    pub fn new(param: &[f32], grad: &[f32]) -> Pair {
        Pair { param: Values::new(param, 0), grad: Values::new(grad, 0) }
    }

    /// A pair to register where only the rules and schedules matter.
    pub fn small() -> Pair {
        Pair::new(&[1.0; 4], &[1.0; 4])
    }

    pub fn tensor(&self) -> Tensor {
        tensor(self.param.address(), self.grad.address(), self.param.len as u64)
    }
}

/// A tensor of f32 that a test vouches for: its memory lives as long as the optimizer, or no step is ever made with it.
pub fn tensor(param: u64, grad: u64, len: u64) -> Tensor {
    buffers(Buffer::f32(param, len), Buffer::f32(grad, len))
}

/// As [`tensor`], from buffers that may disagree.
pub fn buffers(param: Buffer, grad: Buffer) -> Tensor {
    // SAFETY: see `tensor`; tests that break this never get past `build`.
    unsafe { Tensor::new(param, grad) }
}
