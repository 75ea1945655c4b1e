//! Who rests in an update: `kernels/rests.cuh`.

use super::memory::read;
use crate::plan::{Age, Plan, Scalar, TensorRow};

/// Whether updates leave a tensor alone: it has no gradient, or the flag that its group follows is down.
pub(super) fn rests(plan: &Plan, row: &TensorRow) -> bool {
    plan.seat_of(row).standing.rests() || is_down(plan, plan.groups[row.group as usize].gate)
}

/// The same of all tensors of an age.
pub(super) fn age_rests(plan: &Plan, age: u32) -> bool {
    let Age { absent, gate, .. } = plan.ages[age as usize];
    absent || is_down(plan, gate)
}

/// Whether the flag at this place, counted from 1, is down.
fn is_down(plan: &Plan, gate: u32) -> bool {
    gate.checked_sub(1).is_some_and(|place| read(Scalar(plan.gates[place as usize])) == 0.0)
}
