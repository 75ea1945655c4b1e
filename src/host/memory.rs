//! The unsafe part of the CPU backend: views of memory that the caller registered, and the AVX2 + FMA build of the loops.

mod fma;
mod outputs;
mod param;
mod show;
mod state;

use bytemuck::AnyBitPattern;
use rayon::prelude::*;

use super::gradients::GradientScalars;
use super::rests::rests;
use crate::plan::layout::NORM_BLOCK;
use crate::plan::{Dtype, Forms, Lies, Plan, Scalar, TensorRow};
use crate::precision::{CODES_BLOCK, Dice, Form, Storage, Stored, StoredMut, Throws};
use crate::rule::{Compiled, Lanes, Start};

pub(super) use fma::{Work, has_fma, with_fma};
pub(super) use outputs::write_outputs;
pub(super) use param::param_bytes;
pub(super) use show::show;
pub(super) use state::{StateMemory, Window};

/// Elements that are prepared at once: they stay in the cache. Whole blocks of codes.
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

impl Piece {
    pub fn tensor(self) -> u32 {
        self.tensor
    }

    fn elements(self, row: &TensorRow) -> Elements {
        Elements { begin: self.begin as usize, len: (row.len - self.begin).min(PIECE) as usize }
    }
}

/// All tensors in pieces, in their order.
pub(super) fn pieces(plan: &Plan) -> Vec<Piece> {
    let of = |(tensor, row): (usize, &TensorRow)| {
        (0..row.len.div_ceil(PIECE)).map(move |i| Piece { tensor: tensor as u32, begin: i * PIECE })
    };
    plan.tensors.iter().enumerate().filter(|(tensor, _)| plan.is_there(*tensor)).flat_map(of).collect()
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
    let summed = (0..plan.groups.len()).flat_map(|group| plan.tensors_of(group)).map(|tensor| &plan.tensors[tensor]);
    let all: Vec<_> =
        summed.filter(|row| !rests(plan, row)).flat_map(|row| blocks(row).map(move |begin| (row, begin))).collect();
    let blocks = all.par_iter().with_min_len(MIN_PIECES);
    blocks
        .map(|(row, begin)| {
            let range = Elements { begin: *begin as usize, len: (row.len - begin).min(NORM_BLOCK) as usize };
            // SAFETY: the caller vouches for the tensor, and nothing writes gradients meanwhile.
            let grad = unsafe { stored(plan.storages(row)[1], plan.lies(row, 1), range) };
            work(wide(&grad, range.len, &mut Vec::new()))
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
        if rests(plan, row) {
            return;
        }
        // SAFETY: the caller vouches for the tensor; no other gradient or parameter overlaps this gradient, and this
        // piece of it is ours.
        unsafe { stored_mut(plan.storages(row)[1], plan.lies(row, 1), piece.elements(row)) }.zero();
    });
}

/// Makes masters and remainders anew, in parallel: those of the tensors that `which` chooses.
///
/// Sound for the reasons that [`update`] gives.
pub(super) fn remake(plan: &Plan, pieces: &[Piece], which: impl Fn(&TensorRow) -> bool + Sync) {
    pieces.par_iter().with_min_len(MIN_PIECES).for_each(|piece| {
        let row = &plan.tensors[piece.tensor as usize];
        if plan.forms[row.form as usize].remakes() && which(row) {
            // SAFETY: as in `update`: the parameter and what lies beside it are this tensor's alone, and this piece is ours.
            unsafe { stored_mut(plan.storages(row)[0], row.streams[0], piece.elements(row)) }.remake();
        }
    });
}

/// Fills the states that start from a value.
///
/// Sound for the reasons that [`update`] gives; it runs before any of that.
pub(super) fn fill_states(plan: &Plan, which: impl Fn(&TensorRow) -> bool) {
    for (row, place, value) in plan.filled_states().filter(|(row, ..)| which(row)) {
        let all = Elements { begin: 0, len: row.len as usize };
        // SAFETY: state memory was allocated for this tensor alone, and nobody uses it yet.
        unsafe { stored_mut(plan.storages(row)[place], row.streams[place], all) }.fill(value);
    }
}

/// What an update goes by, besides the plan.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    /// One per cohort.
    pub records: &'a [f32],
    /// What is each tensor's own.
    pub own: &'a [f32],
    pub gradient: GradientScalars,
    pub dice: Dice,
}

/// Memory that a task reuses.
#[derive(Debug, Default)]
struct Scratch {
    /// Of streams that are not f32, as f32.
    wide: Vec<Vec<f32>>,
    grad: Vec<f32>,
    prepared: Vec<f32>,
    random: Vec<u32>,
}

/// Applies every tensor's rule to its pieces, in parallel.
///
/// Sound because of where a [`Plan`] comes from: `Tensor::new`'s caller vouched for the memory, `plan::check` made sure that
/// no parameter overlaps anything, state memory belongs to one tensor, and pieces of a tensor are disjoint.
pub(super) fn update(plan: &Plan, pieces: &[Piece], given: Given<'_>) {
    let Given { records, own, gradient, .. } = given;
    let (width, own_width) = (plan.widths().record, plan.widths().own);
    pieces.par_iter().with_min_len(MIN_PIECES).for_each(|piece| {
        let row = &plan.tensors[piece.tensor as usize];
        if rests(plan, row) {
            return;
        }
        let forms = &plan.forms[row.form as usize];
        let rule = &*plan.variants[row.variant as usize];
        let record = &records[row.cohort as usize * width..][..width];
        let own = own.get(piece.tensor as usize * own_width..).unwrap_or_default();
        let scalars = rule.scalars(record, own);
        let first = is_first(rule, record);
        let chunk = if gradient.changes() || !forms.is_plain() { CHUNK } else { PIECE as usize };
        let Elements { begin, len } = piece.elements(row);
        let mut scratch = Scratch::default();
        for at in (begin..begin + len).step_by(chunk) {
            let range = Elements { begin: at, len: (begin + len - at).min(chunk) };
            update_chunk(forms, (row, plan.lies(row, 1)), range, rule, (&scalars, first), given, &mut scratch);
        }
    });
}

/// Whether streams that start from something do so now.
fn is_first(rule: &Compiled, record: &[f32]) -> bool {
    rule.standing.first.is_some_and(|at| record[at as usize] != 0.0)
}

fn update_chunk(
    forms: &Forms,
    (row, grad): (&TensorRow, Lies),
    range: Elements,
    rule: &Compiled,
    (scalars, first): (&[f32], bool),
    Given { gradient, dice, .. }: Given<'_>,
    scratch: &mut Scratch,
) {
    // SAFETY: the caller vouches for the tensor; no parameter overlaps a gradient, so nothing writes it.
    let grad = unsafe { stored(forms.storages[1], grad, range) };
    let places = || std::iter::once(0).chain(2..2 + rule.streams().len());
    let kept = places().map(|place| {
        // SAFETY: the caller vouches for the tensor; parameters do not overlap, state memory was allocated for this tensor alone,
        // and this chunk of all of them is ours.
        unsafe { stored_mut(forms.storages[place], row.streams[place], range) }
    });
    let mut kept: Vec<StoredMut<'_>> = kept.collect();
    scratch.wide.resize_with(kept.len(), Vec::new);
    for (kept, wide) in kept.iter().zip(&mut scratch.wide).filter(|(kept, _)| !kept.is_f32()) {
        wide.resize(range.len, 0.0);
        kept.as_stored().load(wide);
    }
    // The engine's own are never written.
    let grad = gradient.prepare(wide(&grad, range.len, &mut scratch.grad), &mut scratch.prepared);
    let lanes = kept.iter_mut().zip(&mut scratch.wide).map(|(kept, wide)| match kept {
        StoredMut::F32(elements) => &mut **elements,
        _ => &mut **wide,
    });
    let mut lanes: Vec<&mut [f32]> = lanes.collect();
    let Some((param, streams)) = lanes.split_first_mut() else { return };
    if first {
        for (place, start) in rule.started() {
            streams[place].copy_from_slice(if start == Start::Param { param } else { grad });
        }
    }
    rule.code.apply(Lanes { param, grad, streams }, scalars);
    let stored = rule.standing.stores | if first { rule.standing.stores_once } else { 0 };
    let all = places().zip(kept.iter_mut().zip(&scratch.wide));
    for (place, (kept, wide)) in all.filter(|(place, (kept, _))| stored >> place & 1 == 1 && !kept.is_f32()) {
        let throws = Throws { dice, tensor: row.number, place: place as u32 };
        kept.store(wide, throws, range.begin as u64, &mut scratch.random);
    }
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
    let summed = (0..plan.groups.len()).flat_map(|group| plan.tensors_of(group)).map(|tensor| &plan.tensors[tensor]);
    let rows = summed.filter(|row| row.variant == variant && !rests(plan, row));
    let all: Vec<_> =
        rows.flat_map(|row| (0..row.len.div_ceil(NORM_BLOCK)).map(move |i| (row, i * NORM_BLOCK))).collect();
    let blocks = all.par_iter().with_min_len(MIN_PIECES);
    blocks
        .map(|(row, begin)| {
            let range = Elements { begin: *begin as usize, len: (row.len - begin).min(NORM_BLOCK) as usize };
            let record = &records[row.cohort as usize * width..][..width];
            let all = plan.storages(row).iter().enumerate().map(|(place, storage)| {
                // SAFETY: the caller vouches for the tensor, state memory was allocated for it alone, and nothing writes it meanwhile.
                unsafe { stored(*storage, plan.lies(row, place), range) }
            });
            let all: Vec<Stored<'_>> = all.collect();
            let mut memory = vec![Vec::new(); all.len()];
            let all: Vec<&[f32]> =
                all.iter().zip(&mut memory).map(|(stored, memory)| wide(stored, range.len, memory)).collect();
            let (param, mut streams) = (all[0], all[2..2 + rule.streams().len()].to_vec());
            let mut prepared = Vec::new();
            let grad = gradient.prepare(all[1], &mut prepared);
            if is_first(rule, record) {
                for (place, start) in rule.started() {
                    streams[place] = if start == Start::Param { param } else { grad };
                }
            }
            let mut terms = vec![[vec![0.0; range.len], vec![0.0; range.len]]; rule.tape.sums.len()];
            // What is the tensor's own is not known yet, and not used.
            let own = vec![0.0; rule.standing.tensor_len];
            rule.code.measure(param, grad, &streams, &rule.scalars(record, &own), &mut terms);
            work(&terms)
        })
        .collect()
}

/// `stored` as `len` f32: itself, or what is written to `memory`.
fn wide<'a>(stored: &Stored<'a>, len: usize, memory: &'a mut Vec<f32>) -> &'a [f32] {
    if let Stored::F32(elements) = stored {
        return elements;
    }
    memory.resize(len, 0.0);
    stored.load(memory);
    memory
}

/// Some elements of a tensor; the first one begins a block of codes.
#[derive(Debug, Clone, Copy)]
struct Elements {
    begin: usize,
    len: usize,
}

impl Elements {
    /// The blocks of codes that they are in.
    fn blocks(self) -> Elements {
        let block = CODES_BLOCK as usize;
        Elements { begin: self.begin / block, len: self.len.div_ceil(block) }
    }
}

/// # Safety
///
/// These elements of a stream that is stored so, at these addresses, are alive and unwritten for `'a`.
unsafe fn stored<'a>(storage: Storage, Lies { first, second }: Lies, range: Elements) -> Stored<'a> {
    match storage.form {
        // SAFETY: the caller's promise.
        Form::F32 => Stored::F32(unsafe { view(first, range) }),
        // SAFETY: as above.
        Form::Half(half, _) => Stored::Half(half, unsafe { view(first, range) }),
        // SAFETY: as above.
        Form::Master(_) => Stored::F32(unsafe { view(second, range) }),
        Form::Remainder => {
            // SAFETY: as above.
            let upper = unsafe { view(first, range) };
            // SAFETY: as above.
            Stored::Split(upper, unsafe { view(second, range) })
        }
        Form::EightBit => {
            // SAFETY: as above.
            let codes = unsafe { view(first, range) };
            // SAFETY: as above.
            Stored::EightBit(storage.values, codes, unsafe { view(second, range.blocks()) })
        }
    }
}

/// # Safety
///
/// These elements of a stream that is stored so, at these addresses, are alive and used by nobody else for `'a`.
unsafe fn stored_mut<'a>(storage: Storage, Lies { first, second }: Lies, range: Elements) -> StoredMut<'a> {
    match storage.form {
        // SAFETY: the caller's promise.
        Form::F32 => StoredMut::F32(unsafe { view_mut(first, range) }),
        Form::Half(half, rounding) => {
            // SAFETY: as above.
            StoredMut::Half(half, rounding, storage.values, unsafe { view_mut(first, range) })
        }
        Form::Master(half) => {
            // SAFETY: as above.
            let param = unsafe { view_mut(first, range) };
            // SAFETY: as above.
            StoredMut::Master(half, param, unsafe { view_mut(second, range) })
        }
        Form::Remainder => {
            // SAFETY: as above.
            let upper = unsafe { view_mut(first, range) };
            // SAFETY: as above.
            StoredMut::Split(upper, unsafe { view_mut(second, range) })
        }
        Form::EightBit => {
            // SAFETY: as above.
            let codes = unsafe { view_mut(first, range) };
            // SAFETY: as above.
            StoredMut::EightBit(storage.values, codes, unsafe { view_mut(second, range.blocks()) })
        }
    }
}

/// # Safety
///
/// These elements of an array that begins at `address` are alive and unwritten for `'a`.
unsafe fn view<'a, T: AnyBitPattern>(address: u64, Elements { begin, len }: Elements) -> &'a [T] {
    let first = (address as usize as *const T).wrapping_add(begin);
    // SAFETY: the caller's promise; the address is not null and aligned, which `plan::check` made sure of.
    unsafe { std::slice::from_raw_parts(first, len) }
}

/// # Safety
///
/// These elements of an array that begins at `address` are alive and used by nobody else for `'a`.
unsafe fn view_mut<'a, T: AnyBitPattern>(address: u64, Elements { begin, len }: Elements) -> &'a mut [T] {
    let first = (address as usize as *mut T).wrapping_add(begin);
    // SAFETY: the caller's promise; the address is not null and aligned, which `plan::check` made sure of.
    unsafe { std::slice::from_raw_parts_mut(first, len) }
}
