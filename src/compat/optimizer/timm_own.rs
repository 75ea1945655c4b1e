//! `timm.optim`: the classes that torch does not have.

use super::adabelief_pytorch::adabelief;
use super::{Class, Options, torch};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::gradient::Clip;
use crate::optim::{AdamW, Adan, Adopt, LaProp, Lamb, Lars, Lion, Mars, NovoGrad};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "Lion", lr: ("lr", Some(1e-4)), read: lion },
    Class { name: "Adan", lr: torch::LR, read: adan },
    Class { name: "AdaBelief", lr: torch::LR, read: |options| adabelief(options, "decoupled_decay") },
    Class { name: "LaProp", lr: ("lr", Some(4e-4)), read: laprop },
    Class { name: "Mars", lr: ("lr", Some(3e-3)), read: mars },
    Class { name: "Adopt", lr: torch::LR, read: adopt },
    Class { name: "Lamb", lr: torch::LR, read: lamb },
    Class { name: "Lars", lr: ("lr", Some(1.0)), read: lars },
    Class { name: "NvNovoGrad", lr: torch::LR, read: novograd },
];

/// The rate and the decay, which may be multiplied by the rate as a part of the one that the optimizer was made with: of
/// decoupled decays alone.
fn decayed(options: &mut Options, default: f64, decoupled: bool) -> Result<GroupConfig> {
    let (lr, weight_decay) = options.lr_and_corrected_decay(default, decoupled)?;
    Ok(GroupConfig::new(lr).with("weight_decay", weight_decay))
}

fn with_betas(group: GroupConfig, options: &mut Options, default: [f64; 2]) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", default)?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)))
}

fn lion(options: &mut Options) -> Result<GroupConfig> {
    let group = decayed(options, 0.0, true)?;
    let rule = options.caution(RuleConfig::of::<Lion>(), "caution", "mean")?;
    let rule = options.passed(rule, &["maximize"])?;
    Ok(with_betas(group, options, [0.9, 0.99])?.rule(rule))
}

fn adan(options: &mut Options) -> Result<GroupConfig> {
    let [beta1, beta2, beta3] = options.triple("betas", [0.98, 0.92, 0.99])?;
    let group = decayed(options, 0.0, true)?
        .with("beta1", options.beta1(beta1))
        .with("beta2", options.beta2(beta2))
        .with("beta3", beta3)
        .with("eps", options.number("eps", 1e-8)?);
    let rule = options.caution(RuleConfig::of::<Adan>(), "caution", "mean")?;
    Ok(group.rule(options.passed(rule, &["no_prox"])?))
}

fn laprop(options: &mut Options) -> Result<GroupConfig> {
    let group = decayed(options, 0.0, true)?.with("eps", options.number("eps", 1e-15)?);
    let rule = options.caution(RuleConfig::of::<LaProp>(), "caution", "mean")?;
    Ok(with_betas(group, options, [0.9, 0.999])?.rule(rule))
}

/// Without `optimize_1d` vectors take AdamW, so the group must say which they are.
fn mars(options: &mut Options) -> Result<GroupConfig> {
    let (of_matrices, eps) = (options.pair("betas", [0.9, 0.99])?, options.number("eps", 1e-8)?);
    let of_vectors = options.pair("betas_1d", of_matrices)?;
    let (factor, gamma) = (options.number("lr_1d_factor", 1.0)?, options.number("gamma", 0.025)?);
    let form = options.text("mars_type")?.unwrap_or_else(|| "adamw".into());
    let (all, caution) = (options.flag("optimize_1d", false)?, options.flag("caution", false)?);
    let group = decayed(options, 0.0, true)?.with("eps", eps);
    if !all && options.ndim.is_none() {
        let rule = "vectors take AdamW then: make them a group of their own, and say `ndim` of each group, 1 or 2";
        return Err(options.error("optimize_1d", false, rule));
    }
    if !all && options.ndim.is_some_and(|ndim| ndim < 2) {
        let lr = group.lr().clone();
        let lr = if factor == 1.0 { lr } else { lr * factor };
        let [beta1, beta2] = of_vectors;
        let mut group = group.with("beta1", beta1).with("beta2", beta2);
        group.set("lr", lr);
        let rule = RuleConfig::of::<AdamW>();
        return Ok(group.rule(if caution { rule.with("caution", "mean") } else { rule }));
    }
    let mut rule = RuleConfig::of::<Mars>();
    match form.as_str() {
        "adamw" => {}
        "lion" => rule = rule.with("form", "lion"),
        _ => return Err(options.error("mars_type", form, "must be adamw or lion")),
    }
    if caution {
        if form == "adamw" {
            let rule =
                "caution of the adamw type takes two passes over the gradients: one for the norm, one for what moves";
            return Err(options.error("caution", true, rule));
        }
        rule = rule.with("caution", true);
    }
    let [beta1, beta2] = of_matrices;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)).with("gamma", gamma).rule(rule))
}

fn adopt(options: &mut Options) -> Result<GroupConfig> {
    let decoupled = options.flag("decoupled", false)?;
    let group = decayed(options, 0.0, decoupled)?.with("eps", options.number("eps", 1e-6)?);
    let mut group = with_betas(group, options, [0.9, 0.9999])?;
    let mut rule = RuleConfig::of::<Adopt>();
    match options.nullable("clip_exp", 0.333)? {
        Some(exponent) => group.set("clip_exp", exponent),
        None => rule = rule.with("clip", "off"),
    }
    if !decoupled {
        rule = rule.with("coupled_weight_decay", true);
    }
    let rule = options.caution(rule, "caution", "mean")?;
    Ok(group.rule(options.passed(rule, &["maximize"])?))
}

/// The clipping of the norm over all groups is the configuration's, and its limit the class's.
fn lamb(options: &mut Options) -> Result<GroupConfig> {
    let rule = "timm reads the limit of the norm over all groups from the class alone, and ignores a group's";
    options.only_of_class("max_grad_norm", 1.0, rule)?;
    options.clip = options.nullable("max_grad_norm", 1.0)?.map(Clip::optax_norm);
    let decoupled = options.flag("decoupled_decay", false)?;
    let group = decayed(options, 0.01, decoupled)?.with("eps", options.number("eps", 1e-6)?);
    let mut rule = RuleConfig::of::<Lamb>();
    if decoupled {
        rule = rule.with("decoupled_weight_decay", true);
    }
    for name in ["grad_averaging", "bias_correction"] {
        if !options.flag(name, true)? {
            rule = rule.with(name, false);
        }
    }
    let rule = options.caution(rule, "caution", "mean")?;
    let rule = options.passed(rule, &["trust_clip", "always_adapt"])?;
    Ok(with_betas(group, options, [0.9, 0.999])?.rule(rule))
}

fn lars(options: &mut Options) -> Result<GroupConfig> {
    let nesterov = options.flag("nesterov", false)?;
    let (momentum, dampening) = (options.momentum("momentum")?, options.number("dampening", 0.0)?);
    if nesterov && (momentum.is_none() || dampening != 0.0) {
        return Err(options.error("nesterov", true, "timm wants a momentum and no dampening with it"));
    }
    let mut group = decayed(options, 0.0, false)?
        .with("trust_coeff", options.number("trust_coeff", 0.001)?)
        .with("eps", options.number("eps", 1e-8)?);
    // timm leaves dampening out where there is no momentum.
    group.set("dampening", if momentum.is_some() { dampening } else { 0.0 });
    group.set("momentum", momentum.unwrap_or(0.0.into()));
    let rule = RuleConfig::of::<Lars>();
    let rule = if nesterov { rule.with("nesterov", true) } else { rule };
    Ok(group.rule(options.passed(rule, &["trust_clip", "always_adapt"])?))
}

fn novograd(options: &mut Options) -> Result<GroupConfig> {
    let decoupled = options.flag("decoupled_decay", false)?;
    let group = decayed(options, 0.0, decoupled)?.with("eps", options.number("eps", 1e-8)?);
    let rule = RuleConfig::of::<NovoGrad>();
    let rule = if decoupled { rule.with("decoupled_weight_decay", true) } else { rule };
    let rule = options.passed(rule, &["grad_averaging", "amsgrad"])?;
    Ok(with_betas(group, options, [0.95, 0.98])?.rule(rule))
}
