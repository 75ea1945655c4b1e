//! Rows of what is summed over elements: of the norm launch and the measuring launch, and what follows from sums.

use bytemuck::{Pod, Zeroable};

/// The work of one block of the norm launch.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct NormTileRow {
    pub tensor: u32,
    pub place: u32,
    /// Where its sum goes.
    pub slot: u32,
    /// The node that adds it, or [`ROOT`].
    pub parent: u32,
}
const _: () = assert!(size_of::<NormTileRow>() == 16);

/// Sums that are added to one.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct NodeRow {
    /// The slots of what it adds.
    pub first: u32,
    pub count: u32,
    /// Blocks that bring them.
    pub arrivals: u32,
    pub slot: u32,
    pub parent: u32,
    /// Of the measuring launch: what is known when it has added, a number of [`level`].
    pub level: u32,
    /// The tensor's row, or the group.
    pub index: u32,
    pub variant: u32,
}
const _: () = assert!(size_of::<NodeRow>() == 32);

/// What is known when a node has added: `Level` of `kernels/tables.cuh`.
pub(crate) mod level {
    pub const PART: u32 = 0;
    pub const TENSOR: u32 = 1;
    pub const GROUP: u32 = 2;
    pub const ALL: u32 = 3;
}

/// The work of one block of the measuring launch.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct MeasureTileRow {
    pub tensor: u32,
    pub place: u32,
    pub slot: u32,
    pub parent: u32,
    pub cohort: u32,
    pub variant: u32,
    pub form: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<MeasureTileRow>() == 32);

/// A group, for what follows from its sums.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct GroupRow {
    pub variant: u32,
    pub first_cohort: u32,
    /// Where its sum is.
    pub slot: u32,
    pub reserved: u32,
    /// Elements of its tensors, and of those of all groups with its variant.
    pub len: u64,
    pub len_of_all: u64,
}
const _: () = assert!(size_of::<GroupRow>() == 32);

/// What rules that measure or remember need besides: addresses, and how many rows there are.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct RuleTablesRow {
    pub measure_tiles: u64,
    pub measure_nodes: u64,
    pub measure_sums: u64,
    pub measure_arrivals: u64,
    pub measure_slots: u64,
    pub groups: u64,
    pub own: u64,
    pub cohort_memory: u64,
    pub group_memory: u64,
    pub tensor_memory: u64,
    pub cohort_lens: u64,
    pub measure_tile_count: u32,
    pub group_count: u32,
    pub tensor_capacity: u32,
    pub output_count: u32,
    pub outputs: u64,
}
const _: () = assert!(size_of::<RuleTablesRow>() == 112);

/// Where a scalar goes.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct OutputRow {
    /// Of the engine's.
    pub address: u64,
    /// Among the pairs that cohorts remember.
    pub pair: u32,
    /// 1: an f64; 0: an f32.
    pub wide: u32,
}
const _: () = assert!(size_of::<OutputRow>() == 16);

impl RuleTablesRow {
    /// Turns offsets into addresses.
    pub fn place(&mut self, base: u64) {
        for address in [
            &mut self.measure_tiles,
            &mut self.measure_nodes,
            &mut self.measure_sums,
            &mut self.measure_arrivals,
            &mut self.measure_slots,
            &mut self.groups,
            &mut self.own,
            &mut self.cohort_memory,
            &mut self.group_memory,
            &mut self.tensor_memory,
            &mut self.cohort_lens,
            &mut self.outputs,
        ] {
            *address += base;
        }
    }
}

/// In place of a parent: there is none.
pub(crate) const ROOT: u32 = u32::MAX;

/// A sum of squares or magnitudes, or the largest magnitude.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct PartialRow {
    pub sum: f64,
    /// A gradient among them is not finite.
    pub found: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<PartialRow>() == 16);
