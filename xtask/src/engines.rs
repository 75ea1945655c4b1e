//! `cargo xtask engines`: what shows instep in other engines, in `engines/`. Each is a crate outside the workspace, so that nobody else
//! compiles that engine; here its tests run, then its program, in a target folder of its own.

use crate::{Network, cargo, target_folder};
use std::path::Path;
use std::process::ExitCode;

/// Folders of `engines/`.
const ENGINES: [&str; 1] = ["candle"];

/// Formatting, tests and program of every engine. The exit code says whether one failed; all run.
pub fn run(root: &Path, network: Network) -> Result<ExitCode, String> {
    let mut failed = Vec::new();
    for engine in ENGINES {
        let manifest = format!("engines/{engine}/Cargo.toml");
        for words in [&["fmt", "--check"][..], &["test", "--locked"], &["run", "--locked"]] {
            println!("=== {engine}: cargo {} ===", words.join(" "));
            let mut command = cargo(root, network);
            command.args(words).args(["--manifest-path", &manifest]);
            command.env("CARGO_TARGET_DIR", target_folder().join("engines"));
            let status = command.status().map_err(|problem| format!("cargo does not start: {problem}"))?;
            if !status.success() {
                failed.push(format!("{engine} ({}: {status})", words[0]));
            }
        }
    }
    if failed.is_empty() {
        println!("engines: all passed");
        return Ok(ExitCode::SUCCESS);
    }
    println!("engines: failed: {}", failed.join(", "));
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_folder_with_a_manifest_is_run() {
        let folders = std::fs::read_dir(crate::root().join("engines")).unwrap().map(|entry| entry.unwrap());
        let mut crates: Vec<String> = folders
            .filter(|folder| folder.path().join("Cargo.toml").is_file())
            .map(|folder| folder.file_name().into_string().unwrap())
            .collect();
        crates.sort();
        assert_eq!(crates, ENGINES);
    }
}
