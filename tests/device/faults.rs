//! Planted faults: the kernels' own text with one thing wrong, which the stand-in and the comparison with the CPU backend
//! must catch. Each runs in a process of its own, since compiled images are cached per process. That a fault is *seen* is
//! the claim; the same scenario without a fault passes under every seed.

use std::process::{Command, Output};

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Clip, Device, Edit, Greedy, Momentum, Observed, Optimizer, Plateau, Schedule, Sgd, Stream,
    Telemetry, Tensor, knob, knob_steps, reached,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

/// What is wrong, the text that is replaced, and what by.
const FAULTS: &[(&str, &str, &str)] = &[
    ("no barrier before the ticket", "__syncthreads();  // thread 0 speaks", "// thread 0 speaks"),
    (
        "no barrier between values and records",
        "__syncthreads();  // cohorts read the values",
        "// cohorts read the values",
    ),
    (
        "the wrong half is read",
        "const Record* records = step.records + (load_row",
        "const Record* records = step.records + (~load_row",
    ),
    ("the half in use is written", "evaluate<THREADS>(step, t + 1,", "evaluate<THREADS>(step, t,"),
    ("the next half is that of the step after", "evaluate<THREADS>(step, t + 1,", "evaluate<THREADS>(step, t + 2,"),
    ("t advances before the last ticket", "gridDim.x - 1) == gridDim.x - 1) {\n", "gridDim.x - 1) == 0) {\n"),
    (
        "the ticket is left non-zero",
        "take_ticket(&step.control->ticket, gridDim.x - 1)",
        "take_ticket(&step.control->ticket, gridDim.x)",
    ),
    (
        "t is frozen when the launch is captured",
        "t = load_relaxed(&step.control->t);\n  if (!accum",
        "t = step.chunk_count & 0;\n  if (!accum",
    ),
    ("a skipped update is applied", "} else if (!skips<Gradients>(step)) {", "} else if (true) {"),
    ("a skipped update advances t", "  if (skips<O>(step)) {\n    if (raises", "  if (false) {\n    if (raises"),
    ("partials before no fence", "__threadfence();  // this block's", "// this block's"),
    ("partials after no fence", "__threadfence();  // all partials", "// all partials"),
    (
        "no barrier before the norm's ticket",
        "__syncthreads();  // thread 0 takes the ticket",
        "// thread 0 takes the ticket",
    ),
    ("no barrier between the adders", "__syncthreads();  // as above", "// as above"),
    (
        "the norm's ticket is left non-zero",
        "&step.control->norm_ticket, gridDim.x - 1)",
        "&step.control->norm_ticket, gridDim.x)",
    ),
    (
        "a block's last element is left out of the norm",
        "for (u32 i = 4 * lane; i < len;",
        "for (u32 i = 4 * lane; i + 1 < len;",
    ),
    ("the norm adds in another order", "apart > 0; apart /= 2) {\n    sum", "apart > 0; apart /= 4) {\n    sum"),
    ("the factor is applied after the rule", "prepare<O>(load_once(place.grad), gradient)", "load_once(place.grad)"),
    ("one element too many", "k < head + (len - tail); k", "k < head + (len - tail) + 1; k"),
    ("one vector too many", "for (; left > 0; left -= WARP)", "for (; left >= 0; left -= WARP)"),
    ("vectors where addresses do not allow them", "tensor.vector ? head", "true ? head"),
    ("the last chunk is forgotten", "while (i < step.chunk_count)", "while (i + 1 < step.chunk_count)"),
    ("every warp takes the same chunks", "+ threadIdx.x / WARP;\n  while", ";\n  while"),
    ("the progress clock stands still", "load_relaxed(&control->increment)", "0"),
    ("the next step sees the progress of this one", "+ load_row(&step.control->increment)", ""),
    ("a cohort's past is ignored", "h, t + cohort.base", "h, t"),
    ("an edit evaluates the other half", "evaluate<THREADS>(edit.step, t,", "evaluate<THREADS>(edit.step, t + 1,"),
    ("an edit evaluates nothing", "if (edit.flags & Edit::evaluate_anew) {", "if (false) {"),
    ("an edit leaves the increment", "if (edit.flags & Edit::take_increment) store", "if (false) store"),
    ("now is the step after", "write.bits == 0 ? t :", "write.bits == 0 ? t + 1 :"),
    ("now forgets the pieces before", "      remaining -= length;", ""),
    (
        "a length is not cut",
        "const u64 length = until(load_row(place), remaining);",
        "const u64 length = load_row(place);",
    ),
    (
        "the value reached is that of the last step",
        "step.values + (t & 1) * step.scalar_count + write.bits",
        "step.values + (~t & 1) * step.scalar_count + write.bits",
    ),
    ("no barrier before lengths are cut", "__syncthreads();  // thread 0 cuts", "// thread 0 cuts"),
    (
        "no barrier before the evaluation of an edit",
        "__syncthreads();  // all threads evaluate",
        "// all threads evaluate",
    ),
    (
        "what block 0 found comes after its ticket",
        "__threadfence();  // what this block found",
        "// what this block found",
    ),
    ("the end is looked for before the last ticket", "__threadfence();  // and is seen", "// and is seen"),
    ("no barrier before the end is judged", "__syncthreads();  // one warp reads", "// one warp reads"),
    ("the end is that of the update that was made", "control->end[~t & 1]", "control->end[t & 1]"),
    ("a warm-up ends training", "!(before & End::below) && (after", "(after"),
    ("no barrier before the step observes", "__syncthreads();  // windows were", "// windows were"),
    ("the step observes one update late", "observe_every) != 0) return", "observe_every) != 1) return"),
    (
        "the step observes into the half in use",
        "observe_in_step<THREADS>(step, t + 1)",
        "observe_in_step<THREADS>(step, t)",
    ),
    ("a record has the number of another call", "(call + 1) << 32", "(call + 2) << 32"),
    (
        "a record has the rates of the next update",
        "step.records + (t & 1) * step.cohort_count);",
        "step.records + (~t & 1) * step.cohort_count);",
    ),
    ("a skipped update is recorded as applied", "return (skips<O>(step) ? 0 : 1) |", "return 1 |"),
    ("an edit leaves the calls of an update", "if (edit.flags & Edit::take_accumulate) store", "if (false) store"),
    ("the mean is over the calls that were asked for", "1.0 / (double)calls", "1.0 / (double)settings.accumulate"),
    ("products are contracted", "__fmul_rn(s.one_minus_beta2, __fmul_rn(g, g))", "s.one_minus_beta2 * g * g"),
];

/// Fourteen calls of many tensors in two groups, some captured and replayed, some skipped, edits between them, against
/// the CPU backend.
#[test]
#[ignore = "a process of its own, for the tests below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("faults are planted on the stand-in");
    if let (Ok(from), Ok(to)) = (std::env::var("FAULT_FROM"), std::env::var("FAULT_TO")) {
        standin.patch(&from, &to);
    }
    for seed in 0..8 {
        standin.seed(seed);
        run(&rig);
    }
}

fn run(rig: &Rig) {
    let mut random = Random(3);
    let shapes = [(5, 0, 0), (2_050, 1, 1), (130, 0, 1), (6_000, 0, 0), (64, 2, 2), (40_000, 0, 0)];
    // Each a cohort of its own: more than one warp has.
    let cohorts = [(1, 0, 0); 36];
    let mut pairs: Vec<Pair> = shapes
        .into_iter()
        .chain(cohorts)
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
        Sgd::new(lr).momentum(Momentum::Heavy, momentum.clone())
    };
    let (mut found, mut loss) = (rig.array(&[0.0], 0), rig.array(&[0.0], 0));
    let (mut host_found, mut host_loss) = (Box::new(0.0f32), Box::new(0.0f32));
    let build = |device: &Device, found: u64, loss: u64, tensors: Vec<Tensor>| {
        let past = |tensor: &Tensor, updates: usize| tensor.clone().updates(updates as u64);
        let cohorts = tensors[6..].iter().enumerate().map(|(i, tensor)| past(tensor, 10 + i));
        let adamw_tensors = [tensors[0].clone(), past(&tensors[1], 3), tensors[2].clone()];
        let adamw_tensors: Vec<Tensor> = adamw_tensors.into_iter().chain(cohorts).collect();
        // SAFETY: the flag outlives the optimizer.
        let builder = unsafe { Optimizer::builder(device).found_inf(found) };
        // SAFETY: so does the loss.
        let builder = unsafe { builder.observe_every(2, Observed::f32(loss)) };
        builder
            .progress_increment(100)
            .clip(Clip::torch_norm(1.0))
            .stop_below(1e-1)
            .telemetry(Telemetry::ring(4))
            .accumulate(Accumulate::mean(1))
            .group(adamw().metric(Plateau::new().factor(0.75).patience(0)), &adamw_tensors)
            .group(sgd().metric(Greedy::new().factor(0.5).patience(0).smooth(5)), &tensors[3..6])
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
        assert_eq!(opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap(), "call {call}");
        let records = telemetry.finish(&rig.stream).unwrap();
        assert_eq!(records, host_telemetry.finish(&Stream::host()).unwrap(), "call {call}");
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
fn scenario_with(fault: Option<(&str, &str)>) -> Output {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "faults::scenario", "--ignored", "--nocapture"]);
    process.env("INSTEP_TEST_DEVICE", "standin").env("INSTEP_CACHE_DIR", "0");
    if let Some((from, to)) = fault {
        process.env("FAULT_FROM", from).env("FAULT_TO", to);
    }
    process.output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_scenario_without_a_fault_passes() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: faults are planted on the stand-in");
    }
    drop(rig);
    let output = scenario_with(None);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn every_planted_fault_is_caught() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: faults are planted on the stand-in");
    }
    drop(rig);
    let unseen: Vec<&str> = FAULTS
        .iter()
        .filter(|(name, from, to)| {
            let output = scenario_with(Some((from, to)));
            let text = text(&output);
            assert!(!text.contains("Compile {"), "{name}: its text must occur once in the kernels: {text}");
            let signs = ["stand-in reports", "elements differ", "left:"];
            let how = text.lines().find(|line| signs.iter().any(|sign| line.contains(sign)));
            println!("{name}: {}", how.unwrap_or("no sign").trim());
            output.status.success()
        })
        .map(|(name, ..)| *name)
        .collect();
    assert!(unseen.is_empty(), "not caught: {unseen:?}");
}
