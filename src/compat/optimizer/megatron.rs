//! Megatron-LM's optimizers: the FusedAdam and FusedSGD of Transformer Engine or apex, or torch's classes where these are missing.
//!
//! As `megatron/core/optimizer/__init__.py` of megatron-core 0.16.1 makes them. `wd_mult` of a group multiplies its weight decay.

use super::torch::{self, LrAndDecay};
use super::{Class, Options};
use crate::config::GroupConfig;
use crate::error::Result;

pub(super) const CLASSES: &[Class] = &[
    Class { name: "adam", lr: ("lr", None), read: |options| multiplied(options, adam) },
    Class { name: "sgd", lr: ("lr", None), read: |options| multiplied(options, sgd) },
];

fn adam(options: &mut Options) -> Result<GroupConfig> {
    torch::adam(options, 0.01, true, LrAndDecay::Plain)
}

fn sgd(options: &mut Options) -> Result<GroupConfig> {
    torch::sgd(options, LrAndDecay::Plain)
}

/// A group whose weight decay is multiplied, unless the scheduler has done it.
fn multiplied(options: &mut Options, read: fn(&mut Options) -> Result<GroupConfig>) -> Result<GroupConfig> {
    let factor = options.number("wd_mult", 1.0)?;
    // Those of the scheduler.
    for name in ["max_lr", "min_lr", "start_wd", "end_wd"] {
        options.ignore(name);
    }
    let group = read(options)?;
    match group.get("weight_decay").cloned() {
        Some(decay) if !options.is_decay_scheduled() => Ok(group.with("weight_decay", decay * factor)),
        _ => Ok(group),
    }
}
