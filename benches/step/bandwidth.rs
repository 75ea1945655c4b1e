//! The device's copy bandwidth, which every row is compared with: the best of `cuMemcpyDtoD`, a loop over resident grids of
//! many sizes, and exact grids with a block for each tile, in the same run.

use std::time::Duration;

use bytemuck::{Pod, Zeroable};

use crate::driver::{Gpu, Kernel, Memory, Result, parameter};
use crate::report::Row;
use crate::timing::{self, Spread};

/// Bytes of each of the two buffers; a copy moves twice as many.
const BYTES: u64 = 1 << 30;
/// Values that the source buffer repeats; zeros could be moved faster.
const NOISE: u64 = 1 << 20;
/// What each copier takes: some ten bursts.
const COPIER: Duration = Duration::from_millis(80);

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
#[derive(Clone, Copy, PartialEq)]
enum Copier {
    Driver,
    /// So many blocks walk all elements in turn.
    Strided {
        grid: u32,
        threads: u32,
    },
    /// A block for each tile of `threads * vectors` 16-byte elements.
    Tiles {
        threads: u32,
        vectors: u32,
    },
}

impl Copier {
    const NAMES: [&str; 3] = ["copy, cuMemcpyDtoD", "copy, strided over a resident grid", "copy, a block a tile"];

    fn name(self) -> &'static str {
        Copier::NAMES[match self {
            Copier::Driver => 0,
            Copier::Strided { .. } => 1,
            Copier::Tiles { .. } => 2,
        }]
    }

    fn shape(self) -> String {
        match self {
            Copier::Driver => String::new(),
            Copier::Strided { grid, threads } => format!("{grid} blocks of {threads} threads"),
            Copier::Tiles { threads, vectors } => format!("blocks of {threads} threads, {vectors} x 16 bytes each"),
        }
    }
}

/// Everything that is tried on a device of so many multiprocessors.
fn copiers(multiprocessors: u32) -> Vec<Copier> {
    let blocks = [1, 4, 16, 32].into_iter();
    let strided = blocks.flat_map(|blocks| [256, 512, 1024].map(|threads| (blocks * multiprocessors, threads)));
    let tiles = [(1024, 1), (512, 1), (512, 2), (256, 1), (256, 2), (256, 4)].into_iter();
    std::iter::once(Copier::Driver)
        .chain(strided.map(|(grid, threads)| Copier::Strided { grid, threads }))
        .chain(tiles.map(|(threads, vectors)| Copier::Tiles { threads, vectors }))
        .collect()
}

/// The best of each kind as a row, and the best of all in bytes per second.
pub fn copy(gpu: &Gpu) -> Result<(Vec<Row>, f64)> {
    // Cards with little memory copy less.
    let bytes = BYTES.min(gpu.free_bytes()? / 4).next_multiple_of(4 * NOISE);
    let (to, from) = (Memory::zeroed(gpu, bytes)?, Memory::new(bytes)?);
    let noise = crate::host::noise(NOISE, 7);
    for offset in (0..bytes).step_by(4 * NOISE as usize) {
        gpu.upload(from.address() + offset, &noise)?;
    }
    let copying = Copying { to: to.address(), from: from.address(), len: bytes / 16 };
    let copiers = copiers(gpu.multiprocessors()?);
    let enqueue = enqueue(gpu, copying, &copiers)?;
    let timings = timing::time(gpu, COPIER, 16, &vec![1; copiers.len()], enqueue)?;
    let tail = bytes - 4 * noise.len() as u64;
    if gpu.read::<u32>(to.address() + tail, noise.len())? != gpu.read::<u32>(from.address() + tail, noise.len())? {
        return Err("the copy is wrong".into());
    }

    let times: Vec<(Copier, Spread)> = copiers.into_iter().zip(timings.iter().map(|timing| timing.device)).collect();
    let fastest = |name: Option<&str>| {
        let some = times.iter().filter(|(copier, _)| name.is_none_or(|name| copier.name() == name));
        some.min_by(|(_, a), (_, b)| a.median.total_cmp(&b.median)).copied().ok_or("nothing was copied")
    };
    let (best, time) = fastest(None)?;
    let bandwidth = 2.0 * bytes as f64 / (time.median / 1e9);
    let rows = Copier::NAMES.into_iter().map(|name| {
        let (copier, time) = fastest(Some(name))?;
        let crowned = if copier == best { "the best copy" } else { "" };
        let notes: Vec<String> =
            [copier.shape(), crowned.to_owned()].into_iter().filter(|note| !note.is_empty()).collect();
        let row = Row::new(name, format!("2 x {} MiB", bytes >> 20)).timed(time, 2 * bytes, Some(bandwidth));
        Ok(Row { note: notes.join("; "), ..row })
    });
    Ok((rows.collect::<Result<_>>()?, bandwidth))
}

/// Enqueues copier `i`.
fn enqueue(gpu: &Gpu, copying: Copying, copiers: &[Copier]) -> Result<impl FnMut(usize) -> Result<()>> {
    let names = ["copy_strided", "copy_tiles_of_1", "copy_tiles_of_2", "copy_tiles_of_4"];
    let [strided, one, two, four] = gpu.kernels("memory.cu", include_str!("memory.cu"), &[], names)?;
    let launch = move |kernel: Kernel, grid: u32, threads: u32| {
        // SAFETY: each kernel takes one `Copy`, whose buffers outlive the timing.
        unsafe { gpu.launch(kernel, grid, threads, &mut [parameter(&copying)]) }
    };
    Ok(move |i: usize| match copiers[i] {
        Copier::Driver => gpu.copy(copying.to, copying.from, 16 * copying.len as usize),
        Copier::Strided { grid, threads } => launch(strided, grid, threads),
        Copier::Tiles { threads, vectors } => {
            let kernel = match vectors {
                1 => one,
                2 => two,
                4 => four,
                _ => return Err(format!("no kernel copies tiles of {vectors}").into()),
            };
            launch(kernel, copying.len.div_ceil(u64::from(threads * vectors)) as u32, threads)
        }
    })
}

/// Checks all kinds of copies at a length that no grid and no tile divides.
pub fn check(gpu: &Gpu) -> Result<()> {
    let values: Vec<u32> = (0..4 * 5_003).collect();
    let from = Memory::new(4 * values.len() as u64)?;
    gpu.upload(from.address(), &values)?;
    let copiers = copiers(1);
    for (i, copier) in copiers.iter().enumerate() {
        let to = Memory::zeroed(gpu, 4 * values.len() as u64)?;
        let copying = Copying { to: to.address(), from: from.address(), len: values.len() as u64 / 4 };
        enqueue(gpu, copying, &copiers)?(i)?;
        if gpu.read::<u32>(to.address(), values.len())? != values {
            return Err(format!("{}, {}, is wrong", copier.name(), copier.shape()).into());
        }
    }
    Ok(())
}
