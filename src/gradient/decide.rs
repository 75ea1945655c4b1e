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

const NORMS: [Option<Norm>; 4] = [None, Some(Norm::Two), Some(Norm::One), Some(Norm::Max)];
const CLIPS: [Option<ClipForm>; 4] = [None, Some(ClipForm::Torch), Some(ClipForm::Optax), Some(ClipForm::Value)];
const FACTORS: [Factor; 3] = [Factor::None, Factor::Stored, Factor::Computed];

impl Gradients {
    /// How many numbers say all of it.
    pub const NUMBERS: usize = 7;

    /// All of it in numbers.
    pub fn numbers(self) -> [u64; Gradients::NUMBERS] {
        fn place<T: PartialEq>(all: &[T], one: &T) -> u64 {
            all.iter().position(|known| known == one).unwrap_or(all.len()) as u64
        }
        let Gradients { norm, clip, factor, skip, dynamic, accumulate, zero } = self;
        let [skip, dynamic, accumulate, zero] = [skip, dynamic, accumulate, zero].map(u64::from);
        [place(&NORMS, &norm), place(&CLIPS, &clip), place(&FACTORS, &factor), skip, dynamic, accumulate, zero]
    }

    /// The counterpart of [`Gradients::numbers`]; None for others.
    pub fn of_numbers([norm, clip, factor, flags @ ..]: [u64; Gradients::NUMBERS]) -> Option<Gradients> {
        let at = |number: u64| usize::try_from(number).ok();
        let [skip, dynamic, accumulate, zero] = flags.map(|flag| flag == 1);
        let known = flags.iter().all(|flag| *flag <= 1);
        let gradients = Gradients {
            norm: *NORMS.get(at(norm)?)?,
            clip: *CLIPS.get(at(clip)?)?,
            factor: *FACTORS.get(at(factor)?)?,
            skip,
            dynamic,
            accumulate,
            zero,
        };
        known.then_some(gradients)
    }

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

    /// Whether the clip goes by a norm.
    pub fn clips_by_norm(self) -> bool {
        matches!(self.clip, Some(ClipForm::Torch | ClipForm::Optax))
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

    /// The next loss scale: the twin of `commit_loss_scale` in `kernels/commit.cuh`.
    pub fn next_loss_scale(self, settings: &Settings, before: ScaleState, found: bool) -> ScaleState {
        let ScaleState { scale, tracker, hysteresis, .. } = before;
        let exact = f64::from(scale);
        let tracker = tracker.wrapping_add(1);
        if found {
            if hysteresis > 1 {
                return ScaleState { scale, tracker: 0, hysteresis: hysteresis - 1, ends: false };
            }
            let ends = settings.stop_at_min_scale != 0 && exact <= settings.min_scale;
            let less = exact * settings.backoff;
            let less = if less < settings.min_scale { settings.min_scale } else { less };
            return ScaleState { scale: less as f32, tracker: 0, hysteresis, ends };
        }
        let hysteresis = if settings.consecutive_hysteresis != 0 { settings.hysteresis } else { hysteresis };
        if tracker < settings.growth_interval {
            return ScaleState { scale, tracker, hysteresis, ends: false };
        }
        let more = exact * settings.growth;
        let more = if more > settings.max_scale { settings.max_scale } else { more };
        ScaleState { scale: more as f32, tracker: 0, hysteresis: settings.hysteresis, ends: false }
    }
}

/// What a dynamic loss scale has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ScaleState {
    pub scale: f32,
    /// Applied updates since it last changed or was to.
    pub tracker: u32,
    /// Skipped updates that it stands until it backs off.
    pub hysteresis: u32,
    /// It would have backed off from its least value, and that ends the run.
    pub ends: bool,
}

/// What follows from the norm of the scaled gradients.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    pub norm: f64,
    pub clip: f64,
    pub factor: f32,
}
