//! What happens to gradients before a rule sees them, as the user says it: clipping, loss scaling, what to do about values
//! that are not finite, accumulation, zeroing. `kernels/gradients.cuh` and `src/host/gradients.rs` do it. Knows no tensor
//! and no device.
//!
//! `lower` checks what was said, `decide` has what is compiled in and what follows from it, `format` is how it is read and
//! written, `words` how it is told. Start at [`GradientOptions`].

mod decide;
#[cfg(feature = "serde")]
mod format;
mod lower;
mod words;

pub(crate) use decide::{Factor, Gradients, ScaleState, Verdict};
#[cfg(feature = "serde")]
pub(crate) use format::finite_if_some;
pub(crate) use lower::{GradientOptions, check_calls};

/// Which norm of all gradients together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Norm {
    /// The root of the sum of squares.
    Two,
    /// The sum of magnitudes.
    One,
    /// The largest magnitude.
    Max,
}

/// How gradients are kept small. They are clipped in registers, after unscaling, and never written back.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(try_from = "format::ClipFields", into = "format::ClipFields")
)]
pub struct Clip {
    pub(crate) form: ClipForm,
    norm: Option<Norm>,
    pub(crate) limit: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ClipForm {
    Torch,
    Optax,
    Value,
}

impl Clip {
    /// All gradients times `min(1, max_norm / (norm + 1e-6))`. Peer: `torch.nn.utils.clip_grad_norm_`.
    pub fn torch_norm(max_norm: f64) -> Clip {
        Clip { form: ClipForm::Torch, norm: None, limit: max_norm }
    }

    /// All gradients times `max_norm / norm` where the norm is `max_norm` or more. Peer: `optax.clip_by_global_norm`.
    pub fn optax_norm(max_norm: f64) -> Clip {
        Clip { form: ClipForm::Optax, norm: None, limit: max_norm }
    }

    /// Each gradient held within `[-limit, limit]`; a NaN stays. Needs no norm, so it costs no launch.
    pub fn value(limit: f64) -> Clip {
        Clip { form: ClipForm::Value, norm: None, limit }
    }

    /// The same by another norm than the 2-norm.
    #[must_use]
    pub fn by(mut self, norm: Norm) -> Clip {
        self.norm = Some(norm);
        self
    }

    pub(crate) fn norm(self) -> Norm {
        self.norm.unwrap_or(Norm::Two)
    }
}

/// The factor that the backward pass multiplies the loss by, so that small gradients survive 16 bits; the update divides
/// by it. The scale in force is device state: [`DeviceView::loss_scale`](crate::DeviceView::loss_scale).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossScale {
    init: f64,
    dynamic: Option<Dynamic>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Dynamic {
    growth: f64,
    backoff: f64,
    interval: u32,
    min: f64,
    max: f64,
    hysteresis: u32,
    consecutive_hysteresis: bool,
    stop_at_min: bool,
}

/// The largest power of two in f32: scales stay powers of two, so that unscaling is exact.
const MAX_SCALE: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;

impl LossScale {
    /// Always `scale`.
    pub fn fixed(scale: f64) -> LossScale {
        LossScale { init: scale, dynamic: None }
    }

    /// A scale that halves when a gradient is not finite, which skips the update, and doubles after 2,000 updates without.
    /// It starts at 65,536. Peer: `torch.amp.GradScaler`.
    pub fn dynamic() -> LossScale {
        let dynamic = Dynamic {
            growth: 2.0,
            backoff: 0.5,
            interval: 2_000,
            min: f64::from(f32::MIN_POSITIVE),
            max: MAX_SCALE,
            hysteresis: 1,
            consecutive_hysteresis: false,
            stop_at_min: false,
        };
        LossScale { init: 65_536.0, dynamic: Some(dynamic) }
    }

    fn with(mut self, change: impl FnOnce(&mut Dynamic)) -> LossScale {
        self.dynamic.as_mut().map(change);
        self
    }

    /// Sets the first scale.
    #[must_use]
    pub fn init(mut self, scale: f64) -> LossScale {
        self.init = scale;
        self
    }

    /// Sets what the scale is multiplied by after [`LossScale::interval`] updates; above 1. Nothing to a fixed scale.
    #[must_use]
    pub fn growth(self, factor: f64) -> LossScale {
        self.with(|dynamic| dynamic.growth = factor)
    }

    /// Sets what the scale is multiplied by at a skipped update; in (0, 1). Nothing to a fixed scale.
    #[must_use]
    pub fn backoff(self, factor: f64) -> LossScale {
        self.with(|dynamic| dynamic.backoff = factor)
    }

    /// Sets after how many applied updates in a row the scale grows. Nothing to a fixed scale.
    #[must_use]
    pub fn interval(self, updates: u32) -> LossScale {
        self.with(|dynamic| dynamic.interval = updates)
    }

    /// Sets the limits of the scale. Nothing to a fixed scale.
    #[must_use]
    pub fn limits(self, min: f64, max: f64) -> LossScale {
        self.with(|dynamic| (dynamic.min, dynamic.max) = (min, max))
    }

    /// Sets how many skipped updates make the scale back off, 1 by default: those before are skipped and leave it as it is.
    /// They need not follow each other; what was used up comes back when the scale grows. Nothing to a fixed scale.
    /// Peer: `hysteresis` of DeepSpeed.
    #[must_use]
    pub fn hysteresis(self, skipped: u32) -> LossScale {
        self.with(|dynamic| dynamic.hysteresis = skipped)
    }

    /// Lets every applied update bring the hysteresis back, so that only skipped updates in a row use it up. Nothing to a
    /// fixed scale. Peer: `consecutive_hysteresis` of DeepSpeed.
    #[must_use]
    pub fn consecutive_hysteresis(self) -> LossScale {
        self.with(|dynamic| dynamic.consecutive_hysteresis = true)
    }

    /// Raises the stop flag ([`DeviceView::stop`](crate::DeviceView::stop)) when the scale would back off and is at its least
    /// value already: gradients overflow whatever the scale. Nothing to a fixed scale. Peer: DeepSpeed, which ends the run.
    #[must_use]
    pub fn stop_at_min(self) -> LossScale {
        self.with(|dynamic| dynamic.stop_at_min = true)
    }
}

/// What to do when a gradient is infinite or not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum NonFinite {
    /// Apply it all the same.
    #[default]
    Propagate,
    /// Skip the update: parameters, state, clock and schedules stay as they are, and the skip is counted.
    Skip,
    /// Skip it, and raise a flag after this many skips in a row, which stays: [`Status::raised`](crate::Status::raised).
    SkipAndRaise(u32),
}

/// How many backward passes add into the gradients before they are used.
///
/// The optimizer adds nothing up: backward passes add into the same gradient buffers, call after call. Whoever owns the
/// buffers zeroes them before the first call of the next update: the engine, after the call that updates, or the optimizer
/// with [`OptimizerBuilder::zero_gradients`](crate::OptimizerBuilder::zero_gradients), in that call, skipped or not.
/// [`Optimizer::observe`](crate::Optimizer::observe) counts at every call,
/// [`Optimizer::observe_per_update`](crate::Optimizer::observe_per_update) once an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(from = "format::Calls", into = "format::Calls")
)]
pub struct Accumulate {
    calls: u32,
    mean: bool,
}

impl Accumulate {
    /// Every `calls`-th call of a step updates, with the sum of what was added.
    pub fn sum(calls: u32) -> Accumulate {
        Accumulate { calls, mean: false }
    }

    /// Every `calls`-th call of a step updates, with the sum divided by the calls that it took: `calls`, unless an
    /// [edit](crate::Edit::accumulate) came between.
    pub fn mean(calls: u32) -> Accumulate {
        Accumulate { calls, mean: true }
    }
}
