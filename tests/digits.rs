//! The example `digits`, run as a user runs it: on the host, and in its CUDA form on the stand-in driver, or on a real
//! GPU with `INSTEP_TEST_DEVICE=gpu`. Needs the built example: `cargo test` builds it, `cargo test --test digits` alone
//! does not.

#[path = "../examples/digits/order.rs"]
mod order;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn the_host_form_learns_the_digits() {
    let picture = picture("host");
    let run = run(&mut digits(&["--host"], &picture));
    assert!(run.status.success(), "{run:?}");
    let result = Result::of(&run);
    assert_eq!((result.backend.as_str(), result.steps), ("host", 1320));
    assert_eq!(Path::new(&result.picture), picture);
    assert!(result.accuracy >= 0.95, "{result:?}");
    let svg = std::fs::read_to_string(&picture).expect("the picture");
    for label in ["training loss", "learning rate, as applied", "step"] {
        assert!(svg.contains(label), "no {label:?} in {}", picture.display());
    }
}

#[test]
fn the_cuda_form_learns_as_the_host_form_does() {
    let Some(device) = Cuda::of_environment() else { return };
    let cuda = picture("cuda");
    let run_cuda = run(device.command(&mut digits(&[], &cuda)));
    assert!(run_cuda.status.success(), "{run_cuda:?}");
    let result = Result::of(&run_cuda);
    assert_eq!(result.backend, "cuda", "{run_cuda:?}");
    assert!(result.accuracy >= 0.95, "{result:?}");

    let host = picture("host-twin");
    let host_result = Result::of(&run(&mut digits(&["--host"], &host)));
    assert!((result.accuracy - host_result.accuracy).abs() <= 0.01, "{result:?}, {host_result:?}");
    // The stand-in has the host's own expf and logf, so every rate and loss has the same bits, and the pictures agree.
    if let Cuda::StandIn(_) = device {
        let pictures = [&cuda, &host].map(|path| std::fs::read_to_string(path).expect("a picture"));
        assert!(pictures[0] == pictures[1], "{} and {} differ", cuda.display(), host.display());
    }
}

#[test]
fn without_a_gpu_one_line_says_why_the_host_trains() {
    let Some(device @ Cuda::StandIn(_)) = Cuda::of_environment() else { return };
    let mut command = digits(&["--steps", "1"], &picture("no-gpu"));
    let run = run(device.command(&mut command).env("CUDA_ON_CPU_DEVICES", "0"));
    assert_eq!(Result::of(&run).backend, "host", "{run:?}");
    let text = String::from_utf8_lossy(&run.stdout);
    let reasons: Vec<_> = text.lines().filter(|line| line.starts_with("digits: training on the host: ")).collect();
    assert!(matches!(reasons[..], [reason] if reason.contains("no CUDA device")), "{text}");
}

#[test]
fn an_untrained_network_is_a_failure() {
    let run = run(&mut digits(&["--host", "--steps", "1"], &picture("untrained")));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let result = Result::of(&run);
    assert!(result.steps == 1 && result.accuracy < 0.95, "{result:?}");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    for options in [&["--fast"][..], &["--steps"], &["--steps", "0"], &["--steps", "many"], &["--host", "extra"]] {
        let run = run(&mut digits(options, &picture("none")));
        let text = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.code() == Some(2) && text.contains("usage: digits"), "{options:?}: {run:?}");
    }
}

#[test]
fn every_epoch_visits_each_image_once_in_an_order_of_its_own() {
    let count = 1437;
    let orders = [0, 1, 59, u32::MAX]
        .map(|epoch| (0..count).map(|position| order::shuffled(position, epoch, count)).collect::<Vec<_>>());
    for (index, order) in orders.iter().enumerate() {
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.iter().copied().eq(0..count), "order {index} is not a permutation");
        let fixed = (0..count).zip(order).filter(|(position, image)| position == *image).count();
        assert!(fixed < 10, "order {index} leaves {fixed} images where they were");
        assert!(orders[..index].iter().all(|other| other != order), "order {index} is not new");
    }
}

/// The fields of the last line.
#[derive(Debug)]
struct Result {
    accuracy: f64,
    steps: u64,
    backend: String,
    picture: String,
}

impl Result {
    fn of(run: &Output) -> Self {
        let text = String::from_utf8_lossy(&run.stdout);
        let line = text.lines().last().and_then(|line| line.strip_prefix("digits: ")).unwrap_or_default();
        let field = |name: &str| {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name}= in the last line of {run:?}")).to_owned()
        };
        Self {
            accuracy: field("accuracy").parse().expect("accuracy is a number"),
            steps: field("steps").parse().expect("steps is a number"),
            backend: field("backend"),
            picture: field("picture"),
        }
    }
}

/// Where the CUDA form runs.
enum Cuda {
    /// The folder of the stand-in's libraries.
    StandIn(PathBuf),
    Gpu,
}

impl Cuda {
    /// `None`, after a line that says why, where there is nothing to run on.
    fn of_environment() -> Option<Self> {
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

    fn command<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        match self {
            // No cache: what this run compiles is no other run's business.
            Self::StandIn(folder) => {
                command.env("LD_LIBRARY_PATH", folder).env("INSTEP_CACHE_DIR", "0").env_remove("INSTEP_NVRTC")
            }
            Self::Gpu => command,
        }
    }
}

/// The example with `options`, which lies at `<profile>/examples`, as this test lies at `<profile>/deps`.
fn digits(options: &[&str], picture: &Path) -> Command {
    let test = std::env::current_exe().expect("this test's path");
    let profile = test.ancestors().nth(2).expect("this test lies in a folder of a folder");
    let mut command = Command::new(profile.join("examples").join("digits"));
    command.arg("--picture").arg(picture).args(options);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; `cargo build --example digits` builds it"))
}

/// A path of its own for each test's picture.
fn picture(test: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("digits-{test}.svg"))
}
