//! What was said of groups and their schedules: for people, and for a state block, so that another optimizer can tell whether it has the
//! same.

use std::collections::BTreeSet;

use super::Registered;
use crate::program::Program;
use crate::schedule::{Form, Number, Schedule};

/// The most arguments of a schedule that a block tells by their names.
const ARGUMENTS: usize = 256;

/// A group as it was given.
#[derive(Debug)]
pub(crate) struct StatedGroup {
    pub name: Option<String>,
    /// Its rule with its options, in words.
    pub rule: String,
    /// Of its hyperparameters.
    pub schedules: Vec<Stated>,
}

/// A schedule as it was given.
#[derive(Debug)]
pub(crate) struct Stated {
    /// For people; nothing is compared by it.
    pub words: Words,
    /// A number that nothing changes.
    pub plain: bool,
    pub knobs: BTreeSet<String>,
    /// How many constants it has.
    pub constants: usize,
}

/// A schedule for people: a line of words, and a line for each of its first arguments, with its place and what was given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Words(pub String);

impl Words {
    pub fn of(schedule: &Schedule) -> Words {
        let mut text = schedule.brief().replace(char::is_control, " ");
        for (place, value) in schedule.arguments(ARGUMENTS) {
            text += &format!("\n{place} {value}");
        }
        Words(text)
    }

    /// The schedule on one line; a constant as its value.
    pub fn line(&self) -> &str {
        let line = self.0.lines().next().unwrap_or_default();
        match self.arguments().next() {
            Some(("constant", value)) => value,
            _ => line.strip_prefix("constant ").filter(|rest| rest.parse::<f64>().is_ok()).unwrap_or(line),
        }
    }

    /// The places of the first arguments, and what was given.
    pub fn arguments(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().skip(1).filter_map(|line| line.split_once(' '))
    }
}

/// What `groups` say. `lowered`: the hyperparameters of all of them.
pub(super) fn of_groups(groups: &[Registered], lowered: &[Program]) -> Vec<StatedGroup> {
    let mut lowered = lowered.iter();
    let of_group = |group: &Registered| {
        let pairs = group.rule.hyperparameters.iter().zip(&mut lowered);
        let stated = pairs.map(|(hyperparameter, program)| Stated {
            words: Words::of(&hyperparameter.schedule),
            plain: matches!(hyperparameter.schedule.0, Form::Constant(Number::Literal(_))),
            knobs: program.knobs.clone(),
            constants: program.constants.len(),
        });
        let schedules = stated.collect();
        StatedGroup { name: group.rule.name.clone(), rule: group.rule.words(), schedules }
    };
    groups.iter().map(of_group).collect()
}
