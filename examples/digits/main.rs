//! Trains a small network on real handwritten digits, with the learning rate where the parameters are.
//!
//! On a GPU a whole step (pick a batch, forward, backward, record, update) is captured into one CUDA graph and replayed:
//! see `cuda.rs`. Without a GPU the same network trains on the CPU: see `host.rs`. Start at [`train`].

mod cuda;
mod data;
mod host;
mod network;
mod options;
mod order;
mod picture;
mod recipe;
mod training;

use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use instep::Error;

use crate::cuda::CudaTraining;
use crate::data::Digits;
use crate::host::HostTraining;
use crate::options::{Options, USAGE};
use crate::training::Training;

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

/// The whole program: trains epoch by epoch, draws the picture, prints the last line. Returns the accuracy.
fn train(options: &Options) -> Result<f64> {
    let digits = Digits::load()?;
    let (held_out, steps_per_epoch) = (digits.held_out() as f64, network::steps_per_epoch(&digits));
    let (mut training, backend) = begin(options, digits)?;

    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} steps, {msg}")?;
    let progress = ProgressBar::new(options.steps).with_style(style).with_message("first epoch");
    let mut steps = 0;
    let (report, accuracy) = loop {
        let epoch = steps_per_epoch.min(options.steps - steps);
        training.advance(epoch)?;
        steps += epoch;
        let report = training.report()?;
        let accuracy = report.correct as f64 / held_out;
        progress.set_position(steps);
        progress.set_message(format!("accuracy {accuracy:.4}, loss {:.4}", report.loss[steps as usize - 1]));
        if steps == options.steps {
            break (report, accuracy);
        }
    };
    progress.finish();

    let picture = options.picture.display();
    picture::draw(&options.picture, &report).map_err(|error| format!("picture {picture}: {error}"))?;
    println!("digits: accuracy={accuracy:.4} steps={steps} backend={backend} picture={picture}");
    Ok(accuracy)
}

/// The CUDA form where there is a GPU and NVRTC; else the host form, and a line that says why.
fn begin(options: &Options, digits: Digits) -> Result<(Box<dyn Training>, &'static str)> {
    if !options.host {
        match CudaTraining::new(digits.clone(), options.steps) {
            Ok(training) => return Ok((Box::new(training), "cuda")),
            Err(error) if is_absence(&error) => println!("digits: training on the host: {error}"),
            Err(error) => return Err(error),
        }
    }
    Ok((Box::new(HostTraining::new(digits, options.steps)?), "host"))
}

/// Whether CUDA, or a part of it, is not there; an error of one that is there must not pass unseen.
fn is_absence(error: &BoxedError) -> bool {
    matches!(error.downcast_ref(), Some(Error::NoDriver { .. } | Error::NoDevice { .. } | Error::NoNvrtc { .. }))
}
