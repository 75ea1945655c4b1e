//! Who has had as many updates as whom: ages, and the cohorts of each group. Start at [`Plan::cohort_of`].
//!
//! Tensors of an age have had the same number of updates and rest together; how many, the device alone knows, since it knows what was
//! skipped. So ages part and never meet again: of tensors that part, those that changed get an age of their own, which begins
//! where the former one is. At build, before anything ran, the host does know.

use super::Plan;

/// Tensors that have had `t + base` updates, modulo 2^64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    /// At build.
    pub base: u64,
    /// Its tensors rest.
    pub absent: bool,
    /// How many they are.
    pub tensors: u32,
    /// As in [`Group`](super::Group).
    pub gate: u32,
}

/// What a tensor multiplies its group's hyperparameters by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scales {
    pub rate: f64,
    pub decay: f64,
}

impl Default for Scales {
    fn default() -> Scales {
        Scales { rate: 1.0, decay: 1.0 }
    }
}

/// Tensors of a group of one age with the same scales: one record.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cohort {
    pub age: u32,
    pub group: u32,
    pub scales: Scales,
    /// How many tensors are in it.
    pub tensors: u32,
    /// The scalars that its record is resolved from: the hyperparameters, then bias corrections.
    pub inputs: Vec<u32>,
}

impl Plan {
    /// The cohort of one more tensor of `group` that has had so many updates more than the optimizer when that is built. `absent`: it
    /// rests at first.
    pub(super) fn cohort_of(&mut self, group: u32, base: u64, absent: bool, scales: Scales) -> u32 {
        let gate = self.groups[group as usize].gate;
        let is_it = |known: &Age| (known.base, known.absent, known.gate) == (base, absent, gate);
        let age = place(&mut self.ages, is_it, || Age { base, absent, tensors: 0, gate });
        self.ages[age as usize].tensors += 1;
        let cohort = self.cohort(group, age, scales);
        self.cohorts[cohort as usize].tensors += 1;
        cohort
    }

    /// The cohort of `group` of this age, which is added if there is none.
    pub(super) fn cohort(&mut self, group: u32, age: u32, scales: Scales) -> u32 {
        let built = self.room.cohorts > 0;
        let is_it = |known: &Cohort| {
            (known.group, known.age, known.scales) == (group, age, scales) && !(built && known.tensors == 0)
        };
        let new = Cohort { age, group, scales, tensors: 0, inputs: Vec::new() };
        // In the place of one that no tensor is in any more: that by which the group is shown first.
        if built && !self.cohorts.iter().any(is_it) {
            let shown = self.groups[group as usize].first_cohort;
            let shown = (self.cohorts[shown as usize].tensors == 0).then_some(shown);
            let free = || (0..self.cohorts.len() as u32).find(|known| self.is_free_cohort(*known));
            if let Some(free) = shown.or_else(free) {
                self.cohorts[free as usize] = new;
                return free;
            }
        }
        place(&mut self.cohorts, is_it, || new)
    }

    /// The base of each age at build, and room for more.
    pub fn bases(&self) -> Vec<u64> {
        let mut bases: Vec<u64> = self.ages.iter().map(|age| age.base).collect();
        bases.resize(self.room.ages, 0);
        bases
    }

    /// For each cohort the next one of its group.
    pub fn next_cohorts(&self) -> Vec<Option<u32>> {
        let mut last: Vec<usize> = self.groups.iter().map(|group| group.first_cohort as usize).collect();
        let mut next = vec![None; self.cohorts.len()];
        for (place, cohort) in self.cohorts.iter().enumerate() {
            let last = &mut last[cohort.group as usize];
            if place != self.groups[cohort.group as usize].first_cohort as usize {
                next[std::mem::replace(last, place)] = Some(place as u32);
            }
        }
        next
    }

    /// For each cohort the elements of its tensors.
    pub fn cohort_lens(&self) -> Vec<u64> {
        let mut lens = vec![0; self.cohorts.len()];
        let there = self.tensors.iter().filter(|row| self.is_there(row.place as usize));
        there.for_each(|row| lens[row.cohort as usize] += row.len);
        lens
    }
}

/// Where what is looked for stands in `list`, to which it is added if it is missing. From the end on: it is mostly the last.
fn place<T>(list: &mut Vec<T>, is_it: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> u32 {
    let known = list.iter().rposition(is_it);
    known.unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    }) as u32
}
