//! What a state block says of the schedule of each hyperparameter, so that another optimizer can tell whether it has the same.

use std::collections::BTreeSet;

use super::Registered;
use crate::program::Program;
use crate::schedule::{Form, Number};

/// A schedule as it was given.
#[derive(Debug)]
pub(crate) struct Stated {
    /// For people; nothing is compared by it.
    pub words: String,
    /// A number that nothing changes.
    pub plain: bool,
    pub knobs: BTreeSet<String>,
    /// How many constants it has.
    pub constants: usize,
}

/// Of the hyperparameters of each group. `lowered`: those of all groups.
pub(super) fn of_groups(groups: &[Registered], lowered: &[Program]) -> Vec<Vec<Stated>> {
    let mut lowered = lowered.iter();
    let of_group = |group: &Registered| {
        let pairs = group.rule.hyperparameters.iter().zip(&mut lowered);
        let stated = pairs.map(|(hyperparameter, program)| Stated {
            words: hyperparameter.schedule.brief(),
            plain: matches!(hyperparameter.schedule.0, Form::Constant(Number::Literal(_))),
            knobs: program.knobs.clone(),
            constants: program.constants.len(),
        });
        stated.collect()
    };
    groups.iter().map(of_group).collect()
}
