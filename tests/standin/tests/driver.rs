//! The driver API outside of captures: devices, contexts, memory, streams, events, modules, injected failures, counters.

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cuda_on_cpu::Direction;
use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{CUevent_flags, CUfunction_attribute, CUstream_flags};
use cudarc::driver::{CudaContext, CudaFunction, DriverError, LaunchConfig, PushKernelArg, result, sys};
use rig::{Pinned, Rig};

const TEXT: &str = r#"
typedef unsigned long long u64;
extern "C" __global__ void add(float* values, u64 count, u64 addend) {
    const u64 i = threadIdx.x + u64(blockIdx.x) * blockDim.x;
    if (i < count) __stcg(&values[i], __ldcg(&values[i]) + float(addend));
}
extern "C" __global__ void __launch_bounds__(128) small(float* values) {
    __shared__ float part[64];
    part[threadIdx.x % 64] = 1.0f;
    __syncthreads();
    if (threadIdx.x == 0) __stcg(values, part[0]);
}
"#;

fn add(rig: &Rig) -> CudaFunction {
    rig.load_once(TEXT).load_function("add").expect("the text has it")
}

#[test]
fn the_device_looks_like_a_small_hopper() {
    let rig = Rig::new();
    let context = &rig.context;
    assert_eq!(CudaContext::device_count(), Ok(1));
    assert_eq!(context.compute_capability(), Ok((9, 0)));
    assert_eq!(context.name().as_deref(), Ok("CUDA on the CPU"));
    let attribute = |which| context.attribute(which).expect("known");
    use sys::CUdevice_attribute::*;
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    assert_eq!(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), 4);
    let mut version = 0;
    // SAFETY: writes one integer.
    unsafe { sys::cuDriverGetVersion(&mut version) }.result().expect("a version");
    assert_eq!(version, 13000);
}

#[test]
fn a_kernel_adds_over_a_grid() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 1000]);
    rig.launch(&kernel, 8, 128, &[values, 1000, 2]).expect("a launch");
    assert_eq!(rig.read::<f32>(values, 1000), [3.0; 1000]);
    rig.expect_clean();
}

#[test]
fn fresh_memory_is_nan() {
    let rig = Rig::new();
    // SAFETY: a plain allocation in the context that the rig made current.
    let address = unsafe { result::malloc_sync(64) }.expect("memory");
    assert!(rig.read::<f32>(address, 16).iter().all(|value| value.is_nan()));
}

#[test]
fn work_runs_when_someone_waits_and_not_at_the_call() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let mut pinned = Pinned::new(16);
    pinned.floats(4).fill(0.0);
    let device = rig.alloc(&[1.0f32; 4]);
    rig.launch(&kernel, 1, 32, &[device, 4, 1]).expect("a launch");
    // SAFETY: the buffer lives until the wait below.
    unsafe { result::memcpy_dtoh_async(pinned.floats(4), device, rig.stream.cu_stream()) }.expect("a copy");
    assert_eq!(pinned.floats(4), [0.0; 4], "nothing was waited for");
    rig.expect_clean();
    assert_eq!(pinned.floats(4), [2.0; 4]);
}

#[test]
fn queries_come_true_without_a_wait() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[0.0f32; 4]);
    rig.launch(&kernel, 1, 32, &[values, 4, 1]).expect("a launch");
    let event = rig.stream.record_event(None).expect("an event");
    let began = Instant::now();
    let mut polls = 0;
    while !event.try_is_complete().expect("no device error") {
        polls += 1;
        assert!(began.elapsed() < Duration::from_secs(10), "{polls} polls and still not ready");
    }
}

#[test]
fn pageable_memory_is_staged_at_the_call() {
    let rig = Rig::new();
    let device = rig.alloc(&[0.0f32; 4]);
    let mut host = [1.0f32; 4];
    // SAFETY: pageable memory is read before the call returns.
    unsafe { result::memcpy_htod_async(device, &host, rig.stream.cu_stream()) }.expect("a copy");
    host.fill(2.0);
    // SAFETY: towards pageable memory the call waits.
    unsafe { result::memcpy_dtoh_async(&mut host, device, rig.stream.cu_stream()) }.expect("a copy");
    assert_eq!(host, [1.0; 4]);
}

#[test]
fn only_blocking_streams_are_ordered_with_the_null_stream() {
    let rig = Rig::new();
    rig.standin.let_streams_race();
    let kernel = add(&rig);
    let mut unordered_seen = false;
    for _ in 0..50 {
        for flags in [CUstream_flags::CU_STREAM_DEFAULT, CUstream_flags::CU_STREAM_NON_BLOCKING] {
            let values = rig.alloc(&[1.0f32; 4]);
            let mut stream = std::ptr::null_mut();
            // SAFETY: writes one handle.
            unsafe { sys::cuStreamCreate(&mut stream, flags as u32) }.result().expect("a stream");
            // SAFETY: a live stream of this context, destroyed below when the work is done.
            let wrapped = unsafe { rig.context.wrap_borrowed_stream(stream) };
            rig::launch_on(&wrapped, &kernel, 1, 32, &[values, 4, 1]).expect("a launch");
            // SAFETY: the address holds 16 bytes.
            unsafe { result::memset_d8_async(values, 0, 16, std::ptr::null_mut()) }.expect("a set");
            rig.context.synchronize().expect("no device error");
            let ordered = rig.read::<f32>(values, 1) == [0.0];
            assert!(ordered || flags == CUstream_flags::CU_STREAM_NON_BLOCKING, "a blocking stream was overtaken");
            unordered_seen |= !ordered;
            // SAFETY: created above, destroyed once.
            unsafe { result::stream::destroy(stream) }.expect("it is live");
        }
    }
    assert!(unordered_seen, "in 50 rounds a non-blocking stream never ran after the null stream");
}

#[test]
fn an_event_orders_two_streams() {
    let rig = Rig::new();
    let kernel = add(&rig);
    for round in 0..20 {
        let values = rig.alloc(&[1.0f32; 4]);
        let other = rig.context.new_stream().expect("a stream");
        rig.launch(&kernel, 1, 32, &[values, 4, 3]).expect("a launch");
        other.wait(&rig.stream.record_event(None).expect("an event")).expect("a wait");
        // SAFETY: the address holds 16 bytes.
        unsafe { result::memset_d8_async(values, 0, 16, other.cu_stream()) }.expect("a set");
        other.synchronize().expect("no device error");
        assert_eq!(rig.read::<f32>(values, 4), [0.0; 4], "round {round}");
    }
}

#[test]
fn events_measure_time_only_if_asked_to() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 4]);
    let timed = Some(CUevent_flags::CU_EVENT_DEFAULT);
    let start = rig.stream.record_event(timed).expect("an event");
    rig.launch(&kernel, 1, 32, &[values, 4, 3]).expect("a launch");
    let end = rig.stream.record_event(timed).expect("an event");
    assert!(start.elapsed_ms(&end).expect("both are done") > 0.0);
    let untimed = rig.stream.record_event(None).expect("an event");
    assert_eq!(start.elapsed_ms(&untimed), Err(DriverError(CUDA_ERROR_INVALID_HANDLE)));
}

#[test]
fn launches_are_checked_at_the_call() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let small = rig.load_once(TEXT).load_function("small").expect("the text has it");
    let values = rig.alloc(&[1.0f32; 4]);
    let invalid = Err(DriverError(CUDA_ERROR_INVALID_VALUE));
    assert_eq!(rig.launch(&kernel, 0, 32, &[values, 4, 1]), invalid, "an empty grid");
    assert_eq!(rig.launch(&kernel, 1, 1025, &[values, 4, 1]), invalid, "too many threads");
    assert_eq!(rig.launch(&small, 1, 256, &[values]), invalid, "more threads than __launch_bounds__");
    rig.launch(&small, 1, 128, &[values]).expect("as many as __launch_bounds__");
    assert_eq!(rig.read::<f32>(values, 1), [1.0]);
    let shared = small.get_attribute(CUfunction_attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES).expect("known");
    assert!(shared >= 256, "64 floats of shared memory, but {shared} bytes");
}

#[test]
fn occupancy_follows_block_size_and_shared_memory() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let blocks = |size, shared| kernel.occupancy_max_active_blocks_per_multiprocessor(size, shared, None);
    assert_eq!(blocks(256, 0), Ok(8));
    assert_eq!(blocks(1024, 0), Ok(2));
    assert_eq!(blocks(32, 0), Ok(32));
    assert_eq!(blocks(32, 40 << 10), Ok(5));
}

#[test]
fn copies_outside_an_allocation_are_refused() {
    let rig = Rig::new();
    let device = rig.alloc(&[0.0f32; 4]);
    let mut host = [0.0f32; 5];
    let invalid = Err(DriverError(CUDA_ERROR_INVALID_VALUE));
    // SAFETY: 4 bytes more than there are: to be refused.
    assert_eq!(unsafe { result::memcpy_dtoh_sync(&mut host, device) }, invalid);
    // SAFETY: freed once.
    unsafe { result::free_sync(device) }.expect("it is live");
    // SAFETY: freed memory: to be refused.
    assert_eq!(unsafe { result::memcpy_dtoh_sync(&mut host[..4], device) }, invalid);
    // SAFETY: a second free: to be refused.
    assert_eq!(unsafe { result::free_sync(device) }, invalid);
}

#[test]
fn every_live_byte_is_counted() {
    let rig = Rig::new();
    let before = rig.standin.live_bytes();
    let device = rig.alloc(&[0u8; 1000]);
    let pinned = Pinned::new(24);
    assert_eq!(rig.standin.live_bytes(), before + 1024);
    drop(pinned);
    // SAFETY: freed once.
    unsafe { result::free_async(device, rig.stream.cu_stream()) }.expect("it is live");
    rig.expect_clean();
    assert_eq!(rig.standin.live_bytes(), before);
}

#[test]
fn a_device_error_stays_until_the_context_goes() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 4]);
    rig.launch(&kernel, 1, 32, &[values, 5, 1]).expect("accepted: the fault comes later");
    rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
    let illegal = Err(DriverError(CUDA_ERROR_ILLEGAL_ADDRESS));
    assert_eq!(rig.launch(&kernel, 1, 32, &[values, 4, 1]), illegal);
    assert_eq!(rig.stream.synchronize(), illegal);
    assert!(rig.context.new_stream().is_err());
    rig.standin.reset();
    rig.launch(&kernel, 1, 32, &[values, 4, 1]).expect("after the reset");
    rig.expect_clean();
}

#[test]
fn an_injected_failure_strikes_once_at_its_turn() {
    let rig = Rig::new();
    rig.standin.inject("cuMemAlloc_v2", CUDA_ERROR_OUT_OF_MEMORY as i32, 2).expect("a known function");
    // SAFETY: plain allocations, left to the context.
    let outcomes: Vec<bool> = (0..5).map(|_| unsafe { result::malloc_sync(16) }.is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true, true]);
    let why = rig.standin.inject("cuMemAloc_v2", 2, 0).expect_err("misspelt");
    assert!(why.contains("cuMemAloc_v2"), "{why}");
}

#[test]
fn driver_calls_are_counted_by_name() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 4]);
    rig.standin.reset_calls();
    for _ in 0..3 {
        rig.launch(&kernel, 1, 32, &[values, 4, 1]).expect("a launch");
    }
    assert_eq!(rig.standin.calls("cuLaunchKernel"), 3);
    assert_eq!(rig.standin.calls("cuMemAlloc_v2"), 0);
    let log = rig.standin.call_log();
    assert_eq!(log["cuLaunchKernel"], 3, "{log:?}");
    assert_eq!(log.values().sum::<u64>(), rig.standin.total_calls(), "{log:?}");
}

#[test]
fn traffic_is_counted_by_direction_and_width() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 1000]);
    rig.stream.synchronize().expect("no device error");
    rig.standin.reset_traffic();
    rig.launch(&kernel, 8, 128, &[values, 1000, 1]).expect("a launch");
    rig.expect_clean();
    assert_eq!(rig.standin.traffic(Direction::Load, 4), 4000);
    assert_eq!(rig.standin.traffic(Direction::Store, 4), 4000);
    assert_eq!(rig.standin.traffic(Direction::Load, 16), 0);
}

#[test]
fn a_stream_or_function_of_another_context_is_refused() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let values = rig.alloc(&[1.0f32; 4]);
    let device = rig.context.cu_device();
    let mut raw = std::ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { sys::cuCtxCreate_v4(&mut raw, std::ptr::null_mut(), 0, device) }.result().expect("a second context");
    // SAFETY: created above; the wrapper destroys it.
    let second = unsafe { CudaContext::from_raw_context(0, device, raw) }.expect("a context");
    let stream = second.new_stream().expect("a stream of the second context");
    let invalid = Err(DriverError(CUDA_ERROR_INVALID_HANDLE));
    let first_function_there = rig::launch_on(&stream, &kernel, 1, 32, &[values, 4, 1]);
    assert_eq!(first_function_there, invalid, "a function of the first context on a stream of the second");
    let event = rig.stream.record_event(None).expect("an event of the first context");
    // SAFETY: live handles of two contexts: to be refused.
    assert_eq!(unsafe { result::event::record(event.cu_event(), stream.cu_stream()) }, invalid);

    let stale = stream.cu_stream();
    drop((stream, second));
    rig.context.bind_to_thread().expect("the first context");
    // SAFETY: a handle of a destroyed context: to be refused.
    assert_eq!(unsafe { result::stream::synchronize(stale) }, invalid);
    rig.launch(&kernel, 1, 32, &[values, 4, 1]).expect("the first context goes on");
    rig.expect_clean();
}

#[test]
fn threads_share_the_device() {
    let rig = Rig::new();
    let kernel = add(&rig);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let (rig, kernel) = (&rig, &kernel);
            scope.spawn(move || {
                rig.context.bind_to_thread().expect("a live context");
                let stream = rig.context.new_stream().expect("a stream");
                let mut values = stream.clone_htod(&[0.0f32; 64]).expect("a copy");
                for _ in 0..25 {
                    let mut launch = stream.launch_builder(kernel);
                    launch.arg(&mut values).arg(&64u64).arg(&thread);
                    // SAFETY: the arguments fit the kernel, which checks the count.
                    unsafe { launch.launch(LaunchConfig::for_num_elems(64)) }.expect("a launch");
                }
                assert_eq!(stream.clone_dtoh(&values).expect("a copy"), [25.0 * thread as f32; 64]);
            });
        }
    });
    rig.expect_clean();
}

#[test]
fn without_a_current_context_nothing_goes() {
    let rig = Rig::new();
    let outcome = std::thread::spawn(|| {
        // SAFETY: a plain allocation: to be refused.
        unsafe { result::malloc_sync(16) }
    });
    assert_eq!(outcome.join().expect("no panic"), Err(DriverError(CUDA_ERROR_INVALID_CONTEXT)));
    drop(rig);
}

#[test]
fn an_image_that_nvrtc_did_not_make_is_refused() {
    let _rig = Rig::new();
    let image = [0u8; 64];
    // SAFETY: 64 readable bytes; the stand-in looks at the first 16 and refuses.
    let outcome = unsafe { result::module::load_data(image.as_ptr().cast()) };
    assert_eq!(outcome.err(), Some(DriverError(CUDA_ERROR_INVALID_IMAGE)));
}

#[test]
fn a_host_function_runs_in_stream_order() {
    let rig = Rig::new();
    let kernel = add(&rig);
    let mut pinned = Pinned::new(4);
    pinned.floats(1)[0] = 0.0;
    let device = rig.alloc(&[41.0f32]);
    rig.launch(&kernel, 1, 32, &[device, 1, 1]).expect("a launch");
    // SAFETY: the buffer lives until the wait below.
    unsafe { result::memcpy_dtoh_async(pinned.floats(1), device, rig.stream.cu_stream()) }.expect("a copy");
    unsafe extern "C" fn double(value: *mut std::ffi::c_void) {
        // SAFETY: the pinned float, which nothing else touches while the stream is here.
        unsafe { *value.cast::<f32>() *= 2.0 };
    }
    let value = pinned.floats(1).as_mut_ptr().cast();
    // SAFETY: the function and its argument live until the wait below.
    unsafe { result::stream::launch_host_function(rig.stream.cu_stream(), double, value) }.expect("enqueued");
    rig.expect_clean();
    assert_eq!(pinned.floats(1), [84.0]);
}

#[test]
fn the_seed_decides_the_order() {
    let rig = Rig::new();
    rig.standin.let_streams_race();
    let kernel = add(&rig);
    let order = |seed| {
        rig.standin.seed(seed);
        let values = rig.alloc(&[1.0f32; 1]);
        let streams: Vec<Arc<_>> = (0..4).map(|_| rig.context.new_stream().expect("a stream")).collect();
        let mut observed = Vec::new();
        for round in 0..8u64 {
            for stream in &streams {
                rig::launch_on(stream, &kernel, 1, 1, &[values, 1, round]).expect("a launch");
            }
            let events: Vec<_> = streams.iter().map(|s| s.record_event(None).expect("an event")).collect();
            observed.push(events.iter().map(|e| e.is_complete()).collect::<Vec<_>>());
        }
        rig.context.synchronize().expect("no device error");
        observed
    };
    assert_eq!(order(7), order(7));
    assert!((8..16).any(|seed| order(seed) != order(7)), "eight other seeds give the same order");
}
