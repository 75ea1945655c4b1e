//! DeepSpeed's `ds_config.json`, as of 0.19.8 (`deepspeed/runtime/{config,constants,engine}.py`), with the `"auto"`s that the
//! trainer of transformers fills in (`auto`).
//!
//! The clock of a scheduler counts applied updates: the engine steps it after an update that did not overflow. A `scheduler` whose
//! type is none of DeepSpeed's own is torch's. There is one parameter group; code may hand in others. Gradients are clipped by
//! torch's rule, at 1 where nothing is said; versions before 0.19 clip nothing then (DeepSpeed#8068). Start at [`FORMAT`].

mod auto;
mod left;
mod optimizer;
mod precision;

use serde_json::{Map, Value, json};

use super::super::nearest::unknown_name;
use super::super::{Configuration, OptimizerConfiguration};
use super::draft::Draft;
use super::{Facts, Format, Section};
use crate::error::{Error, Result};
use crate::gradient::{LossScale, NonFinite};
pub(super) use auto::Auto;
pub(super) use left::LEFT;
pub(super) use optimizer::Made;
use precision::Precision;

pub(super) const FORMAT: Format =
    Format { name: "DeepSpeed's configuration", library: "deepspeed", is: is_deepspeed, read };

/// The types of `scheduler` that are DeepSpeed's own.
const SCHEDULERS: [&str; 5] = ["LRRangeTest", "OneCycle", "WarmupLR", "WarmupDecayLR", "WarmupCosineLR"];

/// Those of torch that take nothing but numbers and words. `ReduceLROnPlateau` would be stepped without its metric.
const OF_TORCH: [&str; 10] = [
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
];

/// How paths begin that errors of an optimizer name, and how the same begin in the file.
pub(super) const PLACES: &[(&str, &str)] = &[
    ("params.", "optimizer.params."),
    ("api", "optimizer.type"),
    ("schedule.params.", "scheduler.params."),
    ("schedule.api", "scheduler.type"),
    ("schedule.optimizer.args.", "optimizer.params."),
    ("groups[0].beta1", "optimizer.params.betas[0]"),
    ("groups[0].beta2", "optimizer.params.betas[1]"),
    ("groups[0].", "optimizer.params."),
    ("clip", "gradient_clipping"),
    ("accumulate", "gradient_accumulation_steps"),
    ("loss_scale.interval", "fp16.loss_scale_window"),
    ("loss_scale.min", "fp16.min_loss_scale"),
    ("loss_scale.", "fp16."),
    ("loss_scale", "fp16.loss_scale"),
];

/// The same of a scheduler alone, before those.
const PLACES_ALONE: &[(&str, &str)] = &[("params.", "scheduler.params."), ("api", "scheduler.type")];

/// By what no other library's file has. Those of GPT-NeoX have DeepSpeed's fields too, and schedules of their own.
fn is_deepspeed(fields: &Map<String, Value>) -> bool {
    const OF_NEOX: [&str; 4] = ["lr_decay_style", "lr-decay-style", "train_iters", "train-iters"];
    let object = |name: &str| fields.get(name).and_then(Value::as_object);
    let is_call = |call: &Map<String, Value>| {
        let known = ["type", "params", "legacy_fusion"];
        call.get("type").is_some_and(Value::is_string) && call.keys().all(|key| known.contains(&key.as_str()))
    };
    let of_zero = ["zero_optimization", "train_micro_batch_size_per_gpu"].iter().any(|name| fields.contains_key(*name));
    let of_precision =
        ["fp16", "bf16", "bfloat16"].iter().any(|name| object(name).is_some_and(|it| it.contains_key("enabled")));
    let of_calls = ["optimizer", "scheduler"].iter().any(|name| object(name).is_some_and(is_call));
    (of_zero || of_precision || of_calls) && !OF_NEOX.iter().any(|name| fields.contains_key(*name))
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let parts = Parts::read(file, &Auto { facts, must_match: false })?;
    file.leave(LEFT);
    parts.draft(file, facts)
}

/// What a file says, of which code may hand in the optimizer or the scheduler instead.
pub(super) struct Parts {
    pub optimizer: Option<Made>,
    /// `{library, api, params}`.
    pub schedule: Option<Value>,
    /// As [`OptimizerConfiguration::clip`] has it.
    pub clip: Value,
    /// As [`OptimizerConfiguration::scaler`] has it.
    pub scaler: Value,
    pub loss_scale: Option<LossScale>,
    pub non_finite: Option<NonFinite>,
    pub accumulate: Option<u64>,
}

impl Parts {
    pub fn read(file: &mut Section, auto: &Auto) -> Result<Parts> {
        refuse_what_moves_rates(file)?;
        let optimizer = match file.section("optimizer")? {
            Some(section) => Some(Made::read(section, auto)?),
            None => None,
        };
        let schedule = match file.section("scheduler")? {
            Some(section) => Some(schedule(section, auto, optimizer.as_ref().and_then(|made| made.params.get("lr")))?),
            None => None,
        };
        auto.fill(file, "gradient_clipping", "max_grad_norm")?;
        let norm = file.number("gradient_clipping")?;
        if norm.is_none() {
            let what = "gradient_clipping = 1.0, since nothing is said: versions before 0.19 clip nothing then";
            file.notes().took(what);
        }
        let clip = match norm.unwrap_or(1.0) {
            norm if norm > 0.0 => json!({"function": "clip_grad_norm_", "max_norm": norm}),
            _ => Value::Null,
        };
        let Precision { scaler, loss_scale, non_finite } = Precision::read(file, auto)?;
        let accumulate = accumulate(file, auto)?;
        Ok(Parts { optimizer, schedule, clip, scaler, loss_scale, non_finite, accumulate })
    }

    fn draft(self, file: &Section, facts: &Facts) -> Result<Draft> {
        let Parts { optimizer, schedule, clip, scaler, loss_scale, non_finite, accumulate } = self;
        let (mut draft, places) = match (optimizer, schedule) {
            (Some(made), schedule) => {
                let schedule = schedule.unwrap_or_default();
                let Made { library, api, params } = made;
                let draft = Draft::optimizer(OptimizerConfiguration {
                    library: library.into(),
                    api,
                    params,
                    groups: Value::Null,
                    schedule,
                    clip,
                    scaler,
                    horizon: facts.steps,
                });
                (draft, [&[], PLACES])
            }
            (None, Some(schedule)) => {
                file.notes().left("gradient_clipping: of an optimizer, which is made in code");
                (Draft::schedules(alone(&schedule, facts)?), [PLACES_ALONE, PLACES])
            }
            (None, None) => {
                let rule = "must be given, or else scheduler: what is made in code is not in the file";
                return Err(file.error("optimizer", "missing", rule));
            }
        };
        (draft.loss_scale, draft.non_finite, draft.accumulate) = (loss_scale, non_finite, accumulate);
        Ok(places.concat().into_iter().fold(draft, |draft, (ours, theirs)| draft.place(ours, theirs)))
    }
}

/// A scheduler of an optimizer that is made in code, of which the rate may be known.
fn alone(schedule: &Value, facts: &Facts) -> Result<Configuration> {
    let text = |name: &str| schedule[name].as_str().unwrap_or_default().to_owned();
    let own = ["optimizer.params.lr", "lr", "learning_rate"].iter().find_map(|name| facts.values.get(*name));
    // These have rates of their own.
    let is_absolute = match schedule["api"].as_str() {
        Some("LRRangeTest" | "OneCycle" | "WarmupDecayLR") => true,
        Some("WarmupLR") => schedule["params"].get("warmup_max_lr").is_some(),
        _ => false,
    };
    let lr = match own {
        Some(lr) => lr.clone(),
        None if is_absolute => json!(0.0),
        None => {
            let rule = "is made in code, and the scheduler goes by its rate: give it as Facts::value(\"lr\", …)";
            return Err(Error::argument("optimizer", "missing", rule));
        }
    };
    let class = facts.values.get("optimizer.type").cloned();
    let moves_betas = schedule["api"] == "OneCycle" && schedule["params"].get("cycle_momentum") != Some(&json!(false));
    if moves_betas && class.is_none() {
        let rule = "is made in code, and OneCycle moves the betas that it may have: give its class as \
                    Facts::value(\"optimizer.type\", …), or let cycle_momentum be false";
        return Err(Error::argument("optimizer", "missing", rule));
    }
    let class = class.unwrap_or_else(|| json!("AdamW"));
    Ok(Configuration {
        library: text("library"),
        api: text("api"),
        params: schedule["params"].clone(),
        optimizer: json!({"class": class, "args": {"lr": lr}, "groups": [{}]}),
        horizon: facts.steps,
        resumed_at: None,
    })
}

/// The scheduler, as [`OptimizerConfiguration::schedule`] has it. `lr` is the optimizer's.
fn schedule(mut section: Section, auto: &Auto, lr: Option<&Value>) -> Result<Value> {
    let api = section.text("type")?.ok_or_else(|| section.error("type", "missing", "must be given"))?;
    let library = match api.as_str() {
        api if SCHEDULERS.contains(&api) => "deepspeed",
        api if OF_TORCH.contains(&api) => "torch",
        other => {
            let known = [&SCHEDULERS[..], &OF_TORCH[..]].concat();
            return Err(section.error(
                "type",
                other,
                unknown_name("a scheduler that DeepSpeed makes from a file", other, &known),
            ));
        }
    };
    let arguments = match section.section("params")? {
        None => json!({}),
        Some(mut params) => {
            params.fill("warmup_min_lr", 0);
            auto.fill_peak(&mut params, lr)?;
            let steps = auto.fill_total(&mut params)?;
            auto.fill_warmup(&mut params, steps)?;
            params.rest()?
        }
    };
    section.finish()?;
    Ok(json!({"library": library, "api": api, "params": arguments}))
}

/// Calls whose mean gradient makes an update; None where the file does not say it, as with one call.
fn accumulate(file: &mut Section, auto: &Auto) -> Result<Option<u64>> {
    let names = ["train_batch_size", "train_micro_batch_size_per_gpu"];
    let [batch, micro] = names.map(|name| file.peek(name).and_then(Value::as_u64));
    if file.flag("managed_gradient_accumulation")? == Some(false) {
        file.leave(&[(&["gradient_accumulation_steps"], "the program says which call updates")]);
        return Ok(None);
    }
    auto.fill(file, "gradient_accumulation_steps", "gradient_accumulation_steps")?;
    match (file.count("gradient_accumulation_steps")?, batch, micro) {
        (Some(0), _, _) => Err(file.error("gradient_accumulation_steps", 0, "must be at least 1")),
        (Some(calls), Some(batch), Some(micro))
            if !micro.checked_mul(calls).is_some_and(|of_all| batch.is_multiple_of(of_all)) =>
        {
            let rule =
                format!("must be a multiple of {} and gradient_accumulation_steps, {micro} and {calls}", names[1]);
            Err(file.error(names[0], batch, rule))
        }
        (Some(calls), _, _) => Ok(Some(calls)),
        (None, Some(_), Some(0)) => Err(file.error(names[1], 0, "must be at least 1")),
        (None, Some(batch), Some(micro)) if batch != micro => {
            let processes = auto.facts.values.get("world_size").and_then(Value::as_u64).filter(|size| *size > 0);
            let Some(processes) = processes else {
                let rule = "is train_batch_size over train_micro_batch_size_per_gpu and the number of processes: give it, or \
                            that number as Facts::value(\"world_size\", …)";
                return Err(file.error("gradient_accumulation_steps", "missing", rule));
            };
            match micro.checked_mul(processes) {
                Some(of_a_call) if batch > 0 && batch.is_multiple_of(of_a_call) => Ok(Some(batch / of_a_call)),
                _ => Err(file.error(
                    names[0],
                    batch,
                    format!("must be a multiple of {processes} processes of {micro} each"),
                )),
            }
        }
        _ => Ok(None),
    }
}

/// Refuses what makes rates follow the size of each batch.
fn refuse_what_moves_rates(file: &Section) -> Result<()> {
    let path = "data_efficiency.data_sampling.dynamic_batching";
    let enabled = file.peek("data_efficiency").and_then(|it| it.pointer("/data_sampling/dynamic_batching/enabled"));
    match enabled {
        Some(Value::Bool(true)) => Err(file.error(
            &format!("{path}.enabled"),
            true,
            "a rate that follows the size of each batch is not there yet",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "../tests/deepspeed.rs"]
mod tests;
