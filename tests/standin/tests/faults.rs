//! Planted faults: each is one that a GPU could show on a bad day, and must be found here on any day. Its correct twin,
//! the same kernel without the fault, must pass.

mod rig;

use std::sync::Arc;

use cudarc::driver::sys::CUresult::{
    CUDA_ERROR_ILLEGAL_ADDRESS, CUDA_ERROR_LAUNCH_FAILED, CUDA_ERROR_MISALIGNED_ADDRESS,
};
use cudarc::driver::{CudaFunction, CudaModule, result, sys};
use rig::{Pinned, Rig};

/// All kernels of this file, compiled once. FAULTY is the compile-time switch of each.
const TEXT: &str = r#"
typedef unsigned long long u64;

// sum[0] = in[0] + ... + in[255], by one block through shared memory.
template <bool FAULTY> __device__ __forceinline__ void sum_block_body(float* part, const float* in, float* sum) {
    part[threadIdx.x] = __ldcg(&in[threadIdx.x]);
    if (!FAULTY) __syncthreads();
    if (threadIdx.x == 0) {
        float total = 0.0f;
        for (int i = 0; i < 256; ++i) total += part[i];
        __stcg(sum, total);
    }
}
extern "C" __global__ void sum_block(const float* in, float* sum) {
    __shared__ float part[256];
    sum_block_body<false>(part, in, sum);
}
extern "C" __global__ void sum_block_no_barrier(const float* in, float* sum) {
    __shared__ float part[256];
    sum_block_body<true>(part, in, sum);
}

// Each block leaves a partial sum; the last one to take a ticket adds them up.
template <bool RELEASE, bool ACQUIRE, bool WRAP>
__device__ __forceinline__ void sum_grid_body(float* partials, unsigned* ticket, float* sum) {
    if (threadIdx.x != 0) return;
    __stcg(&partials[blockIdx.x], 1.0f + blockIdx.x);
    if (RELEASE) __threadfence();
    const unsigned turn = WRAP ? atomicInc(ticket, gridDim.x - 1) : atomicAdd(ticket, 1u);
    if (turn != gridDim.x - 1) return;
    if (ACQUIRE) __threadfence();
    float total = 0.0f;
    for (unsigned i = 0; i < gridDim.x; ++i) total += __ldcg(&partials[i]);
    __stcg(sum, total);
}
extern "C" __global__ void sum_grid(float* p, unsigned* t, float* s) { sum_grid_body<true, true, true>(p, t, s); }
extern "C" __global__ void sum_grid_no_release(float* p, unsigned* t, float* s) { sum_grid_body<false, true, true>(p, t, s); }
extern "C" __global__ void sum_grid_no_acquire(float* p, unsigned* t, float* s) { sum_grid_body<true, false, true>(p, t, s); }
extern "C" __global__ void sum_grid_no_wrap(float* p, unsigned* t, float* s) { sum_grid_body<true, true, false>(p, t, s); }

// Every block reads the clock; it advances once per launch. No fence is needed for the last ticket's write.
template <bool FAULTY> __device__ __forceinline__ void tick_body(u64* clock, unsigned* ticket, u64* seen) {
    if (threadIdx.x != 0) return;
    const u64 now = __ldcg(clock);
    __stcg(&seen[blockIdx.x], now);
    const bool last = FAULTY ? blockIdx.x == 0 : atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    if (last) __stcg(clock, now + 1);
}
extern "C" __global__ void tick(u64* clock, unsigned* ticket, u64* seen) { tick_body<false>(clock, ticket, seen); }
extern "C" __global__ void tick_early(u64* clock, unsigned* ticket, u64* seen) { tick_body<true>(clock, ticket, seen); }

// The clock again, read by relaxed loads. Blocks from `working` on leave without a ticket; FAULTY ones use what they read.
template <bool FAULTY>
__device__ __forceinline__ void tick_some_body(u64* clock, unsigned* ticket, u64* seen, u64 working) {
    if (threadIdx.x != 0) return;
    cuda_on_cpu::access(clock, 8, cuda_on_cpu::Access::relaxed_load);
    const u64 now = *clock;
    if (FAULTY || blockIdx.x < working) __stcg(&seen[blockIdx.x], now);
    if (blockIdx.x >= working) return;
    if (atomicInc(ticket, working - 1) == working - 1) __stcg(clock, now + 1);
}
extern "C" __global__ void tick_some(u64* c, unsigned* t, u64* s, u64 working) { tick_some_body<false>(c, t, s, working); }
extern "C" __global__ void tick_some_used(u64* c, unsigned* t, u64* s, u64 working) { tick_some_body<true>(c, t, s, working); }

// Two blocks write the same word.
extern "C" __global__ void write_both(float* out) { if (threadIdx.x == 0) __stcg(out, 1.0f); }
extern "C" __global__ void write_one(float* out) { if (threadIdx.x == 0) __stcg(&out[blockIdx.x], 1.0f); }

extern "C" __global__ void load_to(const float* in, float* out, u64 last) {
    if (threadIdx.x == 0) __stcg(out, __ldcg(&in[last]));
}
extern "C" __global__ void store_at(float* out, u64 at) { if (threadIdx.x == 0) __stcg(&out[at], 7.0f); }
// Not through a helper that the emulator sees.
extern "C" __global__ void plain_store_at(float* out, u64 at) { if (threadIdx.x == 0) out[at] = 7.0f; }
extern "C" __global__ void store_wide(float* out) {
    if (threadIdx.x == 0) __stcg(reinterpret_cast<float4*>(out), make_float4(1.0f, 2.0f, 3.0f, 4.0f));
}

extern "C" __global__ void barrier_for(float* out, u64 threads) {
    if (threadIdx.x < threads) __syncthreads();
    if (threadIdx.x == 0) __stcg(out, 1.0f);
}

extern "C" __global__ void scale(float* values, u64 numerator, u64 count) {
    const u64 i = threadIdx.x + u64(blockIdx.x) * blockDim.x;
    if (i < count) __stcg(&values[i], __ldcg(&values[i]) * float(numerator));
}
"#;

struct Bench {
    // Before the rig: a module must go before its context.
    module: Arc<CudaModule>,
    rig: Rig,
}

impl Bench {
    fn new() -> Self {
        let rig = Rig::new();
        Self { module: rig.load_once(TEXT), rig }
    }

    fn kernel(&self, name: &str) -> CudaFunction {
        self.module.load_function(name).unwrap_or_else(|_| panic!("no kernel {name}"))
    }

    fn run(&self, name: &str, grid: u32, block: u32, arguments: &[u64]) {
        self.rig.launch(&self.kernel(name), grid, block, arguments).expect("the launch is accepted");
    }
}

const TOTAL_OF_8_BLOCKS: f32 = 36.0;

#[test]
fn a_missing_barrier_shows_within_a_few_launches() {
    let bench = Bench::new();
    let input = bench.rig.alloc(&[1.0f32; 256]);
    let sum = bench.rig.alloc(&[0.0f32]);
    let outcome = |kernel: &str| {
        bench.run(kernel, 1, 256, &[input, sum]);
        bench.rig.read::<f32>(sum, 1)[0]
    };
    let broken: Vec<f32> = (0..16).map(|_| outcome("sum_block_no_barrier")).collect();
    assert!(broken.iter().any(|&sum| sum != 256.0), "without its barrier: {broken:?}");
    for launch in 0..16 {
        assert_eq!(outcome("sum_block"), 256.0, "with its barrier, launch {launch}");
    }
    bench.rig.expect_clean();
}

#[test]
fn partial_sums_need_their_fences_on_both_sides() {
    for (kernel, faulty) in [("sum_grid", false), ("sum_grid_no_release", true), ("sum_grid_no_acquire", true)] {
        for launch in 0..8 {
            let bench = Bench::new();
            let (partials, ticket) = (bench.rig.alloc(&[0.0f32; 8]), bench.rig.alloc(&[0u32]));
            let sum = bench.rig.alloc(&[0.0f32]);
            bench.run(kernel, 8, 32, &[partials, ticket, sum]);
            if faulty {
                let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
                assert!(report.contains(kernel), "launch {launch}: the report names {kernel}: {report}");
            } else {
                bench.rig.expect_clean();
                assert_eq!(bench.rig.read::<f32>(sum, 1), [TOTAL_OF_8_BLOCKS], "launch {launch}");
            }
        }
    }
}

#[test]
fn a_clock_may_only_move_after_the_last_ticket() {
    for (kernel, faulty) in [("tick", false), ("tick_early", true)] {
        for launch in 0..8 {
            let bench = Bench::new();
            let (clock, ticket) = (bench.rig.alloc(&[41u64]), bench.rig.alloc(&[0u32]));
            let seen = bench.rig.alloc(&[0u64; 8]);
            bench.run(kernel, 8, 32, &[clock, ticket, seen]);
            if faulty {
                let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
                assert!(report.contains(kernel), "launch {launch}: the report names {kernel}: {report}");
            } else {
                bench.rig.expect_clean();
                assert_eq!(bench.rig.read::<u64>(clock, 1), [42], "launch {launch}");
                assert_eq!(bench.rig.read::<u64>(seen, 8), [41; 8], "launch {launch}");
            }
        }
    }
}

#[test]
fn two_blocks_must_not_write_one_word() {
    let bench = Bench::new();
    let out = bench.rig.alloc(&[0.0f32; 2]);
    bench.run("write_one", 2, 32, &[out]);
    bench.rig.expect_clean();
    bench.run("write_both", 2, 32, &[out]);
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("write_both"), "{report}");
}

#[test]
fn a_relaxed_load_may_race_only_where_nobody_knows_what_it_saw() {
    for (kernel, faulty) in [("tick_some", false), ("tick_some_used", true)] {
        for seed in 0..8 {
            let bench = Bench::new();
            bench.rig.standin.seed(seed);
            let (clock, ticket) = (bench.rig.alloc(&[41u64]), bench.rig.alloc(&[0u32]));
            let seen = bench.rig.alloc(&[0u64; 8]);
            bench.run(kernel, 8, 32, &[clock, ticket, seen, 5]);
            if faulty {
                let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
                assert!(report.contains("race"), "seed {seed}: {report}");
            } else {
                bench.rig.expect_clean();
                assert_eq!(bench.rig.read::<u64>(seen, 8), [41, 41, 41, 41, 41, 0, 0, 0], "seed {seed}");
                assert_eq!(bench.rig.read::<u64>(clock, 1), [42], "seed {seed}");
            }
        }
    }
}

#[test]
fn a_ticket_left_behind_breaks_the_second_launch() {
    for (kernel, second) in [("sum_grid", TOTAL_OF_8_BLOCKS), ("sum_grid_no_wrap", 0.0)] {
        let bench = Bench::new();
        let (partials, ticket) = (bench.rig.alloc(&[0.0f32; 8]), bench.rig.alloc(&[0u32]));
        for expected in [TOTAL_OF_8_BLOCKS, second] {
            let sum = bench.rig.alloc(&[0.0f32]);
            bench.run(kernel, 8, 32, &[partials, ticket, sum]);
            assert_eq!(bench.rig.read::<f32>(sum, 1), [expected], "{kernel}");
        }
    }
}

#[test]
fn a_load_one_past_the_end_is_found() {
    let bench = Bench::new();
    let (values, out) = (bench.rig.alloc(&[5.0f32; 100]), bench.rig.alloc(&[0.0f32]));
    bench.run("load_to", 1, 32, &[values, out, 99]);
    bench.rig.expect_clean();
    assert_eq!(bench.rig.read::<f32>(out, 1), [5.0]);
    bench.run("load_to", 1, 32, &[values, out, 100]);
    let report = bench.rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(report.contains("load_to") && report.contains("400-byte"), "{report}");
}

#[test]
fn a_store_one_past_the_end_is_found() {
    for kernel in ["store_at", "plain_store_at"] {
        let bench = Bench::new();
        let values = bench.rig.alloc(&[5.0f32; 100]);
        bench.run(kernel, 1, 32, &[values, 99]);
        bench.rig.expect_clean();
        assert_eq!(bench.rig.read::<f32>(values, 100)[99], 7.0);
        bench.run(kernel, 1, 32, &[values, 100]);
        let report = bench.rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
        assert!(report.contains("400-byte"), "{kernel}: {report}");
        bench.rig.standin.reset();
        assert_eq!(bench.rig.standin.damaged_guard_zone(), None, "{kernel}: told once");
    }
}

#[test]
fn a_plain_store_far_outside_is_found_by_the_guard_pages() {
    let bench = Bench::new();
    let values = bench.rig.alloc(&[5.0f32; 1024]);
    bench.run("plain_store_at", 1, 32, &[values, 2048]);
    let report = bench.rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(report.contains("plain_store_at"), "{report}");
}

#[test]
fn damage_is_found_before_the_memory_goes() {
    let bench = Bench::new();
    let stream = bench.rig.stream.cu_stream();
    // SAFETY: a plain allocation in the context that the rig made current.
    let values = unsafe { result::malloc_async(stream, 400) }.expect("memory");
    bench.run("plain_store_at", 1, 32, &[values, 100]);
    // SAFETY: allocated above, freed once.
    unsafe { result::free_async(values, stream) }.expect("it is live");
    let report = bench.rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
    assert!(report.contains("400-byte"), "{report}");
}

#[test]
fn freed_memory_must_not_be_used() {
    let bench = Bench::new();
    let stream = bench.rig.stream.cu_stream();
    for freed_first in [false, true] {
        // SAFETY: a plain allocation in the context that the rig made current.
        let values = unsafe { result::malloc_async(stream, 400) }.expect("memory");
        let free = || {
            // SAFETY: allocated above, freed once.
            unsafe { result::free_async(values, stream) }.expect("it is live")
        };
        if freed_first {
            free();
        }
        bench.run("store_at", 1, 32, &[values, 0]);
        if freed_first {
            let report = bench.rig.expect_fault(CUDA_ERROR_ILLEGAL_ADDRESS);
            assert!(report.contains("freed"), "{report}");
        } else {
            free();
            bench.rig.expect_clean();
        }
    }
}

#[test]
fn a_wide_access_must_be_aligned() {
    let bench = Bench::new();
    let values = bench.rig.alloc(&[0.0f32; 8]);
    bench.run("store_wide", 1, 32, &[values + 16]);
    bench.rig.expect_clean();
    assert_eq!(bench.rig.read::<f32>(values, 8)[4..], [1.0, 2.0, 3.0, 4.0]);
    bench.run("store_wide", 1, 32, &[values + 4]);
    let report = bench.rig.expect_fault(CUDA_ERROR_MISALIGNED_ADDRESS);
    assert!(report.contains("store_wide"), "{report}");
}

#[test]
fn a_barrier_that_some_threads_skip_is_an_error_and_not_a_hang() {
    let bench = Bench::new();
    let out = bench.rig.alloc(&[0.0f32]);
    bench.run("barrier_for", 1, 64, &[out, 64]);
    bench.rig.expect_clean();
    bench.run("barrier_for", 1, 64, &[out, 16]);
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("barrier_for"), "{report}");
}

#[test]
fn a_pinned_buffer_is_read_when_the_copy_runs() {
    for wait in [true, false] {
        let bench = Bench::new();
        let mut pinned = Pinned::new(64);
        let device = bench.rig.alloc(&[0.0f32; 16]);
        pinned.floats(16).fill(1.0);
        // SAFETY: the buffer lives until the read below has waited for the copy.
        unsafe { result::memcpy_htod_async(device, pinned.floats(16), bench.rig.stream.cu_stream()) }.expect("a copy");
        if wait {
            bench.rig.expect_clean();
        }
        pinned.floats(16).fill(2.0);
        let expected = if wait { 1.0 } else { 2.0 };
        assert_eq!(bench.rig.read::<f32>(device, 16), [expected; 16], "waited before the reuse: {wait}");
    }
}

#[test]
fn a_host_value_is_frozen_into_a_graph() {
    let bench = Bench::new();
    let values = bench.rig.alloc(&[1.0f32; 4]);
    let kernel = bench.kernel("scale");
    rig::load_function(&kernel);
    let stream = &bench.rig.stream;
    stream.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL).expect("a capture");
    let mut factor = 2u64;
    bench.rig.launch(&kernel, 1, 32, &[values, factor, 4]).expect("recorded");
    let graph = stream.end_capture(sys::CUgraphInstantiate_flags(0)).expect("the capture ends").expect("a graph");
    factor += 1;
    graph.launch().expect("a replay");
    assert_eq!(bench.rig.read::<f32>(values, 4), [2.0; 4], "the replay does not know {factor}");
    bench.rig.launch(&kernel, 1, 32, &[values, factor, 4]).expect("an eager launch");
    assert_eq!(bench.rig.read::<f32>(values, 4), [6.0; 4], "an eager launch does");
}
