//! The unsafe part of the CPU backend: views of memory that the caller registered, and the AVX2 + FMA build of the loops.

use rayon::prelude::*;

use super::gradients::GradientScalars;
use crate::plan::layout::NORM_BLOCK;
use crate::plan::{Dtype, Plan, Scalar, TensorRow};
use crate::rule::{Compiled, Lanes, Start};

/// Elements whose gradients are prepared at once: they stay in the cache.
const CHUNK: usize = 2048;
/// Elements that one task takes at most, so that spawning costs little against them.
const PIECE: u64 = 16 * CHUNK as u64;
/// Pieces of tensors, however small, that a task takes at least.
const MIN_PIECES: usize = 8;

/// Elements of one tensor from `begin` on, [`PIECE`] of them or what is left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    tensor: u32,
    begin: u64,
}

/// All tensors in pieces, in their order.
pub(super) fn pieces(plan: &Plan) -> Vec<Piece> {
    let of = |(tensor, row): (usize, &TensorRow)| {
        (0..row.len.div_ceil(PIECE)).map(move |i| Piece { tensor: tensor as u32, begin: i * PIECE })
    };
    plan.tensors.iter().enumerate().flat_map(of).collect()
}

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
    let blocks = |row: &TensorRow| (0..row.len.div_ceil(NORM_BLOCK)).map(move |i| i * NORM_BLOCK);
    let all: Vec<_> = plan.tensors.iter().flat_map(|row| blocks(row).map(move |begin| (row, begin))).collect();
    let blocks = all.par_iter().with_min_len(MIN_PIECES);
    blocks
        .map(|(row, begin)| {
            let len = (row.len - begin).min(NORM_BLOCK);
            // SAFETY: the caller vouches for the tensor, and nothing writes gradients meanwhile.
            work(unsafe { view(row.grad(), *begin as usize, len as usize) })
        })
        .collect()
}

/// Zeroes all gradients, in parallel.
///
/// Sound for the reasons that [`update`] gives; `plan::check` made sure that gradients do not overlap where they are zeroed.
pub(super) fn zero_gradients(plan: &Plan, pieces: &[Piece]) {
    debug_assert!(plan.gradients.zero);
    pieces.par_iter().with_min_len(MIN_PIECES).for_each(|piece| {
        let row = &plan.tensors[piece.tensor as usize];
        let len = (row.len - piece.begin).min(PIECE) as usize;
        // SAFETY: the caller vouches for the tensor; no other gradient or parameter overlaps this gradient, and this
        // piece of it is ours.
        unsafe { view_mut(row.grad(), piece.begin as usize, len) }.fill(0.0);
    });
}

/// Applies every tensor's rule to its pieces, in parallel. `records`: one per cohort; `own`: what is each tensor's own.
///
/// Sound because of where a [`Plan`] comes from: `Tensor::new`'s caller vouched for the memory, `plan::check` made sure that
/// no parameter overlaps anything, state memory belongs to one tensor, and pieces of a tensor are disjoint.
pub(super) fn update(plan: &Plan, pieces: &[Piece], records: &[f32], own: &[f32], gradient: GradientScalars) {
    let (width, own_width) = (plan.widths().record, plan.widths().own);
    let chunk = if gradient.changes() { CHUNK } else { PIECE as usize };
    pieces.par_iter().with_min_len(MIN_PIECES).for_each(|piece| {
        let row = &plan.tensors[piece.tensor as usize];
        let rule = &*plan.variants[row.variant as usize];
        let record = &records[row.cohort as usize * width..][..width];
        let own = own.get(piece.tensor as usize * own_width..).unwrap_or_default();
        let scalars = rule.scalars(record, own);
        let first = is_first(rule, record);
        let end = row.len.min(piece.begin + PIECE) as usize;
        let mut prepared = Vec::new();
        for begin in (piece.begin as usize..end).step_by(chunk) {
            update_chunk(row, begin, (end - begin).min(chunk), rule, (&scalars, first), gradient, &mut prepared);
        }
    });
}

/// Whether streams that start from something do so now.
fn is_first(rule: &Compiled, record: &[f32]) -> bool {
    rule.standing.first.is_some_and(|at| record[at as usize] != 0.0)
}

fn update_chunk(
    row: &TensorRow,
    begin: usize,
    len: usize,
    rule: &Compiled,
    (scalars, first): (&[f32], bool),
    gradient: GradientScalars,
    prepared: &mut Vec<f32>,
) {
    let streams = row.states().iter().map(|address| {
        // SAFETY: state memory was allocated for this tensor alone, and this chunk of it is ours.
        unsafe { view_mut(*address, begin, len) }
    });
    let mut streams: Vec<&mut [f32]> = streams.collect();
    // SAFETY: the caller vouches for the tensor; parameters do not overlap, and this chunk of it is ours.
    let param: &mut [f32] = unsafe { view_mut(row.param(), begin, len) };
    // SAFETY: the caller vouches for the tensor; no parameter overlaps a gradient, so nothing writes it.
    let grad: &[f32] = unsafe { view(row.grad(), begin, len) };
    // The engine's own are never written.
    let grad = gradient.prepare(grad, prepared);
    if first {
        for (place, start) in rule.started() {
            streams[place].copy_from_slice(if start == Start::Param { param } else { grad });
        }
    }
    rule.code.apply(Lanes { param, grad, streams: &mut streams }, scalars);
}

/// What each element of a block adds to the sums of its rule: [sum][side][element].
pub(super) type BlockTerms = Vec<[Vec<f32>; 2]>;

/// Calls `work` with the terms of every norm block of the tensors of variant `variant`, in parallel, and returns what it makes
/// of each, in their order. Nothing is written but memory of its own; else as [`update`].
pub(super) fn map_terms<T: Send>(
    plan: &Plan,
    variant: u32,
    records: &[f32],
    gradient: GradientScalars,
    work: impl Fn(&BlockTerms) -> T + Sync,
) -> Vec<T> {
    let (width, rule) = (plan.widths().record, &*plan.variants[variant as usize]);
    let rows = plan.tensors.iter().filter(|row| row.variant == variant);
    let all: Vec<_> =
        rows.flat_map(|row| (0..row.len.div_ceil(NORM_BLOCK)).map(move |i| (row, i * NORM_BLOCK))).collect();
    let blocks = all.par_iter().with_min_len(MIN_PIECES);
    blocks
        .map(|(row, begin)| {
            let (begin, len) = (*begin as usize, (row.len - begin).min(NORM_BLOCK) as usize);
            let record = &records[row.cohort as usize * width..][..width];
            // SAFETY: the caller vouches for the tensor, and nothing writes it meanwhile.
            let param: &[f32] = unsafe { view(row.param(), begin, len) };
            // SAFETY: as above.
            let grad: &[f32] = unsafe { view(row.grad(), begin, len) };
            let mut prepared = Vec::new();
            let grad = gradient.prepare(grad, &mut prepared);
            let streams = row.states().iter().map(|address| {
                // SAFETY: state memory was allocated for this tensor alone, and nothing writes it meanwhile.
                unsafe { view(*address, begin, len) }
            });
            let mut streams: Vec<&[f32]> = streams.collect();
            if is_first(rule, record) {
                for (place, start) in rule.started() {
                    streams[place] = if start == Start::Param { param } else { grad };
                }
            }
            let mut terms = vec![[vec![0.0; len], vec![0.0; len]]; rule.tape.sums.len()];
            // What is the tensor's own is not known yet, and not used.
            let own = vec![0.0; rule.standing.tensor_len];
            rule.code.measure(param, grad, &streams, &rule.scalars(record, &own), &mut terms);
            work(&terms)
        })
        .collect()
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

/// Loops that are worth compiling for AVX2 and FMA.
pub(super) trait Work {
    /// Marked `#[inline(always)]`, with all that it calls: else it is compiled for any CPU.
    fn run(self);
}

/// Without FMA instructions `mul_add` is a library call: the same bits, ten times slower.
pub(super) fn with_fma(work: impl Work) {
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the CPU has what the function is compiled for.
        return unsafe { with_avx2_and_fma(work) };
    }
    work.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn with_avx2_and_fma(work: impl Work) {
    work.run();
}
