//! Optimizers that find their rates themselves: those of `prodigyopt`, `dadaptation` and `dog` (dog-optimizer), and optax's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::{Error, Result};
use crate::optim::{DAdaptAdam, DAdaptSgd, DoG, DoWG, Prodigy};

const LR: (&str, Option<f64>) = ("lr", Some(1.0));
/// Of optax's, whose schedules are rates themselves.
const OPTAX_LR: (&str, Option<f64>) = ("learning_rate", Some(1.0));

pub(super) const PRODIGYOPT: &[Class] = &[Class { name: "Prodigy", lr: LR, read: prodigy }];

pub(super) const DADAPTATION: &[Class] =
    &[Class { name: "DAdaptAdam", lr: LR, read: dadapt_adam }, Class { name: "DAdaptSGD", lr: LR, read: dadapt_sgd }];

pub(super) const DOG: &[Class] = &[
    Class { name: "DoG", lr: LR, read: |options| dog(options, None) },
    Class { name: "LDoG", lr: LR, read: |options| dog(options, Some("tensor")) },
];

pub(super) const OF_OPTAX: &[Class] = &[
    Class { name: "prodigy", lr: OPTAX_LR, read: optax_prodigy },
    Class { name: "dadapt_adamw", lr: OPTAX_LR, read: optax_dadapt_adamw },
    Class { name: "dog", lr: OPTAX_LR, read: optax_dog },
    Class { name: "dowg", lr: OPTAX_LR, read: optax_dowg },
];

/// What all groups of prodigyopt's must be alike in.
const ALIKE_IN_PRODIGY: &[&str] =
    &["lr", "betas", "beta3", "d0", "d_coef", "growth_rate", "decouple", "use_bias_correction", "safeguard_warmup"];
/// What all groups of dadaptation's Adam must be alike in.
const ALIKE_IN_DADAPT_ADAM: &[&str] = &["lr", "betas", "d0", "growth_rate", "decouple", "use_bias_correction"];
/// The same of its SGD, whose momentum and decay are each group's own here.
const ALIKE_IN_DADAPT_SGD: &[&str] = &["lr", "d0", "growth_rate"];

/// What was read of a group, by the peer's names, and what it must be alike in.
pub(super) type Said = (&'static [&'static str], BTreeMap<String, Value>);

/// Refuses groups that differ in what they must be alike in, from the first group, or in rates from the first that moves.
pub(super) fn check_alike(groups: &[GroupConfig], said: &[Said]) -> Result<()> {
    let value = |group: usize, name: &str| said[group].1.get(name).filter(|value| !value.is_null());
    let shown = |group: usize, name: &str| value(group, name).map_or("its default".into(), Value::to_string);
    // What a scheduler makes of a rate of 0 need not be written as 0.
    let steps = || (0..1_000).chain((10..32).map(|power| 1 << power));
    let moves = |group: usize| {
        let lr = groups[group].lr();
        let from_zero = value(group, "lr").and_then(Value::as_f64) == Some(0.0);
        !(from_zero && lr.trace(steps()).is_ok_and(|rates| rates.iter().all(|rate| *rate == 0.0)))
    };
    for (i, (group, (alike, _))) in groups.iter().zip(said).enumerate() {
        for name in *alike {
            let first = if *name == "lr" { (0..groups.len()).find(|group| moves(*group)).unwrap_or(i) } else { 0 };
            let before = &groups[first];
            let (differ, scheduled, why) = match *name {
                "lr" => {
                    let differ = moves(i) && (group.lr(), group.metric) != (before.lr(), before.metric);
                    (differ, differ, "the peer raises for rates that differ between groups, 0 excepted")
                }
                _ => {
                    let scheduled = *name == "betas" && group.get("beta1") != before.get("beta1");
                    (value(i, name) != value(first, name), scheduled, "the estimate is one over all groups")
                }
            };
            if value(i, name) == value(first, name) && scheduled {
                let rule = format!("{why}: it gives groups[{first}] and groups[{i}] other {name}");
                return Err(Error::argument("schedule", "given", rule));
            }
            if differ {
                let rule = format!("{why}: in groups[{first}] it is {}", shown(first, name));
                return Err(Error::argument(format!("groups[{i}].options.{name}"), shown(i, name), rule));
            }
        }
    }
    Ok(())
}

/// The group with its rate and its weight decay.
fn group(options: &mut Options) -> Result<GroupConfig> {
    Ok(GroupConfig::new(options.lr()?).with("weight_decay", options.weight_decay(0.0)?))
}

/// What Adam has, with `eps`.
fn moments(options: &mut Options, group: GroupConfig) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let eps = options.number("eps", 1e-8)?;
    Ok(group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2)).with("eps", eps))
}

/// The estimate to start from and how fast it may grow, which is one over all groups: they are alike in `alike`.
fn estimate(options: &mut Options, group: GroupConfig, alike: &'static [&'static str]) -> Result<GroupConfig> {
    options.alike = alike;
    options.off("fsdp_in_use", "an estimate over the processes of a sharded run")?;
    let mut group = group.with("d0", options.number("d0", 1e-6)?);
    if !options.infinite("growth_rate")
        && let Some(growth_rate) = options.number_where("growth_rate", |rate| rate > 0.0, "must be above 0")?
    {
        group.set("growth_rate", growth_rate);
    }
    Ok(group)
}

/// The decay rate of Prodigy's sums; without one it follows from the second beta.
fn beta3(options: &mut Options, group: &mut GroupConfig) -> Result<()> {
    let rule = "must be above 0, or null for the root of the second beta";
    if let Some(beta3) = options.number_where("beta3", |beta| beta > 0.0, rule)? {
        group.set("beta3", beta3);
    }
    Ok(())
}

/// `rule` with those of the peer's flags, each with the peer's default, that are not the rule's default.
fn flags(options: &mut Options, mut rule: RuleConfig, flags: &[(&'static str, bool)]) -> Result<RuleConfig> {
    for (name, default) in flags {
        let value = options.flag(name, *default)?;
        if value != *default {
            rule = rule.with(*name, value);
        }
    }
    Ok(rule)
}

fn prodigy(options: &mut Options) -> Result<GroupConfig> {
    options.number_where("slice_p", |p| p == 1.0, "an estimate from a part of the elements is not there yet")?;
    let group = group(options)?;
    let group = moments(options, group)?;
    let mut group = estimate(options, group, ALIKE_IN_PRODIGY)?.with("d_coef", options.number("d_coef", 1.0)?);
    beta3(options, &mut group)?;
    let known = [("decouple", true), ("use_bias_correction", false), ("safeguard_warmup", false)];
    Ok(group.rule(flags(options, RuleConfig::of::<Prodigy>(), &known)?))
}

fn dadapt_adam(options: &mut Options) -> Result<GroupConfig> {
    options.ignore("log_every");
    let group = group(options)?;
    let group = moments(options, group)?;
    let group =
        estimate(options, group, ALIKE_IN_DADAPT_ADAM)?.with("layer_scale", options.number("layer_scale", 1.0)?);
    let known = [("decouple", false), ("use_bias_correction", false)];
    Ok(group.rule(flags(options, RuleConfig::of::<DAdaptAdam>(), &known)?))
}

fn dadapt_sgd(options: &mut Options) -> Result<GroupConfig> {
    options.ignore("log_every");
    let mut group = group(options)?;
    if let Some(momentum) = options.momentum("momentum")? {
        group.set("momentum", momentum);
    }
    Ok(estimate(options, group, ALIKE_IN_DADAPT_SGD)?.rule(RuleConfig::of::<DAdaptSgd>()))
}

/// A first step in the peer's terms goes before the distance; the peer does not multiply it by the rate.
fn dog(options: &mut Options, over: Option<&str>) -> Result<GroupConfig> {
    let mut group = group(options)?.with("eps", options.number("eps", 1e-8)?);
    let mut rule = RuleConfig::of::<DoG>();
    let reps_rel = options.number("reps_rel", 1e-6)?;
    let (lr, rule_of_eta) = (group.lr().at(0)?, "the rate that it is to be a multiple of is 0 at the first step");
    match options.number_where("init_eta", |_| lr != 0.0, rule_of_eta)? {
        None => group.set("init_step", reps_rel),
        Some(eta) => {
            group.set("init_step", eta / lr);
            rule = rule.with("init", "learning_rate");
        }
    }
    if let Some(over) = over {
        rule = rule.with("over", over);
    }
    Ok(group.rule(rule))
}

fn optax_prodigy(options: &mut Options) -> Result<GroupConfig> {
    let group = group(options)?;
    let group = moments(options, group)?;
    let group = group.with("d0", options.number("estim_lr0", 1e-6)?);
    let mut group = group.with("d_coef", options.number("estim_lr_coef", 1.0)?);
    beta3(options, &mut group)?;
    let rule = RuleConfig::of::<Prodigy>().with("use_bias_correction", true);
    Ok(group.rule(flags(options, rule, &[("safeguard_warmup", false)])?))
}

fn optax_dadapt_adamw(options: &mut Options) -> Result<GroupConfig> {
    let group = group(options)?;
    let group = moments(options, group)?;
    let rule = RuleConfig::of::<DAdaptAdam>().with("decouple", true).with("use_bias_correction", true);
    Ok(group.with("d0", options.number("estim_lr0", 1e-6)?).rule(rule))
}

fn optax_dog(options: &mut Options) -> Result<GroupConfig> {
    options.off("mask", "a mask of the weight decay")?;
    let rule = "must be a list of one of heuristic, distance and learning_rate, and a number";
    let said = match options.peek("init_step") {
        None => Some(("heuristic".to_owned(), 1e-6)),
        Some(Value::Array(pair)) => match &pair[..] {
            [Value::String(kind), value] => value.as_f64().map(|value| (kind.clone(), value)),
            _ => None,
        },
        Some(_) => None,
    };
    let known = ["heuristic", "distance", "learning_rate"];
    let Some((kind, value)) = said.filter(|(kind, _)| known.contains(&kind.as_str())) else {
        let given = options.peek("init_step").cloned().unwrap_or_default();
        return Err(options.error("init_step", given, rule));
    };
    options.ignore("init_step");
    let group = group(options)?.with("eps", options.number("eps", 1e-8)?).with("init_step", value);
    let dog = RuleConfig::of::<DoG>().with("over", "all");
    Ok(group.rule(if kind == "heuristic" { dog } else { dog.with("init", &*kind) }))
}

/// Without a distance to start from, it is `eps` in optax.
fn optax_dowg(options: &mut Options) -> Result<GroupConfig> {
    options.off("mask", "a mask of the weight decay")?;
    let eps = options.number("eps", 1e-4)?;
    let start = options.number("init_estim_sq_dist", eps)?;
    let group = group(options)?.with("eps", eps).with("init_estim_sq_dist", start);
    Ok(group.rule(RuleConfig::of::<DoWG>()))
}
