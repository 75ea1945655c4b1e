//! `adan_pytorch`.

use super::{Class, Options};
use crate::config::GroupConfig;
use crate::error::Result;

pub(super) const CLASSES: &[Class] = &[Class { name: "Adan", lr: ("lr", Some(1e-3)), read: adan }];

/// It takes betas that are 1 minus those of all others, and its first update takes no gradient into the moments, which later
/// bias corrections count all the same.
fn adan(options: &mut Options) -> Result<GroupConfig> {
    let betas = format!("{:?}", options.triple("betas", [0.02, 0.08, 0.01])?);
    let rule = "this class loses the first gradient, which its bias corrections count; timm's Adan, with betas that are 1 minus these, is the same without that";
    Err(options.error("betas", betas, rule))
}
