//! Scalars: the hyperparameters of groups, lowered, and the bias corrections of ages; merged, sorted by the structure of
//! their formulas, and bundled by 32: one warp evaluates a bundle.
//!
//! Two hyperparameters become one scalar if no edit can ever tell them apart: equal constants and no knobs, or the very same
//! schedule. They keep their places as long as the optimizer lives. Bias corrections come after them and are laid out anew when ages
//! change; one reads the constants of its beta, or, where that never changes, their logarithm alone.

use std::collections::{BTreeMap, HashMap};

use super::layout::{BundleRow, NO_AGE, ScalarRow, WARP};
use super::{Cohort, Formula, Plan, Registered};
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

/// What stays of the layout as long as the optimizer lives.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    /// How many scalars and bundles are schedules'.
    pub scalars: usize,
    pub bundles: usize,
    /// How a scalar is corrected, if it is a beta.
    pub corrections: BTreeMap<u32, Correction>,
}

/// A bias correction without the count: what computes it, and where its constants begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Correction {
    pub program: u32,
    pub constants: u32,
}

/// A schedule that has no place yet.
struct Draft<'a> {
    /// The place of its structure.
    structure: u32,
    program: &'a Program,
    hyperparameter: &'a Hyperparameter,
}

/// All schedules before they have places.
#[derive(Default)]
struct Drafts<'a> {
    all: Vec<Draft<'a>>,
    structures: HashMap<Formula, u32>,
    programs: Vec<Formula>,
    /// By structure and constants.
    alike: HashMap<(u32, &'a [u64]), Vec<usize>>,
}

impl<'a> Drafts<'a> {
    fn structure(&mut self, formula: Formula) -> u32 {
        *self.structures.entry(formula).or_insert_with_key(|formula| {
            self.programs.push(formula.clone());
            self.programs.len() as u32 - 1
        })
    }

    fn schedule(&mut self, program: &'a Program, hyperparameter: &'a Hyperparameter) -> usize {
        let structure = self.structure(Formula::Value(program.root.clone()));
        let alike = self.alike.entry((structure, &program.constants)).or_default();
        let stays_equal = |draft: &usize| {
            let known = &self.all[*draft];
            (known.program.knobs.is_empty() && program.knobs.is_empty())
                || known.hyperparameter.schedule == hyperparameter.schedule
        };
        if let Some(same) = alike.iter().copied().find(stays_equal) {
            return same;
        }
        alike.push(self.all.len());
        self.all.push(Draft { structure, program, hyperparameter });
        self.all.len() - 1
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
        let places = self.place_schedules(&drafts.all);
        for (group, scalars) in self.groups.iter_mut().zip(&of_groups) {
            group.scalars = scalars.iter().map(|draft| places[*draft]).collect();
        }
        self.schedules = Schedules { scalars: self.scalars.len(), bundles: self.bundles.len(), ..Schedules::default() };
        for (group, scalars) in of_groups.iter().enumerate() {
            let variant = self.variants[self.groups[group].variant as usize].clone();
            for draft in variant.corrected().iter().map(|beta| scalars[*beta]) {
                self.add_correction(&mut drafts, draft, places[draft]);
            }
        }
        self.programs = drafts.programs;
        self.lay_out_corrections();

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
    fn place_schedules(&mut self, drafts: &[Draft<'_>]) -> Vec<u32> {
        let mut order: Vec<usize> = (0..drafts.len()).collect();
        order.sort_by_key(|draft| drafts[*draft].structure);
        let mut places = vec![0; drafts.len()];
        for old in order {
            let Draft { structure, program, .. } = &drafts[old];
            places[old] =
                self.push_scalar(*structure, ScalarRow { age: NO_AGE, constants: self.constants.len() as u32 });
            self.constants.extend_from_slice(&program.constants);
        }
        places
    }

    /// Adds a scalar to the last bundle, or to a new one where that is full or of another structure.
    pub(super) fn push_scalar(&mut self, program: u32, row: ScalarRow) -> u32 {
        let place = self.scalars.len() as u32;
        self.scalars.push(row);
        match self.bundles.last_mut() {
            Some(bundle) if bundle.program == program && (bundle.count as usize) < WARP => bundle.count += 1,
            _ => self.bundles.push(BundleRow { program, first: place, count: 1, reserved: 0 }),
        }
        place
    }

    /// Says how the scalar at `place`, a beta, is corrected.
    fn add_correction(&mut self, drafts: &mut Drafts<'_>, draft: usize, place: u32) {
        if self.schedules.corrections.contains_key(&place) {
            return;
        }
        let program = drafts.all[draft].program;
        let correction = match &program.root {
            Node::Constant(at) if program.knobs.is_empty() => {
                self.constants.push(ln(f64::from_bits(program.constants[at.0 as usize])).to_bits());
                let constants = self.constants.len() as u32 - 1;
                Correction { program: drafts.structure(Formula::BiasCorrectionOfLn), constants }
            }
            root => {
                let constants = self.scalars[place as usize].constants;
                Correction { program: drafts.structure(Formula::BiasCorrection(root.clone())), constants }
            }
        };
        self.schedules.corrections.insert(place, correction);
    }

    /// Lays out the bias corrections of all ages, and what the cohorts' records are resolved from.
    pub(super) fn lay_out_corrections(&mut self) {
        self.scalars.truncate(self.schedules.scalars);
        self.bundles.truncate(self.schedules.bundles);
        let betas = |plan: &Plan, cohort: &Cohort| {
            let group = &plan.groups[cohort.group as usize];
            let corrected = plan.variants[group.variant as usize].corrected().iter();
            corrected.map(|beta| (group.scalars[*beta], cohort.age)).collect::<Vec<(u32, u32)>>()
        };
        let wanted: Vec<Vec<(u32, u32)>> = self.cohorts.iter().map(|cohort| betas(self, cohort)).collect();
        let mut distinct = Vec::new();
        let mut places: HashMap<(u32, u32), u32> = HashMap::new();
        for pair in wanted.iter().flatten() {
            places.entry(*pair).or_insert_with(|| {
                distinct.push(*pair);
                0
            });
        }
        distinct.sort_by_key(|(beta, _)| self.schedules.corrections[beta].program);
        for (beta, age) in distinct {
            let Correction { program, constants } = self.schedules.corrections[&beta];
            places.insert((beta, age), self.push_scalar(program, ScalarRow { age, constants }));
        }
        for (cohort, wanted) in self.cohorts.iter_mut().zip(wanted) {
            let own = self.groups[cohort.group as usize].scalars.iter().copied();
            cohort.inputs = own.chain(wanted.iter().map(|pair| places[pair])).collect();
        }
    }
}
