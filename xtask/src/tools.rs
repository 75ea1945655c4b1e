//! NVRTC and nvdisasm, as Python wheels: named and pinned by hash in `tests/cuda-tools.txt`, unpacked by pip into
//! `target/cuda-tools`, used again as long as that list is unchanged. NVRTC holds ptxas and hands on its report.

use crate::machine::answers;
use crate::{Network, target_folder};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

/// Where a test finds the tools: the values of two environment variables.
#[derive(Debug)]
pub struct Tools {
    /// `INSTEP_NVRTC`: the folder that holds `libnvrtc.so.13`.
    pub nvrtc: PathBuf,
    /// `INSTEP_CUDA_TOOLS`: the folder that holds `bin/nvdisasm`.
    pub programs: PathBuf,
}

/// Why there are none.
#[derive(Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// This machine does not allow it: no network, no pip, no wheel for it.
    Here(String),
    /// Something was fetched and is not what the list says.
    Wrong(String),
}

impl Unavailable {
    /// The reason, in words.
    pub fn into_reason(self) -> String {
        let (Self::Here(why) | Self::Wrong(why)) = self;
        why
    }
}

pub const NVRTC_VARIABLE: &str = "INSTEP_NVRTC";
pub const PROGRAMS_VARIABLE: &str = "INSTEP_CUDA_TOOLS";

/// `cargo xtask tools`: prints `NAME=folder` lines that `env` takes.
pub fn print(root: &Path, network: Network) -> Result<ExitCode, String> {
    let tools = find(root, network).map_err(Unavailable::into_reason)?;
    println!("{NVRTC_VARIABLE}={}", tools.nvrtc.display());
    println!("{PROGRAMS_VARIABLE}={}", tools.programs.display());
    Ok(ExitCode::SUCCESS)
}

/// The caller's own tools where the environment names them, else the listed ones, fetched where needed.
pub fn find(root: &Path, network: Network) -> Result<Tools, Unavailable> {
    let chosen = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    match (chosen(NVRTC_VARIABLE), chosen(PROGRAMS_VARIABLE)) {
        (Some(nvrtc), Some(programs)) => Ok(Tools { nvrtc, programs }),
        (nvrtc, programs) => {
            let unpacked = unpacked(root, network)?.join("nvidia/cu13");
            Ok(Tools { nvrtc: nvrtc.unwrap_or_else(|| unpacked.join("lib")), programs: programs.unwrap_or(unpacked) })
        }
    }
}

/// The folder with the wheels' files. It holds a copy of the list it was made from, which says whether it is current.
fn unpacked(root: &Path, network: Network) -> Result<PathBuf, Unavailable> {
    let list = root.join("tests/cuda-tools.txt");
    let wanted = fs::read_to_string(&list).map_err(|problem| in_words(&list, &problem))?;
    let folder = target_folder().join("cuda-tools");
    let is_current = || fs::read_to_string(folder.join("list.txt")).is_ok_and(|made_from| made_from == wanted);
    if is_current() {
        return Ok(folder);
    }
    if network == Network::Forbidden {
        return Err(Unavailable::Here("no CUDA tools: not fetched yet, and --offline forbids it".to_string()));
    }

    // Unpacked beside and renamed when whole: a run that is cut short leaves nothing that looks usable.
    let partial = target_folder().join(format!("cuda-tools.{}", std::process::id()));
    let fetched = fetch(&list, &partial).and_then(|()| {
        fs::write(partial.join("list.txt"), &wanted).map_err(|problem| in_words(&partial, &problem))?;
        match remove(&folder).and_then(|()| fs::rename(&partial, &folder)) {
            Err(problem) if !is_current() => Err(in_words(&folder, &problem)),
            _ => Ok(()),
        }
    });
    let cleaned = remove(&partial).map_err(|problem| in_words(&partial, &problem));
    fetched.and(cleaned).map(|()| folder)
}

fn fetch(list: &Path, into: &Path) -> Result<(), Unavailable> {
    if !cfg!(target_os = "linux") {
        return Err(Unavailable::Here("no CUDA tools: the listed wheels are for Linux".to_string()));
    }
    let has_pip = |name: &&str| answers(Command::new(name).args(["-m", "pip", "--version"]));
    let python = ["python3", "python"].into_iter().find(has_pip);
    let python = python.ok_or_else(|| Unavailable::Here("no CUDA tools: python3 with pip is missing".to_string()))?;

    eprintln!("fetching the CUDA tools that tests/cuda-tools.txt lists (about 95 MB, once)");
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"])
        .args(["--retries", "1", "--timeout", "15", "--require-hashes", "-r"])
        .arg(list)
        .arg("--target")
        .arg(into)
        .envs([("PIP_USER", "0"), ("PIP_NO_INPUT", "1"), ("PIP_ROOT_USER_ACTION", "ignore")])
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    let output = pip.output().map_err(|problem| Unavailable::Here(format!("{python} does not start: {problem}")))?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    eprint!("{stderr}");
    Err(pip_failure(&stderr))
}

/// A wrong hash is a failure wherever it happens; whatever else stops pip is a matter of this machine.
fn pip_failure(stderr: &str) -> Unavailable {
    if stderr.contains("DO NOT MATCH THE HASHES") {
        return Unavailable::Wrong("a wheel has another hash than tests/cuda-tools.txt lists".to_string());
    }
    let last_error = stderr.lines().rev().find(|line| line.starts_with("ERROR: "));
    let why = last_error.or_else(|| stderr.lines().last()).unwrap_or("it said nothing");
    Unavailable::Here(format!("no CUDA tools: pip cannot fetch them: {}", why.trim_start_matches("ERROR: ")))
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(problem) if problem.kind() != io::ErrorKind::NotFound => Err(problem),
        _ => Ok(()),
    }
}

fn in_words(path: &Path, problem: &io::Error) -> Unavailable {
    Unavailable::Here(format!("no CUDA tools: {}: {problem}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_hash_is_told_from_a_missing_network() {
        let tampered =
            "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n    Expected sha256 0\n";
        assert!(matches!(pip_failure(tampered), Unavailable::Wrong(_)));
        let offline =
            "WARNING: Retrying\nERROR: Could not find a version\nERROR: No matching distribution found for x==1\n";
        let why = "no CUDA tools: pip cannot fetch them: No matching distribution found for x==1";
        assert_eq!(pip_failure(offline), Unavailable::Here(why.to_string()));
    }

    #[test]
    fn every_listed_package_is_pinned_by_version_and_by_a_hash_for_each_machine() {
        let list = fs::read_to_string(crate::root().join("tests/cuda-tools.txt")).unwrap();
        let entries = list.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
        for (package, hashes) in entries.chunks(3).map(|entry| (entry[0], &entry[1..])) {
            assert!(package.contains("==13."), "{package} names no release of CUDA 13");
            assert_eq!(hashes.iter().filter(|line| line.trim().starts_with("--hash=sha256:")).count(), 2, "{package}");
        }
    }
}
