//! `cargo xtask kernels`: the static report, made by the crate `machine-code` of `tests/`, with the tools that the compile
//! tier uses.

use crate::tools::{self, NVRTC_VARIABLE, PROGRAMS_VARIABLE};
use crate::{Network, cargo, target_folder};
use std::path::Path;
use std::process::ExitCode;

/// Prints the table and writes it to `kernels.md` in the target folder.
pub fn run(root: &Path, network: Network) -> Result<ExitCode, String> {
    let tools = tools::find(root, network).map_err(tools::Unavailable::into_reason)?;
    let file = target_folder().join("kernels.md");
    let mut report = cargo(root, network);
    report.args(["run", "--quiet", "--package", "machine-code", "--"]).arg(&file);
    report.env(NVRTC_VARIABLE, &tools.nvrtc).env(PROGRAMS_VARIABLE, &tools.programs);
    let status = report.status().map_err(|problem| format!("cargo does not start: {problem}"))?;
    if !status.success() {
        return Err(format!("the report was not made: {status}"));
    }
    println!("\nwritten to {}", file.display());
    Ok(ExitCode::SUCCESS)
}
