//! `cargo xtask cudarc`: whether an engine may choose its cudarc as it likes. A crate that depends on this one and on cudarc is checked
//! with each version of CUDA that people have, linked in both ways. Nothing is linked or run.

use crate::{Network, cargo, target_folder};
use std::fs;
use std::path::Path;
use std::process::ExitCode;

const VERSIONS: [&str; 3] = ["cuda-11080", "cuda-12080", "cuda-13000"];
const LINKING: [&str; 2] = ["dynamic-loading", "dynamic-linking"];

const LIBRARY: &str = "\
//! An engine's side of the library, with cudarc's own types.
pub fn device(context: &std::sync::Arc<cudarc::driver::CudaContext>) -> instep::Result<instep::Device> {
    instep::Device::from_cudarc(context)
}

pub fn stream(device: &instep::Device, stream: &std::sync::Arc<cudarc::driver::CudaStream>) -> instep::Result<instep::Stream> {
    device.stream(stream)
}
";

fn manifest(root: &Path) -> String {
    // A string of JSON is one of TOML.
    let root = serde_json::Value::from(root.display().to_string());
    let features = VERSIONS.iter().chain(&LINKING).map(|name| format!("{name} = [\"cudarc/{name}\"]\n"));
    format!(
        "[package]\nname = \"downstream\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n[workspace]\n\n\
         [features]\n{}\n[dependencies]\ninstep = {{ path = {root}, default-features = false }}\n\
         cudarc = {{ version = \"0.19.10\", default-features = false, features = [\"std\", \"driver\"] }}\n",
        features.collect::<String>()
    )
}

/// Checks every pair. The exit code says whether one failed; all are checked.
pub fn run(root: &Path, network: Network) -> Result<ExitCode, String> {
    let folder = target_folder().join("downstream");
    let in_words = |problem: std::io::Error| format!("{}: {problem}", folder.display());
    fs::create_dir_all(folder.join("src")).map_err(in_words)?;
    fs::write(folder.join("Cargo.toml"), manifest(root)).map_err(in_words)?;
    fs::write(folder.join("src/lib.rs"), LIBRARY).map_err(in_words)?;
    let mut failed = Vec::new();
    for pair in VERSIONS.iter().flat_map(|version| LINKING.map(|linking| format!("{version},{linking}"))) {
        println!("=== cudarc with {pair} ===");
        let mut command = cargo(root, network);
        command.args(["check", "--features", &pair, "--manifest-path"]).arg(folder.join("Cargo.toml"));
        command.env("CARGO_TARGET_DIR", folder.join("target"));
        let status = command.status().map_err(|problem| format!("cargo does not start: {problem}"))?;
        if !status.success() {
            failed.push(pair);
        }
    }
    if failed.is_empty() {
        println!("cudarc: all checked");
        return Ok(ExitCode::SUCCESS);
    }
    println!("cudarc: failed with {}", failed.join("; "));
    Ok(ExitCode::FAILURE)
}
