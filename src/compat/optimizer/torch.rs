//! `torch.optim`.

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{Adadelta, Adagrad, Adam, AdamW, Adamax, Asgd, NAdam, RAdam, RmsProp, Rprop, Sgd};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "SGD", lr: LR, read: |options| sgd(options, LrAndDecay::Plain) },
    Class { name: "Adam", lr: LR, read: |options| adam(options, 0.0, false, LrAndDecay::Plain) },
    Class { name: "AdamW", lr: LR, read: |options| adam(options, 0.01, true, LrAndDecay::Plain) },
    Class { name: "NAdam", lr: ("lr", Some(2e-3)), read: nadam },
    Class { name: "RAdam", lr: LR, read: radam },
    Class { name: "Adamax", lr: ("lr", Some(2e-3)), read: adamax },
    Class { name: "Adagrad", lr: ("lr", Some(1e-2)), read: adagrad },
    Class { name: "RMSprop", lr: ("lr", Some(1e-2)), read: rmsprop },
    Class { name: "Adadelta", lr: ("lr", Some(1.0)), read: adadelta },
    Class { name: "ASGD", lr: ("lr", Some(1e-2)), read: asgd },
    Class { name: "Rprop", lr: ("lr", Some(1e-2)), read: rprop },
];

pub(super) const LR: (&str, Option<f64>) = ("lr", Some(1e-3));

/// How the learning rate and the weight decay are read.
#[derive(Clone, Copy)]
pub(super) enum LrAndDecay {
    Plain,
    /// With timm's `corrected_weight_decay`.
    Correctable,
}

impl LrAndDecay {
    /// A group that has both; the decay is `default` where nothing is said.
    pub fn group(self, options: &mut Options, default: f64) -> Result<GroupConfig> {
        let (lr, decay) = match self {
            LrAndDecay::Plain => (options.lr()?, options.weight_decay(default)?),
            LrAndDecay::Correctable => options.lr_and_corrected_decay(default, true)?,
        };
        Ok(GroupConfig::new(lr).with("weight_decay", decay))
    }
}

/// torch leaves dampening out where there is no momentum.
pub(super) fn sgd(options: &mut Options, read: LrAndDecay) -> Result<GroupConfig> {
    let nesterov = options.flag("nesterov", false)?;
    let (momentum, dampening) = (options.momentum("momentum")?, options.number("dampening", 0.0)?);
    if nesterov && (momentum.is_none() || dampening != 0.0) {
        return Err(options.error("nesterov", true, "torch wants a momentum and no dampening with it"));
    }
    let mut group = read.group(options, 0.0)?;
    if let Some(momentum) = momentum {
        group.set("momentum", momentum);
        if dampening != 0.0 {
            group.set("dampening", dampening);
        }
    }
    let mut rule = options.passed(RuleConfig::of::<Sgd>(), &["maximize"])?;
    if nesterov {
        rule = rule.with("momentum", "nesterov");
    }
    Ok(group.rule(rule))
}

/// A group with what Adam and its kin have: two betas and eps.
fn with_moments(options: &mut Options, read: LrAndDecay, weight_decay: f64) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let group =
        read.group(options, weight_decay)?.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    Ok(group.with("eps", options.number("eps", 1e-8)?))
}

/// In torch AdamW is an Adam whose groups have `decoupled_weight_decay`.
pub(super) fn adam(options: &mut Options, weight_decay: f64, decoupled: bool, read: LrAndDecay) -> Result<GroupConfig> {
    let group = with_moments(options, read, weight_decay)?;
    let flags = &["amsgrad", "maximize"];
    let decoupled = options.flag("decoupled_weight_decay", decoupled)?;
    let rule = if decoupled { RuleConfig::of::<AdamW>() } else { RuleConfig::of::<Adam>() };
    Ok(group.rule(options.passed(rule, flags)?))
}

pub(super) fn nadam(options: &mut Options) -> Result<GroupConfig> {
    let momentum_decay = options.number("momentum_decay", 4e-3)?;
    let group = with_moments(options, LrAndDecay::Plain, 0.0)?.with("momentum_decay", momentum_decay);
    Ok(group.rule(options.passed(RuleConfig::of::<NAdam>(), &["decoupled_weight_decay", "maximize"])?))
}

pub(super) fn radam(options: &mut Options) -> Result<GroupConfig> {
    let group = with_moments(options, LrAndDecay::Plain, 0.0)?;
    Ok(group.rule(options.passed(RuleConfig::of::<RAdam>(), &["decoupled_weight_decay", "maximize"])?))
}

pub(super) fn adamax(options: &mut Options) -> Result<GroupConfig> {
    Ok(with_moments(options, LrAndDecay::Plain, 0.0)?.rule(options.passed(RuleConfig::of::<Adamax>(), &["maximize"])?))
}

/// A group with these numbers beside rate and decay, each under its name with its default.
fn with_numbers(options: &mut Options, numbers: &[(&'static str, f64)]) -> Result<GroupConfig> {
    let group = LrAndDecay::Plain.group(options, 0.0)?;
    numbers.iter().try_fold(group, |group, (name, default)| Ok(group.with(*name, options.number(name, *default)?)))
}

pub(super) fn adagrad(options: &mut Options) -> Result<GroupConfig> {
    let numbers = [("lr_decay", 0.0), ("initial_accumulator_value", 0.0), ("eps", 1e-10)];
    Ok(with_numbers(options, &numbers)?.rule(options.passed(RuleConfig::of::<Adagrad>(), &["maximize"])?))
}

pub(super) fn rmsprop(options: &mut Options) -> Result<GroupConfig> {
    let mut group = with_numbers(options, &[("alpha", 0.99), ("eps", 1e-8)])?;
    if let Some(momentum) = options.momentum("momentum")? {
        group.set("momentum", momentum);
    }
    Ok(group.rule(options.passed(RuleConfig::of::<RmsProp>(), &["centered", "maximize"])?))
}

pub(super) fn adadelta(options: &mut Options) -> Result<GroupConfig> {
    Ok(with_numbers(options, &[("rho", 0.9), ("eps", 1e-6)])?
        .rule(options.passed(RuleConfig::of::<Adadelta>(), &["maximize"])?))
}

fn asgd(options: &mut Options) -> Result<GroupConfig> {
    let group = with_numbers(options, &[("lambd", 1e-4), ("alpha", 0.75), ("t0", 1e6)])?;
    Ok(group.rule(options.passed(RuleConfig::of::<Asgd>(), &["maximize"])?))
}

fn rprop(options: &mut Options) -> Result<GroupConfig> {
    let [eta_minus, eta_plus] = options.pair("etas", [0.5, 1.2])?;
    let [min_step, max_step] = options.pair("step_sizes", [1e-6, 50.0])?;
    let group = GroupConfig::new(options.lr()?).with("eta_minus", eta_minus).with("eta_plus", eta_plus);
    let group = group.with("min_step", min_step).with("max_step", max_step);
    Ok(group.rule(options.passed(RuleConfig::of::<Rprop>(), &["maximize"])?))
}
