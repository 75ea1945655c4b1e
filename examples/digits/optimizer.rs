//! The update rule and the tensors that it is given, on either device.

use instep::{AdamW, Device, Optimizer, Tensor};

use crate::Result;
use crate::network::{B1, B2, W1, W2};
use crate::recipe::Recipe;
use crate::stored::Start;

const WEIGHT_DECAY: f64 = 0.01;

/// The group whose rate is recorded.
pub const WEIGHTS: usize = 0;

/// AdamW over four tensors in two groups: the weights decay, the biases do not. The stop flag goes up with the recipe's
/// last step, for a graph that repeats steps by itself.
///
/// # Safety
///
/// * `param` and `grad` are addresses of PARAMS values on `device`, stored as `start` has it, valid for as long as the
///   optimizer is used.
/// * Nothing else reads or writes them while a step runs.
pub unsafe fn optimizer(device: &Device, param: u64, grad: u64, recipe: &Recipe, start: Start) -> Result<Optimizer> {
    let tensor = |name: &str, part: std::ops::Range<usize>| {
        let buffer = |address| start.form.buffer(address, part.start, part.len());
        // SAFETY: the part lies within the two buffers, for which this function's caller answers.
        unsafe { Tensor::new(buffer(param), buffer(grad)) }.name(name)
    };
    let rule = |weight_decay: f64| {
        let rule = AdamW::new(recipe.schedule()).weight_decay(weight_decay);
        match recipe.plateau() {
            Some(plateau) => rule.metric(plateau),
            None => rule,
        }
    };
    Ok(Optimizer::builder(device)
        .precision(start.form.precision())
        .seed(start.seed)
        .group(rule(WEIGHT_DECAY), &[tensor("w1", W1), tensor("w2", W2)])
        .group(rule(0.0), &[tensor("b1", B1), tensor("b2", B2)])
        .stop_at(recipe.total_steps)
        .build()?)
}
