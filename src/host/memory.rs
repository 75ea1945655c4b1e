//! The unsafe part of the CPU backend: views of memory that the caller registered, and the AVX2 + FMA build of the loops.

use rayon::prelude::*;

use super::rules::{self, GradientScalars, Piece};
use crate::optim::Variant;
use crate::plan::layout::{CHUNK, ChunkRow, NORM_BLOCK, Record, TensorRow};
use crate::plan::{Dtype, Plan, Scalar};

/// Chunks that one task takes: 32 Ki elements, so that spawning costs little against them.
const CHUNKS_PER_TASK: usize = 16;

/// What the engine hands in at present.
pub(super) fn read(scalar: Scalar) -> f32 {
    // SAFETY: the address is aligned and not null, and the builder's caller vouched that it is alive and at rest.
    unsafe { *(scalar.0 as usize as *const f32) }
}

/// The element at `address`, not null and aligned, that the caller of `Optimizer::observe` vouches for.
pub(super) fn read_element(address: u64, dtype: Dtype) -> f64 {
    let address = address as usize;
    match dtype {
        // SAFETY: the address is not null and aligned, and the caller vouched for a live element of this type there.
        Dtype::F64 => unsafe { *(address as *const f64) },
        // SAFETY: as above.
        Dtype::F32 => f64::from(unsafe { *(address as *const f32) }),
        // SAFETY: as above.
        Dtype::Bf16 => unsafe { *(address as *const half::bf16) }.to_f64(),
        // SAFETY: as above.
        Dtype::F16 => unsafe { *(address as *const half::f16) }.to_f64(),
    }
}

/// Calls `work` with the gradient of every norm block, in parallel, and returns what it makes of each, in their order.
///
/// Sound for the reasons that [`update`] gives; gradients are only read.
pub(super) fn map_norm_blocks<T: Send>(plan: &Plan, work: impl Fn(&[f32]) -> T + Sync) -> Vec<T> {
    let blocks = plan.norm_blocks.par_iter().with_min_len(CHUNKS_PER_TASK / 2);
    blocks
        .map(|block| {
            let tensor = &plan.tensors[block.tensor as usize];
            let begin = u64::from(block.index) * NORM_BLOCK;
            let len = (tensor.len - begin).min(NORM_BLOCK);
            // SAFETY: the caller vouches for the tensor, and nothing writes gradients meanwhile.
            work(unsafe { view(tensor.grad, begin as usize, len as usize) })
        })
        .collect()
}

/// Zeroes all gradients, in parallel.
///
/// Sound for the reasons that [`update`] gives; `plan::check` made sure that gradients do not overlap where they are zeroed.
pub(super) fn zero_gradients(plan: &Plan) {
    debug_assert!(plan.gradients.zero);
    plan.chunks.par_chunks(CHUNKS_PER_TASK).for_each(|chunks| {
        for chunk in chunks {
            let tensor = &plan.tensors[chunk.tensor as usize];
            let (offset, len) = range(tensor, *chunk);
            // SAFETY: the caller vouches for the tensor; no other gradient or parameter overlaps this gradient, and this
            // chunk of it is ours.
            unsafe { view_mut(tensor.grad, offset, len) }.fill(0.0);
        }
    });
}

/// Applies every tensor's rule to its chunks, in parallel. `records`: one per cohort.
///
/// Sound because of where a [`Plan`] comes from: `Tensor::new`'s caller vouched for the memory, `plan::check` made sure that
/// no parameter overlaps anything, state memory belongs to one tensor, and chunks of a tensor are disjoint.
pub(super) fn update(plan: &Plan, records: &[Record], gradient: GradientScalars) {
    plan.chunks.par_chunks(CHUNKS_PER_TASK).for_each(|chunks| {
        for chunk in chunks {
            let tensor = &plan.tensors[chunk.tensor as usize];
            let variant = plan.variants[tensor.variant as usize];
            update_chunk(tensor, *chunk, variant, &records[tensor.cohort as usize], gradient);
        }
    });
}

/// The first element of a chunk in its tensor, and how many it has.
fn range(tensor: &TensorRow, chunk: ChunkRow) -> (usize, usize) {
    let skew = u64::from(tensor.skew);
    let begin = (u64::from(chunk.index) * CHUNK).saturating_sub(skew);
    let end = ((u64::from(chunk.index) + 1) * CHUNK - skew).min(tensor.len);
    (begin as usize, (end - begin) as usize)
}

fn update_chunk(tensor: &TensorRow, chunk: ChunkRow, variant: Variant, record: &Record, gradient: GradientScalars) {
    let (offset, len) = range(tensor, chunk);
    let mut state: [&mut [f32]; 2] = [&mut [], &mut []];
    for (view, address) in state.iter_mut().zip(tensor.state).take(variant.states().len()) {
        // SAFETY: state memory was allocated for this tensor alone, and this chunk of it is ours.
        *view = unsafe { view_mut(address, offset, len) };
    }
    let piece = Piece {
        // SAFETY: the caller vouches for the tensor; parameters do not overlap, and this chunk of it is ours.
        param: unsafe { view_mut(tensor.param, offset, len) },
        // SAFETY: the caller vouches for the tensor; no parameter overlaps a gradient, so nothing writes it.
        grad: unsafe { view(tensor.grad, offset, len) },
        state,
    };
    update_piece(variant, piece, &record.value, gradient);
}

/// # Safety
///
/// `len` f32 elements from element `offset` after `address` on are alive and unwritten for `'a`.
unsafe fn view<'a>(address: u64, offset: usize, len: usize) -> &'a [f32] {
    let first = (address as usize as *const f32).wrapping_add(offset);
    // SAFETY: the caller's promise; the address is not null and aligned, which `plan::check` made sure of.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// # Safety
///
/// `len` f32 elements from element `offset` after `address` on are alive and used by nobody else for `'a`.
unsafe fn view_mut<'a>(address: u64, offset: usize, len: usize) -> &'a mut [f32] {
    let first = (address as usize as *mut f32).wrapping_add(offset);
    // SAFETY: the caller's promise; the address is not null and aligned, which `plan::check` made sure of.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
}

fn update_piece(variant: Variant, piece: Piece<'_>, record: &[f32; 16], gradient: GradientScalars) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { update_piece_avx2(variant, piece, record, gradient) };
    }
    update_piece_portable(variant, piece, record, gradient);
}

/// Without FMA instructions `mul_add` is a library call: the same bits, ten times slower.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn update_piece_avx2(variant: Variant, piece: Piece<'_>, record: &[f32; 16], gradient: GradientScalars) {
    update_piece_portable(variant, piece, record, gradient);
}

#[inline(always)]
fn update_piece_portable(variant: Variant, piece: Piece<'_>, record: &[f32; 16], gradient: GradientScalars) {
    if !gradient.changes() {
        return apply(variant, piece, record);
    }
    // A chunk's gradients are prepared on the stack; the engine's own are never written.
    let mut prepared = [0.0; CHUNK as usize];
    let prepared = &mut prepared[..piece.grad.len()];
    rules::prepare(prepared, piece.grad, gradient);
    apply(variant, Piece { param: piece.param, grad: prepared, state: piece.state }, record);
}

#[inline(always)]
fn apply(variant: Variant, piece: Piece<'_>, record: &[f32; 16]) {
    match variant {
        Variant::Adam { decay, direction } => rules::adam(decay, direction, piece, record),
        Variant::Sgd { momentum, decay, direction } => rules::sgd(momentum, decay, direction, piece, record),
    }
}
