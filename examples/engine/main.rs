//! A training engine with all that one needs: two groups, clipping, a dynamic loss scale, accumulation of four, a plateau for all
//! groups, telemetry on a thread, a training that goes on in another process, bit for bit, and one that is a single launch.
//!
//! `network.rs` and `network.cu` are the engine's own; this is all that it needs of the library.
//!
//! ```text
//! cargo run --example engine                  # on a GPU: all of it in one launch
//! cargo run --example engine -- first DIR     # a launch for each call; half of the training is saved to DIR
//! cargo run --example engine -- second DIR    # the other half, from what was saved
//! ```

mod network;

use std::{env, error, path::PathBuf, sync::mpsc, thread, time::Duration};

use instep::{
    Accumulate, AdamW, Capture, Clip, LossScale, NonFinite, Observed, Optimizer, Plateau, Telemetry, knob, knob_steps,
    recipes,
};

/// Calls of an update, each with a batch, and updates of the training.
const CALLS: u32 = 4;
const UPDATES: u64 = 120;

fn main() -> Result<(), Box<dyn error::Error>> {
    let (mode, folder) =
        (env::args().nth(1).unwrap_or_default(), PathBuf::from(env::args().nth(2).unwrap_or_default()));
    let mut network = network::Network::new()?;
    let (matrices, vectors) = network.tensors();
    let lr = recipes::warmup_cosine(knob("peak_lr", 5e-3), 1e-5, 10, knob_steps("total_steps", UPDATES));
    let builder = Optimizer::builder(&network.device)
        .group(AdamW::new(lr.clone()).weight_decay(0.01), &matrices)
        .group(AdamW::new(lr).weight_decay(0), &vectors)
        .metric(Plateau::new().factor(0.5).patience(2).min_scale(0.05))
        .clip(Clip::torch_norm(1.0))
        .loss_scale(LossScale::dynamic().interval(50))
        .non_finite(NonFinite::SkipAndRaise(50))
        .accumulate(Accumulate::mean(CALLS))
        .zero_gradients()
        .telemetry(Telemetry::ring(1_024))
        .stop_at(UPDATES);
    // SAFETY: the loss lives in `network`, longer than the optimizer; all work is on one stream.
    let mut optimizer = unsafe { builder.observe_every(10, Observed::from_cudarc(&network.loss)) }.build()?;

    let stream = network.stream()?;
    let form = if mode.is_empty() { Capture::until_stop() } else { Capture::once() };
    let graph = optimizer.capture_as(form, &stream, |optimizer, stream| {
        network.forward_and_backward(optimizer)?;
        optimizer.step(stream)
    })?;

    let (end, ended) = mpsc::channel::<()>();
    let (mut telemetry, followed) = (optimizer.telemetry()?, network.stream()?);
    let reader = thread::spawn(move || -> instep::Result<_> {
        let mut records = Vec::new();
        while ended.recv_timeout(Duration::from_millis(1)) == Err(mpsc::RecvTimeoutError::Timeout) {
            records.extend(telemetry.poll()?);
        }
        records.extend(telemetry.finish(&followed)?);
        Ok((records, telemetry.lost()))
    });

    let half = || (0..UPDATES / 2 * u64::from(CALLS)).try_for_each(|_| graph.launch(&stream));
    match &*mode {
        "first" => {
            half()?;
            network.save(&folder, &optimizer)?;
            half()?;
        }
        "second" => {
            network.load(&folder, &mut optimizer)?;
            half()?;
        }
        _ => graph.launch(&stream)?,
    }
    drop(end);
    let (records, lost) = reader.join().map_err(|_| "the reader panicked")??;
    println!("engine: {} records={} lost={lost}", network.report(&optimizer)?, records.len());
    Ok(())
}
