//! Schedules made of schedules: one after the other, on other clocks, over and over.

use super::form::Form;
use super::number::{Number, Steps};
use super::{IntoSchedule, Schedule, Warmup};

/// Schedules made of schedules.
impl Schedule {
    /// The same schedule with an end after `steps` steps, where it holds the value that it has at step `steps`.
    pub fn over(self, steps: impl Into<Steps>) -> Schedule {
        Schedule(Form::Over { inner: Box::new(self), steps: steps.into() })
    }

    /// This schedule to its end, then `next` on a clock of its own. The first must have an end.
    /// Peers: torch `SequentialLR`, optax `join_schedules`.
    pub fn then(self, next: impl IntoSchedule) -> Schedule {
        let mut pieces = match self.0 {
            Form::Then(pieces) => pieces,
            first => vec![Schedule(first)],
        };
        pieces.push(next.into());
        Schedule(Form::Then(pieces))
    }

    /// `pieces[0]` before the first of `boundaries`, `pieces[i]` from the i-th on, each on a clock of its own that starts at
    /// its boundary: one piece more than boundaries, which are steps that do not fall. Pieces are cut where the next one
    /// begins, so none but the last needs an end, and its end is the whole's. Peer: optax `join_schedules`.
    pub fn join<S: Into<Steps>>(
        pieces: impl IntoIterator<Item = Schedule>,
        boundaries: impl IntoIterator<Item = S>,
    ) -> Schedule {
        let boundaries = boundaries.into_iter().map(Into::into).collect();
        Schedule(Form::Join { pieces: pieces.into_iter().collect(), boundaries })
    }

    /// This schedule `steps` steps later; until then, its first value.
    pub fn delay(self, steps: impl Into<Steps>) -> Schedule {
        Schedule(Form::Delay { inner: Box::new(self), steps: steps.into() })
    }

    /// This schedule on a clock that advances by one every `steps` steps: a schedule in epochs, or a staircase.
    pub fn every(self, steps: impl Into<Steps>) -> Schedule {
        Schedule(Form::Every { inner: Box::new(self), steps: steps.into() })
    }

    /// This schedule on the progress clock (samples, tokens) instead of the step: each applied update advances it by an
    /// increment that can be edited. The schedule around it keeps the step.
    pub fn on_progress(self) -> Schedule {
        Schedule(Form::Progress(Box::new(self)))
    }

    /// [`Warmup::FromZero`] over `steps` steps to this schedule's first value, then this schedule on its own clock.
    pub fn warmup(self, steps: impl Into<Steps>) -> Schedule {
        self.warmup_as(Warmup::FromZero, steps)
    }

    /// Warm-up in one of the conventions in use, each with a name of its own.
    pub fn warmup_as(self, form: Warmup, steps: impl Into<Steps>) -> Schedule {
        Schedule(Form::Warmup { inner: Box::new(self), form, steps: steps.into() })
    }

    /// This schedule, no lower than `min` and no higher than `max`.
    pub fn clamp(self, min: impl Into<Number>, max: impl Into<Number>) -> Schedule {
        Schedule(Form::Clamp { inner: Box::new(self), min: min.into(), max: max.into() })
    }

    /// This schedule over and over: at its end it starts again. It must have an end, after at least one step.
    pub fn repeat(self) -> Schedule {
        Schedule(Form::Repeat { inner: Box::new(self), times: None })
    }

    /// This schedule `times` times; after that it holds the value at its end.
    pub fn repeat_times(self, times: u64) -> Schedule {
        Schedule(Form::Repeat { inner: Box::new(self), times: Some(times) })
    }
}
