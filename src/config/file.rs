//! The file: JSON or TOML, its version looked at before anything else, and every error with its place.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Config;
use super::spoken::{Told, in_words};
use crate::error::{Error, Result};

/// The version that this build reads and writes.
const VERSION: i64 = 1;

/// Written as the number [`VERSION`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
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
    /// Reads JSON. Fails with [`Error::Format`] for what is not in the format, an unknown field too, and with
    /// [`Error::Argument`] for another version and for what [`Config::check`] refuses; both name the place.
    pub fn from_json(text: &str) -> Result<Config> {
        read::<Header, _>(&mut serde_json::Deserializer::from_str(text), text)?.check()?;
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Config = read(&mut json, text)?;
        json.end().map_err(|error| read_error("", &error, text))?;
        config.check()?;
        Ok(config)
    }

    /// Reads TOML, as [`Config::from_json`] reads JSON.
    pub fn from_toml(text: &str) -> Result<Config> {
        let parse = || toml::Deserializer::parse(text).map_err(|error| read_error("", &error, text));
        read::<Header, _>(parse()?, text)?.check()?;
        let config = read::<Config, _>(parse()?, text)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration as JSON. Fails for a number that is not finite.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|error| format_error("", error.to_string()))
    }

    /// The configuration as TOML. Fails for a number that is not finite, or above 2^63.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|error| format_error("", error.to_string()))
    }
}

/// Reads `text` with the place of an error.
fn read<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D, text: &str) -> Result<T>
where
    D::Error: Told,
{
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let place = error.path().to_string();
        read_error(if place == "." { "" } else { &place }, error.inner(), text)
    })
}

fn read_error(place: &str, error: &impl Told, text: &str) -> Error {
    let words = in_words(&error.message());
    let detail = match error.at(text) {
        Some((line, column)) => format!("{words} (line {line}, column {column})"),
        None => words,
    };
    format_error(place, detail)
}

fn format_error(place: &str, detail: String) -> Error {
    let place = if place.is_empty() { "the configuration" } else { place };
    Error::Format { place: place.to_owned(), detail }
}
