//! What a state block holds besides the states themselves, as data: made from a plan and its tables, written, and read back whatever
//! the bytes are. `state` has the layout as a table; here it is, field by field. Start at [`Kept::of`] and [`Kept::read`].

mod tensor;

use std::collections::HashSet;

use bytemuck::Pod;
use sha2::{Digest, Sha256};

use super::block::{Reader, Tag, Writer};
use super::layout::{Control, MetricRow, MetricStateRow};
use super::state::Tables;
use super::stated::Words;
use super::{Plan, metrics};
use crate::error::{Error, Result, quoted};
use crate::gradient::Gradients;
use crate::program::Knob;
use crate::rule::Of;
use crate::settings::Settings;
pub(super) use tensor::KeptTensor;

const CONTROL: Tag = *b"ctrl";
const SETTINGS: Tag = *b"sett";
const OPTIONS: Tag = *b"opts";
const KNOBS: Tag = *b"knob";
const METRICS: Tag = *b"metr";
const GROUPS: Tag = *b"grou";
const TENSORS: Tag = *b"tens";

/// All of it.
#[derive(Debug)]
pub(super) struct Kept {
    pub control: Control,
    pub settings: Settings,
    pub gradients: Gradients,
    pub seed: u64,
    pub knobs: Vec<(String, Knob)>,
    pub metrics: Vec<KeptMetric>,
    pub groups: Vec<KeptGroup>,
    pub tensors: Vec<KeptTensor>,
}

/// A metric rule with its state.
#[derive(Debug)]
pub(super) struct KeptMetric {
    /// Its window is the one that is here.
    pub row: MetricRow,
    pub state: MetricStateRow,
    pub window: Vec<f64>,
}

/// A parameter group.
#[derive(Debug)]
pub(super) struct KeptGroup {
    pub rule: String,
    /// The place of its metric rule, counted from 1; 0 if it has none.
    pub metric: usize,
    pub schedules: Vec<KeptSchedule>,
    /// What the rule remembers of the group.
    pub memory: Vec<f64>,
}

/// The schedule of a hyperparameter.
#[derive(Debug)]
pub(super) struct KeptSchedule {
    pub name: String,
    pub words: Words,
    /// A number that nothing changes.
    pub plain: bool,
    /// A digest of the text that it compiles to, the best witness of a structure.
    pub structure: u64,
    /// Their places among all knobs, in rising order.
    pub knobs: Vec<u64>,
    pub constants: Vec<u64>,
    /// Constants that the device resolved, each with the knob whose `now` it was.
    pub owned: Vec<(usize, usize)>,
}

impl Kept {
    /// What `plan` and `tables` have.
    pub fn of(plan: &Plan, tables: &Tables) -> Kept {
        let names: Vec<&str> = plan.editable.values().map(|(name, _)| name).collect();
        let metric = |(metric, row): (usize, MetricRow)| {
            let window = &tables.windows[row.window_at as usize..][..row.window as usize];
            let row = MetricRow { window_at: 0, ..row };
            KeptMetric { row, state: tables.metric_states[metric], window: window.to_vec() }
        };
        Kept {
            control: tables.control,
            // An address is no state.
            settings: Settings { metric: 0, loss: 0, ..tables.settings },
            gradients: plan.gradients,
            seed: plan.seed,
            knobs: plan.editable.values().map(|(name, value)| (name.to_owned(), value)).collect(),
            metrics: metrics::rows(&plan.metrics).into_iter().enumerate().map(metric).collect(),
            groups: groups(plan, tables, &names),
            tensors: tensor::of(plan, tables),
        }
    }

    /// Writes all sections but that of the states.
    pub fn write(&self, block: &mut Writer) -> Result<()> {
        let mut section = |tag: Tag, write: &dyn Fn(&mut Writer)| {
            block.section(tag, |to| {
                write(to);
                Ok(())
            })
        };
        section(CONTROL, &|to| to.rows(&[self.control]))?;
        section(SETTINGS, &|to| to.rows(&[self.settings]))?;
        section(OPTIONS, &|to| {
            self.gradients.numbers().into_iter().for_each(|number| to.number(number));
            to.number(self.seed);
        })?;
        section(KNOBS, &|to| to.list(&self.knobs, write_knob))?;
        section(METRICS, &|to| to.list(&self.metrics, KeptMetric::write))?;
        section(GROUPS, &|to| to.list(&self.groups, KeptGroup::write))?;
        section(TENSORS, &|to| to.list(&self.tensors, KeptTensor::write))
    }

    /// Reads what [`Kept::write`] wrote. Every place that it names is there, and names of tensors and knobs differ.
    pub fn read(block: &mut Reader<'_>) -> Result<Kept> {
        let control: Control = one_row(block, CONTROL, "control")?;
        let settings: Settings = one_row(block, SETTINGS, "settings")?;
        let mut options = block.section(OPTIONS, "options")?;
        let mut numbers = [0; Gradients::NUMBERS];
        for number in &mut numbers {
            *number = options.number()?;
        }
        let Some(gradients) = Gradients::of_numbers(numbers) else {
            return Err(options.malformed("such options of gradients are not there"));
        };
        let seed = options.number()?;
        options.end()?;
        let knobs = list(block, KNOBS, "knobs", read_knob)?;
        let metrics = list(block, METRICS, "metrics", KeptMetric::read)?;
        let groups = list(block, GROUPS, "groups", |from| KeptGroup::read(from, metrics.len(), knobs.len()))?;
        let tensors = list(block, TENSORS, "tensors", |from| KeptTensor::read(from, groups.len()))?;
        expect_distinct("state.knobs", knobs.iter().map(|(name, _)| name))?;
        expect_distinct("state.tensors", tensors.iter().map(|tensor| &tensor.name))?;
        Ok(Kept { control, settings, gradients, seed, knobs, metrics, groups, tensors })
    }
}

/// For each scalar a digest of what its schedule is made of, without constants.
pub(super) fn structures(plan: &Plan) -> Vec<u64> {
    let digest = |formula: &super::Formula| {
        let digest = Sha256::digest(formula.emit(0));
        bytemuck::pod_read_unaligned::<u64>(&digest[..8])
    };
    let digests: Vec<u64> = plan.programs.iter().map(digest).collect();
    let of_bundles = plan.bundles.iter().flat_map(|bundle| (0..bundle.count).map(|_| digests[bundle.program as usize]));
    of_bundles.collect()
}

fn groups(plan: &Plan, tables: &Tables, names: &[&str]) -> Vec<KeptGroup> {
    let structures = structures(plan);
    let place = |knob: &str| names.partition_point(|known| *known < knob);
    let places = plan.durable_places();
    let of = |(index, group): (usize, &super::Group)| {
        let rule = &plan.variants[group.variant as usize];
        let stated = plan.stated[index].schedules.iter().zip(rule.hyperparameters()).zip(&group.scalars);
        let schedules = stated.map(|((stated, name), scalar)| {
            let first = plan.scalars[*scalar as usize].constants;
            let own = first..first + stated.constants as u32;
            let owned = plan.editable.owned().range(own);
            KeptSchedule {
                name: name.to_owned(),
                words: Words(stated.words.0.clone()),
                plain: stated.plain,
                structure: structures[*scalar as usize],
                knobs: stated.knobs.iter().map(|knob| place(knob) as u64).collect(),
                constants: tables.constants[first as usize..][..stated.constants].to_vec(),
                owned: owned.map(|(at, knob)| ((at - first) as usize, place(knob))).collect(),
            }
        });
        let schedules = schedules.collect();
        let memory = tables.remembered.get(places.of_group(plan.first_cohort(index))..).unwrap_or_default();
        let memory = memory[..rule.remembered(Of::Group).count()].to_vec();
        KeptGroup { rule: rule.identity.clone(), metric: group.metric as usize, schedules, memory }
    };
    plan.groups.iter().enumerate().map(of).collect()
}

fn write_knob((name, value): &(String, Knob), to: &mut Writer) {
    to.text(name);
    let (kind, bits) = match value {
        Knob::Real(value) => (0, value.to_bits()),
        Knob::Count(steps) => (1, *steps),
    };
    to.number(kind);
    to.number(bits);
}

fn read_knob(from: &mut Reader<'_>) -> Result<(String, Knob)> {
    let (name, kind, bits) = (from.text()?.to_owned(), from.number()?, from.number()?);
    match kind {
        0 => Ok((name, Knob::Real(f64::from_bits(bits)))),
        1 => Ok((name, Knob::Count(bits))),
        _ => Err(from.malformed(&format!("{kind} is no kind of knob"))),
    }
}

impl KeptMetric {
    fn write(&self, to: &mut Writer) {
        to.rows(&[self.row]);
        to.rows(&[self.state]);
        to.rows(&self.window);
    }

    fn read(from: &mut Reader<'_>) -> Result<KeptMetric> {
        let metric = KeptMetric { row: from.row()?, state: from.row()?, window: from.rows()? };
        match metric.window.len() as u64 == u64::from(metric.row.window) && metric.row.window_at == 0 {
            true => Ok(metric),
            false => Err(from.malformed("a window is not as long as its rule has it")),
        }
    }
}

impl KeptGroup {
    fn write(&self, to: &mut Writer) {
        to.text(&self.rule);
        to.number(self.metric as u64);
        to.list(&self.schedules, KeptSchedule::write);
        to.rows(&self.memory);
    }

    fn read(from: &mut Reader<'_>, metrics: usize, knobs: usize) -> Result<KeptGroup> {
        let (rule, metric) = (from.text()?.to_owned(), from.place()?);
        let schedules = from.list(|from| KeptSchedule::read(from, knobs))?;
        match metric <= metrics {
            true => Ok(KeptGroup { rule, metric, schedules, memory: from.rows()? }),
            false => Err(from.malformed(&format!("there is no metric rule {metric}"))),
        }
    }
}

impl KeptSchedule {
    fn write(&self, to: &mut Writer) {
        to.text(&self.name);
        to.text(&self.words.0);
        to.number(self.plain.into());
        to.number(self.structure);
        to.rows(&self.knobs);
        to.rows(&self.constants);
        to.list(&self.owned, |(constant, knob), to| {
            to.number(*constant as u64);
            to.number(*knob as u64);
        });
    }

    fn read(from: &mut Reader<'_>, knobs: usize) -> Result<KeptSchedule> {
        let schedule = KeptSchedule {
            name: from.text()?.to_owned(),
            words: Words(from.text()?.to_owned()),
            plain: from.number()? != 0,
            structure: from.number()?,
            knobs: from.rows()?,
            constants: from.rows()?,
            owned: from.list(|from| Ok((from.place()?, from.place()?)))?,
        };
        let there = |(constant, knob): &(usize, usize)| *constant < schedule.constants.len() && *knob < knobs;
        match schedule.owned.iter().all(there) && schedule.knobs.iter().all(|knob| *knob < knobs as u64) {
            true => Ok(schedule),
            false => Err(from.malformed("there is no such constant or knob")),
        }
    }
}

/// The section `tag`, which is one row.
fn one_row<T: Pod>(block: &mut Reader<'_>, tag: Tag, name: &'static str) -> Result<T> {
    let mut section = block.section(tag, name)?;
    let row = section.row()?;
    section.end()?;
    Ok(row)
}

/// The section `tag`, which is one list.
fn list<'a, T>(
    block: &mut Reader<'a>,
    tag: Tag,
    name: &'static str,
    read: impl FnMut(&mut Reader<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let mut section = block.section(tag, name)?;
    let all = section.list(read)?;
    section.end()?;
    Ok(all)
}

fn expect_distinct<'a>(path: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut seen = HashSet::new();
    match names.into_iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => {
            Err(Error::argument(path, format!("{}, twice", quoted(name)), "each must have a name of its own"))
        }
    }
}
