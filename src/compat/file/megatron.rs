//! Megatron-LM's command line, as a text, a list or a script, and its arguments by their names.
//!
//! As `megatron/training/arguments.py` (core_v0.16) has the flags and `megatron/core/optimizer` of megatron-core 0.16.1 reads them. The
//! scheduler is called after every update that is applied, with the samples of it. Parameters are in two groups: vectors and biases have no
//! weight decay; with `--decoupled-lr` a third is that of embedding and output.

use serde_json::{Map, Value, json};

use super::super::composer_time::Unit;
use super::super::megatron_flags::{OF_SCHEDULER, counts_samples, meant, plain};
use super::composer;
use super::draft::Draft;
use super::megatron_left::LEFT;
use super::{Facts, Format, Section};
use crate::compat::OptimizerConfiguration;
use crate::error::Result;
use crate::gradient::{LossScale, NonFinite};

pub(super) const FORMAT: Format =
    Format { name: "a command line of Megatron-LM", library: "megatron", is: is_megatron, read };

/// Sections that hold all flags: `MODEL_ARGS` is that of Megatron's own tests.
const SECTIONS: [&str; 3] = ["MODEL_ARGS", "args", "arguments"];

/// Flags that others do not have.
const TELLING: [&str; 12] = [
    "lr_decay_style",
    "lr_decay_samples",
    "lr_warmup_fraction",
    "lr_warmup_samples",
    "lr_wsd_decay_style",
    "lr_wsd_decay_iters",
    "lr_wsd_decay_samples",
    "weight_decay_incr_style",
    "train_samples",
    "train_iters",
    "tensor_model_parallel_size",
    "initial_loss_scale",
];

fn is_megatron(fields: &Map<String, Value>) -> bool {
    let has = |fields: &Map<String, Value>| fields.keys().any(|name| TELLING.contains(&plain(name).as_str()));
    let section = |name: &&str| fields.get(*name).and_then(Value::as_object).is_some_and(has);
    has(fields) || SECTIONS.iter().any(section)
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    for name in SECTIONS {
        if file.peek(name).is_some_and(Value::is_object) {
            let Some(mut section) = file.section(name)? else { break };
            let draft = of_flags(&mut section, facts, &format!("{name}."))?;
            section.finish()?;
            return Ok(draft);
        }
    }
    of_flags(file, facts, "")
}

fn of_flags(flags: &mut Section, facts: &Facts, path: &str) -> Result<Draft> {
    flags.rename_all(plain);
    if let Some((name, value, meant)) = flags.unread().find_map(|(name, value)| Some((name, value, meant(name)?))) {
        return Err(flags.error(name, value, format!("is not a flag of Megatron; the nearest is {meant}")));
    }
    let mut of_scheduler = Map::new();
    for name in OF_SCHEDULER {
        if let Some(value) = flags.value(name)? {
            of_scheduler.insert(name.into(), value);
        }
    }
    let decays = ["weight_decay", "start_weight_decay", "end_weight_decay"].map(|name| of_scheduler.get(name));
    let decays = decays[0].is_none() || decays.iter().flatten().any(|decay| decay.as_f64() != Some(0.0));
    let batch = flags.count("global_batch_size")?;
    if batch == Some(0) {
        return Err(flags.error("global_batch_size", 0, "must be at least 1"));
    }
    let schedule = json!({"library": "megatron", "api": "pretrain_gpt", "params": of_scheduler});
    // A length in both units is refused with the scheduler's flags.
    let is_in_samples = counts_samples(&schedule["params"]) && schedule["params"].get("train_iters").is_none();
    let counted = is_in_samples.then_some(Unit::Samples);
    let progress_increment = composer::of_unit(facts, counted, batch, None)?;
    let (api, mut params) = optimizer(flags)?;
    // The rate and decay that the groups are made with, which the scheduler moves.
    for name in ["lr", "weight_decay"] {
        if let Some(value) = of_scheduler_value(&schedule, name) {
            params.insert(name.into(), value.clone());
        }
    }
    let groups = groups(flags, decays)?;
    let clip = flags.number("clip_grad")?.unwrap_or(1.0);
    let clip = match clip > 0.0 {
        true => json!({"function": "torch.nn.utils.clip_grad_norm_", "max_norm": clip}),
        false => Value::Null,
    };
    let loss_scale = loss_scale(flags)?;
    // A scaler of either kind skips updates whose gradients overflow.
    let non_finite = loss_scale.map(|_| NonFinite::Skip);
    flags.leave(LEFT);
    let optimizer = OptimizerConfiguration {
        library: "megatron".into(),
        api,
        params: Value::Object(params),
        groups,
        schedule,
        clip,
        scaler: Value::Null,
        horizon: facts.steps,
    };
    let mut draft = Draft { loss_scale, non_finite, progress_increment, ..Draft::optimizer(optimizer) };
    for (ours, theirs) in PLACES {
        draft = draft.place(*ours, format!("{path}{theirs}"));
    }
    // At most four groups are made: matrices and the rest, and the same of what has a rate of its own.
    for i in 0..4 {
        draft = draft.place(format!("schedule.optimizer.groups[{i}]."), path);
        for (ours, theirs) in [("beta1", "adam_beta1"), ("beta2", "adam_beta2"), ("eps", "adam_eps"), ("", "")] {
            draft = draft.place(format!("groups[{i}].{ours}"), format!("{path}{theirs}"));
        }
    }
    Ok(draft)
}

fn of_scheduler_value<'s>(schedule: &'s Value, name: &str) -> Option<&'s Value> {
    schedule["params"].get(name)
}

/// How paths of the optimizer's data begin, and the flags that say the same.
const PLACES: &[(&str, &str)] = &[
    ("schedule.params.", ""),
    ("schedule.optimizer.args.", ""),
    ("params.betas[0]", "adam_beta1"),
    ("params.betas[1]", "adam_beta2"),
    ("params.eps", "adam_eps"),
    ("params.momentum", "sgd_momentum"),
    ("params.", ""),
    ("clip.max_norm", "clip_grad"),
    ("api", "optimizer"),
];

/// The class and its arguments.
fn optimizer(flags: &mut Section) -> Result<(String, Map<String, Value>)> {
    const MUON: &str = "is not there yet; there are adam and sgd";
    let words = &[("adam", "adam"), ("sgd", "sgd"), ("muon", "muon"), ("dist_muon", "muon")];
    let class = flags.word("optimizer", words)?.unwrap_or("adam");
    let (beta1, beta2) = (flags.number("adam_beta1")?, flags.number("adam_beta2")?);
    let (eps, momentum) = (flags.number("adam_eps")?, flags.number("sgd_momentum")?);
    let is_decoupled = flags.flag("decoupled_weight_decay")?;
    let mut params = Map::new();
    match class {
        "adam" => {
            params.insert("betas".into(), json!([beta1.unwrap_or(0.9), beta2.unwrap_or(0.999)]));
            params.insert("eps".into(), eps.unwrap_or(1e-8).into());
            if let Some(is_decoupled) = is_decoupled {
                params.insert("decoupled_weight_decay".into(), is_decoupled.into());
            }
        }
        "sgd" => {
            params.insert("momentum".into(), momentum.unwrap_or(0.9).into());
        }
        other => return Err(flags.error("optimizer", other, MUON)),
    }
    Ok((class.to_owned(), params))
}

/// The groups of `_get_param_groups`, by what is in them.
fn groups(flags: &mut Section, decays: bool) -> Result<Value> {
    let (lr, min_lr) = (flags.number("decoupled_lr")?, flags.number("decoupled_min_lr")?);
    let keeps_norms = flags.flag("apply_wd_to_qk_layernorm")?.unwrap_or(false);
    let mut groups = vec![json!({"name": "matrices", "options": {}})];
    if decays {
        let name = if keeps_norms { "vectors and biases but norms of queries and keys" } else { "vectors and biases" };
        groups.push(json!({"name": name, "options": {"wd_mult": 0.0}}));
    } else {
        groups[0]["name"] = "all".into();
    }
    if let Some(lr) = lr {
        let mut options = Map::from_iter([("max_lr".to_owned(), Value::from(lr))]);
        if let Some(min_lr) = min_lr {
            options.insert("min_lr".into(), min_lr.into());
        }
        groups.push(json!({"name": "embedding and output", "options": options}));
    }
    Ok(Value::Array(groups))
}

/// As `_get_megatron_optimizer_based_on_param_groups` chooses: a fixed scale if one is given, one that moves for gradients of fp16.
fn loss_scale(flags: &mut Section) -> Result<Option<LossScale>> {
    const MAX: f64 = 170_141_183_460_469_231_731_687_303_715_884_105_728.0;
    let is = |flags: &mut Section, name: &str| Ok::<bool, crate::Error>(flags.flag(name)?.unwrap_or(false));
    let (fp16, bf16) = (is(flags, "fp16")?, is(flags, "bf16")?);
    if fp16 && bf16 {
        return Err(flags.error("bf16", true, "must not be set together with fp16"));
    }
    let fixed = flags.number("loss_scale")?.filter(|scale| *scale != 0.0);
    let init = flags.number("initial_loss_scale")?.unwrap_or(4_294_967_296.0);
    let min = flags.number("min_loss_scale")?.unwrap_or(1.0);
    let window = flags.number("loss_scale_window")?.unwrap_or(1_000.0);
    let hysteresis = flags.count("hysteresis")?.unwrap_or(2);
    let count = |name: &str, value: f64| {
        let is_count = (1.0..4_294_967_296.0).contains(&value) && value.fract() == 0.0;
        let rule = "must be a count of updates, at least 1 and below 2^32";
        if is_count { Ok(value as u32) } else { Err(flags.error(name, value, rule)) }
    };
    match fixed {
        Some(scale) if fp16 || bf16 => Ok(Some(LossScale::fixed(scale))),
        None if fp16 => {
            let (window, hysteresis) = (count("loss_scale_window", window)?, count("hysteresis", hysteresis as f64)?);
            if min > init {
                return Err(flags.error("min_loss_scale", min, format!("must not exceed initial_loss_scale, {init}")));
            }
            let scale = LossScale::dynamic().init(init).limits(min, MAX.max(init));
            Ok(Some(scale.interval(window).hysteresis(hysteresis)))
        }
        // Without a scaler nothing is scaled.
        _ => Ok(None),
    }
}

/// Every flag that is read.
#[cfg(test)]
fn flags() -> impl Iterator<Item = &'static str> {
    OF_SCHEDULER.into_iter().chain(super::super::megatron_flags::OF_OPTIMIZER)
}

#[cfg(test)]
#[path = "tests/megatron.rs"]
mod tests;
