//! What is compiled in, and the decisions that follow from it: the twins of `kernels/gradients.cuh` and `commit.cuh`.

use super::{ClipForm, Norm};
use crate::settings::Settings;

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

    /// What the norm and the factor are of an update that is made of `calls` calls: the twin of `judge` in
    /// `kernels/gradients.cuh`.
    pub fn judge(self, settings: &Settings, scaled_norm: f64, unscale: f64, calls: u32) -> Verdict {
        let share = if settings.mean != 0 { 1.0 / f64::from(calls) } else { 1.0 };
        let norm = scaled_norm * unscale * share;
        let clip = match self.clip {
            Some(ClipForm::Torch) => {
                let ratio = settings.max_norm / (norm + 1e-6);
                if ratio > 1.0 { 1.0 } else { ratio }
            }
            Some(ClipForm::Optax) if norm < settings.max_norm => 1.0,
            Some(ClipForm::Optax) => settings.max_norm / norm,
            Some(ClipForm::Value) | None => 1.0,
        };
        Verdict { norm, clip, factor: (clip * unscale * share) as f32 }
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
