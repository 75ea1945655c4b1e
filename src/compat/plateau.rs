//! torch's plateau, which timm and transformers use too, in units of a group's own rate: what a [`Plateau`] scales.
//!
//! torch accepts more than a [`Plateau`] does, and what it makes of it is kept. A negative factor leads to the lower bound
//! at once, as 0 does; a lower bound above the rate leaves the rate where it is, as the rate itself does; one below 0 is
//! never met. All groups have one state in torch, which does not depend on their rates: groups that observe the same
//! metrics with the same rule are in the same state, and only their bounds may differ.

use super::{Arguments, Metric};
use crate::error::Result;
use crate::schedule::Plateau;

/// What is in units of the rate.
pub(super) struct InRates {
    pub min: f64,
    pub eps: f64,
}

/// `rule` for a group with the rate `rate`. Errors are about the arguments `factor` and `min`, as the peer calls them.
pub(super) fn of_group(
    rule: Plateau,
    factor: f64,
    bounds: &InRates,
    rate: f64,
    read: &Arguments,
    [factor_name, min_name]: [&str; 2],
) -> Result<Metric> {
    let InRates { min, eps } = *bounds;
    if factor >= 1.0 {
        return Err(read.error(factor_name, factor, "must be below 1"));
    }
    if factor < 0.0 && min < 0.0 {
        let rule = "must not be negative where the factor is: the rate would become negative";
        return Err(read.error(min_name, min, rule));
    }
    if eps < 0.0 {
        return Err(read.error("eps", eps, "must not be negative"));
    }
    // A rate of 0 stays 0 whatever the scale.
    let unit = if rate == 0.0 { 1.0 } else { rate };
    let plateau = rule.factor(factor.max(0.0)).min_scale((min / unit).clamp(0.0, 1.0)).min_change(eps / unit);
    plateau.check()?;
    Ok(Metric::Plateau(plateau))
}
