//! Composer's and llm-foundry's optimizers, whose weight decay is not multiplied by the rate but by what the schedule makes of it: the
//! rate over the one that the group was made with.
//!
//! As in `composer/optim/decoupled_weight_decay.py` of Composer 0.32.1 and `llmfoundry/optim/lion.py` of llm-foundry 0.22.0. The names
//! in lower case are those of llm-foundry's registry.

use super::torch::{self, LrAndDecay};
use super::{Class, Options};
use crate::config::{GroupConfig, RuleConfig};
use crate::error::Result;
use crate::optim::{AdamW, Lion};
use crate::schedule::Schedule;

pub(super) const CLASSES: &[Class] = &[
    Class { name: "DecoupledAdamW", lr: ADAMW_LR, read: adamw },
    Class { name: "decoupled_adamw", lr: ADAMW_LR, read: adamw },
    Class { name: "DecoupledSGDW", lr: ("lr", None), read: sgdw },
    Class { name: "DecoupledLionW", lr: LION_LR, read: lionw },
    Class { name: "decoupled_lionw", lr: LION_LR, read: lionw },
];

const ADAMW_LR: (&str, Option<f64>) = ("lr", Some(1e-3));
const LION_LR: (&str, Option<f64>) = ("lr", Some(1e-4));

fn adamw(options: &mut Options) -> Result<GroupConfig> {
    let made_with = made_with(options);
    let [beta1, beta2] = options.pair("betas", [0.9, 0.95])?;
    let group =
        LrAndDecay::Plain.group(options, 1e-5)?.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    let group = group.with("eps", options.number("eps", 1e-8)?);
    let group = over_made_with(options, group, made_with)?;
    Ok(group.rule(options.passed(RuleConfig::of::<AdamW>(), &["amsgrad"])?))
}

fn sgdw(options: &mut Options) -> Result<GroupConfig> {
    let made_with = made_with(options);
    let group = torch::sgd(options, LrAndDecay::Plain)?;
    let mut group = over_made_with(options, group, made_with)?;
    if decay(&group).is_some() {
        group.rule = group.rule.take().map(|rule| rule.with("decoupled_weight_decay", true));
    }
    Ok(group)
}

fn lionw(options: &mut Options) -> Result<GroupConfig> {
    let made_with = made_with(options);
    let [beta1, beta2] = options.pair("betas", [0.9, 0.99])?;
    let group =
        LrAndDecay::Plain.group(options, 0.0)?.with("beta1", options.beta1(beta1)).with("beta2", options.beta2(beta2));
    let group = over_made_with(options, group, made_with)?;
    Ok(group.rule(RuleConfig::of::<Lion>()))
}

/// The rate that the group is made with, before it is read.
fn made_with(options: &Options) -> Option<f64> {
    let own = options.peek("lr").and_then(serde_json::Value::as_f64);
    own.or(options.made_with())
}

/// The decay, unless it is 0.
fn decay(group: &GroupConfig) -> Option<Schedule> {
    group.get("weight_decay").filter(|decay| **decay != Schedule::constant(0.0)).cloned()
}

/// `group` with its decay over the rate that it is made with: times the rate in force it is what these classes take.
fn over_made_with(options: &Options, group: GroupConfig, made_with: Option<f64>) -> Result<GroupConfig> {
    match (decay(&group), made_with) {
        (None, _) | (_, None) => Ok(group),
        (Some(decay), Some(made_with)) if made_with > 0.0 => Ok(group.with("weight_decay", decay / made_with)),
        (Some(_), Some(made_with)) => {
            let rule = "must be above 0: the weight decay follows the rate over this one";
            Err(options.error("lr", made_with, rule))
        }
    }
}
