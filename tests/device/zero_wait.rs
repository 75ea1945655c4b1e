//! The zero-wait contract, as a utility for every test and as a test of every public call that claims it: a call only
//! enqueues. On the stand-in driver calls are counted by kind; on any device a capture in GLOBAL mode ends at the first
//! call that waits, allocates or copies unasked.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Clip, Greedy, LossScale, NonFinite, Observed, Optimizer, OptimizerBuilder, Plateau, Schedule,
    Sgd, Telemetry, TelemetryReader, knob, knob_steps,
};

use crate::measured::ClippedAdamW;
use crate::rig::{Pair, Rig};

/// Driver calls that only enqueue, or only look at what the calling thread has at hand.
const ENQUEUE: [&str; 5] =
    ["cuCtxGetCurrent", "cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2", "cuLaunchKernel", "cuStreamIsCapturing"];

/// What a poll may do: it starts a copy on a stream of its own, and asks whether the last one is done.
const POLL: [&str; 5] =
    ["cuCtxGetCurrent", "cuThreadExchangeStreamCaptureMode", "cuEventQuery", "cuMemcpyDtoHAsync_v2", "cuEventRecord"];

/// Runs `work` and fails if it makes a driver call that is not in `allowed`. Off the stand-in, where calls are not counted, it
/// only runs it.
#[track_caller]
pub fn assert_calls_only(rig: &Rig, allowed: &[&str], what: &str, work: impl FnOnce()) {
    let others = other_calls(rig, allowed, work);
    assert!(others.is_empty(), "{what} makes other driver calls than {allowed:?}: {others:?}");
}

/// The names of driver calls that `work` makes beside those in `allowed`.
fn other_calls(rig: &Rig, allowed: &[&str], work: impl FnOnce()) -> Vec<String> {
    if let Some(standin) = rig.standin {
        standin.reset_calls();
    }
    work();
    let log = rig.standin.map(|standin| standin.call_log()).unwrap_or_default();
    log.into_keys().filter(|name| !allowed.contains(&name.as_str())).collect()
}

/// Runs `work` and fails if it does more than to enqueue.
#[track_caller]
pub fn assert_enqueues_only(rig: &Rig, what: &str, work: impl FnOnce()) {
    assert_calls_only(rig, &ENQUEUE, what, work);
}

/// [`assert_enqueues_only`], then again inside a capture in GLOBAL mode.
#[track_caller]
pub fn assert_captures(rig: &Rig, what: &str, mut work: impl FnMut()) {
    assert_enqueues_only(rig, what, &mut work);
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    work();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0));
    let graph = graph.unwrap_or_else(|why| panic!("{what} ends a capture: {why:?}"));
    assert!(graph.is_some(), "{what} enqueues nothing");
}

/// Polls, and fails if that waits.
#[track_caller]
pub fn assert_polls(rig: &Rig, reader: &mut TelemetryReader) {
    assert_calls_only(rig, &POLL, "a poll", || drop(reader.poll().unwrap()));
}

/// Replays `graph` `count` times, `between` after each, and fails if that takes any driver call but the launches of graphs.
#[track_caller]
pub fn assert_replays_only(rig: &Rig, graph: &CudaGraph, count: u64, mut between: impl FnMut()) {
    assert_calls_only(rig, &["cuGraphLaunch", "cuCtxGetCurrent"], "a replay", || {
        for _ in 0..count {
            graph.launch().unwrap();
            between();
        }
    });
}

/// What a step is called, and what is asked of the builder.
type Form = (&'static str, fn(OptimizerBuilder) -> OptimizerBuilder);

/// Every form of a step that enqueues other kernels or compiles to them.
fn forms() -> Vec<Form> {
    vec![
        ("a plain step", |builder| builder),
        ("a step with a norm", |builder| builder.clip(Clip::torch_norm(1.0)).loss_scale(LossScale::dynamic())),
        ("a step that skips and accumulates", |builder| {
            builder.non_finite(NonFinite::Skip).accumulate(Accumulate::mean(2)).zero_gradients()
        }),
        ("a step with telemetry", |builder| builder.telemetry(Telemetry::ring(4))),
        ("a step with a mapped ring", |builder| builder.telemetry(Telemetry::ring(4).mapped())),
        ("a step that looks for the end", |builder| builder.stop_below(1e-6).stop_on_plateau().stop_at(9)),
    ]
}

/// An optimizer with knobs and both kinds of metric rules.
fn optimizer(rig: &Rig, pairs: &[Pair; 2], form: impl Fn(OptimizerBuilder) -> OptimizerBuilder) -> Optimizer {
    let warm = Schedule::linear(0.0, knob("peak", 1e-3)).over(knob_steps("warmup", 10));
    let drops = Schedule::multi_step(1e-2, 0.1, [knob_steps("decay_at_1", 30), 60.into()]);
    let builder = form(Optimizer::builder(&rig.device))
        .metric(Plateau::new())
        .group(AdamW::new(warm), &[pairs[0].device_tensor()])
        .group(Sgd::new(drops).metric(Greedy::new().smooth(3)), &[pairs[1].device_tensor()]);
    builder.build().unwrap()
}

fn pairs(rig: &Rig) -> [Pair; 2] {
    [3_000, 70].map(|len| Pair::new(rig, vec![1.0; len], vec![0.5; len], (0, 0)))
}

#[test]
fn every_form_of_a_step_only_enqueues() {
    let Some(rig) = Rig::new() else { return };
    let (pairs, loss) = (pairs(&rig), rig.array(&[1.0], 0));
    let more = Pair::new(&rig, vec![1.0; 5_000], vec![0.5; 5_000], (0, 0));
    for (what, form) in forms() {
        let mut opt = optimizer(&rig, &pairs, form);
        assert_captures(&rig, what, || opt.step(&rig.stream).unwrap());
    }
    let measuring = optimizer(&rig, &pairs, |builder| {
        let rule = ClippedAdamW { lr: 1e-3.into(), limit: 1.0 };
        builder.clip(Clip::torch_norm(1.0)).group(rule, &[more.device_tensor()])
    });
    let mut opt = measuring;
    assert_captures(&rig, "a step that measures", || opt.step(&rig.stream).unwrap());
    // SAFETY: the loss outlives the optimizer.
    let mut opt = optimizer(&rig, &pairs, |b| unsafe { b.observe_every(2, Observed::f32(loss.address())) });
    assert_captures(&rig, "a step that observes", || opt.step(&rig.stream).unwrap());
}

#[test]
fn observations_and_edits_only_enqueue() {
    let Some(rig) = Rig::new() else { return };
    let (pairs, loss) = (pairs(&rig), rig.array(&[1.0], 0));
    let mut opt = optimizer(&rig, &pairs, |builder| builder.accumulate(Accumulate::sum(1)));
    let metric = Observed::f32(loss.address());
    // SAFETY: the loss outlives the graph.
    assert_captures(&rig, "an observation", || unsafe { opt.observe(metric, &rig.stream) }.unwrap());
    assert_captures(&rig, "an observation per update", || {
        // SAFETY: as above.
        unsafe { opt.observe_per_update(metric, &rig.stream) }.unwrap();
    });
    // What would be frozen into a graph is refused inside a capture, and enqueues outside of one.
    // SAFETY: a value has no address.
    assert_enqueues_only(&rig, "an observed value", || unsafe { opt.observe(0.5, &rig.stream) }.unwrap());
    assert_enqueues_only(&rig, "an observed value per update", || {
        // SAFETY: as above.
        unsafe { opt.observe_per_update(0.5, &rig.stream) }.unwrap();
    });
    assert_enqueues_only(&rig, "an edit of a milestone", || {
        opt.edit().set_steps("decay_at_1", 40).apply(&rig.stream).unwrap();
    });
    assert_enqueues_only(&rig, "an edit", || {
        opt.edit().set("peak", 2e-3).accumulate(2).progress_increment(3).apply(&rig.stream).unwrap();
    });
    rig.finish();
}

#[test]
fn polls_of_telemetry_wait_for_nothing_and_leave_a_capture_alone() {
    let Some(rig) = Rig::new() else { return };
    let pairs = pairs(&rig);
    for telemetry in [Telemetry::ring(4), Telemetry::ring(4).mapped()] {
        let mut opt = optimizer(&rig, &pairs, |builder| builder.telemetry(telemetry.clone()));
        let mut reader = opt.telemetry().unwrap();
        let allowed: &[&str] = if telemetry == Telemetry::ring(4) { &POLL } else { &[] };
        opt.step(&rig.stream).unwrap();
        assert_calls_only(&rig, allowed, "a poll", || {
            for _ in 0..3 {
                reader.poll().unwrap();
            }
        });
        rig.finish();
        rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        opt.step(&rig.stream).unwrap();
        reader.poll().unwrap();
        let refused = reader.finish(&rig.stream);
        assert!(refused.is_err(), "to finish waits, which a capture forbids");
        rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
        let records = reader.finish(&rig.stream).unwrap();
        assert!(records.len() <= 1 && reader.lost() == 0, "one step was made, no more: {records:?}");
    }
}

#[test]
fn what_is_known_on_the_host_makes_no_driver_call() {
    let Some(rig) = Rig::new() else { return };
    let pairs = pairs(&rig);
    let opt = optimizer(&rig, &pairs, |builder| builder);
    assert_calls_only(&rig, &[], "a look at what the host knows", || {
        assert_eq!((opt.tensors().count(), opt.knobs().count()), (2, 3));
        assert!(opt.device_view().scalars(1).is_some());
    });
}

#[test]
fn a_planted_wait_is_seen() {
    let Some(rig) = Rig::new() else { return };
    let pairs = pairs(&rig);
    let mut opt = optimizer(&rig, &pairs, |builder| builder);
    if rig.standin.is_some() {
        let seen = other_calls(&rig, &ENQUEUE, || {
            opt.step(&rig.stream).unwrap();
            rig.stream.synchronize().unwrap();
        });
        assert!(seen.iter().any(|call| call == "cuStreamSynchronize"), "the planted wait was not seen: {seen:?}");
    }
    // Where calls cannot be counted, a capture in GLOBAL mode tells: what waits ends it.
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    let waited = rig.engine.synchronize();
    let captured = rig.engine.end_capture(CUgraphInstantiate_flags(0));
    assert!(waited.is_err() && captured.is_err(), "the planted wait was not seen by the capture");
}
