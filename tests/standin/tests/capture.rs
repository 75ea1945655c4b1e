//! Stream capture and graphs: what a capture refuses, how it spreads by events, and what a replay does.

mod rig;

use std::sync::Arc;

use cudarc::driver::sys::CUresult::{self, *};
use cudarc::driver::sys::CUstreamCaptureMode::{self, *};
use cudarc::driver::sys::{CUgraph, CUgraphInstantiate_flags, CUstream_flags};
use cudarc::driver::{CudaFunction, CudaStream, DriverError, result, sys};
use rig::{Pinned, Rig, launch_on, load_function};

const TEXT: &str = r#"
typedef unsigned long long u64;
extern "C" __global__ void add(float* value, u64 addend) { __stcg(value, __ldcg(value) + float(addend)); }
extern "C" __global__ void scale(float* value, u64 factor) { __stcg(value, __ldcg(value) * float(factor)); }
"#;

const DEFAULT: CUgraphInstantiate_flags = CUgraphInstantiate_flags(0);

/// The rig, and two kernels that are loaded already.
struct Bench {
    add: CudaFunction,
    scale: CudaFunction,
    value: u64,
    rig: Rig,
}

impl Bench {
    fn new() -> Self {
        let rig = Rig::new();
        let module = rig.load_once(TEXT);
        let kernel = |name| module.load_function(name).expect("the text has it");
        let (add, scale) = (kernel("add"), kernel("scale"));
        load_function(&add);
        load_function(&scale);
        let value = rig.alloc(&[1.0f32]);
        Self { add, scale, value, rig }
    }

    fn begin(&self, mode: CUstreamCaptureMode) {
        self.rig.stream.begin_capture(mode).expect("a capture begins");
    }

    fn add(&self, stream: &Arc<CudaStream>, addend: u64) -> Result<(), DriverError> {
        launch_on(stream, &self.add, 1, 1, &[self.value, addend])
    }

    fn scale(&self, stream: &Arc<CudaStream>, factor: u64) -> Result<(), DriverError> {
        launch_on(stream, &self.scale, 1, 1, &[self.value, factor])
    }

    fn value(&self) -> f32 {
        self.rig.read(self.value, 1)[0]
    }

    /// Ends the capture with the graph alone, or what CUDA says.
    fn end(&self) -> Result<CUgraph, DriverError> {
        // SAFETY: a live stream.
        unsafe { result::stream::end_capture(self.rig.stream.cu_stream()) }
    }
}

fn is(code: CUresult) -> Result<(), DriverError> {
    Err(DriverError(code))
}

#[test]
fn a_capture_runs_nothing_and_a_replay_all() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(stream, 2).expect("recorded");
    bench.scale(stream, 10).expect("recorded");
    let graph = stream.end_capture(DEFAULT).expect("the capture ends").expect("a graph");
    assert_eq!(bench.value(), 1.0, "nothing ran");
    for expected in [30.0, 320.0, 3220.0] {
        graph.launch().expect("a replay");
        assert_eq!(bench.value(), expected);
    }
}

#[test]
fn a_capture_refuses_what_waits_allocates_or_touches_pageable_memory() {
    type Forbidden = fn(&Bench, &Arc<CudaStream>) -> Result<(), DriverError>;
    // SAFETY (of all calls below): live handles and addresses; each call is to be refused.
    let forbidden: [(&str, Forbidden); 13] = [
        ("cuCtxSynchronize", |b, _| b.rig.context.synchronize()),
        ("cuStreamSynchronize", |b, _| b.rig.stream.synchronize()),
        ("cuStreamSynchronize of another stream", |_, other| other.synchronize()),
        ("cuMemAlloc", |_, _| {
            // SAFETY: see above.
            unsafe { result::malloc_sync(16) }.map(|_| ())
        }),
        ("cuMemFree", |b, _| {
            // SAFETY: see above.
            unsafe { result::free_sync(b.value) }
        }),
        ("cuMemHostAlloc", |_, _| {
            // SAFETY: see above.
            unsafe { result::malloc_host(16, 0) }.map(|_| ())
        }),
        ("cuMemcpyHtoD", |b, _| {
            // SAFETY: see above.
            unsafe { result::memcpy_htod_sync(b.value, &[0.0f32]) }
        }),
        ("cuMemcpyHtoDAsync of pageable memory", |b, _| {
            // SAFETY: see above.
            unsafe { result::memcpy_htod_async(b.value, &[0.0f32], b.rig.stream.cu_stream()) }
        }),
        ("cuMemcpyDtoHAsync to pageable memory", |b, _| {
            // SAFETY: see above.
            unsafe { result::memcpy_dtoh_async(&mut [0.0f32], b.value, b.rig.stream.cu_stream()) }
        }),
        ("cuEventQuery", |_, other| other.record_event(None)?.try_is_complete().map(|_| ())),
        ("cuEventSynchronize", |_, other| other.record_event(None)?.synchronize()),
        ("cuStreamQuery", |_, other| {
            // SAFETY: see above.
            unsafe { sys::cuStreamQuery(other.cu_stream()) }.result()
        }),
        ("cuModuleLoadData", |b, _| b.rig.context.load_module(rig::compile(TEXT)).map(|_| ())),
    ];
    for (name, call) in forbidden {
        let bench = Bench::new();
        let other = bench.rig.context.new_stream().expect("a stream");
        bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
        bench.add(&bench.rig.stream, 1).expect("recorded");
        assert_eq!(call(&bench, &other), is(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED), "{name}");
        let later = bench.add(&bench.rig.stream, 1);
        assert_eq!(later, is(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED), "a launch after {name}");
        assert_eq!(bench.end().map(|_| ()), is(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED), "the end after {name}");
        bench.add(&bench.rig.stream, 1).expect("the stream is free again");
        assert_eq!(bench.value(), 2.0, "after {name}");
    }
}

#[test]
fn a_first_launch_loads_which_a_capture_refuses() {
    for load_before in [true, false] {
        let bench = Bench::new();
        let fresh = bench.rig.load(TEXT).load_function("add").expect("the text has it");
        if load_before {
            load_function(&fresh);
        }
        bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
        let outcome = launch_on(&bench.rig.stream, &fresh, 1, 1, &[bench.value, 1]);
        let expected = if load_before { Ok(()) } else { is(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED) };
        assert_eq!(outcome, expected, "loaded before: {load_before}");
        assert_eq!(bench.end().is_ok(), load_before);
    }
}

#[test]
fn modes_say_which_threads_may_allocate() {
    let cases = [
        (CU_STREAM_CAPTURE_MODE_GLOBAL, false, false),
        (CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, false, true),
        (CU_STREAM_CAPTURE_MODE_RELAXED, true, true),
    ];
    for (mode, here, there) in cases {
        let bench = Bench::new();
        // SAFETY: plain allocations, left to the context.
        let allocate = || unsafe { result::malloc_sync(16) }.is_ok();
        bench.begin(mode);
        let context = bench.rig.context.clone();
        let outcome = std::thread::spawn(move || {
            context.bind_to_thread().expect("a live context");
            // SAFETY: a plain allocation, left to the context.
            unsafe { result::malloc_sync(16) }.is_ok()
        });
        assert_eq!(outcome.join().expect("no panic"), there, "{mode:?}, another thread");
        assert_eq!(allocate(), here, "{mode:?}, the capturing thread");
        assert_eq!(bench.end().is_ok(), here && there, "{mode:?}");
    }
}

#[test]
fn a_thread_can_exempt_itself() {
    let bench = Bench::new();
    let exchange = |mode: CUstreamCaptureMode| {
        let mut mode = mode;
        // SAFETY: reads and writes one mode.
        unsafe { sys::cuThreadExchangeStreamCaptureMode(&mut mode) }.result().expect("a known mode");
        mode
    };
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    let before = exchange(CU_STREAM_CAPTURE_MODE_RELAXED);
    // SAFETY: a plain allocation, left to the context.
    let outcome = unsafe { result::malloc_sync(16) };
    exchange(before);
    assert_eq!(before, CU_STREAM_CAPTURE_MODE_GLOBAL);
    outcome.expect("exempt");
    bench.end().expect("the capture is valid");
}

#[test]
fn a_fork_that_joins_is_captured_with_its_order() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    let side = bench.rig.context.new_stream().expect("a stream");
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(stream, 2).expect("recorded");
    side.join(stream).expect("the side stream joins the capture");
    bench.scale(&side, 10).expect("recorded");
    stream.join(&side).expect("joined");
    bench.add(stream, 5).expect("recorded");
    let graph = stream.end_capture(DEFAULT).expect("the capture ends").expect("a graph");
    graph.launch().expect("a replay");
    assert_eq!(bench.value(), 35.0);
    bench.add(&side, 1).expect("the side stream is free again");
    side.synchronize().expect("no device error");
    assert_eq!(bench.value(), 36.0);
}

#[test]
fn branches_of_a_graph_run_in_any_order() {
    let bench = Bench::new();
    bench.rig.standin.let_streams_race();
    let (stream, side) = (&bench.rig.stream, bench.rig.context.new_stream().expect("a stream"));
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    side.join(stream).expect("the side stream joins the capture");
    bench.scale(&side, 10).expect("recorded");
    bench.add(stream, 1).expect("recorded: nothing orders it with the other");
    stream.join(&side).expect("joined");
    let graph = stream.end_capture(DEFAULT).expect("the capture ends").expect("a graph");
    let outcomes: Vec<f32> = (0..40)
        .map(|_| {
            // SAFETY: the address holds 4 bytes.
            unsafe { result::memset_d8_async(bench.value, 0, 4, stream.cu_stream()) }.expect("a set");
            graph.launch().expect("a replay");
            bench.value()
        })
        .collect();
    assert!(outcomes.contains(&1.0) && outcomes.contains(&10.0), "{outcomes:?}");
}

#[test]
fn a_fork_that_does_not_join_is_an_error() {
    let bench = Bench::new();
    let side = bench.rig.context.new_stream().expect("a stream");
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(&bench.rig.stream, 2).expect("recorded");
    side.join(&bench.rig.stream).expect("the side stream joins the capture");
    bench.scale(&side, 10).expect("recorded");
    assert_eq!(bench.end().map(|_| ()), is(CUDA_ERROR_STREAM_CAPTURE_UNJOINED));
    bench.add(&side, 1).expect("the side stream is free again");
}

#[test]
fn the_null_stream_takes_no_part_in_captures() {
    let bench = Bench::new();
    let null = bench.rig.context.default_stream();
    let outcome = null.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL);
    assert_eq!(outcome, is(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED));

    let mut raw = std::ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { sys::cuStreamCreate(&mut raw, CUstream_flags::CU_STREAM_DEFAULT as u32) }.result().expect("a stream");
    // SAFETY: a live stream of this context, left to it.
    let blocking = unsafe { bench.rig.context.wrap_borrowed_stream(raw) };
    blocking.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).expect("a capture begins");
    assert_eq!(bench.add(&null, 1), is(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT));
    // SAFETY: a live stream.
    let ended = unsafe { result::stream::end_capture(raw) };
    assert_eq!(ended.map(|_| ()), is(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED));

    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(&null, 1).expect("a non-blocking stream's capture does not mind");
    bench.end().expect("the capture is valid");
}

#[test]
fn events_of_inside_and_outside_do_not_mix() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    let outside = bench.rig.context.new_stream().expect("a stream").record_event(None).expect("an event");
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    assert_eq!(stream.wait(&outside), is(CUDA_ERROR_STREAM_CAPTURE_ISOLATION));
    bench.end().expect_err("invalidated");

    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    let inside = stream.record_event(None).expect("an event");
    assert_eq!(inside.synchronize(), is(CUDA_ERROR_CAPTURED_EVENT));
    bench.end().expect_err("invalidated");

    let second = bench.rig.context.new_stream().expect("a stream");
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    second.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).expect("another capture");
    let of_first = stream.record_event(None).expect("an event");
    assert_eq!(second.wait(&of_first), is(CUDA_ERROR_STREAM_CAPTURE_MERGE));
    bench.end().expect_err("invalidated");
}

#[test]
fn a_capture_ends_where_it_began() {
    let bench = Bench::new();
    assert_eq!(bench.end().map(|_| ()), is(CUDA_ERROR_ILLEGAL_STATE), "no capture");

    bench.begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    let stream = bench.rig.stream.clone();
    let elsewhere = std::thread::spawn(move || {
        stream.context().bind_to_thread().expect("a live context");
        // SAFETY: a live stream.
        unsafe { result::stream::end_capture(stream.cu_stream()) }.map(|_| ())
    });
    assert_eq!(elsewhere.join().expect("no panic"), is(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD));
    bench.end().expect("the right thread");

    let side = bench.rig.context.new_stream().expect("a stream");
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    side.join(&bench.rig.stream).expect("the side stream joins the capture");
    // SAFETY: a live stream.
    let forked = unsafe { result::stream::end_capture(side.cu_stream()) };
    assert_eq!(forked.map(|_| ()), is(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED));
    bench.end().expect_err("invalidated");
}

#[test]
fn a_replay_reads_pinned_memory_anew() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    let mut pinned = Pinned::new(4);
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    // SAFETY: the buffer outlives the graph's last replay.
    unsafe { result::memcpy_htod_async(bench.value, pinned.floats(1), stream.cu_stream()) }.expect("recorded");
    bench.add(stream, 1).expect("recorded");
    let graph = stream.end_capture(DEFAULT).expect("the capture ends").expect("a graph");
    for input in [5.0, 7.0] {
        pinned.floats(1)[0] = input;
        graph.launch().expect("a replay");
        assert_eq!(bench.value(), input + 1.0);
    }
}

#[test]
fn an_instantiated_kernel_node_takes_new_arguments() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(stream, 2).expect("recorded");
    // SAFETY: the address holds 4 bytes.
    unsafe { result::memset_d8_async(bench.value, 0, 4, stream.cu_stream()) }.expect("recorded");
    bench.add(stream, 4).expect("recorded");
    let graph = stream.end_capture(DEFAULT).expect("the capture ends").expect("a graph");

    use sys::CUgraphNodeType::*;
    let mut nodes = [std::ptr::null_mut(); 8];
    let mut count = nodes.len();
    // SAFETY: room for 8 handles.
    unsafe { sys::cuGraphGetNodes(graph.cu_graph(), nodes.as_mut_ptr(), &mut count) }.result().expect("nodes");
    let kinds: Vec<_> = nodes[..count]
        .iter()
        .map(|&node| {
            let mut kind = CU_GRAPH_NODE_TYPE_EMPTY;
            // SAFETY: a node of the live graph.
            unsafe { sys::cuGraphNodeGetType(node, &mut kind) }.result().expect("a node");
            kind
        })
        .collect();
    assert_eq!(kinds, [CU_GRAPH_NODE_TYPE_KERNEL, CU_GRAPH_NODE_TYPE_MEMSET, CU_GRAPH_NODE_TYPE_KERNEL]);

    let mut parameters = std::mem::MaybeUninit::<sys::CUDA_KERNEL_NODE_PARAMS>::zeroed();
    // SAFETY: a kernel node of the live graph.
    unsafe { sys::cuGraphKernelNodeGetParams_v2(nodes[2], parameters.as_mut_ptr()) }.result().expect("a kernel node");
    // SAFETY: written by the call above; all of its fields are plain.
    let mut parameters = unsafe { parameters.assume_init() };
    assert_eq!((parameters.gridDimX, parameters.blockDimX), (1, 1));
    let (mut value, mut addend) = (bench.value, 9u64);
    let mut arguments = [(&raw mut value).cast(), (&raw mut addend).cast()];
    parameters.kernelParams = arguments.as_mut_ptr();
    graph.launch().expect("a replay before the update");
    // SAFETY: the arguments live until the call returns, which copies them.
    unsafe { sys::cuGraphExecKernelNodeSetParams_v2(graph.cu_graph_exec(), nodes[2], &parameters) }
        .result()
        .expect("an update");
    assert_eq!(bench.value(), 4.0, "a replay that was enqueued keeps its arguments");
    graph.launch().expect("a replay");
    assert_eq!(bench.value(), 9.0);
}

#[test]
fn a_graph_is_not_launched_with_stale_handles() {
    let bench = Bench::new();
    let stream = &bench.rig.stream;
    bench.begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
    bench.add(stream, 2).expect("recorded");
    let graph = bench.end().expect("the capture ends");
    // SAFETY: a live graph.
    let exec = unsafe { result::graph::instantiate(graph, DEFAULT) }.expect("an executable graph");
    // SAFETY: a live graph, destroyed once; its executable copy does not need it.
    unsafe { result::graph::destroy(graph) }.expect("it is live");
    // SAFETY: a live executable graph and stream.
    unsafe { result::graph::launch(exec, stream.cu_stream()) }.expect("a replay");
    assert_eq!(bench.value(), 3.0);
    // SAFETY: destroyed once.
    unsafe { result::graph::exec_destroy(exec) }.expect("it is live");
    // SAFETY: a stale handle: to be refused.
    let stale = unsafe { result::graph::launch(exec, stream.cu_stream()) };
    assert_eq!(stale, is(CUDA_ERROR_INVALID_HANDLE));
}
