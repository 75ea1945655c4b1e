//! What the network is trained with, on either device: the schedule and the update rule.

use instep::{AdamW, Device, Optimizer, Schedule, Tensor};

use crate::Result;
use crate::network::{B1, B2, W1, W2};

const PEAK_LR: f64 = 3e-3;
const END_LR: f64 = 3e-5;
const WEIGHT_DECAY: f64 = 0.01;

/// Up to [`PEAK_LR`] over the first tenth, then half a cosine down to [`END_LR`].
pub fn schedule(total_steps: u64) -> Schedule {
    let warmup_steps = total_steps / 10;
    Schedule::linear(0.0, PEAK_LR)
        .over(warmup_steps)
        .then(Schedule::cosine(PEAK_LR, END_LR).over(total_steps - warmup_steps))
}

/// The group whose rate is recorded.
pub const WEIGHTS: usize = 0;

/// AdamW over four tensors in two groups: the weights decay, the biases do not.
///
/// # Safety
///
/// * `param` and `grad` are addresses of `f32[PARAMS]` on `device`, valid for as long as the optimizer is used.
/// * Nothing else reads or writes them while a step runs.
pub unsafe fn optimizer(device: &Device, param: u64, grad: u64, total_steps: u64) -> Result<Optimizer> {
    let tensor = |name: &str, part: std::ops::Range<usize>| {
        let offset = (part.start * size_of::<f32>()) as u64;
        // SAFETY: the part lies within the two buffers, for which this function's caller answers.
        unsafe { Tensor::f32(param + offset, grad + offset, part.len() as u64) }.name(name)
    };
    let lr = schedule(total_steps);
    let weights = AdamW::new(lr.clone()).weight_decay(WEIGHT_DECAY);
    let biases = AdamW::new(lr).weight_decay(0.0);
    Ok(Optimizer::builder(device)
        .group(weights, &[tensor("w1", W1), tensor("w2", W2)])
        .group(biases, &[tensor("b1", B1), tensor("b2", B2)])
        .build()?)
}
