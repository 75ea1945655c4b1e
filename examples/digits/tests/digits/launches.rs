//! How much of a training one graph launch runs: the results have the same bits, and the driver is called as often as is
//! said.

use std::path::{Path, PathBuf};
use std::process::Output;

use crate::program::{Cuda, LastLine, digits, picture, run};

/// What the example prints with a driver that has no loops.
const OLD_DRIVER: &str = "the driver is older than CUDA 12.3";

/// The last line, the table and the picture of a run, on the host where there is no device.
fn trained(device: Option<&Cuda>, options: &[&str], test: &str) -> (LastLine, [String; 2]) {
    let picture = picture(test);
    let csv = picture.with_extension("csv");
    let mut command = digits(options, &picture);
    command.arg("--csv").arg(&csv);
    let run = run(match device {
        Some(device) => device.command(&mut command),
        None => command.arg("--host"),
    });
    let files =
        [csv, picture].map(|path| std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("no file: {run:?}")));
    (LastLine::of(&run), files)
}

/// Whether the machine's driver is too old for these tests, after saying so. The stand-in's is not.
fn is_too_old(device: &Cuda) -> bool {
    let mut command = digits(&["--launch", "training", "--steps", "1"], &picture("too-old"));
    let run = run(device.command(&mut command));
    let too_old = matches!(device, Cuda::Gpu) && String::from_utf8_lossy(&run.stderr).contains(OLD_DRIVER);
    if too_old {
        println!("skipped: {OLD_DRIVER}");
    }
    too_old
}

#[test]
fn a_launch_per_step_per_epoch_and_per_training_give_the_same_bits() {
    let Some(device) = Cuda::of_environment() else { return };
    if is_too_old(&device) {
        return;
    }
    // One step; two whole epochs; four of which a fifth is cut short.
    for (schedule, steps) in [("cosine", 1), ("plateau", 44), ("cosine", 100), ("plateau", 100)] {
        let epochs = u64::div_ceil(steps, 22);
        let run = |device, launch: &[&str], form: &str, launches| {
            let what = format!("{form}, {schedule}, {steps} steps");
            let count = steps.to_string();
            let options = [&["--schedule", schedule, "--steps", &count], launch].concat();
            let (last, files) = trained(device, &options, &format!("{form}-{schedule}-{steps}"));
            let backend = if device.is_some() { "cuda" } else { "host" };
            assert_eq!(
                (last.backend.as_str(), last.steps, last.launches),
                (backend, steps, launches),
                "{what}: {last:?}"
            );
            (last.accuracy, files)
        };
        let expected = run(Some(&device), &["--launch", "step"], "step", steps + epochs);
        for (form, launches) in [("epoch", 2 * epochs), ("training", 1)] {
            let found = run(Some(&device), &["--launch", form], form, launches);
            assert!(found == expected, "a launch per {form} and per step differ: {schedule}, {steps} steps");
        }
        // The stand-in has the host's own expf and logf.
        if let Cuda::StandIn(_) = device {
            let found = run(None, &[], "host", 0);
            assert!(found == expected, "the host and a launch per step differ: {schedule}, {steps} steps");
        }
    }
}

#[test]
fn training_on_cuda_is_as_many_graph_launches_as_said_and_nothing_else() {
    let Some(device @ Cuda::StandIn(_)) = Cuda::of_environment() else { return };
    for (schedule, precision) in [("cosine", "f32"), ("plateau", "f32"), ("plateau", "8bit")] {
        // Four epochs and a part of one, each with its validation.
        for (launch, launches) in [("step", 100 + 5), ("epoch", 5 + 5), ("training", 1)] {
            let options = ["--schedule", schedule, "--precision", precision, "--steps", "100", "--launch", launch];
            let run = run(device.command(&mut digits(&options, &picture("calls"))).env("CUDA_ON_CPU_TRACE", "1"));
            let what = format!("{schedule}, {precision}, a launch per {launch}");
            assert_eq!(LastLine::of(&run).launches, launches, "{what}");
            check_calls(&run, launches as usize, &what);
        }
    }
}

/// From the first launch of a graph to the last nothing else is called, and after it nothing but the report reads.
fn check_calls(run: &Output, launches: usize, what: &str) {
    let trace = String::from_utf8_lossy(&run.stderr);
    let calls = trace.lines().filter_map(|line| line.strip_prefix("cuda-on-cpu: ")?.split(' ').next());
    let calls = calls.collect::<Vec<_>>();
    let count = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
    assert_eq!(count("cuGraphLaunch"), launches, "{what}");
    let is_launch = |call: &&str| *call == "cuGraphLaunch";
    let first = calls.iter().position(is_launch).expect("a launch of a graph");
    let last = calls.iter().rposition(is_launch).expect("a launch of a graph");
    let allowed = ["cuGraphLaunch", "cuCtxGetCurrent"];
    let beyond = calls[first..=last].iter().find(|call| !allowed.contains(call));
    assert_eq!(beyond, None, "{what}: a call between the first launch of a graph and the last");
    let kernels = calls[first..].iter().filter(|call| call.starts_with("cuLaunchKernel")).count();
    assert_eq!(kernels, 0, "{what}: a kernel outside of the graphs: {:?}", &calls[first..]);
    let reads = calls[last..].iter().filter(|call| call.starts_with("cuMemcpyDtoH")).count();
    assert_eq!(reads, count("cuMemcpyDtoH"), "{what}: a read before the last launch");
    // Rates, losses, counts, and the optimizer's status, which is one.
    assert_eq!(reads, 5, "{what}: {:?}", &calls[last..]);
}

/// The stand-in with a driver of before CUDA 12.3, in a folder of its own: the function is there under another name.
fn old_driver(folder: &Path) -> PathBuf {
    let old = Path::new(env!("CARGO_TARGET_TMPDIR")).join("digits-old-driver");
    std::fs::create_dir_all(&old).expect("a folder");
    for entry in std::fs::read_dir(folder).expect("the stand-in's folder") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, old.join(path.file_name().expect("a name"))).expect("a copy");
    }
    let name = b"cuGraphConditionalHandleCreate\0";
    let driver = old.join("libcuda.so");
    let mut bytes = std::fs::read(&driver).expect("the driver");
    let places = (0..bytes.len() - name.len()).filter(|&at| bytes[at..].starts_with(name)).collect::<Vec<_>>();
    assert!(!places.is_empty(), "the stand-in has the function");
    for at in places {
        bytes[at..at + 2].copy_from_slice(b"no");
    }
    std::fs::write(&driver, bytes).expect("the driver, changed");
    old
}

#[test]
fn a_driver_without_loops_trains_step_by_step_and_one_line_says_why() {
    let Some(Cuda::StandIn(folder)) = Cuda::of_environment() else { return };
    let (device, old) = (Cuda::StandIn(folder.clone()), Cuda::StandIn(old_driver(&folder)));
    let run_old = run(old.command(&mut digits(&["--steps", "44"], &picture("old-driver"))));
    let last = LastLine::of(&run_old);
    assert_eq!((last.backend.as_str(), last.launches), ("cuda", 44 + 2), "{run_old:?}");
    let text = String::from_utf8_lossy(&run_old.stdout);
    let reasons: Vec<_> = text.lines().filter(|line| line.starts_with("digits: one launch for each step: ")).collect();
    assert!(matches!(reasons[..], [reason] if reason.contains(OLD_DRIVER)), "{text}");

    let (new, [_, expected]) = trained(Some(&device), &["--steps", "44"], "new-driver");
    assert_eq!(new.launches, 1);
    let drawn = std::fs::read_to_string(picture("old-driver")).expect("a picture");
    assert!(drawn == expected, "the pictures of the two drivers differ");

    // What was asked for does not turn into something else.
    for launch in ["epoch", "training"] {
        let asked = run(old.command(&mut digits(&["--launch", launch, "--steps", "44"], &picture("old-asked"))));
        let text = String::from_utf8_lossy(&asked.stderr);
        assert!(asked.status.code() == Some(1) && text.contains(OLD_DRIVER), "{launch}: {asked:?}");
    }
    let asked = run(old.command(&mut digits(&["--launch", "step", "--steps", "44"], &picture("old-step"))));
    assert!(!String::from_utf8_lossy(&asked.stdout).contains("one launch for each step"), "{asked:?}");
}
