//! optax's optimizers. What optax calls a schedule is the learning rate; groups of their own stand for its masks.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdamW, Sgd};
use crate::precision::{Precision, StateForm};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "sgd", lr: LR, read: sgd },
    Class { name: "adam", lr: LR, read: |options| adam(options, None) },
    Class { name: "adamw", lr: LR, read: |options| adam(options, Some(1e-4)) },
];

const LR: (&str, Option<f64>) = ("learning_rate", None);

/// A state may have another type in optax.
pub(super) fn stored(group: &mut GroupConfig, state: &str, form: Option<StateForm>) {
    if let Some(form) = form {
        group.precision = Some(Precision::new().state(state, form));
    }
}

fn sgd(options: &mut Options) -> Result<GroupConfig> {
    let accumulator = options.state_form("accumulator_dtype")?;
    let nesterov = options.flag("nesterov", false)?;
    let mut group = GroupConfig::new(options.lr()?);
    let mut rule = RuleConfig::of::<Sgd>();
    if let Some(momentum) = options.momentum("momentum")? {
        group.set("momentum", momentum);
        stored(&mut group, "momentum_buffer", accumulator);
        if nesterov {
            rule = rule.with("momentum", "nesterov");
        }
    }
    Ok(group.rule(rule))
}

/// The moments are corrected before the root is taken, as in ours; a decay is added to the update, before the rate.
fn adam(options: &mut Options, weight_decay: Option<f64>) -> Result<GroupConfig> {
    options.off("nesterov", "NAdam")?;
    let mu = options.state_form("mu_dtype")?;
    options.zero("eps_root", "a term under the root")?;
    let mut group = GroupConfig::new(options.lr()?);
    stored(&mut group, "exp_avg", mu);
    if let Some(weight_decay) = weight_decay {
        options.off("mask", "a mask of the weight decay")?;
        group.set("weight_decay", options.weight_decay(weight_decay)?);
    } else {
        group.set("weight_decay", 0.0);
    }
    let group = group
        .with("beta1", options.number("b1", 0.9)?)
        .with("beta2", options.number("b2", 0.999)?)
        .with("eps", options.number("eps", 1e-8)?);
    Ok(group.rule(RuleConfig::of::<AdamW>()))
}
