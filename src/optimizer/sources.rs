//! The units that an optimizer compiles, for NVRTC and for a pack.

use crate::device::Source;
use crate::kernels::{self, CONDITION, UNIT, Unit};

/// What the unit of the stop condition is for.
pub(super) const CONDITION_WORDS: &str = "the stop condition";

/// All kernels of an optimizer but one. `headers`: those of `unit`.
pub(super) fn update<'a>(unit: &Unit, headers: &'a [(&'a str, &'a str)]) -> Source<'a> {
    Source { name: UNIT, text: unit.text, headers }
}

/// The kernel of the stop condition. `headers`: those that are the same for all.
pub(super) fn condition<'a>(headers: &'a [(&'a str, &'a str)]) -> Source<'a> {
    Source { name: CONDITION, text: kernels::text(CONDITION), headers }
}
