//! The file: parameter groups, each with the schedules of its hyperparameters, and a version.

use std::fmt::Display;

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::schedule::Metric;
use crate::schedule::Schedule;

/// The version that this build reads and writes.
const VERSION: i64 = 1;

/// A training recipe as a file: the hyperparameters of every parameter group, each a [`Schedule`].
///
/// ```
/// use instep::Config;
/// let config = Config::from_toml(r#"
///     version = 1
///     [[groups]]
///     name = "all"
///     weight_decay = 0.1
///     lr.warmup = { steps = 200, cosine = { from = 3e-4, to = 3e-5, over = 1800 } }
/// "#)?;
/// assert_eq!(config.groups[0].lr.at(200)?, 3e-4);
/// assert_eq!(Config::from_json(&config.to_json()?)?, config);
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    version: Version,
    /// What scales the learning rates of all groups that have no `metric` of their own:
    /// [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// The parameter groups, in the order of the optimizer's.
    pub groups: Vec<GroupConfig>,
}

/// The hyperparameters of one parameter group. What is absent is left to the update rule's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupConfig {
    /// A name for messages and pictures.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The learning rate.
    pub lr: Schedule,
    /// The weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<Schedule>,
    /// SGD's momentum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub momentum: Option<Schedule>,
    /// SGD's dampening.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dampening: Option<Schedule>,
    /// Adam's decay rate of the first moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta1: Option<Schedule>,
    /// Adam's decay rate of the second moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta2: Option<Schedule>,
    /// Adam's term under the root of the second moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eps: Option<Schedule>,
    /// What scales the learning rate of this group alone by observed metrics, e.g. `{"plateau": {"factor": 0.5, "patience": 3}}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
}

/// Written as the number [`VERSION`].
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Version;

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        VERSION.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Its value is checked before the rest is read.
        i64::deserialize(deserializer).map(|_| Version)
    }
}

/// The one field that every version has.
#[derive(Deserialize)]
struct Header {
    version: i64,
}

impl Header {
    fn check(self) -> Result<()> {
        if self.version == VERSION {
            return Ok(());
        }
        Err(Error::argument("version", self.version, format!("this build reads version {VERSION}")))
    }
}

impl Config {
    /// A configuration of these groups.
    pub fn new(groups: impl Into<Vec<GroupConfig>>) -> Config {
        Config { version: Version, metric: None, groups: groups.into() }
    }

    /// Reads JSON. Fails with [`Error::Format`] for what is not in the format, an unknown field too, and with
    /// [`Error::Argument`] for another version and for what [`Config::check`] refuses; both name the place.
    pub fn from_json(text: &str) -> Result<Config> {
        read::<Header, _>(&mut serde_json::Deserializer::from_str(text))?.check()?;
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Config = read(&mut json)?;
        json.end().map_err(|error| format_error("", error))?;
        config.check()?;
        Ok(config)
    }

    /// Reads TOML, as [`Config::from_json`] reads JSON.
    pub fn from_toml(text: &str) -> Result<Config> {
        let parse = || toml::Deserializer::parse(text).map_err(|error| format_error("", error));
        read::<Header, _>(parse()?)?.check()?;
        let config = read::<Config, _>(parse()?)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as JSON. Fails for a constant that is not finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| format_error("", error))
    }

    /// The configuration as TOML. Fails for a constant that is not finite.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| format_error("", error))
    }
}

impl GroupConfig {
    /// A group with this learning rate, and the defaults of its update rule for the rest.
    pub fn new(lr: impl Into<Schedule>) -> GroupConfig {
        GroupConfig {
            name: None,
            lr: lr.into(),
            weight_decay: None,
            momentum: None,
            dampening: None,
            beta1: None,
            beta2: None,
            eps: None,
            metric: None,
        }
    }

    /// The hyperparameters that are given, each with its name.
    pub fn hyperparameters(&self) -> impl Iterator<Item = (&'static str, &Schedule)> {
        let optional = [
            ("weight_decay", &self.weight_decay),
            ("momentum", &self.momentum),
            ("dampening", &self.dampening),
            ("beta1", &self.beta1),
            ("beta2", &self.beta2),
            ("eps", &self.eps),
        ];
        let given = optional.into_iter().filter_map(|(name, schedule)| Some((name, schedule.as_ref()?)));
        std::iter::once(("lr", &self.lr)).chain(given)
    }
}

/// Reads with the place of an error.
fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T>
where
    D::Error: Display,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let place = error.path().to_string();
        format_error(if place == "." { "" } else { &place }, error.inner())
    })
}

fn format_error(place: &str, detail: impl Display) -> Error {
    let place = if place.is_empty() { "the configuration" } else { place };
    Error::Format { place: place.to_owned(), detail: detail.to_string().trim_end().to_owned() }
}
