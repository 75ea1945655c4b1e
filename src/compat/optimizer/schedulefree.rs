//! `schedulefree`, and the schedule-free optimizers of `optax.contrib`.

use super::{Class, Options, optax};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSgd};
use crate::schedule::{Schedule, step};

pub(super) const CLASSES: &[Class] = &[
    Class { name: "AdamWScheduleFree", lr: ("lr", Some(0.0025)), read: adamw },
    Class { name: "SGDScheduleFree", lr: ("lr", Some(1.0)), read: sgd },
    Class { name: "RAdamScheduleFree", lr: ("lr", Some(0.0025)), read: radam },
];

pub(super) const OF_OPTAX: &[Class] = &[
    Class { name: "schedule_free_adamw", lr: ("learning_rate", Some(0.0025)), read: optax_adamw },
    Class { name: "schedule_free_sgd", lr: ("learning_rate", None), read: optax_sgd },
];

/// `lr` that rises over the first `steps` steps.
pub(super) fn warmed_up(lr: Schedule, steps: f64) -> Schedule {
    if steps == 0.0 { lr } else { lr * ((step() + 1.0) / steps).min(1.0) }
}

/// What all rules of the package have.
fn weighed(options: &mut Options, group: GroupConfig) -> Result<GroupConfig> {
    Ok(group
        .with("weight_decay", options.weight_decay(0.0)?)
        .with("weight_power", options.number("r", 0.0)?)
        .with("weight_lr_power", options.number("weight_lr_power", 2.0)?))
}

fn adamw(options: &mut Options) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let steps = options.number("warmup_steps", 0.0)?;
    let lr = warmed_up(options.lr()?, steps);
    let group = weighed(options, GroupConfig::new(lr))?;
    let group = group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    let group = group.with("eps", options.number("eps", 1e-8)?);
    Ok(group.rule(RuleConfig::of::<ScheduleFreeAdamW>()))
}

fn sgd(options: &mut Options) -> Result<GroupConfig> {
    let steps = options.number("warmup_steps", 0.0)?;
    let lr = warmed_up(options.lr()?, steps);
    let group = weighed(options, GroupConfig::new(lr))?;
    let momentum = options.number("momentum", 0.9)?;
    Ok(group.with("momentum", momentum).rule(RuleConfig::of::<ScheduleFreeSgd>()))
}

fn radam(options: &mut Options) -> Result<GroupConfig> {
    let [beta1, beta2] = options.pair("betas", [0.9, 0.999])?;
    let lr = options.lr()?;
    let group = weighed(options, GroupConfig::new(lr))?;
    let group = group.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    let group = group.with("eps", options.number("eps", 1e-8)?);
    let mut rule = RuleConfig::of::<ScheduleFreeRAdam>();
    if !options.flag("silent_sgd_phase", true)? {
        rule = rule.with("sgd_phase", true);
    }
    Ok(group.rule(rule))
}

/// The rate, that which weighs steps where it is another one, and what all rules have.
fn of_optax(options: &mut Options, rule: RuleConfig) -> Result<GroupConfig> {
    let steps = options.number("warmup_steps", 0.0)?;
    options.no_schedule("its weights are one step ahead of its rates; give a number, and warmup_steps")?;
    let z = options.state_form("state_dtype")?;
    let lr = options.lr()?;
    let (mut rule, mut group) = (rule, GroupConfig::new(lr.clone()));
    if steps != 0.0 {
        // The average is weighed with the rate that the next step has.
        group = GroupConfig::new(lr.clone() * (step() / steps).min(1.0)).with("weight_lr", warmed_up(lr, steps));
        rule = rule.with("own_weight_lr", true);
    }
    let mut group = group.with("weight_decay", options.weight_decay(0.0)?);
    optax::stored(&mut group, "z", z);
    Ok(group.with("weight_lr_power", options.number("weight_lr_power", 2.0)?).rule(rule))
}

fn optax_adamw(options: &mut Options) -> Result<GroupConfig> {
    let group = of_optax(options, RuleConfig::of::<ScheduleFreeAdamW>())?;
    Ok(group
        .with("beta1", options.number("b1", 0.9)?)
        .with("beta2", options.number("b2", 0.999)?)
        .with("eps", options.number("eps", 1e-8)?))
}

fn optax_sgd(options: &mut Options) -> Result<GroupConfig> {
    let group = of_optax(options, RuleConfig::of::<ScheduleFreeSgd>())?;
    Ok(group.with("momentum", options.number("b1", 0.9)?))
}
