//! `lion_pytorch`.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::Lion;

pub(super) const CLASSES: &[Class] = &[Class { name: "Lion", lr: ("lr", Some(1e-4)), read: lion }];

fn lion(options: &mut Options) -> Result<GroupConfig> {
    options.value("use_triton");
    let made_with = options.made_with();
    let mut group = GroupConfig::new(options.lr()?);
    let mut weight_decay = options.weight_decay(0.0)?;
    // The decay is divided by the rate that the optimizer was made with, once.
    if options.flag("decoupled_weight_decay", false)?
        && let Some(made_with) = made_with
    {
        weight_decay = weight_decay / made_with;
    }
    group.set("weight_decay", weight_decay);
    let [beta1, beta2] = options.pair("betas", [0.9, 0.99])?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)).rule(RuleConfig::of::<Lion>()))
}
