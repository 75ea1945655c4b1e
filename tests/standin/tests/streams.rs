//! Work on two streams that touches the same memory: what nothing orders is reported in every order that is drawn, and what
//! is ordered never is.

mod rig;

use std::sync::Arc;

use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use cudarc::driver::sys::{CUevent_flags, CUgraphInstantiate_flags, CUstream_flags};
use cudarc::driver::{CudaFunction, CudaStream, result, sys};
use rig::{Rig, launch_on, load_function};

const TEXT: &str = r#"
typedef unsigned long long u64;
extern "C" __global__ void fill(float* values, u64 count) {
    const u64 i = threadIdx.x + u64(blockIdx.x) * blockDim.x;
    if (i < count) __stcg(&values[i], 1.0f);
}
extern "C" __global__ void look(const float* values, u64 count, float* out) {
    const u64 i = threadIdx.x + u64(blockIdx.x) * blockDim.x;
    if (i < count) __stcg(&out[i], __ldcg(&values[i]));
}
extern "C" __global__ void bump(int* counter) { atomicAdd(counter, 1); }
"#;
const COUNT: usize = 300;
const SEEDS: u64 = 24;

struct Bench {
    rig: Rig,
    side: Arc<CudaStream>,
    fill: CudaFunction,
    look: CudaFunction,
    values: u64,
    out: u64,
}

impl Bench {
    fn new() -> Self {
        let rig = Rig::new();
        let module = rig.load_once(TEXT);
        let [fill, look] = ["fill", "look"].map(|name| module.load_function(name).expect("the text has it"));
        [&fill, &look].into_iter().for_each(load_function);
        let (values, out) = (rig.alloc(&[0.0f32; COUNT]), rig.alloc(&[0.0f32; COUNT]));
        let side = rig.context.new_stream().expect("a stream");
        Self { side, fill, look, values, out, rig }
    }

    fn fill(&self, stream: &Arc<CudaStream>) {
        launch_on(stream, &self.fill, 4, 128, &[self.values, COUNT as u64]).expect("a launch");
    }

    fn look(&self, stream: &Arc<CudaStream>) {
        launch_on(stream, &self.look, 4, 128, &[self.values, COUNT as u64, self.out]).expect("a launch");
    }

    /// Runs `work` under many seeds; the stand-in must report a race each time, with all of `texts` in it.
    fn races(&self, texts: &[&str], work: impl Fn(&Self)) {
        for seed in 0..SEEDS {
            self.rig.standin.seed(seed);
            work(self);
            let _ = self.rig.context.synchronize();
            let report = self.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
            assert!(report.starts_with("race between streams: "), "seed {seed}: {report}");
            assert!(texts.iter().all(|text| report.contains(text)), "seed {seed}: {report} has not all of {texts:?}");
            self.rig.standin.reset();
            self.rig.context.synchronize().expect("the error is forgotten");
        }
    }

    fn is_clean(&self, work: impl Fn(&Self)) {
        for seed in 0..SEEDS {
            self.rig.standin.seed(seed);
            work(self);
            self.rig.context.synchronize().unwrap_or_else(|e| panic!("{e:?}: {:?}", self.rig.standin.take_report()));
            self.rig.expect_clean();
        }
    }
}

#[test]
fn two_kernels_that_nothing_orders_race_in_every_order() {
    let bench = Bench::new();
    bench.races(&["kernel fill on stream ", "kernel look on stream "], |b| {
        b.fill(&b.side);
        b.look(&b.rig.stream);
    });
    bench.races(&["kernel fill on stream ", "stores to 0x"], |b| {
        b.fill(&b.side);
        b.fill(&b.rig.stream);
    });
    bench.is_clean(|b| {
        launch_on(&b.side, &b.look, 4, 128, &[b.values, 150, b.out]).expect("a launch");
        launch_on(&b.rig.stream, &b.look, 4, 128, &[b.values, 150, b.out + 600]).expect("a launch");
    });
}

#[test]
fn a_set_or_a_copy_races_with_a_kernel_and_with_another_copy() {
    let bench = Bench::new();
    let host = [1.0f32; COUNT];
    let set = |b: &Bench| {
        // SAFETY: as many bytes as `values` has.
        unsafe { result::memset_d8_async(b.values, 0, 4 * COUNT, b.side.cu_stream()) }.expect("a set");
    };
    let copy = |b: &Bench| {
        // SAFETY: as above; the host's side is staged at the call.
        unsafe { result::memcpy_htod_async(b.values, &host, b.side.cu_stream()) }.expect("a copy");
    };
    bench.races(&["a set on stream ", "kernel look on stream "], |b| {
        set(b);
        b.look(&b.rig.stream);
    });
    bench.races(&["a copy on stream ", "kernel look on stream "], |b| {
        copy(b);
        b.look(&b.rig.stream);
    });
    bench.races(&["a copy on stream ", "kernel fill on stream "], |b| {
        b.fill(&b.rig.stream);
        // SAFETY: both sides have as many bytes.
        unsafe { result::memcpy_dtod_async(b.out, b.values, 4 * COUNT, b.side.cu_stream()) }.expect("a copy");
    });
    bench.is_clean(|b| {
        // SAFETY: a part of `values` that the kernel does not look at.
        unsafe { result::memset_d8_async(b.values + 400, 0, 400, b.side.cu_stream()) }.expect("a set");
        launch_on(&b.rig.stream, &b.look, 1, 128, &[b.values, 100, b.out]).expect("a launch");
    });
}

#[test]
fn an_event_or_a_wait_of_the_host_orders_streams() {
    let bench = Bench::new();
    bench.is_clean(|b| {
        b.fill(&b.side);
        b.rig.stream.wait(&b.side.record_event(None).expect("an event")).expect("a wait");
        b.look(&b.rig.stream);
        b.side.wait(&b.rig.stream.record_event(None).expect("an event")).expect("a wait");
        b.fill(&b.side);
    });
    bench.is_clean(|b| {
        b.fill(&b.side);
        b.side.synchronize().expect("no error");
        b.look(&b.rig.stream);
        b.rig.stream.synchronize().expect("no error");
    });
    bench.is_clean(|b| {
        b.fill(&b.side);
        let event = b.side.record_event(Some(CUevent_flags::CU_EVENT_DISABLE_TIMING)).expect("an event");
        event.synchronize().expect("no error");
        b.look(&b.rig.stream);
    });
    // The event is recorded too early, or waited for by a third stream.
    bench.races(&["kernel fill", "kernel look"], |b| {
        let event = b.side.record_event(None).expect("an event");
        b.fill(&b.side);
        b.rig.stream.wait(&event).expect("a wait");
        b.look(&b.rig.stream);
    });
    let third = bench.rig.context.new_stream().expect("a stream");
    bench.races(&["kernel fill", "kernel look"], |b| {
        b.fill(&b.side);
        third.wait(&b.side.record_event(None).expect("an event")).expect("a wait");
        b.look(&b.rig.stream);
    });
    bench.is_clean(|b| {
        b.fill(&b.side);
        third.wait(&b.side.record_event(None).expect("an event")).expect("a wait");
        b.rig.stream.wait(&third.record_event(None).expect("an event")).expect("a wait");
        b.look(&b.rig.stream);
    });
}

#[test]
fn the_legacy_stream_is_ordered_with_blocking_streams_alone() {
    let bench = Bench::new();
    let legacy = bench.rig.context.default_stream();
    let mut raw = std::ptr::null_mut();
    // SAFETY: a stream that is destroyed below.
    unsafe { sys::cuStreamCreate(&mut raw, CUstream_flags::CU_STREAM_DEFAULT as u32) }.result().expect("a stream");
    let set = |b: &Bench| {
        // SAFETY: as many bytes as `values` has.
        unsafe { result::memset_d8_async(b.values, 0, 4 * COUNT, raw) }.expect("a set");
    };
    bench.is_clean(|b| {
        set(b);
        b.look(&legacy);
        set(b);
        b.fill(&legacy);
    });
    bench.races(&["on the legacy stream", "kernel look on stream "], |b| {
        b.fill(&legacy);
        b.look(&b.side);
    });
    // SAFETY: made above, and its work is done.
    unsafe { sys::cuStreamDestroy_v2(raw) }.result().expect("it goes");
}

#[test]
fn nodes_of_a_graph_are_ordered_by_its_edges_and_its_stream() {
    let bench = Bench::new();
    let capture = |join_first: bool| {
        let (main, side) = (&bench.rig.stream, &bench.side);
        main.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).expect("a capture");
        side.wait(&main.record_event(None).expect("an event")).expect("a wait");
        bench.fill(side);
        let filled = side.record_event(None).expect("an event");
        if join_first {
            main.wait(&filled).expect("a wait");
        }
        bench.look(main);
        main.wait(&filled).expect("a wait");
        main.end_capture(CUgraphInstantiate_flags(0)).expect("a graph").expect("not empty")
    };
    let (joined, apart) = (capture(true), capture(false));
    bench.is_clean(|_| (0..3).for_each(|_| joined.launch().expect("a launch")));
    bench.races(&["kernel fill of a graph on stream ", "kernel look of a graph on stream "], |_| {
        apart.launch().expect("a launch");
    });
    bench.races(&["of a graph on stream ", "kernel fill on stream "], |b| {
        joined.launch().expect("a launch");
        b.fill(&b.side);
    });
    bench.is_clean(|b| {
        joined.launch().expect("a launch");
        b.side.wait(&b.rig.stream.record_event(None).expect("an event")).expect("a wait");
        b.fill(&b.side);
    });
}

#[test]
fn atomics_of_two_streams_do_not_race_and_steady_work_is_cheap() {
    let bench = Bench::new();
    let bump = bench.rig.load_once(TEXT).load_function("bump").expect("the text has it");
    bench.is_clean(|b| {
        for stream in [&b.side, &b.rig.stream] {
            launch_on(stream, &bump, 2, 32, &[b.out]).expect("a launch");
        }
    });
    // Without any wait of the host: what is remembered of a page must not grow with the launches.
    for _ in 0..2_000 {
        bench.fill(&bench.rig.stream);
    }
    bench.rig.expect_clean();
}
