//! `adabelief_pytorch`, whose class timm has too.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::AdaBelief;

pub(super) const CLASSES: &[Class] =
    &[Class { name: "AdaBelief", lr: ("lr", Some(1e-3)), read: |options| adabelief(options, "weight_decouple") }];

/// `decoupled`: what the class calls the option of decoupled weight decay.
pub(super) fn adabelief(options: &mut Options, decoupled: &str) -> Result<GroupConfig> {
    options.value("print_change_log");
    options.off("fixed_decay", "a weight decay that does not follow the rate")?;
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let eps = options.number("eps", 1e-16)?;
    let group = GroupConfig::new(options.lr()?)
        .with("weight_decay", options.weight_decay(0.0)?)
        .with("beta1", options.beta1(beta1))
        .with("beta2", options.beta2(beta2))
        .with("eps", eps)
        .with("eps_root", eps);
    let mut rule = RuleConfig::of::<AdaBelief>();
    if !options.flag(decoupled, true)? {
        rule = rule.with("coupled_weight_decay", true);
    }
    let (rectify, momentum) = (options.flag("rectify", true)?, options.flag("degenerated_to_sgd", true)?);
    let amsgrad = options.flag("amsgrad", false)?;
    match (rectify, momentum) {
        (false, _) => rule = rule.with("rectify", "off"),
        (true, true) => {}
        (true, false) => rule = rule.with("rectify", "wait"),
    }
    // A rectified step does not look at it.
    if amsgrad && !rectify {
        rule = rule.with("amsgrad", true);
    }
    Ok(group.rule(rule))
}
