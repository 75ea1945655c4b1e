//! How long `build` takes on a GPU: with the compiler, from the cache on disk, from the cache in memory.

use std::time::Instant;

use crate::driver::{Gpu, Memory, Result};
use crate::report::Row;
use crate::rule::{Rule, schedule};
use crate::timing::Spread;
use instep::{Optimizer, Tensor};

const TENSORS: u64 = 148;

/// Two builds in a row; `first` says where the first one's kernels come from.
pub fn rows(gpu: &Gpu, first: &str) -> Result<Vec<Row>> {
    let memory = Memory::zeroed(gpu, 2 * 4 * 64 * TENSORS)?;
    gpu.wait()?;
    let tensors = (0..TENSORS).map(|i| {
        let param = memory.address() + 4 * 64 * i;
        // SAFETY: the memory outlives both optimizers, which never step.
        unsafe { Tensor::f32(param, param + 4 * 64 * TENSORS, 64) }
    });
    let tensors: Vec<_> = tensors.collect();
    let row = |name: &str| -> Result<Row> {
        let builder = Rule::AdamW.group(Optimizer::builder(&gpu.device), schedule(), &tensors);
        let start = Instant::now();
        let optimizer = builder.build()?;
        let elapsed = start.elapsed().as_nanos() as f64;
        drop(optimizer);
        Ok(Row { time: Some(Spread::single(elapsed)), ..Row::new(format!("build, {name}"), format!("{TENSORS} x 64")) })
    };
    Ok(vec![row(first)?, row("kernels from memory")?])
}
