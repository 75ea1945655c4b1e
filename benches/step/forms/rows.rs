//! The rows of every form: at the shapes of GPT-2, and at those of Llama-3 8B with as many layers as fit.

use std::time::Duration;

use super::Form;
use super::model::Model;
use crate::bars::LLAMA;
use crate::driver::{Gpu, Graph, Result};
use crate::gpu::{MAX_CALLS, judged};
use crate::report::Row;
use crate::sizes::{LLAMA_LAYERS, Size, llama};
use crate::timing;
use crate::way::Mode;

/// Of a form at `size`, timed in turn, `row` for each mode. `copy` is the device's copy bandwidth in bytes per second.
pub fn of_gpt2(gpu: &Gpu, form: &Form, size: &Size, copy: f64, row: Duration) -> Result<Vec<Row>> {
    let lengths = size.lengths();
    let (needed, room) = ((form.held * lengths.iter().sum::<u64>() as f64) as u64, room(gpu.free_bytes()?));
    if needed > room {
        return Err(format!("needs {} MiB, there is room for {}", needed >> 20, room >> 20).into());
    }
    rows(gpu, form, (size.name, &lengths), form.modes(), copy, row)
}

/// Of a form at the shapes of Llama-3 8B, as many layers as fit.
pub fn of_llama(gpu: &Gpu, form: &Form, copy: f64, row: Duration) -> Result<Vec<Row>> {
    let layers = layers_that_fit(form, gpu.free_bytes()?);
    if layers == 0 {
        return Err("no layer fits beside the embeddings".into());
    }
    let lengths = llama(layers);
    let rows = rows(gpu, form, (LLAMA, &lengths), &[Mode::Replay], copy, row)?;
    let billions = lengths.iter().sum::<u64>() as f64 / 1e9;
    let note = format!("{layers} of {LLAMA_LAYERS} layers, {billions:.2} B parameters");
    Ok(rows.into_iter().map(|row| Row { note: note.clone(), ..row }).collect())
}

/// A little is left to the driver, and to the tables.
fn room(free: u64) -> u64 {
    free / 20 * 19
}

/// How many layers of Llama-3 8B fit in so many free bytes.
fn layers_that_fit(form: &Form, free: u64) -> u64 {
    let elements = |layers| llama(layers).iter().sum::<u64>();
    let layer = elements(1) - elements(0);
    let most = (room(free) as f64 / form.held) as u64;
    (most.saturating_sub(elements(0)) / layer).min(LLAMA_LAYERS)
}

fn rows(
    gpu: &Gpu,
    form: &Form,
    (size, lengths): (&str, &[u64]),
    modes: &[Mode],
    copy: f64,
    row: Duration,
) -> Result<Vec<Row>> {
    let mut model = Model::new(gpu, &[*form], lengths)?;
    let graphs: Vec<Option<Graph>> = modes.iter().map(|mode| model.graph(*mode)).collect::<Result<_>>()?;
    let timings = timing::time(gpu, row, MAX_CALLS, &vec![1; modes.len()], |i| model.step(graphs[i].as_ref()))?;
    let bytes = model.bytes_per_step();
    let rows = modes.iter().zip(timings).map(|(mode, timing)| {
        let row = Row::new(form.row(*mode), size).timed(timing.device, bytes, Some(copy));
        judged(Row { host: Some(timing.host), ..row }, &[])
    });
    Ok(rows.collect())
}

/// Checks the shapes, and how many layers are taken of them.
pub fn check() -> Result<()> {
    let whole = llama(LLAMA_LAYERS);
    if (whole.len(), whole.iter().sum()) != (291, 8_030_261_248u64) {
        return Err(format!("{} tensors are not Llama-3 8B's", whole.len()).into());
    }
    for form in super::ALL {
        let bytes = |layers| form.held * llama(layers).iter().sum::<u64>() as f64;
        for free in [0, 8 << 30, 24 << 30, 78 << 30, 1 << 40] {
            let (layers, room) = (layers_that_fit(&form, free), room(free) as f64);
            if layers > 0 && bytes(layers) > room || layers < LLAMA_LAYERS && bytes(layers + 1) <= room {
                return Err(format!("{layers} layers in {} do not fill {free} bytes", form.name).into());
            }
        }
    }
    Ok(())
}
