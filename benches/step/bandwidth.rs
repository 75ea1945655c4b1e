//! The device's copy bandwidth, which every row is compared with: the best of `cuMemcpyDtoD` and a 16-byte copy kernel over
//! a sweep of grids, in the same run.

use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use crate::driver::{Gpu, Memory, Result, parameter};
use crate::report::Row;
use crate::timing::{self, Spread};

/// Bytes of each of the two buffers; a copy moves twice as many.
const BYTES: u64 = 1 << 30;
/// Values that the source buffer repeats; zeros could be moved faster.
const NOISE: u64 = 1 << 20;

/// What a healthy card copies at least, in bytes per second, by a part of its name: below it a run is not to be trusted.
const HEALTHY: [(&str, f64); 1] = [("H200", 4.0e12)];

/// A word on a copy bandwidth that shows a card in trouble.
pub fn complaint(name: &str, bandwidth: f64) -> Option<String> {
    let (_, least) = HEALTHY.into_iter().find(|(part, least)| name.contains(part) && bandwidth < *least)?;
    Some(format!("INVALID: this card copies {:.2} TB/s, a healthy one at least {:.2}", bandwidth / 1e12, least / 1e12))
}

/// Layout twin: `Copy` of `memory.cu`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Copying {
    to: u64,
    from: u64,
    len: u64,
}

const _: () = assert!(size_of::<Copying>() == 24, "memory.cu: Copy");

/// One way to copy.
#[derive(Clone, Copy)]
enum Copier {
    Driver,
    Kernel { grid: u32, threads: u32 },
}

/// A row for the driver's copy and one for the best grid, and the better one's bytes per second.
pub fn copy(gpu: &Gpu) -> Result<([Row; 2], f64)> {
    // Cards with little memory copy less.
    let bytes = BYTES.min(gpu.free_bytes()? / 4).next_multiple_of(4 * NOISE);
    let (to, from) = (Memory::zeroed(gpu, bytes)?, Memory::new(bytes)?);
    let noise = crate::host::noise(NOISE, 7);
    for offset in (0..bytes).step_by(4 * NOISE as usize) {
        gpu.upload(from.address() + offset, &noise)?;
    }
    let copying = Copying { to: to.address(), from: from.address(), len: bytes / 16 };
    let multiprocessors = gpu.multiprocessors()?;
    let kernels = [1, 2, 4, 8, 16, 32]
        .into_iter()
        .flat_map(|blocks| [256, 512, 1024].map(|threads| Copier::Kernel { grid: blocks * multiprocessors, threads }));
    let copiers: Vec<_> = std::iter::once(Copier::Driver).chain(kernels).collect();
    let timings =
        timing::time(gpu, Duration::from_secs(3), 16, &vec![1; copiers.len()], copier(gpu, copying, &copiers)?)?;
    let tail = bytes - 4 * noise.len() as u64;
    if gpu.read::<u32>(to.address() + tail, noise.len())? != gpu.read::<u32>(from.address() + tail, noise.len())? {
        return Err("the copy is wrong".into());
    }

    let times: Vec<Spread> = timings.iter().map(|timing| timing.device).collect();
    let best = (1..times.len()).min_by(|a, b| times[*a].median.total_cmp(&times[*b].median)).ok_or("no grid")?;
    let Copier::Kernel { grid, threads } = copiers[best] else { return Err("no kernel".into()) };
    let bandwidth = 2.0 * bytes as f64 / (times[0].median.min(times[best].median) / 1e9);
    let size = format!("2 x {} MiB", bytes >> 20);
    let row = |name: &str, i: usize| Row::new(name, size.clone()).timed(times[i], 2 * bytes, Some(bandwidth));
    let kernel =
        Row { note: format!("best of the sweep: {grid} blocks of {threads}"), ..row("copy, 16-byte kernel", best) };
    Ok(([row("copy, cuMemcpyDtoD", 0), kernel], bandwidth))
}

/// Enqueues copier `i`.
fn copier(gpu: &Gpu, copying: Copying, copiers: &[Copier]) -> Result<impl FnMut(usize) -> Result<()>> {
    let [kernel] = gpu.kernels("memory.cu", include_str!("memory.cu"), &[], ["copy_16_bytes"])?;
    Ok(move |i: usize| match copiers[i] {
        Copier::Driver => gpu.copy(copying.to, copying.from, 16 * copying.len as usize),
        // SAFETY: the kernel takes one `Copying`, whose buffers outlive the timing.
        Copier::Kernel { grid, threads } => unsafe { gpu.launch(kernel, grid, threads, &mut [parameter(&copying)]) },
    })
}

/// Checks both kinds of copies at a length that no grid divides.
pub fn check(gpu: &Gpu) -> Result<()> {
    let values: Vec<u32> = (0..4 * 5_003).collect();
    let from = Memory::new(4 * values.len() as u64)?;
    gpu.upload(from.address(), &values)?;
    let copiers = [Copier::Driver, Copier::Kernel { grid: 3, threads: 64 }];
    for i in 0..copiers.len() {
        let to = Memory::zeroed(gpu, 4 * values.len() as u64)?;
        let copying = Copying { to: to.address(), from: from.address(), len: values.len() as u64 / 4 };
        copier(gpu, copying, &copiers)?(i)?;
        if gpu.read::<u32>(to.address(), values.len())? != values {
            return Err(format!("copier {i} is wrong").into());
        }
    }
    Ok(())
}
