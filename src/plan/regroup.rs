//! Counts of updates that a state brings: tensors are put to ages and cohorts anew. Start at [`Plan::grouping`].

use super::{Age, Cohort, Plan, Scales};
use crate::error::{Error, Result};

/// Ages and cohorts as they are to be.
#[derive(Debug)]
pub(crate) struct Grouping {
    pub ages: Vec<Age>,
    pub cohorts: Vec<Cohort>,
    /// The cohort of each tensor.
    pub of: Vec<u32>,
    /// For each cohort, which of the memories of [`Plan::grouping`] it has.
    memories: Vec<u32>,
}

impl Plan {
    /// Groups tensors that have had so many updates each at step `t`, a number for each of them. The cohort by which a group is shown
    /// keeps its place. `memories`: a number for each tensor, the same where what is remembered of their cohorts is the same. Nothing is
    /// changed.
    pub fn grouping(&self, t: u64, counts: &[u64], memories: &[u32]) -> Result<Grouping> {
        let empty = |cohort: &Cohort| Cohort { age: 0, tensors: 0, ..cohort.clone() };
        let mut grouping = Grouping {
            ages: Vec::new(),
            cohorts: self.cohorts.iter().map(empty).collect(),
            of: self.tensors.iter().map(|row| row.cohort).collect(),
            memories: vec![0; self.cohorts.len()],
        };
        for tensor in self.living() {
            let row = &self.tensors[tensor];
            let scales = self.cohorts[row.cohort as usize].scales;
            let absent = self.seats[tensor].standing.rests();
            let gate = self.groups[row.group as usize].gate;
            let age = grouping.age(Age { base: counts[tensor].wrapping_sub(t), absent, tensors: 0, gate });
            grouping.of[tensor] = grouping.cohort(self, (row.group, age, scales), memories[tensor]);
            if grouping.ages.len() > self.room.ages || grouping.cohorts.len() > self.room.cohorts {
                let rule = format!(
                    "must be one of {} different counts of updates at most, for which there is room: build with more, \
                     Dynamic::cohorts",
                    self.room.cohorts
                );
                let argument = format!("count of {}", self.tensor_name(tensor as u32));
                return Err(Error::argument(argument, counts[tensor], rule));
            }
        }
        if grouping.ages.is_empty() {
            grouping.ages.push(Age { base: 0, absent: false, tensors: 0, gate: 0 });
        }
        Ok(grouping)
    }

    /// Makes it so. Whether anything is another than before, but for counts.
    pub fn take_grouping(&mut self, Grouping { ages, cohorts, of, .. }: Grouping) -> bool {
        let of_ages = |ages: &[Age]| ages.iter().map(|age| (age.absent, age.gate)).collect::<Vec<(bool, u32)>>();
        let of_cohorts = |cohorts: &[Cohort]| {
            cohorts.iter().map(|cohort| (cohort.age, cohort.group, cohort.scales)).collect::<Vec<(u32, u32, Scales)>>()
        };
        let same = of_ages(&ages) == of_ages(&self.ages)
            && of_cohorts(&cohorts) == of_cohorts(&self.cohorts)
            && self.tensors.iter().map(|row| row.cohort).eq(of.iter().copied());
        (self.ages, self.cohorts) = (ages, cohorts);
        for (row, cohort) in self.tensors.iter_mut().zip(of) {
            row.cohort = cohort;
        }
        self.lay_out_corrections();
        if !same {
            self.sort_small_rows();
        }
        !same
    }
}

impl Grouping {
    /// One more tensor of this age.
    fn age(&mut self, age: Age) -> u32 {
        let alike = |known: &Age| (known.base, known.absent, known.gate) == (age.base, age.absent, age.gate);
        let place = self.ages.iter().rposition(alike).unwrap_or_else(|| {
            self.ages.push(age);
            self.ages.len() - 1
        });
        self.ages[place].tensors += 1;
        place as u32
    }

    /// One more tensor of this cohort: that by which the group is shown if that is empty, one that is there, or one more.
    fn cohort(&mut self, plan: &Plan, (group, age, scales): (u32, u32, Scales), memory: u32) -> u32 {
        let shown = |cohort: usize| plan.groups[plan.cohorts[cohort].group as usize].first_cohort as usize == cohort;
        let first = plan.groups[group as usize].first_cohort as usize;
        let alike = |(known, of): (&Cohort, &u32)| {
            (known.group, known.age, known.scales) == (group, age, scales) && *of == memory && known.tensors > 0
        };
        let known = self.cohorts.iter().zip(&self.memories).position(alike);
        let empty = || (self.cohorts[first].tensors == 0).then_some(first);
        let free = || (0..plan.cohorts.len()).find(|cohort| self.cohorts[*cohort].tensors == 0 && !shown(*cohort));
        let place = known.or_else(empty).or_else(free).unwrap_or(self.cohorts.len());
        if place == self.cohorts.len() {
            self.cohorts.push(Cohort { age, group, scales, tensors: 0, inputs: Vec::new() });
            self.memories.push(memory);
        }
        let cohort = &mut self.cohorts[place];
        (cohort.age, cohort.group, cohort.scales) = (age, group, scales);
        self.memories[place] = memory;
        cohort.tensors += 1;
        place as u32
    }
}
