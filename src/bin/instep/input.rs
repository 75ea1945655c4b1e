//! Reads a configuration: ours in JSON or TOML, or another library's scheduler or optimizer in JSON.

use std::path::Path;

use instep::compat::{Configuration, Metric, OptimizerConfiguration, Recipe};
use instep::{Config, GroupConfig};
use serde::Deserialize;
use serde_json::Value;

use crate::Result;

/// The keys of another library's scheduler.
const FOREIGN: [&str; 6] = ["library", "api", "params", "optimizer", "horizon", "resumed_at"];

/// Keys that only another library's optimizer has.
const OF_OPTIMIZERS: [&str; 4] = ["groups", "schedule", "clip", "scaler"];

/// Reads and checks `path`.
pub fn read(path: &Path) -> Result<Config> {
    let config = parse(path)?;
    note_metrics(path, &config);
    Ok(config)
}

fn parse(path: &Path) -> Result<Config> {
    let text = std::fs::read_to_string(path).map_err(|problem| at(path, problem))?;
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Ok(Config::from_toml(&text).map_err(|e| at(path, e))?),
        Some("json") => match serde_json::from_str(&text) {
            Ok(Value::Object(fields)) if fields.contains_key("library") => {
                foreign(&fields).map_err(|e| at(path, e).into())
            }
            // What is not JSON at all is refused by the reader of the format, with its place.
            _ => Ok(Config::from_json(&text).map_err(|e| at(path, e))?),
        },
        _ => Err(at(path, "the name must end in .json or .toml").into()),
    }
}

/// A message about a file.
pub fn at(path: &Path, problem: impl std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}

/// What a hyperparameter is called in tables and legends.
pub fn label(group: &GroupConfig, index: usize, name: &str) -> String {
    match &group.name {
        Some(group) => format!("{group}.{name}"),
        None => format!("groups[{index}].{name}"),
    }
}

fn foreign(fields: &serde_json::Map<String, Value>) -> Result<Config, String> {
    if OF_OPTIMIZERS.iter().any(|key| fields.contains_key(*key)) {
        let optimizer = OptimizerConfiguration::deserialize(fields).map_err(|e| e.to_string())?;
        return optimizer.config().map_err(|e| e.to_string());
    }
    if let Some(unknown) = fields.keys().find(|key| !FOREIGN.contains(&key.as_str())) {
        return Err(format!("unknown field `{unknown}`, expected one of {FOREIGN:?}"));
    }
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Err(format!("{name} is {other}, but must be a string")),
        None => Err(format!("missing field `{name}`")),
    };
    let steps = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let steps = value.as_u64().ok_or_else(|| format!("{name} is {value}, but must be a count of steps"));
            steps.map(Some)
        }
    };
    let configuration = Configuration {
        library: text("library")?,
        api: text("api")?,
        params: fields.get("params").cloned().unwrap_or_else(|| Value::Object(Default::default())),
        optimizer: fields.get("optimizer").cloned().unwrap_or_default(),
        horizon: steps("horizon")?,
        resumed_at: steps("resumed_at")?,
    };
    let recipes = configuration.recipes().map_err(|e| e.to_string())?;
    let shared = if recipes.len() > 1 { Recipe::shared_metric(&recipes) } else { None };
    let group = |recipe: Recipe| {
        let mut group = GroupConfig::new(recipe.lr);
        let others = [("momentum", recipe.momentum), ("beta1", recipe.beta1), ("weight_decay", recipe.weight_decay)];
        for (name, schedule) in others {
            if let Some(schedule) = schedule {
                group.set(name, schedule);
            }
        }
        group.metric = if shared.is_some() { None } else { recipe.metric };
        group
    };
    let mut config = Config::new(recipes.into_iter().map(group).collect::<Vec<_>>());
    config.metric = shared;
    config.check().map_err(|e| e.to_string())?;
    Ok(config)
}

/// What depends on metrics cannot be known ahead, and is not left out without a word.
fn note_metrics(path: &Path, config: &Config) {
    for (i, group) in config.groups.iter().enumerate() {
        let kind = match group.metric.or(config.metric) {
            None => continue,
            Some(Metric::Plateau(_)) => "plateau",
            Some(Metric::Greedy(_)) => "greedy",
        };
        let note = format!("note: groups[{i}].lr is scaled by observed metrics ({kind}); shown without that scale");
        eprintln!("instep: {}", at(path, note));
    }
}
