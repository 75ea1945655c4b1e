//! A parameter group: its rule, and its hyperparameters by name. In a file all are keys side by side.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::rule::RuleConfig;
use crate::nearest::nearest;
use crate::precision::Precision;
use crate::schedule::{IntoSchedule, Metric, Schedule};

/// One parameter group: its update rule, and its hyperparameters by name. What is absent is left to the rule's default.
///
/// ```
/// use instep::{GroupConfig, RuleConfig, Schedule};
/// let lr = Schedule::cosine(3e-4, 3e-5).over(1_800);
/// let group = GroupConfig::new(lr).rule(RuleConfig::named("adamw").unwrap()).with("weight_decay", 0.1);
/// assert_eq!(group.get("weight_decay").unwrap().at(0)?, 0.1);
/// assert_eq!(group.get("beta1"), None);
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GroupConfig {
    /// A name for messages and pictures.
    pub name: Option<String>,
    /// The update rule. Without one the group is schedules for whoever reads them.
    pub rule: Option<RuleConfig>,
    lr: Schedule,
    others: BTreeMap<String, Schedule>,
    /// What scales the learning rate of this group alone by observed metrics, e.g. `{"plateau": {"factor": 0.5, "patience": 3}}`.
    pub metric: Option<Metric>,
    /// In what precision the parameters and states of this group are stored; None: as [`Config::precision`](super::Config::precision)
    /// has it.
    pub precision: Option<Precision>,
}

impl GroupConfig {
    /// A group with this learning rate, and the defaults of its update rule for the rest.
    pub fn new(lr: impl IntoSchedule) -> GroupConfig {
        GroupConfig { name: None, rule: None, lr: lr.into(), others: BTreeMap::new(), metric: None, precision: None }
    }

    /// Sets the update rule.
    #[must_use]
    pub fn rule(mut self, rule: RuleConfig) -> GroupConfig {
        self.rule = Some(rule);
        self
    }

    /// Sets a hyperparameter. Whether the rule has one of that name is for [`Config::check`](super::Config::check) to say.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, schedule: impl IntoSchedule) -> GroupConfig {
        self.set(name, schedule);
        self
    }

    /// As [`GroupConfig::with`], in place.
    pub fn set(&mut self, name: impl Into<String>, schedule: impl IntoSchedule) {
        let (name, schedule) = (name.into(), schedule.into());
        if name == "lr" {
            self.lr = schedule;
        } else {
            self.others.insert(name, schedule);
        }
    }

    /// A hyperparameter, if it is given.
    pub fn get(&self, name: &str) -> Option<&Schedule> {
        if name == "lr" { Some(&self.lr) } else { self.others.get(name) }
    }

    /// The learning rate.
    pub fn lr(&self) -> &Schedule {
        &self.lr
    }

    /// The hyperparameters that are given: `lr`, then the others in the order of their names.
    pub fn hyperparameters(&self) -> impl Iterator<Item = (&str, &Schedule)> {
        let others = self.others.iter().map(|(name, schedule)| (name.as_str(), schedule));
        std::iter::once(("lr", &self.lr)).chain(others)
    }
}

impl Serialize for GroupConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let GroupConfig { name, rule, lr: _, others: _, metric, precision } = self;
        let mut map = serializer.serialize_map(None)?;
        if let Some(name) = name {
            map.serialize_entry("name", name)?;
        }
        if let Some(rule) = rule {
            map.serialize_entry("rule", rule)?;
        }
        for (name, schedule) in self.hyperparameters() {
            map.serialize_entry(name, schedule)?;
        }
        if let Some(metric) = metric {
            map.serialize_entry("metric", metric)?;
        }
        if let Some(precision) = precision {
            map.serialize_entry("precision", precision)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for GroupConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GroupConfig, D::Error> {
        deserializer.deserialize_map(GroupVisitor)
    }
}

/// Keys of a group that are no hyperparameters.
pub(super) const KEYS: [&str; 4] = ["name", "rule", "metric", "precision"];

/// The error of a value that is no schedule, whose key may be a slip for one of [`KEYS`].
fn of_another_key<E: serde::de::Error>(key: &str, error: E) -> E {
    match nearest(key, KEYS) {
        Some(known) => E::custom(format!("{key} is not a key of a group; the nearest is {known}")),
        None => error,
    }
}

struct GroupVisitor;

impl<'de> Visitor<'de> for GroupVisitor {
    type Value = GroupConfig;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a parameter group: an object of hyperparameters by name, `lr` among them")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<GroupConfig, A::Error> {
        let (mut name, mut rule, mut metric, mut precision, mut lr) = (None, None, None, None, None);
        let mut others = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => once("name", &mut name, map.next_value()?)?,
                "rule" => once("rule", &mut rule, map.next_value()?)?,
                "metric" => once("metric", &mut metric, map.next_value()?)?,
                "precision" => once("precision", &mut precision, map.next_value()?)?,
                "lr" => once("lr", &mut lr, map.next_value()?)?,
                _ => match others.entry(key) {
                    Entry::Vacant(place) => {
                        let value = map.next_value().map_err(|error| of_another_key(place.key(), error))?;
                        place.insert(value);
                    }
                    Entry::Occupied(place) => {
                        return Err(A::Error::custom(format!("duplicate field `{}`", place.key())));
                    }
                },
            }
        }
        let lr = lr.ok_or_else(|| A::Error::missing_field("lr"))?;
        Ok(GroupConfig { name, rule, lr, others, metric, precision })
    }
}

fn once<T, E: serde::de::Error>(key: &'static str, place: &mut Option<T>, value: T) -> Result<(), E> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(E::duplicate_field(key)),
    }
}
