//! What of a state block must be as in the optimizer that loads it: rules, structures of schedules, metric rules, tensors,
//! knobs. Said once, in [`describe`]: a [`Writer`] notes it and a [`Reader`] compares it, fact by fact, in one order.

use bytemuck::Pod;
use sha2::{Digest, Sha256};

use super::block::{Reader, Writer};
use super::layout::MetricRow;
use super::{Forms, Formula, Plan, metrics};
use crate::error::{Error, Result};
use crate::precision::Form;
use crate::program::Knob;

/// Takes facts. `path` is the place that an error names, and `what` says what stands there.
pub(super) trait Facts {
    fn number(&mut self, ours: u64, path: impl Fn() -> String, what: &str) -> Result<()>;
    fn text(&mut self, ours: &str, path: impl Fn() -> String, what: &str) -> Result<()>;
    fn rows<T: Pod + std::fmt::Debug>(&mut self, ours: &[T], path: impl Fn() -> String, what: &str) -> Result<()>;
}

impl Facts for Writer {
    fn number(&mut self, ours: u64, _: impl Fn() -> String, _: &str) -> Result<()> {
        Writer::number(self, ours);
        Ok(())
    }

    fn text(&mut self, ours: &str, _: impl Fn() -> String, _: &str) -> Result<()> {
        Writer::text(self, ours);
        Ok(())
    }

    fn rows<T: Pod + std::fmt::Debug>(&mut self, ours: &[T], _: impl Fn() -> String, _: &str) -> Result<()> {
        Writer::rows(self, ours);
        Ok(())
    }
}

impl Facts for Reader<'_> {
    fn number(&mut self, ours: u64, path: impl Fn() -> String, what: &str) -> Result<()> {
        match Reader::number(self)? {
            theirs if theirs == ours => Ok(()),
            theirs => Err(differs(path(), theirs, ours, what)),
        }
    }

    fn text(&mut self, ours: &str, path: impl Fn() -> String, what: &str) -> Result<()> {
        match Reader::text(self)? {
            theirs if theirs == ours => Ok(()),
            theirs => Err(differs(path(), format!("{theirs:?}"), format!("{ours:?}"), what)),
        }
    }

    fn rows<T: Pod + std::fmt::Debug>(&mut self, ours: &[T], path: impl Fn() -> String, what: &str) -> Result<()> {
        let theirs = Reader::rows::<T>(self)?;
        // By their bits, so that a NaN equals itself.
        match bytemuck::cast_slice::<T, u8>(&theirs) == bytemuck::cast_slice::<T, u8>(ours) {
            true => Ok(()),
            false => Err(differs(path(), format!("{theirs:?}"), format!("{ours:?}"), what)),
        }
    }
}

fn differs(path: String, theirs: impl std::fmt::Display, ours: impl std::fmt::Display, what: &str) -> Error {
    Error::argument(format!("state.{path}"), theirs, format!("must be {ours}, {what}"))
}

/// Visits every fact about `plan`, group by group.
pub(super) fn describe(plan: &Plan, facts: &mut impl Facts) -> Result<()> {
    facts.number(plan.groups.len() as u64, || "groups.len".to_owned(), "the number of groups")?;
    let (schedules, metric_rows) = (schedules(plan), metrics::rows(&plan.metrics));
    for (g, group) in plan.groups.iter().enumerate() {
        let variant = &plan.variants[group.variant as usize];
        facts.text(&variant.identity, || format!("groups[{g}].rule"), "the group's rule")?;
        for (name, scalar) in variant.hyperparameters().zip(&group.scalars) {
            facts.text(
                &schedules[*scalar as usize],
                || format!("groups[{g}].{name}"),
                "the structure of its schedule",
            )?;
        }
        let metric: &[MetricRow] = match group.metric {
            0 => &[],
            place => &metric_rows[place as usize - 1..place as usize],
        };
        facts.rows(metric, || format!("groups[{g}].metric"), "the group's metric rule")?;
        facts.number(
            u64::from(group.metric),
            || format!("groups[{g}].metric.place"),
            "the place of the group's metric rule: 0 if it has none, the last if others share it",
        )?;

        let tensors = plan.tensors_of(g);
        facts.number(
            tensors.len() as u64,
            || format!("groups[{g}].tensors.len"),
            "the number of the group's tensors",
        )?;
        for (i, tensor) in tensors.enumerate() {
            let (row, path) = (&plan.tensors[tensor], |field| format!("groups[{g}].tensors[{i}].{field}"));
            facts.text(&plan.names[tensor], || path("name"), "the tensor's name")?;
            facts.number(row.len, || path("len"), "the tensor's length")?;
            let updates = plan.ages[plan.cohorts[row.cohort as usize].age as usize].base;
            facts.number(updates, || path("updates"), "what the tensor was registered with")?;
        }
    }
    facts.text(&plan.gradients.cuda_type(), || "gradients".to_owned(), "what is done with gradients")?;
    facts.number(plan.editable.values().count() as u64, || "knobs.len".to_owned(), "the number of knobs")?;
    for (i, (name, value)) in plan.editable.values().enumerate() {
        facts.text(name, || format!("knobs[{i}].name"), "the next knob in alphabetical order")?;
        let kind = if matches!(value, Knob::Real(_)) { "knob" } else { "knob_steps" };
        facts.text(kind, || format!("knobs[{i}].kind"), "the kind of the knob")?;
    }
    Ok(())
}

impl Plan {
    /// Whether all is f32: then a block says nothing of how it is stored.
    pub(super) fn is_plain(&self) -> bool {
        self.forms.iter().all(Forms::is_plain)
    }
}

/// What a block that says nothing of forms has: f32 in everything.
pub(super) struct Plain;

impl Facts for Plain {
    fn number(&mut self, _: u64, _: impl Fn() -> String, _: &str) -> Result<()> {
        Ok(())
    }

    fn text(&mut self, ours: &str, path: impl Fn() -> String, what: &str) -> Result<()> {
        let theirs = Form::F32.to_string();
        match theirs == ours {
            true => Ok(()),
            false => Err(differs(path(), format!("{theirs:?}"), format!("{ours:?}"), what)),
        }
    }

    fn rows<T: Pod + std::fmt::Debug>(&mut self, _: &[T], _: impl Fn() -> String, _: &str) -> Result<()> {
        Ok(())
    }
}

/// How the streams of all tensors are stored. Then, where the forms say that there are some, what random bits come from.
pub(super) fn describe_forms(plan: &Plan, facts: &mut impl Facts) -> Result<()> {
    let tensors =
        (0..plan.groups.len()).flat_map(|g| plan.tensors_of(g).enumerate().map(move |(i, tensor)| (g, i, tensor)));
    let path = |(g, i, _): (usize, usize, usize), field: &str| format!("groups[{g}].tensors[{i}].{field}");
    for of in tensors.clone() {
        let row = &plan.tensors[of.2];
        let rule = &plan.variants[row.variant as usize];
        // A gradient is no state: it may come in another type.
        let states = rule.streams().iter().map(|stream| &*stream.name).zip(&plan.storages(row)[2..]);
        for (name, storage) in std::iter::once(("param", &plan.storages(row)[0])).chain(states) {
            facts.text(&storage.form.to_string(), || path(of, name), "how it is stored")?;
        }
        if matches!(plan.storages(row)[0].form, Form::Master(_)) {
            let owner = if row.master_given { "the engine's" } else { "the optimizer's" };
            facts.text(owner, || path(of, "master"), "whose it is")?;
        }
    }
    if plan.forms.iter().any(Forms::is_stochastic) {
        facts.number(plan.seed, || "seed".to_owned(), "what stochastic rounding begins with")?;
    }
    for of in tensors.filter(|of| plan.forms[plan.tensors[of.2].form as usize].is_stochastic()) {
        let number = u64::from(plan.tensors[of.2].number);
        facts.number(number, || path(of, "number"), "what its random bits come from")?;
    }
    Ok(())
}

/// For each scalar, what its schedule is made of, without constants, and whose it is. The text that is compiled is the
/// best witness of a structure; a part of its digest is short.
fn schedules(plan: &Plan) -> Vec<String> {
    let digest = |formula: &Formula| {
        let digest = Sha256::digest(formula.emit(0));
        digest[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let digests: Vec<String> = plan.programs.iter().map(digest).collect();
    let mut schedules = Vec::with_capacity(plan.scalars.len());
    for bundle in &plan.bundles {
        let scalars = bundle.first..bundle.first + bundle.count;
        schedules.extend(scalars.map(|scalar| {
            // Two hyperparameters share a scalar if their schedules are one.
            let owner = plan.owner_of(plan.scalars[scalar as usize].constants).map(|(owner, _)| owner);
            format!("schedule {} of {}", digests[bundle.program as usize], owner.unwrap_or_default())
        }));
    }
    schedules
}
