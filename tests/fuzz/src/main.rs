//! `fuzz --seconds N --seed S`: mutated configurations, read in this process for so many seconds.
//!
//! An input that panics or takes over a second is saved, a line of JSON, in the folder `--save`, and so is the slowest. Each is made of the seed and its
//! number alone, and the number stands in `running` there while it is read: what ends the process itself is found by that.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use fuzz::campaign::Campaign;
use fuzz::corpus;
use fuzz::corpus::Corpus;
use fuzz::input::Input;
use fuzz::watch::{LIMIT, overflow_is_checked, run};

/// Reads mutated configurations and looks for panics, waits and values that are not finite.
#[derive(Parser)]
struct Options {
    /// How long.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Which inputs: the same seed makes the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The first input, by its number.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Where inputs that broke something are saved.
    #[arg(long, default_value = "target/broken")]
    save: PathBuf,
    /// Writes the inputs that are kept anew: one for each outcome, of this run and of those that are kept already.
    #[arg(long)]
    bless: bool,
    /// Reads the inputs of this file, a line of JSON each, instead.
    #[arg(long)]
    replay: Option<PathBuf>,
}

/// An input that takes so long never ends.
const HANGS: Duration = Duration::from_secs(20);

/// So many inputs are saved.
const SAVED: u64 = 100;

#[derive(Default)]
struct Counts {
    inputs: u64,
    panics: u64,
    slow: u64,
    slowest: Duration,
}

fn main() -> ExitCode {
    match fuzz_for(&Options::parse()) {
        Ok(counts) if counts.panics == 0 && counts.slow == 0 => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("fuzz: {problem}");
            ExitCode::from(2)
        }
    }
}

fn fuzz_for(options: &Options) -> Result<Counts, Box<dyn std::error::Error>> {
    if !overflow_is_checked() {
        return Err("this build does not check sums for overflow; use `cargo run --profile fuzz --package fuzz`".into());
    }
    fs::create_dir_all(&options.save)?;
    let (start, mut counts, mut kept) = (Instant::now(), Counts::default(), Corpus::default());
    let mut one = |input: &Input| -> Result<(), Box<dyn std::error::Error>> {
        let report = run(input);
        counts.inputs += 1;
        if report.took > counts.slowest {
            counts.slowest = report.took;
            fs::write(options.save.join("slowest.jsonl"), input.line() + "\n")?;
        }
        let broken = match &report.outcome {
            Err(panic) => {
                counts.panics += 1;
                Some(format!("panic: {panic}"))
            }
            Ok(_) if report.took > LIMIT => {
                counts.slow += 1;
                Some(format!("took {:?}", report.took))
            }
            Ok(outcome) => {
                if options.bless {
                    kept.keep(input, outcome);
                }
                None
            }
        };
        match broken {
            Some(why) if counts.panics + counts.slow <= SAVED => save(&options.save, counts.inputs, input, &why),
            _ => Ok(()),
        }
    };
    if let Some(path) = &options.replay {
        corpus::load(path)?.iter().try_for_each(&mut one)?;
    } else {
        let campaign = Arc::new(Campaign::new(options.seed));
        let running = watched(campaign.clone(), options.save.clone());
        let marked = fs::File::create(options.save.join("running"))?;
        if options.bless && corpus::path().exists() {
            corpus::load(&corpus::path())?.iter().try_for_each(&mut one)?;
        }
        campaign.seeds().collect::<Vec<_>>().iter().try_for_each(&mut one)?;
        let mut index = options.first;
        while start.elapsed() < Duration::from_secs(options.seconds) {
            let input = campaign.input(index);
            marked.write_all_at(format!("seed {} input {index:<20}\n", options.seed).as_bytes(), 0)?;
            running.store(index + 1, Ordering::Relaxed);
            one(&input)?;
            index += 1;
        }
        running.store(0, Ordering::Relaxed);
        fs::remove_file(options.save.join("running"))?;
    }
    if options.bless {
        println!("{} inputs are kept", kept.save(&corpus::path())?);
    }
    let Counts { inputs, panics, slow, slowest } = counts;
    let (seconds, slowest) = (start.elapsed().as_secs_f64(), slowest.as_secs_f64() * 1e3);
    println!(
        "fuzz: {inputs} inputs, {seconds:.0} seconds, {panics} panics, {slow} over a second, slowest {slowest:.0} ms"
    );
    Ok(counts)
}

/// Saves an input and says so.
fn save(folder: &Path, number: u64, input: &Input, why: &str) -> Result<(), Box<dyn std::error::Error>> {
    let path = folder.join(format!("broken-{number}.jsonl"));
    fs::write(&path, input.line() + "\n")?;
    eprintln!("{}: {why}", path.display());
    Ok(())
}

/// Ends the process with an input that never ends, saved. What is returned is to hold 1 more than the number of the input that is read.
fn watched(campaign: Arc<Campaign>, folder: PathBuf) -> Arc<AtomicU64> {
    let running = Arc::new(AtomicU64::new(0));
    let seen = running.clone();
    std::thread::spawn(move || {
        let (mut last, mut since) = (0, Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = seen.load(Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            } else if let (Some(index), true) = (now.checked_sub(1), since.elapsed() > HANGS) {
                if let Err(problem) = save(&folder, index, &campaign.input(index), "never ends") {
                    eprintln!("fuzz: {problem}");
                }
                std::process::exit(1);
            }
        }
    });
    running
}
