//! Records: the values of all schedules, and what rules resolve from them, ahead of an update and, where it follows from sums, right
//! before it: `kernels/evaluate.cuh` and `kernels/measure.cuh`.

use super::gradients::{GradientScalars, in_lanes, level_of};
use super::{Engine, memory};
use crate::gradient::Norm;
use crate::plan::layout::SECTION;
use crate::plan::{Cohort, NORM_BLOCK};
use crate::program::Clocks;
use crate::rule::{Compiled, Moment, Of, Over, Values};

/// The sums of one rule, and over how many elements they ran.
#[derive(Debug, Clone)]
struct Measured {
    sums: Vec<f64>,
    len: u64,
}

impl Engine {
    /// Fills half `t & 1` with what update `t` needs: `evaluate` of `kernels/evaluate.cuh`.
    pub(super) fn evaluate(&mut self, clocks: Clocks) {
        let (plan, t) = (&self.plan, clocks.t);
        let half = (t & 1) as usize;
        let values = &mut self.values[half * plan.scalars.len()..][..plan.scalars.len()];
        for bundle in &plan.bundles {
            let program = &plan.programs[bundle.program as usize];
            let scalars = bundle.first as usize..(bundle.first + bundle.count) as usize;
            for (value, row) in values[scalars.clone()].iter_mut().zip(&plan.scalars[scalars]) {
                let updates = t.wrapping_add(row.base).wrapping_add(1);
                *value = program.value(&plan.constants[row.constants as usize..], clocks, updates);
            }
        }
        for cohort in 0..self.plan.cohorts.len() {
            let rule = self.rule_of(cohort);
            let resolved = self.resolve(t, cohort, None, None);
            let record = self.record_mut(t, cohort);
            resolved.fill(&rule, false, record);
            let width = self.plan.widths().memory[0];
            let first = ((t & 1) as usize * self.plan.cohorts.len() + cohort) * width;
            for (k, place) in rule.remembered(Of::Cohort).enumerate() {
                self.remembered.cohorts[2 * (first + k) + 1] = resolved.values.memory[place];
            }
        }
    }

    /// What cohorts remember goes on from update `t` to the next one.
    pub(super) fn carry_memory(&mut self, t: u64) {
        let half = self.remembered.cohorts.len() / 2;
        let (from, to) = ((t & 1) as usize * half, (!t & 1) as usize * half);
        for pair in (0..half).step_by(2) {
            self.remembered.cohorts[to + pair] = self.remembered.cohorts[from + pair + 1];
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
                for tensor in self.plan.tensors_of(group) {
                    let len = self.plan.tensors[tensor].len;
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
            // Without elements no block measures, and nothing is concluded.
            let concluded =
                groups.iter().filter(|(_, group)| if widest == Over::All { all.len > 0 } else { group.len > 0 });
            for (group, of_group) in concluded {
                self.conclude_group(t, &rule, *group, of_group, &all);
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
        let first = ((t & 1) as usize * self.plan.tensors.len() + tensor) * self.plan.widths().memory[2];
        for (k, place) in rule.remembered(Of::Tensor).enumerate() {
            self.remembered.tensors[first + k] = resolved.values.memory[place];
        }
    }

    fn conclude_group(&mut self, t: u64, rule: &Compiled, group: usize, of_group: &Measured, all: &Measured) {
        let over = |sum: &crate::rule::Sum| if sum.over == Over::All { all } else { of_group };
        let places = || rule.tape.sums.iter().map(over).enumerate();
        let sums: Vec<f64> = places().map(|(k, measured)| measured.sums[k]).collect();
        let lens: Vec<f64> = places().map(|(_, measured)| measured.len as f64).collect();
        let cohorts = (0..self.plan.cohorts.len()).filter(|cohort| self.plan.cohorts[*cohort].group as usize == group);
        let first_cohort = self.plan.first_cohort(group);
        for cohort in cohorts.collect::<Vec<_>>() {
            let resolved = self.resolve(t, cohort, None, Some((sums.clone(), lens.clone())));
            let record = self.record_mut(t, cohort);
            resolved.fill(rule, true, record);
            // What the group remembers counts the optimizer's updates, not one cohort's: the same for all of its cohorts.
            let resolved = self.resolve_at(t, t, first_cohort, None, Some((sums.clone(), lens.clone())));
            let first = ((t & 1) as usize * self.plan.cohorts.len() + cohort) * self.plan.widths().memory[1];
            for (k, place) in rule.remembered(Of::Group).enumerate() {
                self.remembered.groups[first + k] = resolved.values.memory[place];
            }
        }
    }

    fn rule_of(&self, cohort: usize) -> std::sync::Arc<Compiled> {
        let group = self.plan.cohorts[cohort].group as usize;
        self.plan.variants[self.plan.groups[group].variant as usize].clone()
    }

    fn record_mut(&mut self, t: u64, cohort: usize) -> &mut [f32] {
        let width = self.plan.widths().record;
        let half = (t & 1) as usize * self.plan.cohorts.len();
        &mut self.records[(half + cohort) * width..][..width]
    }

    fn resolve(&self, t: u64, cohort: usize, tensor: Option<usize>, sums: Option<(Vec<f64>, Vec<f64>)>) -> Resolved {
        let updates = t.wrapping_add(self.plan.cohorts[cohort].base);
        self.resolve_at(t, updates, cohort, tensor, sums)
    }

    /// The rule of `cohort` for update `t`, with what is known of `sums`.
    fn resolve_at(
        &self,
        t: u64,
        updates: u64,
        cohort: usize,
        tensor: Option<usize>,
        sums: Option<(Vec<f64>, Vec<f64>)>,
    ) -> Resolved {
        let (plan, rule) = (&self.plan, self.rule_of(cohort));
        let Cohort { group, ref inputs, .. } = plan.cohorts[cohort];
        let (group, half) = (group as usize, (t & 1) as usize);
        let values = &self.values[half * plan.scalars.len()..];
        let count = rule.hyperparameters().len();
        let mut hyperparameters: Vec<f64> = inputs[..count].iter().map(|scalar| values[*scalar as usize]).collect();
        if let Some(state) = plan.groups[group].metric.checked_sub(1) {
            hyperparameters[0] *= self.metric_states[half * plan.metrics.len() + state as usize].scale;
        }
        let [of_cohort, of_group, of_tensor] = plan.widths().memory;
        let before = 1 - half;
        let mut next = [0; 3];
        let memory = rule.tape.memory.iter().map(|remembered| {
            let k = &mut next[remembered.of as usize];
            *k += 1;
            let k = *k - 1;
            match (remembered.of, tensor) {
                (Of::Cohort, _) => self.remembered.cohorts[2 * ((half * plan.cohorts.len() + cohort) * of_cohort + k)],
                (Of::Group, _) => self.remembered.groups[(before * plan.cohorts.len() + cohort) * of_group + k],
                (Of::Tensor, Some(tensor)) => {
                    self.remembered.tensors[(before * plan.tensors.len() + tensor) * of_tensor + k]
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

/// The sum of what the elements of a block add, in the order of `kernels/sums.cuh`.
fn add_block(terms: impl Iterator<Item = f64>) -> f64 {
    in_lanes(Norm::One, terms, |lane, term| lane + term)
}

/// Adds what a level holds, sum by sum.
fn level(rule: &Compiled, places: &[Vec<f64>]) -> Vec<f64> {
    (0..rule.tape.sums.len()).map(|k| level_of(Norm::One, places.iter().map(|place| place[k]))).collect()
}
