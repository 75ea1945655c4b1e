//! What each part of the closed loop adds to a step of AdamW, the telemetry ring among them: one optimizer with each part,
//! over the same tensors, in graphs of many steps, timed in turn with one that has none.

use std::time::Duration;

use instep::{Clip, LossScale, NonFinite, Observed, OptimizerBuilder, Plateau, Telemetry};

use crate::case::Case;
use crate::driver::{Gpu, Memory, Result};
use crate::options::Options;
use crate::report::Row;
use crate::rule::Rule;
use crate::timing;
use crate::way::UNROLLED;

/// A part, what is asked of the builder, and the bytes that it adds per parameter.
struct Part {
    name: &'static str,
    ask: fn(OptimizerBuilder) -> OptimizerBuilder,
    bytes: u64,
}

const PLAIN: &str = "no part";

fn parts() -> Vec<Part> {
    let part = |name, bytes, ask| Part { name, ask, bytes };
    vec![
        part(PLAIN, 0, |b| b),
        part("telemetry, ring on the device", 0, |b| b.telemetry(Telemetry::ring(1_024))),
        part("telemetry, mapped ring", 0, |b| b.telemetry(Telemetry::ring(1_024).mapped())),
        part("ends by rate and by plateau", 0, |b| b.stop_below(1e-9).stop_on_plateau()),
        part("clip by norm", 4, |b| b.clip(Clip::torch_norm(1.0))),
        part("skip, dynamic loss scale", 4, |b| {
            b.loss_scale(LossScale::dynamic().init(1.0)).non_finite(NonFinite::Skip)
        }),
        part("gradients zeroed", 4, |b| b.zero_gradients()),
    ]
}

/// One row a part, timed for `row` each. `copy` is the device's copy bandwidth in bytes per second.
pub fn rows(gpu: &Gpu, size: &str, lengths: &[u64], copy: f64, row: Duration) -> Result<Vec<Row>> {
    let case = Case::new(gpu, Rule::AdamW, Options::None, lengths)?;
    let loss = Memory::zeroed(gpu, 4)?;
    let mut names: Vec<(&str, u64)> = parts().iter().map(|part| (part.name, part.bytes)).collect();
    let mut optimizers = Vec::new();
    for part in parts() {
        optimizers.push(case.another(|rule| rule.metric(Plateau::new()), part.ask)?);
    }
    names.push(("a metric observed by every step", 0));
    // SAFETY: `loss` outlives the optimizer, and nothing writes it.
    let observed = |b: OptimizerBuilder| unsafe { b.observe_every(1, Observed::f32(loss.address())) };
    optimizers.push(case.another(|rule| rule.metric(Plateau::new()), observed)?);

    let mut graphs = Vec::new();
    for optimizer in &mut optimizers {
        graphs.push(gpu.capture(|| (0..UNROLLED).try_for_each(|_| Ok(optimizer.step(&gpu.stream)?)))?);
    }
    let per_call = vec![UNROLLED; graphs.len()];
    let timings = timing::time(gpu, row, 8, &per_call, |i| gpu.replay(&graphs[i]))?;
    let plain = timings[0].device.median;
    let rows = names.into_iter().zip(&timings).map(|((name, more), timing)| {
        let bytes = case.bytes_per_step() + case.elements() * more;
        let added = timing.device.median - plain;
        let note = if name == PLAIN { String::new() } else { format!("{added:+.0} ns to {PLAIN}") };
        let row = Row::new(format!("AdamW, closed loop: {name}, {UNROLLED} steps in a graph"), size);
        Row { note, host: Some(timing.host), ..row.timed(timing.device, bytes, Some(copy)) }
    });
    Ok(rows.collect())
}
