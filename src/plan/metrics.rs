//! Metric rules and what they remember, as tables.

use std::mem::offset_of;

use super::layout::{MetricRow, MetricStateRow};
use crate::schedule::{Better, GreedyState, Metric, MetricState, PlateauState};
use crate::telemetry::Word;

/// One row a rule; the windows of the running means lie one after the other.
pub(crate) fn rows(metrics: &[Metric]) -> Vec<MetricRow> {
    let mut window_at = 0;
    metrics
        .iter()
        .map(|metric| {
            let row = MetricRow { window_at, ..row(metric) };
            window_at += u64::from(row.window);
            row
        })
        .collect()
}

/// The states before the first observation.
pub(crate) fn start(metrics: &[Metric]) -> Vec<MetricStateRow> {
    metrics.iter().map(|metric| metric.start().into()).collect()
}

/// What the records of telemetry show of the state in row `state`.
pub(crate) fn shown(state: usize) -> [(&'static str, Word); 3] {
    let place = |offset: usize| (state * size_of::<MetricStateRow>() + offset) / 8;
    [
        ("metric_scale", Word::Value(place(offset_of!(MetricStateRow, scale)))),
        ("metric_best", Word::Value(place(offset_of!(MetricStateRow, best)))),
        ("metric_bad", Word::Count(place(offset_of!(MetricStateRow, bad)))),
    ]
}

/// How many f64 all windows together need.
pub(crate) fn window_count(metrics: &[Metric]) -> usize {
    metrics.iter().map(Metric::window_len).sum()
}

/// Whether a rule wanted to lower its scale once more and could not; None for one that never gives up.
pub(crate) fn has_given_up(metric: &Metric, state: &MetricStateRow) -> Option<bool> {
    match metric {
        Metric::Plateau(_) => Some(state.at_min != 0),
        Metric::Greedy(_) => None,
    }
}

/// The state after `value` was observed.
pub(crate) fn observe(metric: &Metric, state: MetricStateRow, window: &mut [f64], value: f64) -> MetricStateRow {
    match metric {
        Metric::Plateau(plateau) => MetricState::Plateau(plateau.observe(state.into(), value)),
        Metric::Greedy(greedy) => MetricState::Greedy(greedy.observe(state.into(), window, value)),
    }
    .into()
}

fn row(metric: &Metric) -> MetricRow {
    let improvement = match metric {
        Metric::Plateau(plateau) => plateau.improvement,
        Metric::Greedy(greedy) => greedy.improvement,
    };
    let common = MetricRow {
        greedy: u32::from(matches!(metric, Metric::Greedy(_))),
        higher: u32::from(improvement.better == Better::Higher),
        signed: u32::from(improvement.signed),
        relative: improvement.relative,
        absolute: improvement.absolute,
        window: metric.window_len() as u32,
        ..bytemuck::Zeroable::zeroed()
    };
    match metric {
        Metric::Plateau(plateau) => MetricRow {
            factor: plateau.factor,
            min_scale: plateau.min_scale,
            min_change: plateau.min_change,
            patience: plateau.patience,
            cooldown: plateau.cooldown,
            average: plateau.average,
            ..common
        },
        Metric::Greedy(greedy) => MetricRow {
            factor: greedy.factor,
            min_scale: greedy.min_scale,
            max_scale: greedy.max_scale,
            min_change: greedy.min_change,
            patience: greedy.patience,
            cooldown: greedy.pause_after_decrease,
            pause_after_increase: greedy.pause_after_increase,
            reset_after: greedy.reset_after.unwrap_or(0),
            ..common
        },
    }
}

impl From<MetricState> for MetricStateRow {
    fn from(state: MetricState) -> MetricStateRow {
        match state {
            MetricState::Plateau(PlateauState { scale, best, mean, count, bad, cooldown, ignore, at_min }) => {
                MetricStateRow { scale, best, mean, count, bad, cooldown, ignore, good: 0, at_min }
            }
            MetricState::Greedy(s) => MetricStateRow {
                scale: s.scale,
                best: s.best,
                mean: s.sum,
                count: s.seen,
                bad: s.bad,
                cooldown: s.decrease_pause,
                ignore: s.increase_pause,
                good: s.good,
                at_min: s.at_min,
            },
        }
    }
}

impl From<MetricStateRow> for PlateauState {
    fn from(row: MetricStateRow) -> PlateauState {
        let MetricStateRow { scale, best, mean, count, bad, cooldown, ignore, at_min, .. } = row;
        PlateauState { scale, best, mean, count, bad, cooldown, ignore, at_min }
    }
}

impl From<MetricStateRow> for GreedyState {
    fn from(row: MetricStateRow) -> GreedyState {
        GreedyState {
            scale: row.scale,
            best: row.best,
            sum: row.mean,
            seen: row.count,
            good: row.good,
            bad: row.bad,
            decrease_pause: row.cooldown,
            increase_pause: row.ignore,
            at_min: row.at_min,
        }
    }
}
