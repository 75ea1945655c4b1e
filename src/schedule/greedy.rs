//! The rate goes up while a metric gets better and down while it does not: a state machine fed by observed metrics.
//!
//! As in `plateau`, the rule and its state are plain data and [`Greedy::observe`] is the one function between them. The
//! window of a running mean is memory of the caller's, so that nothing is allocated here.

use bytemuck::{Pod, Zeroable};

use super::{Better, Improvement};
use crate::error::{Error, Result, number};

/// Divides the rate by `factor` after more than `patience` better observations in a row, and multiplies it by `factor`
/// after as many that were not.
///
/// Defaults: factor 0.95, patience 10, better means lower by 1e-6, scales between 1e-3 and 10, no pauses, no smoothing,
/// no reset. A metric that is not finite counts as bad, as for a [`Plateau`](crate::Plateau); in a window it makes means bad
/// until it leaves. Source: arXiv:2512.14527. Peer: transformers `GreedyLR`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Greedy {
    pub(crate) factor: f64,
    pub(crate) patience: u64,
    pub(crate) improvement: Improvement,
    pub(crate) pause_after_decrease: u64,
    pub(crate) pause_after_increase: u64,
    pub(crate) min_scale: f64,
    pub(crate) max_scale: f64,
    pub(crate) min_change: f64,
    #[cfg_attr(feature = "serde", serde(rename = "smooth"))]
    pub(crate) window: usize,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) reset_after: Option<u64>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "std::ops::Not::not"))]
    starts_outside: bool,
}

/// The longest window of a running mean: it is carried from step to step.
const MAX_WINDOW: usize = 65_536;

/// What a [`Greedy`] remembers between observations, besides the window of its running mean.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct GreedyState {
    /// Multiplies the learning rate.
    pub scale: f64,
    /// The best metric so far; infinite before the first.
    pub best: f64,
    /// The sum of the metrics in the window.
    pub sum: f64,
    /// How many metrics went through the window.
    pub seen: u64,
    /// How many observations in a row were better.
    pub good: u64,
    /// How many observations in a row were not.
    pub bad: u64,
    /// How many observations of the pause after a decrease are left.
    pub decrease_pause: u64,
    /// How many observations of the pause after an increase are left.
    pub increase_pause: u64,
    /// How many decreases at the lower bound were asked for since the last increase.
    pub at_min: u64,
}

const _: () = assert!(size_of::<GreedyState>() == 72 && align_of::<GreedyState>() == 8);

impl Default for Greedy {
    fn default() -> Greedy {
        Greedy::new()
    }
}

impl Greedy {
    /// A greedy rule with the defaults above.
    pub fn new() -> Greedy {
        Greedy {
            factor: 0.95,
            patience: 10,
            improvement: Improvement::absolute(Better::Lower, 1e-6),
            pause_after_decrease: 0,
            pause_after_increase: 0,
            min_scale: 1e-3,
            max_scale: 10.0,
            min_change: 0.0,
            window: 1,
            reset_after: None,
            starts_outside: false,
        }
    }

    /// What a decrease multiplies the scale by, and an increase divides it by: above 0, below 1.
    pub fn factor(self, factor: f64) -> Greedy {
        Greedy { factor, ..self }
    }

    /// How many observations in a row of one kind change nothing.
    pub fn patience(self, observations: u64) -> Greedy {
        Greedy { patience: observations, ..self }
    }

    /// What counts as better.
    pub fn improvement(self, improvement: Improvement) -> Greedy {
        Greedy { improvement, ..self }
    }

    /// How many observations after a decrease, and after an increase, are passed over: not even the best moves.
    pub fn pauses(self, after_decrease: u64, after_increase: u64) -> Greedy {
        Greedy { pause_after_decrease: after_decrease, pause_after_increase: after_increase, ..self }
    }

    /// The scales between which changes lead: in [0, 1], and 1 or more.
    pub fn bounds(self, min_scale: f64, max_scale: f64) -> Greedy {
        Greedy { min_scale, max_scale, ..self }
    }

    /// Lets the bounds leave out 1, the scale at the start. A scale outside of them moves towards them or not at all.
    /// Peer: `GreedyLR` with a rate below its `min_lr`.
    pub fn starts_outside(self) -> Greedy {
        Greedy { starts_outside: true, ..self }
    }

    /// Changes of at most this much are not made; finite, not negative. Peer: `eps`, which is in units of the rate.
    pub fn min_change(self, scale: f64) -> Greedy {
        Greedy { min_change: scale, ..self }
    }

    /// Looks at the mean of the last `observations` metrics instead of each, at least 1.
    pub fn smooth(self, observations: usize) -> Greedy {
        Greedy { window: observations, ..self }
    }

    /// Starts anew, with scale 1, at the n-th decrease asked for at the lower bound since the last increase; at least 1.
    pub fn reset_after(self, decreases: u64) -> Greedy {
        Greedy { reset_after: Some(decreases), ..self }
    }

    /// Checks every constant.
    ///
    /// # Errors
    /// Names the constant that breaks its rule.
    pub fn check(&self) -> Result<()> {
        if !(self.factor > 0.0 && self.factor < 1.0) {
            return Err(Error::argument("greedy.factor", number(self.factor), "must be above 0 and below 1"));
        }
        let bounds = [
            ("greedy.min_scale", self.min_scale),
            ("greedy.max_scale", self.max_scale),
            ("greedy.min_change", self.min_change),
        ];
        if let Some((name, value)) = bounds.into_iter().find(|(_, value)| !value.is_finite() || *value < 0.0) {
            return Err(Error::argument(name, number(value), "must be finite and not negative"));
        }
        if self.window == 0 || self.window > MAX_WINDOW {
            let rule = format!("must be from 1 to {MAX_WINDOW} observations");
            return Err(Error::argument("greedy.smooth", self.window, rule));
        }
        if self.min_scale > self.max_scale {
            let rule = format!("must not exceed max_scale, {}", number(self.max_scale));
            return Err(Error::argument("greedy.min_scale", number(self.min_scale), rule));
        }
        if self.min_scale > 1.0 && !self.starts_outside {
            return Err(Error::argument(
                "greedy.min_scale",
                number(self.min_scale),
                "must not exceed 1, the scale at the start",
            ));
        }
        if self.max_scale < 1.0 && !self.starts_outside {
            return Err(Error::argument(
                "greedy.max_scale",
                number(self.max_scale),
                "must be at least 1, the scale at the start",
            ));
        }
        if self.reset_after == Some(0) {
            return Err(Error::argument("greedy.reset_after", 0, "must be at least 1 decrease"));
        }
        self.improvement.check("greedy.improvement")
    }

    /// How many f64 the window of the running mean needs: what [`Greedy::observe`] wants to be given.
    pub fn window_len(&self) -> usize {
        if self.window > 1 { self.window } else { 0 }
    }

    /// The state before the first observation.
    pub fn start(&self) -> GreedyState {
        GreedyState { scale: 1.0, best: self.improvement.worst(), ..GreedyState::zeroed() }
    }

    /// The state after `metric` was observed. One that is not finite is not better, and so counts as bad.
    ///
    /// # Panics
    /// If `window` has not [`Greedy::window_len`] elements.
    pub fn observe(&self, mut state: GreedyState, window: &mut [f64], metric: f64) -> GreedyState {
        let seen = self.smoothed(&mut state, window, metric);
        if state.decrease_pause > 0 {
            state.decrease_pause -= 1;
            (state.good, state.bad) = (0, 0);
            return state;
        }
        if state.increase_pause > 0 {
            state.increase_pause -= 1;
            (state.good, state.bad) = (0, 0);
            return state;
        }
        if self.improvement.is_better(seen, state.best) {
            state.best = seen;
            (state.good, state.bad) = (state.good.saturating_add(1), 0);
        } else {
            (state.good, state.bad) = (0, state.bad.saturating_add(1));
        }
        if state.good > self.patience {
            let higher = state.scale / self.factor;
            let higher = if higher > self.max_scale { self.max_scale } else { higher };
            if higher - state.scale > self.min_change {
                state.scale = higher;
            }
            (state.at_min, state.increase_pause, state.good) = (0, self.pause_after_increase, 0);
        } else if state.bad > self.patience {
            return self.decreased(state);
        }
        state
    }

    /// The mean of the metrics in the window, `metric` among them.
    fn smoothed(&self, state: &mut GreedyState, window: &mut [f64], metric: f64) -> f64 {
        assert_eq!(window.len(), self.window_len(), "the window of the running mean");
        if window.is_empty() {
            return metric;
        }
        let len = window.len() as u64;
        window[(state.seen % len) as usize] = metric;
        state.seen = state.seen.saturating_add(1);
        let count = state.seen.min(len);
        // Summed anew, so that a metric that is not finite leaves with its place in the window.
        state.sum = window[..count as usize].iter().fold(0.0, |sum, metric| sum + metric);
        state.sum / count as f64
    }

    fn decreased(&self, mut state: GreedyState) -> GreedyState {
        let lower = state.scale * self.factor;
        let lower = if lower < self.min_scale { self.min_scale } else { lower };
        if state.scale - lower > self.min_change {
            state.scale = lower;
        }
        (state.decrease_pause, state.bad) = (self.pause_after_decrease, 0);
        if state.scale > self.min_scale {
            return state;
        }
        state.at_min = state.at_min.saturating_add(1);
        match self.reset_after {
            // The pause after the decrease is what outlives the reset.
            Some(decreases) if state.at_min >= decreases => {
                GreedyState { decrease_pause: state.decrease_pause, ..self.start() }
            }
            _ => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(greedy: Greedy, metrics: &[f64]) -> Vec<f64> {
        greedy.check().unwrap();
        let (mut state, mut window) = (greedy.start(), vec![f64::NAN; greedy.window_len()]);
        let mut observe = |metric: &f64| {
            state = greedy.observe(state, &mut window, *metric);
            state.scale
        };
        metrics.iter().map(&mut observe).collect()
    }

    #[test]
    fn a_metric_that_is_no_number_leaves_with_its_place_in_the_window() {
        let greedy = Greedy::new().factor(0.5).patience(0).smooth(2).bounds(0.01, 8.0);
        let scales = scales(greedy, &[f64::NAN, 10.0, 9.0, 8.0, 7.0]);
        // Two means are of a NaN, and bad; then each is better than the one before.
        assert_eq!(scales, [0.5, 0.25, 0.5, 1.0, 2.0]);
    }

    #[test]
    fn the_rate_rises_while_it_gets_better_and_falls_while_not() {
        let greedy = Greedy::new().factor(0.5).patience(1);
        assert_eq!(scales(greedy, &[5.0, 4.0, 3.0, 2.0, 2.0, 2.0]), [1.0, 2.0, 2.0, 4.0, 4.0, 2.0]);
    }

    #[test]
    fn nothing_is_noted_during_a_pause() {
        let greedy = Greedy::new().factor(0.5).patience(0).pauses(0, 1);
        // 1 is passed over, so that 2 is better than the best before, 3.
        assert_eq!(scales(greedy, &[3.0, 1.0, 2.0]), [2.0, 2.0, 4.0]);
    }

    #[test]
    fn the_mean_is_of_the_last_observations() {
        let greedy = Greedy::new().factor(0.5).patience(0).smooth(2);
        // The means are 4, 3, 3 and 5.
        assert_eq!(scales(greedy, &[4.0, 2.0, 4.0, 6.0]), [2.0, 4.0, 2.0, 1.0]);
    }

    #[test]
    fn it_starts_anew_after_so_many_decreases_at_the_bound() {
        let greedy = Greedy::new().factor(0.5).patience(0).bounds(0.5, 2.0).reset_after(2);
        assert_eq!(scales(greedy, &[1.0, 1.0, 1.0, 1.0, 9.0]), [2.0, 1.0, 0.5, 1.0, 2.0]);
    }

    #[test]
    fn an_infinite_metric_counts_as_bad_and_leaves_with_its_place_in_the_window() {
        let greedy = Greedy::new().factor(0.5).patience(0).bounds(0.01, 8.0);
        assert_eq!(scales(greedy, &[f64::NEG_INFINITY, 5.0, f64::NEG_INFINITY, 4.0]), [0.5, 1.0, 0.5, 1.0]);
        // Two means are of an infinity, and bad; then each is better than the one before.
        assert_eq!(scales(greedy.smooth(2), &[f64::NEG_INFINITY, 9.0, 8.0, 7.0]), [0.5, 0.25, 0.5, 1.0]);
    }

    #[test]
    fn a_scale_that_starts_outside_of_the_bounds_moves_towards_them_or_not_at_all() {
        let below = Greedy::new().factor(0.5).patience(0).bounds(3.0, 8.0).starts_outside();
        assert_eq!(scales(below, &[9.0, 9.0, 8.0, 8.0]), [2.0, 2.0, 4.0, 3.0]);
        let above = Greedy::new().factor(0.5).patience(0).bounds(0.1, 0.75).starts_outside();
        assert_eq!(scales(above, &[9.0, 9.0, 8.0]), [1.0, 0.5, 0.75]);
    }
}
