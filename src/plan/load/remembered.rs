//! What rules remember, of cohorts, groups and tensors: it goes with the tensors. Of groups that were split each has all that they
//! remembered; groups that remember different values do not become one.

use super::matched::Matched;
use super::report::Findings;
use crate::error::quoted;
use crate::plan::kept::{Kept, KeptTensor};
use crate::plan::{Grouping, Plan, Remembered};
use crate::rule::{Of, Over};

/// As [`Remembered::durable`] has it.
/// `grouping`: the cohorts that the tensors are going to have.
pub(super) fn compare(
    plan: &Plan,
    grouping: &Grouping,
    kept: &Kept,
    matched: &Matched,
    findings: &mut Findings,
) -> Vec<f64> {
    let start = plan.remembered_with(&grouping.cohorts);
    let mut durable = start.durable(0);
    if !plan.remembers() {
        return durable;
    }
    let places = plan.durable_places();
    let mut known: Vec<Option<&KeptTensor>> = vec![None; grouping.cohorts.len()];
    for index in plan.living() {
        let row = &plan.tensors[index];
        let Some(theirs) = matched.tensors[index].map(|theirs| &kept.tensors[theirs]) else { continue };
        let (rule, cohort) = (&plan.variants[row.variant as usize], grouping.of[index] as usize);
        let group = row.group;
        let of_theirs = &kept.groups[theirs.group].memory;
        let lens = [Of::Cohort, Of::Group, Of::Tensor].map(|of| rule.remembered(of).count());
        if lens != [theirs.of_cohort.len(), of_theirs.len(), theirs.memory.len()] {
            if !rule.goes_by_memory() {
                continue;
            }
            let names: Vec<&str> = rule.tape.memory.iter().map(|remembered| &*remembered.name).collect();
            let here = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            findings.refuse(format!("groups[{group}].rule"), "it remembers other values", here, "");
            continue;
        }
        durable[places.of_tensor(index)..][..lens[2]].copy_from_slice(&theirs.memory);
        match known[cohort] {
            None => durable[places.of_cohort(cohort)..][..lens[0]].copy_from_slice(&theirs.of_cohort),
            Some(first) if bits(&first.of_cohort) != bits(&theirs.of_cohort) => {
                merged(group, first, theirs, findings);
            }
            Some(_) => {}
        }
        known[cohort] = known[cohort].or(Some(theirs));
    }
    // Each cohort of a group has what the group remembers.
    for (cohort, row) in grouping.cohorts.iter().enumerate() {
        let mut of_groups = matched.groups[source(plan, matched, row.group as usize)].iter();
        let Some(first) = of_groups.next() else { continue };
        let memory = &kept.groups[*first].memory;
        if let Some(other) = of_groups.find(|other| bits(&kept.groups[**other].memory) != bits(memory)) {
            let of = |group: usize| kept.tensors.iter().find(|tensor| tensor.group == group);
            if let (Some(a), Some(b)) = (of(*first), of(*other)) {
                merged(row.group, a, b, findings);
            }
        }
        if memory.len() == plan.variants[plan.groups[row.group as usize].variant as usize].remembered(Of::Group).count()
        {
            durable[places.of_group(cohort)..][..memory.len()].copy_from_slice(memory);
        }
    }
    durable
}

/// The group that has what `group` remembers: another one of the same rule for a new group, if what it remembers is of all groups.
fn source(plan: &Plan, matched: &Matched, group: usize) -> usize {
    let variant = plan.groups[group].variant;
    if !matched.groups[group].is_empty() || plan.variants[variant as usize].widest() != Some(Over::All) {
        return group;
    }
    let mut all = 0..plan.groups.len();
    all.find(|other| plan.groups[*other].variant == variant && !matched.groups[*other].is_empty()).unwrap_or(group)
}

/// Two tensors come from groups that remember different values.
fn merged(group: u32, a: &KeptTensor, b: &KeptTensor, findings: &mut Findings) {
    let [a, b] = [a, b].map(|tensor| quoted(&tensor.name));
    let stored = format!("{a} and {b} in groups whose rules remember different values");
    findings.refuse(format!("groups[{group}].tensors"), stored, "in one group", "");
}

fn bits(values: &[f64]) -> &[u8] {
    bytemuck::cast_slice(values)
}

impl Remembered {
    /// Everything as it is before the first update, with `durable` in its place at `t`.
    pub fn resumed(plan: &Plan, t: u64, durable: &[f64]) -> Remembered {
        let mut remembered = plan.remembered();
        remembered.resume(t, durable);
        remembered
    }
}
