//! `cargo xtask kernels`: the static report, and `cargo xtask rules`: what each rule costs. Both are made by the crate
//! `machine-code` of `tests/`, with the tools that the compile tier uses.

use crate::tools::{self, NVRTC_VARIABLE, PROGRAMS_VARIABLE};
use crate::{Network, cargo, target_folder};
use std::path::Path;
use std::process::{Command, ExitCode};

/// Prints the table and writes it to `kernels.md` in the target folder.
pub fn run(root: &Path, network: Network) -> Result<ExitCode, String> {
    let file = target_folder().join("kernels.md");
    made(machine_code(root, network)?.arg(&file))?;
    println!("\nwritten to {}", file.display());
    Ok(ExitCode::SUCCESS)
}

/// Writes `docs/rule-costs.md`, or prints the rows of the rules whose names hold one of `names`.
pub fn rules(root: &Path, network: Network, names: &[String]) -> Result<ExitCode, String> {
    let file = root.join("docs/rule-costs.md");
    made(machine_code(root, network)?.arg("rules").arg(&file).args(names))?;
    if names.is_empty() {
        println!("\nwritten to {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}

fn machine_code(root: &Path, network: Network) -> Result<Command, String> {
    let tools = tools::find(root, network).map_err(tools::Unavailable::into_reason)?;
    let mut report = cargo(root, network);
    report.args(["run", "--quiet", "--package", "machine-code", "--"]);
    report.env(NVRTC_VARIABLE, &tools.nvrtc).env(PROGRAMS_VARIABLE, &tools.programs);
    Ok(report)
}

fn made(report: &mut Command) -> Result<(), String> {
    let status = report.status().map_err(|problem| format!("cargo does not start: {problem}"))?;
    if status.success() { Ok(()) } else { Err(format!("the report was not made: {status}")) }
}
