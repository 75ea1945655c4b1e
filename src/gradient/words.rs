//! What is done with gradients, in words: for what a state that is loaded differs in, and for whoever prints an optimizer.

use super::{ClipForm, Gradients, Norm};
use crate::error::number;
use crate::settings::Settings;

impl Gradients {
    /// The clip. `limit`: its own.
    pub fn clip_words(self, limit: f64) -> String {
        let form = match self.clip {
            None => return "none".to_owned(),
            Some(ClipForm::Value) => return format!("by value at {}", number(limit)),
            Some(ClipForm::Torch) => "torch's",
            Some(ClipForm::Optax) => "optax's",
        };
        format!("{form} by the {} above {}", self.norm.map_or("engine's norm", Norm::words), number(limit))
    }

    /// What is done about gradients that are not finite.
    pub fn skip_words(self, settings: &Settings) -> String {
        match (self.skip, settings.raise_after) {
            (false, _) => "applied".to_owned(),
            (true, 0) => "skipped".to_owned(),
            (true, after) => format!("skipped, with a flag after {after} in a row"),
        }
    }

    /// The norm that is computed, if one is.
    pub fn norm_words(self) -> &'static str {
        self.norm.map_or("none", Norm::words)
    }

    /// The loss scale.
    pub fn scale_words(self, settings: &Settings) -> String {
        match self.dynamic {
            true => "dynamic".to_owned(),
            false => format!("always {}", number(settings.loss_scale)),
        }
    }

    /// What becomes of the calls that an update is made of.
    pub fn accumulate_words(self, settings: &Settings) -> &'static str {
        match (self.accumulate, settings.mean) {
            (false, _) => "none",
            (true, 0) => "the sum of calls",
            (true, _) => "the mean of calls",
        }
    }

    /// All that is another than by default, each with its name in files.
    pub fn options(self, settings: &Settings) -> Vec<(&'static str, String)> {
        let clips = self.clip.is_some();
        let accumulated = || format!("{}, {} of them", self.accumulate_words(settings), settings.accumulate);
        let scaled = self.dynamic || settings.loss_scale != 1.0;
        [
            clips.then(|| ("clip", self.clip_words(settings.max_norm))),
            (!clips && self.norm.is_some()).then(|| ("norm", self.norm_words().to_owned())),
            scaled.then(|| ("loss_scale", self.scale_words(settings))),
            self.skip.then(|| ("non_finite", self.skip_words(settings))),
            self.accumulate.then(|| ("accumulate", accumulated())),
            self.zero.then(|| ("zero_gradients", "true".to_owned())),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

impl Norm {
    /// As files have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Norm::Two => "two",
            Norm::One => "one",
            Norm::Max => "max",
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Norm::Two => "2-norm",
            Norm::One => "1-norm",
            Norm::Max => "maximum norm",
        }
    }
}
