//! Trains the network to the end and prints one line. `cargo run --release`, with `--features cuda` on a machine with nvcc.

use std::process::ExitCode;

use candle_core::{Device, Result};
use instep::{AdamW, Schedule};
use instep_candle::digits::Digits;
use instep_candle::network::{BATCH, Network, batches};
use instep_candle::step::{Step, decaying};

const EPOCHS: u64 = 20;
const PEAK_LR: f64 = 3e-3;
const WEIGHT_DECAY: f64 = 0.01;
/// The share of held-out images that must be recognised.
const REQUIRED_ACCURACY: f64 = 0.95;

fn main() -> ExitCode {
    match train() {
        Ok(accuracy) if accuracy >= REQUIRED_ACCURACY => ExitCode::SUCCESS,
        Ok(accuracy) => {
            eprintln!("candle: accuracy is {accuracy:.4}, but must be at least {REQUIRED_ACCURACY}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("candle: {error}");
            ExitCode::FAILURE
        }
    }
}

fn train() -> Result<f64> {
    let device = Device::cuda_if_available(0)?;
    let digits = Digits::load(&device)?;
    let network = Network::new(&device)?;
    let images = digits.training.count()?;
    let epoch_steps = (images / BATCH) as u64;

    let rise = Schedule::linear(0.0, PEAK_LR).over(epoch_steps);
    let decline = Schedule::cosine(PEAK_LR, 0.0).over((EPOCHS - 1) * epoch_steps);
    let rule = AdamW::new(rise.then(decline));
    let [weights, biases] = decaying(&network.vars)?;
    // SAFETY: this thread alone uses the network, on the device's stream.
    let builder = unsafe { Step::builder(&device) }?;
    let builder = builder.group(rule.clone().weight_decay(WEIGHT_DECAY), &weights)?;
    let mut step = builder.group(rule.weight_decay(0.0), &biases)?.build()?;

    for epoch in 0..EPOCHS {
        for batch in batches(images, epoch) {
            step.backward_step(&network.loss(&digits.training.pick(&batch)?)?)?;
        }
    }

    let accuracy = network.accuracy(&digits.held_out)?;
    let steps = step.optimizer().status(step.stream()).map_err(candle_core::Error::wrap)?.t;
    let backend = if device.is_cuda() { "cuda" } else { "host" };
    println!("candle: accuracy={accuracy:.4} steps={steps} backend={backend}");
    Ok(accuracy)
}
