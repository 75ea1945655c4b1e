//! Driver calls and launches per step of every way and mode, counted by the stand-in for CUDA. The same calls are made on
//! a GPU: nothing in them depends on the device.

use std::collections::BTreeMap;

use cuda_on_cpu::Standin;

use crate::case::{Case, Run};
use crate::driver::{Gpu, Result};
use crate::options::Options;
use crate::report::Row;
use crate::rule::Rule;
use crate::way::{Mode, RUNS, WRONG, Way, name};

/// Calls of [`Case::advance`] that are counted.
const CALLS: usize = 2;

/// All rows, as they are known, for up to `most` tensors.
pub fn rows(standin: &Standin, most: usize, mut add: impl FnMut(Row) -> Result<()>) -> Result<()> {
    let gpu = Gpu::open()?;
    let cases = [(Rule::Sgd, 1), (Rule::AdamW, 1), (Rule::AdamW, 148), (Rule::AdamW, 10_000)];
    for (rule, tensors) in cases.into_iter().filter(|(_, tensors)| *tensors <= most) {
        let mut case = Case::new(&gpu, rule, Options::None, &vec![64; tensors])?;
        // A graph of many steps makes the calls of one replay, which one small tensor shows.
        for (way, mode) in RUNS.into_iter().filter(|(_, mode)| *mode != Mode::Unrolled || tensors == 1) {
            let mut run = case.run(way, mode)?;
            gpu.wait()?;
            standin.reset_calls();
            (0..CALLS).try_for_each(|_| case.advance(&mut run))?;
            let name = format!("driver calls: {}", name(rule, Options::None, way, mode));
            let row = Row::new(name, size(tensors));
            add(counted(row, &run, &standin.call_log()))?;
            gpu.wait()?;
        }
    }
    match standin.take_report() {
        Some(report) => Err(format!("the stand-in reports: {report}").into()),
        None => Ok(()),
    }
}

fn counted(row: Row, run: &Run, log: &BTreeMap<String, u64>) -> Row {
    let steps = (CALLS * run.steps()) as f64;
    let calls = |name: &str| log.get(name).copied().unwrap_or(0);
    let launches = calls("cuLaunchKernel") + calls("cuGraphLaunch") * run.kernels() as u64;
    let names: Vec<_> = log.iter().map(|(name, n)| format!("{name} {}", *n as f64 / CALLS as f64)).collect();
    let unit = if run.kernels() == 1 { "" } else { " per replay" };
    let mut note = format!("{}{unit}", names.join(", "));
    if run.mode != Mode::Eager && run.way == Way::Resident {
        let others = log.values().sum::<u64>() - calls("cuGraphLaunch");
        note += &format!("; the library's calls: {}", others as f64 / CALLS as f64);
    }
    if run.way == Way::Frozen {
        note += &format!("; {WRONG}");
    }
    let driver_calls = Some(log.values().sum::<u64>() as f64 / steps);
    Row { driver_calls, launches: Some(launches as f64 / steps), note, ..row }
}

/// `tensors` of 64 elements each.
fn size(tensors: usize) -> String {
    match tensors {
        1 => "1 x 64".to_owned(),
        _ => format!("{tensors} x 64"),
    }
}
