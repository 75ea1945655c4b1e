//! What rules that estimate their own rate have in common.

use super::declare::choice;
use super::options::is_zero;
use crate::rule::{Over, Scalar, Step};
use crate::schedule::Schedule;

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

/// The estimate `next`, at most `growth_rate` times `before`; as it is where `limit`, the schedule of that rate, is written as 0.
pub(super) fn limited<W: Scalar>(limit: &Schedule, next: W, before: W, growth_rate: W) -> W {
    if is_zero(limit) { next } else { next.min(before * growth_rate) }
}
