//! First-level caches: what a block has read stays as it was read, until the kernel ends, unless a load passes its cache.
//! And launches that are too large to run as a whole.

mod rig;

use cudarc::driver::result::{free_sync, malloc_sync};
use rig::Rig;

/// Block 0 reads a word, block 1 stores to it, block 0 looks again: all in order by fences and atomics.
const TEXT: &str = r#"
__device__ void wait_for(unsigned* turn, unsigned n) { while (atomicAdd(turn, 0u) < n) __nanosleep(100); }

extern "C" __global__ void look_twice(float* line, unsigned* turn, float* seen) {
    if (threadIdx.x != 0) return;
    if (blockIdx.x == 0) {
        __stcg(&seen[0], __ldca(&line[0]));
        atomicAdd(turn, 1u);
        wait_for(turn, 2);
        __threadfence();
        __stcg(&seen[1], __ldca(&line[0]));
        __stcg(&seen[2], __ldcg(&line[0]));
        __stcg(&line[1], 5.0f);
        __stcg(&seen[3], __ldca(&line[1]));
        __stcg(&seen[4], __ldca(&line[31]));
        __stcg(&seen[5], __ldca(&line[32]));
    } else {
        wait_for(turn, 1);
        __stcg(&line[0], 7.0f);
        __stcg(&line[31], 7.0f);
        __stcg(&line[32], 7.0f);
        __threadfence();
        atomicAdd(turn, 1u);
    }
}
"#;

#[test]
fn a_line_that_was_read_stays_as_it_was_until_the_kernel_ends_unless_the_load_passes_l1() {
    let rig = Rig::new();
    let kernel = rig.load_once(TEXT).load_function("look_twice").unwrap();
    for seed in 0..20 {
        rig.standin.seed(seed);
        let line = rig.alloc(&[1.0f32; 64]);
        for first in [1.0, 7.0] {
            let (turn, seen) = (rig.alloc(&[0u32]), rig.alloc(&[0.0f32; 6]));
            rig.launch(&kernel, 2, 32, &[line, turn, seen]).unwrap();
            rig.expect_clean();
            assert_eq!(rig.read::<f32>(seen, 6), [first, first, 7.0, 5.0, first, 7.0], "seed {seed}");
            let memory: Vec<f32> = rig.read(line, 64);
            let stored = [(0, 7.0), (1, 5.0), (31, 7.0), (32, 7.0)];
            let expected = |i| stored.iter().find(|(at, _)| *at == i).map_or(1.0, |(_, value)| *value);
            assert_eq!(memory, (0..64).map(expected).collect::<Vec<f32>>(), "seed {seed}");
        }
    }
}

#[test]
fn a_launch_of_chosen_blocks_runs_those_at_both_ends_over_memory_that_is_sparse() {
    let rig = Rig::new();
    let text = r#"
        extern "C" __global__ void mark(unsigned* out, unsigned long long apart) {
            if (threadIdx.x == 0) __stcg(&out[blockIdx.x * apart], __ldcg(&out[blockIdx.x * apart]) + blockIdx.x + 1);
        }"#;
    let kernel = rig.load(text).load_function("mark").unwrap();
    const APART: usize = 1 << 28; // 1 GiB
    rig.standin.sparse_memory(1 << 37);
    rig.standin.run_only(3, 2);
    // SAFETY: a plain allocation in the context that the rig made current.
    let out = unsafe { malloc_sync(20 * APART * 4) }.expect("sparse memory");
    rig.launch(&kernel, 20, 1, &[out, APART as u64]).unwrap();
    rig.expect_clean();
    let found: Vec<u32> = (0..20).map(|i| rig.read::<u32>(out + (i * APART * 4) as u64, 1)[0]).collect();
    rig.standin.run_only(0, 0);
    rig.standin.sparse_memory(0);
    let mut expected = vec![1, 2, 3];
    expected.extend([0; 15]);
    expected.extend([19, 20]);
    assert_eq!(found, expected);
    // SAFETY: allocated above, and at rest.
    unsafe { free_sync(out) }.unwrap();
    // SAFETY: as above.
    assert!(unsafe { malloc_sync(1 << 34) }.is_err(), "the device has 8 GiB again");
}
