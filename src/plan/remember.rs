//! What rules remember, as tables of f64: of cohorts two halves of pairs, as the update before left it and as this one leaves it; of
//! groups (the same in each of their cohorts) and tensors, which the measuring launch writes, two halves of what update `t`
//! leaves in half `t & 1`. Rows are as wide as the widest rule needs; a rule's places among them are in its own order.

use std::sync::Arc;

use super::state::half;
use super::{Cohort, Plan};
use crate::rule::{Compiled, Of};

/// The tables.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Remembered {
    pub cohorts: Vec<f64>,
    pub groups: Vec<f64>,
    pub tensors: Vec<f64>,
}

impl Plan {
    /// Everything as it is before the first update.
    pub fn remembered(&self) -> Remembered {
        self.remembered_with(&self.cohorts)
    }

    /// The same if these were the cohorts.
    pub(super) fn remembered_with(&self, cohorts: &[Cohort]) -> Remembered {
        let [cohort, group, tensor] = self.widths().memory;
        let starts = |rule: &Compiled, of: Of, width: usize| {
            let mut row: Vec<f64> = rule.remembered(of).map(|place| rule.tape.memory[place].start).collect();
            row.resize(width, 0.0);
            row
        };
        let rule = |variant: u32| &*self.variants[variant as usize];
        let of = |of: Of, width: usize| {
            let variants = cohorts.iter().map(|row| self.groups[row.group as usize].variant);
            variants.flat_map(|variant| starts(rule(variant), of, width)).collect::<Vec<f64>>()
        };
        let mut cohorts: Vec<f64> = of(Of::Cohort, cohort).into_iter().flat_map(|start| [start; 2]).collect();
        let mut groups = of(Of::Group, group);
        let mut tensors: Vec<f64> =
            self.tensors.iter().flat_map(|row| starts(rule(row.variant), Of::Tensor, tensor)).collect();
        cohorts.resize(self.room.cohorts * 2 * cohort, 0.0);
        groups.resize(self.room.cohorts * group, 0.0);
        tensors.resize(self.room.tensors * tensor, 0.0);
        Remembered { cohorts: cohorts.repeat(2), groups: groups.repeat(2), tensors: tensors.repeat(2) }
    }

    /// What each group remembers, and where that begins in a half of the table.
    pub fn remembered_of_groups(&self) -> Vec<(Vec<Arc<str>>, usize)> {
        let width = self.widths().memory[1];
        let of_group = |(index, group): (usize, &super::Group)| {
            let rule = &self.variants[group.variant as usize];
            let names = rule.remembered(Of::Group).map(|place| Arc::from(&*rule.tape.memory[place].name));
            (names.collect(), width * self.first_cohort(index))
        };
        self.groups.iter().enumerate().map(of_group).collect()
    }

    /// Whether a rule remembers anything.
    pub fn remembers(&self) -> bool {
        self.variants.iter().any(|rule| !rule.tape.memory.is_empty())
    }

    /// Whether a rule measures: then a launch of its own comes before the update.
    pub fn measures(&self) -> bool {
        self.variants.iter().any(|rule| !rule.tape.sums.is_empty())
    }
}

/// Where what a cohort, its group and a tensor remember begins in what [`Remembered::durable`] gives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Places {
    widths: [usize; 3],
    firsts: [usize; 3],
}

impl Places {
    pub fn of_cohort(&self, cohort: usize) -> usize {
        self.firsts[0] + self.widths[0] * cohort
    }

    /// Of the group of a cohort.
    pub fn of_group(&self, cohort: usize) -> usize {
        self.firsts[1] + self.widths[1] * cohort
    }

    pub fn of_tensor(&self, tensor: usize) -> usize {
        self.firsts[2] + self.widths[2] * tensor
    }
}

impl Plan {
    /// Where each has its own.
    pub(super) fn durable_places(&self) -> Places {
        let (widths, cohorts) = (self.widths().memory, self.room.cohorts);
        let groups = widths[0] * cohorts;
        Places { widths, firsts: [0, groups, groups + widths[1] * cohorts] }
    }
}

/// Remembered scalars with their names.
type Named = Vec<(Arc<str>, f64)>;

/// Those that `rule` remembers of a cohort, a group or a tensor: `row` is theirs, `stride` apart.
fn named(rule: &Compiled, of: Of, row: &[f64], stride: usize) -> Named {
    let places = rule.remembered(of).map(|place| Arc::from(&*rule.tape.memory[place].name));
    places.zip(row.iter().step_by(stride).copied()).collect()
}

impl Remembered {
    /// What the rule of a group remembers, of the group and of its first cohort, as the update before `t` left it.
    pub fn of_group(&self, plan: &Plan, t: u64, group: usize) -> Named {
        let [cohort, of_group, _] = plan.widths().memory;
        let (rule, first) = (&plan.variants[plan.groups[group].variant as usize], plan.first_cohort(group));
        let mut all = named(rule, Of::Group, &half(&self.groups, t.wrapping_sub(1))[first * of_group..], 1);
        all.extend(named(rule, Of::Cohort, &half(&self.cohorts, t)[2 * first * cohort..], 2));
        all
    }

    /// The same of a tensor.
    pub fn of_tensor(&self, plan: &Plan, t: u64, tensor: usize) -> Named {
        let (rule, width) = (&plan.variants[plan.tensors[tensor].variant as usize], plan.widths().memory[2]);
        named(rule, Of::Tensor, &half(&self.tensors, t.wrapping_sub(1))[tensor * width..], 1)
    }

    /// What a run changes and does not follow from the step: of cohorts as the update before left it, in the half in force; of groups
    /// and tensors what that update left.
    pub fn durable(&self, t: u64) -> Vec<f64> {
        let cohorts = half(&self.cohorts, t).iter().step_by(2);
        let others = [&self.groups, &self.tensors].map(|table| half(table, t.wrapping_sub(1)));
        cohorts.chain(others.into_iter().flatten()).copied().collect()
    }

    /// Puts what [`Remembered::durable`] gave back to its places: the counterpart.
    pub fn resume(&mut self, t: u64, durable: &[f64]) {
        if durable.is_empty() {
            return;
        }
        let (of_cohorts, others) = durable.split_at(self.cohorts.len() / 4);
        let (of_groups, of_tensors) = others.split_at(self.groups.len() / 2);
        let half = |len: usize, t: u64| (t & 1) as usize * len / 2..((t & 1) as usize + 1) * len / 2;
        let range = half(self.cohorts.len(), t);
        for (pair, value) in self.cohorts[range].chunks_exact_mut(2).zip(of_cohorts) {
            pair[0] = *value;
        }
        let before = t.wrapping_sub(1);
        let range = half(self.groups.len(), before);
        self.groups[range].copy_from_slice(of_groups);
        let range = half(self.tensors.len(), before);
        self.tensors[range].copy_from_slice(of_tensors);
    }
}
