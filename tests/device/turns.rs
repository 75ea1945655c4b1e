//! Steps that nothing orders after the work on their gradients, or after each other: the check mode finds what stream and event
//! queries can tell, and the stand-in reports every race between streams.

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use cudarc::driver::{CudaStream, result};
use instep::{AdamW, Error, Optimizer, Stream};

use crate::rig::{Array, Pair, Rig};
use crate::zero_wait::{assert_calls_only, assert_enqueues_only};

const LEGACY: &str = "stream is idle while there is work on the legacy default stream, but it does not wait for that: if \
                      gradients are computed there, record an event after them, and let this stream wait for it";
const OVERLAP: &str = "stream is idle while the call before this one is on another stream, but calls of one optimizer come \
                       one after the other: record an event on that stream, and let this one wait for it";
const SEEDS: u64 = 16;

fn pair(rig: &Rig) -> Pair {
    Pair::new(rig, vec![1.0; 300], vec![0.5; 300], (0, 0))
}

fn checked(rig: &Rig, pair: &Pair) -> Optimizer {
    let builder = Optimizer::builder(&rig.device).group(AdamW::new(0.1), &[pair.device_tensor()]);
    builder.check_order().build().unwrap()
}

/// Work that is not done soon.
struct Busy(Array);

impl Busy {
    fn new(rig: &Rig) -> Busy {
        Busy(rig.array(&vec![0.0; if rig.standin.is_some() { 16 } else { 16 << 20 }], 0))
    }

    fn on(&self, stream: *mut c_void) {
        for _ in 0..100 {
            // SAFETY: bytes of the array, which nothing else touches.
            unsafe { result::memset_d8_async(self.0.address(), 0, 4 * self.0.len, stream.cast()) }.unwrap();
        }
    }
}

#[track_caller]
fn refused(result: instep::Result<()>) -> String {
    match result {
        Err(error @ Error::Argument { .. }) => error.to_string(),
        other => panic!("it must be refused: {other:?}"),
    }
}

fn other_stream(rig: &Rig) -> (Arc<CudaStream>, Stream) {
    let engine = rig.context.new_stream().unwrap();
    let stream = rig.device.stream(&engine).unwrap();
    (engine, stream)
}

#[test]
fn the_check_mode_sees_work_on_the_default_stream_that_the_step_does_not_wait_for() {
    let Some(rig) = Rig::new() else { return };
    let (pair, busy) = (pair(&rig), Busy::new(&rig));
    let mut opt = checked(&rig, &pair);
    rig.finish();
    busy.on(std::ptr::null_mut());
    assert_eq!(refused(opt.step(&rig.stream)), LEGACY);
    rig.context.synchronize().unwrap();
    opt.step(&rig.stream).unwrap();
    rig.finish();
    busy.on(std::ptr::null_mut());
    rig.engine.wait(&rig.context.default_stream().record_event(None).unwrap()).unwrap();
    opt.step(&rig.stream).expect("an event orders it");
    rig.context.synchronize().unwrap();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 2, "what was refused was not enqueued");
}

#[test]
fn the_check_mode_sees_steps_that_overlap() {
    let Some(rig) = Rig::new() else { return };
    let (pair, busy) = (pair(&rig), Busy::new(&rig));
    let mut opt = checked(&rig, &pair);
    let (engine, other) = other_stream(&rig);
    rig.finish();
    busy.on(rig.stream.raw());
    opt.step(&rig.stream).unwrap();
    assert_eq!(refused(opt.step(&other)), OVERLAP);
    engine.wait(&rig.engine.record_event(None).unwrap()).unwrap();
    opt.step(&other).expect("an event orders it");
    other.synchronize().unwrap();
    opt.step(&rig.stream).expect("the host has waited");
    rig.finish();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 3, "what was refused was not enqueued");
}

#[test]
fn the_check_mode_asks_and_waits_for_nothing_and_may_be_captured() {
    let Some(rig) = Rig::new() else { return };
    let pair = pair(&rig);
    let mut opt = checked(&rig, &pair);
    let asks = [
        "cuCtxGetCurrent",
        "cuLaunchKernel",
        "cuStreamIsCapturing",
        "cuThreadExchangeStreamCaptureMode",
        "cuStreamQuery",
        "cuStreamGetFlags",
        "cuEventQuery",
        "cuEventRecord",
    ];
    assert_calls_only(&rig, &asks, "a step in check mode", || (0..3).for_each(|_| opt.step(&rig.stream).unwrap()));
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    assert_enqueues_only(&rig, "a captured step in check mode", || opt.step(&rig.stream).unwrap());
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    graph.launch().unwrap();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 4);
}

/// What the stand-in reports of a step on one stream and the work on its gradients on another one.
fn report_of(rig: &Rig, seed: u64, order: impl Fn(&CudaStream)) -> Option<String> {
    let standin = rig.standin.expect("asked for");
    let mut pair = pair(rig);
    let mut opt = Optimizer::builder(&rig.device).group(AdamW::new(0.1), &[pair.device_tensor()]).build().unwrap();
    let (engine, other) = other_stream(rig);
    rig.finish();
    standin.seed(seed);
    pair.set_grad(rig, &[0.25; 300]);
    order(&engine);
    opt.step(&other).unwrap();
    let outcome = rig.context.synchronize();
    let report = standin.take_report();
    assert_eq!(outcome.is_err(), report.is_some(), "{report:?}");
    standin.reset();
    report
}

#[test]
fn a_step_that_nothing_orders_after_its_gradients_is_reported_in_every_order() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: races between streams are reported by the stand-in");
    }
    for seed in 0..SEEDS {
        let report = report_of(&rig, seed, |_| {}).unwrap_or_else(|| panic!("seed {seed}: no report"));
        assert!(report.starts_with("race between streams: "), "seed {seed}: {report}");
        assert!(report.contains("kernel update on stream ") && report.contains("a copy on stream "), "{report}");
    }
    for seed in 0..SEEDS {
        let by_event = report_of(&rig, seed, |stream| {
            stream.wait(&rig.engine.record_event(None).unwrap()).unwrap();
        });
        let by_wait = report_of(&rig, seed, |_| rig.engine.synchronize().unwrap());
        assert_eq!((by_event, by_wait), (None, None), "seed {seed}");
    }
}
