//! Planted faults: the kernels' own text with one thing wrong, which the stand-in and the comparison with the CPU backend
//! must catch. Each runs in a process of its own, since compiled images are cached per process. That a fault is *seen* is
//! the claim; the same scenario without a fault passes under every seed.

use std::process::{Command, Output};

use cuda_on_cpu::Standin;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Clip, Device, Edit, Greedy, Momentum, NonFinite, Observed, Optimizer, Plateau, Schedule, Sgd,
    Stream, Telemetry, Tensor, Tuning, knob, knob_steps, reached,
};

use rayon::prelude::*;

use crate::planted::{EVALUATION, Fault, NORM, PROTOCOL, WALK};
use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

/// A length, and by how many elements the parameter and the gradient lie past a 16-byte boundary.
type Shape = (usize, usize, usize);

/// Of AdamW: vectors that are not whole and others, streams that do not fit.
const SHAPES: [Shape; 3] = [(5, 0, 0), (2_050, 1, 1), (130, 0, 1)];
/// Each a cohort of its own, of either rule: more than one warp has, and as many as are still staged.
const COHORTS: [Shape; 32] = [(1, 0, 0); 32];
/// Of AdamW, a pack that comes before others of its group: a warp's first tensor has more spans than its second.
const PACKED: [Shape; 20] = {
    let mut shapes = [(3, 0, 0); 20];
    (shapes[0], shapes[3], shapes[5], shapes[9], shapes[19]) =
        ((600, 0, 0), (1_023, 0, 2), (0, 0, 0), (900, 0, 0), (70, 3, 0));
    shapes
};
/// Of SGD: tensors of several tiles and of several blocks of the norm.
const LARGE: [Shape; 5] = [(6_000, 0, 0), (64, 2, 2), (12_291, 0, 0), (1_025, 0, 0), (3_000, 1, 0)];
/// The tensor, the last of the pack, and the call that get a gradient which is not finite.
const BAD: (usize, usize) = (SHAPES.len() + COHORTS.len() + PACKED.len() - 1, 11);

/// Fourteen calls of many tensors in two groups, some captured and replayed, some skipped, edits between them, against
/// the CPU backend.
#[test]
#[ignore = "a process of its own, for the tests below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("faults are planted on the stand-in");
    plant(standin);
    for seed in 0..8 {
        standin.seed(seed);
        run(&rig);
    }
}

fn run(rig: &Rig) {
    let mut random = Random(3);
    let mut pairs: Vec<Pair> = SHAPES
        .into_iter()
        .chain(COHORTS)
        .chain(PACKED)
        .chain(LARGE)
        .map(|(len, p, g)| Pair::new(rig, random.units(len), random.units(len), (p, g)))
        .collect();
    let peak = || knob("peak", 1e-1);
    let stable = || knob_steps("stable", 1_000);
    let warm = Schedule::linear(1e-3, peak()).over(knob_steps("warmup", 5));
    let lr =
        warm.clone().then(Schedule::constant(peak()).over(stable())).then(Schedule::cosine(reached(), 1e-3).over(9));
    let adamw = || AdamW::new(lr.clone()).weight_decay(Schedule::linear(0.1, 0.2).over(7));
    let tokens = Schedule::cosine(1.0, 0.5).over(900).on_progress();
    let momentum = Schedule::linear(0.8, 0.9).over(3).then(Schedule::constant(0.9).over(stable()));
    let momentum = momentum.then(Schedule::linear(0.6, 0.5).over(6));
    let sgd = || {
        let lr = warm.clone().then(Schedule::cosine(peak(), 1e-3).over(9)) * tokens.clone();
        Sgd::new(lr).momentum(Momentum::Heavy, momentum.clone()).dampening(0.25)
    };
    let (mut found, mut loss) = (rig.array(&[0.0], 0), rig.array(&[0.0], 0));
    let (mut host_found, mut host_loss) = (Box::new(0.0f32), Box::new(0.0f32));
    let build = |device: &Device, found: u64, loss: u64, tensors: Vec<Tensor>| {
        let past = |tensor: &Tensor, updates: usize| tensor.clone().updates(updates as u64);
        let (first, rest) = tensors.split_at(SHAPES.len());
        let (cohorts, rest) = rest.split_at(COHORTS.len());
        let (packed, large) = rest.split_at(PACKED.len());
        let cohorts: Vec<Tensor> = cohorts.iter().enumerate().map(|(i, tensor)| past(tensor, 10 + i)).collect();
        let (of_adamw, of_sgd) = cohorts.split_at(COHORTS.len() / 2);
        let packed: Vec<Tensor> = packed.iter().map(|tensor| past(tensor, 7)).collect();
        let mut adamw_tensors = [first, of_adamw, &packed].concat();
        adamw_tensors[1] = past(&first[1], 3);
        let mut sgd_tensors = [large, of_sgd].concat();
        sgd_tensors[1] = past(&large[1], 2);
        // SAFETY: the flag outlives the optimizer.
        let builder = unsafe { Optimizer::builder(device).found_inf(found) };
        // SAFETY: so does the loss.
        let builder = unsafe { builder.observe_every(2, Observed::f32(loss)) };
        builder
            .progress_increment(100)
            .clip(Clip::torch_norm(1.0))
            .non_finite(NonFinite::Skip)
            .tuning(Tuning { wave: Some(4), reserve: 3, ..Tuning::default() })
            .stop_below(1e-1)
            .telemetry(Telemetry::ring(4))
            .accumulate(Accumulate::mean(1))
            .group(adamw().metric(Plateau::new().factor(0.75).patience(0)), &adamw_tensors)
            .group(sgd().metric(Greedy::new().factor(0.5).patience(0).smooth(5)), &sgd_tensors)
            .build()
            .unwrap()
    };
    let tensors = pairs.iter().map(Pair::device_tensor).collect();
    let mut opt = build(&rig.device, found.address(), loss.address(), tensors);
    let tensors = pairs.iter_mut().map(Pair::host_tensor).collect();
    let (host_found_at, host_loss_at) = (&raw mut *host_found as u64, &raw mut *host_loss as u64);
    let mut host = build(&Device::host(), host_found_at, host_loss_at, tensors);
    let (mut telemetry, mut host_telemetry) = (opt.telemetry().unwrap(), host.telemetry().unwrap());

    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for call in 0..14 {
        let flag = if call % 5 == 3 { 1.0 } else { 0.0 };
        found.write(rig, &[flag]);
        *host_found = flag;
        loss.write(rig, &[(call % 3) as f32]);
        *host_loss = (call % 3) as f32;
        if call % 2 == 0 || call == BAD.1 {
            for (i, pair) in pairs.iter_mut().enumerate() {
                let mut grad = random.spread(pair.param.len);
                // At times the small tensors have most of the norm: how their sums are rounded then shows in it.
                if call % 4 == 0 && i >= SHAPES.len() + COHORTS.len() + PACKED.len() {
                    grad.iter_mut().for_each(|g| *g *= 1e-3);
                }
                if (i, call) == BAD {
                    grad[0] = f32::NAN;
                }
                pair.set_grad(rig, &grad);
            }
        }
        if call == 1 {
            // Into the half in force, after which the step observes into the next one.
            let metric = -0.1;
            // SAFETY: a value has no address.
            unsafe { opt.observe(metric, &rig.stream) }.unwrap();
            // SAFETY: as above.
            unsafe { host.observe(metric, &Stream::host()) }.unwrap();
        }
        if let Some(change) = edit(call) {
            change(opt.edit()).apply(&rig.stream).unwrap();
            change(host.edit()).apply(&Stream::host()).unwrap();
        }
        match call % 2 {
            0 => graph.launch().unwrap(),
            _ => opt.step(&rig.stream).unwrap(),
        }
        host.step(&Stream::host()).unwrap();
        rig.finish();
        for (i, pair) in pairs.iter().enumerate() {
            assert_same_bits(&pair.param.read(rig), &pair.host_param, &format!("call {call}, tensor {i}"));
        }
        let (status, expected) = (opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap());
        assert_eq!(format!("{status:?}"), format!("{expected:?}"), "call {call}");
        let same_state = opt.state(&rig.stream).unwrap() == host.state(&Stream::host()).unwrap();
        assert!(same_state, "call {call}: the states of the run differ");
        let records = telemetry.finish(&rig.stream).unwrap();
        let expected = host_telemetry.finish(&Stream::host()).unwrap();
        assert_eq!(format!("{records:?}"), format!("{expected:?}"), "call {call}");
    }
}

/// What is edited before call `call`.
fn edit(call: usize) -> Option<fn(Edit<'_>) -> Edit<'_>> {
    match call {
        1 => Some(|edit| edit.now("stable")), // in the warm-up, which is cut
        3 => Some(|edit| edit.set("peak", 2e-1).set_steps("stable", 1_000).progress_increment(40)),
        8 => Some(|edit| edit.set("peak", 3e-1).set_steps("warmup", 3).now("stable")),
        4 => Some(|edit| edit.accumulate(3)),
        6 => Some(|edit| edit.accumulate(2)), // after two calls: this one updates
        9 => Some(|edit| edit.accumulate(1)),
        10 => Some(|edit| edit.set("peak", 1e-1)),
        _ => None,
    }
}

/// The scenario in a process of its own, with a fault if there is one.
fn scenario_with(scenario: &str, fault: Option<(&str, &str)>) -> Output {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", scenario, "--ignored", "--nocapture"]);
    process.env("INSTEP_TEST_DEVICE", "standin").env("INSTEP_CACHE_DIR", "0").env("RUST_BACKTRACE", "0");
    if let Some((from, to)) = fault {
        process.env("FAULT_FROM", from).env("FAULT_TO", to);
    }
    process.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Plants what the environment says.
pub fn plant(standin: &Standin) {
    if let (Ok(from), Ok(to)) = (std::env::var("FAULT_FROM"), std::env::var("FAULT_TO")) {
        standin.patch(&from, &to);
    }
}

#[test]
fn the_scenario_without_a_fault_passes() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: faults are planted on the stand-in");
    }
    drop(rig);
    ["faults", "measured::faults", "forms::faults", "shown", "living::faults", "living::rebuilt"].par_iter().for_each(
        |place| {
            let output = scenario_with(&format!("{place}::scenario"), None);
            assert!(output.status.success(), "{place}: {}", text(&output));
        },
    );
}

/// Plants each, and names those that nothing catches.
pub fn assert_caught(scenario: &str, faults: &[Fault]) {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: faults are planted on the stand-in");
    }
    drop(rig);
    // Side by side: each is a process of its own, most of it a compilation. What fails is told by the test's own thread, whose words
    // are the ones that a failed test shows.
    let wrong: Vec<String> = faults
        .par_iter()
        .filter_map(|(name, from, to)| {
            let output = scenario_with(scenario, Some((from, to)));
            let text = text(&output);
            if text.contains("Compile {") {
                return Some(format!("{name}: its text must occur once in the kernels: {text}"));
            }
            let signs = ["stand-in reports", "on an `Err` value", "differ", "left:"];
            let how = text.lines().find(|line| signs.iter().any(|sign| line.contains(sign)));
            println!("{name}: {}", how.unwrap_or("no sign").trim());
            output.status.success().then(|| format!("{name}: not caught"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_planted_fault_of_the_protocol_is_caught() {
    assert_caught("faults::scenario", PROTOCOL);
}

#[test]
fn every_planted_fault_of_the_evaluation_is_caught() {
    assert_caught("faults::scenario", EVALUATION);
}

#[test]
fn every_planted_fault_of_the_walk_is_caught() {
    assert_caught("faults::scenario", WALK);
}

#[test]
fn every_planted_fault_of_the_norm_is_caught() {
    assert_caught("faults::scenario", NORM);
}
