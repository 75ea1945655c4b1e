//! Update rules as data: a name, `"adamw"`, that name with the rule's options, `{"sgd": {"momentum": "nesterov"}}`, or the text
//! of a rule of one's own, `{"tape": "…"}`. What names and options there are is said where the rules are.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::GroupConfig;
use crate::error::{Error, Result};
use crate::optim::{NAMES, Visit, visit_known};
use crate::rule::{Description, Fields, Hyperparameter, Rule, RuleOption, Stream, Tape, TapeRule};

/// The update rule of a group and its options. Hyperparameters stand beside it, in the group.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleConfig(Form);

#[derive(Debug, Clone, PartialEq)]
enum Form {
    Named {
        name: &'static str,
        options: BTreeMap<String, RuleOption>,
    },
    /// It has no options: what is set all the same is refused when the configuration is checked.
    Tape {
        tape: Box<Tape>,
        options: BTreeMap<String, RuleOption>,
    },
}

/// In place of a rule's name: a tape follows.
const TAPE: &str = "tape";

impl RuleConfig {
    /// A rule by its name in files, with the defaults of its options: `adamw`, `adam`, `sgd`.
    pub fn named(name: &str) -> Option<RuleConfig> {
        let name = *NAMES.iter().find(|known| **known == name)?;
        Some(RuleConfig(Form::Named { name, options: BTreeMap::new() }))
    }

    /// The rule `R`, which files name, with the defaults of its options.
    pub(crate) fn of<R: Rule>() -> RuleConfig {
        RuleConfig(Form::Named { name: R::NAME, options: BTreeMap::new() })
    }

    /// A rule of one's own. It is checked with the configuration.
    pub fn tape(tape: Tape) -> RuleConfig {
        RuleConfig(Form::Tape { tape: Box::new(tape), options: BTreeMap::new() })
    }

    /// Sets an option, such as `maximize`, `true`. Whether the rule has it is for [`Config::check`](super::Config::check) to say:
    /// a rule of one's own has none.
    #[must_use]
    pub fn with(mut self, option: impl Into<String>, value: impl Into<RuleOption>) -> RuleConfig {
        let (Form::Named { options, .. } | Form::Tape { options, .. }) = &mut self.0;
        options.insert(option.into(), value.into());
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        match &self.0 {
            Form::Named { name, .. } => name,
            Form::Tape { tape, .. } => &tape.name,
        }
    }

    /// Every rule that has a name, with the defaults of its options.
    pub(crate) fn all() -> impl Iterator<Item = RuleConfig> {
        NAMES.iter().filter_map(|name| RuleConfig::named(name))
    }

    /// The names of its hyperparameters.
    pub fn hyperparameters(&self) -> Vec<String> {
        let named =
            |hyperparameters: Vec<Hyperparameter>| hyperparameters.iter().map(|h| h.name().to_owned()).collect();
        match &self.0 {
            Form::Named { name, .. } => visit_known(name, &BTreeMap::new(), &[], Stated).map(named).unwrap_or_default(),
            Form::Tape { tape, .. } => tape.hyperparameters.iter().map(|stated| stated.name.clone()).collect(),
        }
    }
}

/// Asks a rule for its hyperparameters.
struct Stated;

impl Visit for Stated {
    type Out = Vec<Hyperparameter>;

    fn visit<R: Rule>(self, rule: R) -> Result<Vec<Hyperparameter>> {
        rule.check()?;
        Ok(rule.hyperparameters().into_vec())
    }
}

/// A state of a rule: its name, whether it is exact, and whether it divides.
pub(super) type Named = (String, bool, bool);

/// Asks a rule for its states.
struct States;

impl Visit for States {
    type Out = Vec<Named>;

    fn visit<R: Rule>(self, rule: R) -> Result<Vec<Named>> {
        Ok(states(rule.streams().as_slice()))
    }
}

fn states(streams: &[Stream]) -> Vec<Named> {
    let present = streams.iter().filter(|stream| stream.present);
    present.map(|stream| (stream.name.to_string(), stream.exact, stream.denominator)).collect()
}

impl GroupConfig {
    /// The states of this group if its rule is `rule`.
    pub(super) fn states_of(&self, rule: &RuleConfig) -> Result<Vec<Named>> {
        self.visit_rule(rule, States, |tape| Ok(states(&tape.tape.streams)))
    }

    /// Lets `visit` have the rule of this group, which is `rule`, or `tape` have it.
    pub(crate) fn visit_rule<V: Visit>(
        &self,
        rule: &RuleConfig,
        visit: V,
        tape: impl FnOnce(TapeRule) -> Result<V::Out>,
    ) -> Result<V::Out> {
        match &rule.0 {
            Form::Named { name, options } => {
                let given: Vec<_> = self.hyperparameters().collect();
                visit_known(name, options, &given, visit)
            }
            Form::Tape { tape: of, options } => {
                if let Some((option, value)) = options.first_key_value() {
                    let rule = "a rule of one's own has no options";
                    return Err(Error::argument(format!("rule.{}.{option}", of.name), value, rule));
                }
                let rule = TapeRule::new(Tape::clone(of));
                tape(self.hyperparameters().fold(rule, |rule, (name, schedule)| rule.set(name, schedule.clone())))
            }
        }
    }

    /// The hyperparameters of this group if its rule is `rule`.
    pub(super) fn hyperparameters_of(&self, rule: &RuleConfig) -> Result<Vec<Hyperparameter>> {
        self.visit_rule(rule, Stated, |tape| tape.hyperparameters())
    }

    /// The group that `description` is of.
    pub(crate) fn of(description: &Description) -> GroupConfig {
        let Description { rule, hyperparameters, metric, named } = description;
        let (form, without) = match (named, NAMES.iter().find(|name| **name == rule.tape.name)) {
            (Some(named), Some(name)) => {
                let options = named.options.iter().map(|(option, value)| ((*option).to_owned(), value.clone()));
                (Form::Named { name, options: options.collect() }, &named.without[..])
            }
            _ => (Form::Tape { tape: Box::new(rule.tape.clone()), options: BTreeMap::new() }, &[][..]),
        };
        let mut group = GroupConfig::new(0.0).rule(RuleConfig(form));
        for hyperparameter in hyperparameters.iter().filter(|one| !without.contains(&one.name())) {
            group.set(hyperparameter.name(), hyperparameter.schedule.clone());
        }
        group.metric = *metric;
        group
    }
}

impl Serialize for RuleConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match &self.0 {
            Form::Named { name, options } if options.is_empty() => return serializer.serialize_str(name),
            _ => serializer.serialize_map(Some(1))?,
        };
        match &self.0 {
            Form::Named { name, options } => map.serialize_entry(name, options)?,
            Form::Tape { tape, .. } => map.serialize_entry(TAPE, &tape.to_string())?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for RuleConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RuleConfig, D::Error> {
        deserializer.deserialize_any(RuleVisitor)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = RuleConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an update rule: its name, or an object of one name with the rule's options, or of `tape` with its text",
        )
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<RuleConfig, E> {
        RuleConfig::named(name).ok_or_else(|| E::unknown_variant(name, NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RuleConfig, A::Error> {
        let Some(name) = map.next_key::<String>()? else { return Err(A::Error::invalid_value(Unexpected::Map, &self)) };
        let rule = if name == TAPE {
            RuleConfig::tape(Tape::parse(&map.next_value::<String>()?).map_err(A::Error::custom)?)
        } else {
            let Some(rule) = RuleConfig::named(&name) else { return Err(A::Error::unknown_variant(&name, NAMES)) };
            let options: BTreeMap<String, RuleOption> = map.next_value()?;
            options.into_iter().fold(rule, |rule, (option, value)| rule.with(option, value))
        };
        match map.next_key::<String>()? {
            None => Ok(rule),
            Some(other) => {
                map.next_value::<IgnoredAny>()?;
                Err(A::Error::custom(format!("a rule has one key, but this one has `{name}` and `{other}`")))
            }
        }
    }
}
