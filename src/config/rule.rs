//! Update rules as data: a name, `"adamw"`, or that name with the rule's options, `{"sgd": {"momentum": "nesterov"}}`.
//!
//! A new rule is a variant here and a branch of every match; a new option of a rule is a field of its options.

use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::GroupConfig;
use crate::error::{Error, Result};
use crate::optim::sealed::Sealed;
use crate::optim::{Adam, AdamRule, AdamW, Decay, DecayForm, Description, Direction, Momentum, Sgd, Variant};

/// The update rule of a group and its options. Hyperparameters stand beside it, in the group.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum RuleConfig {
    /// [`AdamW`].
    AdamW(AdamOptions),
    /// [`Adam`].
    Adam(AdamOptions),
    /// [`Sgd`].
    Sgd(SgdOptions),
}

/// Options of [`Adam`] and [`AdamW`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdamOptions {
    /// [`AdamRule::maximize`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub maximize: bool,
}

/// Options of [`Sgd`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SgdOptions {
    /// The form of [`Sgd::momentum`]; by default heavy where the group has the hyperparameter `momentum`, else none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "write_momentum", deserialize_with = "momentum")]
    pub momentum: Option<Momentum>,
    /// [`Sgd::maximize`].
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub maximize: bool,
}

/// The names of the rules.
const NAMES: [&str; 3] = ["adamw", "adam", "sgd"];

impl RuleConfig {
    /// A rule by its name in files, with the defaults of its options.
    pub fn named(name: &str) -> Option<RuleConfig> {
        match name {
            "adamw" => Some(RuleConfig::AdamW(AdamOptions::default())),
            "adam" => Some(RuleConfig::Adam(AdamOptions::default())),
            "sgd" => Some(RuleConfig::Sgd(SgdOptions::default())),
            _ => None,
        }
    }

    /// Its name in files.
    pub fn name(&self) -> &'static str {
        match self {
            RuleConfig::AdamW(_) => "adamw",
            RuleConfig::Adam(_) => "adam",
            RuleConfig::Sgd(_) => "sgd",
        }
    }

    /// Every rule, with the defaults of its options.
    pub(crate) fn all() -> impl Iterator<Item = RuleConfig> {
        NAMES.into_iter().filter_map(RuleConfig::named)
    }

    /// The names of its hyperparameters.
    pub fn hyperparameters(&self) -> Vec<String> {
        let described = match self {
            RuleConfig::AdamW(_) => AdamW::new(0.0).describe(),
            RuleConfig::Adam(_) => Adam::new(0.0).describe(),
            RuleConfig::Sgd(_) => Sgd::new(0.0).describe(),
        };
        let described = described.expect("defaults are in range");
        described.hyperparameters.iter().map(|hyperparameter| hyperparameter.name().to_owned()).collect()
    }
}

impl GroupConfig {
    /// The group with the rule `rule`, as the rest of the crate takes it.
    pub(super) fn described_by(&self, rule: &RuleConfig) -> Result<Description> {
        let known = rule.hyperparameters();
        if let Some((name, _)) = self.hyperparameters().find(|(name, _)| !known.iter().any(|known| known == name)) {
            let rule = format!("{} has no such hyperparameter: it has {}", rule.name(), known.join(", "));
            return Err(Error::argument(name, "set", rule));
        }
        let described = match rule {
            RuleConfig::AdamW(options) => self.adam(AdamW::new(self.lr().clone()), options),
            RuleConfig::Adam(options) => self.adam(Adam::new(self.lr().clone()), options),
            RuleConfig::Sgd(options) => self.sgd(options),
        };
        Ok(Description { metric: self.metric, ..described? })
    }

    fn adam<D: DecayForm>(&self, mut rule: AdamRule<D>, options: &AdamOptions) -> Result<Description> {
        let AdamOptions { maximize } = *options;
        for (name, schedule) in self.hyperparameters() {
            let schedule = schedule.clone();
            rule = match name {
                "weight_decay" => rule.weight_decay(schedule),
                "beta1" => rule.beta1(schedule),
                "beta2" => rule.beta2(schedule),
                "eps" => rule.eps(schedule),
                _ => rule,
            };
        }
        if maximize { rule.maximize() } else { rule }.describe()
    }

    fn sgd(&self, options: &SgdOptions) -> Result<Description> {
        let SgdOptions { momentum: form, maximize } = *options;
        let momentum = self.get("momentum");
        let form = form.unwrap_or(if momentum.is_some() { Momentum::Heavy } else { Momentum::None });
        if form != Momentum::None && momentum.is_none() {
            let rule = "the hyperparameter momentum is not set";
            return Err(Error::argument("rule.sgd.momentum", momentum_name(form), rule));
        }
        let mut rule = Sgd::new(self.lr().clone());
        for (name, schedule) in self.hyperparameters() {
            let schedule = schedule.clone();
            rule = match name {
                "weight_decay" => rule.weight_decay(schedule),
                "momentum" => rule.momentum(form, schedule),
                "dampening" => rule.dampening(schedule),
                _ => rule,
            };
        }
        // What a rule written in Rust refuses of its forms, in the words of a file.
        let refused = |e: Error| match (options.momentum, e) {
            (None, Error::Argument { .. }) => {
                Error::argument("dampening", "set", "momentum is not, and nothing else is dampened")
            }
            (Some(form), Error::Argument { argument, .. }) => {
                let rule = format!("{argument} is set beside it, which that form does not have");
                Error::argument("rule.sgd.momentum", momentum_name(form), rule)
            }
            (_, other) => other,
        };
        if maximize { rule.maximize() } else { rule }.describe().map_err(refused)
    }

    /// The group that `description` is of: the inverse of `described_by`.
    pub(crate) fn of(description: &Description) -> GroupConfig {
        let Description { variant, hyperparameters, metric } = description;
        let (rule, without): (_, &[&str]) = match *variant {
            Variant::Adam { decay, direction } => {
                let options = AdamOptions { maximize: direction == Direction::Maximize };
                match decay {
                    Decay::Decoupled => (RuleConfig::AdamW(options), &[]),
                    // Without decay both are one.
                    Decay::Coupled | Decay::None => (RuleConfig::Adam(options), &[]),
                }
            }
            Variant::Sgd { momentum, decay: _, direction } => {
                let (form, without): (_, &[&str]) = match momentum {
                    Momentum::None => (None, &["momentum", "dampening"]),
                    Momentum::Heavy => (None, &[]),
                    Momentum::Nesterov => (Some(momentum), &["dampening"]),
                };
                (RuleConfig::Sgd(SgdOptions { momentum: form, maximize: direction == Direction::Maximize }), without)
            }
        };
        let mut group = GroupConfig::new(0.0).rule(rule);
        for hyperparameter in hyperparameters.iter().filter(|one| !without.contains(&one.name())) {
            group.set(hyperparameter.name(), hyperparameter.schedule.clone());
        }
        group.metric = *metric;
        group
    }
}

impl Serialize for RuleConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if RuleConfig::named(self.name()).as_ref() == Some(self) {
            return serializer.serialize_str(self.name());
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            RuleConfig::AdamW(options) | RuleConfig::Adam(options) => map.serialize_entry(self.name(), options)?,
            RuleConfig::Sgd(options) => map.serialize_entry(self.name(), options)?,
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
        f.write_str("an update rule: its name, or an object of one name with the rule's options")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<RuleConfig, E> {
        RuleConfig::named(name).ok_or_else(|| E::unknown_variant(name, &NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RuleConfig, A::Error> {
        let Some(name) = map.next_key::<String>()? else { return Err(A::Error::invalid_value(Unexpected::Map, &self)) };
        let rule = match name.as_str() {
            "adamw" => RuleConfig::AdamW(map.next_value()?),
            "adam" => RuleConfig::Adam(map.next_value()?),
            "sgd" => RuleConfig::Sgd(map.next_value()?),
            other => return Err(A::Error::unknown_variant(other, &NAMES)),
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

const MOMENTA: [&str; 3] = ["none", "heavy", "nesterov"];

fn momentum_name(form: Momentum) -> &'static str {
    let [none, heavy, nesterov] = MOMENTA;
    match form {
        Momentum::None => none,
        Momentum::Heavy => heavy,
        Momentum::Nesterov => nesterov,
    }
}

fn write_momentum<S: Serializer>(form: &Option<Momentum>, serializer: S) -> Result<S::Ok, S::Error> {
    form.map(momentum_name).serialize(serializer)
}

fn momentum<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Momentum>, D::Error> {
    let name = String::deserialize(deserializer)?;
    let forms = [Momentum::None, Momentum::Heavy, Momentum::Nesterov];
    let form = forms.into_iter().find(|form| momentum_name(*form) == name);
    form.map(Some).ok_or_else(|| D::Error::unknown_variant(&name, &MOMENTA))
}
