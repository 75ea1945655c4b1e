//! Steps on a GPU: device and host time of every way in every mode, at sizes from one small tensor to a billion parameters.
//!
//! The device time of an eager row is what the stream takes, hence never less than the host takes to launch. The rows with
//! many steps a graph come closest to the kernels' own time; the schedule's cost is the difference of two of those.

use std::time::Duration;

use crate::case::{Case, Run};
use crate::driver::{Gpu, Memory, Result, parameter};
use crate::report::Row;
use crate::rule::Rule;
use crate::timing::{self, Spread, Timing};
use crate::way::{Mode, RUNS, WRONG, Way, name};

/// Calls in a burst at most: the driver's queue holds about 1,000 entries, and filling a rate takes two a step.
const MAX_CALLS: usize = 256;
const _: () = assert!(MAX_CALLS <= crate::case::RING);

/// What an added evaluation may cost, as a share of the step and in nanoseconds, whichever is more.
const ALLOWED: (f64, f64) = (0.01, 300.0);

/// The models: a name and the elements of each tensor.
pub fn sizes() -> Vec<(&'static str, Vec<u64>)> {
    vec![
        ("1 x 64", vec![64]),
        ("148 tensors, 124 M", gpt2_small()),
        ("10000 x 64", vec![64; 10_000]),
        ("1 x 1 Mi", vec![1 << 20]),
        ("1 x 100 M", vec![100_000_000]),
        ("1 x 1 B", vec![1_000_000_000]),
    ]
}

/// The 148 tensors of a GPT-2 of 124 M parameters. Source: Radford et al. 2019, table 2; shapes as in its released weights.
fn gpt2_small() -> Vec<u64> {
    const WIDTH: u64 = 768;
    let block = [
        [WIDTH, WIDTH],                 // layer norm
        [WIDTH * 3 * WIDTH, 3 * WIDTH], // query, key, value
        [WIDTH * WIDTH, WIDTH],         // attention's projection
        [WIDTH, WIDTH],                 // layer norm
        [WIDTH * 4 * WIDTH, 4 * WIDTH], // up
        [4 * WIDTH * WIDTH, WIDTH],     // down
    ];
    let blocks = std::iter::repeat_n(block, 12).flatten().flatten();
    [50_257 * WIDTH, 1_024 * WIDTH].into_iter().chain(blocks).chain([WIDTH, WIDTH]).collect()
}

/// Whether the device has room for the case, or why not.
pub fn room(gpu: &Gpu, rule: Rule, lengths: &[u64]) -> Result<std::result::Result<(), String>> {
    let (needed, free) = (Case::bytes(rule, lengths), gpu.free_bytes()?);
    // A little is left to the driver, and to the tables.
    let enough = needed <= free / 20 * 19;
    Ok(if enough { Ok(()) } else { Err(format!("needs {} GB, {} GB are free", needed >> 30, free >> 30)) })
}

/// Times all runs of one case in turn for `budget`. `copy` is the device's copy bandwidth in bytes per second.
pub fn rows(gpu: &Gpu, rule: Rule, size: &str, lengths: &[u64], copy: f64, budget: Duration) -> Result<Vec<Row>> {
    let mut case = Case::new(gpu, rule, lengths)?;
    let mut runs: Vec<Run> = RUNS.iter().map(|(way, mode)| case.run(*way, *mode)).collect::<Result<_>>()?;
    let per_call: Vec<_> = runs.iter().map(Run::kernels).collect();
    let timings = timing::time(gpu, budget, MAX_CALLS, &per_call, |i| case.advance(&mut runs[i]))?;

    let bytes = case.bytes_per_step();
    let touched = 4 * case.elements() * (2 + rule.states() as u64);
    let cached = if touched <= gpu.l2_bytes()? { "fits the L2 cache" } else { "" };
    let mut rows: Vec<Row> =
        runs.iter().zip(&timings).map(|(run, timing)| row(run, timing, rule, size, bytes, copy, cached)).collect();
    let unrolled = |way| RUNS.iter().position(|run| *run == (way, Mode::Unrolled)).map(|i| timings[i].device.median);
    if let (Some(resident), Some(literal)) = (unrolled(Way::Resident), unrolled(Way::Literal)) {
        rows.push(cost(rule, size, resident, literal));
    }
    Ok(rows)
}

fn row(run: &Run, timing: &Timing, rule: Rule, size: &str, bytes: u64, copy: f64, cached: &str) -> Row {
    let wrong = if run.way == Way::Frozen { WRONG } else { "" };
    let notes: Vec<_> = [cached, wrong].into_iter().filter(|note| !note.is_empty()).collect();
    let row = Row::new(name(rule, run.way, run.mode), size).timed(timing.device, bytes, Some(copy));
    Row { host: Some(timing.host), note: notes.join("; "), ..row }
}

/// What the resident schedule adds to the step, in nanoseconds, and whether that is allowed.
fn cost(rule: Rule, size: &str, resident: f64, literal: f64) -> Row {
    let added = resident - literal;
    let allowed = (ALLOWED.0 * literal).max(ALLOWED.1);
    let verdict = if added <= allowed { "within" } else { "ABOVE" };
    let note = format!("{:+.2} % of the step; {verdict} the {allowed:.0} ns allowed", 100.0 * added / literal);
    Row {
        time: Some(Spread::single(added)),
        note,
        ..Row::new(format!("{}: the schedule's cost, resident - literal", rule.name()), size)
    }
}

/// The version of the NVRTC that compiles here.
pub fn compiler(gpu: &Gpu) -> Result<String> {
    let [kernel] = gpu.kernels("memory.cu", include_str!("memory.cu"), &[], ["compiler_version"])?;
    let out = Memory::new(8)?;
    // SAFETY: the kernel takes the address of two u32.
    unsafe { gpu.launch(kernel, 1, 1, &mut [parameter(&out.address())]) }?;
    let version: Vec<u32> = gpu.read(out.address(), 2)?;
    Ok(format!("{}.{}", version[0], version[1]))
}
