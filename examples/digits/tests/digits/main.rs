//! The example `digits`, run as a user runs it: on the host, and in its CUDA form on the stand-in driver, or on a real
//! GPU with `INSTEP_TEST_DEVICE=gpu`.

mod launches;
#[path = "../../order.rs"]
mod order;
mod plateau;
mod precision;
mod prodigy;
mod program;
#[path = "../../recipe.rs"]
mod recipe;

use std::path::Path;

use approx::abs_diff_eq;

use crate::program::{Cuda, LastLine, digits, picture, run};

#[test]
fn the_host_form_learns_the_digits() {
    let picture = picture("host");
    let run = run(&mut digits(&["--host"], &picture));
    assert!(run.status.success(), "{run:?}");
    let result = LastLine::of(&run);
    assert_eq!((result.backend.as_str(), result.steps), ("host", 1320));
    assert_eq!(Path::new(&result.picture), picture);
    assert!(result.accuracy >= 0.95, "{result:?}");
    let svg = std::fs::read_to_string(&picture).expect("the picture");
    for label in ["training loss", "validation loss", "learning rate, as applied", "step"] {
        assert!(svg.contains(label), "no {label:?} in {}", picture.display());
    }
}

#[test]
fn the_cuda_form_learns_as_the_host_form_does() {
    let Some(device) = Cuda::of_environment() else { return };
    let cuda = picture("cuda");
    let run_cuda = run(device.command(&mut digits(&[], &cuda)));
    assert!(run_cuda.status.success(), "{run_cuda:?}");
    let result = LastLine::of(&run_cuda);
    assert_eq!(result.backend, "cuda", "{run_cuda:?}");
    assert!(result.accuracy >= 0.95, "{result:?}");

    let host = picture("host-twin");
    let host_result = LastLine::of(&run(&mut digits(&["--host"], &host)));
    assert!(abs_diff_eq!(result.accuracy, host_result.accuracy, epsilon = 0.01), "{result:?}, {host_result:?}");
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
    assert_eq!(LastLine::of(&run).backend, "host", "{run:?}");
    let text = String::from_utf8_lossy(&run.stdout);
    let reasons: Vec<_> = text.lines().filter(|line| line.starts_with("digits: training on the host: ")).collect();
    assert!(matches!(reasons[..], [reason] if reason.contains("no CUDA device")), "{text}");
}

#[test]
fn an_untrained_network_is_a_failure() {
    let run = run(&mut digits(&["--host", "--steps", "1"], &picture("untrained")));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let result = LastLine::of(&run);
    assert!(result.steps == 1 && result.accuracy < 0.95, "{result:?}");
}

#[test]
fn a_wrong_option_is_a_usage_error() {
    let steps = [&["--steps"][..], &["--steps", "0"], &["--steps", "many"]];
    let rules = [&["--rule"][..], &["--rule", "sgd"]];
    let schedules = [&["--schedule"][..], &["--schedule", "linear"]];
    let launches = [&["--launch"][..], &["--launch", "all"]];
    let precisions = [&["--precision"][..], &["--precision", "half"]];
    let seeds = [&["--seed"][..], &["--seed", "4294967296"], &["--seed", "-1"]];
    let others = [&["--fast"][..], &["--host", "extra"], &["--csv"]];
    for options in [&steps[..], &rules, &schedules, &launches, &precisions, &seeds, &others].concat() {
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
