//! Update rules as data: a name, `"adamw"`, that name with the rule's options, `{"sgd": {"momentum": "nesterov"}}`, or the text
//! of a rule of one's own, `{"tape": "…"}`; or a list of these, one after the other, `["adamw", "ema"]`. What names and options there
//! are is said where the rules are.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::GroupConfig;
use crate::error::{Error, Result};
use crate::optim::{ALL_NAMES, NAMES, Visit, visit_known};
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
    /// One after the other; none of them is a chain.
    Chain(Vec<RuleConfig>),
}

/// In place of a rule's name: a tape follows.
const TAPE: &str = "tape";

impl RuleConfig {
    /// A rule by its name in files, with the defaults of its options, e.g. `adamw`; or one that comes after others, e.g. `ema`.
    pub fn named(name: &str) -> Option<RuleConfig> {
        let name = *ALL_NAMES.iter().find(|known| **known == name)?;
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

    /// Sets an option, such as `maximize`, `true`, of rules one after the other that of the first. Whether the rule has it is for
    /// [`Config::check`](super::Config::check) to say: a rule of one's own has none.
    #[must_use]
    pub fn with(mut self, option: impl Into<String>, value: impl Into<RuleOption>) -> RuleConfig {
        match &mut self.0 {
            Form::Named { options, .. } | Form::Tape { options, .. } => {
                options.insert(option.into(), value.into());
            }
            Form::Chain(rules) => {
                if let Some(first) = rules.first_mut() {
                    *first = first.clone().with(option, value);
                }
            }
        }
        self
    }

    /// Lets `after` come after this rule in the same update: [`GroupRule::then`](crate::GroupRule::then).
    #[must_use]
    pub fn then(self, after: RuleConfig) -> RuleConfig {
        RuleConfig(Form::Chain(self.parts().chain(after.parts()).cloned().collect()))
    }

    /// The rules that come one after the other.
    fn parts(&self) -> impl Iterator<Item = &RuleConfig> {
        match &self.0 {
            Form::Chain(rules) => rules.iter(),
            Form::Named { .. } | Form::Tape { .. } => std::slice::from_ref(self).iter(),
        }
    }

    /// Its name; of rules one after the other that of the first.
    pub fn name(&self) -> &str {
        match &self.0 {
            Form::Named { name, .. } => name,
            Form::Tape { tape, .. } => &tape.name,
            Form::Chain(rules) => rules.first().map_or("", RuleConfig::name),
        }
    }

    /// Every rule that has a name and may come first, with the defaults of its options.
    pub(crate) fn all() -> impl Iterator<Item = RuleConfig> {
        NAMES.iter().filter_map(|name| RuleConfig::named(name))
    }

    /// The names of those hyperparameters that have no default.
    fn required(&self) -> Vec<String> {
        let required = |all: Vec<Hyperparameter>| {
            all.iter().filter(|h| h.default.is_none()).map(|h| h.name().to_owned()).collect()
        };
        match &self.0 {
            Form::Named { name, .. } => {
                visit_known(name, &BTreeMap::new(), &[], Stated).map(required).unwrap_or_default()
            }
            Form::Tape { .. } | Form::Chain(_) => Vec::new(),
        }
    }

    /// The names of its hyperparameters.
    pub fn hyperparameters(&self) -> Vec<String> {
        let named =
            |hyperparameters: Vec<Hyperparameter>| hyperparameters.iter().map(|h| h.name().to_owned()).collect();
        match &self.0 {
            Form::Named { name, .. } => visit_known(name, &BTreeMap::new(), &[], Stated).map(named).unwrap_or_default(),
            Form::Tape { tape, .. } => tape.hyperparameters.iter().map(|stated| stated.name.clone()).collect(),
            Form::Chain(rules) => rules.iter().flat_map(RuleConfig::hyperparameters).collect(),
        }
    }
}

/// Asks a rule for its hyperparameters.
#[derive(Clone, Copy)]
struct Stated;

impl Visit for Stated {
    type Out = Vec<Hyperparameter>;

    fn visit<R: Rule>(self, rule: R) -> Result<Vec<Hyperparameter>> {
        rule.check()?;
        Ok(rule.hyperparameters().into_vec())
    }

    fn then(self, first: Vec<Hyperparameter>, second: Vec<Hyperparameter>) -> Result<Vec<Hyperparameter>> {
        Ok([first, second].concat())
    }
}

/// A state of a rule: its name, whether it is exact, and whether it divides.
pub(super) type Named = (String, bool, bool);

/// Asks a rule for its states.
#[derive(Clone, Copy)]
struct States;

impl Visit for States {
    type Out = Vec<Named>;

    fn visit<R: Rule>(self, rule: R) -> Result<Vec<Named>> {
        Ok(states(rule.streams().as_slice()))
    }

    fn then(self, first: Vec<Named>, second: Vec<Named>) -> Result<Vec<Named>> {
        Ok([first, second].concat())
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
        tape: impl Fn(TapeRule) -> Result<V::Out>,
    ) -> Result<V::Out> {
        let parts: Vec<&RuleConfig> = rule.parts().collect();
        let Some((first, others)) = parts.split_first() else {
            return Err(Error::argument("rule", "an empty list", "must name a rule"));
        };
        let owned: Vec<Vec<String>> = others.iter().map(|rule| rule.hyperparameters()).collect();
        // What no rule has is for the first to refuse.
        let of_first = |name: &str| !owned.iter().flatten().any(|known| known == name);
        let mut made = self.visit_part(first, visit, &tape, of_first)?;
        for (rule, own) in others.iter().zip(&owned) {
            if let Some(missing) = rule.required().into_iter().find(|name| self.get(name).is_none()) {
                let rule = format!("must be given: the rule {} has no default for it", rule.name());
                return Err(Error::argument(missing, "missing", rule));
            }
            let second = self.visit_part(rule, visit, &tape, |name| own.iter().any(|known| known == name))?;
            made = visit.then(made, second)?;
        }
        Ok(made)
    }

    /// The same of one rule, with the hyperparameters that are its own.
    fn visit_part<V: Visit>(
        &self,
        rule: &RuleConfig,
        visit: V,
        tape: impl Fn(TapeRule) -> Result<V::Out>,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<V::Out> {
        let given = self.hyperparameters().filter(|(name, _)| is_own(name));
        match &rule.0 {
            Form::Named { name, options } => visit_known(name, options, &given.collect::<Vec<_>>(), visit),
            Form::Tape { tape: of, options } => {
                if let Some((option, value)) = options.first_key_value() {
                    let rule = "is not an option: a rule of one's own has none";
                    return Err(Error::argument(format!("rule.{}.{option}", of.name), value, rule));
                }
                let rule = TapeRule::new(Tape::clone(of));
                tape(given.fold(rule, |rule, (name, schedule)| rule.set(name, schedule.clone())))
            }
            Form::Chain(_) => Err(Error::argument(
                "rule",
                "a list in a list",
                "must be a list of rules that come one after the other",
            )),
        }
    }

    /// The hyperparameters of this group if its rule is `rule`.
    pub(super) fn hyperparameters_of(&self, rule: &RuleConfig) -> Result<Vec<Hyperparameter>> {
        self.visit_rule(rule, Stated, |tape| tape.hyperparameters())
    }

    /// The group that `description` is of.
    pub(crate) fn of(description: &Description) -> GroupConfig {
        let Description { name, rule, hyperparameters, metric, named } = description;
        let (mut form, mut without) = (Vec::new(), Vec::new());
        for (tape_name, named) in named {
            let name = ALL_NAMES.iter().find(|name| *name == tape_name);
            let (Some(named), Some(name)) = (named, name) else { continue };
            let options = named.options.iter().map(|(option, value)| ((*option).to_owned(), value.clone()));
            form.push(RuleConfig(Form::Named { name, options: options.collect() }));
            without.extend(&named.without);
        }
        if form.len() < named.len() {
            // One that no file names: all of them together are one tape.
            form = vec![RuleConfig::tape(rule.tape.clone())];
            without.clear();
        }
        let config = match form.len() {
            1 => form.remove(0),
            _ => RuleConfig(Form::Chain(form)),
        };
        let mut group = GroupConfig::new(0.0).rule(config);
        for hyperparameter in hyperparameters.iter().filter(|one| !without.contains(&one.name())) {
            group.set(hyperparameter.name(), hyperparameter.schedule.clone());
        }
        (group.name, group.metric) = (name.clone(), *metric);
        group
    }
}

impl Serialize for RuleConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = match &self.0 {
            Form::Named { name, options } if options.is_empty() => return serializer.serialize_str(name),
            Form::Chain(rules) => return rules.serialize(serializer),
            _ => serializer.serialize_map(Some(1))?,
        };
        match &self.0 {
            Form::Named { name, options } => map.serialize_entry(name, options)?,
            Form::Tape { tape, .. } => map.serialize_entry(TAPE, &tape.to_string())?,
            Form::Chain(_) => {}
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
            "an update rule: its name, or an object of one name with the rule's options, or of `tape` with its text; or a list of these",
        )
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<RuleConfig, E> {
        RuleConfig::named(name).ok_or_else(|| E::unknown_variant(name, ALL_NAMES))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rules: A) -> Result<RuleConfig, A::Error> {
        let mut all: Option<RuleConfig> = None;
        while let Some(rule) = rules.next_element::<RuleConfig>()? {
            all = Some(match all {
                None => rule,
                Some(before) => before.then(rule),
            });
        }
        all.ok_or_else(|| A::Error::invalid_length(0, &self))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RuleConfig, A::Error> {
        let Some(name) = map.next_key::<String>()? else { return Err(A::Error::invalid_value(Unexpected::Map, &self)) };
        let rule = if name == TAPE {
            RuleConfig::tape(Tape::parse(&map.next_value::<String>()?).map_err(A::Error::custom)?)
        } else {
            let Some(rule) = RuleConfig::named(&name) else { return Err(A::Error::unknown_variant(&name, ALL_NAMES)) };
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
