//! What tests need of the system: a folder, removed at its end, and a process of their own.

use std::fs;
use std::path::{Path, PathBuf};

pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("instep-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(super) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.join(path)
    }

    /// Writes a file, with the folders above it.
    pub(super) fn write(&self, path: impl AsRef<Path>, bytes: &[u8]) -> PathBuf {
        let path = self.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether this is a process of its own for `test`, the full name of the test that asks. If not, one is run with
/// `variables` set, what it printed is passed on, and it must succeed.
///
/// For tests that need a fresh process: what is loaded into one stays, and would decide the other tests' outcome.
pub(super) fn in_own_process(test: &str, variables: &[(&str, &Path)]) -> bool {
    const MARK: &str = "INSTEP_TEST_PROCESS";
    if std::env::var_os(MARK).is_some_and(|name| name == test) {
        return true;
    }
    let mut process = std::process::Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(MARK, test);
    let output = process.envs(variables.iter().copied()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{test} in its own process:\n{out}\n{err}");
    eprint!("{err}");
    false
}
