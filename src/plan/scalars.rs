//! Scalars, which are the hyperparameters of groups: lowered, merged, sorted by the structure of their schedules, and
//! bundled by 32: one warp evaluates a bundle.
//!
//! Two hyperparameters become one scalar if no edit can ever tell them apart: equal constants and no knobs, or the very same
//! schedule.

use std::collections::HashMap;

use super::layout::{BundleRow, GroupRow, MAX_HYPERPARAMETERS, WARP};
use super::{Plan, Tensor};
use crate::error::Result;
use crate::optim::{Description, Hyperparameter};
use crate::program::{Knobs, Program};
use crate::schedule::Metric;

/// Lowers the hyperparameters of all groups, in their order, and collects the knobs, which all groups share.
pub(super) fn lower(groups: &[(Description, Vec<Tensor>)]) -> Result<(Vec<Program>, Knobs)> {
    let (mut programs, mut knobs) = (Vec::new(), Knobs::default());
    for (index, (rule, _)) in groups.iter().enumerate() {
        let path = format!("groups[{index}].");
        rule.metric.as_ref().map_or(Ok(()), Metric::check).map_err(|e| e.within(&path))?;
        for hyperparameter in &rule.hyperparameters {
            programs.push(hyperparameter.lower(&mut knobs).map_err(|e| e.within(&path))?);
        }
    }
    Ok((programs, knobs))
}

/// A scalar: the place of its structure, and the first of the hyperparameters that it stands for.
struct Scalar<'a> {
    structure: u32,
    program: &'a Program,
    hyperparameter: &'a Hyperparameter,
}

impl Scalar<'_> {
    fn stays_equal(&self, program: &Program, hyperparameter: &Hyperparameter) -> bool {
        match self.program.knobs.is_empty() && program.knobs.is_empty() {
            true => true, // constants are equal, or the caller would not ask
            false => self.hyperparameter.schedule == hyperparameter.schedule,
        }
    }
}

impl Plan {
    /// `programs`: the lowered hyperparameters of all groups.
    pub(super) fn lay_out_scalars(&mut self, groups: &[(Description, Vec<Tensor>)], programs: Vec<Program>) {
        let hyperparameters = || {
            let all = groups.iter().enumerate();
            all.flat_map(|(index, (rule, _))| rule.hyperparameters.iter().map(move |h| (index, h)))
        };
        let mut scalars: Vec<Scalar<'_>> = Vec::new();
        let (mut structures, mut known) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        let mut places = Vec::with_capacity(programs.len());
        for ((_, hyperparameter), program) in hyperparameters().zip(&programs) {
            let structure = *structures.entry(&program.root).or_insert_with(|| {
                self.programs.push(program.root.clone());
                self.programs.len() as u32 - 1
            });
            let alike = known.entry((structure, &program.constants)).or_default();
            let same = alike.iter().copied().find(|scalar| scalars[*scalar].stays_equal(program, hyperparameter));
            places.push(same.unwrap_or_else(|| {
                scalars.push(Scalar { structure, program, hyperparameter });
                alike.push(scalars.len() - 1);
                scalars.len() - 1
            }));
        }
        let mut order: Vec<usize> = (0..scalars.len()).collect();
        order.sort_by_key(|place| scalars[*place].structure);

        let mut sorted = vec![0; scalars.len()];
        for (new, old) in order.into_iter().enumerate() {
            let Scalar { structure, program, .. } = scalars[old];
            sorted[old] = new as u32;
            self.scalars.push(self.constants.len() as u32);
            self.constants.extend_from_slice(&program.constants);
            match self.bundles.last_mut() {
                Some(bundle) if bundle.program == structure && (bundle.count as usize) < WARP => bundle.count += 1,
                _ => self.bundles.push(BundleRow { program: structure, first: new as u32, count: 1, reserved: 0 }),
            }
        }
        for place in &mut places {
            *place = sorted[*place] as usize;
        }
        self.lay_out_groups(groups, &places);
        for (((group, hyperparameter), program), scalar) in hyperparameters().zip(programs).zip(places) {
            if !program.knobs.is_empty() {
                let first = self.scalars[scalar];
                self.editable.add(group, hyperparameter.clone(), program, scalar as u32, first);
            }
        }
    }

    /// `scalars`: one for each hyperparameter of each group.
    fn lay_out_groups(&mut self, groups: &[(Description, Vec<Tensor>)], scalars: &[usize]) {
        let (mut scalars, mut metrics) = (scalars.iter(), 0);
        for (rule, _) in groups {
            let mut scalar = [0; MAX_HYPERPARAMETERS];
            for (place, index) in scalar.iter_mut().zip(scalars.by_ref().take(rule.hyperparameters.len())) {
                *place = *index as u32;
            }
            let variant = self.variants.iter().position(|known| *known == rule.variant).unwrap_or_else(|| {
                self.variants.push(rule.variant);
                self.variants.len() - 1
            }) as u32;
            metrics += u32::from(rule.metric.is_some());
            let metric = if rule.metric.is_some() { metrics } else { 0 };
            self.groups.push(GroupRow { scalar, variant, metric });
        }
    }
}
