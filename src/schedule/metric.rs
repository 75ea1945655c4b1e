//! Metric-driven factors of the learning rate, whatever their rule.

use super::{Greedy, GreedyState, Plateau, PlateauState};
use crate::error::Result;

/// How observed metrics scale a learning rate: a state machine on the device, fed by
/// [`Optimizer::observe`](crate::Optimizer::observe).
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Metric {
    /// Lower when the metric stops getting better.
    Plateau(Plateau),
    /// Lower and higher again, greedily.
    Greedy(Greedy),
}

/// What a [`Metric`] remembers between observations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MetricState {
    Plateau(PlateauState),
    Greedy(GreedyState),
}

impl Metric {
    /// Checks every constant. Errors name the constant that breaks its rule.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Metric::Plateau(plateau) => plateau.check(),
            Metric::Greedy(greedy) => greedy.check(),
        }
    }

    pub(crate) fn start(&self) -> MetricState {
        match self {
            Metric::Plateau(plateau) => MetricState::Plateau(plateau.start()),
            Metric::Greedy(greedy) => MetricState::Greedy(greedy.start()),
        }
    }

    /// The least factor that it can come to.
    pub(crate) fn least_scale(&self) -> f64 {
        match self {
            Metric::Plateau(plateau) => plateau.min_scale,
            Metric::Greedy(greedy) => greedy.min_scale,
        }
    }

    /// How many f64 the window of a running mean needs.
    pub(crate) fn window_len(&self) -> usize {
        match self {
            Metric::Plateau(_) => 0,
            Metric::Greedy(greedy) => greedy.window_len(),
        }
    }
}

impl From<Plateau> for Metric {
    fn from(plateau: Plateau) -> Metric {
        Metric::Plateau(plateau)
    }
}

impl From<Greedy> for Metric {
    fn from(greedy: Greedy) -> Metric {
        Metric::Greedy(greedy)
    }
}
