//! Layouts shared with CUDA: the same structs as `kernels/state.cuh`, asserted on both sides.

use bytemuck::{Pod, Zeroable};

use crate::gradient::Gradients;
use crate::settings::Settings;

/// Elements of one chunk, the work of one warp. `kernels/state.cuh` has the same number.
pub(crate) const CHUNK: u64 = 2048;
/// Elements of one norm block, a part of the order of summation. `kernels/state.cuh` has the same number.
pub(crate) const NORM_BLOCK: u64 = 4096;
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
    pub norm_ticket: u32,
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
    pub reserved: [u32; 7],
}
const _: () = assert!(size_of::<Control>() == 128);

impl Control {
    /// Before the first update; each will advance the progress clock by `increment`.
    pub fn new(increment: u64, gradients: Gradients, settings: &Settings) -> Control {
        let verdict = gradients.judge(settings, 0.0, 1.0 / f64::from(settings.loss_scale), 1);
        Control {
            increment,
            loss_scale: settings.loss_scale,
            factor: verdict.factor,
            clip_factor: 1.0,
            ..Control::zeroed()
        }
    }
}

const _: () = assert!(size_of::<Settings>() == 104);

/// Elements `index * NORM_BLOCK` and on of one tensor's gradient, the work of one warp of the norm launch.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct NormBlockRow {
    pub tensor: u32,
    pub index: u32,
}
const _: () = assert!(size_of::<NormBlockRow>() == 8);

/// What a norm block found.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Partial {
    pub sum: f64,
    pub found: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<Partial>() == 16);

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
    /// The place of its metric rule, counted from 1; 0 if it has none.
    pub metric: u32,
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

/// The argument of an observation: a metric at `address`, or its bits as an f64 if that is 0.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Observation {
    pub step: Step,
    pub address: u64,
    pub bits: u64,
    pub dtype: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<Observation>() == size_of::<Step>() + 24);

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
    pub settings: u64,
    pub norm_blocks: u64,
    pub partials: u64,
    pub metrics: u64,
    pub metric_states: u64,
    pub windows: u64,
    pub found_inf: u64,
    pub inv_scale: u64,
    pub norm_square: u64,
    pub telemetry: u64,
    pub chunk_count: u32,
    pub bundle_count: u32,
    pub scalar_count: u32,
    pub cohort_count: u32,
    pub norm_block_count: u32,
    pub metric_count: u32,
    pub window_count: u32,
    pub reserved: u32,
}
const _: () = assert!(size_of::<Step>() == 192);

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
pub(crate) const MAX_WRITES: usize = 242;

/// The argument of an edit.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct EditRow {
    pub step: Step,
    /// By how much an applied update advances the progress clock from now on.
    pub increment: u64,
    /// Calls per update from now on.
    pub accumulate: u32,
    pub count: u32,
    pub flags: u32,
    pub reserved: u32,
    pub writes: [Write; MAX_WRITES],
}
const _: () = assert!(size_of::<EditRow>() == 4088);

impl EditRow {
    /// Take `increment`.
    pub const INCREMENT: u32 = 1;
    /// Evaluate the step in force anew.
    pub const EVALUATE: u32 = 2;
    /// Take `accumulate`.
    pub const ACCUMULATE: u32 = 4;
}

/// The argument that tells a conditional node of a graph whether to go on.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(crate) struct Condition {
    /// The address of the [`Control`].
    pub control: u64,
    /// A `CUgraphConditionalHandle`.
    pub handle: u64,
}
const _: () = assert!(size_of::<Condition>() == 16);
