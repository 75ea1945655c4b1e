//! The golden schedule cases, and each as the configuration that a user of the peer has. The format is in the README here.

use std::path::{Path, PathBuf};

use instep::compat::Configuration;
use serde_json::{Value, json};

/// The cases of every `schedules*.json` of the folder that `INSTEP_GOLDEN` names, or of this one, and of every file in its
/// folder `peers/`.
pub fn all() -> Vec<Value> {
    let folder = std::env::var_os("INSTEP_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from);
    let mut files = json_files(&folder, "schedules");
    assert!(!files.is_empty(), "no schedules*.json in {}", folder.display());
    files.extend(json_files(&folder.join("peers"), ""));
    let cases = |file: &PathBuf| load(file)["cases"].as_array().expect("a list of cases").clone();
    let cases: Vec<Value> = files.iter().flat_map(cases).collect();
    assert!(!cases.is_empty(), "no cases in {files:?}");
    cases
}

/// The JSON files in `folder` whose names begin with `start`, in order; none if there is no such folder.
fn json_files(folder: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(".json")
    };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).filter(wanted).collect();
    files.sort();
    files
}

fn load(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
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
