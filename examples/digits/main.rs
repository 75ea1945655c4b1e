//! Trains a small network on real handwritten digits, with the learning rate where the parameters are.
//!
//! On a GPU all steps (pick a batch, forward, backward, record, update), epochs and validations are one CUDA graph, and
//! the training is one launch of it: see `graphs.rs`. With an older driver, or with `--launch`, a step is one launch. The
//! validation loss never leaves the device, and yet lowers the rate where it stalls, with `--schedule plateau`: see
//! `recipe.rs`, which also has a rule that needs no rate, `--rule prodigy`. Without a GPU the same network trains on the CPU: see `host.rs`. Start at [`train`].

mod buffers;
mod cuda;
mod data;
mod graphs;
mod host;
mod network;
mod optimizer;
mod options;
mod order;
mod picture;
mod recipe;
mod record;
mod stored;
mod training;
mod while_loop;
mod work;

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use instep::Error;

use crate::cuda::CudaTraining;
use crate::data::Digits;
use crate::host::HostTraining;
use crate::options::{Options, USAGE};
use crate::recipe::{Decline, Recipe};
use crate::stored::{Form, told};
use crate::training::{Report, Training, Validation};

type BoxedError = Box<dyn std::error::Error>;
type Result<T> = std::result::Result<T, BoxedError>;

/// The share of held-out images that must be recognised.
const REQUIRED_ACCURACY: f64 = 0.95;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("digits: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match train(&options) {
        Ok(accuracy) if accuracy >= REQUIRED_ACCURACY => ExitCode::SUCCESS,
        Ok(accuracy) => {
            eprintln!("digits: accuracy is {accuracy:.4}, but must be at least {REQUIRED_ACCURACY}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("digits: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The whole program: trains to the end, draws the picture, prints the last line. Returns the accuracy.
fn train(options: &Options) -> Result<f64> {
    let digits = Digits::load()?;
    let (held_out, steps_per_epoch) = (digits.held_out() as f64, network::steps_per_epoch(&digits));
    let recipe = Recipe { rule: options.rule, decline: options.decline, total_steps: options.steps, steps_per_epoch };
    let (mut training, backend) = begin(options, digits, &recipe)?;

    if options.start.form != Form::F32 {
        println!("digits: {}", told(training.optimizer()).ok_or("there is no tensor")?);
    }
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} steps, {msg}")?;
    let progress = ProgressBar::new(options.steps).with_style(style).with_message("first epoch");
    let accuracy = |seen: Validation| f64::from(seen.correct) / held_out;
    let told = |seen| format!("accuracy {:.4}, validation loss {:.4}", accuracy(seen), seen.loss);
    let mut steps = 0;
    while steps < options.steps {
        steps += training.advance(options.steps - steps)?;
        progress.set_position(steps);
        progress.set_message(training.validated().map_or_else(|| "enqueued".to_owned(), &told));
    }
    let report = training.report()?;
    let last = *report.validations.last().ok_or("there was no validation")?;
    progress.finish_with_message(told(last));

    let drops = drops(&recipe, &report);
    let estimates = optimizer::estimates(training.optimizer(), options.rule)?;
    if let [first, .., last] = &estimates[..] {
        println!("digits: the estimate that multiplies the rate: {} -> {}", first.used, last.left);
    }
    let picture = options.picture.display();
    picture::draw(&options.picture, &report, &drops, &estimates)
        .map_err(|error| format!("picture {picture}: {error}"))?;
    if let Some(path) = &options.csv {
        record::write(path, &report, &estimates).map_err(|error| format!("csv {}: {error}", path.display()))?;
    }
    let accuracy = accuracy(last);
    let launches = training.launches();
    println!("digits: accuracy={accuracy:.4} steps={steps} launches={launches} backend={backend} picture={picture}");
    Ok(accuracy)
}

/// The steps at which a plateau rule had lowered the rate, each told in a line.
fn drops(recipe: &Recipe, report: &Report) -> Vec<usize> {
    if recipe.decline != Decline::Plateau {
        return Vec::new();
    }
    let drops = report.drops().inspect(|seen| {
        let (before, after) = (report.lr[seen.steps - 1], report.lr[seen.steps]);
        println!("digits: step {}: lr {before} -> {after}, validation loss {:.4}", seen.steps, seen.loss);
    });
    drops.map(|seen| seen.steps).collect()
}

/// The CUDA form where there is a GPU and NVRTC; else the host form, and a line that says why.
fn begin(options: &Options, digits: Digits, recipe: &Recipe) -> Result<(Box<dyn Training>, &'static str)> {
    if !options.host {
        match CudaTraining::new(&digits, recipe, options.start, options.launch) {
            Ok(training) => return Ok((Box::new(training), "cuda")),
            Err(error) if is_absence(&error) => println!("digits: training on the host: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok((Box::new(HostTraining::new(digits, recipe, options.start)?), "host"))
}

/// Whether CUDA, or a part of it, is not there; an error of one that is there must not pass unseen.
fn is_absence(error: &BoxedError) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoDriver { .. } | Error::NoDevice { .. } | Error::NoNvrtc { .. }))
}
