//! The example as a process: how to start it, and what its last line says.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The fields of the last line.
#[derive(Debug)]
pub struct LastLine {
    pub accuracy: f64,
    pub steps: u64,
    pub launches: u64,
    pub backend: String,
    pub picture: String,
}

impl LastLine {
    pub fn of(run: &Output) -> Self {
        let text = String::from_utf8_lossy(&run.stdout);
        let line = text.lines().last().and_then(|line| line.strip_prefix("digits: ")).unwrap_or_default();
        let field = |name: &str| {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name}= in the last line of {run:?}")).to_owned()
        };
        Self {
            accuracy: field("accuracy").parse().expect("accuracy is a number"),
            steps: field("steps").parse().expect("steps is a number"),
            launches: field("launches").parse().expect("launches is a number"),
            backend: field("backend"),
            picture: field("picture"),
        }
    }
}

/// Where the CUDA form runs.
pub enum Cuda {
    /// The folder of the stand-in's libraries.
    StandIn(PathBuf),
    Gpu,
}

impl Cuda {
    /// `None`, after a line that says why, where there is nothing to run on.
    pub fn of_environment() -> Option<Self> {
        if std::env::var_os("INSTEP_TEST_DEVICE").is_some_and(|device| device == "gpu") {
            return Some(Self::Gpu);
        }
        match cuda_on_cpu::folder() {
            Ok(folder) => Some(Self::StandIn(folder)),
            Err(reason) => {
                let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|tier| tier == "standin"), "no stand-in: {reason}");
                // Not eprintln!, which the test harness would keep for itself.
                writeln!(std::io::stderr(), "skipped: digits in its CUDA form: {reason}").expect("standard error");
                None
            }
        }
    }

    pub fn command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self {
            // No cache: what this run compiles is no other run's business.
            Self::StandIn(folder) => {
                command.env("LD_LIBRARY_PATH", folder).env("INSTEP_CACHE_DIR", "0").env_remove("INSTEP_NVRTC")
            }
            Self::Gpu => command,
        }
    }
}

/// The example with `options`.
pub fn digits(options: &[&str], picture: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_digits"));
    command.arg("--picture").arg(picture).args(options);
    command
}

pub fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// A path of its own for each test's picture.
pub fn picture(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("digits-{test}.svg"))
}

/// A run with its table: the last line, all that was printed, and the table.
pub struct Recorded {
    pub last: LastLine,
    pub text: String,
    pub table: String,
}

/// Trains with an option and its value, and further options, on the host where there is no device.
pub fn record(device: Option<&Cuda>, [option, value]: [&str; 2], options: &[&str]) -> Recorded {
    let backend = if device.is_some() { "cuda" } else { "host" };
    let picture = picture(&format!("{backend}-{value}-{}", options.join("").replace("--", "-")));
    let csv = picture.with_extension("csv");
    let mut command = digits(&[option, value], &picture);
    command.args(options).arg("--csv").arg(&csv);
    let run = run(match device {
        Some(device) => device.command(&mut command),
        None => command.arg("--host"),
    });
    let last = LastLine::of(&run);
    assert_eq!(last.backend, backend, "{run:?}");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    Recorded { last, text, table: std::fs::read_to_string(csv).expect("the table") }
}
