//! `torch.optim`.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{Adam, AdamW, Sgd};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "SGD", lr: LR, read: sgd },
    Class { name: "Adam", lr: LR, read: |options| adam(options, 0.0, false) },
    Class { name: "AdamW", lr: LR, read: |options| adam(options, 0.01, true) },
];

pub(super) const LR: (&str, Option<f64>) = ("lr", Some(1e-3));

/// torch leaves dampening out where there is no momentum.
pub(super) fn sgd(options: &mut Options) -> Result<GroupConfig> {
    let nesterov = options.flag("nesterov", false)?;
    let (momentum, dampening) = (options.momentum("momentum")?, options.number("dampening", 0.0)?);
    if nesterov && (momentum.is_none() || dampening != 0.0) {
        return Err(options.error("nesterov", true, "torch wants a momentum and no dampening with it"));
    }
    let mut group = GroupConfig::new(options.lr()?).with("weight_decay", options.weight_decay(0.0)?);
    if let Some(momentum) = momentum {
        group.set("momentum", momentum);
        if dampening != 0.0 {
            group.set("dampening", dampening);
        }
    }
    let mut rule = RuleConfig::of::<Sgd>();
    if nesterov {
        rule = rule.with("momentum", "nesterov");
    }
    Ok(group.rule(directed(options, rule)?))
}

/// In torch AdamW is an Adam whose groups have `decoupled_weight_decay`.
pub(super) fn adam(options: &mut Options, weight_decay: f64, decoupled: bool) -> Result<GroupConfig> {
    options.off("amsgrad", "AMSGrad")?;
    let decoupled = options.flag("decoupled_weight_decay", decoupled)?;
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let group = GroupConfig::new(options.lr()?)
        .with("weight_decay", options.weight_decay(weight_decay)?)
        .with("beta1", options.beta1(beta1))
        .with("beta2", beta2)
        .with("eps", options.number("eps", 1e-8)?);
    let rule = if decoupled { RuleConfig::of::<AdamW>() } else { RuleConfig::of::<Adam>() };
    Ok(group.rule(directed(options, rule)?))
}

fn directed(options: &mut Options, rule: RuleConfig) -> Result<RuleConfig> {
    Ok(if options.flag("maximize", false)? { rule.with("maximize", true) } else { rule })
}
