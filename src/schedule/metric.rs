//! Metric-driven factors of the learning rate, whatever their rule.

use super::{Greedy, GreedyState, Plateau, PlateauState};
use crate::error::{Error, Result};

/// How observed metrics scale a learning rate: a state machine on the device, fed by
/// [`Optimizer::observe`](crate::Optimizer::observe). [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric) gives all
/// groups one; a rule's own `metric` is for its group alone.
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

    /// Checks a rule that is shared by those of `groups` that have none of their own.
    pub(crate) fn shared_by(shared: Option<Metric>, groups: impl IntoIterator<Item = Option<Metric>>) -> Result<()> {
        let Some(shared) = shared else { return Ok(()) };
        if groups.into_iter().all(|own| own.is_some()) {
            return Err(Error::argument(
                "metric",
                "set",
                "must not be set where every group has a metric rule of its own",
            ));
        }
        shared.check().map_err(|e| e.within("metric."))
    }

    pub(crate) fn start(&self) -> MetricState {
        match self {
            Metric::Plateau(plateau) => MetricState::Plateau(plateau.start()),
            Metric::Greedy(greedy) => MetricState::Greedy(greedy.start()),
        }
    }

    /// The least and the largest factor that it can come to, from 1.
    pub(crate) fn scales(&self) -> [f64; 2] {
        match self {
            Metric::Plateau(plateau) => [plateau.least_scale(), 1.0],
            Metric::Greedy(greedy) => [greedy.min_scale.min(1.0), greedy.max_scale.max(1.0)],
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
