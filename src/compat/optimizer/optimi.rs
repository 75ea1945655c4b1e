//! `optimi`, whose groups have betas one by one.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdamW, StableAdamW};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "AdamW", lr: LR, read: |options| adamw(options, RuleConfig::of::<AdamW>()) },
    Class { name: "StableAdamW", lr: LR, read: |options| adamw(options, RuleConfig::of::<StableAdamW>()) },
];

const LR: (&str, Option<f64>) = ("lr", None);

fn adamw(options: &mut Options, rule: RuleConfig) -> Result<GroupConfig> {
    for other_way in ["kahan_sum", "triton"] {
        options.value(other_way);
    }
    options.off("gradient_release", "a step in the backward pass")?;
    let made_with = options.made_with();
    let [beta1, beta2] = options.pair("betas", [0.9, 0.99])?;
    let (beta1, beta2) = (options.number("beta1", beta1)?, options.number("beta2", beta2)?);
    let group = GroupConfig::new(options.lr()?);
    let (mut weight_decay, max_lr) = (options.weight_decay(0.01)?, options.optional_number("max_lr")?);
    // The decay follows the rate as a part of its largest value.
    if options.flag("decouple_lr", false)?
        && let Some(max_lr) = max_lr.or(made_with)
    {
        weight_decay = weight_decay / max_lr;
    }
    Ok(group
        .with("weight_decay", weight_decay)
        .with("beta1", options.beta1(beta1))
        .with("beta2", options.beta2(beta2))
        .with("eps", options.number("eps", 1e-6)?)
        .rule(rule))
}
