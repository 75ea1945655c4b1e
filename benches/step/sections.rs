//! The sections of a whole run: which rows each has, in which order, and what stands there where one cannot be measured.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use criterion::Criterion;

use crate::bars::LLAMA;
use crate::driver::{Gpu, Result};
use crate::forms::{self, Form};
use crate::place::{self, Job};
use crate::report::{Report, Row};
use crate::sizes::{self, Size};
use crate::table::Line;
use crate::timing::ROW;
use crate::way::Mode;
use crate::work::Work;
use crate::{bandwidth, closed, curves, gpu, host};

/// Before a row that another process of the bench prints for this one.
pub const PRINTED: &str = "row: ";

/// Why a row that comes too late is not there.
const TOO_LATE: &str = "INSTEP_BENCH_SECONDS are over";

/// The sizes at which the parts of the closed loop are measured.
const CLOSED: [Size; 2] = [sizes::SMALL, sizes::GPT2];
const CLOSED_LOOP: &str = "AdamW, closed loop, all parts";

/// Whether there is a GPU, or why not.
pub type Found = std::result::Result<(), String>;

/// A GPU and its copy bandwidth in bytes per second.
pub struct Place {
    gpu: Gpu,
    copy: f64,
}

/// Where the rows of [`table`] and of the closed loop are measured, with its rows for copies; or why there is none.
pub fn place(report: &mut Report, found: &Found) -> Result<std::result::Result<Place, String>> {
    if let Err(why) = found {
        report.describe("GPU", format!("none: {why}"))?;
        report.add(Row::not_measured("copy", "2 x 1024 MiB", &no_gpu(why)))?;
        return Ok(Err(no_gpu(why)));
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
    Ok(Ok(Place { gpu, copy }))
}

/// The rows of `lines`, or why each is not there.
pub fn lines(
    report: &mut Report,
    place: &std::result::Result<Place, String>,
    lines: &[Line],
    end: Instant,
) -> Result<()> {
    for (line, size) in lines.iter().flat_map(|line| line.sizes.iter().map(move |size| (line, size))) {
        let contest = line.contest(size);
        let rows = match place {
            Err(why) => Err(why.clone()),
            Ok(_) if Instant::now() + ROW * contest.runs.len() as u32 > end => Err(TOO_LATE.to_owned()),
            Ok(Place { gpu, copy }) => match contest.room(gpu)? {
                Ok(()) => contest.rows(gpu, *copy, ROW).map_err(|why| why.to_string()),
                Err(why) => Err(why),
            },
        };
        let not_measured = |why: &String| -> Vec<Row> {
            contest.names().into_iter().map(|name| Row::not_measured(name, size.name, why)).collect()
        };
        rows.unwrap_or_else(|why| not_measured(&why)).into_iter().try_for_each(|row| report.add(row))?;
    }
    Ok(())
}

/// AdamW in every form, at the shapes of GPT-2.
pub fn forms(report: &mut Report, place: &std::result::Result<Place, String>, end: Instant) -> Result<()> {
    in_forms(report, place, end, sizes::GPT2.name, Form::modes, |gpu, form, copy| {
        forms::of_gpt2(gpu, form, &sizes::GPT2, copy, ROW)
    })
}

/// The same at those of Llama-3 8B.
pub fn llama(report: &mut Report, place: &std::result::Result<Place, String>, end: Instant) -> Result<()> {
    in_forms(report, place, end, LLAMA, |_| &[Mode::Replay], |gpu, form, copy| forms::of_llama(gpu, form, copy, ROW))
}

fn in_forms(
    report: &mut Report,
    place: &std::result::Result<Place, String>,
    end: Instant,
    size: &str,
    modes: fn(&Form) -> &'static [Mode],
    rows: impl Fn(&Gpu, &Form, f64) -> Result<Vec<Row>>,
) -> Result<()> {
    for form in &forms::ALL {
        let modes = modes(form);
        let found = match place {
            Err(why) => Err(why.clone()),
            Ok(_) if Instant::now() + ROW * modes.len() as u32 > end => Err(TOO_LATE.to_owned()),
            Ok(Place { gpu, copy }) => rows(gpu, form, *copy).map_err(|why| why.to_string()),
        };
        let not_measured =
            |why: String| modes.iter().map(|mode| Row::not_measured(form.row(*mode), size, &why)).collect();
        found.unwrap_or_else(not_measured).into_iter().try_for_each(|row| report.add(row))?;
    }
    Ok(())
}

/// What each part of the closed loop adds.
pub fn closed(report: &mut Report, place: &std::result::Result<Place, String>, end: Instant) -> Result<()> {
    for size in CLOSED {
        let rows = match place {
            Err(why) => Err(why.clone()),
            Ok(_) if Instant::now() >= end => Err(TOO_LATE.to_owned()),
            Ok(Place { gpu, copy }) => {
                closed::rows(gpu, size.name, &size.lengths(), *copy, ROW).map_err(|why| why.to_string())
            }
        };
        let rows = rows.unwrap_or_else(|why| vec![Row::not_measured(CLOSED_LOOP, size.name, &why)]);
        rows.into_iter().try_for_each(|row| report.add(row))?;
    }
    Ok(())
}

/// The first clause of `why`: the head of the report has all of it.
fn no_gpu(why: &str) -> String {
    format!("no GPU: {}", why.split(": ").next().unwrap_or(why))
}

/// Builds in two processes with one fresh cache folder: the first compiles, the second finds its kernels on disk.
pub fn builds(report: &mut Report, gpu: &Found) -> Result<()> {
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
    measure(report, criterion, "host", host::interpreted(), None, end)?;
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
        if let Some(row) = line?.strip_prefix(PRINTED) {
            report.add(Row::from_json(&serde_json::from_str(row)?))?;
        }
    }
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("a process of the bench ended with {status}").into()) }
}

/// Driver calls and launches, counted in a process of their own.
pub fn counts(report: &mut Report) -> Result<()> {
    match Job::Counts.command_on_standin("10000") {
        Ok(job) => collect(job, report),
        Err(why) => {
            let why = format!("no stand-in for CUDA: {why}");
            Ok(report.add(Row::not_measured("driver calls and launches", "all", &why))?)
        }
    }
}
