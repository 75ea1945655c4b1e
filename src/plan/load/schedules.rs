//! Hyperparameters: the schedules that they follow, the values of knobs, and what the device resolved of them.

use std::collections::{BTreeMap, HashMap};

use super::matched::Matched;
use super::options::Word;
use super::report::Findings;
use crate::error::{Result, quoted};
use crate::plan::kept::{Kept, KeptSchedule, structures};
use crate::plan::stated::{Stated, Words};
use crate::plan::{Editable, Plan};
use crate::program::Knob;

/// What the block has for one scalar of the plan, and the group that it is of: constants with places that the device resolved. If groups
/// that share the scalar do not agree, nothing.
type OfScalar<'a> = Option<(&'a KeptSchedule, usize)>;

/// What is known of the knobs from now on, and the table of constants.
pub(super) fn compare(
    plan: &Plan,
    kept: &Kept,
    matched: &Matched,
    findings: &mut Findings,
) -> Result<(Editable, Vec<u64>)> {
    let values = knobs(plan, kept, findings);
    let editable = match plan.editable.resumed(&values) {
        Ok(editable) => editable,
        Err(error) => {
            findings.refuse_error(error.within("state."));
            return Ok((plan.editable.clone(), Vec::new()));
        }
    };
    let mut constants = plan.constants.clone();
    editable.constants().for_each(|(place, bits)| constants[place as usize] = bits);

    let structures = structures(plan);
    let mut of_scalars: HashMap<u32, OfScalar<'_>> = HashMap::new();
    for (group, theirs) in matched.groups.iter().enumerate() {
        let rule = &plan.variants[plan.groups[group].variant as usize];
        for (place, name) in rule.hyperparameters().enumerate() {
            let scalar = plan.groups[group].scalars[place];
            let first = plan.scalars[scalar as usize].constants as usize;
            let stated = &plan.stated[group].schedules[place];
            let own = match editable.constants_of(group, name) {
                Some(own) => own,
                None => &constants[first..first + stated.constants],
            };
            for theirs in theirs {
                let Some(schedule) = kept.groups[*theirs].schedules.iter().find(|schedule| schedule.name == name)
                else {
                    findings.refuse(format!("groups[{group}].{name}"), "none", stated.words.line(), "");
                    continue;
                };
                let knobs = schedule.knobs.iter().map(|knob| &*kept.knobs[*knob as usize].0);
                let same = schedule.structure == structures[scalar as usize]
                    && knobs.eq(stated.knobs.iter().map(String::as_str))
                    && schedule.has(own);
                if !same {
                    differs(kept, schedule, (group, name), stated, findings);
                }
                let known = of_scalars.entry(scalar).or_insert_with(|| same.then_some((schedule, group)));
                if same && known.is_some_and(|(known, _)| known.agrees(schedule)) {
                    continue;
                }
                let both = known.take().into_iter().chain(same.then_some((schedule, group)));
                both.for_each(|(schedule, group)| forgets(kept, schedule, (group, name), findings));
            }
        }
    }
    let mut owned = BTreeMap::new();
    for (scalar, schedule) in of_scalars {
        let first = plan.scalars[scalar as usize].constants;
        let all =
            schedule.into_iter().flat_map(|(schedule, _)| schedule.owned.iter().map(move |owned| (schedule, owned)));
        for (schedule, (place, knob)) in all {
            constants[first as usize + place] = schedule.constants[*place];
            owned.insert(first + *place as u32, kept.knobs[*knob].0.clone());
        }
    }
    Ok((editable.owning(owned)?, constants))
}

impl KeptSchedule {
    /// Whether the device has resolved the same of both, which are one schedule.
    fn agrees(&self, other: &KeptSchedule) -> bool {
        (&self.constants, &self.owned) == (&other.constants, &other.owned)
    }

    /// Whether its constants are these, but for those that the device resolved.
    fn has(&self, constants: &[u64]) -> bool {
        let same = |place: usize| self.constants[place] == constants[place];
        let owned = |place: usize| self.owned.iter().any(|(owned, _)| *owned == place);
        self.constants.len() == constants.len() && (0..constants.len()).all(|place| same(place) || owned(place))
    }
}

/// Another schedule, or another number.
fn differs(
    kept: &Kept,
    schedule: &KeptSchedule,
    (group, name): (usize, &str),
    stated: &Stated,
    findings: &mut Findings,
) {
    let word = if schedule.plain && stated.plain { Word::Constants } else { Word::Schedules };
    let [stored, here] = match [&schedule.words, &stated.words].map(Words::line) {
        [stored, here] if stored == here => apart(&schedule.words, &stated.words),
        lines => lines.map(str::to_owned),
    };
    let note = match &schedule.owned[..] {
        [] => String::new(),
        [(_, knob), ..] => format!("what now({}) resolved is forgotten", quoted(&kept.knobs[*knob].0)),
    };
    findings.differs_with(word, format!("groups[{group}].{name}"), stored, here, note);
}

/// Two schedules that are the same on a line of words: each with those of its arguments that differ.
fn apart(stored: &Words, here: &Words) -> [String; 2] {
    const SHOWN: usize = 4;
    let same = "the same in words, but with other numbers in it";
    if !stored.arguments().map(|(place, _)| place).eq(here.arguments().map(|(place, _)| place)) {
        return [stored.line(), same].map(str::to_owned);
    }
    let differ: Vec<_> = stored.arguments().zip(here.arguments()).filter(|(a, b)| a != b).collect();
    let told = |shown: Vec<String>| match differ.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    };
    let of = |(place, value): (&str, &str)| format!("{place} = {value}");
    match differ.is_empty() {
        true => [stored.line(), same].map(str::to_owned),
        false => [
            format!("{}, with {}", stored.line(), told(differ.iter().take(SHOWN).map(|(a, _)| of(*a)).collect())),
            format!("with {}", told(differ.iter().take(SHOWN).map(|(_, b)| of(*b)).collect())),
        ],
    }
}

/// Groups with one schedule do not agree on what the device resolved of it.
fn forgets(kept: &Kept, schedule: &KeptSchedule, (group, name): (usize, &str), findings: &mut Findings) {
    if let Some((_, knob)) = schedule.owned.first() {
        let knob = quoted(&kept.knobs[*knob].0);
        let stored = format!("now({knob}), not in all of the groups that share the schedule here");
        findings.differs(Word::Schedules, format!("groups[{group}].{name}"), stored, "as if it had not been");
    }
}

/// The values of the block's knobs that the plan has too.
fn knobs(plan: &Plan, kept: &Kept, findings: &mut Findings) -> Vec<(String, Knob)> {
    let mut values = Vec::new();
    let alike = |a: Knob, b: Knob| std::mem::discriminant(&a) == std::mem::discriminant(&b);
    for (name, ours) in plan.editable.defaults() {
        let place = || format!("knob {}", quoted(name));
        match kept.knobs.iter().find(|(known, _)| known == name) {
            None => findings.differs(Word::Schedules, place(), "none", ours.to_string()),
            Some((_, theirs)) if !alike(*theirs, ours) => {
                findings.differs(Word::Schedules, place(), theirs.to_string(), ours.to_string());
            }
            Some((_, theirs)) => {
                if *theirs != ours {
                    findings.keeps(place(), theirs.to_string(), ours.to_string());
                }
                values.push((name.to_owned(), *theirs));
            }
        }
    }
    for (name, theirs) in &kept.knobs {
        if plan.editable.defaults().all(|(known, _)| known != name) {
            findings.differs(Word::Schedules, format!("knob {}", quoted(name)), theirs.to_string(), "none");
        }
    }
    values
}
