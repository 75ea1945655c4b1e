//! `bitsandbytes.optim` (0.50.2): its classes with states of 32 bits, of 8 bits, and paged, which is a matter of memory alone.
//!
//! States of 8 bits become ours, whose codes and rounding are others; its tensors below `min_8bit_size` keep 32 bits, and ours do
//! not. Weight decay is decoupled in `Adam` too, since both names are one kernel; it is applied after the update where ours is applied
//! before, which differs by the decay of one update's own change.

use super::torch::{self, LrAndDecay};
use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdEMAMix, Lion};
use crate::precision::{Precision, StateForm};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "Adam", lr: LR, read: |options| adam(options, 0.0, Bits::Said) },
    Class { name: "Adam32bit", lr: LR, read: |options| adam(options, 0.0, Bits::Of32) },
    Class { name: "Adam8bit", lr: LR, read: |options| adam(options, 0.0, Bits::Of8) },
    Class { name: "PagedAdam", lr: LR, read: |options| adam(options, 0.0, Bits::Said) },
    Class { name: "PagedAdam32bit", lr: LR, read: |options| adam(options, 0.0, Bits::Of32) },
    Class { name: "PagedAdam8bit", lr: LR, read: |options| adam(options, 0.0, Bits::Of8) },
    Class { name: "AdamW", lr: LR, read: |options| adam(options, 0.01, Bits::Said) },
    Class { name: "AdamW32bit", lr: LR, read: |options| adam(options, 0.01, Bits::Of32) },
    Class { name: "AdamW8bit", lr: LR, read: |options| adam(options, 0.01, Bits::Of8) },
    Class { name: "PagedAdamW", lr: LR, read: |options| adam(options, 0.01, Bits::Said) },
    Class { name: "PagedAdamW32bit", lr: LR, read: |options| adam(options, 0.01, Bits::Of32) },
    Class { name: "PagedAdamW8bit", lr: LR, read: |options| adam(options, 0.01, Bits::Of8) },
    Class { name: "AdEMAMix", lr: LR, read: |options| ademamix(options, Bits::Said) },
    Class { name: "AdEMAMix32bit", lr: LR, read: |options| ademamix(options, Bits::Of32) },
    Class { name: "AdEMAMix8bit", lr: LR, read: |options| ademamix(options, Bits::Of8) },
    Class { name: "PagedAdEMAMix", lr: LR, read: |options| ademamix(options, Bits::Said) },
    Class { name: "PagedAdEMAMix32bit", lr: LR, read: |options| ademamix(options, Bits::Of32) },
    Class { name: "PagedAdEMAMix8bit", lr: LR, read: |options| ademamix(options, Bits::Of8) },
    Class { name: "Lion", lr: LION, read: |options| lion(options, Bits::Said) },
    Class { name: "Lion32bit", lr: LION, read: |options| lion(options, Bits::Of32) },
    Class { name: "Lion8bit", lr: LION, read: |options| lion(options, Bits::Of8) },
    Class { name: "PagedLion", lr: LION, read: |options| lion(options, Bits::Said) },
    Class { name: "PagedLion32bit", lr: LION, read: |options| lion(options, Bits::Of32) },
    Class { name: "PagedLion8bit", lr: LION, read: |options| lion(options, Bits::Of8) },
    Class { name: "SGD", lr: ("lr", None), read: |options| sgd(options, Bits::Said) },
    Class { name: "SGD32bit", lr: ("lr", None), read: |options| sgd(options, Bits::Of32) },
    Class { name: "SGD8bit", lr: ("lr", None), read: |options| sgd(options, Bits::Of8) },
];

const LR: (&str, Option<f64>) = torch::LR;
const LION: (&str, Option<f64>) = ("lr", Some(1e-4));

/// Of what a class keeps its states.
#[derive(Clone, Copy)]
enum Bits {
    /// As `optim_bits` says, and 32 if it says nothing.
    Said,
    Of32,
    /// Whatever `optim_bits` says.
    Of8,
}

/// `group` with states of so many bits; what concerns memory is taken.
fn kept(options: &mut Options, mut group: GroupConfig, bits: Bits) -> Result<GroupConfig> {
    for name in ["args", "min_8bit_size", "is_paged", "block_wise"] {
        options.ignore(name);
    }
    let rule = "the clipping at a percentile of past norms is not there yet";
    options.number_where("percentile_clipping", |percent| percent >= 100.0, rule)?;
    let said = options.number_where("optim_bits", |bits| bits == 32.0 || bits == 8.0, "must be 32 or 8")?;
    if matches!((bits, said), (Bits::Of8, _) | (Bits::Said, Some(8.0))) {
        group.precision = Some(Precision::new().states(StateForm::EightBit));
    }
    Ok(group)
}

fn adam(options: &mut Options, weight_decay: f64, bits: Bits) -> Result<GroupConfig> {
    options.off("amsgrad", "AMSGrad in this class")?;
    let group = torch::adam(options, weight_decay, true, LrAndDecay::Plain)?;
    kept(options, group, bits)
}

fn lion(options: &mut Options, bits: Bits) -> Result<GroupConfig> {
    let group = LrAndDecay::Plain.group(options, 0.0)?;
    let [beta1, beta2] = options.pair("betas", [0.9, 0.99])?;
    let group = group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    kept(options, group.rule(RuleConfig::of::<Lion>()), bits)
}

/// The warm-ups are arguments here, and schedules in ours, which have one length for both.
fn ademamix(options: &mut Options, bits: Bits) -> Result<GroupConfig> {
    let group = LrAndDecay::Plain.group(options, 0.01)?;
    let [beta1, beta2, beta3] = options.triple("betas", [0.9, 0.999, 0.9999])?;
    let alpha = options.number("alpha", 5.0)?;
    let (of_alpha, of_beta3) = (options.optional_number("t_alpha")?, options.optional_number("t_beta3")?);
    let mut group = group
        .with("beta1", options.beta1(beta1))
        .with("beta2", options.beta2(beta2))
        .with("beta3", beta3)
        .with("alpha", alpha)
        .with("eps", options.number("eps", 1e-8)?);
    if let Some(steps) = of_alpha {
        group.set("alpha", AdEMAMix::alpha_warmup(alpha, steps));
    }
    if let Some(steps) = of_beta3 {
        group.set("beta3", AdEMAMix::beta3_warmup(beta1, beta3, steps));
    }
    kept(options, group.rule(RuleConfig::of::<AdEMAMix>()), bits)
}

/// The kernel looks at the momentum alone, and the class refuses none.
fn sgd(options: &mut Options, bits: Bits) -> Result<GroupConfig> {
    options.off("nesterov", "Nesterov momentum, which this class takes and leaves out,")?;
    options.zero("dampening", "dampening, which this class takes and leaves out,")?;
    let group = torch::sgd(options, LrAndDecay::Plain)?;
    if group.get("momentum").is_none() {
        return Err(options.error("momentum", 0, "must not be 0: the class refuses it"));
    }
    kept(options, group, bits)
}
