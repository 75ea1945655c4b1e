//! `apex.optimizers` (25.09) and `deepspeed.ops` (0.19.8): torch's rules in kernels of their own. What these take that is torch's
//! means the same; decoupled weight decay is a flag of Adam's, and on.

use super::torch::{self, LR, LrAndDecay};
use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::gradient::Clip;
use crate::optim::{Lamb, Lion};

pub(super) const OF_APEX: &[Class] = &[
    Class { name: "FusedAdam", lr: LR, read: |options| adam(options, "adam_w_mode") },
    Class { name: "FusedSGD", lr: ("lr", None), read: apex_sgd },
    Class { name: "FusedAdagrad", lr: ("lr", Some(1e-2)), read: apex_adagrad },
    Class { name: "FusedLAMB", lr: LR, read: lamb },
];

pub(super) const OF_DEEPSPEED: &[Class] = &[
    Class { name: "FusedAdam", lr: LR, read: |options| adam(options, "adam_w_mode") },
    Class { name: "DeepSpeedCPUAdam", lr: LR, read: |options| adam(options, "adamw_mode") },
    Class { name: "FusedLion", lr: LR, read: lion },
    Class { name: "DeepSpeedCPULion", lr: LR, read: lion },
    Class { name: "DeepSpeedCPUAdagrad", lr: ("lr", Some(1e-2)), read: deepspeed_adagrad },
];

/// What says where numbers are kept or when memory is freed.
const OF_MEMORY: [&str; 4] = ["set_grad_none", "master_weights", "materialize_master_grads", "fp32_optimizer_states"];

fn ignore_memory(options: &mut Options) {
    OF_MEMORY.iter().for_each(|name| options.ignore(name));
}

/// `decoupled`: what the flag of decoupled weight decay is called. Neither library has AMSGrad.
fn adam(options: &mut Options, decoupled: &str) -> Result<GroupConfig> {
    ignore_memory(options);
    options.off("amsgrad", "AMSGrad in this class")?;
    let (decoupled, corrected) = (options.flag(decoupled, true)?, options.flag("bias_correction", true)?);
    if !corrected && !decoupled {
        let rule = "without it, coupled weight decay is not there yet";
        return Err(options.error("bias_correction", false, rule));
    }
    let mut group = torch::adam(options, 0.0, decoupled, LrAndDecay::Plain)?;
    if !corrected && let Some(rule) = group.rule.take() {
        group.rule = Some(rule.with("bias_correction", false));
    }
    Ok(group)
}

fn apex_sgd(options: &mut Options) -> Result<GroupConfig> {
    ignore_memory(options);
    options.off("wd_after_momentum", "weight decay after the momentum")?;
    torch::sgd(options, LrAndDecay::Plain)
}

fn apex_adagrad(options: &mut Options) -> Result<GroupConfig> {
    ignore_memory(options);
    options.off("adagrad_w_mode", "Adagrad with decoupled weight decay")?;
    torch::adagrad(options)
}

fn deepspeed_adagrad(options: &mut Options) -> Result<GroupConfig> {
    ignore_memory(options);
    options.off("amsgrad", "AMSGrad in this class")?;
    torch::adagrad(options)
}

/// Its second beta is not the 0.99 of the other Lions.
fn lion(options: &mut Options) -> Result<GroupConfig> {
    ignore_memory(options);
    let group = LrAndDecay::Plain.group(options, 0.0)?;
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)).rule(RuleConfig::of::<Lion>()))
}

/// The norm over all groups is clipped by the class, as timm's of the same origin does.
fn lamb(options: &mut Options) -> Result<GroupConfig> {
    ignore_memory(options);
    options.off("amsgrad", "AMSGrad in this class")?;
    let rule = "the norm over all groups is limited for the class alone";
    options.only_of_class("max_grad_norm", 1.0, rule)?;
    options.clip = Some(options.number("max_grad_norm", 1.0)?).filter(|norm| *norm > 0.0).map(Clip::optax_norm);
    if !options.flag("adam_w_mode", true)? {
        return Err(options.error(
            "adam_w_mode",
            false,
            "LAMB whose weight decay is part of the gradient is not there yet",
        ));
    }
    let group = LrAndDecay::Plain.group(options, 0.01)?.with("eps", options.number("eps", 1e-6)?);
    let mut rule = RuleConfig::of::<Lamb>();
    for name in ["grad_averaging", "bias_correction"] {
        if !options.flag(name, true)? {
            rule = rule.with(name, false);
        }
    }
    if options.flag("use_nvlamb", false)? {
        rule = rule.with("always_adapt", true);
    }
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)).rule(rule))
}
