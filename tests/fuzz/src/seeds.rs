//! What inputs are made of: the golden cases as configurations, the files in `tests/configurations`, and the schedules that they
//! become, in the language of this crate.

use std::fs;
use std::path::{Path, PathBuf};

use instep::compat::{Facts, read};
use serde_json::{Value, json};

use crate::input::{Input, Target};
use crate::root;

/// An input that is right, and its value where it has one.
#[derive(Debug, Clone)]
pub struct Seed {
    /// Who reads what.
    pub input: Input,
    /// The text as a value; None if it is changed as text alone.
    pub value: Option<Value>,
    /// Whether it is a file as people write it.
    pub published: bool,
}

/// What is given to `--steps`.
const STEPS: [&str; 4] = ["0,10,100..200,0..2000:50", "5", "0..18446744073709551615:9223372036854775807", "1_000, 7"];

/// Fields of cases that are results, and of no configuration.
const RESULTS: [&str; 4] = ["total_norm", "clip_coef", "scale", "skipped"];

/// Every seed, in an order that does not change.
///
/// # Panics
/// If a folder of the repository cannot be read.
pub fn all() -> Vec<Seed> {
    let golden = root().join("tests/golden");
    let mut seeds = Vec::new();
    for path in files(&golden).into_iter().chain(files(&golden.join("peers"))) {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if !file.ends_with(".json") {
            continue;
        }
        let cases: Value = serde_json::from_str(&text(&path)).unwrap_or_else(|why| panic!("{file}: {why}"));
        let of_optimizers = file.starts_with("optimizers") || file.starts_with("mixed");
        let cases = cases["cases"].as_array().cloned().unwrap_or_default();
        seeds.extend(cases.iter().flat_map(|case| if of_optimizers { optimizer(case) } else { scheduler(case) }));
    }
    let configurations = root().join("tests/configurations");
    let published_files = files(&configurations).into_iter().chain(files(&configurations.join("published")));
    seeds.extend(published_files.flat_map(|path| published(&path)));
    let own = ["tests/every_rule.toml", "docs/plot/WSD.toml", "docs/plot/one-cycle.toml"];
    seeds.extend(own.iter().flat_map(|path| of_text(Target::Toml, text(&root().join(path)))));
    seeds.extend(STEPS.map(|steps| Seed { input: Input::new(Target::Steps, steps), value: None, published: false }));
    seeds
}

/// The case as it is handed over, as a file, and what it becomes.
fn scheduler(case: &Value) -> Vec<Seed> {
    let mut value = json!({
        "library": case["source"]["library"], "api": case["source"]["api"], "params": case["params"],
        "optimizer": case["optimizer"], "horizon": case["steps"],
    });
    if value["optimizer"].is_object() && !case["base_lr"].is_null() {
        value["optimizer"]["args"]["lr"] = case["base_lr"].clone();
    }
    if let Some(at) = case["resume"]["at"].as_u64().filter(|_| case["resume"]["method"] != "state_dict") {
        value["params"]["last_epoch"] = json!(at);
        value["resumed_at"] = json!(at);
    }
    let text = value.to_string();
    let mut seeds = of_text(Target::Scheduler, text.clone());
    seeds.extend(becomes(&text));
    seeds.extend(of_text(Target::File, text));
    seeds
}

fn optimizer(case: &Value) -> Vec<Seed> {
    let groups = case["groups"].as_array().cloned().unwrap_or_default();
    let group = |group: &Value| json!({"options": group["options"], "ndim": group["ndim"]});
    let mut value = json!({
        "library": case["source"]["library"], "api": case["source"]["api"], "params": case["params"],
        "groups": groups.iter().map(group).collect::<Vec<_>>(),
        "schedule": case["schedule"], "clip": case["clip"], "scaler": case["scaler"], "horizon": 50,
    });
    for call in ["clip", "scaler"] {
        if let Some(fields) = value[call].as_object_mut() {
            fields.retain(|name, _| !RESULTS.contains(&name.as_str()));
        }
    }
    let text = value.to_string();
    let mut seeds = of_text(Target::Optimizer, text.clone());
    seeds.extend(becomes(&text));
    seeds.extend(of_text(Target::File, text));
    seeds
}

/// A file as it was published.
fn published(path: &Path) -> Vec<Seed> {
    // Programs and descriptions are no configurations.
    if path.extension().is_some_and(|ending| ending == "md" || ending == "py") {
        return Vec::new();
    }
    let text = text(path);
    let mut seeds = becomes(&text);
    seeds.extend(of_text(Target::File, text).into_iter().map(|seed| Seed { published: true, ..seed }));
    seeds
}

/// The configuration of this crate that a file becomes.
fn becomes(text: &str) -> Vec<Seed> {
    let Ok(reading) = read(text, &Facts::default()) else { return Vec::new() };
    let json = reading.config.to_json().map(|text| of_text(Target::Json, text));
    let toml = reading.config.to_toml().map(|text| of_text(Target::Toml, text));
    [json, toml].into_iter().flatten().flatten().collect()
}

fn of_text(target: Target, text: String) -> Vec<Seed> {
    let value = match target {
        Target::Toml => toml::from_str(&text).ok(),
        _ => serde_json::from_str(&text).ok(),
    };
    vec![Seed { value, input: Input::new(target, text), published: false }]
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The files in `folder`, in order; none if there is no such folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}
