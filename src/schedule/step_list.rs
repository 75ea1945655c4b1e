//! Steps in a list, each a plain number or one with a name: milestones, boundaries, the steps at which values are given.

use super::number::Steps;

/// Steps in rising order: a list of numbers, or of [`Steps`], among which may be a [`knob_steps`](crate::knob_steps).
///
/// ```
/// use instep::{Schedule, knob_steps};
/// let plain = Schedule::multi_step(0.1, 0.1, [30_000, 60_000]);
/// let named = Schedule::multi_step(0.1, 0.1, [knob_steps("decay_at_1", 30_000), 60_000.into()]);
/// assert_eq!(plain.at(30_000)?, named.at(30_000)?);
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepList(pub(super) List);

/// A table may have a million steps, none with a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum List {
    Plain(Vec<u64>),
    /// One of them at least is a knob, or no count.
    Named(Vec<Steps>),
}

impl StepList {
    /// The steps, one by one.
    pub(crate) fn iter(&self) -> Box<dyn Iterator<Item = Steps> + '_> {
        match &self.0 {
            List::Plain(steps) => Box::new(steps.iter().map(|step| Steps::from(*step))),
            List::Named(steps) => Box::new(steps.iter().cloned()),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        match &self.0 {
            List::Plain(steps) => steps.len(),
            List::Named(steps) => steps.len(),
        }
    }
}

impl From<Vec<u64>> for StepList {
    fn from(steps: Vec<u64>) -> StepList {
        StepList(List::Plain(steps))
    }
}

impl From<&[u64]> for StepList {
    fn from(steps: &[u64]) -> StepList {
        StepList(List::Plain(steps.to_vec()))
    }
}

impl<const N: usize> From<[u64; N]> for StepList {
    fn from(steps: [u64; N]) -> StepList {
        StepList(List::Plain(steps.to_vec()))
    }
}

impl From<Vec<Steps>> for StepList {
    fn from(steps: Vec<Steps>) -> StepList {
        let plain = |steps: &Steps| match steps {
            Steps::Literal(value) => u64::try_from(*value).ok(),
            Steps::Knob { .. } | Steps::Sum(_) => None,
        };
        match steps.iter().map(plain).collect() {
            Some(plain) => StepList(List::Plain(plain)),
            None => StepList(List::Named(steps)),
        }
    }
}

impl<const N: usize> From<[Steps; N]> for StepList {
    fn from(steps: [Steps; N]) -> StepList {
        Vec::from(steps).into()
    }
}
