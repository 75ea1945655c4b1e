//! What a configuration must be so that some rule takes each of its groups: the ranges of a build, without one.

use super::options::is_zero;
use super::{AdamW, Sgd};
use crate::error::{Error, Result};
use crate::program::Knobs;
use crate::rule::{Hyperparameter, Rule};
use crate::schedule::{Config, GroupConfig, Metric};

impl Config {
    /// Checks what a build would check: every schedule, every value against the range of its hyperparameter, every knob and
    /// metric rule, and that some update rule has the hyperparameters of each group. What is read was checked.
    ///
    /// ```
    /// use instep::{Config, GroupConfig};
    /// let error = Config::new([GroupConfig::new(-0.1)]).check().unwrap_err();
    /// assert_eq!(error.to_string(), "groups[0].lr is -0.1, but must not be negative at any step");
    /// ```
    ///
    /// # Errors
    /// [`Error::Argument`] with the place, the value and the rule.
    pub fn check(&self) -> Result<()> {
        if self.groups.is_empty() {
            return Err(Error::argument("groups", "empty", "must hold at least one group"));
        }
        let mut knobs = Knobs::default();
        for (i, group) in self.groups.iter().enumerate() {
            group.check(&mut knobs).map_err(|e| e.within(&format!("groups[{i}].")))?;
        }
        Metric::shared_by(self.metric, self.groups.iter().map(|group| group.metric))
    }
}

impl GroupConfig {
    fn check(&self, knobs: &mut Knobs) -> Result<()> {
        let names: Vec<&str> = self.hyperparameters().map(|(name, _)| name).collect();
        let of_adam = AdamW::new(0.0).hyperparameters();
        let of_sgd = Sgd::new(0.0).hyperparameters();
        for (name, schedule) in self.hyperparameters() {
            let known = of_adam.iter().chain(&of_sgd).find(|known| known.name() == name);
            let known = known.ok_or_else(|| Error::argument(name, "set", "no update rule has it"))?;
            Hyperparameter::new(name, schedule, known.range).lower(knobs)?;
        }
        let foreign =
            |rule: &[Hyperparameter]| names.iter().copied().find(|name| rule.iter().all(|h| h.name() != *name));
        if let (Some(of_sgd), Some(of_adam)) = (foreign(&of_adam), foreign(&of_sgd)) {
            return Err(Error::argument(of_sgd, "set", format!("{of_adam} is too, and no update rule has both")));
        }
        if self.momentum.is_none() && self.dampening.as_ref().is_some_and(|dampening| !is_zero(dampening)) {
            return Err(Error::argument("dampening", "set", "momentum is not, and nothing else is dampened"));
        }
        self.metric.as_ref().map_or(Ok(()), Metric::check).map_err(|e| e.within("metric."))
    }
}
