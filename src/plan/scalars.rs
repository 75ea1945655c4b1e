//! Scalars: the hyperparameters of groups, lowered, and the bias corrections of cohorts; merged, sorted by the structure of
//! their formulas, and bundled by 32: one warp evaluates a bundle.
//!
//! Two hyperparameters become one scalar if no edit can ever tell them apart: equal constants and no knobs, or the very same
//! schedule. A bias correction reads the constants of its beta, or, where that never changes, their logarithm alone.

use std::collections::HashMap;

use super::layout::{BundleRow, ScalarRow, WARP};
use super::{Formula, Plan, Registered};
use crate::error::Result;
use crate::program::math::ln;
use crate::program::{Knobs, Node, Program};
use crate::rule::Hyperparameter;
use crate::schedule::Metric;

/// Lowers the hyperparameters of all groups, in their order, and collects the knobs, which all groups share.
pub(super) fn lower(groups: &[Registered]) -> Result<(Vec<Program>, Knobs)> {
    let (mut programs, mut knobs) = (Vec::new(), Knobs::default());
    for (index, Registered { rule, .. }) in groups.iter().enumerate() {
        let path = format!("groups[{index}].");
        rule.metric.as_ref().map_or(Ok(()), Metric::check).map_err(|e| e.within(&path))?;
        for hyperparameter in &rule.hyperparameters {
            programs.push(hyperparameter.lower(&mut knobs).map_err(|e| e.within(&path))?);
        }
    }
    Ok((programs, knobs))
}

/// A scalar that has no place yet.
struct Draft<'a> {
    /// The place of its structure.
    structure: u32,
    base: u64,
    constants: Constants<'a>,
}

enum Constants<'a> {
    Own(&'a Program, &'a Hyperparameter),
    /// Those of another draft.
    Of(usize),
    Ln(f64),
}

/// All scalars before they have places.
#[derive(Default)]
struct Drafts<'a> {
    all: Vec<Draft<'a>>,
    structures: HashMap<Formula, u32>,
    programs: Vec<Formula>,
    /// By structure and constants.
    schedules: HashMap<(u32, &'a [u64]), Vec<usize>>,
    /// By the draft of beta, and base.
    corrections: HashMap<(usize, u64), usize>,
}

impl<'a> Drafts<'a> {
    fn structure(&mut self, formula: Formula) -> u32 {
        *self.structures.entry(formula).or_insert_with_key(|formula| {
            self.programs.push(formula.clone());
            self.programs.len() as u32 - 1
        })
    }

    fn push(&mut self, structure: u32, base: u64, constants: Constants<'a>) -> usize {
        self.all.push(Draft { structure, base, constants });
        self.all.len() - 1
    }

    fn schedule(&mut self, program: &'a Program, hyperparameter: &'a Hyperparameter) -> usize {
        let structure = self.structure(Formula::Value(program.root.clone()));
        let alike = self.schedules.entry((structure, &program.constants)).or_default();
        let stays_equal = |draft: &usize| match self.all[*draft].constants {
            Constants::Own(known, _) if known.knobs.is_empty() && program.knobs.is_empty() => true,
            Constants::Own(_, known) => known.schedule == hyperparameter.schedule,
            Constants::Of(_) | Constants::Ln(_) => false,
        };
        if let Some(same) = alike.iter().copied().find(stays_equal) {
            return same;
        }
        alike.push(self.all.len());
        self.push(structure, 0, Constants::Own(program, hyperparameter))
    }

    /// The bias correction of the scalar `beta`, for a cohort with this base.
    fn correction(&mut self, beta: usize, base: u64) -> usize {
        if let Some(known) = self.corrections.get(&(beta, base)) {
            return *known;
        }
        let Constants::Own(program, _) = self.all[beta].constants else { unreachable!("a hyperparameter's") };
        let draft = match &program.root {
            Node::Constant(at) if program.knobs.is_empty() => {
                let structure = self.structure(Formula::BiasCorrectionOfLn);
                self.push(structure, base, Constants::Ln(ln(f64::from_bits(program.constants[at.0 as usize]))))
            }
            root => {
                let structure = self.structure(Formula::BiasCorrection(root.clone()));
                self.push(structure, base, Constants::Of(beta))
            }
        };
        self.corrections.insert((beta, base), draft);
        draft
    }
}

impl Plan {
    /// `programs`: the lowered hyperparameters of all groups. Groups and cohorts are laid out.
    pub(super) fn lay_out_scalars(&mut self, groups: &[Registered], programs: Vec<Program>) {
        let mut drafts = Drafts::default();
        let mut lowered = programs.iter();
        let of_groups: Vec<Vec<usize>> = groups
            .iter()
            .map(|Registered { rule, .. }| {
                let pairs = rule.hyperparameters.iter().zip(&mut lowered);
                pairs.map(|(hyperparameter, program)| drafts.schedule(program, hyperparameter)).collect()
            })
            .collect();
        let mut inputs: Vec<Vec<usize>> = Vec::with_capacity(self.cohorts.len());
        for cohort in &self.cohorts {
            let own = &of_groups[cohort.group as usize];
            let variant = &self.variants[self.groups[cohort.group as usize].variant as usize];
            let corrections = variant.corrected().iter().map(|beta| drafts.correction(own[*beta], cohort.base));
            inputs.push(own.iter().copied().chain(corrections).collect());
        }

        let places = self.place_scalars(&drafts.all);
        let placed = |drafts: &[usize]| drafts.iter().map(|draft| places[*draft]).collect::<Vec<u32>>();
        for (cohort, inputs) in self.cohorts.iter_mut().zip(&inputs) {
            cohort.inputs = placed(inputs);
        }
        for (group, scalars) in self.groups.iter_mut().zip(&of_groups) {
            group.scalars = placed(scalars);
        }
        self.programs = drafts.programs;
        let all = groups.iter().enumerate();
        let hyperparameters =
            all.flat_map(|(index, Registered { rule, .. })| rule.hyperparameters.iter().map(move |h| (index, h)));
        let scalars: Vec<u32> = of_groups.iter().flatten().map(|draft| places[*draft]).collect();
        for (((group, hyperparameter), program), scalar) in hyperparameters.zip(programs).zip(scalars) {
            if !program.knobs.is_empty() {
                let first = self.scalars[scalar as usize].constants;
                self.editable.add(group, hyperparameter.clone(), program, scalar, first);
            }
        }
    }

    /// Lays out rows, constants and bundles; returns the place of each draft.
    fn place_scalars(&mut self, drafts: &[Draft<'_>]) -> Vec<u32> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by_key(|draft| drafts[*draft].structure);
        let mut places = vec![0; drafts.len()];
        for (new, old) in order.iter().enumerate() {
            let Draft { structure, base, constants } = &drafts[*old];
            places[*old] = new as u32;
            self.scalars.push(ScalarRow { base: *base, constants: self.constants.len() as u32, reserved: 0 });
            match constants {
                Constants::Own(program, _) => self.constants.extend_from_slice(&program.constants),
                Constants::Ln(ln) => self.constants.push(ln.to_bits()),
                Constants::Of(_) => {}
            }
            match self.bundles.last_mut() {
                Some(bundle) if bundle.program == *structure && (bundle.count as usize) < WARP => bundle.count += 1,
                _ => self.bundles.push(BundleRow { program: *structure, first: new as u32, count: 1, reserved: 0 }),
            }
        }
        for (place, draft) in places.iter().zip(drafts) {
            if let Constants::Of(beta) = draft.constants {
                self.scalars[*place as usize].constants = self.scalars[places[beta] as usize].constants;
            }
        }
        places
    }
}
