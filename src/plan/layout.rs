//! Layouts shared with CUDA: the same structs as `kernels/state.cuh` and `kernels/tables.cuh`, asserted on both sides. Rows
//! whose width depends on the rules are made of bytes: [`Widths`] has their sizes.

mod edit;
mod part;
mod sums;

use bytemuck::{Pod, Zeroable};
pub(crate) use edit::{EditRow, MAX_WRITES, Write};
pub(crate) use part::{FINISH, MAX_PARTS, PartOf, PartRow};
pub(crate) use sums::{
    GroupRow, MeasureTileRow, NodeRow, NormTileRow, OutputRow, PartialRow, ROOT, RuleTablesRow, level,
};

use crate::gradient::Gradients;
use crate::settings::Settings;

/// Elements of a norm block, a part of the order of summation. `kernels/norm.cuh` has the same number.
pub(crate) const NORM_BLOCK: u64 = 4096;
/// Norm blocks of a section, a part of the order of summation.
pub(crate) const SECTION: u64 = 1024;
/// Elements of one access. `kernels/streams.cuh` has the same number.
pub(crate) const VECTOR: u64 = 4;
/// Threads of a block. `kernels/walk.cuh` has the same number.
pub(crate) const THREADS: u32 = 256;
/// Lanes of a warp: the most scalars that one bundle holds.
pub(crate) const WARP: usize = 32;
/// What a block that evaluates stages in shared memory at most. `kernels/evaluate.cuh` has the same number.
pub(crate) const STAGED_BYTES: usize = 4096;
/// Warps of a block.
pub(crate) const WARPS: u32 = THREADS / WARP as u32;

/// The durable state of one optimizer.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Control {
    pub t: u64,
    pub skipped: u64,
    pub progress: u64,
    pub increment: u64,
    pub calls: u64,
    pub micro_step: u32,
    pub growth_tracker: u32,
    pub loss_scale: f32,
    pub skipped_in_a_row: u32,
    pub raised: u32,
    pub stop: u32,
    pub factor: f32,
    pub clip_factor: f32,
    pub norm: f64,
    pub end: [u64; 2],
    pub found: u32,
    pub norm_call: u32,
    pub hysteresis: u32,
    pub overlapped: u32,
    pub exhausted: u32,
    pub shown: u32,
    pub called_while_shown: u32,
    pub retired: u32,
}
const _: () = assert!(size_of::<Control>() == 128);

impl Control {
    /// Before the first update, at `t`; each will advance the progress clock by `increment`.
    pub fn new(t: u64, increment: u64, gradients: Gradients, settings: &Settings) -> Control {
        let verdict = gradients.judge(settings, 0.0, 1.0 / f64::from(settings.loss_scale), 1);
        Control {
            t,
            // As if all updates before had advanced it so.
            progress: t.saturating_mul(increment),
            increment,
            loss_scale: settings.loss_scale,
            factor: verdict.factor,
            clip_factor: 1.0,
            hysteresis: settings.hysteresis,
            ..Control::zeroed()
        }
    }
}

const _: () = assert!(size_of::<Settings>() == 128);

/// How much of each table is in use.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Counts {
    pub tiles: u32,
    pub norm_tiles: u32,
    pub bundles: u32,
    pub cohorts: u32,
    pub metrics: u32,
    pub windows: u32,
    /// With those of frozen tensors.
    pub all_tiles: u32,
    pub ages: u32,
}
const _: () = assert!(size_of::<Counts>() == 32);

/// The work of one block: tile `place` of a tensor, or a pack of small tensors.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub(crate) struct TileRow {
    /// A row of the tensor table; of a pack the first.
    pub tensor: u32,
    /// Of a pack [`PACK`] and the number of its tensors. The gradient's type is at [`GRAD_TYPE`].
    pub place: u32,
    pub cohort: u32,
    pub form: u32,
}
const _: () = assert!(size_of::<TileRow>() == 16);

/// In [`TileRow::place`]: the row is a pack.
pub(crate) const PACK: u32 = 1 << 31;
/// Where two bits of [`TileRow::place`] are the type of the gradient. `kernels/tables.cuh` has the same number.
pub(crate) const GRAD_TYPE: u32 = 29;
/// A flag of a tensor's row: its master is the engine's. `kernels/tables.cuh` has the same number.
pub(crate) const MASTER_GIVEN: u32 = 1;
/// Another one: what lies beside its parameter is to be made. `kernels/tables.cuh` has the same number.
pub(crate) const JUST_ADDED: u32 = 2;
/// Where a tensor's flags hold the type of its gradient and its form. `kernels/tables.cuh` has the same numbers.
pub(crate) const GRAD_TYPE_FLAG: u32 = 2;
pub(crate) const FORM_FLAG: u32 = 4;
/// In place of an age: of a scalar that follows from no count. `kernels/tables.cuh` has the same number.
pub(crate) const NO_AGE: u32 = u32::MAX;
/// In place of a cohort: the group has no further one. `kernels/tables.cuh` has the same number.
pub(crate) const NO_COHORT: u32 = u32::MAX;

/// How wide the rows are that depend on the rules of one optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Widths {
    /// The most addresses of a tensor: of parameter, gradient, states, and what belongs to them.
    pub addresses: usize,
    /// The most scalars that a rule's own are resolved from.
    pub inputs: usize,
    /// Values of a record, a multiple of 4.
    pub record: usize,
    /// The most scalars that are a tensor's own, a multiple of 4.
    pub own: usize,
    /// The most sums of a rule.
    pub sums: usize,
    /// The most that a cohort, a group and a tensor remember.
    pub memory: [usize; 3],
    /// Whether cohorts scale rates.
    pub scaled: bool,
}

impl Widths {
    /// Bytes of a tensor's row: its head and its addresses, but for that of the gradient.
    pub fn tensor_bytes(self) -> usize {
        size_of::<TensorHead>() + 8 * (self.addresses - 1)
    }

    /// Bytes of a cohort's row: its head, what it scales rates by, a place among the scalars for each input.
    pub fn cohort_bytes(self) -> usize {
        let scales = if self.scaled { 2 * size_of::<f64>() } else { 0 };
        (size_of::<CohortHead>() + scales + 4 * self.inputs).next_multiple_of(8)
    }

    /// Bytes of a record.
    pub fn record_bytes(self) -> usize {
        4 * self.record
    }
}

/// Up to [`WARP`] scalars whose formulas have one structure.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct BundleRow {
    pub program: u32,
    pub first: u32,
    pub count: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<BundleRow>() == 16);

/// One value of a half.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct ScalarRow {
    /// Whose count of updates it follows from, or [`NO_AGE`].
    pub age: u32,
    /// Where its constants begin.
    pub constants: u32,
}
const _: () = assert!(size_of::<ScalarRow>() == 8);

/// What begins a row of the table of tensors; addresses follow.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct TensorHead {
    pub len: u64,
    /// Where its sum goes.
    pub slot: u32,
    /// In the list of tensors.
    pub place: u32,
    pub number: u32,
    pub flags: u32,
    pub cohort: u32,
    pub gate: u32,
}
const _: () = assert!(size_of::<TensorHead>() == 32);

/// What begins a cohort's row; scales and inputs follow.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct CohortHead {
    pub age: u32,
    pub variant: u32,
    pub metric: u32,
    pub next: u32,
}
const _: () = assert!(size_of::<CohortHead>() == 16);

/// What is said of an age.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct AgeFlags(u32);
const _: () = assert!(size_of::<AgeFlags>() == 4);

impl AgeFlags {
    pub fn new(absent: bool, gate: u32) -> AgeFlags {
        AgeFlags(u32::from(absent) | gate << 1)
    }
}

/// A metric rule in numbers; `kernels/metric.cuh` has what they mean.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct MetricRow {
    pub greedy: u32,
    pub higher: u32,
    pub signed: u32,
    pub window: u32,
    pub relative: f64,
    pub absolute: f64,
    pub factor: f64,
    pub min_scale: f64,
    pub max_scale: f64,
    pub min_change: f64,
    pub patience: u64,
    pub cooldown: u64,
    pub pause_after_increase: u64,
    pub average: u64,
    pub reset_after: u64,
    /// Where its window begins among all windows.
    pub window_at: u64,
}
const _: () = assert!(size_of::<MetricRow>() == 112);

/// What a metric rule remembers between observations.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct MetricStateRow {
    pub scale: f64,
    pub best: f64,
    pub mean: f64,
    pub count: u64,
    pub bad: u64,
    pub cooldown: u64,
    pub ignore: u64,
    pub good: u64,
    pub at_min: u64,
}
const _: () = assert!(size_of::<MetricStateRow>() == 72);

/// Where records of calls go. `value_count` places of values in a half of the records follow, as u32.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct TelemetryRow {
    pub ring: u64,
    pub capacity: u32,
    pub value_count: u32,
}
const _: () = assert!(size_of::<TelemetryRow>() == 16);

/// The argument of an observation: the address of a metric, or its bits as an f64 if that is 0; and whether it counts only
/// where no accumulation is half done.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Observation {
    pub step: Step,
    pub metric: u64,
    pub bits: u64,
    pub dtype: u32,
    pub per_update: u32,
}
const _: () = assert!(size_of::<Observation>() == size_of::<Step>() + 24);

/// The argument of a step: addresses in device memory, widths and capacities.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
pub(crate) struct Step {
    pub control: u64,
    pub settings: u64,
    pub counts: u64,
    pub bundles: u64,
    pub scalars: u64,
    pub cohorts: u64,
    pub ages: u64,
    pub constants: u64,
    pub age_flags: u64,
    pub gates: u64,
    pub tiles: u64,
    pub tensors: u64,
    pub grads: u64,
    pub values: u64,
    pub records: u64,
    pub ticket: u64,
    pub norm_tiles: u64,
    pub nodes: u64,
    pub sums: u64,
    pub metrics: u64,
    pub metric_states: u64,
    pub windows: u64,
    pub found_inf: u64,
    pub inv_scale: u64,
    pub norm_square: u64,
    pub telemetry: u64,
    pub host_flags: u64,
    pub staged_bytes: u32,
    pub cohort_bytes: u32,
    pub tensor_bytes: u32,
    pub record_bytes: u32,
    pub scalar_capacity: u32,
    pub cohort_capacity: u32,
    pub age_capacity: u32,
    pub metric_capacity: u32,
    pub window_capacity: u32,
    pub reserved: u32,
    /// Not 0: this launch makes an update of the calls before it alone.
    pub flush: u32,
    /// Of `remake`: what it makes, a number of [`remake`]. Of `show`: whether parameters for evaluation are shown.
    pub choice: u32,
    /// Of random bits.
    pub seed: u64,
    /// The address of a [`RuleTablesRow`].
    pub rules: u64,
}
const _: () = assert!(size_of::<Step>() == 280);

/// What `remake` makes anew: `Remake::Which` of `kernels/variant.cuh`.
pub(crate) mod remake {
    pub const ALL: u32 = 1;
    pub const ADDED: u32 = 2;
}

/// The argument that tells a conditional node of a graph whether to go on.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Condition {
    /// The address of the [`Control`].
    pub control: u64,
    /// A `CUgraphConditionalHandle`.
    pub handle: u64,
    /// The address of the count of launches since a loop last ended, or 0.
    pub launches: u64,
    /// How many a loop may take.
    pub at_most: u64,
}
const _: () = assert!(size_of::<Condition>() == 32);
