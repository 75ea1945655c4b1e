//! A machine that is visited: folders in the place of its programs and its driver.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use super::skipped;

/// A machine as the bundle's script sees it.
pub struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// One without a driver. None where the results cannot be joined, after saying so.
    pub fn bare(name: &str) -> Option<Machine> {
        if Command::new("python3").arg("--version").output().is_err() {
            skipped("python3 is missing, which joins the results");
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gpu-bundle-{name}"));
        let _ = fs::remove_dir_all(&folder);
        for new in ["driver", "bin"] {
            fs::create_dir_all(folder.join(new)).unwrap();
        }
        Some(Machine { folder })
    }

    /// One with the stand-in as its driver, and its NVRTC where pip puts NVIDIA's.
    pub fn with_standin(name: &str) -> Option<Machine> {
        let machine = Machine::bare(name)?;
        let standin = cuda_on_cpu::folder().expect("the tier has a C++ compiler");
        let packages = machine.folder.join("venv/lib/python3.11/site-packages/nvidia/cu13");
        fs::create_dir_all(&packages).unwrap();
        for library in ["libcuda.so", "libcuda.so.1"] {
            std::os::unix::fs::symlink(standin.join(library), machine.folder.join("driver").join(library)).unwrap();
        }
        std::os::unix::fs::symlink(standin, packages.join("lib")).unwrap();
        Some(machine)
    }

    /// Puts a program before all others of its name.
    pub fn install(&self, name: &str, text: &str) {
        program(&self.folder.join("bin").join(name), text);
    }

    /// A dry run of these parts with these limits.
    pub fn run(&self, bundle: &Path, parts: &[&str], limits: &str) -> Output {
        self.command(bundle, parts, limits).env("INSTEP_STANDIN", "1").output().expect("bash starts")
    }

    pub fn command(&self, bundle: &Path, parts: &[&str], limits: &str) -> Command {
        let mut path = std::ffi::OsString::from(self.folder.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.arg(bundle.join("run.sh")).args(parts).env("PATH", path);
        command.env("LD_LIBRARY_PATH", self.folder.join("driver")).env("VIRTUAL_ENV", self.folder.join("venv"));
        command.env("INSTEP_LIMITS", limits).env("INSTEP_RESULTS", self.results()).env_remove("INSTEP_NVRTC");
        command
    }

    pub fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// results.json and results.md.
    pub fn read(&self) -> (Value, String) {
        let [json, markdown] = ["results.json", "results.md"].map(|name| fs::read_to_string(self.results().join(name)));
        (serde_json::from_str(&json.unwrap()).unwrap(), markdown.unwrap())
    }
}

/// Writes a program.
pub fn program(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}
