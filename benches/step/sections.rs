//! The sections of a whole run: which rows each has, in which order, and what stands there where one cannot be measured.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;

use crate::driver::{Gpu, Result};
use crate::place::{self, Job};
use crate::report::{Report, Row};
use crate::rule::Rule;
use crate::work::Work;
use crate::{bandwidth, closed, curves, gpu, host};

/// Before a row that another process of the bench prints for this one.
pub const ROW: &str = "row: ";

/// Why a row that comes too late is not there.
const TOO_LATE: &str = "INSTEP_BENCH_SECONDS are over";

/// The sizes at which the parts of the closed loop are measured.
const CLOSED: [&str; 2] = ["1 x 64", "148 tensors, 124 M"];
const CLOSED_LOOP: &str = "AdamW, closed loop, all parts";

/// Whether there is a GPU, or why not.
pub type Found = std::result::Result<(), String>;

/// A section that may need a GPU: it is told whether there is one, or why not, and when the time is over.
pub type Section = fn(&mut Report, &Found, Instant) -> Result<()>;

/// All rows that are measured on the GPU by this process.
pub fn device(report: &mut Report, gpu: &Found, end: Instant) -> Result<()> {
    if let Err(why) = gpu {
        return no_device(report, why);
    }
    let gpu = Gpu::open()?;
    report.describe("GPU", gpu.device.name())?;
    let version = gpu.driver_version()?;
    report
        .describe("driver", format!("{}, CUDA {}.{}", place::driver_release(), version / 1000, version % 1000 / 10))?;
    report.describe("NVRTC", gpu::compiler(&gpu)?)?;
    let (rows, copy) = bandwidth::copy(&gpu)?;
    rows.into_iter().try_for_each(|row| report.add(row))?;
    if let Some(complaint) = bandwidth::complaint(gpu.device.name(), copy) {
        report.describe("this run", complaint)?;
    }

    let sizes = gpu::sizes();
    let cases = sizes.iter().flat_map(|size| Rule::ALL.map(|rule| (rule, size)));
    let after = CLOSED.len() as u32;
    for (left, (rule, (size, lengths))) in (1 + after..=2 * sizes.len() as u32 + after).rev().zip(cases) {
        let not_measured = |why: &str| Row::not_measured(format!("{}, all ways", rule.name()), *size, why);
        let budget = end.saturating_duration_since(Instant::now()) / left;
        if budget.is_zero() {
            report.add(not_measured(TOO_LATE))?;
            continue;
        }
        let rows = match gpu::room(&gpu, rule, lengths)? {
            Ok(()) => gpu::rows(&gpu, rule, size, lengths, copy, budget.min(Duration::from_secs(10)))
                .unwrap_or_else(|why| vec![not_measured(&why.to_string())]),
            Err(why) => vec![not_measured(&why)],
        };
        rows.into_iter().try_for_each(|row| report.add(row))?;
    }
    for (left, (size, lengths)) in
        (1..=CLOSED.len() as u32).rev().zip(sizes.iter().filter(|size| CLOSED.contains(&size.0)))
    {
        let budget = end.saturating_duration_since(Instant::now()) / left;
        let rows = match budget.is_zero() {
            true => vec![Row::not_measured(CLOSED_LOOP, *size, TOO_LATE)],
            false => closed::rows(&gpu, size, lengths, copy, budget.min(Duration::from_secs(5)))
                .unwrap_or_else(|why| vec![Row::not_measured(CLOSED_LOOP, *size, &why.to_string())]),
        };
        rows.into_iter().try_for_each(|row| report.add(row))?;
    }
    Ok(())
}

/// The same rows without numbers.
fn no_device(report: &mut Report, why: &str) -> Result<()> {
    report.describe("GPU", format!("none: {why}"))?;
    report.add(Row::not_measured("copy", "2 x 1024 MiB", &no_gpu(why)))?;
    for (size, _) in gpu::sizes() {
        for rule in Rule::ALL {
            report.add(Row::not_measured(format!("{}, all ways", rule.name()), size, &no_gpu(why)))?;
        }
    }
    for size in CLOSED {
        report.add(Row::not_measured(CLOSED_LOOP, size, &no_gpu(why)))?;
    }
    Ok(())
}

/// The first clause of `why`: the head of the report has all of it.
fn no_gpu(why: &str) -> String {
    format!("no GPU: {}", why.split(": ").next().unwrap_or(why))
}

/// Builds in two processes with one fresh cache folder: the first compiles, the second finds its kernels on disk.
pub fn builds(report: &mut Report, gpu: &Found, _end: Instant) -> Result<()> {
    if let Err(why) = gpu {
        return Ok(report.add(Row::not_measured("build", "148 x 64", &no_gpu(why)))?);
    }
    let cache = report.folder().join(format!("cache-{}", std::process::id()));
    let built = ["compiled by NVRTC, which is loaded first", "kernels from disk"].into_iter().try_for_each(|first| {
        let mut job = Job::Builds.command(first)?;
        job.env("INSTEP_CACHE_DIR", &cache);
        collect(job, report)
    });
    let _ = std::fs::remove_dir_all(&cache); // it is not there where nothing was compiled
    built
}

/// The CPU backend, with the best of copy and triad as its reference.
pub fn steps_on_host(report: &mut Report, criterion: &mut Criterion, end: Instant) -> Result<()> {
    let references = measure(report, criterion, "host", host::references(host::ELEMENTS), None, end)?;
    let best = references.into_iter().reduce(f64::max);
    measure(report, criterion, "host", host::steps(host::ELEMENTS), best, end)?;
    measure(report, criterion, "host", host::builds(), None, end)?;
    Ok(())
}

/// Schedules that the host evaluates.
pub fn curves_on_host(report: &mut Report, criterion: &mut Criterion, end: Instant) -> Result<()> {
    measure(report, criterion, "curves", curves::rows(), None, end)?;
    Ok(())
}

/// Times `works` and adds their rows; returns the bandwidths, in bytes per second.
fn measure(
    report: &mut Report,
    criterion: &mut Criterion,
    group: &str,
    works: Vec<Work>,
    reference: Option<f64>,
    end: Instant,
) -> Result<Vec<f64>> {
    let mut bandwidths = Vec::new();
    let mut group = criterion.benchmark_group(group);
    for mut work in works {
        if Instant::now() >= end {
            report.add(Row::not_measured(&work.name, &work.size, TOO_LATE))?;
        } else if let Some(time) = work.measure(&mut group) {
            let row = Row::new(&work.name, &work.size).timed(time, work.bytes, reference);
            bandwidths.extend(row.gigabytes_per_second.map(|gigabytes| gigabytes * 1e9));
            report.add(row)?;
        }
    }
    group.finish();
    Ok(bandwidths)
}

/// Runs `job` and adds the rows that it prints, as they come.
fn collect(mut job: Command, report: &mut Report) -> Result<()> {
    let mut child = job.stdout(Stdio::piped()).spawn()?;
    let output = BufReader::new(child.stdout.take().expect("piped"));
    for line in output.lines() {
        if let Some(row) = line?.strip_prefix(ROW) {
            report.add(Row::from_json(&serde_json::from_str(row)?))?;
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("a process of the bench ended with {status}").into()) }
}

/// Driver calls and launches, counted in a process of their own.
pub fn counts(report: &mut Report, _gpu: &Found, _end: Instant) -> Result<()> {
    match Job::Counts.command_on_standin("10000") {
        Ok(job) => collect(job, report),
        Err(why) => {
            let why = format!("no stand-in for CUDA: {why}");
            Ok(report.add(Row::not_measured("driver calls and launches", "all", &why))?)
        }
    }
}
