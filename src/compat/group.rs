//! The parameter groups of a peer's optimizer, as far as schedulers look at them.

use serde_json::Value;

use super::Arguments;
use crate::error::{Error, Result};

/// One parameter group: its own options, or else the optimizer's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Group {
    /// The rate that the group was made with.
    pub lr: f64,
    /// The optimizer's own `lr`, which some peers use for every group.
    pub default_lr: f64,
    /// The momentum option, where the optimizer has one.
    pub momentum: Option<f64>,
    /// The first beta, where the optimizer has betas.
    pub beta1: Option<f64>,
    /// The weight decay of the group, where one is given.
    pub weight_decay: Option<f64>,
    /// A factor that timm puts on whatever its scheduler gives.
    pub lr_scale: Option<f64>,
}

/// Optimizers with a `momentum` option and, if it is left out, its value.
const WITH_MOMENTUM: [(&str, f64); 5] =
    [("SGD", 0.0), ("RMSprop", 0.0), ("SGDW", 0.0), ("RMSpropTF", 0.0), ("DAdaptSGD", 0.0)];
/// Optimizers with `betas` and, if they are left out, the first of them.
const WITH_BETAS: [(&str, f64); 10] = [
    ("Adam", 0.9),
    ("AdamW", 0.9),
    ("NAdam", 0.9),
    ("RAdam", 0.9),
    ("Adamax", 0.9),
    ("SparseAdam", 0.9),
    ("AdamWLegacy", 0.9),
    ("NAdamW", 0.9),
    ("Prodigy", 0.9),
    ("DAdaptAdam", 0.9),
];

/// The groups of `optimizer`, an object `{class, args, groups}`; none if it is null.
pub(super) fn read(optimizer: &Value) -> Result<Vec<Group>> {
    if optimizer.is_null() {
        return Ok(Vec::new());
    }
    let mut all = Arguments::new("optimizer", optimizer)?;
    let class = all.text("class")?;
    let args = all.value("args").unwrap_or_else(|| Value::Object(Default::default()));
    let groups = all.list("groups")?;
    all.finish()?;
    if groups.is_empty() {
        return Err(Error::argument("optimizer.groups", "empty", "must hold at least one group"));
    }
    let default_lr = Arguments::new("optimizer.args", &args)?.optional_f64("lr")?;
    let group = |(i, options): (usize, &Value)| {
        let mut args = Arguments::new("optimizer.args", &args)?;
        let mut own = Arguments::new(&format!("optimizer.groups[{i}]"), options)?;
        let lr = match own.optional_f64("lr")?.or(default_lr) {
            Some(lr) => lr,
            None => return Err(own.missing("lr")),
        };
        let class_default =
            |table: &[(&str, f64)]| table.iter().find(|(name, _)| *name == class).map(|(_, value)| *value);
        let momentum = own.optional_f64("momentum")?.or(args.optional_f64("momentum")?);
        let betas = if own.has("betas") { own.optional_numbers("betas")? } else { args.optional_numbers("betas")? };
        Ok(Group {
            lr,
            default_lr: default_lr.unwrap_or(lr),
            momentum: momentum.or(class_default(&WITH_MOMENTUM)),
            beta1: betas.and_then(|betas| betas.first().copied()).or(class_default(&WITH_BETAS)),
            weight_decay: own.optional_f64("weight_decay")?.or(args.optional_f64("weight_decay")?),
            lr_scale: own.optional_f64("lr_scale")?,
        })
    };
    groups.iter().enumerate().map(group).collect()
}
