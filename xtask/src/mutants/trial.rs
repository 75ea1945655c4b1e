//! One mutant: where its text lies, the tests that run over it, and which of them failed first.

use super::list::Mutant;
use super::mutated;
use crate::{Network, cargo, executable};
use std::collections::HashSet;
use std::fmt::{Display, Formatter};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;

/// Tests that a mutant need not pass: planted faults are mutants too, and the long run is long.
const LEFT_OUT: [&str; 2] = ["every_planted_fault", "long_run"];
/// What the device tests print of the first test that fails, with `INSTEP_TEST_FIRST_FAILURE`.
const MARK: &str = "first failure: ";
/// Signs that a kernel was not compiled, or that a planted fault found no place: the mutant is at fault, not the code.
const NOT_COMPILED: [&str; 2] = ["NVRTC_ERROR_COMPILATION", "must occur exactly once"];

/// The test that noticed it, if one did.
#[derive(Debug)]
pub enum Outcome {
    Killed(String),
    Survived,
}

impl Display for Outcome {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Killed(test) => write!(f, "killed by {test}"),
            Self::Survived => f.write_str("SURVIVED"),
        }
    }
}

impl Mutant {
    pub fn is_of_host(&self) -> bool {
        self.file.starts_with("src/")
    }
}

/// Where mutants are made and tried.
pub struct Workshop<'r> {
    root: &'r Path,
    network: Network,
    folder: PathBuf,
    /// The device tests as they are.
    intact: PathBuf,
    /// Held while the copy of the tree has a mutant in it and is built.
    tree: Mutex<PathBuf>,
    /// Tests that were seen to pass without a mutant.
    sound: Mutex<HashSet<String>>,
}

impl<'r> Workshop<'r> {
    pub fn new(root: &'r Path, network: Network, folder: PathBuf) -> Result<Self, String> {
        let intact = build(&mut cargo(root, network))?;
        let tree = folder.join("tree");
        fs::create_dir_all(&tree).map_err(|problem| format!("{}: {problem}", tree.display()))?;
        for part in [
            "build.rs",
            "Cargo.toml",
            "Cargo.lock",
            "README.md",
            "src",
            "kernels",
            "tests",
            "examples",
            "benches",
            "xtask",
        ] {
            renew(&root.join(part), &tree.join(part)).map_err(|problem| format!("copying {part}: {problem}"))?;
        }
        Ok(Self { root, network, folder, intact, tree: Mutex::new(tree), sound: Mutex::default() })
    }

    /// An error if the mutant does not compile, or a test that it is killed by fails without it too.
    pub fn try_one(&self, mutant: &Mutant) -> Result<Outcome, String> {
        let folder = self.folder.join(mutant.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
        let in_words = |problem: io::Error| format!("{}: {problem}", folder.display());
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(folder.join("texts")).map_err(in_words)?;
        let text = mutated(self.root, mutant)?;
        let program = if mutant.is_of_host() {
            self.build_with(mutant, &text, &folder)?
        } else {
            let name = Path::new(mutant.file).file_name().unwrap_or_default();
            fs::write(folder.join("texts").join(name), text).map_err(in_words)?;
            self.intact.clone()
        };
        let mut outcome = Outcome::Survived;
        for tests in [mutant.tests, &[]] {
            let output = self.test(&program, &folder, tests)?;
            if let Some(test) = first_failure(&output).map_err(|why| format!("mutant `{}` {why}", mutant.name))? {
                outcome = Outcome::Killed(test);
                break;
            }
        }
        if let Outcome::Killed(test) = &outcome {
            self.must_pass(test)?;
        }
        fs::remove_dir_all(&folder).map_err(in_words)?;
        Ok(outcome)
    }

    /// Builds the copy of the tree with `text` in place of the mutant's file; the program is in `folder`.
    fn build_with(&self, mutant: &Mutant, text: &str, folder: &Path) -> Result<PathBuf, String> {
        let tree = self.tree.lock().map_err(|_| "another worker died")?;
        let file = tree.join(mutant.file);
        let in_words = |problem: io::Error| format!("{}: {problem}", file.display());
        let original = fs::read_to_string(&file).map_err(in_words)?;
        fs::write(&file, text).map_err(in_words)?;
        let built = build(cargo(&tree, self.network).env("CARGO_TARGET_DIR", self.folder.join("build")));
        let program = folder.join("device");
        let copied = built.and_then(|built| fs::copy(built, &program).map_err(in_words));
        fs::write(&file, original).map_err(in_words)?;
        copied.map_err(|why| format!("mutant `{}`: {why}", mutant.name))?;
        Ok(program)
    }

    /// The device tests whose names hold one of `tests`, or all, until one fails.
    fn test(&self, program: &Path, folder: &Path, tests: &[&str]) -> Result<Output, String> {
        let mut command = Command::new(program);
        command.current_dir(self.root).args(["--test-threads", "1"]).args(tests);
        command.args(LEFT_OUT.iter().flat_map(|name| ["--skip", name]));
        for variable in ["INSTEP_NVRTC", "INSTEP_REQUIRE", "FAULT_FROM", "FAULT_TO"] {
            command.env_remove(variable);
        }
        command.envs([
            ("INSTEP_TEST_DEVICE", "standin"),
            ("INSTEP_TEST_FIRST_FAILURE", "1"),
            ("CUDA_ON_CPU_SEED", "1"),
        ]);
        // Of each mutant its own: a cache goes by the text that the library hands out, not by the one that is compiled.
        command.env("INSTEP_CACHE_DIR", folder.join("cache")).env("CUDA_ON_CPU_TEXTS", folder.join("texts"));
        command.output().map_err(|problem| format!("{}: {problem}", program.display()))
    }

    fn must_pass(&self, test: &str) -> Result<(), String> {
        let mut sound = self.sound.lock().map_err(|_| "another worker died")?;
        if sound.contains(test) {
            return Ok(());
        }
        let folder = self.folder.join("none");
        let output = self.test(&self.intact, &folder, &["--exact", test])?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !text.contains("1 passed") {
            return Err(format!("{test} does not pass without a mutant:\n{text}"));
        }
        sound.insert(test.to_owned());
        Ok(())
    }
}

/// The test that failed first. A crash counts for the test that ran.
fn first_failure(output: &Output) -> Result<Option<String>, String> {
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if let Some(sign) = NOT_COMPILED.iter().find(|sign| text.contains(**sign)) {
        return Err(format!("does not compile ({sign}):\n{text}"));
    }
    // The last mark: a test that starts a process shows that one's output too.
    let marked = text.lines().rev().find_map(|line| line.split_once(MARK)).map(|(_, test)| test);
    let running =
        text.lines().rev().find_map(|line| line.strip_prefix("test ")?.split_once(" ... ")).map(|(test, _)| test);
    marked.or(running).map(|test| Some(test.trim().to_owned())).ok_or_else(|| format!("ended without a test:\n{text}"))
}

/// Builds the device tests; returns their program.
fn build(cargo: &mut Command) -> Result<PathBuf, String> {
    cargo.args(["test", "--test", "device", "--no-run", "--message-format", "json-render-diagnostics"]);
    let output = cargo.stderr(Stdio::piped()).output().map_err(|problem| format!("cargo does not start: {problem}"))?;
    if !output.status.success() {
        return Err(format!("the build failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    executable(&String::from_utf8_lossy(&output.stdout), "test", "device")
        .ok_or_else(|| "cargo names no program".to_owned())
}

/// Makes `to` what `from` is; files that are the same are not touched, so that nothing is built twice.
fn renew(from: &Path, to: &Path) -> io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(to)? {
            let path = entry?.path();
            let source = from.join(path.file_name().unwrap_or_default());
            if !source.exists() {
                if path.is_dir() { fs::remove_dir_all(&path)? } else { fs::remove_file(&path)? }
            }
        }
        return fs::read_dir(from)?.try_for_each(|entry| {
            let entry = entry?;
            renew(&entry.path(), &to.join(entry.file_name()))
        });
    }
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(to, bytes)
}
