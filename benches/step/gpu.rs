//! Steps on a GPU: device and host time of the rows of [`crate::table`], at one size at a time.
//!
//! The device time of an eager row is what the stream takes, hence never less than the host takes to launch. The rows with
//! many steps a graph come closest to the kernels' own time; the schedule's cost is the difference of two of those, or of
//! two with one step a graph where a step is long.

use std::time::Duration;

use crate::bars::{BARS, COST, Verdict};
use crate::case::{Case, Run};
use crate::driver::{Gpu, Memory, Result, parameter};
use crate::options::Options;
use crate::report::Row;
use crate::rule::Rule;
use crate::timing::{self, Spread, Timing};
use crate::way::{Mode, WRONG, Way, name};

/// Calls in a burst at most: the driver's queue holds about 1,000 entries, and filling a rate takes two a step.
pub const MAX_CALLS: usize = 256;
const _: () = assert!(MAX_CALLS <= crate::case::RING);

/// What is timed in turn: one rule with its options, at one size.
#[derive(Clone)]
pub struct Contest<'a> {
    pub rule: Rule,
    pub options: Options,
    pub size: &'a str,
    pub lengths: Vec<u64>,
    pub runs: Vec<(Way, Mode)>,
}

impl Contest<'_> {
    /// The names of its rows.
    pub fn names(&self) -> Vec<String> {
        let runs = self.runs.iter().map(|(way, mode)| name(self.rule, self.options, *way, *mode));
        runs.chain(self.costed().map(|_| self.cost_name())).collect()
    }

    fn cost_name(&self) -> String {
        format!("{}, {COST}", self.rule.name())
    }

    /// The runs whose difference is the schedule's cost: those with the least between their steps that have both.
    fn costed(&self) -> Option<[usize; 2]> {
        let place = |way, mode| self.runs.iter().position(|run| *run == (way, mode));
        let both = |mode| Some([place(Way::Resident, mode)?, place(Way::Literal, mode)?]);
        [Mode::Unrolled, Mode::Replay].into_iter().find_map(both)
    }

    /// Whether the device has room for it, or why not.
    pub fn room(&self, gpu: &Gpu) -> Result<std::result::Result<(), String>> {
        let (needed, free) = (Case::bytes(self.rule, &self.lengths), gpu.free_bytes()?);
        // A little is left to the driver, and to the tables.
        let enough = needed <= free / 20 * 19;
        Ok(if enough { Ok(()) } else { Err(format!("needs {} GB, {} GB are free", needed >> 30, free >> 30)) })
    }

    /// Times all runs in turn, `row` for each. `copy` is the device's copy bandwidth in bytes per second.
    pub fn rows(&self, gpu: &Gpu, copy: f64, row: Duration) -> Result<Vec<Row>> {
        let mut case = Case::new(gpu, self.rule, self.options, &self.lengths)?;
        let mut runs: Vec<Run> = self.runs.iter().map(|(way, mode)| case.run(*way, *mode)).collect::<Result<_>>()?;
        let per_call: Vec<_> = runs.iter().map(Run::steps).collect();
        let timings = timing::time(gpu, row, MAX_CALLS, &per_call, |i| case.advance(&mut runs[i]))?;

        let touched = 4 * case.elements() * (2 + self.rule.states() as u64);
        let cached = if touched <= gpu.l2_bytes()? { "fits the L2 cache" } else { "" };
        let mut rows = Vec::new();
        for ((name, timing), (way, _)) in self.names().into_iter().zip(&timings).zip(&self.runs) {
            let timed = Row::new(name, self.size).timed(timing.device, case.bytes_per_step(), Some(copy));
            let wrong = if *way == Way::Frozen { WRONG } else { "" };
            rows.push(judged(Row { host: Some(timing.host), ..timed }, &[cached, wrong]));
        }
        rows.extend(self.cost(&timings));
        Ok(rows)
    }

    /// What the resident schedule adds to a step.
    fn cost(&self, timings: &[Timing]) -> Option<Row> {
        let [resident, literal] = self.costed()?.map(|i| &timings[i].rounds);
        let added = Spread::of(resident.iter().zip(literal).map(|(resident, literal)| resident - literal).collect())?;
        let share = 100.0 * added.median / Spread::of(literal.clone())?.median;
        let row = Row { time: Some(added), ..Row::new(self.cost_name(), self.size) };
        Some(judged(row, &[&format!("{share:+.2} % of the step")]))
    }
}

/// The row with its notes, the last of which says whether it meets its bar.
pub fn judged(row: Row, notes: &[&str]) -> Row {
    let mut notes: Vec<String> = notes.iter().filter(|note| !note.is_empty()).map(|note| (*note).to_owned()).collect();
    let bar = BARS.iter().find(|bar| bar.row == row.name && bar.size == row.size);
    if let (Some(bar), Some(time)) = (bar, row.time) {
        let time = (time.median, time.low, time.high, time.samples as u64);
        let verdict = match bar.verdict(time, row.percent_of_copy) {
            Some(Verdict::Met) => "meets the bar",
            Some(Verdict::Missed) => "MISSES the bar",
            Some(Verdict::NotResolved) => "too noisy for the bar",
            None => "without a copy for the bar",
        };
        notes.push(format!("{verdict}, {}", bar.bound));
    }
    Row { note: notes.join("; "), ..row }
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
