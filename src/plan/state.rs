//! The state of an optimizer as one block of bytes: everything that an update changes and that does not follow from the
//! step. [`encode`] makes it from what a backend read back, [`decode`] checks it against a plan; neither knows a device.
//!
//! **Layout.** All numbers are little-endian, nothing is aligned. A text is its length in bytes (u64) and UTF-8; rows are
//! the size of one (u64), their number (u64) and their bytes as they lie in memory (`layout`).
//!
//! | part | what it holds |
//! |---|---|
//! | head | `instep\0\0`, version (u32) |
//! | sections | each a tag of four letters, its length in bytes (u64), its content |
//! | checksum | SHA-256 of all bytes before |
//!
//! | section | content, in this order |
//! |---|---|
//! | `fits` | what must be as in the optimizer that loads it: `fit` says what, fact by fact |
//! | `form` | how the parameter and the states of each tensor are stored, and what random bits come from; no such section where all is f32 |
//! | `knob` | the bits of each knob's value (u64); how many constants the device resolved for itself (u64), and for each its place in `cons` (u64) and the place of the knob whose `now` it was (u64) |
//! | `sett` | one row of settings, as they are in force, without its addresses |
//! | `cons` | rows of u64: the table of constants, as it is in force |
//! | `ctrl` | one row of control, whole |
//! | `metr` | rows of the metric rules' states, of the half in force |
//! | `wind` | rows of f64: the windows of the metric rules, of the half in force |
//! | `memo` | rows of f64: what rules remember, of each cohort as the update before left it, then of each group (for each of its cohorts), then of each tensor; no such section where no rule remembers |
//! | `stat` | for each tensor, for each of its states, as many values as the tensor has, as they are stored, without gaps: f32, 16 bits, or codes and then the f32 scales of their blocks; for a rule that shows other parameters for evaluation, what is put aside meanwhile, zeros where nothing is; then its master (f32) or its remainder (16 bits), if it is the optimizer's |
//!
//! Values and records of schedules follow from the step, and are computed anew. Addresses and the gaps before them are in
//! no section, so a block does not depend on where tensors lie. Parameters and gradients belong to the engine.
//!
//! **Which constants.** Those that no `now` resolved follow from the schedules and the knobs' values. They are compared with
//! the loading optimizer's own, so that a schedule that was changed between two runs is found rather than mixed with the
//! former one.

use std::collections::BTreeMap;
use std::ops::Range;

use bytemuck::Pod;

use super::block::{Reader, Tag, Writer};
use super::layout::{Control, MetricStateRow};
use super::{Editable, Plan, fit, metrics};
use crate::error::{Error, Result};
use crate::program::Knob;
use crate::settings::Settings;

const FITS: Tag = *b"fits";
const FORMS: Tag = *b"form";
const KNOBS: Tag = *b"knob";
const SETTINGS: Tag = *b"sett";
const CONSTANTS: Tag = *b"cons";
const CONTROL: Tag = *b"ctrl";
const METRIC_STATES: Tag = *b"metr";
const WINDOWS: Tag = *b"wind";
const REMEMBERED: Tag = *b"memo";
const STATES: Tag = *b"stat";

/// The tables that change: of those with two halves, the one in force.
#[derive(Debug)]
pub(crate) struct Tables {
    pub control: Control,
    pub settings: Settings,
    pub constants: Vec<u64>,
    pub metric_states: Vec<MetricStateRow>,
    pub windows: Vec<f64>,
    /// What rules remember: see [`Remembered::durable`](super::Remembered::durable).
    pub remembered: Vec<f64>,
}

/// The half that update `t` reads.
pub(crate) fn half<T>(both: &[T], t: u64) -> &[T] {
    let len = both.len() / 2;
    &both[(t & 1) as usize * len..][..len]
}

/// A block that was checked against a plan.
#[derive(Debug)]
pub(crate) struct Loaded<'a> {
    pub tables: Tables,
    /// What the host knows of the knobs from now on.
    pub editable: Editable,
    states: &'a [u8],
}

impl Plan {
    /// Where the states of all tensors lie in the state memory, in bytes: of each tensor every state, with its scales after it, and
    /// then the master or the remainder.
    fn state_ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.ranges().map(|(range, _)| range)
    }

    /// The same, each with whether it is what is put aside while parameters for evaluation are shown.
    fn ranges(&self) -> impl Iterator<Item = (Range<usize>, bool)> {
        self.tensors.iter().flat_map(|row| {
            let states = 2 + self.variants[row.variant as usize].streams().len();
            let places = self.storages(row).iter().zip(&row.streams).enumerate();
            let pieces = places.flat_map(|(place, (storage, lies))| {
                let [first, second] = storage.form.sizes(row.len);
                let given = place == 0 && row.master_given;
                [(place >= 2, lies.first, first), (storage.form.has_second() && !given, lies.second, second)]
                    .map(|(own, address, len)| (own, address, len, place >= states))
            });
            let range = |(_, address, len, aside): (bool, u64, u64, bool)| {
                let begin = (address - self.state_base) as usize;
                (begin..begin + len as usize, aside)
            };
            let own: Vec<(Range<usize>, bool)> = pieces.filter(|(own, ..)| *own).map(range).collect();
            let beside_param = usize::from(self.storages(row)[0].form.has_second() && !row.master_given);
            let (of_param, of_states) = own.split_at(beside_param);
            [of_states, of_param].concat()
        })
    }
}

/// The block. `memory`: the state memory of `plan`, from its first byte on.
pub(crate) fn encode(plan: &Plan, tables: &Tables, memory: &[u8]) -> Result<Vec<u8>> {
    expect_little_endian()?;
    // Names and digests take the most beside the state: 100 bytes a tensor, and a thousand a group.
    let rest = size_of_val(&*tables.constants) + size_of_val(&*tables.windows) + size_of_val(&*tables.metric_states);
    let a_tensor = if plan.is_plain() { 100 } else { 100 + 64 * (2 + plan.widths().addresses) };
    let mut block = Writer::new(memory.len() + rest + a_tensor * plan.tensors.len() + 1_000 * (plan.groups.len() + 1));
    block.section(FITS, |facts| fit::describe(plan, facts))?;
    if !plan.is_plain() {
        block.section(FORMS, |facts| fit::describe_forms(plan, facts))?;
    }
    block.section(KNOBS, |knobs| {
        let names: Vec<&str> = plan.editable.values().map(|(name, _)| name).collect();
        for (_, value) in plan.editable.values() {
            knobs.number(match value {
                Knob::Real(value) => value.to_bits(),
                Knob::Count(steps) => steps,
            });
        }
        knobs.number(plan.editable.owned().len() as u64);
        for (place, name) in plan.editable.owned() {
            knobs.number(u64::from(*place));
            knobs.number(names.partition_point(|known| *known < name.as_str()) as u64);
        }
        Ok(())
    })?;
    let mut rows = |tag, write: &dyn Fn(&mut Writer)| {
        block.section(tag, |section| {
            write(section);
            Ok(())
        })
    };
    // An address is no state.
    rows(SETTINGS, &|section| section.rows(&[Settings { metric: 0, loss: 0, ..tables.settings }]))?;
    rows(CONSTANTS, &|section| section.rows(&tables.constants))?;
    rows(CONTROL, &|section| section.rows(&[tables.control]))?;
    rows(METRIC_STATES, &|section| section.rows(&tables.metric_states))?;
    rows(WINDOWS, &|section| section.rows(&tables.windows))?;
    if plan.remembers() {
        rows(REMEMBERED, &|section| section.rows(&tables.remembered))?;
    }
    // What was put aside once is no state of a run that shows nothing.
    let stale = |aside: bool| aside && tables.control.shown == 0;
    rows(STATES, &|section| {
        plan.ranges().for_each(|(range, aside)| match stale(aside) {
            true => section.bytes(&vec![0; range.len()]),
            false => section.bytes(&memory[range]),
        });
    })?;
    Ok(block.finish())
}

/// Checks all of `block`, and that it fits `plan`.
pub(crate) fn decode<'a>(plan: &Plan, block: &'a [u8]) -> Result<Loaded<'a>> {
    expect_little_endian()?;
    let mut block = Reader::open(block)?;
    let mut facts = block.section(FITS, "fits")?;
    fit::describe(plan, &mut facts)?;
    facts.end()?;
    match block.next_is(FORMS) {
        true => {
            let mut forms = block.section(FORMS, "forms")?;
            fit::describe_forms(plan, &mut forms)?;
            forms.end()?;
        }
        false => fit::describe_forms(plan, &mut fit::Plain)?,
    }
    let mut knobs = block.section(KNOBS, "knobs")?;
    let editable = read_knobs(plan, &mut knobs)?;
    knobs.end()?;

    let theirs: Settings = read_rows(&mut block, SETTINGS, "settings", 1)?[0];
    let settings = resumed_settings(plan, &theirs)?;
    let constants = read_rows(&mut block, CONSTANTS, "constants", plan.constants.len())?;
    expect_constants(plan, &editable, &constants)?;
    let mut control: Control = read_rows(&mut block, CONTROL, "control", 1)?[0];
    expect_countable(&control)?;
    let ends = |s: &Settings| (s.stop_at, s.stop_below.to_bits(), s.stop_on_plateau, s.stop_at_min_scale);
    if ends(&theirs) != ends(&settings) {
        // Another end is looked for now.
        control.stop = u32::from(settings.stop_at != 0 && control.t >= settings.stop_at);
    }
    let metric_states = read_rows(&mut block, METRIC_STATES, "metric_states", plan.metrics.len())?;
    let windows = read_rows(&mut block, WINDOWS, "windows", metrics::window_count(&plan.metrics))?;
    let remembered = match plan.remembers() {
        true => read_rows(&mut block, REMEMBERED, "remembered", plan.remembered().durable_len())?,
        false => Vec::new(),
    };
    let mut section = block.section(STATES, "states")?;
    let states = section.bytes(plan.state_ranges().map(|range| range.len()).sum())?;
    section.end()?;
    block.end()?;
    let tables = Tables { control, settings, constants, metric_states, windows, remembered };
    Ok(Loaded { tables, editable, states })
}

impl Loaded<'_> {
    /// Puts every tensor's state to its place in `memory`, the state memory of `plan`.
    pub fn place_states(&self, plan: &Plan, memory: &mut [u8]) {
        let mut rest = self.states;
        for range in plan.state_ranges() {
            let (state, others) = rest.split_at(range.len());
            memory[range].copy_from_slice(state);
            rest = others;
        }
    }
}

/// The rows of the next section, as many as there are in this optimizer.
fn read_rows<T: Pod>(block: &mut Reader<'_>, tag: Tag, name: &'static str, count: usize) -> Result<Vec<T>> {
    let mut section = block.section(tag, name)?;
    let rows: Vec<T> = section.rows()?;
    if rows.len() != count {
        let rule = format!("must be {count}, as in this optimizer");
        return Err(Error::argument(format!("state.{name}.len"), rows.len(), rule));
    }
    section.end()?;
    Ok(rows)
}

/// The settings in force from now on: how many calls make an update is `theirs`. All else that is about gradients must be
/// equal; when to stop and what the step observes is ours.
fn resumed_settings(plan: &Plan, theirs: &Settings) -> Result<Settings> {
    let ours = &plan.settings;
    let facts = [
        ("max_norm", theirs.max_norm, ours.max_norm),
        ("growth", theirs.growth, ours.growth),
        ("backoff", theirs.backoff, ours.backoff),
        ("min_scale", theirs.min_scale, ours.min_scale),
        ("max_scale", theirs.max_scale, ours.max_scale),
        ("limit", theirs.limit.into(), ours.limit.into()),
        ("growth_interval", theirs.growth_interval.into(), ours.growth_interval.into()),
        ("raise_after", theirs.raise_after.into(), ours.raise_after.into()),
        ("mean", theirs.mean.into(), ours.mean.into()),
        ("loss_scale", theirs.loss_scale.into(), ours.loss_scale.into()),
        ("hysteresis", theirs.hysteresis.into(), ours.hysteresis.into()),
        ("consecutive_hysteresis", theirs.consecutive_hysteresis.into(), ours.consecutive_hysteresis.into()),
    ];
    for (name, theirs, ours) in facts {
        if theirs.to_bits() != ours.to_bits() {
            let rule = format!("must be {ours}, what this optimizer was built with");
            return Err(Error::argument(format!("state.settings.{name}"), theirs, rule));
        }
    }
    if theirs.accumulate == 0 || (theirs.accumulate != ours.accumulate && !plan.gradients.accumulate) {
        let rule = "must be the calls that make an update";
        return Err(Error::argument("state.settings.accumulate", theirs.accumulate, rule));
    }
    Ok(Settings { accumulate: theirs.accumulate, ..*ours })
}

fn read_knobs(plan: &Plan, section: &mut Reader<'_>) -> Result<Editable> {
    let mut values = Vec::new();
    for (name, ours) in plan.editable.values() {
        let bits = section.number()?;
        let value = match ours {
            Knob::Real(_) => Knob::Real(f64::from_bits(bits)),
            Knob::Count(_) => Knob::Count(bits),
        };
        values.push((name.to_owned(), value));
    }
    let mut owned = BTreeMap::new();
    for _ in 0..section.number()? {
        let (place, knob) = (section.number()?, section.number()?);
        let known = usize::try_from(knob).ok().and_then(|knob| values.get(knob));
        let (Ok(place), Some((name, _))) = (u32::try_from(place), known) else {
            let value = format!("constant {place}, resolved for knob {knob}");
            return Err(Error::argument("state.knobs", value, "there is no such constant or knob"));
        };
        owned.insert(place, name.clone());
    }
    plan.editable.resumed(&values, owned).map_err(|e| e.within("state."))
}

/// Every constant that the device did not resolve is the one that our schedules have with the knobs' values.
fn expect_constants(plan: &Plan, editable: &Editable, theirs: &[u64]) -> Result<()> {
    let mut ours = plan.constants.clone();
    editable.constants().for_each(|(place, bits)| ours[place as usize] = bits);
    let differs = |place: &usize| ours[*place] != theirs[*place] && !editable.owned().contains_key(&(*place as u32));
    let Some(place) = (0..theirs.len()).find(differs) else { return Ok(()) };
    // An f64 or a count: counts are too small to look like an f64.
    let shown = |bits: u64| if bits >> 52 == 0 { bits.to_string() } else { format!("{:e}", f64::from_bits(bits)) };
    let (owner, own) = plan.owner_of(place as u32).unwrap_or_default();
    let rule = format!(
        "must be {}, as in this optimizer's schedule: load the state first, then edit knobs",
        shown(ours[place])
    );
    Err(Error::argument(format!("state.{owner}.constants[{own}]"), shown(theirs[place]), rule))
}

/// Counters that the next call can raise.
fn expect_countable(control: &Control) -> Result<()> {
    let calls = control.t.checked_add(control.skipped).and_then(|calls| calls.checked_add(1));
    if calls.is_none() || control.calls == u64::MAX || control.micro_step == u32::MAX {
        let counters = format!("{}, {} and {}", control.t, control.skipped, control.micro_step);
        return Err(Error::argument("state.control.t, .skipped and .micro_step", counters, "must be numbers of calls"));
    }
    Ok(())
}

/// Rows are written as they lie in memory.
fn expect_little_endian() -> Result<()> {
    match cfg!(target_endian = "little") {
        true => Ok(()),
        false => Err(Error::argument("state", "asked for", "a machine that is not little-endian has none")),
    }
}
