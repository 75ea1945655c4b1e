//! `timm.optim`: torch's own classes under their names, and those of timm that are a rule of torch without their additions.

use super::{Class, Options, torch};
use crate::config::GroupConfig;
use crate::error::Result;

pub(super) const CLASSES: &[Class] = &[
    Class { name: "SGD", lr: torch::LR, read: torch::sgd },
    Class { name: "Adam", lr: torch::LR, read: |options| torch::adam(options, 0.0, false) },
    Class { name: "AdamW", lr: torch::LR, read: |options| torch::adam(options, 0.01, true) },
    Class { name: "AdamWLegacy", lr: torch::LR, read: adamw },
    Class { name: "SGDW", lr: torch::LR, read: sgdw },
];

fn additions(options: &mut Options) -> Result<()> {
    options.off("caution", "caution")?;
    options.off("corrected_weight_decay", "a weight decay that follows the rate")
}

fn adamw(options: &mut Options) -> Result<GroupConfig> {
    additions(options)?;
    options.off("clipping_threshold", "the clipping of updates")?;
    torch::adam(options, 0.01, true)
}

fn sgdw(options: &mut Options) -> Result<GroupConfig> {
    additions(options)?;
    options.zero("weight_decay", "the decoupled weight decay of SGD")?;
    torch::sgd(options)
}
