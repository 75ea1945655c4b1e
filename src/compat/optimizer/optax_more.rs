//! optax's optimizers beside Adam and SGD, those of `optax.contrib` among them.

use super::optax::{LR, stored};
use super::{Class, Options, schedule};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdEMAMix, AdaBelief, Adan, Adopt, Lamb, Lars, Lion, NovoGrad, Yogi};
use crate::precision::Precision;
use crate::schedule::Schedule;

pub(super) const CLASSES: &[Class] = &[
    Class { name: "lion", lr: LR, read: lion },
    Class { name: "adan", lr: LR, read: adan },
    Class { name: "adabelief", lr: LR, read: adabelief },
    Class { name: "yogi", lr: LR, read: yogi },
    Class { name: "ademamix", lr: LR, read: ademamix },
    Class { name: "adopt", lr: LR, read: adopt },
    Class { name: "lamb", lr: LR, read: lamb },
    Class { name: "lars", lr: LR, read: lars },
    Class { name: "novograd", lr: LR, read: novograd },
];

/// The rate and the betas.
fn read(options: &mut Options, [beta1, beta2]: [f64; 2]) -> Result<GroupConfig> {
    let group = GroupConfig::new(options.lr()?);
    Ok(group.with("beta1", options.number("b1", beta1)?).with("beta2", options.number("b2", beta2)?))
}

fn with_decay(group: GroupConfig, options: &mut Options, default: f64) -> Result<GroupConfig> {
    options.off("mask", "a mask of the weight decay")?;
    Ok(group.with("weight_decay", options.weight_decay(default)?))
}

/// A number or a schedule.
fn moving(options: &mut Options, name: &str, default: f64) -> Result<Schedule> {
    match options.value(name) {
        None => Ok(default.into()),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(number.into()),
            None => schedule::of_optax(&format!("params.{name}"), &value),
        },
    }
}

fn lion(options: &mut Options) -> Result<GroupConfig> {
    let mu = options.state_form("mu_dtype")?;
    let mut group = with_decay(read(options, [0.9, 0.99])?, options, 1e-3)?;
    stored(&mut group, "exp_avg", mu);
    Ok(group.rule(RuleConfig::of::<Lion>()))
}

fn adan(options: &mut Options) -> Result<GroupConfig> {
    let group = with_decay(read(options, [0.98, 0.92])?, options, 0.0)?
        .with("beta3", options.number("b3", 0.99)?)
        .with("eps", options.number("eps", 1e-8)?)
        .with("eps_root", options.number("eps_root", 1e-8)?);
    Ok(group.rule(RuleConfig::of::<Adan>().with("no_prox", true).with("difference", "one_minus_beta2")))
}

fn adabelief(options: &mut Options) -> Result<GroupConfig> {
    options.off("nesterov", "AdaBelief with Nesterov momentum")?;
    let group = read(options, [0.9, 0.999])?
        .with("eps", options.number("eps", 1e-16)?)
        .with("eps_root", options.number("eps_root", 1e-16)?);
    Ok(group.rule(RuleConfig::of::<AdaBelief>().with("rectify", "off")))
}

fn yogi(options: &mut Options) -> Result<GroupConfig> {
    let group = read(options, [0.9, 0.999])?.with("eps", options.number("eps", 1e-3)?);
    Ok(group.rule(RuleConfig::of::<Yogi>()))
}

/// All three states have the type of the first.
fn ademamix(options: &mut Options) -> Result<GroupConfig> {
    options.zero("eps_root", "a term under the root")?;
    let mu = options.state_form("mu_dtype")?;
    let mut group = with_decay(read(options, [0.9, 0.999])?, options, 0.0)?
        .with("beta3", moving(options, "b3", 0.9999)?)
        .with("alpha", moving(options, "alpha", 5.0)?)
        .with("eps", options.number("eps", 1e-8)?);
    group.precision = mu.map(|form| Precision::new().states(form));
    Ok(group.rule(RuleConfig::of::<AdEMAMix>()))
}

fn adopt(options: &mut Options) -> Result<GroupConfig> {
    let mu = options.state_form("mu_dtype")?;
    let mut group = read(options, [0.9, 0.9999])?.with("eps", options.number("eps", 1e-6)?);
    stored(&mut group, "exp_avg", mu);
    let mut rule = RuleConfig::of::<Adopt>();
    if options.flag("use_clipping", true)? {
        rule = options.power("clip_value_fn", rule, None)?;
    } else {
        options.value("clip_value_fn");
        rule = rule.with("clip", "off");
    }
    Ok(group.rule(options.passed(rule, &["nesterov"])?))
}

fn lamb(options: &mut Options) -> Result<GroupConfig> {
    options.zero("eps_root", "a term under the root")?;
    let group = with_decay(read(options, [0.9, 0.999])?, options, 0.0)?.with("eps", options.number("eps", 1e-6)?);
    Ok(group.rule(RuleConfig::of::<Lamb>().with("always_adapt", true)))
}

fn lars(options: &mut Options) -> Result<GroupConfig> {
    for mask in ["weight_decay_mask", "trust_ratio_mask"] {
        if !options.flag(mask, true)? {
            return Err(options.error(mask, false, "a mask is not there yet: make groups of their own"));
        }
    }
    let group = GroupConfig::new(options.lr()?)
        .with("weight_decay", options.weight_decay(0.0)?)
        .with("momentum", options.number("momentum", 0.9)?)
        .with("trust_coeff", options.number("trust_coefficient", 0.001)?)
        .with("eps", options.number("eps", 0.0)?);
    let rule = RuleConfig::of::<Lars>();
    let rule = ["always_adapt", "joint_norm", "lr_in_momentum"].iter().fold(rule, |rule, name| rule.with(*name, true));
    Ok(group.rule(options.passed(rule, &["nesterov"])?))
}

fn novograd(options: &mut Options) -> Result<GroupConfig> {
    options.zero("eps_root", "a term under the root")?;
    let group = read(options, [0.9, 0.25])?
        .with("eps", options.number("eps", 1e-6)?)
        .with("weight_decay", options.weight_decay(0.0)?);
    Ok(group.rule(RuleConfig::of::<NovoGrad>().with("whole_first", true)))
}
