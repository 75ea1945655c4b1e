//! The numbers that the kernels of one optimizer go by, in device memory: `Settings` of `kernels/state.cuh`. `gradient` and
//! `features` fill them.

use bytemuck::{Pod, Zeroable};

/// What is done with gradients and metrics, in numbers. Which of it is done at all is compiled in.
#[repr(C, align(16))]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Settings {
    pub max_norm: f64,
    pub growth: f64,
    pub backoff: f64,
    pub min_scale: f64,
    pub max_scale: f64,
    /// 0: never.
    pub stop_at: u64,
    pub observe_every: u64,
    /// The address of what the step observes by itself.
    pub metric: u64,
    pub limit: f32,
    /// 0: never.
    pub stop_below: f32,
    pub growth_interval: u32,
    /// 0: never.
    pub raise_after: u32,
    /// Calls per update; an edit changes it.
    pub accumulate: u32,
    /// Whether gradients are divided by the calls that an update is made of.
    pub mean: u32,
    pub loss_scale: f32,
    pub metric_type: u32,
    pub stop_on_plateau: u32,
    /// Skipped updates that make the loss scale back off, at least 1.
    pub hysteresis: u32,
    pub consecutive_hysteresis: u32,
    pub stop_at_min_scale: u32,
    /// The address of the engine's loss, for the record of a call; or 0.
    pub loss: u64,
    pub loss_type: u32,
    pub reserved: u32,
}
