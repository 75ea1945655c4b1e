//! What CUDA text can use and what it computes: warps, shared memory, atomics, indices, arithmetic to the last bit.

mod rig;

use cuda_on_cpu::Direction;
use cudarc::driver::sys::CUresult::CUDA_ERROR_LAUNCH_FAILED;
use cudarc::driver::{LaunchConfig, PushKernelArg};
use rig::Rig;

const TEXT: &str = r#"
typedef unsigned long long u64;
constexpr unsigned ALL = 0xffffffffu;

// One value per lane, of every shuffle and type; 10 rows of 32.
extern "C" __global__ void shuffles(double* out) {
    const unsigned lane = threadIdx.x % 32;
    double row[10] = {
        double(__shfl_sync(ALL, int(lane) - 5, 7)),
        double(__shfl_up_sync(ALL, lane, 3)),
        double(__shfl_down_sync(ALL, (long long)(lane), 3)),
        double(__shfl_xor_sync(ALL, u64(lane), 1)),
        double(__shfl_xor_sync(ALL, float(lane) + 0.5f, 16)),
        __shfl_sync(ALL, double(lane) + 0.25, 31 - lane),
        double(__ballot_sync(ALL, lane % 3 == 0)),
        double(__any_sync(ALL, lane == 9)),
        double(__all_sync(ALL, lane != 9)),
        double(__shfl_down_sync(ALL, lane, 1, 8)),
    };
    for (int i = 0; i < 10; ++i) __stcg(&out[i * 32 + lane], row[i]);
}
extern "C" __global__ void missing_lane(double* out) {
    if (threadIdx.x != 5) __stcg(&out[threadIdx.x], __shfl_sync(ALL, 1.0, 0));
}
extern "C" __global__ void half_warp(double* out) {
    if (threadIdx.x < 16) __stcg(&out[threadIdx.x], __shfl_xor_sync(0xffffu, double(threadIdx.x), 1));
}

// Each block reverses its 64 numbers through dynamic shared memory.
extern "C" __global__ void reverse(float* values) {
    extern __shared__ float buffer[];
    const unsigned i = threadIdx.x + blockIdx.x * blockDim.x;
    buffer[threadIdx.x] = __ldcg(&values[i]);
    __syncthreads();
    __stcg(&values[i], buffer[blockDim.x - 1 - threadIdx.x]);
}
// Shared memory as the block finds it, then written for the next block to find.
extern "C" __global__ void shared_at_start(float* out) {
    __shared__ float left[1];
    if (threadIdx.x == 0) {
        __stcg(&out[blockIdx.x], left[0]);
        left[0] = 1.0f;
    }
}

struct Totals { u64 wide; double real64; float real32; unsigned word, ring, least, most, bits, holes, taken; };
extern "C" __global__ void atomics(Totals* t) {
    const unsigned i = threadIdx.x + blockIdx.x * blockDim.x;
    atomicAdd(&t->wide, u64(i) << 20);
    atomicAdd(&t->real64, 0.5);
    atomicAdd(&t->real32, 0.25f);
    atomicAdd(&t->word, 3u);
    atomicInc(&t->ring, 9u);
    atomicMin(&t->least, 1000u - i);
    atomicMax(&t->most, i);
    atomicOr(&t->bits, 1u << (i % 32));
    atomicAnd(&t->holes, ~(1u << (i % 16)));
    if (atomicCAS(&t->taken, 0u, i + 1) == 0u) atomicExch(&t->taken, 77u);
}

extern "C" __global__ void where(unsigned* out) {
    const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
    const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    __stcg(&out[block * blockDim.x * blockDim.y * blockDim.z + thread], block * 1000 + thread);
}

extern "C" __global__ void arithmetic(const float* in, float* out, const double* wide_in, double* wide_out) {
    const float a = __ldcg(&in[0]), b = __ldcg(&in[1]), c = __ldcg(&in[2]);
    const double x = __ldcg(&wide_in[0]), y = __ldcg(&wide_in[1]), z = __ldcg(&wide_in[2]);
    __stcg(&out[0], __fmaf_rn(a, b, c));
    __stcg(&out[1], a * b + c);
    __stcg(&out[2], __fdiv_rn(a, b));
    __stcg(&out[3], __fsqrt_rn(a));
    __stcg(&out[4], __frcp_rn(a));
    __stcg(&out[5], __double2float_rn(x));
    __stcg(&out[6], fmaxf(a, b));
    __stcg(&wide_out[0], fma(x, y, z));
    __stcg(&wide_out[1], x * y + z);
    __stcg(&wide_out[2], __ddiv_rn(x, y));
    __stcg(&wide_out[3], __dsqrt_rn(x));
    __stcg(&wide_out[4], __longlong_as_double(__double_as_longlong(x) + 1));
    __stcg(&wide_out[5], __ull2double_rn(0xfffffffffffffbffull));
}

extern "C" __global__ void copy_wide(const float4* in, float4* out) { __stcs(&out[threadIdx.x], __ldcs(&in[threadIdx.x])); }

// A message handed on from block to block, each time through an atomic between two fences.
extern "C" __global__ void relay(float* slots, unsigned* turn) {
    if (threadIdx.x != 0) return;
    while (atomicAdd(turn, 0u) != blockIdx.x) {}
    __threadfence();
    const float received = blockIdx.x == 0 ? 1.0f : __ldcg(&slots[blockIdx.x - 1]);
    __stcg(&slots[blockIdx.x], received * 2.0f);
    __threadfence();
    atomicAdd(turn, 1u);
}

extern "C" __global__ void trapped() { __trap(); }
extern "C" __global__ void assumed(float* p, u64 n) { __builtin_assume(n == 1); __stcg(p, 1.0f); }
"#;

fn run(rig: &Rig, kernel: &str, grid: u32, block: u32, arguments: &[u64]) {
    let kernel = rig.load_once(TEXT).load_function(kernel).expect("the text has it");
    rig.launch(&kernel, grid, block, arguments).expect("the launch is accepted");
}

#[test]
fn warps_shuffle_and_vote() {
    let rig = Rig::new();
    let out = rig.alloc(&[0.0f64; 320]);
    run(&rig, "shuffles", 1, 64, &[out]);
    rig.expect_clean();
    let rows: Vec<Vec<f64>> = rig.read::<f64>(out, 320).chunks(32).map(<[f64]>::to_vec).collect();
    let expect = |row: usize, value: &dyn Fn(u32) -> f64| {
        let expected: Vec<f64> = (0..32).map(value).collect();
        assert_eq!(rows[row], expected, "row {row}");
    };
    expect(0, &|_| 2.0);
    expect(1, &|lane| f64::from(if lane < 3 { lane } else { lane - 3 }));
    expect(2, &|lane| f64::from(if lane + 3 > 31 { lane } else { lane + 3 }));
    expect(3, &|lane| f64::from(lane ^ 1));
    expect(4, &|lane| f64::from(lane ^ 16) + 0.5);
    expect(5, &|lane| f64::from(31 - lane) + 0.25);
    expect(6, &|_| (0..32).filter(|lane| lane % 3 == 0).map(|lane| f64::from(1u32 << lane)).sum());
    expect(7, &|_| 1.0);
    expect(8, &|_| 0.0);
    expect(9, &|lane| f64::from(if lane % 8 == 7 { lane } else { lane + 1 }));
}

#[test]
fn a_shuffle_waits_for_its_mask_and_no_longer() {
    let rig = Rig::new();
    let out = rig.alloc(&[0.0f64; 32]);
    run(&rig, "half_warp", 1, 32, &[out]);
    rig.expect_clean();
    assert_eq!(rig.read::<f64>(out, 4), [1.0, 0.0, 3.0, 2.0]);
    run(&rig, "missing_lane", 1, 32, &[out]);
    let report = rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("missing_lane"), "{report}");
}

#[test]
fn dynamic_shared_memory_is_each_blocks_own() {
    let rig = Rig::new();
    let values: Vec<f32> = (0u16..512).map(f32::from).collect();
    let address = rig.alloc(&values);
    let kernel = rig.load_once(TEXT).load_function("reverse").expect("the text has it");
    let mut launch = rig.stream.launch_builder(&kernel);
    launch.arg(&address);
    let config = LaunchConfig { grid_dim: (8, 1, 1), block_dim: (64, 1, 1), shared_mem_bytes: 256 };
    // SAFETY: 8 blocks of 64 numbers, as many as there are.
    unsafe { launch.launch(config) }.expect("the launch is accepted");
    let expected: Vec<f32> = values.chunks(64).flat_map(|block| block.iter().rev().copied()).collect();
    assert_eq!(rig.read::<f32>(address, 512), expected);
    rig.expect_clean();
}

#[test]
fn shared_memory_is_nan_at_the_start_of_every_block() {
    let rig = Rig::new();
    let out = rig.alloc(&[0.0f32; 12]);
    run(&rig, "shared_at_start", 12, 32, &[out]);
    let found = rig.read::<f32>(out, 12);
    assert!(found.iter().all(|value| value.is_nan()), "{found:?}");
}

#[test]
fn atomics_lose_nothing() {
    let rig = Rig::new();
    let mut start = [0u8; 56];
    start[28..32].copy_from_slice(&1000u32.to_le_bytes());
    start[40..44].copy_from_slice(&u32::MAX.to_le_bytes());
    let totals = rig.alloc(&start);
    run(&rig, "atomics", 8, 64, &[totals]);
    rig.expect_clean();
    let bytes = rig.read::<u8>(totals, 56);
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes")), (511 * 512 / 2) << 20);
    assert_eq!(f64::from_le_bytes(bytes[8..16].try_into().expect("8 bytes")), 256.0);
    assert_eq!(f32::from_bits(word(16)), 128.0);
    assert_eq!(word(20), 3 * 512);
    assert_eq!(word(24), 512 % 10, "atomicInc wraps past 9");
    assert_eq!(word(28), 1000 - 511);
    assert_eq!(word(32), 511);
    assert_eq!(word(36), u32::MAX);
    assert_eq!(word(40), 0xffff_0000);
    assert_eq!(word(44), 77);
}

#[test]
fn grids_and_blocks_have_three_dimensions() {
    let rig = Rig::new();
    let out = rig.alloc(&[0u32; 24 * 30]);
    let kernel = rig.load_once(TEXT).load_function("where").expect("the text has it");
    let mut launch = rig.stream.launch_builder(&kernel);
    launch.arg(&out);
    let config = LaunchConfig { grid_dim: (2, 3, 4), block_dim: (5, 3, 2), shared_mem_bytes: 0 };
    // SAFETY: 24 blocks of 30 threads, as many as there are words.
    unsafe { launch.launch(config) }.expect("the launch is accepted");
    let expected: Vec<u32> = (0..24).flat_map(|block| (0..30).map(move |thread| block * 1000 + thread)).collect();
    assert_eq!(rig.read::<u32>(out, 24 * 30), expected);
}

#[test]
fn arithmetic_is_that_of_ieee_to_the_last_bit() {
    let rig = Rig::new();
    let (a, b, c) = (1.000_000_1_f32, 1.000_000_2_f32, -1.000_000_3_f32);
    let (x, y, z) = (1.000_000_000_000_1_f64, 1.000_000_000_000_3_f64, -1.000_000_000_000_4_f64);
    let (narrow, wide) = (rig.alloc(&[a, b, c]), rig.alloc(&[x, y, z]));
    let (out, wide_out) = (rig.alloc(&[0.0f32; 7]), rig.alloc(&[0.0f64; 6]));
    run(&rig, "arithmetic", 1, 1, &[narrow, out, wide, wide_out]);
    let expected = [a.mul_add(b, c), a * b + c, a / b, a.sqrt(), 1.0 / a, x as f32, b];
    assert_ne!(expected[0], expected[1], "the inputs tell fused from separate");
    assert_eq!(rig.read::<f32>(out, 7), expected);
    let next = f64::from_bits(x.to_bits() + 1);
    let wide_expected = [x.mul_add(y, z), x * y + z, x / y, x.sqrt(), next, 0xffff_ffff_ffff_fbff_u64 as f64];
    assert_ne!(wide_expected[0], wide_expected[1], "the inputs tell fused from separate");
    assert_eq!(rig.read::<f64>(wide_out, 6), wide_expected);
}

#[test]
fn wide_accesses_are_counted_as_wide() {
    let rig = Rig::new();
    let (from, to) = (rig.alloc(&[1.5f32; 128]), rig.alloc(&[0.0f32; 128]));
    rig.standin.reset_traffic();
    run(&rig, "copy_wide", 1, 32, &[from, to]);
    assert_eq!(rig.read::<f32>(to, 128), [1.5; 128]);
    assert_eq!(rig.standin.traffic(Direction::Load, 16), 512);
    assert_eq!(rig.standin.traffic(Direction::Store, 16), 512);
    assert_eq!(rig.standin.traffic(Direction::Load, 4), 0);
}

#[test]
fn fences_and_atomics_order_a_chain_of_blocks() {
    let rig = Rig::new();
    let (slots, turn) = (rig.alloc(&[0.0f32; 6]), rig.alloc(&[0u32]));
    run(&rig, "relay", 6, 32, &[slots, turn]);
    rig.expect_clean();
    assert_eq!(rig.read::<f32>(slots, 6), [2.0, 4.0, 8.0, 16.0, 32.0, 64.0]);
}

#[test]
fn traps_and_false_assumptions_end_the_launch() {
    for (kernel, arguments) in [("trapped", vec![]), ("assumed", vec![0, 2])] {
        let rig = Rig::new();
        let out = rig.alloc(&[0.0f32]);
        let arguments: Vec<u64> = arguments.iter().map(|&a| if a == 0 { out } else { a }).collect();
        run(&rig, kernel, 1, 32, &arguments);
        let outcome = rig.stream.synchronize();
        let report = rig.standin.take_report().expect("a fault comes with a report");
        assert!(outcome.is_err() && report.contains(kernel), "{outcome:?}: {report}");
    }
}
