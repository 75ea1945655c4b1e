//! What rules that estimate their own rate have in common.

use super::declare::choice;
use crate::error::{Error, Result};
use crate::rule::{Over, Scalar, Step};
use crate::schedule::{Form, Schedule};

choice!(Over { "tensor" => Tensor, "group" => Group, "all" => All });

/// What is remembered at `place`, or `start` while that is 0: before the first update.
pub(super) fn known<W: Scalar>(step: &Step<'_, W>, place: usize, start: W) -> W {
    let before = step.remembered(place);
    W::select(before.equal(W::literal(0.0)), start, before)
}

/// `above / below`, or 0 where `below` is 0 or NaN: nothing was seen yet.
pub(super) fn ratio<W: Scalar>(above: W, below: W) -> W {
    let zero = W::literal(0.0);
    W::select(zero.less(below), above / below, zero)
}

/// The estimate `next`, at most `growth_rate` times `before`; as it is where that rate is 0. A rate below 1 counts as 1: no estimate
/// falls.
pub(super) fn limited<W: Scalar>(next: W, before: W, growth_rate: W) -> W {
    let limit = before * growth_rate.max(W::literal(1.0));
    W::select(growth_rate.equal(W::literal(0.0)), next, next.min(limit))
}

/// Refuses a start of an estimate that is no constant.
pub(super) fn expect_constant(name: &'static str, start: &Schedule) -> Result<()> {
    match start.0 {
        Form::Constant(_) => Ok(()),
        _ => Err(Error::argument(name, "a schedule", "must be a constant: an estimate starts once")),
    }
}
