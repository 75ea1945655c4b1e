//! A rule of one's own, Lion, with all that the library's own rules have: schedules, clipping, skipped updates, telemetry, a
//! state that is saved and resumed, and the same bits on the CPU and on a GPU, where it is part of the one kernel of a step.
//!
//! `lion.rs` is the rule. This program fits a linear model with it, and from the middle on once more with another optimizer, which
//! goes on from what the first one saved: no bit may differ.
//!
//! ```text
//! cargo run --example own_rule             # on the CPU
//! cargo run --example own_rule -- --cuda   # on a GPU, if there is one
//! cargo run --example own_rule -- --tape   # the rule as data, and nothing else
//! ```

mod lion;
mod memory;

use std::process::ExitCode;

use instep::rule::Tape;
use instep::{Clip, NonFinite, Optimizer, Schedule, Telemetry, TelemetryRecord};

use crate::lion::Lion;
use crate::memory::{Memory, Place};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Weights of the linear model.
const WEIGHTS: usize = 16;
const POINTS: usize = 64;
const STEPS: u64 = 300;
/// The step whose gradient is spoilt, as an overflow would do it: it is skipped.
const SPOILT: u64 = 40;

fn main() -> ExitCode {
    let option = |name: &str| std::env::args().any(|argument| argument == name);
    match if option("--tape") { print_tape() } else { run(option("--cuda")) } {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("own_rule: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Any hyperparameter may have a schedule.
fn rule() -> Lion {
    Lion {
        lr: Schedule::linear(0.0, 0.02).over(30).then(Schedule::cosine(0.02, 1e-4).over(STEPS - 30)),
        weight_decay: 0.01.into(),
        beta1: Schedule::linear(0.8, 0.9).over(100),
        beta2: 0.99.into(),
    }
}

fn print_tape() -> Result<()> {
    print!("{}", Tape::of(&rule())?);
    Ok(())
}

/// A training, on either side.
struct Training<'p> {
    place: &'p Place,
    // Dropped before the memory that it updates.
    optimizer: Optimizer,
    memory: Memory,
}

impl<'p> Training<'p> {
    fn new(place: &'p Place, weights: &[f32]) -> Result<Training<'p>> {
        let mut memory = Memory::new(place, weights)?;
        // SAFETY: the memory stays with the optimizer, which is used on the place's stream.
        let tensor = unsafe { memory.tensor() };
        let optimizer = Optimizer::builder(&place.device)
            .group(rule(), &[tensor])
            .clip(Clip::torch_norm(0.5))
            .non_finite(NonFinite::Skip)
            .telemetry(Telemetry::ring(512))
            .build()?;
        Ok(Training { place, optimizer, memory })
    }

    fn step(&mut self, step: u64) -> Result<()> {
        let mut grad = gradient(&self.memory.param()?, step);
        if step == SPOILT {
            grad[3] = f32::INFINITY;
        }
        self.memory.set_grad(&grad)?;
        Ok(self.optimizer.step(&self.place.stream)?)
    }
}

fn run(cuda: bool) -> Result<()> {
    let found = if cuda { Place::cuda() } else { Ok(Place::host()) };
    let place = found.unwrap_or_else(|why| {
        println!("own_rule: on the CPU: {why}");
        Place::host()
    });
    let mut training = Training::new(&place, &[0.0; WEIGHTS])?;
    let mut telemetry = training.optimizer.telemetry()?;
    let mut saved = None;
    for step in 0..STEPS {
        if step == STEPS / 2 {
            saved = Some((training.memory.param()?, training.optimizer.state(&place.stream)?));
        }
        training.step(step)?;
    }
    telemetry.finish(&place.stream)?.iter().filter(|record| shown(record)).for_each(print);

    let (weights, state) = saved.ok_or("nothing was saved")?;
    let mut resumed = Training::new(&place, &weights)?;
    resumed.optimizer.load_state(&state, &place.stream)?;
    for step in STEPS / 2..STEPS {
        resumed.step(step)?;
    }
    let ends = [training.memory.param()?, resumed.memory.param()?].map(bits);
    let status = training.optimizer.status(&place.stream)?;
    let (loss, backend) = (loss(&training.memory.param()?), place.device.name());
    println!("own_rule: loss={loss:.6} updates={} skipped={} device={backend:?}", status.t, status.skipped);
    match ends[0] == ends[1] && loss < 1e-3 {
        true => Ok(()),
        false => Err("the resumed training came to other weights, or neither to good ones".into()),
    }
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

fn shown(record: &TelemetryRecord) -> bool {
    record.call().is_multiple_of(50) || !record.applied
}

/// What the device recorded of one step.
fn print(record: &TelemetryRecord) {
    let scalar = |name: &str| record.scalar(0, name).unwrap_or(f32::NAN);
    println!(
        "step {:3}: lr {:.5}, beta1 {:.3}, gradient norm {:8.4}, clipped to {:.3} of it{}",
        record.call(),
        scalar("lr"),
        scalar("beta1"),
        record.norm,
        record.clip_factor,
        if record.applied { "" } else { ", skipped" }
    );
}

/// In [-1, 1).
fn noise(seed: u64) -> f32 {
    let mut z = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    ((z ^ (z >> 27)) >> 40) as f32 / (1u64 << 23) as f32 - 1.0
}

fn point(i: usize) -> [f32; WEIGHTS] {
    std::array::from_fn(|k| noise((i * WEIGHTS + k) as u64))
}

/// By how much the model is wrong at a point. The truth is a weight of 0.5 on every other input.
fn residual(weights: &[f32], point: &[f32; WEIGHTS]) -> f32 {
    let truth = |k: usize| if k.is_multiple_of(2) { 0.5 } else { 0.0 };
    weights.iter().zip(point).enumerate().map(|(k, (weight, x))| (weight - truth(k)) * x).sum()
}

/// Of the mean square over all points.
fn loss(weights: &[f32]) -> f32 {
    (0..POINTS).map(|i| residual(weights, &point(i)).powi(2)).sum::<f32>() / POINTS as f32
}

/// Of the mean square over a quarter of the points, which follow from the step.
fn gradient(weights: &[f32], step: u64) -> [f32; WEIGHTS] {
    let mut grad = [0.0; WEIGHTS];
    for i in (step as usize % 4..POINTS).step_by(4) {
        let point = point(i);
        let residual = residual(weights, &point);
        grad.iter_mut().zip(point).for_each(|(grad, x)| *grad += 2.0 * residual * x / (POINTS / 4) as f32);
    }
    grad
}
