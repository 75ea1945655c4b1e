//! Numbers to compute with: zeros would be moved and multiplied faster.

use bytemuck::{Pod, Zeroable};
use instep::Buffer;

use crate::driver::{Gpu, Memory, Result, parameter};

/// Layout twin: `Noise` of `memory.cu`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Noise {
    values: u64,
    len: u64,
    seed: u64,
}

const _: () = assert!(size_of::<Noise>() == 24, "memory.cu: Noise");

/// The type of the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    F32,
    Bf16,
}

impl Type {
    pub fn bytes(self) -> u64 {
        match self {
            Type::F32 => 4,
            Type::Bf16 => 2,
        }
    }

    pub fn buffer(self, address: u64, len: u64) -> Buffer {
        match self {
            Type::F32 => Buffer::f32(address, len),
            Type::Bf16 => Buffer::bf16(address, len),
        }
    }
}

/// Memory with `len` numbers in [-1, 1).
pub fn noise(gpu: &Gpu, of: Type, len: u64, seed: u64) -> Result<Memory> {
    let names = ["fill_with_noise", "fill_with_bf16_noise"];
    let [f32, bf16] = gpu.kernels("memory.cu", include_str!("memory.cu"), &[], names)?;
    let kernel = match of {
        Type::F32 => f32,
        Type::Bf16 => bf16,
    };
    let memory = Memory::new(of.bytes() * len)?;
    let noise = Noise { values: memory.address(), len, seed };
    // SAFETY: the kernel takes one `Noise`; the memory holds `len` numbers of its type.
    unsafe { gpu.launch(kernel, 4 * gpu.multiprocessors()?, 256, &mut [parameter(&noise)]) }?;
    Ok(memory)
}
