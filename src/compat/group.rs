//! The parameter groups of a peer's optimizer, as far as schedulers look at them.

use serde_json::{Value, json};

use super::nearest::unknown_name;
use super::{Arguments, last_name, optimizer};
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
    /// The first two betas, where the optimizer has betas.
    pub betas: Option<[f64; 2]>,
    /// The weight decay of the group, where one is given.
    pub weight_decay: Option<f64>,
    /// A factor that timm puts on whatever its scheduler gives.
    pub lr_scale: Option<f64>,
}

/// Classes that schedulers are used with and that have no translation, with what schedulers look at and its defaults.
const WITHOUT_RULE: [(&str, Looked); 5] = [
    ("SparseAdam", Looked { momentum: None, betas: Some([0.9, 0.999]) }),
    ("Muon", Looked { momentum: Some(0.95), betas: None }),
    ("LBFGS", Looked { momentum: None, betas: None }),
    ("Adafactor", Looked { momentum: None, betas: None }),
    ("SM3", Looked { momentum: Some(0.0), betas: None }),
];

/// Options that schedulers may move, where a class has them, with what they are if they are left out.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Looked {
    momentum: Option<f64>,
    betas: Option<[f64; 2]>,
}

/// What the class `name` has, which may be dotted and stands at `place`.
fn looked(place: &str, name: &str) -> Result<Looked> {
    if let Some(read) = optimizer::defaults(name) {
        let momentum = read.get("momentum").and_then(Value::as_f64);
        let beta = |i: usize| read.get("betas")?.get(i)?.as_f64();
        return Ok(Looked { momentum, betas: beta(0).zip(beta(1)).map(<[f64; 2]>::from) });
    }
    if let Some((_, looked)) = WITHOUT_RULE.iter().find(|(known, _)| *known == last_name(name)) {
        return Ok(*looked);
    }
    let mut known: Vec<&str> = optimizer::classes().chain(WITHOUT_RULE.iter().map(|(known, _)| *known)).collect();
    known.sort_unstable();
    known.dedup();
    Err(Error::argument(place, name, unknown_name("a class of optimizer that is known", last_name(name), &known)))
}

/// The groups of `optimizer`, an object `{class, args, groups}`, or `{type, params}` with one group, as files of DeepSpeed have it;
/// none if it is null.
pub(super) fn read(optimizer: &Value) -> Result<Vec<Group>> {
    if optimizer.is_null() {
        return Ok(Vec::new());
    }
    let mut all = Arguments::new("optimizer", optimizer)?;
    let is_section = all.has("type") && !all.has("class");
    let [class_name, args_name] = if is_section { ["type", "params"] } else { ["class", "args"] };
    let args_path = format!("optimizer.{args_name}");
    let looked = looked(&format!("optimizer.{class_name}"), &all.text(class_name)?)?;
    let args = all.value(args_name).unwrap_or_else(|| Value::Object(Default::default()));
    let groups = if is_section { vec![json!({})] } else { all.list("groups")? };
    all.finish()?;
    if groups.is_empty() {
        return Err(Error::argument("optimizer.groups", "empty", "must hold at least one group"));
    }
    let default_lr = Arguments::new(&args_path, &args)?.optional_f64("lr")?;
    let group = |(i, options): (usize, &Value)| {
        let mut args = Arguments::new(&args_path, &args)?;
        let mut own = Arguments::new(&format!("optimizer.groups[{i}]"), options)?;
        let lr = match own.optional_f64("lr")?.or(default_lr) {
            Some(lr) => lr,
            None => return Err(own.missing("lr")),
        };
        let momentum = own.optional_f64("momentum")?.or(args.optional_f64("momentum")?);
        let betas = if own.has("betas") { own.optional_numbers("betas")? } else { args.optional_numbers("betas")? };
        let given = betas.and_then(|betas| Some([*betas.first()?, *betas.get(1)?]));
        Ok(Group {
            lr,
            default_lr: default_lr.unwrap_or(lr),
            momentum: momentum.or(looked.momentum),
            betas: given.or(looked.betas),
            weight_decay: own.optional_f64("weight_decay")?.or(args.optional_f64("weight_decay")?),
            lr_scale: own.optional_f64("lr_scale")?,
        })
    };
    groups.iter().enumerate().map(group).collect()
}
