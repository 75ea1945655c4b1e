//! [`TapeRule`]: a tape with schedules, as a group of an optimizer takes it.

use super::Tape;
use crate::error::{Error, Result};
use crate::rule::hyperparameter::Hyperparameter;
use crate::schedule::{IntoSchedule, Metric, Schedule};

/// A rule that was read as a [`Tape`], with the schedules of its hyperparameters: what
/// [`OptimizerBuilder::group`](crate::OptimizerBuilder::group) takes. On the GPU it is compiled like any other; the CPU backend
/// interprets it, with the same bits, within 3 times the time.
#[derive(Debug, Clone)]
#[must_use = "give it to `OptimizerBuilder::group`"]
pub struct TapeRule {
    pub(crate) tape: Tape,
    given: Vec<(String, Schedule)>,
    pub(crate) metric: Option<Metric>,
    /// What a state block calls it, if not by its tape.
    pub(crate) identity: Option<String>,
}

impl TapeRule {
    /// The rule, each hyperparameter with the default that its tape states.
    pub fn new(tape: Tape) -> TapeRule {
        TapeRule { tape, given: Vec::new(), metric: None, identity: None }
    }

    /// Sets a hyperparameter.
    pub fn set(mut self, name: impl Into<String>, schedule: impl IntoSchedule) -> TapeRule {
        self.given.push((name.into(), schedule.into()));
        self
    }

    /// Multiplies the learning rate of this group alone by a factor that follows observed metrics.
    pub fn metric(mut self, metric: impl Into<Metric>) -> TapeRule {
        self.metric = Some(metric.into());
        self
    }

    /// The hyperparameters in the order of the tape.
    pub(crate) fn hyperparameters(&self) -> Result<Vec<Hyperparameter>> {
        let stated = &self.tape.hyperparameters;
        if let Some((name, _)) = self.given.iter().find(|(name, _)| stated.iter().all(|stated| stated.name != *name)) {
            let names: Vec<&str> = stated.iter().map(|stated| &*stated.name).collect();
            let rule = format!("is not a hyperparameter of `{}`; there are {}", self.tape.name, names.join(", "));
            return Err(Error::argument(name, "set", rule));
        }
        let hyperparameters = stated.iter().map(|stated| {
            let given = self.given.iter().rfind(|(name, _)| *name == stated.name);
            let default = || {
                let rule = format!("must be given: the rule `{}` has no default for it", self.tape.name);
                stated.default.map(Schedule::constant).ok_or_else(|| Error::argument(&stated.name, "missing", rule))
            };
            let schedule = given.map_or_else(default, |(_, schedule)| Ok(schedule.clone()))?;
            let hyperparameter = Hyperparameter::new(stated.name.clone(), &schedule, stated.range);
            Ok(match stated.default {
                Some(default) => hyperparameter.default(default),
                None => hyperparameter,
            })
        });
        hyperparameters.collect()
    }
}
