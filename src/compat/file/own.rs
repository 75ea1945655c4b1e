//! Files that say by themselves what they are: a configuration of this crate, and another library's scheduler or optimizer as a
//! [`Configuration`] or an [`OptimizerConfiguration`].

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::{Configuration, OptimizerConfiguration};
use super::draft::{Draft, Of};
use super::text::Syntax;
use super::{Facts, Format, Section};
use crate::config::Config;
use crate::error::{Error, Result};

pub(super) const CONFIG: Format = Format {
    name: "a configuration of instep",
    library: "instep",
    is: |fields| fields.contains_key("version") && fields.contains_key("groups"),
    read: |file, _| Ok(Draft::new(Of::Config(Box::new(Config::from_json(&file.rest()?.to_string())?)))),
};

pub(super) const OPTIMIZER: Format = Format {
    name: "a library's optimizer",
    library: "instep",
    is: |fields| is_call(fields) && OF_OPTIMIZERS.iter().any(|name| fields.contains_key(*name)),
    read: optimizer,
};

pub(super) const SCHEDULER: Format =
    Format { name: "a library's scheduler", library: "instep", is: is_call, read: scheduler };

/// Fields that only an optimizer has.
const OF_OPTIMIZERS: [&str; 4] = ["groups", "schedule", "clip", "scaler"];

fn is_call(fields: &Map<String, Value>) -> bool {
    fields.contains_key("library") && fields.contains_key("api")
}

/// A configuration of this crate, from the text itself.
pub(super) fn config(text: &str, syntax: Syntax, fields: &mut Section) -> Result<Config> {
    fields.rest()?;
    match syntax {
        Syntax::Toml => Config::from_toml(text),
        _ => Config::from_json(text),
    }
}

fn optimizer(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let optimizer = OptimizerConfiguration::deserialize(file.rest()?);
    let mut optimizer =
        optimizer.map_err(|detail| Error::Format { place: "the file".into(), detail: detail.to_string() })?;
    optimizer.horizon = optimizer.horizon.or(facts.steps);
    Ok(Draft::optimizer(optimizer))
}

fn scheduler(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let text = |file: &mut Section, name| file.text(name)?.ok_or_else(|| file.error(name, "missing", "must be given"));
    let configuration = Configuration {
        library: text(file, "library")?,
        api: text(file, "api")?,
        params: file.value("params")?.unwrap_or_else(|| Value::Object(Map::new())),
        optimizer: file.value("optimizer")?.unwrap_or_default(),
        horizon: file.count("horizon")?.or(facts.steps),
        resumed_at: file.count("resumed_at")?,
    };
    Ok(Draft::schedules(configuration))
}
