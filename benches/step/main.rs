//! The resident schedule beside scheduling on the host: what a step costs the device and the host, and how many driver
//! calls it takes. Start at [`bench`].
//!
//! `cargo bench --bench step` measures what the machine allows: with a GPU everything (within `INSTEP_BENCH_SECONDS`, 300 by
//! default), without one the CPU's rows and the counts of driver calls, and says of every other row why it has no number.
//! The table is written to `target/bench/step.md` and `step.json`, row by row, and printed at the end. A word on the command line
//! selects the sections whose name contains it: `device`, `forms`, `llama`, `closed`, `ways`, `builds`, `counts`, `host`, `curves`.
//! Which rows `device` and `ways` have is declared in [`table`], in which precisions AdamW is measured in [`forms`], what rows have
//! to reach in [`bars`].
//!
//! `cargo test` runs the same program without `--bench`: it then checks that every way gives the same parameters, and runs
//! each row once at a small size, on a GPU or on the stand-in for CUDA.

mod answers;
mod bandwidth;
mod bars;
mod builds;
mod case;
mod closed;
mod counts;
mod curves;
mod driver;
mod forms;
mod gpu;
mod host;
mod noise;
mod options;
mod place;
mod report;
mod rule;
mod sections;
mod sizes;
mod table;
mod timing;
mod way;
mod work;

use std::io::Write;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;

use driver::{Gpu, Result};
use gpu::Contest;
use options::Options;
use place::Job;
use report::{Report, Row};
use rule::Rule;
use way::Way;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
    let done = match Job::of_process() {
        Some(job) => work_for_another(job),
        None if given("--list") => Ok(()),
        None if given("--bench") && !given("--test") => bench(&Wanted::of(&arguments)),
        None => test(&Wanted::of(&arguments)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("step: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The words of the command line that are no flags.
struct Wanted(Vec<String>);

impl Wanted {
    fn of(arguments: &[String]) -> Wanted {
        Wanted(arguments.iter().filter(|argument| !argument.starts_with('-')).cloned().collect())
    }

    fn has(&self, section: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|word| section.contains(word.as_str()))
    }
}

/// Measures everything that is wanted, the rows that need a GPU first.
fn bench(wanted: &Wanted) -> Result<()> {
    let seconds = match std::env::var("INSTEP_BENCH_SECONDS") {
        Ok(text) => {
            text.parse().map_err(|_| format!("INSTEP_BENCH_SECONDS is {text:?}, but must be a whole number"))?
        }
        Err(_) => 300,
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut report = Report::new(place::results_folder(), place::head())?;
    let gpu = place::gpu();
    let mut failed = Vec::new();
    let device = ["device", "forms", "llama", "closed", "ways"];
    if device.iter().any(|name| wanted.has(name)) {
        let place = sections::place(&mut report, &gpu).and_then(|place| {
            for name in device.into_iter().filter(|name| wanted.has(name)) {
                match name {
                    "forms" => sections::forms(&mut report, &place, end),
                    "llama" => sections::llama(&mut report, &place, end),
                    "closed" => sections::closed(&mut report, &place, end),
                    "ways" => sections::lines(&mut report, &place, &table::WAYS, end),
                    _ => sections::lines(&mut report, &place, &table::TABLE, end),
                }?;
            }
            Ok(())
        });
        note_failure(&mut report, "the device", place, &mut failed)?;
    }
    if wanted.has("builds") {
        let built = sections::builds(&mut report, &gpu);
        note_failure(&mut report, "builds", built, &mut failed)?;
    }
    if wanted.has("counts") {
        let counted = sections::counts(&mut report);
        note_failure(&mut report, "counts", counted, &mut failed)?;
    }
    let mut criterion = Criterion::default().without_plots();
    if wanted.has("host") {
        sections::steps_on_host(&mut report, &mut criterion, end)?;
    }
    if wanted.has("curves") {
        sections::curves_on_host(&mut report, &mut criterion, end)?;
    }
    println!("\n{}\nwritten to {}", report.markdown(), report.folder().join("step.md").display());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

/// What fails on the device leaves the host's rows to be measured.
fn note_failure(
    report: &mut Report,
    section: &'static str,
    done: Result<()>,
    failed: &mut Vec<&'static str>,
) -> Result<()> {
    if let Err(why) = done {
        report.add(Row::not_measured(format!("the other rows of {section}"), "", &why.to_string()))?;
        failed.push(section);
    }
    Ok(())
}

fn print(row: Row) -> Result<()> {
    Ok(writeln!(std::io::stdout().lock(), "{}{}", sections::PRINTED, row.to_json())?)
}

fn work_for_another(job: Job) -> Result<()> {
    let standin = place::standin_of_process()?;
    let argument = || std::env::args().nth(1).ok_or("the job needs an argument");
    match job {
        Job::Probe => place::probe(),
        Job::Counts => {
            let standin = standin.ok_or("driver calls are counted on the stand-in")?;
            counts::rows(standin, argument()?.parse()?, print)?;
        }
        Job::Builds => builds::rows(&Gpu::open()?, &argument()?)?.into_iter().try_for_each(print)?,
        Job::Answers => {
            let gpu = Gpu::open()?;
            bandwidth::check(&gpu)?;
            answers::check(&gpu)?;
            forms::check(&gpu, standin.is_some())?;
            builds::rows(&gpu, "the first")?;
            for options in Options::ALL {
                let runs = match options {
                    Options::None => way::RUNS.to_vec(),
                    _ => way::RUNS.into_iter().filter(|(way, _)| *way == Way::Resident).collect(),
                };
                let contest = Contest { rule: Rule::AdamW, options, size: "small", lengths: vec![64, 2_049], runs };
                contest.rows(&gpu, 1e9, Duration::ZERO)?;
            }
            closed::rows(&gpu, "small", &[64, 2_049], 1e9, Duration::ZERO)?;
            if let Some(report) = standin.and_then(|standin| standin.take_report()) {
                return Err(format!("the stand-in reports: {report}").into());
            }
        }
    }
    Ok(())
}

/// Checks answers; measures nothing.
fn test(wanted: &Wanted) -> Result<()> {
    if !wanted.has("step") {
        return Ok(());
    }
    table::check()?;
    for mut work in curves::rows()
        .into_iter()
        .chain(host::references(4_096))
        .chain(host::steps(4_096))
        .chain(host::interpreted())
        .chain(host::builds())
    {
        (work.run)();
    }
    println!("step: the rows of the CPU ran once each");
    let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
    let only_gpu = std::env::var_os("INSTEP_TEST_DEVICE").is_some_and(|wish| wish == "gpu");
    let standin = |job: Job, argument: &str| match only_gpu {
        true => Err("INSTEP_TEST_DEVICE=gpu".to_owned()),
        false => job.command_on_standin(argument),
    };
    let (place, jobs) = match place::gpu() {
        Ok(()) => ("the GPU", vec![Job::Answers.command("")?]),
        Err(gpu) => match (standin(Job::Answers, ""), standin(Job::Counts, "148")) {
            (Ok(answers), Ok(counts)) => ("the stand-in, CUDA on the CPU", vec![answers, counts]),
            (Err(standin), _) | (_, Err(standin)) if required.is_empty() => {
                println!("step: skipped: no GPU ({gpu}), no stand-in for CUDA ({standin})");
                return Ok(());
            }
            (Err(standin), _) | (_, Err(standin)) => {
                return Err(format!("INSTEP_REQUIRE={required}, but no GPU ({gpu}), no stand-in ({standin})").into());
            }
        },
    };
    for mut job in jobs {
        let output = job.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("on {place}: {}", output.status).into());
        }
    }
    println!("step: every way gave the CPU backend's bits on {place}, and every row ran once");
    Ok(())
}
