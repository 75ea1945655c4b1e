//! Which update rule there is and what its rate does: a schedule of the step, and with one of the two declines a rule that
//! follows the validation loss. Knows no tensors: `optimizer.rs` gives both to an update rule.

use instep::{Better, Improvement, Plateau, Schedule};

/// What updates the parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// With a rate that was tuned for this network, and a warm-up.
    AdamW,
    /// It finds its rate itself: the schedule says what part of that is taken.
    Prodigy,
}

/// How the rate goes on after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decline {
    /// Half a cosine over the steps that are left: the end is known from the start.
    Cosine,
    /// Constant, until the validation loss stalls: then lower. No end is known.
    Plateau,
}

/// A rule, a decline, and the counts of steps that it is laid out for.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    pub rule: Rule,
    pub decline: Decline,
    pub total_steps: u64,
    pub steps_per_epoch: u64,
}

impl Recipe {
    const PEAK_LR: f64 = 3e-3;
    const END_LR: f64 = 3e-5;
    /// Higher than a cosine would start from: nothing lowers it until it stops helping.
    const PLATEAU_LR: f64 = 5e-2;

    /// Over the first tenth up from 0, then the decline; a constant where a metric lowers the rate. Without a warm-up, and
    /// from 1 on, for a rule that finds its rate itself: its estimate rises from next to nothing.
    pub fn schedule(&self) -> Schedule {
        let warmup_steps = self.warmup_steps();
        let warmup = |peak_lr| Schedule::linear(0.0, peak_lr).over(warmup_steps);
        match (self.rule, self.decline) {
            (Rule::AdamW, Decline::Cosine) => {
                let decline = Schedule::cosine(Self::PEAK_LR, Self::END_LR).over(self.total_steps - warmup_steps);
                warmup(Self::PEAK_LR).then(decline)
            }
            (Rule::AdamW, Decline::Plateau) => warmup(Self::PLATEAU_LR).then(Self::PLATEAU_LR),
            (Rule::Prodigy, Decline::Cosine) => {
                Schedule::cosine(1.0, Self::END_LR / Self::PEAK_LR).over(self.total_steps)
            }
            (Rule::Prodigy, Decline::Plateau) => Schedule::constant(1.0),
        }
    }

    /// What lowers the rate by the validation loss, which it is shown once per epoch: to 0.3 of it when four epochs in
    /// a row were not better than the best by a hundredth. Losses of the warm-up say nothing about a plateau, and drops
    /// of less than a hundredth of the peak rate, which would change nothing any more, are not made. The held-out images
    /// then choose the rate: a serious comparison of accuracies would hold out others for that.
    pub fn plateau(&self) -> Option<Plateau> {
        let plateau = Plateau::new()
            .factor(0.3)
            .patience(3)
            .improvement(Improvement::relative(Better::Lower, 0.01))
            .min_change(0.01)
            .ignore_first(self.warmup_steps() / self.steps_per_epoch);
        (self.decline == Decline::Plateau).then_some(plateau)
    }

    fn warmup_steps(&self) -> u64 {
        self.total_steps / 10
    }
}
