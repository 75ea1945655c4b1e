//! The golden tables: where they are, and what is in them.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder that `INSTEP_GOLDEN` names, or this one.
pub fn folder() -> PathBuf {
    std::env::var_os("INSTEP_GOLDEN")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden"), PathBuf::from)
}

/// The JSON files in `folder` whose names begin with `start`, in order; none if there is no such folder.
pub fn json_files(folder: &Path, start: &str) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(start) && name.ends_with(".json")
    };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).filter(wanted).collect();
    files.sort();
    files
}

pub fn load(file: &Path) -> Value {
    let text = std::fs::read_to_string(file).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{}: {why}", file.display()))
}
