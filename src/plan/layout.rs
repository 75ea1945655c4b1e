//! Layouts shared with CUDA: the same structs as `kernels/state.cuh`, asserted on both sides.

use bytemuck::{Pod, Zeroable};

/// Elements of one chunk, the work of one warp. `kernels/state.cuh` has the same number.
pub(crate) const CHUNK: u64 = 2048;
/// Elements in 16 bytes.
pub(crate) const VECTOR: u64 = 4;
/// Lanes of a warp: the most scalars that one bundle holds.
pub(crate) const WARP: usize = 32;
/// The most hyperparameters that a rule has.
pub(crate) const MAX_HYPERPARAMETERS: usize = 6;

/// The durable state of one optimizer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Control {
    pub t: u64,
    pub skipped: u64,
    pub progress: u64,
    pub increment: u64,
    pub ticket: u32,
    pub reserved: [u32; 23],
}
const _: () = assert!(size_of::<Control>() == 128);

impl Control {
    /// Before the first update; each will advance the progress clock by `increment`.
    pub fn new(increment: u64) -> Control {
        Control { increment, ..Control::zeroed() }
    }
}

/// One tensor. Addresses are of element 0; `skew` elements before it begins the 16-byte window that it lies in.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct TensorRow {
    pub param: u64,
    pub grad: u64,
    pub state: [u64; 2],
    pub len: u64,
    pub cohort: u32,
    pub variant: u32,
    pub skew: u32,
    pub vector: u32,
    pub reserved: u64,
}
const _: () = assert!(size_of::<TensorRow>() == 64);

/// Elements `index * CHUNK - skew` to `(index + 1) * CHUNK - skew` of a tensor.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct ChunkRow {
    pub tensor: u32,
    pub index: u32,
}
const _: () = assert!(size_of::<ChunkRow>() == 8);

/// Up to [`WARP`] scalars whose schedules have one structure.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct BundleRow {
    pub program: u32,
    pub first: u32,
    pub count: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<BundleRow>() == 16);

/// A parameter group: which scalar each hyperparameter is.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct GroupRow {
    pub scalar: [u32; MAX_HYPERPARAMETERS],
    pub variant: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<GroupRow>() == 32);

/// Tensors of a group that have had `t + base` (modulo 2^64) updates.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct CohortRow {
    pub base: u64,
    pub group: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<CohortRow>() == 16);

/// What an update needs of its cohort. Each rule names the places.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Record {
    pub value: [f32; 16],
}
const _: () = assert!(size_of::<Record>() == 64);

/// The argument of a step: addresses in device memory, and counts.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Step {
    pub control: u64,
    pub tensors: u64,
    pub chunks: u64,
    pub constants: u64,
    pub scalars: u64,
    pub bundles: u64,
    pub groups: u64,
    pub cohorts: u64,
    pub values: u64,
    pub records: u64,
    pub found_inf: u64,
    pub chunk_count: u32,
    pub bundle_count: u32,
    pub scalar_count: u32,
    pub cohort_count: u32,
}
const _: () = assert!(size_of::<Step>() == 104);

/// What an edit writes at one place of the table of constants.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct Write {
    pub bits: u64,
    pub place: u32,
    pub kind: u32,
}
const _: () = assert!(size_of::<Write>() == 16);

impl Write {
    /// `bits` go to `place`.
    pub const SET: u32 = 0;
    /// The following are resolved against clock `bits`: 0 the step, 1 progress. That is what remains.
    pub const CLOCK: u32 = 1;
    /// The length at `place` is cut to what remains, and what remains becomes less by it.
    pub const CUT: u32 = 2;
    /// What remains goes to `place`.
    pub const LENGTH: u32 = 3;
    /// The value in force of scalar `bits` goes to `place`.
    pub const REACHED: u32 = 4;
}

/// The most writes of one launch: with all else they fill the 4 KiB that the argument of a kernel may have.
pub(crate) const MAX_WRITES: usize = 248;

/// The argument of an edit.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct EditRow {
    pub step: Step,
    /// By how much an applied update advances the progress clock from now on.
    pub increment: u64,
    pub count: u32,
    pub flags: u32,
    pub writes: [Write; MAX_WRITES],
}
const _: () = assert!(size_of::<EditRow>() == 4088);

impl EditRow {
    /// Take `increment`.
    pub const INCREMENT: u32 = 1;
    /// Evaluate the step in force anew.
    pub const EVALUATE: u32 = 2;
}
