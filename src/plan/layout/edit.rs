//! The argument of an edit: what it writes, and where. `kernels/edit.cuh` does it.

use bytemuck::{Pod, Zeroable};

use super::Step;

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
    /// The age at `place` begins where that at `bits` is.
    pub const AGE_OF: u32 = 5;
    /// The age at `place` begins after `bits` updates.
    pub const AGE_AT: u32 = 6;
    /// The cohort at `place` remembers what that at `bits` does.
    pub const MEMORY_OF: u32 = 7;
    /// What is at `place` among what cohorts, groups or tensors remember becomes `bits`.
    pub const START: [u32; 3] = [8, 9, 10];
    /// The cohort at `place` has of its group what that at `bits` has.
    pub const GROUP_OF: u32 = 11;
}

/// The most writes of one launch: with all else they fill the 4 KiB that the argument of a kernel may have.
pub(crate) const MAX_WRITES: usize = 236;

/// The argument of an edit.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct EditRow {
    pub step: Step,
    /// By how much an applied update advances the progress clock from now on.
    pub increment: u64,
    /// The number of updates that raises the stop flag from now on, or 0.
    pub stop_at: u64,
    /// Calls per update from now on.
    pub accumulate: u32,
    pub count: u32,
    pub flags: u32,
    pub reserved: [u32; 3],
    pub writes: [Write; MAX_WRITES],
}
const _: () = assert!(size_of::<EditRow>() == 4096);

impl EditRow {
    /// Take `increment`.
    pub const INCREMENT: u32 = 1;
    /// Evaluate the step in force anew.
    pub const EVALUATE: u32 = 2;
    /// Take `accumulate`.
    pub const ACCUMULATE: u32 = 4;
    /// Take `stop_at`.
    pub const STOP_AT: u32 = 8;
    /// Lower all sticky flags.
    pub const LOWER_FLAGS: u32 = 16;
    /// Level what groups and tensors remember.
    pub const LEVEL_MEMORY: u32 = 32;
    /// Another optimizer has taken this one's place.
    pub const RETIRE: u32 = 64;
}
