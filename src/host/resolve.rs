//! Records: the values of all schedules, and what rules resolve from them, ahead of an update and, where it follows from sums, right
//! before it: `kernels/evaluate.cuh` and `kernels/measure.cuh`.

use super::gradients::{GradientScalars, in_lanes, level_of};
use super::rests::{age_rests, rests};
use super::{Engine, memory};
use crate::gradient::Norm;
use crate::plan::layout::{NO_AGE, SECTION};
use crate::plan::{Cohort, NORM_BLOCK, Scales};
use crate::program::Clocks;
use crate::rule::{Compiled, Moment, Of, Over, Values, WEIGHT_DECAY};

/// Which update a half is filled for: the one in force, or ahead of it the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    InForce,
    Next,
}

/// The sums of one rule, and over how many elements they ran.
#[derive(Debug, Clone)]
struct Measured {
    sums: Vec<f64>,
    len: u64,
}

impl Engine {
    /// Fills half `t & 1` with what update `t` needs: `evaluate` of `kernels/evaluate.cuh`.
    pub(super) fn evaluate(&mut self, clocks: Clocks, which: Half) {
        let t = clocks.t;
        if which == Half::Next {
            self.carry_ages(t);
        }
        let (plan, half) = (&self.plan, (t & 1) as usize);
        let bases = crate::plan::state::half(&self.ages, t);
        let values = &mut self.values[half * plan.room.scalars..][..plan.scalars.len()];
        for bundle in &plan.bundles {
            let program = &plan.programs[bundle.program as usize];
            let scalars = bundle.first as usize..(bundle.first + bundle.count) as usize;
            for (value, row) in values[scalars.clone()].iter_mut().zip(&plan.scalars[scalars]) {
                let base = if row.age == NO_AGE { 0 } else { bases[row.age as usize] };
                let updates = t.wrapping_add(base).wrapping_add(1);
                *value = program.value(&plan.constants[row.constants as usize..], clocks, updates);
            }
        }
        for cohort in 0..self.plan.cohorts.len() {
            let rule = self.rule_of(cohort);
            let resolved = self.resolve(t, cohort, None, None);
            let record = self.record_mut(t, cohort);
            resolved.fill(&rule, false, record);
            let width = self.plan.widths().memory[0];
            let first = ((t & 1) as usize * self.plan.room.cohorts + cohort) * width;
            for (k, place) in rule.remembered(Of::Cohort).enumerate() {
                self.remembered.cohorts[2 * (first + k) + 1] = resolved.values.memory[place];
            }
        }
    }

    /// What cohorts remember goes on from update `t` to the next one.
    pub(super) fn carry_memory(&mut self, t: u64) {
        let (half, width) = (self.remembered.cohorts.len() / 2, self.plan.widths().memory[0]);
        let (from, to) = ((t & 1) as usize * half, (!t & 1) as usize * half);
        for pair in (0..self.plan.cohorts.len() * width).map(|k| 2 * k) {
            let age = self.plan.cohorts[pair / 2 / width].age;
            // At rest it stays as it was.
            let after = usize::from(!age_rests(&self.plan, age));
            self.remembered.cohorts[to + pair] = self.remembered.cohorts[from + pair + after];
        }
    }

    /// The bases of ages go on to update `t` from the one before, less one where tensors rested.
    fn carry_ages(&mut self, t: u64) {
        let room = self.plan.room.ages;
        let (from, to) = ((!t & 1) as usize * room, (t & 1) as usize * room);
        for age in 0..self.plan.ages.len() {
            let rested = u64::from(age_rests(&self.plan, age as u32));
            self.ages[to + age] = self.ages[from + age].wrapping_sub(rested);
        }
    }

    /// The measuring launch of update `t`.
    pub(super) fn measure(&mut self, t: u64, gradient: GradientScalars) {
        for variant in 0..self.plan.variants.len() as u32 {
            let rule = self.plan.variants[variant as usize].clone();
            let Some(widest) = rule.widest() else { continue };
            let records = crate::plan::state::half(&self.records, t);
            let of_block = |terms: &memory::BlockTerms| {
                let sum = |[left, right]: &[Vec<f32>; 2]| {
                    let terms = left.iter().zip(right).map(|(x, y)| f64::from(*x) * f64::from(*y));
                    add_block(terms)
                };
                terms.iter().map(sum).collect::<Vec<f64>>()
            };
            let blocks = memory::map_terms(&self.plan, variant, records, gradient, of_block);
            let mut blocks = blocks.into_iter();
            let mut groups = Vec::new();
            for group in 0..self.plan.groups.len() {
                if self.plan.groups[group].variant != variant {
                    continue;
                }
                let mut tensors = Vec::new();
                for tensor in self.plan.tensors_of(group).collect::<Vec<usize>>() {
                    let row = &self.plan.tensors[tensor];
                    if rests(&self.plan, row) {
                        self.keep_tensor(t, tensor);
                        tensors.push(Measured { sums: vec![0.0; rule.tape.sums.len()], len: 0 });
                        continue;
                    }
                    let len = row.len;
                    let blocks: Vec<Vec<f64>> = blocks.by_ref().take(len.div_ceil(NORM_BLOCK) as usize).collect();
                    let sections: Vec<Vec<f64>> =
                        blocks.chunks(SECTION as usize).map(|blocks| level(&rule, blocks)).collect();
                    let measured = Measured { sums: level(&rule, &sections), len };
                    if len > 0 {
                        self.conclude_tensor(t, &rule, tensor, &measured);
                    }
                    tensors.push(measured);
                }
                let len = tensors.iter().map(|tensor| tensor.len).sum();
                let sums: Vec<Vec<f64>> = tensors.into_iter().map(|tensor| tensor.sums).collect();
                groups.push((group, Measured { sums: level(&rule, &sums), len }));
            }
            if widest == Over::Tensor {
                continue;
            }
            let sums: Vec<Vec<f64>> = groups.iter().map(|(_, group)| group.sums.clone()).collect();
            let all = Measured { sums: level(&rule, &sums), len: groups.iter().map(|(_, group)| group.len).sum() };
            // Without elements, or where all rest, nothing is concluded.
            for (group, of_group) in &groups {
                match if widest == Over::All { all.len } else { of_group.len } {
                    0 => self.keep_group(t, *group),
                    _ => self.conclude_group(t, &rule, *group, of_group, &all),
                }
            }
        }
    }

    fn conclude_tensor(&mut self, t: u64, rule: &Compiled, tensor: usize, measured: &Measured) {
        let cohort = self.plan.tensors[tensor].cohort as usize;
        let sums = measured.sums.clone();
        let lens = vec![measured.len as f64; sums.len()];
        let resolved = self.resolve(t, cohort, Some(tensor), Some((sums, lens)));
        let width = self.plan.widths().own;
        let own = rule.tensor_scalars(&resolved.values);
        self.own[tensor * width..][..own.len()].copy_from_slice(&own);
        let first = ((t & 1) as usize * self.plan.room.tensors + tensor) * self.plan.widths().memory[2];
        for (k, place) in rule.remembered(Of::Tensor).enumerate() {
            self.remembered.tensors[first + k] = resolved.values.memory[place];
        }
    }

    fn conclude_group(&mut self, t: u64, rule: &Compiled, group: usize, of_group: &Measured, all: &Measured) {
        let over = |sum: &crate::rule::Sum| if sum.over == Over::All { all } else { of_group };
        let places = || rule.tape.sums.iter().map(over).enumerate();
        let sums: Vec<f64> = places().map(|(k, measured)| measured.sums[k]).collect();
        let lens: Vec<f64> = places().map(|(_, measured)| measured.len as f64).collect();
        let first_cohort = self.plan.first_cohort(group);
        for cohort in self.cohorts_of(group) {
            let resolved = self.resolve(t, cohort, None, Some((sums.clone(), lens.clone())));
            let record = self.record_mut(t, cohort);
            resolved.fill(rule, true, record);
            // What the group remembers counts the optimizer's updates, not one cohort's: the same for all of its cohorts.
            let unscaled = (t, Scales::default());
            let resolved = self.resolve_at(t, unscaled, first_cohort, None, Some((sums.clone(), lens.clone())));
            let first = ((t & 1) as usize * self.plan.room.cohorts + cohort) * self.plan.widths().memory[1];
            for (k, place) in rule.remembered(Of::Group).enumerate() {
                self.remembered.groups[first + k] = resolved.values.memory[place];
            }
        }
    }

    /// What a group remembers goes on as it is.
    fn keep_group(&mut self, t: u64, group: usize) {
        let width = self.plan.widths().memory[1];
        for cohort in self.cohorts_of(group) {
            keep(&mut self.remembered.groups, t, cohort * width..(cohort + 1) * width);
        }
    }

    /// What a tensor remembers goes on as it is.
    fn keep_tensor(&mut self, t: u64, tensor: usize) {
        let width = self.plan.widths().memory[2];
        keep(&mut self.remembered.tensors, t, tensor * width..(tensor + 1) * width);
    }

    fn cohorts_of(&self, group: usize) -> Vec<usize> {
        let of_group = |cohort: &usize| self.plan.cohorts[*cohort].group as usize == group;
        (0..self.plan.cohorts.len()).filter(of_group).collect()
    }

    fn rule_of(&self, cohort: usize) -> std::sync::Arc<Compiled> {
        let group = self.plan.cohorts[cohort].group as usize;
        self.plan.variants[self.plan.groups[group].variant as usize].clone()
    }

    fn record_mut(&mut self, t: u64, cohort: usize) -> &mut [f32] {
        let width = self.plan.widths().record;
        let half = (t & 1) as usize * self.plan.room.cohorts;
        &mut self.records[(half + cohort) * width..][..width]
    }

    fn resolve(&self, t: u64, cohort: usize, tensor: Option<usize>, sums: Option<(Vec<f64>, Vec<f64>)>) -> Resolved {
        let Cohort { age, scales, .. } = self.plan.cohorts[cohort];
        let updates = t.wrapping_add(crate::plan::state::half(&self.ages, t)[age as usize]);
        self.resolve_at(t, (updates, scales), cohort, tensor, sums)
    }

    /// The rule of `cohort` for update `t` after so many updates, with what is known of `sums`.
    fn resolve_at(
        &self,
        t: u64,
        (updates, scales): (u64, Scales),
        cohort: usize,
        tensor: Option<usize>,
        sums: Option<(Vec<f64>, Vec<f64>)>,
    ) -> Resolved {
        let (plan, rule) = (&self.plan, self.rule_of(cohort));
        let Cohort { group, ref inputs, .. } = plan.cohorts[cohort];
        let (group, half) = (group as usize, (t & 1) as usize);
        let values = &self.values[half * plan.room.scalars..];
        let count = rule.hyperparameters().len();
        let mut hyperparameters: Vec<f64> = inputs[..count].iter().map(|scalar| values[*scalar as usize]).collect();
        if let Some(state) = plan.groups[group].metric.checked_sub(1) {
            hyperparameters[0] *= self.metric_states[half * plan.metrics.len() + state as usize].scale;
        }
        hyperparameters[0] *= scales.rate;
        if let Some(decay) = rule.hyperparameters().position(|name| name == WEIGHT_DECAY) {
            hyperparameters[decay] *= scales.decay;
        }
        let [of_cohort, of_group, of_tensor] = plan.widths().memory;
        let before = 1 - half;
        let mut next = [0; 3];
        let memory = rule.tape.memory.iter().map(|remembered| {
            let k = &mut next[remembered.of as usize];
            *k += 1;
            let k = *k - 1;
            match (remembered.of, tensor) {
                (Of::Cohort, _) => self.remembered.cohorts[2 * ((half * plan.room.cohorts + cohort) * of_cohort + k)],
                (Of::Group, _) => self.remembered.groups[(before * plan.room.cohorts + cohort) * of_group + k],
                (Of::Tensor, Some(tensor)) => {
                    self.remembered.tensors[(before * plan.room.tensors + tensor) * of_tensor + k]
                }
                (Of::Tensor, None) => 0.0,
            }
        });
        let memory: Vec<f64> = memory.collect();
        let none = || (vec![0.0; rule.tape.sums.len()], vec![0.0; rule.tape.sums.len()]);
        let (sums, lens) = sums.unwrap_or_else(none);
        let moment = Moment { hyperparameters: &hyperparameters, updates, memory: &memory, sums: &sums, lens: &lens };
        let values = rule.resolve(&moment);
        Resolved { hyperparameters, updates, values }
    }
}

/// What was resolved, and from what.
struct Resolved {
    hyperparameters: Vec<f64>,
    updates: u64,
    values: Values,
}

impl Resolved {
    fn fill(&self, rule: &Compiled, late: bool, record: &mut [f32]) {
        let Resolved { hyperparameters, updates, values } = self;
        rule.fill_record(hyperparameters, *updates, values, late, record);
    }
}

/// Part of a memory in two halves goes on from the update before `t` to what `t` leaves.
fn keep(memory: &mut [f64], t: u64, part: std::ops::Range<usize>) {
    let half = memory.len() / 2;
    let from = (!t & 1) as usize * half;
    memory.copy_within(from + part.start..from + part.end, (t & 1) as usize * half + part.start);
}

/// The sum of what the elements of a block add, in the order of `kernels/sums.cuh`.
fn add_block(terms: impl Iterator<Item = f64>) -> f64 {
    in_lanes(Norm::One, terms, |lane, term| lane + term)
}

/// Adds what a level holds, sum by sum.
fn level(rule: &Compiled, places: &[Vec<f64>]) -> Vec<f64> {
    (0..rule.tape.sums.len()).map(|k| level_of(Norm::One, places.iter().map(|place| place[k]))).collect()
}
