//! When one observed metric counts as better than the best before it.

use crate::error::{Error, Result, number};

/// Which metrics are better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
pub enum Better {
    /// Lower ones: a loss.
    Lower,
    /// Higher ones: an accuracy.
    Higher,
}

/// How much better a metric must be than the best so far to count. A metric that is not finite never counts as better.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(deny_unknown_fields))]
pub struct Improvement {
    pub(crate) better: Better,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) relative: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) absolute: f64,
    #[cfg_attr(feature = "serde", serde(default))]
    pub(crate) signed: bool,
}

impl Improvement {
    /// Better by more than `fraction` of the best's magnitude, whatever its sign.
    pub fn relative(better: Better, fraction: f64) -> Improvement {
        Improvement { better, relative: fraction, absolute: 0.0, signed: false }
    }

    /// Better by more than `amount`.
    pub fn absolute(better: Better, amount: f64) -> Improvement {
        Improvement { better, relative: 0.0, absolute: amount, signed: false }
    }

    /// The peers' rule: below `best · (1 - relative) - absolute` (above `best · (1 + relative) + absolute`). Where the best
    /// is negative this takes a slightly worse metric for a better one, and an infinite metric may become the best, after
    /// which nothing is better any more. Peers: torch (issue 47513), optax (issue 1767).
    pub fn signed(better: Better, relative: f64, absolute: f64) -> Improvement {
        Improvement { better, relative, absolute, signed: true }
    }

    /// Whether `metric` counts as better than `best`. Only a finite one can, but for a [signed](Improvement::signed) rule.
    pub fn is_better(&self, metric: f64, best: f64) -> bool {
        if !self.signed && !metric.is_finite() {
            return false;
        }
        // A factor on the best and not a difference from it: the first best is infinite.
        match self.better {
            Better::Lower => {
                let shrinks = self.signed || best > 0.0;
                let factor = if shrinks { 1.0 - self.relative } else { 1.0 + self.relative };
                metric < best * factor - self.absolute
            }
            Better::Higher => {
                let grows = self.signed || best > 0.0;
                let factor = if grows { 1.0 + self.relative } else { 1.0 - self.relative };
                metric > best * factor + self.absolute
            }
        }
    }

    /// The best before anything was observed: every number is better.
    pub(crate) fn worst(&self) -> f64 {
        match self.better {
            Better::Lower => f64::INFINITY,
            Better::Higher => f64::NEG_INFINITY,
        }
    }

    /// Errors unless both thresholds are numbers that a first observation can pass. The peers take any that are finite.
    pub(crate) fn check(&self, path: &str) -> Result<()> {
        let (relative, absolute) = match self.signed {
            true => (self.relative.is_finite(), self.absolute.is_finite()),
            false => ((0.0..1.0).contains(&self.relative), self.absolute.is_finite() && self.absolute >= 0.0),
        };
        let rules = match self.signed {
            true => ["must be finite"; 2],
            false => ["must be a fraction, at least 0 and below 1", "must be finite and not negative"],
        };
        if !relative {
            return Err(Error::argument(format!("{path}.relative"), number(self.relative), rules[0]));
        }
        if !absolute {
            return Err(Error::argument(format!("{path}.absolute"), number(self.absolute), rules[1]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_threshold_asks_for_more_whatever_the_sign() {
        let lower = Improvement::relative(Better::Lower, 0.1);
        assert!(lower.is_better(0.89, 1.0) && !lower.is_better(0.91, 1.0));
        assert!(lower.is_better(-1.11, -1.0) && !lower.is_better(-1.09, -1.0) && !lower.is_better(-0.95, -1.0));
        let higher = Improvement::relative(Better::Higher, 0.1);
        assert!(higher.is_better(1.11, 1.0) && !higher.is_better(1.09, 1.0));
        assert!(higher.is_better(-0.89, -1.0) && !higher.is_better(-0.91, -1.0) && !higher.is_better(-1.05, -1.0));
    }

    #[test]
    fn the_peers_rule_takes_a_worse_negative_metric_for_a_better_one() {
        let torch = Improvement::signed(Better::Lower, 0.1, 0.0);
        assert!(torch.is_better(-0.95, -1.0));
    }

    #[test]
    fn every_number_beats_nothing_and_nan_beats_none() {
        for better in [Better::Lower, Better::Higher] {
            for rule in [Improvement::relative(better, 0.5), Improvement::absolute(better, 1e300)] {
                let worst = rule.worst();
                assert!(rule.is_better(-1e308, worst) && rule.is_better(1e308, worst) && rule.is_better(0.0, worst));
                assert!(!rule.is_better(f64::NAN, worst) && !rule.is_better(f64::NAN, 0.0));
            }
        }
    }

    #[test]
    fn an_infinite_metric_beats_nothing_but_by_the_peers_rule() {
        for (better, metric) in [(Better::Lower, f64::NEG_INFINITY), (Better::Higher, f64::INFINITY)] {
            for rule in [Improvement::relative(better, 0.1), Improvement::absolute(better, 0.0)] {
                assert!(!rule.is_better(metric, rule.worst()) && !rule.is_better(metric, 0.0), "{rule:?}");
            }
            let torch = Improvement::signed(better, 0.1, 0.0);
            assert!(torch.is_better(metric, 0.0) && !torch.is_better(0.0, metric));
        }
    }

    #[test]
    fn thresholds_that_nothing_could_pass_are_refused() {
        for broken in [1.0, -0.1, f64::NAN] {
            assert!(Improvement::relative(Better::Lower, broken).check("improvement").is_err(), "{broken}");
        }
        for broken in [-1e-9, f64::INFINITY, f64::NAN] {
            assert!(Improvement::absolute(Better::Lower, broken).check("improvement").is_err(), "{broken}");
        }
    }
}
