//! What was said of gradients, checked and turned into what is compiled in and the numbers that go with it.

use bytemuck::Zeroable;

use super::{Accumulate, Clip, ClipForm, Dynamic, Factor, Gradients, LossScale, NonFinite, Norm};
use crate::error::{Error, Result, number};
use crate::settings::Settings;

/// All that is said of gradients, unchecked.
#[derive(Debug, Clone, Default)]
pub(crate) struct GradientOptions {
    pub clip: Option<Clip>,
    pub loss_scale: Option<LossScale>,
    /// None: as the other options have it.
    pub non_finite: Option<NonFinite>,
    /// A norm that is to be known, whether it clips or not.
    pub norm: Option<Norm>,
    pub accumulate: Option<Accumulate>,
    pub zero: bool,
    /// What the engine hands in.
    pub found_inf: bool,
    pub inv_scale: bool,
    pub norm_square: bool,
}

impl GradientOptions {
    /// Checks all of it. Settings that are not about gradients are 0.
    pub fn lower(&self) -> Result<(Gradients, Settings)> {
        let above_zero = |argument: &str, value: f64| match value as f32 > 0.0 && (value as f32).is_finite() {
            true => Ok(value),
            false => Err(Error::argument(argument, number(value), "must be above 0 and finite in f32")),
        };
        if let Some(Clip { form: ClipForm::Value, norm: Some(norm), .. }) = self.clip {
            return Err(Error::argument("clip.by", norm.name(), "must not be set: clipping by value takes no norm"));
        }
        let limit = match self.clip {
            None => 0.0,
            Some(clip) => above_zero("clip", clip.limit)?,
        };
        let by_norm = self.clip.filter(|clip| clip.form != ClipForm::Value);
        if self.norm_square && by_norm.is_none_or(|clip| clip.norm() != Norm::Two) {
            return Err(Error::argument("norm_square", "handed in", "is not used but by clipping with the 2-norm"));
        }
        let scale = match self.loss_scale {
            None => 1.0,
            Some(scale) => invertible("loss_scale.init", scale.init)?,
        };
        if self.inv_scale && self.loss_scale.is_some() {
            return Err(Error::argument(
                "inv_scale",
                "handed in",
                "must not be handed in beside a loss scale: the engine keeps it then",
            ));
        }
        let dynamic = self.loss_scale.and_then(|scale| scale.dynamic);
        let d = dynamic.unwrap_or(NOT_DYNAMIC);
        if dynamic.is_some() {
            check_dynamic(d, scale)?;
        }
        if dynamic.is_some() && self.non_finite == Some(NonFinite::Propagate) {
            let rule = "must not be set beside a dynamic loss scale, which looks for gradients that are not finite and skips those updates";
            return Err(Error::argument("non_finite", "propagate", rule));
        }
        if let (Some(clip), Some(norm)) = (by_norm, self.norm)
            && clip.norm() != norm
        {
            let rule = format!("must be {}, by which gradients are clipped: one norm is computed", clip.norm().name());
            return Err(Error::argument("norm", norm.name(), rule));
        }
        let non_finite = self.non_finite.unwrap_or_default();
        let raise_after = match non_finite {
            NonFinite::SkipAndRaise(0) => {
                return Err(Error::argument("non_finite.raise_after", 0, "must be at least 1"));
            }
            NonFinite::SkipAndRaise(n) => n,
            NonFinite::Propagate | NonFinite::Skip => 0,
        };
        let accumulate = self.accumulate.unwrap_or(Accumulate::sum(1));
        check_calls(accumulate.calls)?;

        let skip = non_finite != NonFinite::Propagate || dynamic.is_some();
        let looks = (by_norm.is_some() && !self.norm_square) || (skip && !self.found_inf) || self.norm.is_some();
        let norm = looks.then(|| by_norm.map(Clip::norm).or(self.norm).unwrap_or(Norm::Max));
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
            // As the scale comes to it, which is kept in f32.
            min_scale: f64::from(d.min as f32),
            max_scale: d.max,
            limit: limit as f32,
            growth_interval: d.interval,
            raise_after,
            accumulate: accumulate.calls,
            mean: u32::from(accumulate.mean),
            loss_scale: scale as f32,
            hysteresis: d.hysteresis,
            consecutive_hysteresis: u32::from(d.consecutive_hysteresis),
            stop_at_min_scale: u32::from(d.stop_at_min),
            ..Settings::zeroed()
        };
        Ok((gradients, settings))
    }
}

/// What a scale that never moves goes by.
const NOT_DYNAMIC: Dynamic = Dynamic {
    growth: 1.0,
    backoff: 1.0,
    interval: 1,
    min: 1.0,
    max: 1.0,
    hysteresis: 1,
    consecutive_hysteresis: false,
    stop_at_min: false,
};

/// Checks how many calls an update takes.
pub(crate) fn check_calls(calls: u32) -> Result<()> {
    match calls {
        0 => Err(Error::argument("accumulate.calls", 0, "must be at least 1")),
        _ => Ok(()),
    }
}

/// A scale whose reciprocal is finite in f32 too.
fn invertible(argument: &str, scale: f64) -> Result<f64> {
    let inverse = (1.0 / f64::from(scale as f32)) as f32;
    if scale as f32 > 0.0 && (scale as f32).is_finite() && inverse > 0.0 && inverse.is_finite() {
        return Ok(scale);
    }
    Err(Error::argument(argument, number(scale), "must be above 0 and finite in f32, and so must its reciprocal"))
}

fn check_dynamic(d: Dynamic, init: f64) -> Result<()> {
    let error = |argument: &str, value: f64, rule: &str| {
        Err(Error::argument(format!("loss_scale.{argument}"), number(value), rule))
    };
    if !(d.growth > 1.0 && d.growth.is_finite()) {
        return error("growth", d.growth, "must be above 1 and finite");
    }
    if !(d.backoff > 0.0 && d.backoff <= 1.0 - 2f64.powi(-24)) {
        let rule = "must lie in (0, 1), by 2^-24 below 1 at least: the scale is an f32, which less would not move";
        return error("backoff", d.backoff, rule);
    }
    if d.interval == 0 {
        return error("interval", 0.0, "must be at least 1");
    }
    if d.hysteresis == 0 {
        return error("hysteresis", 0.0, "must be at least 1");
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
