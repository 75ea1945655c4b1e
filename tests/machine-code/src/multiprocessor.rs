//! How many threads of a kernel a multiprocessor holds at once. Source: CUDA C++ programming guide, table "technical
//! specifications per compute capability", and the occupancy calculator of Nsight Compute for the granularity of registers.

/// Registers of a multiprocessor, on every architecture since sm_50.
const REGISTERS: u32 = 65_536;
const WARP: u32 = 32;
/// A warp gets whole units of this many registers, and a multiprocessor's four quarters hold equally many warps.
const REGISTER_UNIT: u32 = 256;
const QUARTERS: u32 = 4;

/// The most threads and blocks of a multiprocessor.
fn limits(architecture: u32) -> Option<(u32, u32)> {
    match architecture {
        75 => Some((1024, 16)),
        80 | 90 | 100 => Some((2048, 32)),
        86 => Some((1536, 16)),
        89 | 120 => Some((1536, 24)),
        _ => None,
    }
}

/// Resident threads of a kernel with blocks of `block` threads, `registers` a thread; shared memory is not considered, the
/// kernels use less than a kilobyte. None for an architecture that is not in the table.
pub fn resident_threads(architecture: u32, block: u32, registers: u32) -> Option<u32> {
    let (max_threads, max_blocks) = limits(architecture)?;
    let registers_of_warp = (registers.max(1) * WARP).next_multiple_of(REGISTER_UNIT);
    let warps_by_registers = REGISTERS / QUARTERS / registers_of_warp * QUARTERS;
    let warps_of_block = block.div_ceil(WARP);
    let blocks = (warps_by_registers / warps_of_block).min(max_threads / (warps_of_block * WARP)).min(max_blocks);
    Some(blocks * block)
}

#[test]
fn residency_follows_from_registers_and_the_limits_of_the_architecture() {
    assert_eq!(resident_threads(90, 256, 64), Some(1024));
    assert_eq!(resident_threads(90, 256, 65), Some(768));
    assert_eq!(resident_threads(90, 256, 32), Some(2048));
    assert_eq!(resident_threads(90, 32, 16), Some(1024)); // 32 blocks
    assert_eq!(resident_threads(75, 256, 32), Some(1024));
    assert_eq!(resident_threads(86, 256, 40), Some(1536));
    assert_eq!(resident_threads(89, 256, 255), Some(256));
    assert_eq!(resident_threads(53, 256, 32), None);
}
