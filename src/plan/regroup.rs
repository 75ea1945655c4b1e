//! Counts of updates that a state brings: tensors are put to ages and cohorts anew. Start at [`Plan::check_counts`].

use std::collections::BTreeSet;

use super::{Age, Plan, Scales};
use crate::error::{Error, Result};

impl Plan {
    /// Whether there is room for tensors that have had so many updates each, in their order.
    pub fn check_counts(&self, counts: &[u64]) -> Result<()> {
        let mut ages = BTreeSet::new();
        let mut cohorts = BTreeSet::new();
        for tensor in self.living() {
            let (row, rests) = (&self.tensors[tensor], self.seats[tensor].standing.rests());
            let scales = self.cohorts[row.cohort as usize].scales;
            let age = (counts[tensor], rests, self.groups[row.group as usize].gate);
            ages.insert(age);
            cohorts.insert((row.group, age, scales.rate.to_bits(), scales.decay.to_bits()));
            // The cohort by which a group is shown is one whether tensors are in it or not.
            if ages.len() > self.room.ages || cohorts.len() + self.groups.len() > self.room.cohorts + self.groups_with_tensors() {
                let rule = format!(
                    "tensors with so many different counts find no place: there is room for {} cohorts; build with more, Dynamic::cohorts",
                    self.room.cohorts
                );
                let argument = format!("count of {}", self.tensor_name(tensor as u32));
                return Err(Error::argument(argument, counts[tensor], rule));
            }
        }
        Ok(())
    }

    fn groups_with_tensors(&self) -> usize {
        self.groups.iter().filter(|group| !group.tensors.is_empty()).count()
    }

    /// Puts tensors that have had so many updates each at step `t` to ages and cohorts, for which there is room. The cohort by which a
    /// group is shown keeps its place.
    pub fn regroup(&mut self, t: u64, counts: &[u64]) {
        let scales: Vec<Scales> = self.tensors.iter().map(|row| self.cohorts[row.cohort as usize].scales).collect();
        self.ages.clear();
        self.cohorts.iter_mut().for_each(|cohort| (cohort.age, cohort.tensors) = (0, 0));
        for group in 0..self.groups.len() {
            let Some(first) = self.groups[group].tensors.first().map(|tensor| *tensor as usize) else { continue };
            let age = self.age_with(t, counts, first);
            let shown = self.groups[group].first_cohort as usize;
            (self.cohorts[shown].age, self.cohorts[shown].scales) = (age, scales[first]);
        }
        if self.ages.is_empty() {
            self.ages.push(Age { base: 0, absent: false, tensors: 0, gate: 0 });
        }
        for tensor in self.living().collect::<Vec<usize>>() {
            let age = self.age_with(t, counts, tensor);
            let cohort = self.cohort(self.tensors[tensor].group, age, scales[tensor]);
            self.join(tensor as u32, cohort);
        }
        self.lay_out_corrections();
    }

    /// The age of a tensor with its count at step `t`.
    fn age_with(&mut self, t: u64, counts: &[u64], tensor: usize) -> u32 {
        let gate = self.groups[self.tensors[tensor].group as usize].gate;
        let absent = self.seats[tensor].standing.rests();
        self.age(counts[tensor].wrapping_sub(t), absent, gate)
    }
}
