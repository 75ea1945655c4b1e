//! The argument of a part of an update: whose tiles it takes. `kernels/update.cu` does it.

use bytemuck::{Pod, Zeroable};

use super::Step;

/// In [`Step::choice`] of an update: its tiles were updated by parts. `kernels/tables.cuh` has the same number.
pub(crate) const FINISH: u32 = 1;

/// A tensor of a part: its row, and the first block of its tiles.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct PartOf {
    pub row: u32,
    pub first: u32,
}

/// The most tensors of one launch: with all else they fill the 4 KiB that the argument of a kernel may have.
pub(crate) const MAX_PARTS: usize = 475;

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct PartRow {
    pub step: Step,
    pub count: u32,
    pub reserved: [u32; 3],
    pub of: [PartOf; MAX_PARTS],
}
const _: () = assert!(size_of::<PartRow>() == 4096);
