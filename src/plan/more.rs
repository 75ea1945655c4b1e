//! Groups that come while an optimizer lives: kernels were compiled for other groups or for what was declared, so the rule, the structure
//! of each schedule and the forms of the tensors must be known. Start at [`Plan::check_add_group`].

use super::capacity::CONSTANTS;
use super::change::Change;
use super::layout::{NO_AGE, ScalarRow, Write};
use super::scalars::Correction;
use super::{Age, Dtype, Forms, Formula, Group, Plan, Registered, Scales, Tensor, ends, forms, stated};
use crate::error::{Error, Result};
use crate::program::math::ln;
use crate::program::{Bounds, Knobs, Node, Program};
use crate::rule::{Of, Over};
use crate::schedule::Metric;

/// What was found out about a group that is to come.
#[derive(Debug)]
pub(crate) struct AddingGroup {
    registered: Registered,
    variant: u32,
    programs: Vec<Program>,
    /// The place of the structure of each.
    structures: Vec<u32>,
    /// For each hyperparameter that is corrected, the place of the structure, and its own constant if it has one.
    corrections: Vec<(usize, u32, Option<u64>)>,
    knobs: Knobs,
}

impl AddingGroup {
    /// The place of its rule.
    pub fn variant(&self) -> u32 {
        self.variant
    }
}

/// The formula of a beta's bias correction, and its own constant if it has one.
fn correction(program: &Program) -> (Formula, Option<u64>) {
    match &program.root {
        Node::Constant(at) if program.knobs.is_empty() => {
            let ln = ln(f64::from_bits(program.constants[at.0 as usize]));
            (Formula::BiasCorrectionOfLn, Some(ln.to_bits()))
        }
        root => (Formula::BiasCorrection(root.clone()), None),
    }
}

impl Plan {
    /// Takes what a group to come needs among what is compiled. Its tensors say types alone.
    pub(super) fn declare(&mut self, declared: &Registered) -> Result<()> {
        let rule = &declared.rule;
        let known = self.variants.iter().position(|known| *known == rule.rule);
        let variant = known.unwrap_or_else(|| {
            self.variants.push(rule.rule.clone());
            self.variants.len() - 1
        }) as u32;
        let states = super::states(&rule.rule.tape.streams);
        declared.precision.check_states(&rule.rule.tape.name, states, self.scaled_gradients)?;
        for tensor in &declared.tensors {
            // Small and large: how states are stored may depend on that.
            for len in [1, u64::from(u32::MAX)] {
                let mut tensor = tensor.clone();
                tensor.param.len = len;
                let storages = forms::of_tensor(|| "declared".to_owned(), &rule.rule, &declared.precision, &tensor)?;
                self.form(Forms { variant, storages });
            }
        }
        let mut knobs = self.editable.all_knobs().clone();
        for (k, hyperparameter) in rule.hyperparameters.iter().enumerate() {
            let program = hyperparameter.lower(&mut knobs)?;
            self.structure(Formula::Value(program.root.clone()));
            if rule.rule.corrected().contains(&k) {
                self.structure(correction(&program).0);
            }
        }
        Ok(())
    }

    fn structure(&mut self, formula: Formula) {
        if !self.programs.contains(&formula) {
            self.programs.push(formula);
        }
    }

    /// Checks a group that is to come, but for its tensors.
    pub fn check_add_group(&self, registered: Registered) -> Result<AddingGroup> {
        let reserved = self.reserve.map_or(0, |reserve| reserve.groups);
        if self.more_groups >= reserved {
            let rule = format!("{reserved} were reserved, of which {} are there: Dynamic::groups", self.more_groups);
            return Err(Error::argument("groups", "1 more", rule));
        }
        let rule = &registered.rule;
        if rule.metric.is_some() {
            let rule = "a group that comes later has no metric rule of its own: it follows the one that all share, if there is one";
            return Err(Error::argument("metric", "given", rule));
        }
        let tape = &rule.rule.tape;
        let missing = |what: &str, value: &str| {
            let rule = "no kernel for it was compiled: have a group of its kind at build, or OptimizerBuilder::declare one, or rebuild";
            Error::argument(what, value, rule)
        };
        let Some(variant) = self.variants.iter().position(|known| *known == rule.rule) else {
            return Err(missing("rule", &tape.name));
        };
        let mut knobs = self.editable.all_knobs().clone();
        let mut programs = Vec::new();
        let (mut structures, mut corrections) = (Vec::new(), Vec::new());
        for (k, hyperparameter) in rule.hyperparameters.iter().enumerate() {
            let program = hyperparameter.lower(&mut knobs)?;
            let words = hyperparameter.schedule.brief();
            let place = |formula: &Formula| self.programs.iter().position(|known| known == formula);
            let known = place(&Formula::Value(program.root.clone()));
            structures.push(known.ok_or_else(|| missing(hyperparameter.name(), &words))? as u32);
            if rule.rule.corrected().contains(&k) {
                let (formula, own) = correction(&program);
                let argument = format!("bias correction of {}", hyperparameter.name());
                corrections.push((k, place(&formula).ok_or_else(|| missing(&argument, &words))? as u32, own));
            }
            programs.push(program);
        }
        let constants: usize =
            programs.iter().map(|program| program.constants.len()).sum::<usize>() + corrections.len();
        if constants > CONSTANTS || self.constants.len() + constants > self.room.constants {
            let rule = format!("the schedules of a group that comes later have at most {CONSTANTS}");
            return Err(Error::argument("schedules", format!("{constants} numbers"), rule));
        }
        Ok(AddingGroup { registered, variant: variant as u32, programs, structures, corrections, knobs })
    }

    /// Adds a group without tensors; its place, and what that takes.
    pub fn add_group(&mut self, adding: AddingGroup) -> (usize, Change) {
        let AddingGroup { registered, variant, programs, structures, corrections, knobs } = adding;
        let (group, mut change) = (self.groups.len(), Change { shape: true, ..Change::default() });
        self.scalars.truncate(self.schedules.scalars);
        self.bundles.truncate(self.schedules.bundles);
        let first_constant = self.constants.len();
        let mut scalars = Vec::new();
        for (program, structure) in programs.iter().zip(&structures) {
            let row = ScalarRow { age: NO_AGE, constants: self.constants.len() as u32 };
            self.constants.extend_from_slice(&program.constants);
            scalars.push(self.push_scalar(*structure, row));
        }
        (self.schedules.scalars, self.schedules.bundles) = (self.scalars.len(), self.bundles.len());
        for (k, program, own) in corrections {
            let constants = match own {
                Some(bits) => {
                    self.constants.push(bits);
                    self.constants.len() as u32 - 1
                }
                None => self.scalars[scalars[k] as usize].constants,
            };
            self.schedules.corrections.insert(scalars[k], Correction { program, constants });
        }
        let written = self.constants.iter().enumerate().skip(first_constant);
        change
            .units
            .extend(written.map(|(place, bits)| vec![Write { bits: *bits, place: place as u32, kind: Write::SET }]));

        self.editable.set_knobs(knobs);
        self.stated.extend(stated::of_groups(std::slice::from_ref(&registered), &programs));
        let metric = self.shared_metric;
        let Bounds { min, max } = programs[0].bounds;
        let scales = metric.checked_sub(1).map_or([1.0; 2], |place| Metric::scales(&self.metrics[place as usize]));
        self.rates.push(ends::RateBounds { min, max, scales });
        for ((hyperparameter, program), scalar) in
            registered.rule.hyperparameters.into_iter().zip(programs).zip(&scalars)
        {
            if !program.knobs.is_empty() {
                let first = self.scalars[*scalar as usize].constants;
                self.editable.add(group, hyperparameter, program, *scalar, first);
            }
        }
        let age = self.new_age(Age { base: 0, absent: false, tensors: 0, gate: 0 });
        change.units.push(vec![Write { bits: 0, place: age, kind: Write::AGE_AT }]);
        let free = (0..self.cohorts.len() as u32).find(|cohort| self.is_free_cohort(*cohort));
        let first_cohort = free.unwrap_or(self.cohorts.len() as u32);
        let shown =
            super::Cohort { age, group: group as u32, scales: Scales::default(), tensors: 0, inputs: Vec::new() };
        match free {
            Some(free) => self.cohorts[free as usize] = shown,
            None => self.cohorts.push(shown),
        }
        self.groups.push(Group {
            precision: registered.precision,
            scalars,
            variant,
            metric,
            tensors: Vec::new(),
            first_cohort,
            gate: 0,
        });
        self.start_group(group as u32, &mut change);
        self.more_groups += 1;
        (group, self.settle(change))
    }

    /// What the rule of a new group remembers starts; what is of all groups goes on from another one of the same rule.
    fn start_group(&self, group: u32, change: &mut Change) {
        let Group { variant, first_cohort, .. } = self.groups[group as usize];
        let (rule, widths) = (&self.variants[variant as usize], self.widths().memory);
        for of in [Of::Cohort, Of::Group] {
            let first = first_cohort * widths[of as usize] as u32;
            for (place, k) in (first..).zip(rule.remembered(of)) {
                let bits = rule.tape.memory[k].start.to_bits();
                change.units.push(vec![Write { bits, place, kind: Write::START[of as usize] }]);
            }
        }
        let other = self.groups[..group as usize].iter().find(|other| other.variant == variant);
        if let (Some(other), Some(Over::All)) = (other, rule.widest()) {
            let bits = u64::from(other.first_cohort);
            change.units.push(vec![Write { bits, place: first_cohort, kind: Write::GROUP_OF }]);
        }
    }
}

/// A tensor that says types alone.
pub(crate) fn of_types(param: Dtype, grad: Dtype) -> Tensor {
    let buffer = |dtype| super::Buffer { address: 0, len: 1, dtype };
    Tensor::unnamed(buffer(param), buffer(grad))
}
