//! An edit: new values of knobs become writes to the table of constants, or an error if any of them breaks a rule.
//!
//! Every schedule in which a knob of the edit occurs is lowered anew, under the rules that held when the optimizer was built;
//! structures cannot change, so the difference is constants. What only the device knows, because a boundary was set to its
//! clock, belongs to the device until that knob is set again. Start at [`Editable::prepare`].

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bytemuck::Zeroable;

use super::layout::{EditRow, MAX_WRITES, Step, Write};
use super::{Plan, now};
use crate::error::{Error, Result, quoted};
use crate::gradient;
use crate::program::{Bounds, Count, Knob, Knobs, Program, Real};
use crate::rule::Hyperparameter;

/// What is asked for, unchecked.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub values: Vec<(String, Knob)>,
    /// Knobs that become the clock of the device.
    pub now: Vec<String>,
    pub increment: Option<u64>,
    /// Calls per update.
    pub accumulate: Option<u32>,
    /// The number of updates that raises the stop flag.
    pub stop_at: Option<u64>,
    pub lower_flags: bool,
}

/// The knobs, and the schedules in which they occur.
#[derive(Debug, Clone)]
pub(crate) struct Editable {
    knobs: Knobs,
    sources: Vec<Source>,
    /// Places that the device wrote for itself, with the knob whose `now` it was.
    owned: BTreeMap<u32, String>,
}

/// A hyperparameter with knobs, as it was lowered last.
#[derive(Debug, Clone)]
pub(super) struct Source {
    group: usize,
    hyperparameter: Hyperparameter,
    pub program: Program,
    pub scalar: u32,
    /// Where its constants begin.
    pub first: u32,
}

/// Writes in their order; those of one unit go with one launch.
pub(crate) type Units = Vec<Vec<Write>>;

/// The arguments of the launches that so many writes take, which evaluate the step in force anew: at least one. `step` is that of the
/// optimizer.
pub(crate) fn launches(units: &Units, step: Step) -> Vec<EditRow> {
    let empty = || EditRow { step, ..EditRow::zeroed() };
    let mut launches = vec![empty()];
    for unit in units {
        if launches.last().is_none_or(|last| last.count as usize + unit.len() > MAX_WRITES) {
            launches.push(empty());
        }
        let row = launches.last_mut().expect("just pushed");
        row.writes[row.count as usize..][..unit.len()].copy_from_slice(unit);
        row.count += unit.len() as u32;
    }
    if let Some(last) = launches.last_mut() {
        last.flags = EditRow::EVALUATE;
    }
    launches
}

/// A checked edit.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// What is to be written, in this order; a unit is not split between launches.
    units: Units,
    increment: Option<u64>,
    accumulate: Option<u32>,
    stop_at: Option<u64>,
    lower_flags: bool,
    /// What is known once it is written.
    after: Editable,
}

impl Source {
    /// Lowers the schedule anew; the errors are those of a build.
    pub fn lower(&self, knobs: &mut Knobs) -> Result<Program> {
        let path = |e: Error| e.within(&format!("groups[{}].", self.group));
        let program = self.hyperparameter.lower(knobs).map_err(path)?;
        match program.root == self.program.root {
            true => Ok(program),
            false => Err(path(Error::argument("schedule", "of another structure", "an edit changes constants alone"))),
        }
    }

    /// Whether the constant at `place` of the table is one of its own that may have any value.
    fn may_resolve(&self, place: u32) -> bool {
        let Some(own) = place.checked_sub(self.first) else { return false };
        (own as usize) < self.program.constants.len() && !self.program.root.divides_by(Count(own))
    }
}

impl Plan {
    /// Checks all of an edit and says what it takes. Nothing is changed by that.
    pub fn prepare(&self, request: &Request) -> Result<Prepared> {
        if let Some(calls) = request.accumulate {
            gradient::check_calls(calls)?;
            if !self.gradients.accumulate {
                let rule = "the optimizer was built without: call accumulate(..) on its builder, with 1 call or more";
                return Err(Error::argument("accumulate.calls", calls, rule));
            }
        }
        if request.stop_at == Some(0) {
            return Err(Error::argument("stop_at", 0, "must be at least 1"));
        }
        self.editable.prepare(request)
    }

    /// The knobs have other values from now on.
    pub fn take(&mut self, editable: Editable) {
        for (group, Bounds { min, max }) in editable.rates() {
            (self.rates[group].min, self.rates[group].max) = (min, max);
        }
        self.editable = editable;
    }

    /// The edit was enqueued.
    pub fn edited(&mut self, prepared: Prepared) {
        self.take(prepared.after);
        self.settings.accumulate = prepared.accumulate.unwrap_or(self.settings.accumulate);
        self.settings.stop_at = prepared.stop_at.unwrap_or(self.settings.stop_at);
    }
}

impl Editable {
    pub fn new(knobs: Knobs) -> Editable {
        Editable { knobs, sources: Vec::new(), owned: BTreeMap::new() }
    }

    /// Adds a hyperparameter of `group`, whose `scalar` has its constants from `first` on.
    pub fn add(&mut self, group: usize, hyperparameter: Hyperparameter, program: Program, scalar: u32, first: u32) {
        self.sources.push(Source { group, hyperparameter, program, scalar, first });
    }

    /// The knobs as they are, for schedules that come later; and as those leave them.
    pub fn all_knobs(&self) -> &Knobs {
        &self.knobs
    }

    pub fn set_knobs(&mut self, knobs: Knobs) {
        self.knobs = knobs;
    }

    /// Names and values of all knobs; None for one that the device resolved.
    pub fn knobs(&self) -> impl Iterator<Item = (&str, Option<Knob>)> {
        let resolved: HashSet<&str> = self.owned.values().map(String::as_str).collect();
        self.knobs.iter().map(move |(name, value)| (name, (!resolved.contains(name)).then_some(value)))
    }

    /// Names and values of all knobs, in alphabetical order, as the host set them last.
    pub fn values(&self) -> impl Iterator<Item = (&str, Knob)> {
        self.knobs.iter()
    }

    /// Places that the device wrote for itself, with the knob whose `now` it was.
    pub fn owned(&self) -> &BTreeMap<u32, String> {
        &self.owned
    }

    /// Places and bits of the constants of schedules with knobs, as they follow from the knobs' values.
    pub fn constants(&self) -> impl Iterator<Item = (u32, u64)> {
        self.sources.iter().flat_map(|source| (source.first..).zip(source.program.constants.iter().copied()))
    }

    /// Groups whose rates have knobs, with the bounds of those.
    fn rates(&self) -> impl Iterator<Item = (usize, Bounds)> {
        let rates = self.sources.iter().filter(|source| source.hyperparameter.name() == "lr");
        rates.map(|source| (source.group, source.program.bounds))
    }

    /// Names and values of all knobs, as schedules give them.
    pub fn defaults(&self) -> impl Iterator<Item = (&str, Knob)> {
        self.knobs.defaults()
    }

    /// The constants of a schedule with knobs, as they follow from the knobs' values.
    pub fn constants_of(&self, group: usize, name: &str) -> Option<&[u64]> {
        let mut sources = self.sources.iter();
        let source = sources.find(|source| source.group == group && source.hyperparameter.name() == name)?;
        Some(&source.program.constants)
    }

    /// What a run knew that had these `values`, and of other knobs those of the schedules, with nothing resolved by the device.
    pub fn resumed(&self, values: &[(String, Knob)]) -> Result<Editable> {
        let mut resumed = Editable { owned: BTreeMap::new(), ..self.clone() };
        let defaults: Vec<(String, Knob)> = self.defaults().map(|(name, value)| (name.to_owned(), value)).collect();
        for (name, value) in defaults.iter().chain(values) {
            resumed.knobs.set(name, *value)?;
        }
        for source in &mut resumed.sources {
            source.program = source.lower(&mut resumed.knobs)?;
        }
        Ok(resumed)
    }

    /// The same with these places resolved by the device, each by the `now` of a knob.
    pub fn owning(self, owned: BTreeMap<u32, String>) -> Result<Editable> {
        let resumed = Editable { owned, ..self };
        let resolves = |place: u32, name: &String| {
            let counts = matches!(resumed.knobs.get(name), Ok(Knob::Count(_)));
            let mut sources = resumed.sources.iter().filter(|source| source.program.knobs.contains(name));
            counts && sources.any(|source| source.may_resolve(place))
        };
        match resumed.owned.iter().find(|(place, name)| !resolves(**place, name)) {
            None => Ok(resumed),
            Some((place, name)) => {
                let own =
                    |source: &&Source| (source.first..).zip(&source.program.constants).any(|(own, _)| own == *place);
                let of = match resumed.sources.iter().find(own) {
                    Some(source) => format!("groups[{}].{}", source.group, source.hyperparameter.name()),
                    None => "any schedule here".to_owned(),
                };
                let rule = format!("must be what has resolved a length of {of}, and it cannot");
                Err(Error::argument("state.knobs", format!("now({})", quoted(name)), rule))
            }
        }
    }

    fn prepare(&self, request: &Request) -> Result<Prepared> {
        request.expect_distinct()?;
        let mut after = self.clone();
        for (name, value) in &request.values {
            after.knobs.set(name, *value)?;
        }
        let mut units: Vec<Vec<Write>> = after.lower(request)?.into_iter().map(|write| vec![write]).collect();
        for name in &request.now {
            let resolved = now::resolve(name, &after.knobs, &after.sources)?;
            for (place, device) in resolved.iter().flatten().filter_map(|write| Some((write.place, owner(write)?))) {
                match device {
                    Owner::New => drop(after.owned.insert(place, name.clone())),
                    Owner::UnlessOwned => drop(after.owned.entry(place).or_insert_with(|| name.clone())),
                }
            }
            units.extend(resolved);
        }
        let Request { increment, accumulate, stop_at, lower_flags, .. } = *request;
        Ok(Prepared { units, increment, accumulate, stop_at, lower_flags, after })
    }

    /// Lowers anew where a value of `request` occurs, and returns what differs.
    fn lower(&mut self, request: &Request) -> Result<Vec<Write>> {
        let set: BTreeSet<&str> = request.values.iter().map(|(name, _)| name.as_str()).collect();
        let released: BTreeSet<u32> =
            self.owned.iter().filter(|(_, name)| set.contains(name.as_str())).map(|(place, _)| *place).collect();
        self.owned.retain(|place, _| !released.contains(place));

        let mut writes = BTreeMap::new();
        for source in &mut self.sources {
            if !source.program.knobs.iter().any(|name| set.contains(name.as_str())) {
                continue;
            }
            let lowered = source.lower(&mut self.knobs).map_err(|e| e.within(&request.to_string()))?;
            for (i, (bits, before)) in lowered.constants.iter().zip(&source.program.constants).enumerate() {
                let place = source.first + i as u32;
                match self.owned.get(&place) {
                    // The piece goes on from the value that it did start from.
                    Some(_) if lowered.reached.contains(&Real(i as u32)) => {}
                    Some(owner) if bits != before => {
                        let rule = format!(
                            "the device resolved it when knob {} was set to now; set that knob too",
                            quoted(owner)
                        );
                        let (group, name) = (source.group, source.hyperparameter.name());
                        let argument = format!("{request}groups[{group}].{name}, a length");
                        return Err(Error::argument(argument, format!("{bits} steps"), rule));
                    }
                    None if bits != before || released.contains(&place) => drop(writes.insert(place, *bits)),
                    _ => {}
                }
            }
            source.program = lowered;
        }
        Ok(writes.into_iter().map(|(place, bits)| Write { bits, place, kind: Write::SET }).collect())
    }
}

/// Whether a write hands its place to the device.
enum Owner {
    New,
    UnlessOwned,
}

fn owner(write: &Write) -> Option<Owner> {
    match write.kind {
        Write::LENGTH | Write::REACHED => Some(Owner::New),
        Write::CUT => Some(Owner::UnlessOwned),
        _ => None,
    }
}

impl Request {
    fn expect_distinct(&self) -> Result<()> {
        let mut seen = HashSet::new();
        match self.values.iter().map(|(name, _)| name).chain(&self.now).find(|name| !seen.insert(*name)) {
            None => Ok(()),
            Some(name) => {
                Err(Error::argument(format!("knob {}", quoted(name)), "given twice", "an edit sets a knob once"))
            }
        }
    }
}

/// The values as the head of an error's path, e.g. `edit(peak_lr: -1).`.
impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let values: Vec<String> = self.values.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        write!(f, "edit({}).", values.join(", "))
    }
}

impl Prepared {
    /// The arguments of the launches that the edit takes, in their order; none if it changes nothing. `step` is that of the
    /// optimizer.
    pub fn launches(&self, step: Step) -> Vec<EditRow> {
        let settings = self.increment.is_some() || self.accumulate.is_some() || self.stop_at.is_some();
        if !settings && !self.lower_flags && self.units.is_empty() {
            return Vec::new();
        }
        let mut launches = launches(&self.units, step);
        if let Some(last) = launches.last_mut() {
            if let Some(increment) = self.increment {
                (last.increment, last.flags) = (increment, last.flags | EditRow::INCREMENT);
            }
            if let Some(accumulate) = self.accumulate {
                (last.accumulate, last.flags) = (accumulate, last.flags | EditRow::ACCUMULATE);
            }
            if let Some(stop_at) = self.stop_at {
                (last.stop_at, last.flags) = (stop_at, last.flags | EditRow::STOP_AT);
            }
            if self.lower_flags {
                last.flags |= EditRow::LOWER_FLAGS;
            }
        }
        launches
    }
}
