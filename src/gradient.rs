//! What happens to gradients before a rule sees them, as the user says it: clipping, loss scaling, what to do about values
//! that are not finite, accumulation, zeroing. `kernels/gradients.cuh` and `src/host/gradients.rs` do it. Knows no tensor
//! and no device. Start at [`GradientOptions`].

use bytemuck::{Pod, Zeroable};

use crate::error::{Error, Result};

/// Which norm of all gradients together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        let dynamic =
            Dynamic { growth: 2.0, backoff: 0.5, interval: 2_000, min: f64::from(f32::MIN_POSITIVE), max: MAX_SCALE };
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
}

/// What to do when a gradient is infinite or not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accumulate {
    calls: u32,
    mean: bool,
}

impl Accumulate {
    /// Every `calls`-th call of a step updates, with the sum of what was added.
    pub fn sum(calls: u32) -> Accumulate {
        Accumulate { calls, mean: false }
    }

    /// Every `calls`-th call of a step updates, with the sum divided by `calls`.
    pub fn mean(calls: u32) -> Accumulate {
        Accumulate { calls, mean: true }
    }
}

/// All that is said of gradients, unchecked.
#[derive(Debug, Clone, Default)]
pub(crate) struct GradientOptions {
    pub clip: Option<Clip>,
    pub loss_scale: Option<LossScale>,
    pub non_finite: NonFinite,
    pub accumulate: Option<Accumulate>,
    pub zero: bool,
    pub stop_at: Option<u64>,
    /// What the engine hands in.
    pub found_inf: bool,
    pub inv_scale: bool,
    pub norm_square: bool,
}

/// Where an update's factor comes from. The names are those of `kernels/gradients.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor {
    None,
    Stored,
    Computed,
}

/// What is compiled in: `GradientOptions` of `kernels/gradients.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gradients {
    /// What the norm launch computes; None: there is no norm launch.
    pub norm: Option<Norm>,
    pub clip: Option<ClipForm>,
    pub factor: Factor,
    pub skip: bool,
    pub dynamic: bool,
    pub accumulate: bool,
    pub zero: bool,
}

/// The numbers that go with it, as the device has them: `Settings` of `kernels/state.cuh`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub(crate) struct Settings {
    pub max_norm: f64,
    pub growth: f64,
    pub backoff: f64,
    pub min_scale: f64,
    pub max_scale: f64,
    pub share: f64,
    pub stop_at: u64,
    pub limit: f32,
    pub growth_interval: u32,
    pub raise_after: u32,
    pub accumulate: u32,
    pub loss_scale: f32,
    pub reserved: u32,
}
impl GradientOptions {
    /// Checks all of it.
    pub fn lower(&self) -> Result<(Gradients, Settings)> {
        let above_zero = |argument: &str, value: f64| match value as f32 > 0.0 && (value as f32).is_finite() {
            true => Ok(value),
            false => Err(Error::argument(argument, value, "must be above 0 and finite in f32")),
        };
        if let Some(Clip { form: ClipForm::Value, norm: Some(norm), .. }) = self.clip {
            return Err(Error::argument("clip.by", format!("{norm:?}"), "clipping by value takes no norm"));
        }
        if self.stop_at == Some(0) {
            return Err(Error::argument("stop_at", 0, "must be at least 1"));
        }
        let limit = match self.clip {
            None => 0.0,
            Some(clip) => above_zero("clip", clip.limit)?,
        };
        let by_norm = self.clip.filter(|clip| clip.form != ClipForm::Value);
        if self.norm_square && by_norm.is_none_or(|clip| clip.norm() != Norm::Two) {
            return Err(Error::argument("norm_square", "handed in", "is used by clipping with the 2-norm alone"));
        }
        let scale = match self.loss_scale {
            None => 1.0,
            Some(scale) => invertible("loss_scale.init", scale.init)?,
        };
        if self.inv_scale && self.loss_scale.is_some() {
            return Err(Error::argument(
                "inv_scale",
                "handed in",
                "the engine then keeps the loss scale; set none here",
            ));
        }
        let dynamic = self.loss_scale.and_then(|scale| scale.dynamic);
        let d = dynamic.unwrap_or(Dynamic { growth: 1.0, backoff: 1.0, interval: 1, min: 1.0, max: 1.0 });
        if dynamic.is_some() {
            check_dynamic(d, scale)?;
        }
        let raise_after = match self.non_finite {
            NonFinite::SkipAndRaise(0) => {
                return Err(Error::argument("non_finite.raise_after", 0, "must be at least 1"));
            }
            NonFinite::SkipAndRaise(n) => n,
            NonFinite::Propagate | NonFinite::Skip => 0,
        };
        let accumulate = self.accumulate.unwrap_or(Accumulate::sum(1));
        if accumulate.calls == 0 {
            return Err(Error::argument("accumulate.calls", 0, "must be at least 1"));
        }

        let skip = self.non_finite != NonFinite::Propagate || dynamic.is_some();
        let looks = (by_norm.is_some() && !self.norm_square) || (skip && !self.found_inf);
        let norm = looks.then(|| by_norm.map_or(Norm::Max, Clip::norm));
        let scaled = self.loss_scale.is_some() || by_norm.is_some() || accumulate.mean || self.inv_scale;
        let factor = match scaled {
            false => Factor::None,
            true if norm.is_none() && (self.inv_scale || self.norm_square) => Factor::Computed,
            true => Factor::Stored,
        };
        let gradients = Gradients {
            norm,
            clip: self.clip.map(|clip| clip.form),
            factor,
            skip,
            dynamic: dynamic.is_some(),
            accumulate: self.accumulate.is_some(),
            zero: self.zero,
        };
        let settings = Settings {
            max_norm: limit,
            growth: d.growth,
            backoff: d.backoff,
            min_scale: d.min,
            max_scale: d.max,
            share: if accumulate.mean { 1.0 / f64::from(accumulate.calls) } else { 1.0 },
            stop_at: self.stop_at.unwrap_or(0),
            limit: limit as f32,
            growth_interval: d.interval,
            raise_after,
            accumulate: accumulate.calls,
            loss_scale: scale as f32,
            reserved: 0,
        };
        Ok((gradients, settings))
    }
}

/// A scale whose reciprocal is finite in f32 too.
fn invertible(argument: &str, scale: f64) -> Result<f64> {
    let inverse = (1.0 / f64::from(scale as f32)) as f32;
    if scale as f32 > 0.0 && (scale as f32).is_finite() && inverse > 0.0 && inverse.is_finite() {
        return Ok(scale);
    }
    Err(Error::argument(argument, scale, "must be above 0 and finite in f32, and so must its reciprocal"))
}

fn check_dynamic(d: Dynamic, init: f64) -> Result<()> {
    let error =
        |argument: &str, value: f64, rule: &str| Err(Error::argument(format!("loss_scale.{argument}"), value, rule));
    if !(d.growth > 1.0 && d.growth.is_finite()) {
        return error("growth", d.growth, "must be above 1 and finite");
    }
    if !(d.backoff > 0.0 && d.backoff < 1.0) {
        return error("backoff", d.backoff, "must lie in (0, 1)");
    }
    if d.interval == 0 {
        return error("interval", 0.0, "must be at least 1");
    }
    invertible("loss_scale.min", d.min)?;
    if !(d.max >= d.min && d.max <= f64::from(f32::MAX)) {
        return error("max", d.max, "must not be below min, and finite in f32");
    }
    if !(d.min..=d.max).contains(&init) {
        return error("init", init, "must lie within the limits");
    }
    Ok(())
}

impl Gradients {
    /// The type in `kernels/gradients.cuh`.
    pub fn cuda_type(self) -> String {
        let norm = match self.norm {
            None => "none",
            Some(Norm::Two) => "two",
            Some(Norm::One) => "one",
            Some(Norm::Max) => "max",
        };
        let clip = match self.clip {
            None => "none",
            Some(ClipForm::Torch) => "torch",
            Some(ClipForm::Optax) => "optax",
            Some(ClipForm::Value) => "value",
        };
        let factor = match self.factor {
            Factor::None => "none",
            Factor::Stored => "stored",
            Factor::Computed => "computed",
        };
        let Gradients { skip, dynamic, accumulate, zero, .. } = self;
        format!(
            "GradientOptions<Norm::{norm}, Clip::{clip}, Factor::{factor}, {skip}, {dynamic}, {accumulate}, {zero}>"
        )
    }

    /// What the norm and the factor of this step are: the twin of `judge` in `kernels/gradients.cuh`.
    pub fn judge(self, settings: &Settings, scaled_norm: f64, unscale: f64) -> Verdict {
        let norm = scaled_norm * unscale * settings.share;
        let clip = match self.clip {
            Some(ClipForm::Torch) => {
                let ratio = settings.max_norm / (norm + 1e-6);
                if ratio > 1.0 { 1.0 } else { ratio }
            }
            Some(ClipForm::Optax) if norm < settings.max_norm => 1.0,
            Some(ClipForm::Optax) => settings.max_norm / norm,
            Some(ClipForm::Value) | None => 1.0,
        };
        Verdict { norm, clip, factor: (clip * unscale * settings.share) as f32 }
    }

    /// The next loss scale and growth tracker: the twin of `commit_loss_scale` in `kernels/commit.cuh`.
    pub fn next_loss_scale(self, settings: &Settings, scale: f32, tracker: u32, found: bool) -> (f32, u32) {
        let scale = f64::from(scale);
        let tracker = tracker.wrapping_add(1);
        if found {
            let less = scale * settings.backoff;
            ((if less < settings.min_scale { settings.min_scale } else { less }) as f32, 0)
        } else if tracker >= settings.growth_interval {
            let more = scale * settings.growth;
            ((if more > settings.max_scale { settings.max_scale } else { more }) as f32, 0)
        } else {
            (scale as f32, tracker)
        }
    }
}

/// What follows from the norm of the scaled gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub norm: f64,
    pub clip: f64,
    pub factor: f32,
}
