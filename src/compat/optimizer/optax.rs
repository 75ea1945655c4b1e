//! optax's optimizers. What optax calls a schedule is the learning rate; groups of their own stand for its masks.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{Adadelta, AdamW, Adamax, RmsProp, Sgd};
use crate::precision::{Precision, StateForm};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "sgd", lr: LR, read: sgd },
    Class { name: "adam", lr: LR, read: |options| adam(options, None, false) },
    Class { name: "adamw", lr: LR, read: |options| adam(options, Some(1e-4), false) },
    Class { name: "nadam", lr: LR, read: |options| adam(options, None, true) },
    Class { name: "nadamw", lr: LR, read: |options| adam(options, Some(1e-4), true) },
    Class { name: "adamax", lr: LR, read: adamax },
    Class { name: "rmsprop", lr: LR, read: rmsprop },
    Class { name: "adadelta", lr: LR, read: adadelta },
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
fn adam(options: &mut Options, weight_decay: Option<f64>, nesterov: bool) -> Result<GroupConfig> {
    let nesterov = options.flag("nesterov", nesterov)?;
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
    let rule = RuleConfig::of::<AdamW>();
    Ok(group.rule(if nesterov { rule.with("nesterov", "apart") } else { rule }))
}

fn adamax(options: &mut Options) -> Result<GroupConfig> {
    let group = GroupConfig::new(options.lr()?)
        .with("beta1", options.number("b1", 0.9)?)
        .with("beta2", options.number("b2", 0.999)?)
        .with("eps", options.number("eps", 1e-8)?);
    Ok(group.rule(RuleConfig::of::<Adamax>()))
}

/// The rate is in the momentum buffer.
fn rmsprop(options: &mut Options) -> Result<GroupConfig> {
    options.off("nesterov", "the Nesterov momentum of RMSprop")?;
    options.off("bias_correction", "a bias correction of RMSprop")?;
    let mut group = GroupConfig::new(options.lr()?)
        .with("alpha", options.number("decay", 0.9)?)
        .with("eps", options.number("eps", 1e-8)?);
    let mut rule = RuleConfig::of::<RmsProp>();
    match options.number("initial_scale", 0.0)? {
        0.0 => {}
        1.0 => rule = rule.with("start_at_one", true),
        other => return Err(options.error("initial_scale", other, "a start other than 0 and 1 is not there yet")),
    }
    for (flag, default, option) in [("eps_in_sqrt", true, "eps_in_root"), ("centered", false, "centered")] {
        if options.flag(flag, default)? {
            rule = rule.with(option, true);
        }
    }
    if let Some(momentum) = options.momentum("momentum")? {
        group.set("momentum", momentum);
        rule = rule.with("lr_in_momentum", true);
    }
    Ok(group.rule(rule))
}

fn adadelta(options: &mut Options) -> Result<GroupConfig> {
    options.off("weight_decay_mask", "a mask of the weight decay")?;
    let group = GroupConfig::new(options.lr()?)
        .with("weight_decay", options.weight_decay(0.0)?)
        .with("rho", options.number("rho", 0.9)?)
        .with("eps", options.number("eps", 1e-6)?);
    Ok(group.rule(RuleConfig::of::<Adadelta>()))
}
