//! `instep emit`: the CUDA text of the groups' schedules and rules, as it would be given to NVRTC.

use instep::{Adam, AdamRule, AdamW, Config, DecayForm, Device, GroupConfig, Momentum, Optimizer, Schedule, Sgd};

use crate::commands::{Emit, RuleName};
use crate::{Result, input};

pub fn run(options: &Emit) -> Result<String> {
    let config = input::read(&options.file)?;
    let rule = options.rule.unwrap_or_else(|| default_rule(&config));
    let mut builder = Optimizer::builder(&Device::host());
    for (i, group) in config.groups.iter().enumerate() {
        let refused = |name: &str| {
            let rule = format!("{rule:?}").to_lowercase();
            input::at(&options.file, format!("groups[{i}].{name} is set, but {rule} has no such hyperparameter"))
        };
        builder = match rule {
            RuleName::Adamw => builder.group(adam(AdamW::new(group.lr.clone()), group).map_err(refused)?, &[]),
            RuleName::Adam => builder.group(adam(Adam::new(group.lr.clone()), group).map_err(refused)?, &[]),
            RuleName::Sgd => builder.group(sgd(group).map_err(refused)?, &[]),
        };
    }
    Ok(builder.emit().map_err(|e| input::at(&options.file, e))?)
}

fn default_rule(config: &Config) -> RuleName {
    let has_momentum = config.groups.iter().any(|group| group.momentum.is_some());
    if has_momentum { RuleName::Sgd } else { RuleName::Adamw }
}

/// Fails with the name of a hyperparameter that the rule does not have.
fn adam<D: DecayForm>(mut rule: AdamRule<D>, group: &GroupConfig) -> Result<AdamRule<D>, &'static str> {
    for (name, schedule) in group.hyperparameters() {
        let schedule: Schedule = schedule.clone();
        rule = match name {
            "lr" => rule,
            "weight_decay" => rule.weight_decay(schedule),
            "beta1" => rule.beta1(schedule),
            "beta2" => rule.beta2(schedule),
            "eps" => rule.eps(schedule),
            other => return Err(other),
        };
    }
    Ok(rule)
}

fn sgd(group: &GroupConfig) -> Result<Sgd, &'static str> {
    let mut rule = Sgd::new(group.lr.clone());
    for (name, schedule) in group.hyperparameters() {
        let schedule = schedule.clone();
        rule = match name {
            "lr" => rule,
            "weight_decay" => rule.weight_decay(schedule),
            "momentum" => rule.momentum(Momentum::Heavy, schedule),
            "dampening" => rule.dampening(schedule),
            other => return Err(other),
        };
    }
    Ok(rule)
}
