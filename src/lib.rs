//! GPU-resident learning-rate schedules, fused into the optimizer step.
//!
//! A [`Schedule`] is a function of one integer, the number of applied updates, and so it is evaluated where that integer
//! lives: on the GPU, inside the kernel that applies the update. An engine registers its tensors, gives each group an
//! update rule ([`AdamW`], [`Sgd`], [`Lion`], [`Prodigy`] and others: the page `docs/rules.md` has all) whose every
//! hyperparameter may be scheduled, and calls [`Optimizer::step`]. That enqueues one kernel (one more for a norm of all gradients, one more where a rule sums over
//! elements) and waits for nothing; captured in a CUDA graph once, it can be replayed for ever with the rate still moving.
//! [`Device::host`] runs the same step on the CPU, bit for bit. What comes after a rule: [`GroupRule::then`]; parameters for
//! evaluation: [`Optimizer::eval`]; rules of one's own: [`rule`].
//!
//! Data flows one way through the rooms of this crate: `schedule` (the language) → `program` (checked operations, their
//! value on the host, their CUDA text) → `rule` (what a rule is, and its tape) → `optim` (the crate's rules), `gradient`
//! (clipping, scaling), `precision` (how streams are stored), `features` (the end, `telemetry`) → `plan` (tables) → `host` or `device` → [`Optimizer`]. `config`
//! has all that is said of an optimizer as data, and `compat` makes it from what other libraries say.
#![deny(unsafe_code)]

mod backend;
#[cfg(feature = "serde")]
pub mod compat;
#[cfg(feature = "serde")]
mod config;
mod device;
mod dynamic;
mod error;
mod features;
mod gradient;
mod host;
mod kernels;
#[cfg_attr(not(feature = "serde"), allow(dead_code, reason = "files name rules"))]
mod nearest;
mod optim;
mod optimizer;
mod plan;
mod precision;
mod program;
mod rates;
pub mod rule;
mod schedule;
mod settings;
mod telemetry;

/// The crate cudarc as this crate uses it, version 0.19.10 or a later 0.19, for engines that need no version of their own. They choose the
/// CUDA version by `CUDARC_CUDA_VERSION` or a feature of a cudarc of their own, and the way of linking likewise; without either it
/// is loaded when it is needed. Modules of an engine's kernels (`CudaContext::load_module`) come with the feature `nvrtc`.
pub use cudarc;

pub use backend::{Device, Stream};
#[cfg(feature = "serde")]
pub use config::{Config, GroupConfig, RuleConfig};
pub use device::{CacheFound, DeviceFound, Doctor, NvrtcFound, Pack, PackKernel, Source, WhenBusy};
pub use dynamic::Dynamic;
pub use error::{Difference, Error, Result};
pub use gradient::{Accumulate, Clip, LossScale, NonFinite, Norm};
pub use optim::*;
pub use optimizer::{
    Capture, CapturedGraph, DeviceView, Edit, GroupRule, KeepAlive, KnobValue, LoopBody, MetricStatus, Observed,
    Optimizer, OptimizerBuilder, PackBuilder, StateContents, StateLayout, StatePiece, StateView, Status, StopCondition,
    TelemetryForm, TelemetryReader, TensorId, TensorView, Then,
};
#[cfg(feature = "serde")]
pub use optimizer::{EngineFacts, TensorKind};
#[doc(hidden)]
pub use plan::Tuning;
pub use plan::{Buffer, Dtype, LoadOptions, Loaded, Tensor, TensorElement};
pub use precision::{Form, Half, ParamForm, Precision, Rounding, StateForm};
pub use rates::{IntoRate, RateElement, RateGroup, RateOutput, RateScalar, RateScope, Rates, RatesBuilder};
pub use schedule::recipes;
pub use schedule::{Better, Greedy, GreedyState, Improvement, Metric, Plateau, PlateauState};
pub use schedule::{IntoSchedule, Number, Ramp, Schedule, StepList, Steps, Warmup, knob, knob_steps, reached, step};
#[cfg(feature = "csv")]
pub use telemetry::TelemetryCsv;
pub use telemetry::{Telemetry, TelemetryColumn, TelemetryRecord};

/// The code of README and guide compiles, and runs where it needs no GPU.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    mod readme {}
    #[doc = include_str!("../docs/guide/link.md")]
    mod link {}
    #[doc = include_str!("../docs/guide/capture.md")]
    mod capture {}
    #[doc = include_str!("../docs/guide/precisions.md")]
    mod precisions {}
    #[doc = include_str!("../docs/guide/clip-and-scale.md")]
    mod clip_and_scale {}
    #[doc = include_str!("../docs/guide/plateau.md")]
    mod plateau {}
    #[doc = include_str!("../docs/guide/accumulate.md")]
    mod accumulate {}
    #[doc = include_str!("../docs/guide/freeze-and-grow.md")]
    mod freeze_and_grow {}
    #[doc = include_str!("../docs/guide/resume.md")]
    mod resume {}
    #[doc = include_str!("../docs/guide/telemetry.md")]
    mod telemetry {}
    #[doc = include_str!("../docs/guide/own-rule.md")]
    mod own_rule {}
    #[doc = include_str!("../docs/guide/resident-rates.md")]
    mod resident_rates {}
    #[doc = include_str!("../docs/guide/without-nvrtc.md")]
    mod without_nvrtc {}
    #[doc = include_str!("../docs/guide/testing.md")]
    mod testing {}
    #[doc = include_str!("../docs/guide/command-line.md")]
    mod command_line {}
}
