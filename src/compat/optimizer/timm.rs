//! `timm.optim`: torch's own classes under their names, and timm's, with what they add.

use super::torch::{self, LR, LrAndDecay};
use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::RmsProp;
use crate::schedule::Schedule;

pub(super) const CLASSES: &[Class] = &[
    Class { name: "SGD", lr: LR, read: |options| torch::sgd(options, LrAndDecay::Plain) },
    Class { name: "Adam", lr: LR, read: |options| torch::adam(options, 0.0, false, LrAndDecay::Plain) },
    Class { name: "AdamW", lr: LR, read: |options| torch::adam(options, 0.01, true, LrAndDecay::Plain) },
    Class { name: "NAdam", lr: ("lr", Some(2e-3)), read: torch::nadam },
    Class { name: "RAdam", lr: LR, read: torch::radam },
    Class { name: "Adamax", lr: ("lr", Some(2e-3)), read: torch::adamax },
    Class { name: "Adagrad", lr: ("lr", Some(1e-2)), read: torch::adagrad },
    Class { name: "RMSprop", lr: ("lr", Some(1e-2)), read: torch::rmsprop },
    Class { name: "Adadelta", lr: ("lr", Some(1.0)), read: torch::adadelta },
    Class { name: "AdamWLegacy", lr: LR, read: adamw },
    Class { name: "NAdamW", lr: LR, read: nadamw },
    Class { name: "SGDW", lr: LR, read: sgdw },
    Class { name: "RMSpropTF", lr: ("lr", Some(1e-2)), read: rmsprop_tf },
];

fn adamw(options: &mut Options) -> Result<GroupConfig> {
    adamw_with(options, |rule| rule)
}

fn nadamw(options: &mut Options) -> Result<GroupConfig> {
    options.off("amsgrad", "AMSGrad with Nesterov momentum")?;
    adamw_with(options, |rule| rule.with("nesterov", "together"))
}

fn adamw_with(options: &mut Options, more: fn(RuleConfig) -> RuleConfig) -> Result<GroupConfig> {
    let clips = options.optional_number("clipping_threshold")?;
    let mut group = torch::adam(options, 0.01, true, LrAndDecay::Correctable)?;
    if let Some(rule) = group.rule.take() {
        let rule = options.caution(more(rule), "caution", "mean")?;
        group.rule = Some(match clips {
            Some(most) => rule.with("clip_update", most),
            None => rule,
        });
    }
    Ok(group)
}

/// Caution acts on the momentum; without one timm has none.
fn sgdw(options: &mut Options) -> Result<GroupConfig> {
    let mut group = torch::sgd(options, LrAndDecay::Correctable)?;
    let has_momentum = group.get("momentum").is_some();
    if let Some(rule) = group.rule.take() {
        let careful = options.caution(rule.clone(), "caution", "mean")?;
        let rule = if has_momentum { careful } else { rule };
        let decays = group.get("weight_decay").is_some_and(|decay| *decay != Schedule::constant(0.0));
        group.rule = Some(if decays { rule.with("decoupled_weight_decay", true) } else { rule });
    }
    Ok(group)
}

/// The rate is in the momentum buffer unless `lr_in_momentum` is false. Caution acts on that buffer, where there is one.
fn rmsprop_tf(options: &mut Options) -> Result<GroupConfig> {
    let in_momentum = options.flag("lr_in_momentum", true)?;
    let momentum = options.momentum("momentum")?;
    let decoupled = options.flag("decoupled_decay", false)?;
    let (lr, decay) = options.lr_and_corrected_decay(0.0, decoupled)?;
    let group = GroupConfig::new(lr).with("weight_decay", decay);
    let mut group = group.with("alpha", options.number("alpha", 0.9)?).with("eps", options.number("eps", 1e-10)?);
    let rule = options
        .passed(RuleConfig::of::<RmsProp>(), &["centered"])?
        .with("start_at_one", true)
        .with("eps_in_root", true);
    let mut rule = if decoupled { rule.with("decoupled_weight_decay", true) } else { rule };
    let careful = options.caution(rule.clone(), "caution", "mean")?;
    if let Some(momentum) = momentum {
        group.set("momentum", momentum);
        rule = if in_momentum { careful.with("lr_in_momentum", true) } else { careful };
    }
    Ok(group.rule(rule))
}
