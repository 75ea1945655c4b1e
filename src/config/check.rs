//! What a configuration must be so that it can be built: the ranges of a build, without one. Errors name places of the file.

use std::collections::BTreeSet;

use bytemuck::Zeroable;

use super::group::KEYS;
use super::{Config, GroupConfig, RuleConfig};
use crate::error::{Error, Result};
use crate::nearest::unknown;
use crate::optim::Visit;
use crate::precision::{Scaled, State};
use crate::program::Knobs;
use crate::rule::tape::trace;
use crate::rule::{Rule, Tape};
use crate::schedule::Metric;
use crate::settings::Settings;

impl Config {
    /// Checks what a build would check: every schedule, every value against the range of its hyperparameter, every knob and
    /// metric rule, every option, and that each group's update rule, or some rule if none is named, has its hyperparameters.
    /// What is read was checked.
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
        self.check_precisions()?;
        Metric::shared_by(self.metric, self.groups.iter().map(|group| group.metric))?;
        self.check_options().map_err(|e| self.with_its_place(e))
    }

    /// Checks what is asked of the states of the rules that there are. Whether gradients come scaled is for a build to say:
    /// the engine may keep the scale.
    fn check_precisions(&self) -> Result<()> {
        let (mut all, mut complete) = (BTreeSet::new(), true);
        for (i, group) in self.groups.iter().enumerate() {
            let place = |e: Error| e.within(&format!("groups[{i}]."));
            let Some(rule) = &group.rule else {
                complete = false;
                continue;
            };
            let states = group.states_of(rule).map_err(place)?;
            let own = group.precision.as_ref();
            let names: Vec<&str> = states.iter().map(|(name, ..)| name.as_str()).collect();
            own.map_or(Ok(()), |own| own.check_names(&format!("the rule {}", rule.name()), &names)).map_err(place)?;
            all.extend(names.into_iter().map(str::to_owned));
            let precision = own.map_or_else(|| self.precision.clone(), |own| own.over(&self.precision));
            let states = states.iter().map(|(name, exact, denominator)| State {
                name,
                exact: *exact,
                denominator: *denominator,
            });
            let checked = precision.check_states(rule.name(), states, Scaled::Yes);
            checked.map_err(|e| if own.is_some() { place(e) } else { e })?;
        }
        if !complete {
            return Ok(());
        }
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        self.precision.check_names("any rule of this optimizer", &all)
    }

    fn check_options(&self) -> Result<()> {
        self.gradient_options().lower()?;
        let own = self.groups.iter().filter_map(|group| group.metric);
        let metrics: Vec<Metric> = own.chain(self.metric).collect();
        self.feature_options().lower(&metrics, &mut Settings::zeroed())?;
        self.telemetry.as_ref().map_or(Ok(()), |telemetry| telemetry.check(self.groups.len()).map(drop))
    }

    /// What the builder's methods call their arguments, as the keys of a file.
    fn with_its_place(&self, mut error: Error) -> Error {
        let clip = self.clip.map(|clip| ("clip", format!("clip.{}", clip.key())));
        let calls = self.accumulate.map(|of| ("accumulate.calls", format!("accumulate.{}", of.key())));
        let fixed = self.loss_scale.filter(|scale| !scale.is_dynamic());
        let fixed = fixed.map(|_| ("loss_scale.init", "loss_scale".to_owned()));
        let always = [
            ("non_finite.raise_after", "non_finite.skip_and_raise"),
            ("observe_every.updates", "observe_every"),
            ("observe_every.metric", "observe_every"),
            ("telemetry.records", "telemetry.ring"),
        ];
        let always = always.map(|(argument, key)| (argument, key.to_owned()));
        for (argument, key) in [clip, calls, fixed].into_iter().flatten().chain(always) {
            error = error.renamed(argument, &key);
        }
        error
    }
}

/// Records a rule: what is wrong with it, and with several together, is found without a device.
#[derive(Clone, Copy)]
struct Recorded;

impl Visit for Recorded {
    type Out = Tape;

    fn visit<R: Rule>(self, rule: R) -> Result<Tape> {
        rule.check()?;
        trace(&rule)
    }

    fn then(self, first: Tape, second: Tape) -> Result<Tape> {
        first.then(&second)
    }
}

impl GroupConfig {
    /// The rule, which a group that is built has.
    pub(crate) fn expect_rule(&self) -> Result<&RuleConfig> {
        let missing = || {
            let names: Vec<_> = RuleConfig::all().map(|rule| rule.name().to_owned()).collect();
            Error::argument("rule", "missing", format!("must be given to build, one of {}", names.join(", ")))
        };
        self.rule.as_ref().ok_or_else(missing)
    }

    fn check(&self, knobs: &mut Knobs) -> Result<()> {
        let hyperparameters = match &self.rule {
            Some(rule) => self.hyperparameters_of(rule)?,
            None => self.hyperparameters_of(&self.some_rule()?)?,
        };
        for hyperparameter in &hyperparameters {
            hyperparameter.lower(knobs)?;
        }
        if let Some(rule) = &self.rule {
            self.visit_rule(rule, Recorded, |rule| Ok(rule.tape))?.check()?;
        }
        self.metric.as_ref().map_or(Ok(()), Metric::check).map_err(|e| e.within("metric."))
    }

    /// A rule that has all hyperparameters of this group.
    fn some_rule(&self) -> Result<RuleConfig> {
        let rules: Vec<_> = RuleConfig::all().map(|rule| (rule.hyperparameters(), rule)).collect();
        let has = |known: &[String], name: &str| known.iter().any(|known| known == name);
        let names: Vec<&str> = self.hyperparameters().map(|(name, _)| name).collect();
        if let Some((_, rule)) = rules.iter().find(|(known, _)| names.iter().all(|name| has(known, name))) {
            return Ok(rule.clone());
        }
        for (i, name) in names.iter().enumerate() {
            if !rules.iter().any(|(known, _)| has(known, name)) {
                let all = rules.iter().flat_map(|(known, _)| known).map(String::as_str);
                let all: Vec<&str> = all.chain(KEYS).collect();
                let rule = unknown("a hyperparameter of any update rule", name, &all, "docs/rules.md has all");
                return Err(Error::argument(*name, "set", rule));
            }
            let apart = |other: &&&str| !rules.iter().any(|(known, _)| has(known, name) && has(known, other));
            if let Some(other) = names[..i].iter().find(apart) {
                return Err(Error::argument(
                    *name,
                    "set",
                    format!("must not be set beside {other}: no update rule has both"),
                ));
            }
        }
        Err(Error::argument(
            "rule",
            "missing",
            format!("must be one that has all of {}, and none has", names.join(", ")),
        ))
    }
}
