//! Driver calls and launches per step of every way and mode, counted by the stand-in for CUDA. The same calls are made on
//! a GPU: nothing in them depends on the device.

use std::collections::BTreeMap;

use cuda_on_cpu::Standin;

use crate::case::{Case, Mode, RUNS, Run, UNROLLED, Way};
use crate::driver::{Gpu, Result};
use crate::report::Row;
use crate::rule::Rule;

const CALLS: usize = 4;

/// All rows, as they are known.
pub fn rows(standin: &Standin, mut add: impl FnMut(Row) -> Result<()>) -> Result<()> {
    let gpu = Gpu::open()?;
    for (rule, tensors) in [(Rule::Sgd, 1), (Rule::AdamW, 1), (Rule::AdamW, 148), (Rule::AdamW, 10_000)] {
        let mut case = Case::new(&gpu, rule, &vec![64; tensors])?;
        for (way, mode) in RUNS {
            let mut run = case.run(way, mode)?;
            gpu.wait()?;
            standin.reset_calls();
            (0..CALLS).try_for_each(|_| case.advance(&mut run))?;
            let row = Row::new(name(rule, way, mode), size(tensors));
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
    let steps = (CALLS * run.kernels()) as f64;
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
        note += "; WRONG RESULT: every replay uses the rate of the capture";
    }
    let driver_calls = Some(log.values().sum::<u64>() as f64 / steps);
    Row { driver_calls, launches: Some(launches as f64 / steps), note, ..row }
}

/// A row's name.
pub fn name(rule: Rule, way: Way, mode: Mode) -> String {
    let way = match way {
        Way::Resident => "resident",
        Way::ByValue => "rate by value",
        Way::Filled => "rate filled",
        Way::Frozen => "rate by value, frozen",
        Way::Literal => "constant, literal",
    };
    let mode = match mode {
        Mode::Eager => "eager".to_owned(),
        Mode::Replay => "replay".to_owned(),
        Mode::Unrolled => format!("replay of {UNROLLED} steps"),
    };
    format!("{}: {way}, {mode}", rule.name())
}

/// `tensors` of 64 elements each.
fn size(tensors: usize) -> String {
    match tensors {
        1 => "1 x 64".to_owned(),
        _ => format!("{tensors} x 64"),
    }
}
