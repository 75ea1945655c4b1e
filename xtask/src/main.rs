//! `cargo xtask`: the repository's chores. Here is the command line alone; every subcommand has a file of its own.
//! Start at [`test`] for the tiers, at [`tools`] for NVIDIA's run-time compiler and disassembler, at [`bundle`] for what goes
//! to a machine with a GPU, at [`performance`] for what comes back, at [`mutants`] for what the tests would notice, at
//! [`engines`] for what runs in other engines.

mod bundle;
mod cudarc;
mod engines;
mod kernels;
mod machine;
mod mutants;
mod performance;
mod test;
mod tiers;
mod tools;

use bundle::executable;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--offline] [TIER...]   run the test tiers that this machine allows; all of them unless some are named
  kernels [--offline]          print registers, local memory and access widths of every kernel, and write kernels.md
  rules [--offline] [NAME...]  write docs/rule-costs.md, what each update rule costs in each precision; print the rules named
  mutants [--offline] [NAME...]
                               change a line of kernels/ or src/ at a time: each must be noticed; writes docs/mutants.md
  cudarc [--offline]           check a crate that has a cudarc of its own, with each version of CUDA, linked in both ways
  engines [--offline]          test and run what shows instep in other engines, engines/; compiles these, about 15 MB to fetch
  gpu-bundle [--out DIR]       make a folder that tests and measures on a machine with a GPU and no Rust
  performance [RESULTS.json]   make docs/performance.md and its plots from the results of a visit, docs/results/h100.json
  tools [--offline]            fetch NVRTC and nvdisasm, and print the variables by which the tests find them

tiers: pure, standin, compile, device
INSTEP_REQUIRE=standin,nvrtc,gpu makes a skipped tier a failure: nvrtc stands for compile, gpu for device.
--offline fetches nothing: neither tools nor crates.";

/// Whether a command may fetch what it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Network {
    Allowed,
    Forbidden,
}

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let asked = words.len();
    words.retain(|word| word != "--offline");
    let network = if words.len() < asked { Network::Forbidden } else { Network::Allowed };

    let outcome = match words.split_first() {
        Some((command, tiers)) if command == "test" => test::run(root(), network, tiers),
        Some((command, [])) if command == "kernels" => kernels::run(root(), network),
        Some((command, names)) if command == "rules" => kernels::rules(root(), network, names),
        Some((command, names)) if command == "mutants" => mutants::run(root(), network, names),
        Some((command, [])) if command == "cudarc" => cudarc::run(root(), network),
        Some((command, [])) if command == "engines" => engines::run(root(), network),
        Some((command, words)) if command == "gpu-bundle" => bundle::run(root(), network, words),
        Some((command, words)) if command == "performance" => performance::run(root(), words),
        Some((command, [])) if command == "tools" => tools::print(root(), network),
        Some((command, [])) if matches!(command.as_str(), "help" | "--help" | "-h") => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        Some(_) => Err(format!("`cargo xtask {}` is not a command\n\n{USAGE}", words.join(" "))),
        None => Err(format!("a command is missing\n\n{USAGE}")),
    };
    outcome.unwrap_or_else(|problem| {
        eprintln!("error: {problem}");
        ExitCode::from(2)
    })
}

/// The repository: xtask is always run from its sources, so the path known at build time holds.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in a folder of the repository")
}

/// Where build products go, the fetched tools too.
fn target_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |folder| root().join(folder))
}

/// Cargo, in the repository.
fn cargo(root: &Path, network: Network) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // Kernels that tests compile are of no use to anybody else: they stay out of the user's cache.
    if std::env::var_os("INSTEP_CACHE_DIR").is_none() {
        command.env("INSTEP_CACHE_DIR", target_folder().join("test-cache"));
    }
    if network == Network::Forbidden {
        command.env("CARGO_NET_OFFLINE", "true");
    }
    command
}
