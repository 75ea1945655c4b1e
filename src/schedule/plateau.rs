//! The rate goes down when a metric stops getting better: a state machine fed by observed metrics.
//!
//! A [`Plateau`] is plain data, its state is another; [`Plateau::observe`] is the one function from the state and a metric
//! to the next state, pure, in f64, without allocation. What multiplies the learning rate is [`PlateauState::scale`].

use bytemuck::{Pod, Zeroable};

use super::{Better, Improvement};
use crate::error::{Error, Result, number};

/// Multiplies the rate by `factor` whenever more than `patience` observations in a row were not better than the best.
///
/// Defaults: factor 0.1, patience 10, better means lower by a fraction of 1e-4 of the best's magnitude, no cool-down, no
/// lower bound. Peers: torch `ReduceLROnPlateau`, optax `reduce_on_plateau` (whose patience is one more).
///
/// A metric that is not finite, a NaN or an infinity of either sign, counts as bad and never becomes the best, so that one
/// logarithm of 0 does not decide the rest of a run. With torch, -∞ becomes the best of a metric to be minimized: nothing is
/// better ever after, and the rate is reduced all the way down; [`Improvement::signed`], torch's own rule, does that too.
///
/// ```
/// use instep::Plateau;
/// let plateau = Plateau::new().factor(0.5).patience(0);
/// let mut state = plateau.start();
/// for loss in [1.0, 0.9, 0.95] {
///     state = plateau.observe(state, loss);
/// }
/// assert_eq!(state.scale, 0.5);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Plateau {
    pub(crate) factor: f64,
    pub(crate) patience: u64,
    pub(crate) improvement: Improvement,
    pub(crate) cooldown: u64,
    pub(crate) min_scale: f64,
    pub(crate) min_change: f64,
    pub(crate) average: u64,
    ignore: u64,
}

/// What a [`Plateau`] remembers between observations.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct PlateauState {
    /// Multiplies the learning rate.
    pub scale: f64,
    /// The best metric so far; infinite before the first.
    pub best: f64,
    /// The mean of the metrics observed since the last decision.
    pub mean: f64,
    /// How many metrics that mean is of.
    pub count: u64,
    /// How many decisions in a row saw nothing better.
    pub bad: u64,
    /// How many decisions of the cool-down are left.
    pub cooldown: u64,
    /// How many of the first metrics are still to be ignored.
    pub ignore: u64,
    /// How many reductions were asked for and could not be made since the metric last got better.
    pub at_min: u64,
}

const _: () = assert!(size_of::<PlateauState>() == 64 && align_of::<PlateauState>() == 8);

impl Default for Plateau {
    fn default() -> Plateau {
        Plateau::new()
    }
}

impl Plateau {
    /// A plateau rule with the defaults above.
    pub fn new() -> Plateau {
        Plateau {
            factor: 0.1,
            patience: 10,
            improvement: Improvement::relative(Better::Lower, 1e-4),
            cooldown: 0,
            min_scale: 0.0,
            min_change: 0.0,
            average: 1,
            ignore: 0,
        }
    }

    /// What a reduction multiplies the scale by, in [0, 1): 0 leads to the lower bound at once.
    pub fn factor(self, factor: f64) -> Plateau {
        Plateau { factor, ..self }
    }

    /// How many observations in a row may fail to be better without consequence.
    pub fn patience(self, observations: u64) -> Plateau {
        Plateau { patience: observations, ..self }
    }

    /// What counts as better.
    pub fn improvement(self, improvement: Improvement) -> Plateau {
        Plateau { improvement, ..self }
    }

    /// How many observations after a reduction do not count as bad. The best still moves with them.
    pub fn cooldown(self, observations: u64) -> Plateau {
        Plateau { cooldown: observations, ..self }
    }

    /// The scale below which no reduction leads, in [0, 1]: the scale starts at 1 and never rises.
    pub fn min_scale(self, scale: f64) -> Plateau {
        Plateau { min_scale: scale, ..self }
    }

    /// Reductions of at most this much are not made; finite, not negative. Peer: torch's `eps`, which is in units of the rate.
    pub fn min_change(self, scale: f64) -> Plateau {
        Plateau { min_change: scale, ..self }
    }

    /// Decides on the mean of this many metrics at a time, at least 1. Peer: optax's `accumulation_size`.
    pub fn average(self, observations: u64) -> Plateau {
        Plateau { average: observations, ..self }
    }

    /// Ignores this many metrics at the start, those of the warm-up.
    pub fn ignore_first(self, observations: u64) -> Plateau {
        Plateau { ignore: observations, ..self }
    }

    /// Checks every constant.
    ///
    /// # Errors
    /// Names the constant that breaks its rule.
    pub fn check(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.factor) {
            return Err(Error::argument("plateau.factor", number(self.factor), "must lie in [0, 1)"));
        }
        if !(0.0..=1.0).contains(&self.min_scale) {
            let rule = "must lie in [0, 1]: the scale starts at 1 and never rises";
            return Err(Error::argument("plateau.min_scale", number(self.min_scale), rule));
        }
        if !self.min_change.is_finite() || self.min_change < 0.0 {
            return Err(Error::argument(
                "plateau.min_change",
                number(self.min_change),
                "must be finite and not negative",
            ));
        }
        if self.average == 0 {
            return Err(Error::argument("plateau.average", 0, "must be at least 1 observation"));
        }
        self.improvement.check("plateau.improvement")
    }

    /// No reduction leads below this.
    pub(crate) fn least_scale(&self) -> f64 {
        // Below this one, a reduction is too small to be made.
        let last = self.min_change / (1.0 - self.factor);
        if last >= 1.0 { 1.0 } else { self.min_scale.max(self.factor * last) }
    }

    /// The state before the first observation.
    pub fn start(&self) -> PlateauState {
        let best = self.improvement.worst();
        PlateauState { scale: 1.0, best, mean: 0.0, count: 0, bad: 0, cooldown: 0, ignore: self.ignore, at_min: 0 }
    }

    /// The state after `metric` was observed. One that is not finite is not better, and so counts as bad.
    pub fn observe(&self, mut state: PlateauState, metric: f64) -> PlateauState {
        if state.ignore > 0 {
            state.ignore -= 1;
            return state;
        }
        let count = state.count as f64;
        state.mean = (count * state.mean + metric) / (count + 1.0);
        state.count = state.count.saturating_add(1);
        if state.count < self.average {
            return state;
        }
        let seen = state.mean;
        (state.mean, state.count) = (0.0, 0);
        if self.improvement.is_better(seen, state.best) {
            state.best = seen;
            (state.bad, state.at_min) = (0, 0);
        } else {
            state.bad = state.bad.saturating_add(1);
        }
        if state.cooldown > 0 {
            state.cooldown -= 1;
            state.bad = 0;
        }
        if state.bad > self.patience {
            let lower = state.scale * self.factor;
            let lower = if lower < self.min_scale { self.min_scale } else { lower };
            if state.scale - lower > self.min_change {
                state.scale = lower;
            } else {
                state.at_min = state.at_min.saturating_add(1);
            }
            state.cooldown = self.cooldown;
            state.bad = 0;
        }
        state
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scales(plateau: Plateau, metrics: &[f64]) -> Vec<f64> {
        plateau.check().unwrap();
        let mut state = plateau.start();
        let mut observe = |metric: &f64| {
            state = plateau.observe(state, *metric);
            state.scale
        };
        metrics.iter().map(&mut observe).collect()
    }

    #[test]
    fn a_reduction_comes_after_more_than_patience_bad_observations() {
        let plateau = Plateau::new().factor(0.5).patience(2);
        assert_eq!(scales(plateau, &[1.0, 1.0, 1.0, 1.0, 1.0]), [1.0, 1.0, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn the_best_moves_during_the_cooldown() {
        let plateau = Plateau::new().factor(0.5).patience(0).cooldown(2);
        assert_eq!(scales(plateau, &[1.0, 2.0, 0.5, 0.6, 0.7]), [1.0, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn means_are_decided_on_and_the_first_metrics_ignored() {
        let plateau = Plateau::new().factor(0.5).patience(0).average(2).ignore_first(1);
        // 0 is ignored; the means are 2, 1.5 and 3.
        assert_eq!(scales(plateau, &[0.0, 1.0, 3.0, 1.0, 2.0, 0.0, 6.0]), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]);
    }

    #[test]
    fn no_reduction_leads_below_the_bound_or_is_smaller_than_the_smallest_change() {
        let plateau = Plateau::new().factor(0.1).patience(0).min_scale(0.05);
        assert_eq!(scales(plateau, &[1.0, 1.0, 1.0, 1.0]), [1.0, 0.1, 0.05, 0.05]);
        let plateau = Plateau::new().factor(0.5).patience(0).min_change(0.25);
        assert_eq!(scales(plateau, &[1.0, 1.0, 1.0, 1.0]), [1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn reductions_that_cannot_be_made_are_counted_until_it_gets_better() {
        let plateau = Plateau::new().factor(0.1).patience(0).min_scale(0.05);
        let mut state = plateau.start();
        let mut at_min = |metric| {
            state = plateau.observe(state, metric);
            state.at_min
        };
        assert_eq!([1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5].map(&mut at_min), [0, 0, 0, 1, 2, 0, 1]);
    }

    #[test]
    fn nan_counts_as_bad() {
        let plateau = Plateau::new().factor(0.5).patience(1);
        assert_eq!(scales(plateau, &[1.0, f64::NAN, f64::NAN, 0.5]), [1.0, 1.0, 0.5, 0.5]);
    }

    #[test]
    fn an_infinite_metric_counts_as_bad_and_is_never_the_best() {
        let plateau = Plateau::new().factor(0.5).patience(1);
        // 1 and then 0.9 are better than what was finite before them.
        let metrics = [f64::NEG_INFINITY, 1.0, f64::NEG_INFINITY, 0.9, 0.8, f64::INFINITY, f64::NEG_INFINITY];
        assert_eq!(scales(plateau, &metrics), [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5]);
        let higher = plateau.improvement(Improvement::relative(Better::Higher, 0.0));
        assert_eq!(scales(higher, &[f64::INFINITY, 1.0, f64::INFINITY, 2.0, 3.0]), [1.0; 5]);
    }

    #[test]
    fn a_mean_with_an_infinite_metric_in_it_counts_as_bad_once() {
        let plateau = Plateau::new().factor(0.5).patience(0).average(2);
        assert_eq!(scales(plateau, &[2.0, 2.0, f64::NEG_INFINITY, 1.0, 1.0, 1.0]), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5]);
    }

    #[test]
    fn by_torchs_own_rule_nothing_is_better_than_minus_infinity() {
        let torch = Plateau::new().factor(0.5).patience(0).improvement(Improvement::signed(Better::Lower, 1e-4, 0.0));
        assert_eq!(scales(torch, &[1.0, f64::NEG_INFINITY, 0.5, 0.25]), [1.0, 1.0, 0.5, 0.25]);
    }

    #[test]
    fn a_factor_of_0_leads_to_the_lower_bound_at_once() {
        assert_eq!(scales(Plateau::new().factor(0.0).patience(0).min_scale(0.25), &[1.0, 1.0]), [1.0, 0.25]);
    }
}
