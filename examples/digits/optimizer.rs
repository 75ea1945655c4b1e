//! The update rule and the tensors that it is given, on either device.

use instep::{AdamW, Device, Optimizer, Prodigy, Telemetry, Tensor};

use crate::Result;
use crate::network::{B1, B2, W1, W2};
use crate::recipe::{Recipe, Rule};
use crate::stored::Start;

const WEIGHT_DECAY: f64 = 0.01;

/// The group whose rate is recorded.
pub const WEIGHTS: usize = 0;
/// Of how many steps, the last ones, the estimate of a rule that finds its rate itself is kept.
const ESTIMATES: u64 = 1 << 16;

/// The recipe's rule over four tensors in two groups: the weights decay, the biases do not. The stop flag goes up with the
/// recipe's last step, for a graph that repeats steps by itself.
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
    let weights = [tensor("w1", W1), tensor("w2", W2)];
    let biases = [tensor("b1", B1), tensor("b2", B2)];
    let mut builder =
        Optimizer::builder(device).precision(start.form.precision()).seed(start.seed).stop_at(recipe.total_steps);
    if let Some(plateau) = recipe.plateau() {
        builder = builder.metric(plateau);
    }
    builder = match recipe.rule {
        Rule::AdamW => {
            let rule = AdamW::new(recipe.schedule());
            builder.group(rule.clone().weight_decay(WEIGHT_DECAY), &weights).group(rule.weight_decay(0.0), &biases)
        }
        // Both groups share one estimate. The ring lies in the host's memory, so that no copy is needed to read it.
        Rule::Prodigy => {
            let rule = Prodigy::new(recipe.schedule());
            let ring = Telemetry::ring(recipe.total_steps.min(ESTIMATES) as u32).groups([WEIGHTS]).mapped();
            let builder = builder.telemetry(ring);
            builder.group(rule.clone().weight_decay(WEIGHT_DECAY), &weights).group(rule, &biases)
        }
    };
    Ok(builder.build()?)
}

/// What a rule that finds its rate itself estimated at one step.
#[derive(Debug, Clone, Copy)]
pub struct Estimate {
    pub step: usize,
    /// What the rate was multiplied by.
    pub used: f32,
    /// What it has become, for the next step.
    pub left: f32,
}

/// The estimates of the run, from the telemetry of its steps, which have all ended; none for a rule without.
pub fn estimates(optimizer: &Optimizer, rule: Rule) -> Result<Vec<Estimate>> {
    if rule == Rule::AdamW {
        return Ok(Vec::new());
    }
    let (mut estimates, mut before) = (Vec::new(), None);
    for record in optimizer.telemetry()?.poll()? {
        let value = |name: &str| record.scalar(WEIGHTS, name).ok_or("no estimate in the telemetry");
        let (start, left) = (value("d0")?, value("d")?);
        // The first record that is left of a long run does not say what was used.
        let used = before.replace(left).or((record.t == 0).then_some(start));
        estimates.extend(used.map(|used| Estimate { step: record.t as usize, used, left }));
    }
    Ok(estimates)
}
