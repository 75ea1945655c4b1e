//! Calls that wait on a stream that is being captured, and the per-thread default stream on another thread: both are refused
//! before the driver sees them.

use std::ffi::c_void;

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{AdamW, Error, Observed, Optimizer, Plateau, Schedule, Sgd, Stream, Telemetry, knob};

use crate::rig::{Pair, Rig};
use crate::twins::Twins;

const WAITS: &str = "stream is capturing a graph, but this waits, which a capture forbids";
const LEGACY: &str = "stream is the legacy default stream while a stream that is ordered with it is capturing a graph, but \
                      this waits, which a capture forbids";
const THREAD: &str = "stream is the per-thread default stream, but it belongs to the thread that borrowed it: on this one its \
                      handle is another stream";

#[track_caller]
fn refused<T>(result: instep::Result<T>) -> String {
    match result {
        Ok(_) => panic!("it must be refused"),
        Err(error @ Error::Argument { .. }) => error.to_string(),
        Err(other) => panic!("{other}"),
    }
}

/// Handle 0 or 2.
fn special(rig: &Rig, handle: usize) -> Stream {
    // SAFETY: a special handle.
    unsafe { rig.device.stream_from_raw(handle as *mut c_void) }.unwrap()
}

#[test]
fn every_call_that_waits_is_refused_in_a_capture_which_goes_on_unharmed() {
    let Some(rig) = Rig::new() else { return };
    for telemetry in [Telemetry::ring(16), Telemetry::ring(16).mapped()] {
        let mut twins = Twins::new(&rig, &[70, 300], |builder, tensors| {
            builder.group(AdamW::new(Schedule::linear(0.0, 0.5).over(4)), tensors).telemetry(telemetry.clone())
        });
        let mut reader = twins.device.telemetry().unwrap();
        let block = twins.device.state(&rig.stream).unwrap();
        rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        twins.device.step(&rig.stream).unwrap();
        assert_eq!(refused(rig.stream.synchronize()), WAITS);
        assert_eq!(refused(twins.device.status(&rig.stream)), WAITS);
        assert_eq!(refused(twins.device.state(&rig.stream)), WAITS);
        assert_eq!(refused(twins.device.load_state(&block, &rig.stream)), WAITS);
        assert_eq!(refused(reader.finish(&rig.stream)), WAITS);
        twins.device.step(&rig.stream).unwrap();
        let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
        for _ in 0..2 {
            graph.launch().unwrap();
            (0..2).for_each(|_| twins.host.step(&Stream::host()).unwrap());
        }
        twins.expect_same("after a capture in which everything that waits was refused");
        assert_eq!(reader.finish(&rig.stream).unwrap().len(), 4);
    }
}

#[test]
fn a_wait_for_the_legacy_stream_leaves_the_capture_of_a_blocking_stream_alone() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::sgd(&rig, 0.5.into());
    let (legacy, blocking) = (special(&rig, 0), special(&rig, 2));
    rig.finish();
    let raw = blocking.raw().cast();
    // SAFETY: the calling thread's default stream, of the context that is current.
    unsafe { cudarc::driver::result::stream::begin_capture(raw, CU_STREAM_CAPTURE_MODE_GLOBAL) }.unwrap();
    twins.device.step(&blocking).unwrap();
    assert_eq!(refused(legacy.synchronize()), LEGACY);
    assert_eq!(refused(twins.device.status(&legacy)), LEGACY);
    assert_eq!(refused(blocking.synchronize()), WAITS);
    // SAFETY: as above.
    let graph = unsafe { cudarc::driver::result::stream::end_capture(raw) }.unwrap();
    assert!(!graph.is_null(), "the capture went on");
    // SAFETY: the graph that the capture made.
    unsafe { cudarc::driver::sys::cuGraphDestroy(graph) }.result().unwrap();
    legacy.synchronize().unwrap();
    twins.expect_same("a step was captured and none was run");
}

#[test]
fn the_per_thread_stream_is_refused_on_another_thread_before_anything_is_enqueued() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0; 70], vec![0.5; 70], (0, 0));
    let loss = rig.array(&[1.0], 0);
    let rule = Sgd::new(knob("lr", 0.5)).metric(Plateau::new());
    let builder = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]).stop_at(9);
    let mut opt = builder.telemetry(Telemetry::ring(8)).build().unwrap();
    let mut reader = opt.telemetry().unwrap();
    let condition = opt.stop_condition().unwrap();
    let block = opt.state(&rig.stream).unwrap();
    let of_cudarc = rig.device.stream(&rig.context.per_thread_stream()).unwrap();
    rig.finish();
    for stream in [special(&rig, 2), of_cudarc] {
        let before = rig.standin.map(|standin| standin.total_calls());
        std::thread::scope(|scope| {
            let other = scope.spawn(|| {
                let metric = Observed::f32(loss.address());
                assert_eq!(refused(opt.step(&stream)), THREAD);
                // SAFETY: refused before anything is enqueued.
                assert_eq!(refused(unsafe { opt.observe(metric, &stream) }), THREAD);
                assert_eq!(refused(opt.edit().set("lr", 0.25).apply(&stream)), THREAD);
                // SAFETY: as above.
                assert_eq!(refused(unsafe { condition.set(1, &stream) }), THREAD);
                assert_eq!(refused(opt.status(&stream)), THREAD);
                assert_eq!(refused(opt.state(&stream)), THREAD);
                assert_eq!(refused(opt.load_state(&block, &stream)), THREAD);
                assert_eq!(refused(reader.finish(&stream)), THREAD);
                assert_eq!(refused(stream.synchronize()), THREAD);
            });
            other.join().unwrap();
        });
        assert_eq!(rig.standin.map(|standin| standin.total_calls()), before, "no driver call was made");
        opt.step(&stream).unwrap();
        stream.synchronize().unwrap();
    }
    assert_eq!(opt.status(&rig.stream).unwrap().t, 2, "the thread that borrowed it may use it");
    assert_eq!(opt.knobs().count(), 1);
}
