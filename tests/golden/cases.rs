//! The golden schedule cases, and each as the configuration that a user of the peer has. The format is in the README here.

use std::path::PathBuf;

use instep::compat::Configuration;
use serde_json::{Value, json};

use super::files;

/// The cases of every `schedules*.json` of the folder that `INSTEP_GOLDEN` names, or of this one, and of every file in its
/// folder `peers/`.
pub fn all() -> Vec<Value> {
    let folder = files::folder();
    let mut found = files::json_files(&folder, "schedules");
    assert!(!found.is_empty(), "no schedules*.json in {}", folder.display());
    found.extend(files::json_files(&folder.join("peers"), ""));
    let cases = |file: &PathBuf| files::load(file)["cases"].as_array().expect("a list of cases").clone();
    let cases: Vec<Value> = found.iter().flat_map(cases).collect();
    assert!(!cases.is_empty(), "no cases in {found:?}");
    cases
}

pub fn configuration(case: &Value) -> Configuration {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let mut optimizer = case["optimizer"].clone();
    if optimizer.is_object() && !case["base_lr"].is_null() {
        optimizer["args"]["lr"] = case["base_lr"].clone();
    }
    let mut params = case["params"].clone();
    let mut resumed_at = None;
    if let Some(last_epoch) = taken_up_with(&case["resume"]) {
        params["last_epoch"] = json!(last_epoch);
        resumed_at = case["resume"]["at"].as_u64();
    }
    Configuration {
        library: text(&case["source"]["library"]),
        api: text(&case["source"]["api"]),
        params,
        optimizer,
        horizon: case["steps"].as_u64(),
        resumed_at,
    }
}

/// The `last_epoch` with which a run was taken up; None if its state was loaded.
fn taken_up_with(resume: &Value) -> Option<u64> {
    let at = resume["at"].as_u64()?;
    match resume["method"].as_str().expect("a method") {
        "state_dict" => None,
        "last_epoch=k" => Some(at),
        "last_epoch=k-1" => Some(at - 1),
        other => panic!("unknown method {other}"),
    }
}
