//! The room against the stand-in for CUDA: what a launch costs, what a capture survives, what an error leaves behind.
//! Each test is a process of its own: the stand-in's counters and current contexts are the process's and the thread's.

use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::Arc;

use cuda_on_cpu::Standin;
use cudarc::driver::CudaContext;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};

use super::scratch::in_own_process;
use super::*;
use crate::error::{Error, Result};

/// `y[i] += a` for i < n.
const SHIFT: Source<'static> = Source {
    name: "shift.cu",
    text: r#"
        struct Shift { float* y; unsigned n; float a; };
        extern "C" __global__ void shift(Shift p) {
            unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
            if (i < p.n) p.y[i] += p.a;
        }"#,
    headers: &[],
};

#[derive(Debug, Clone, Copy, bytemuck::NoUninit)]
#[repr(C)]
struct Shift {
    y: u64,
    n: u32,
    a: f32,
}

/// A device of the stand-in, a kernel, and 100 numbers, all 1.
struct Bench {
    stand_in: &'static Standin,
    context: Arc<Context>,
    function: Function<Shift>,
    numbers: Memory,
    params: Shift,
}

impl Bench {
    /// None in the process that only starts `test`, and where the stand-in cannot be built.
    fn of(test: &str) -> Option<Self> {
        // The stand-in brings its own NVRTC, and what it makes belongs in no cache that outlives it.
        let variables = [("INSTEP_CACHE_DIR", "0".as_ref()), ("INSTEP_NVRTC", "".as_ref())];
        if !in_own_process(&format!("device::tests::{test}"), &variables) {
            return None;
        }
        let stand_in = cuda_on_cpu::load().inspect_err(|why| eprintln!("skipped: no stand-in for CUDA: {why}")).ok()?;
        let context = Context::primary(0).unwrap();
        let module = Module::load(&context, &compile(&context, &SHIFT).unwrap()).unwrap();
        let function = module.function("shift").unwrap();
        let numbers = Memory::new(&context, 400).unwrap();
        let mut setup = Setup::new(&context).unwrap();
        setup.upload(&numbers, 0, bytemuck::cast_slice(&[1f32; 100])).unwrap();
        setup.finish().unwrap();
        let params = Shift { y: numbers.address(), n: 100, a: 0.5 };
        Some(Self { stand_in, context, function, numbers, params })
    }

    fn launch(&self, stream: &Stream) -> Result<()> {
        self.function.launch(stream, 2, 64, &self.params)
    }

    /// The numbers, which must all be equal.
    fn value(&self, stream: &Stream) -> f32 {
        let mut bytes = [0; 400];
        read(&self.context, stream, self.numbers.address(), &mut bytes).unwrap();
        let numbers: &[f32] = &bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<_>>();
        assert!(numbers.iter().all(|number| *number == numbers[0]), "{numbers:?}");
        numbers[0]
    }
}

/// An engine's cudarc context on the same device, without the event tracking that a capture refuses.
fn engine() -> Arc<CudaContext> {
    let engine = CudaContext::new(0).unwrap();
    // SAFETY: this test orders its own work.
    unsafe { engine.disable_event_tracking() };
    engine
}

/// A context beside the primary one; the thread's current context is left as it was.
fn second_context() -> *mut c_void {
    // SAFETY: the stand-in is loaded already.
    let library = unsafe { libloading::Library::new("libcuda.so") }.unwrap();
    type Create = unsafe extern "C" fn(*mut *mut c_void, c_uint, c_int) -> u32;
    // SAFETY: cuda.h declares CUresult cuCtxCreate_v2(CUcontext*, unsigned int, CUdevice).
    let create = *unsafe { library.get::<Create>("cuCtxCreate_v2") }.unwrap();
    let mut context = ptr::null_mut();
    // SAFETY: `context` outlives the call.
    assert_eq!(unsafe { create(&mut context, 0, 0) }, 0);
    // SAFETY: pops what cuCtxCreate pushed.
    unsafe { driver::driver().unwrap().cuCtxPopCurrent_v2(&mut ptr::null_mut()) }.unwrap();
    std::mem::forget(library);
    context
}

fn current_context() -> *mut c_void {
    let mut present = ptr::null_mut();
    // SAFETY: `present` outlives the call.
    unsafe { driver::driver().unwrap().cuCtxGetCurrent(&mut present) }.unwrap();
    present
}

#[test]
fn a_launch_is_two_driver_calls_where_the_context_is_current() {
    let Some(bench) = Bench::of("a_launch_is_two_driver_calls_where_the_context_is_current") else { return };
    let stream = Stream::create(&bench.context).unwrap();
    let current = bench.context.current().unwrap();
    bench.stand_in.reset_calls();
    bench.launch(&stream).unwrap();
    let calls = bench.stand_in.call_log();
    assert_eq!(bench.stand_in.total_calls(), 2, "{calls:?}");
    assert_eq!((calls["cuCtxGetCurrent"], calls["cuLaunchKernel"]), (1, 1));
    drop(current);
    assert_eq!(bench.value(&stream), 1.5);
    assert!(bench.function.blocks_per_multiprocessor(64).unwrap() > 0);
}

#[test]
fn the_first_launch_may_be_captured_and_replays() {
    let Some(bench) = Bench::of("the_first_launch_may_be_captured_and_replays") else { return };
    let engine = engine();
    let cuda_stream = engine.new_stream().unwrap();
    let stream = Stream::from_cudarc(&cuda_stream).unwrap();
    assert!(!stream.is_capturing().unwrap());
    cuda_stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    assert!(stream.is_capturing().unwrap());
    bench.launch(&stream).unwrap();
    let graph = cuda_stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert_eq!(bench.value(&stream), 1.0, "a capture runs nothing");
    graph.launch().unwrap();
    graph.launch().unwrap();
    assert_eq!(bench.value(&stream), 2.0);
}

#[test]
fn building_reading_and_dropping_leave_an_open_capture_whole() {
    let Some(bench) = Bench::of("building_reading_and_dropping_leave_an_open_capture_whole") else { return };
    let engine = engine();
    let cuda_stream = engine.new_stream().unwrap();
    let stream = Stream::from_cudarc(&cuda_stream).unwrap();
    let before = Memory::new(&bench.context, 64).unwrap();
    cuda_stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    bench.launch(&stream).unwrap();
    std::thread::scope(|scope| {
        let other_thread = scope.spawn(|| {
            let memory = Memory::new(&bench.context, 64).unwrap();
            let mut setup = Setup::new(&bench.context).unwrap();
            memory.fill(setup.stream(), 0, 64, Filling::Bytes(0)).unwrap();
            setup.upload(&memory, 8, &[1; 8]).unwrap();
            setup.finish().unwrap();
            let image = compile(&bench.context, &SHIFT).unwrap();
            Module::load(&bench.context, &image).unwrap().function::<Shift>("shift").unwrap();
        });
        other_thread.join().unwrap();
    });
    drop(before);
    let refused = read(&bench.context, &stream, bench.numbers.address(), &mut [0; 4]).unwrap_err();
    assert!(matches!(&refused, Error::Argument { argument, .. } if argument == "stream"), "{refused:?}");
    let graph = cuda_stream.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    graph.launch().unwrap();
    assert_eq!(bench.value(&stream), 1.5);
}

#[test]
fn a_stream_of_another_context_is_refused_without_a_driver_call() {
    let Some(bench) = Bench::of("a_stream_of_another_context_is_refused_without_a_driver_call") else { return };
    // SAFETY: the context lives as long as the process.
    let other = unsafe { Context::from_raw(second_context()) }.unwrap();
    assert_eq!(other.compute_capability(), bench.context.compute_capability());
    let stream = Stream::create(&other).unwrap();
    // SAFETY: the handle is that of `stream`, which outlives it.
    let borrowed = unsafe { Stream::from_raw_in(&bench.context, stream.raw()) }.unwrap();
    for stream in [&stream, &borrowed] {
        bench.stand_in.reset_calls();
        let error = bench.launch(stream).unwrap_err();
        assert_eq!(bench.stand_in.total_calls(), 0);
        assert!(matches!(&error, Error::Argument { argument, .. } if argument == "stream"), "{error:?}");
    }
}

#[test]
fn special_streams_belong_to_the_context_that_is_current() {
    let Some(bench) = Bench::of("special_streams_belong_to_the_context_that_is_current") else { return };
    for handle in [0, 1, 2] {
        let current = bench.context.current().unwrap();
        // SAFETY: a special handle.
        let stream = unsafe { Stream::from_raw(ptr::without_provenance_mut(handle)) }.unwrap();
        drop(current);
        // SAFETY: a special handle.
        let same = unsafe { Stream::from_raw_in(&bench.context, stream.raw()) }.unwrap();
        same.expect_context(&bench.context).unwrap();
        bench.launch(&stream).unwrap();
        assert_eq!(bench.value(&stream), 1.5 + handle as f32 * 0.5);
    }
}

#[test]
fn the_engines_current_context_is_left_as_it_was() {
    let Some(bench) = Bench::of("the_engines_current_context_is_left_as_it_was") else { return };
    let stream = Stream::create(&bench.context).unwrap();
    assert!(current_context().is_null());
    bench.launch(&stream).unwrap();
    assert!(current_context().is_null());
    // SAFETY: the context lives as long as the process.
    let other = unsafe { Context::from_raw(second_context()) }.unwrap();
    let _current = other.current().unwrap();
    bench.launch(&stream).unwrap();
    assert_eq!(bench.value(&stream), 2.0);
    assert_eq!(current_context(), other.raw());
}

#[test]
fn an_upload_may_outlive_its_source() {
    let Some(bench) = Bench::of("an_upload_may_outlive_its_source") else { return };
    let stream = Stream::create(&bench.context).unwrap();
    for round in 0..50u8 {
        let memory = Memory::new(&bench.context, 300_000).unwrap();
        let mut setup = Setup::new(&bench.context).unwrap();
        memory.fill(setup.stream(), 0, 300_000, Filling::Bytes(9)).unwrap();
        setup.upload(&memory, 1, &vec![round; 299_998]).unwrap();
        setup.finish().unwrap();
        let mut back = vec![0; 300_000];
        read(&bench.context, &stream, memory.address(), &mut back).unwrap();
        assert_eq!((back[0], back[299_999]), (9, 9));
        assert!(back[1..299_999].iter().all(|byte| *byte == round), "round {round}");
    }
}

#[test]
fn ranges_outside_memory_are_refused() {
    let Some(bench) = Bench::of("ranges_outside_memory_are_refused") else { return };
    let mut setup = Setup::new(&bench.context).unwrap();
    for (offset, len) in [(0, 401), (400, 1), (usize::MAX, 2)] {
        let error = bench.numbers.fill(setup.stream(), offset, len, Filling::Bytes(0)).unwrap_err();
        assert!(matches!(error, Error::Argument { .. }), "{error:?}");
    }
    assert!(setup.upload(&bench.numbers, 399, &[0; 2]).is_err());
    bench.numbers.fill(setup.stream(), 400, 0, Filling::Bytes(0)).unwrap();
    setup.finish().unwrap();
}

#[test]
fn errors_of_the_driver_name_the_call_and_leave_nothing_behind() {
    let Some(bench) = Bench::of("errors_of_the_driver_name_the_call_and_leave_nothing_behind") else { return };
    let live = bench.stand_in.live_bytes();
    let build = || -> Result<()> {
        let memory = Memory::new(&bench.context, 1 << 20)?;
        let mut setup = Setup::new(&bench.context)?;
        memory.fill(setup.stream(), 0, 1 << 20, Filling::Bytes(0))?;
        setup.upload(&memory, 0, &[1; 1 << 20])?;
        bench.launch(setup.stream())?;
        setup.finish()
    };
    let calls = [
        "cuMemAlloc_v2",
        "cuStreamCreate",
        "cuMemsetD8Async",
        "cuMemcpyHtoDAsync_v2",
        "cuLaunchKernel",
        "cuStreamSynchronize",
    ];
    for name in calls {
        bench.stand_in.inject(name, 2, 0).unwrap();
        match build().unwrap_err() {
            Error::Driver { call, code: 2, name: "CUDA_ERROR_OUT_OF_MEMORY" } => assert_eq!(call, name),
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(bench.stand_in.live_bytes(), live, "{name}: memory leaked");
        assert!(current_context().is_null(), "{name}: the context stayed current");
    }
    build().unwrap();
}

#[test]
fn the_primary_context_is_given_back_and_bad_ordinals_are_refused() {
    let Some(bench) = Bench::of("the_primary_context_is_given_back_and_bad_ordinals_are_refused") else { return };
    let error = Context::primary(1_000_000).unwrap_err();
    assert!(matches!(&error, Error::Argument { argument, .. } if argument == "ordinal"), "{error:?}");
    // SAFETY: null is refused before it is used.
    assert!(matches!(unsafe { Context::from_raw(ptr::null_mut()) }, Err(Error::Argument { .. })));
    bench.stand_in.inject("cuDeviceGetName", 999, 0).unwrap();
    assert!(Context::primary(0).is_err());
    assert!(!bench.context.name().is_empty() && bench.context.multiprocessors() > 0);
    let stand_in = bench.stand_in;
    drop(bench);
    assert_eq!(stand_in.calls("cuDevicePrimaryCtxRetain"), stand_in.calls("cuDevicePrimaryCtxRelease_v2"));
    assert_eq!(stand_in.live_bytes(), 0);
}

#[test]
fn an_image_that_is_none_is_refused() {
    let Some(bench) = Bench::of("an_image_that_is_none_is_refused") else { return };
    assert!(matches!(Module::load(&bench.context, &[]), Err(Error::Argument { .. })));
    let error = Module::load(&bench.context, b"no image, but long enough to look at").unwrap_err();
    assert!(matches!(error, Error::Driver { call: "cuModuleLoadData", code: 200, .. }), "{error:?}");
    let module = Module::load(&bench.context, &compile(&bench.context, &SHIFT).unwrap()).unwrap();
    let error = module.function::<Shift>("absent").unwrap_err();
    assert!(matches!(error, Error::Driver { call: "cuModuleGetFunction", code: 500, .. }), "{error:?}");
}
