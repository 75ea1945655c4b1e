//! The configurations of llm-foundry's training, and those of Composer's trainer that are written like them.
//!
//! As `llmfoundry/utils/config_utils.py` (`TrainConfig`), `command_utils/train.py` and `utils/builders.py` of llm-foundry 0.22.0 read
//! them, on Composer 0.32.1. The scheduler is called after every batch; a batch is an update, however many parts its gradient is added
//! up in.

use serde_json::{Map, Value, json};

use super::super::composer;
use super::super::composer_time::Unit;
use super::draft::Draft;
use super::section::Left;
use super::{Facts, Format, Section};
use crate::compat::OptimizerConfiguration;
use crate::error::Result;

pub(super) const FORMAT: Format =
    Format { name: "a configuration of llm-foundry or Composer", library: "composer", is, read };

/// Whether optimizer and scheduler are named as llm-foundry names them, or times are Composer's.
fn is(fields: &Map<String, Value>) -> bool {
    let name = |section: &str| fields.get(section)?.get("name")?.as_str();
    let is_foundry = name("scheduler").is_some_and(composer::is_scheduler)
        || name("optimizer").is_some_and(|name| name.to_lowercase().starts_with("decoupled"));
    is_foundry || fields.contains_key("max_duration") && (name("scheduler").is_some() || name("optimizer").is_some())
}

/// The fields of `TrainConfig`, and of earlier ones, that concern something else.
const LEFT: &[Left] = &[
    (&["model", "tokenizer", "tokenizer_name", "max_split_size_mb", "code_paths"], "of the model"),
    (&["expandable_segments", "cuda_load_lazy", "compile_config", "profiler"], "of the machine"),
    (&["dist_timeout", "tp_config", "n_gpus", "seed", "global_seed"], "of how the run is started"),
    (&["eval_interval", "eval_loader", "eval_loaders", "eval_first", "eval_subset_num_batches"], "of evaluation"),
    (&["device_eval_batch_size", "icl_tasks", "icl_tasks_str", "eval_gauntlet", "eval_gauntlet_str"], "of evaluation"),
    (&["icl_subset_num_batches", "icl_seq_len"], "of evaluation"),
    (&["loggers", "progress_bar", "log_to_console", "python_log_level", "console_log_interval"], "of what is shown"),
    (&["log_config", "metadata", "flatten_metadata", "run_name", "callbacks"], "of what is shown"),
    (&["save_folder", "save_latest_filename", "save_overwrite", "save_weights_only"], "of checkpoints"),
    (&["save_filename", "save_interval", "save_num_checkpoints_to_keep", "load_path"], "of checkpoints"),
    (&["load_weights_only", "load_strict_model_weights", "load_ignore_keys", "save_ignore_keys"], "of checkpoints"),
    (&["only_hf_checkpoint", "only_composer_checkpoint", "autoresume"], "of checkpoints"),
    (&["spin_dataloaders", "data_local", "data_remote"], "of the data"),
    (&["variables"], "what other fields refer to"),
    (
        &["device_train_microbatch_size", "device_train_batch_size", "device_train_grad_accum", "grad_accum"],
        "of how a batch is split: its gradients are added up before the update",
    ),
    (&["accumulate_train_batch_on_tokens"], "of how a batch is split"),
];

/// What an algorithm does that would have to be done here.
const REFUSED_ALGORITHMS: [(&str, &str); 3] = [
    ("sam", "a second gradient at another point is not there yet"),
    ("swa", "an average of the weights with a rate of its own is not there yet"),
    ("layer_freezing", "freezing by Composer's schedule is not there yet"),
];

const LEFT_ALGORITHMS: &[Left] = &[
    (&["alibi", "gated_linear_units", "low_precision_layernorm"], "of the model"),
    (&["ema"], "an average of the weights, which no update reads"),
];

/// Whether gradients are of 16 bits and so small that the loss is scaled.
const PRECISIONS: &[(&str, bool)] = &[("fp32", false), ("amp_fp16", true), ("amp_bf16", false), ("amp_fp8", false)];

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let schedule = scheduler(file, facts)?;
    let scaler = if scales_loss(file)? { json!({}) } else { Value::Null };
    let is_sharded = file.has("fsdp_config");
    let clip = clip(file, is_sharded)?;
    file.leave(&[(&["fsdp_config"], "of how the run is started")]);
    let counted = counted(&schedule);
    let increment = increment(file, facts, counted)?;
    let Some(mut section) = file.section("optimizer")? else {
        return Err(file.missing("optimizer", "must be given: the schedule multiplies its rate"));
    };
    let Some(api) = section.text("name")? else { return Err(section.missing("name", "must be given")) };
    section.leave(&[(&["disable_grad"], "parameters by name that are not trained")]);
    let own_groups = groups(&mut section)?;
    let count = own_groups.as_ref().map_or(0, Vec::len);
    let optimizer = OptimizerConfiguration {
        library: "composer".into(),
        api,
        params: section.rest()?,
        groups: own_groups.map_or(Value::Null, Value::Array),
        schedule,
        clip,
        scaler,
        horizon: facts.steps,
    };
    file.leave(LEFT);
    let mut draft = Draft { progress_increment: increment, ..Draft::optimizer(optimizer) };
    for (ours, theirs) in PLACES {
        draft = draft.place(*ours, *theirs);
    }
    for i in 1..count {
        let theirs = format!("optimizer.param_groups[{}]", i - 1);
        draft = draft.place(format!("groups[{i}].options"), theirs.clone());
        draft = draft.place(format!("schedule.optimizer.groups[{i}]"), theirs);
    }
    Ok(draft)
}

/// How paths of the optimizer's data begin, and where the file has the same.
const PLACES: &[(&str, &str)] = &[
    ("schedule.params.max_duration", "max_duration"),
    ("schedule.params.scale_schedule_ratio", "scale_schedule_ratio"),
    ("schedule.params.dataloader_len", "facts.steps_per_epoch"),
    ("schedule.params.", "scheduler."),
    ("schedule.optimizer.args.", "optimizer."),
    ("schedule.optimizer.groups[0].", "optimizer."),
    ("schedule.api", "scheduler.name"),
    ("api", "optimizer.name"),
    ("params.", "optimizer."),
    ("clip.max_norm", "algorithms.gradient_clipping.clipping_threshold"),
    ("clip.clip_value", "algorithms.gradient_clipping.clipping_threshold"),
];

/// The scheduler as data, with what the trainer knows; null if there is none.
fn scheduler(file: &mut Section, facts: &Facts) -> Result<Value> {
    let duration = file.value("max_duration")?;
    let ratio = file.value("scale_schedule_ratio")?;
    let subset = file.int("train_subset_num_batches")?.and_then(|batches| u64::try_from(batches).ok());
    let Some(mut section) = file.section("scheduler")? else { return Ok(Value::Null) };
    let Some(name) = section.text("name")? else { return Err(section.missing("name", "must be given")) };
    let mut params = section.rest()?;
    let duration = duration.or(facts.steps.map(|steps| format!("{steps}ba").into()));
    // Of a loader that is longer, Composer takes so many batches an epoch.
    let epoch = [facts.steps_per_epoch, subset].into_iter().flatten().min();
    let of_trainer =
        [("max_duration", duration), ("scale_schedule_ratio", ratio), ("dataloader_len", epoch.map(Value::from))];
    for (name, value) in of_trainer {
        if let (Some(params), Some(value)) = (params.as_object_mut(), value) {
            params.insert(name.into(), value);
        }
    }
    Ok(json!({"library": "composer", "api": name, "params": params}))
}

/// What the progress clock has to count for the scheduler `{library, api, params}`.
pub(super) fn counted(scheduler: &Value) -> Option<Unit> {
    composer::counted(scheduler.get("api")?.as_str()?, scheduler.get("params")?)
}

/// By how much an update moves the progress clock; None where no time needs it.
fn increment(file: &mut Section, facts: &Facts, counted: Option<Unit>) -> Result<Option<u64>> {
    let samples = file.count("global_train_batch_size")?;
    let len = file.count("max_seq_len")?;
    let mut is_full = false;
    if let Some(mut loader) = file.section("train_loader")? {
        // Its samples are cut from one text, so none is padded.
        is_full = loader.text("name")?.as_deref() == Some("text");
        file.notes().left("train_loader: of the data");
    }
    let tokens = samples.zip(len).filter(|_| is_full).and_then(|(samples, len)| samples.checked_mul(len));
    of_unit(facts, counted, samples, tokens)
}

/// [`increment`], of what a file says of both.
pub(super) fn of_unit(
    facts: &Facts,
    counted: Option<Unit>,
    samples: Option<u64>,
    tokens: Option<u64>,
) -> Result<Option<u64>> {
    match counted {
        None | Some(Unit::Batches) => Ok(None),
        Some(Unit::Samples) => facts.needed_samples_per_step(samples, "a schedule that counts samples").map(Some),
        Some(Unit::Tokens) => facts.needed_tokens_per_step(tokens, "a schedule that counts tokens").map(Some),
    }
}

fn scales_loss(file: &mut Section) -> Result<bool> {
    let scales = file.word("precision", PRECISIONS)?.unwrap_or(false);
    if scales {
        let note = "the schedule goes on when a scaled gradient overflows: Composer's does, ours waits with the update";
        file.notes().left(note);
    }
    Ok(scales)
}

/// `algorithms.gradient_clipping` as a call; null if there is none.
fn clip(file: &mut Section, is_sharded: bool) -> Result<Value> {
    let Some(mut algorithms) = file.section("algorithms")? else { return Ok(Value::Null) };
    for (name, rule) in REFUSED_ALGORITHMS {
        if let Some(arguments) = algorithms.peek(name) {
            return Err(algorithms.error(name, arguments, rule));
        }
    }
    algorithms.leave(LEFT_ALGORITHMS);
    let clipping = algorithms.section("gradient_clipping")?;
    algorithms.finish()?;
    let Some(mut clipping) = clipping else { return Ok(Value::Null) };
    let missing = |section: &Section, name: &str| section.missing(name, "must be given");
    let kinds = &[("norm", "norm"), ("value", "value"), ("adaptive", "adaptive")];
    let Some(kind) = clipping.word("clipping_type", kinds)? else { return Err(missing(&clipping, "clipping_type")) };
    let Some(limit) = clipping.number("clipping_threshold")? else {
        return Err(missing(&clipping, "clipping_threshold"));
    };
    clipping.refuse_rest()?;
    match kind {
        "norm" => Ok(json!({"function": "torch.nn.utils.clip_grad_norm_", "max_norm": limit})),
        // With FSDP Composer clips by the largest magnitude instead.
        "value" if is_sharded => {
            Ok(json!({"function": "torch.nn.utils.clip_grad_norm_", "max_norm": limit, "norm_type": "inf"}))
        }
        "value" => Ok(json!({"function": "torch.nn.utils.clip_grad_value_", "clip_value": limit})),
        _ => {
            let rule = "clipping by the norm of each row over that of its parameters is not there yet; there are norm and value";
            Err(clipping.error("clipping_type", kind, rule))
        }
    }
}

/// The groups: that of all parameters that no other takes, and those of `param_groups`; None if there are none of these.
fn groups(optimizer: &mut Section) -> Result<Option<Vec<Value>>> {
    let mut groups = Vec::new();
    for mut group in optimizer.sections("param_groups")? {
        let Some(pattern) = group.text("param_str_match")? else {
            return Err(group.missing("param_str_match", "must be given: it says whose parameters these are"));
        };
        groups.push(json!({"name": pattern, "options": group.rest()?}));
    }
    if groups.is_empty() {
        return Ok(None);
    }
    groups.insert(0, json!({"name": "all others", "options": {}}));
    Ok(Some(groups))
}

#[cfg(test)]
#[path = "tests/composer.rs"]
mod tests;
