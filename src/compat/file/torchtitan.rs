//! torchtitan's files: the TOML of 0.2 (`torchtitan/config/job_config.py` of 0.2.2) and the JSON that 0.3.0 saves of a configuration
//! made in Python (`debug.save_config_file`; `components/optimizer/{optimizer,lr_scheduler}.py`, `config/configs.py`).
//!
//! The clock counts updates: optimizer and scheduler step together, once for all calls that an update accumulates. Gradients are
//! clipped by torch's rule, at 1 where nothing is said. In a file of 0.3.0 each parameter group has a class of its own and takes no
//! default but torch's. Start at [`FORMAT`].

use serde_json::{Map, Value, json};

use super::super::OptimizerConfiguration;
use super::super::nearest::{unknown_name, unknown_word};
use super::draft::Draft;
use super::section::Left;
use super::{Facts, Format, Section};
use crate::error::Result;

pub(super) const FORMAT: Format =
    Format { name: "torchtitan's configuration", library: "torchtitan", is: is_torchtitan, read };

/// The classes that torchtitan makes by name, and the weight decay that each has where nothing is said; of `DistMuon` there is no rule.
const OPTIMIZERS: [(&str, f64); 2] = [("Adam", 0.0), ("AdamW", 0.01)];

/// What `optimizer` says by default in 0.2, for either class.
const DEFAULTS: [(&str, f64); 5] =
    [("lr", 8e-4), ("beta1", 0.9), ("beta2", 0.95), ("eps", 1e-8), ("weight_decay", 0.1)];

/// Steps of a run whose file says nothing.
const STEPS: u64 = 10_000;

const IMPLEMENTATIONS: [(&str, bool); 4] =
    [("for-loop", true), ("foreach", true), ("fused", true), ("fused_opt_states_bf16", false)];

const LEFT: &[Left] = &[
    (&["job", "metrics", "profiling", "profiler", "debug", "dump_folder"], "of what is measured and written"),
    (
        &["model", "model_spec", "model_converters", "float8", "mx", "quantize", "hf_assets_path", "tokenizer"],
        "of the model",
    ),
    (
        &["activation_checkpoint", "compile", "comm", "memory_estimation", "override", "experimental"],
        "of how the model runs",
    ),
    (&["checkpoint", "validation", "validator"], "of checkpoints and validation"),
    (&["dataloader", "loss"], "of data and loss"),
];

const LEFT_IN_TRAINING: &[Left] = &[
    (&["dataset", "dataset_path", "seq_len", "dataloader"], "of the data"),
    (
        &["dtype", "mixed_precision_param", "mixed_precision_reduce", "enable_cpu_offload"],
        "of the types of parameters, which their tensors say",
    ),
    (
        &["gc_freq", "gc_debug", "seed", "deterministic", "disable_cuda_graphs", "debug_moe_force_load_balance"],
        "of how the program runs",
    ),
];

/// By sections that stand beside each other in no other library's file.
fn is_torchtitan(fields: &Map<String, Value>) -> bool {
    let has = |section: &str, names: &[&str]| {
        let fields = fields.get(section).and_then(Value::as_object);
        fields.is_some_and(|fields| names.iter().any(|name| fields.contains_key(*name)))
    };
    let of_training = ["local_batch_size", "global_batch_size", "seq_len", "max_norm", "steps"];
    let of_scheduler = ["warmup_steps", "decay_ratio", "decay_type", "min_lr_factor", "total_steps"];
    let of_optimizer = ["name", "param_groups", "beta1", "implementation", "lr"];
    has("training", &of_training) && (has("lr_scheduler", &of_scheduler) || has("optimizer", &of_optimizer))
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    refuse_outer_optimizers(file)?;
    let training = file.section("training")?;
    let Training { steps, max_norm, accumulate } = Training::read(training, file, facts)?;
    let Optimizers { api, params, groups } = match file.section("optimizer")? {
        Some(section) if section.has("param_groups") => Optimizers::of_groups(section)?,
        Some(section) => Optimizers::of_all(section)?,
        None => Optimizers { api: "AdamW".into(), params: of_defaults(), groups: Value::Null },
    };
    let mut arguments = match file.section("lr_scheduler")? {
        None => json!({}),
        Some(mut section) => {
            if let Some(min) = section.peek("lr_min") {
                let rule = "is not a field since torchtitan 0.2: min_lr_factor is";
                return Err(section.error("lr_min", min, rule));
            }
            section.rest()?
        }
    };
    arguments["training_steps"] = steps.into();
    file.leave(LEFT);
    let grouped = !groups.is_null();
    let mut draft = Draft::optimizer(OptimizerConfiguration {
        library: "torch".into(),
        api,
        params,
        groups,
        schedule: json!({"library": "torchtitan", "api": "lr_scheduler", "params": arguments}),
        clip: max_norm.map_or(Value::Null, |norm| json!({"function": "clip_grad_norm_", "max_norm": norm})),
        scaler: Value::Null,
        horizon: Some(steps),
    });
    draft.accumulate = accumulate;
    let mut places = vec![("schedule.params.training_steps", "training.steps"), ("schedule.params.", "lr_scheduler.")];
    if !grouped {
        let own = [("groups[0].beta1", "optimizer.beta1"), ("groups[0].beta2", "optimizer.beta2")];
        places.extend(own.into_iter().chain([("groups[0].", "optimizer."), ("params.", "optimizer.")]));
    }
    places.extend([("clip.max_norm", "training.max_norm"), ("clip.torch_norm", "training.max_norm")]);
    places.push(("accumulate", "training.global_batch_size"));
    let mut draft = places.into_iter().fold(draft, |draft, (ours, theirs)| draft.place(ours, theirs));
    // Groups are in the order of the file.
    if grouped {
        draft = draft.place("groups[", "optimizer.param_groups[");
    }
    Ok(draft)
}

/// What `training` says.
struct Training {
    steps: u64,
    /// None where nothing is clipped.
    max_norm: Option<f64>,
    accumulate: Option<u64>,
}

impl Training {
    fn read(section: Option<Section>, file: &mut Section, facts: &Facts) -> Result<Training> {
        let Some(mut section) = section else {
            let steps = facts.steps.unwrap_or(STEPS);
            return Ok(Training { steps, max_norm: Some(1.0), accumulate: None });
        };
        if let Some(steps) = section.peek("warmup_steps") {
            let rule = "is not a field since torchtitan 0.1: lr_scheduler.warmup_steps is";
            return Err(section.error("warmup_steps", steps, rule));
        }
        let steps = section.count("steps")?.or(facts.steps).unwrap_or(STEPS);
        // Who clips at infinity wants the norm and no clipping.
        let max_norm =
            if section.infinite("max_norm")? { None } else { Some(section.number("max_norm")?.unwrap_or(1.0)) };
        let accumulate = accumulate(&mut section, file, facts)?;
        section.leave(LEFT_IN_TRAINING);
        section.finish()?;
        Ok(Training { steps, max_norm, accumulate })
    }
}

/// `global_batch_size` over `local_batch_size` and the degree of data parallelism; one call where the first is not said.
fn accumulate(training: &mut Section, file: &mut Section, facts: &Facts) -> Result<Option<u64>> {
    let local = training.count("local_batch_size")?.unwrap_or(8);
    let global = training.int("global_batch_size")?.unwrap_or(-1);
    let mut parallelism = file.section("parallelism")?;
    let Ok(global) = u64::try_from(global) else {
        if let Some(parallelism) = parallelism {
            parallelism.leave_rest("of how the model is divided");
        }
        return Ok(None);
    };
    let mut degree = |name: &str, default: i64| -> Result<i64> {
        let said = parallelism.as_mut().map_or(Ok(None), |section| section.int(name))?;
        Ok(said.unwrap_or(default))
    };
    let replicas = degree("data_parallel_replicate_degree", 1)?;
    let shards = degree("data_parallel_shard_degree", -1)?;
    let mut others = 1i64;
    for name in ["context_parallel_degree", "tensor_parallel_degree", "pipeline_parallel_degree"] {
        others = others.saturating_mul(degree(name, 1)?);
    }
    if let Some(parallelism) = parallelism {
        parallelism.leave_rest("of how the model is divided");
    }
    let data_parallel = match (shards, facts.values.get("world_size").and_then(Value::as_i64)) {
        (-1, Some(world)) => replicas.saturating_mul(world / replicas.saturating_mul(others).max(1)),
        (-1, None) => {
            let rule = "is over local_batch_size and the degree of data parallelism, which is what the number of processes leaves: \
                        give that as Facts::value(\"world_size\", …)";
            return Err(training.error("global_batch_size", global, rule));
        }
        (shards, _) => replicas.saturating_mul(shards),
    };
    let of_a_call = u64::try_from(data_parallel).ok().and_then(|degree| degree.checked_mul(local)).filter(|it| *it > 0);
    match of_a_call {
        Some(of_a_call) if global > 0 && global.is_multiple_of(of_a_call) => Ok(Some(global / of_a_call)),
        _ => {
            let rule = format!(
                "must be a multiple of local_batch_size, {local}, times the degree of data parallelism, {data_parallel}"
            );
            Err(training.error("global_batch_size", global, rule))
        }
    }
}

/// As [`OptimizerConfiguration`] has it.
struct Optimizers {
    api: String,
    params: Value,
    groups: Value,
}

impl Optimizers {
    /// The one class of 0.2, whose fields torchtitan hands over all.
    fn of_all(mut section: Section) -> Result<Optimizers> {
        let api = section.text("name")?.unwrap_or_else(|| "AdamW".into());
        known_class(&section, "name", &api)?;
        implementation(&mut section)?;
        if section.flag("early_step_in_backward")? == Some(true) {
            let rule = "an update in the backward pass, before gradients are clipped, is not there";
            return Err(section.error("early_step_in_backward", true, rule));
        }
        let mut numbers = [0.0; DEFAULTS.len()];
        for (number, (name, default)) in numbers.iter_mut().zip(DEFAULTS) {
            *number = section.number(name)?.unwrap_or(default);
        }
        section.refuse_rest()?;
        Ok(Optimizers { api, params: of_numbers(numbers), groups: Value::Null })
    }

    /// The groups of 0.3. In torch an Adam is an AdamW whose group says so.
    fn of_groups(mut section: Section) -> Result<Optimizers> {
        implementation(&mut section)?;
        let mut groups = Vec::new();
        for mut group in section.sections("param_groups")? {
            let pattern = group.text("pattern")?.ok_or_else(|| group.error("pattern", "missing", "must be given"))?;
            let class = group.text("optimizer_name")?;
            let class = class.ok_or_else(|| group.error("optimizer_name", "missing", "must be given"))?;
            let weight_decay = known_class(&group, "optimizer_name", &class)?;
            let mut options = match group.section("optimizer_kwargs")? {
                Some(mut options) => options.rest()?,
                None => json!({}),
            };
            group.refuse_rest()?;
            if let Value::Object(options) = &mut options {
                options.entry("weight_decay").or_insert(weight_decay.into());
                options.entry("decoupled_weight_decay").or_insert((class == "AdamW").into());
            }
            groups.push(json!({"name": pattern, "options": options}));
        }
        if section.peek("optimizer_factory_kwargs_by_name").is_some_and(|of| *of != json!({})) {
            let rule = "arguments of a class beside those of its groups have no translation";
            return Err(section.error("optimizer_factory_kwargs_by_name", "given", rule));
        }
        section.value("optimizer_factory_kwargs_by_name")?;
        section.refuse_rest()?;
        Ok(Optimizers { api: "AdamW".into(), params: json!({}), groups: groups.into() })
    }
}

fn of_numbers([lr, beta1, beta2, eps, weight_decay]: [f64; 5]) -> Value {
    json!({"lr": lr, "betas": [beta1, beta2], "eps": eps, "weight_decay": weight_decay})
}

fn of_defaults() -> Value {
    of_numbers(DEFAULTS.map(|(_, default)| default))
}

/// The weight decay that `class`, which is `name`, has in torch.
fn known_class(section: &Section, name: &str, class: &str) -> Result<f64> {
    let found = OPTIMIZERS.iter().find(|(known, _)| *known == class);
    found.map(|(_, weight_decay)| *weight_decay).ok_or_else(|| {
        let known = OPTIMIZERS.map(|(known, _)| known);
        section.error(name, class, unknown_name("an optimizer of torchtitan's that has a translation", class, &known))
    })
}

fn implementation(section: &mut Section) -> Result<()> {
    let Some(word) = section.text("implementation")? else { return Ok(()) };
    match IMPLEMENTATIONS.iter().find(|(known, _)| *known == word) {
        Some((_, true)) => Ok(()),
        Some((_, false)) => {
            let rule = "states in bfloat16 are not read of a file: write fused, and give the groups a precision with states = \"bf16\"";
            Err(section.error("implementation", word, rule))
        }
        None => {
            let known = IMPLEMENTATIONS.map(|(known, _)| known);
            Err(section.error("implementation", &word, unknown_word(&word, &known)))
        }
    }
}

/// Refuses torchft's optimizers over replicas, which act on what this one made.
fn refuse_outer_optimizers(file: &mut Section) -> Result<()> {
    let Some(mut section) = file.section("fault_tolerance")? else { return Ok(()) };
    let enabled = section.flag("enable")? == Some(true);
    if let Some(method) = section.text("semi_sync_method")?.filter(|_| enabled) {
        let rule = "an outer optimizer, over replicas that seldom meet, is not there";
        return Err(section.error("semi_sync_method", method, rule));
    }
    section.leave_rest("of how replicas come and go");
    Ok(())
}

#[cfg(test)]
#[path = "tests/torchtitan.rs"]
mod tests;
