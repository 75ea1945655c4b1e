//! transformers' `warmup_stable_decay`: three phases, each between a fraction of the rate and the rate.

use super::Arguments;
use super::shapes::{not_negative, wave};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// The lengths and shapes of the three phases.
pub(super) struct StableDecay {
    warmup: u64,
    /// Negative if the phases overlap, which transformers does not check: the decay then begins in its midst.
    stable: i128,
    decay: u64,
    rise: Shape,
    fall: Shape,
    min_ratio: f64,
    waves: f64,
}

/// How a phase gets from one of its ends to the other.
#[derive(Clone, Copy)]
enum Shape {
    Linear,
    Cosine,
    OneMinusSqrt,
}

impl StableDecay {
    pub fn read(read: &mut Arguments, warmup: u64) -> Result<StableDecay> {
        let decay = read.steps("num_decay_steps")?;
        let total = read.optional_steps("num_training_steps")?;
        let stable = match (read.optional_int("num_stable_steps")?.map(i128::from), total) {
            (Some(stable), _) => stable,
            (None, Some(total)) => i128::from(total) - i128::from(warmup) - i128::from(decay),
            (None, None) => {
                return Err(read.missing_unless("num_stable_steps", "must be given, or else num_training_steps"));
            }
        };
        let (rise, fall) = (shape(read, "warmup_type", Shape::Linear)?, shape(read, "decay_type", Shape::Cosine)?);
        let (min_ratio, waves) = (read.f64_or("min_lr_ratio", 0.0)?, read.f64_or("num_cycles", 0.5)?);
        let end = i128::from(warmup) + stable.max(0) + i128::from(decay);
        if u64::try_from(end).is_err() {
            let rule = format!("must leave the decay an end before step 2^64, and it ends at {end}");
            return Err(read.error("num_decay_steps", decay, rule));
        }
        Ok(StableDecay { warmup, stable, decay, rise, fall, min_ratio, waves })
    }

    /// The three phases at a rate of `lr`, and then `min_lr_ratio` of it.
    pub fn schedule(&self, lr: f64) -> Schedule {
        let min = lr * self.min_ratio;
        let rise = match self.rise {
            Shape::Linear => Schedule::linear(min, lr).over(self.warmup),
            Shape::Cosine => Schedule::cosine(min, lr).over(self.warmup),
            Shape::OneMinusSqrt => Schedule::polynomial(min, lr, 0.5).over(self.warmup),
        };
        // None of these saturates: `read` saw the end to be a step.
        let stable = u64::try_from(self.stable.max(0)).unwrap_or(u64::MAX);
        let skipped = u64::try_from(self.stable.min(0).unsigned_abs()).unwrap_or(u64::MAX);
        let left = self.decay.saturating_sub(skipped);
        let fall = self.fall(lr, min, skipped).over(left);
        let start = self.warmup.saturating_add(stable);
        let end = start.saturating_add(left);
        let pieces = [not_negative(rise, min), lr.into(), not_negative(fall, min), min.into()];
        Schedule::join(pieces, [self.warmup, start, end])
    }

    /// The decay from its step `skipped` on. With more than half a wave it oscillates.
    fn fall(&self, lr: f64, min: f64, skipped: u64) -> Schedule {
        let steps = self.decay.max(1);
        let progress = || (step() + skipped as f64) / steps as f64;
        match self.fall {
            Shape::Cosine if self.waves == 0.5 && skipped == 0 => Schedule::cosine(lr, min).over(steps),
            Shape::Cosine => wave(lr, min, self.waves, steps, skipped),
            Shape::Linear if skipped == 0 => Schedule::linear(lr, min).over(steps),
            Shape::Linear => lr + (min - lr) * progress(),
            Shape::OneMinusSqrt if skipped == 0 => Schedule::one_minus_sqrt(lr, min).over(steps),
            Shape::OneMinusSqrt => lr + (min - lr) * progress().sqrt(),
        }
    }
}

fn shape(read: &mut Arguments, name: &str, default: Shape) -> Result<Shape> {
    read.word_or(
        name,
        default,
        &[("linear", Shape::Linear), ("cosine", Shape::Cosine), ("1-sqrt", Shape::OneMinusSqrt)],
    )
}
