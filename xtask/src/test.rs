//! `cargo xtask test`: every tier that the machine allows, then one line that names each as passed, failed or skipped.
//! Which test belongs where is in [`crate::tiers`]; what the machine has is in [`crate::machine`] and [`crate::tools`].

use crate::tiers::Tier;
use crate::tools::{NVRTC_VARIABLE, PROGRAMS_VARIABLE, Unavailable};
use crate::{Network, machine, tools};
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus};

const REQUIRE_VARIABLE: &str = "INSTEP_REQUIRE";
const DEVICE_VARIABLE: &str = "INSTEP_TEST_DEVICE";

/// Cubins of the fetched NVRTC 13.0 load where the driver runs CUDA 13.0 or newer.
const CUDA_OF_FETCHED_NVRTC: i32 = 13_000;

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Failed(String),
    Skipped(String),
}

/// `cargo test` over the workspace, with the features that all tests together need: what one call builds serves every other.
pub const OF_ALL: [&str; 4] = ["test", "--workspace", "--features", "instep/cli,instep/csv"];

/// Device tests, by their modules, that take about as long as all others together.
const BESIDE: [&str; 4] = ["every_rule::", "forms::", "golden::on_device::", "shown::"];

/// What a tier's tests see beyond the caller's own environment.
type Environment = Vec<(&'static str, OsString)>;

/// Runs the tiers named in `asked`, or all. The exit code says whether one failed.
pub fn run(root: &Path, network: Network, asked: &[String]) -> Result<ExitCode, String> {
    let asked = tiers_named(asked)?;
    let required = tiers_required(&std::env::var(REQUIRE_VARIABLE).unwrap_or_default())?;

    // One build of everything with the features that each later call selects: nothing is compiled twice.
    let built = cargo(root, network, &["--no-run"], &[]);
    let mut outcomes = Vec::new();
    for tier in Tier::ALL {
        let outcome = match &built {
            _ if !asked.contains(&tier) => Outcome::Skipped("not asked for".to_string()),
            Err(why) => Outcome::Failed(format!("the build failed: {why}")),
            Ok(()) => run_tier(root, network, tier),
        };
        outcomes.push((tier, enforce(tier, outcome, &required)));
    }
    println!("\n{}", summary(&outcomes));
    let failed = outcomes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn run_tier(root: &Path, network: Network, tier: Tier) -> Outcome {
    println!("\n=== tier {} ===", tier.name());
    let mut environment = match allowed(root, network, tier) {
        Ok(environment) => environment,
        Err(outcome) => return outcome,
    };
    // In a tier that runs, a test that finds its tool missing must fail: a pass means that nothing was left out.
    environment.push((REQUIRE_VARIABLE, tier.requirement().unwrap_or_default().into()));
    match run_tests(root, network, tier, &environment) {
        Ok(()) => Outcome::Passed,
        Err(why) => Outcome::Failed(why),
    }
}

/// The environment of a tier that this machine can run.
fn allowed(root: &Path, network: Network, tier: Tier) -> Result<Environment, Outcome> {
    match tier {
        Tier::Pure => Ok(Vec::new()),
        Tier::Standin => {
            let compiler = machine::cxx_compiler().map_err(Outcome::Skipped)?;
            println!("C++ compiler: {compiler}");
            Ok(vec![(DEVICE_VARIABLE, "standin".into())])
        }
        Tier::Compile => {
            let tools = tools::find(root, network).map_err(|problem| match problem {
                Unavailable::Here(why) => Outcome::Skipped(why),
                Unavailable::Wrong(why) => Outcome::Failed(why),
            })?;
            Ok(vec![(NVRTC_VARIABLE, tools.nvrtc.into()), (PROGRAMS_VARIABLE, tools.programs.into())])
        }
        Tier::Device => {
            let gpu = machine::gpu().map_err(Outcome::Skipped)?;
            println!("{} CUDA device(s), a driver for CUDA {}", gpu.devices, gpu.cuda_version);
            let mut environment: Environment = vec![(DEVICE_VARIABLE, "gpu".into())];
            // A machine with a driver and no toolkit has no NVRTC of its own; an older driver must bring its own.
            if let (CUDA_OF_FETCHED_NVRTC.., Ok(tools)) = (gpu.cuda_version, tools::find(root, network)) {
                environment.push((NVRTC_VARIABLE, tools.nvrtc.into()));
            }
            Ok(environment)
        }
    }
}

fn run_tests(root: &Path, network: Network, tier: Tier, environment: &Environment) -> Result<(), String> {
    let names = tier.integration_tests(root)?;
    let mut selection: Vec<&str> = names.iter().flat_map(|name| ["--test", name]).collect();
    match tier {
        Tier::Pure => selection.extend(["--lib", "--bins"]),
        // Unit tests of the crate's own loader, which the pure tier may have skipped.
        Tier::Compile => selection.push("--lib"),
        Tier::Standin | Tier::Device => {}
    }
    if selection.is_empty() {
        return Err("it has no test".to_string());
    }
    let tests = match tier {
        Tier::Standin => side_by_side(root, network, &selection, environment),
        Tier::Pure | Tier::Compile | Tier::Device => cargo(root, network, &selection, environment),
    };
    // Cargo does not mix documentation tests with others.
    let documentation = if tier == Tier::Pure { cargo(root, network, &["--doc"], environment) } else { Ok(()) };
    tests.and(documentation)
}

/// The device tests in two processes, of which each runs one test at a time: those of [`BESIDE`], and all others. What the first says
/// comes after what the others say.
fn side_by_side(
    root: &Path,
    network: Network,
    selection: &[&str],
    environment: &[(&str, OsString)],
) -> Result<(), String> {
    let beside: Vec<&str> = ["--test", "device", "--"].into_iter().chain(BESIDE).collect();
    let skipped = BESIDE.iter().flat_map(|name| ["--skip", name]);
    let others: Vec<&str> = selection.iter().copied().chain(["--"]).chain(skipped).collect();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| test_command(root, network, &beside, environment).output());
        let others = cargo(root, network, &others, environment);
        let output = running.join().map_err(|_| "a thread panicked".to_owned())?;
        let output = output.map_err(|problem| format!("cargo does not start: {problem}"))?;
        println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        others.and(ended(output.status, &beside))
    })
}

/// `cargo test` over the workspace: always all members, so that every call resolves to the same features.
fn cargo(root: &Path, network: Network, selection: &[&str], environment: &[(&str, OsString)]) -> Result<(), String> {
    let status = test_command(root, network, selection, environment).status();
    ended(status.map_err(|problem| format!("cargo does not start: {problem}"))?, selection)
}

fn ended(status: ExitStatus, selection: &[&str]) -> Result<(), String> {
    if status.success() { Ok(()) } else { Err(format!("`cargo test {}`: {status}", selection.join(" "))) }
}

fn test_command(root: &Path, network: Network, selection: &[&str], environment: &[(&str, OsString)]) -> Command {
    let mut command = crate::cargo(root, network);
    command.args(OF_ALL).arg("--no-fail-fast").args(selection);
    command.env_remove(DEVICE_VARIABLE).env_remove(REQUIRE_VARIABLE);
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

fn tiers_named(names: &[String]) -> Result<Vec<Tier>, String> {
    if names.is_empty() {
        return Ok(Tier::ALL.to_vec());
    }
    let tier = |name: &String| {
        let found = Tier::ALL.into_iter().find(|tier| tier.name() == name);
        found.ok_or_else(|| format!("a tier is {name}, but must be one of {}", Tier::ALL.map(Tier::name).join(", ")))
    };
    names.iter().map(tier).collect()
}

/// Reads `INSTEP_REQUIRE`. A misspelt word would require nothing, unnoticed, so it is an error.
fn tiers_required(words: &str) -> Result<Vec<Tier>, String> {
    let known: Vec<&str> = Tier::ALL.into_iter().filter_map(Tier::requirement).collect();
    let tier = |word: &str| {
        let found = Tier::ALL.into_iter().find(|tier| tier.requirement() == Some(word));
        found.ok_or_else(|| format!("{REQUIRE_VARIABLE} has {word}, but each word must be one of {}", known.join(", ")))
    };
    words.split(',').map(str::trim).filter(|word| !word.is_empty()).map(tier).collect()
}

fn enforce(tier: Tier, outcome: Outcome, required: &[Tier]) -> Outcome {
    match outcome {
        Outcome::Skipped(why) if required.contains(&tier) => Outcome::Failed(format!("required, but {why}")),
        other => other,
    }
}

fn summary(outcomes: &[(Tier, Outcome)]) -> String {
    let word = |(tier, outcome): &(Tier, Outcome)| match outcome {
        Outcome::Passed => format!(" {}=passed", tier.name()),
        Outcome::Failed(why) => format!(" {}=failed ({})", tier.name(), one_line(why)),
        Outcome::Skipped(why) => format!(" {}=skipped ({})", tier.name(), one_line(why)),
    };
    format!("tiers:{}", outcomes.iter().map(word).collect::<String>())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_required_tier_that_is_skipped_has_failed() {
        let required = tiers_required("nvrtc, gpu").unwrap();
        assert_eq!(required, [Tier::Compile, Tier::Device]);
        let skipped = || Outcome::Skipped("offline".to_string());
        assert_eq!(enforce(Tier::Compile, skipped(), &required), Outcome::Failed("required, but offline".to_string()));
        assert_eq!(enforce(Tier::Standin, skipped(), &required), skipped());
        assert_eq!(enforce(Tier::Device, Outcome::Passed, &required), Outcome::Passed);
    }

    #[test]
    fn an_unknown_requirement_or_tier_is_an_error_that_shows_it() {
        assert!(tiers_required("nvrtc,gpus").unwrap_err().contains("has gpus, but"));
        assert!(tiers_named(&["purr".to_string()]).unwrap_err().contains("is purr, but"));
    }

    #[test]
    fn the_summary_is_one_line_that_names_every_tier() {
        let outcomes = [
            (Tier::Pure, Outcome::Passed),
            (Tier::Standin, Outcome::Failed("exit\nstatus: 101".to_string())),
            (Tier::Device, Outcome::Skipped("no CUDA driver".to_string())),
        ];
        let line = "tiers: pure=passed standin=failed (exit status: 101) device=skipped (no CUDA driver)";
        assert_eq!(summary(&outcomes), line);
    }
}
