//! What the flags of Megatron-LM's training scripts make of its scheduler.
//!
//! As `validate_args` of `megatron/training/arguments.py` (core_v0.16) and `get_optimizer_param_scheduler` of
//! `megatron/training/training.py` do. There the scheduler counts samples whatever the flags count; a training in iterations is counted in
//! steps here, which is the same but for rounding, and one in samples on the progress clock.

use serde_json::{Map, Value};

use super::Arguments;
use super::megatron::{
    Counts, FALLS, Fall, INCREASES, Increase, Names, Numbers, STYLES, Scheduler, expect_no_override,
};
use crate::error::{Error, Result};
use crate::nearest::nearest;

/// Every flag that concerns the scheduler, as argparse names it.
pub(super) const OF_SCHEDULER: [&str; 23] = [
    "lr",
    "min_lr",
    "lr_decay_style",
    "lr_decay_iters",
    "lr_decay_samples",
    "lr_wsd_decay_style",
    "lr_wsd_decay_iters",
    "lr_wsd_decay_samples",
    "lr_warmup_fraction",
    "lr_warmup_iters",
    "lr_warmup_samples",
    "lr_warmup_init",
    "warmup",
    "train_iters",
    "train_samples",
    "rampup_batch_size",
    "weight_decay",
    "start_weight_decay",
    "end_weight_decay",
    "weight_decay_incr_style",
    "override_opt_param_scheduler",
    "use_checkpoint_opt_param_scheduler",
    "batch_size",
];

/// Every flag that concerns the optimizer or gradients otherwise.
pub(super) const OF_OPTIMIZER: [&str; 18] = [
    "optimizer",
    "adam_beta1",
    "adam_beta2",
    "adam_eps",
    "sgd_momentum",
    "decoupled_weight_decay",
    "apply_wd_to_qk_layernorm",
    "decoupled_lr",
    "decoupled_min_lr",
    "clip_grad",
    "global_batch_size",
    "fp16",
    "bf16",
    "loss_scale",
    "initial_loss_scale",
    "min_loss_scale",
    "loss_scale_window",
    "hysteresis",
];

/// How flags begin that concern these and nothing else: a name that is none of the known ones is a slip.
const FAMILIES: [&str; 9] =
    ["lr_", "min_lr", "max_lr", "adam_", "sgd_", "weight_decay", "loss_scale", "clip_grad", "train_sample"];

/// Whether `name` is one of Megatron's training scripts.
pub(super) fn is_script(name: &str) -> bool {
    let name = name.strip_suffix(".py").unwrap_or(name);
    name.starts_with("pretrain")
}

/// `--lr-decay-style` or `lr-decay-style` as argparse names it.
pub(super) fn plain(flag: &str) -> String {
    flag.trim_start_matches('-').replace('-', "_")
}

/// The known flag that `flag`, which is none, was to be.
pub(super) fn meant(flag: &str) -> Option<&'static str> {
    let known = || OF_SCHEDULER.into_iter().chain(OF_OPTIMIZER);
    let is_of_family = FAMILIES.iter().any(|family| flag.starts_with(family));
    if known().any(|name| name == flag) || !is_of_family {
        return None;
    }
    nearest(flag, known()).or(Some("lr"))
}

/// The scheduler that the flags make, and what it counts.
pub(super) fn scheduler(arguments: Arguments, horizon: Option<u64>) -> Result<(Scheduler, Counts)> {
    let mut read = of_scheduler(arguments)?;
    let names_dashed = read.1;
    let made = scheduler_of(&mut read.0, horizon);
    made.map_err(|error| if names_dashed { dashed(error) } else { error })
}

/// The flags that concern the scheduler, under argparse's names, and whether they were written with dashes. What concerns something else
/// is left.
fn of_scheduler(arguments: Arguments) -> Result<(Arguments, bool)> {
    let (path, fields) = arguments.into_fields();
    let mut own = Map::new();
    let mut has_dashes = false;
    for (flag, value) in fields {
        let name = plain(&flag);
        has_dashes |= name != flag;
        if OF_SCHEDULER.contains(&name.as_str()) {
            own.insert(name, value);
        } else if let Some(meant) = meant(&name) {
            let rule = format!("is not a flag of Megatron; the nearest is {meant}");
            return Err(Error::argument(format!("{path}.{flag}"), value, rule));
        }
    }
    Ok((Arguments::new(&path, &Value::Object(own))?, has_dashes))
}

/// `error` about a flag, with the flag as it is written.
fn dashed(error: Error) -> Error {
    match error {
        Error::Argument { argument, value, rule } => match argument.rsplit_once('.') {
            Some((path, name)) => Error::argument(format!("{path}.{}", name.replace('_', "-")), value, rule),
            None => Error::argument(argument, value, rule),
        },
        other => other,
    }
}

/// Whether the flags count samples: they give `train_samples`, and no `train_iters`.
pub(super) fn counts_samples(params: &Value) -> bool {
    let Value::Object(fields) = params else { return false };
    let is_given = |name: &str| {
        fields.iter().any(|(flag, value)| plain(flag) == name && !value.is_null() && value.as_u64() != Some(0))
    };
    is_given("train_samples") && !is_given("train_iters")
}

const OF_ITERATIONS: Names = Names {
    init: "lr_warmup_init",
    max: "lr",
    warmup: "lr_warmup_iters",
    total: "lr_decay_iters",
    wsd_steps: "lr_wsd_decay_iters",
    start_wd: "start_weight_decay",
    end_wd: "end_weight_decay",
    wd_steps: "train_iters",
    wd_style: "weight_decay_incr_style",
};

const OF_SAMPLES: Names = Names {
    warmup: "lr_warmup_samples",
    total: "lr_decay_samples",
    wsd_steps: "lr_wsd_decay_samples",
    wd_steps: "train_samples",
    ..OF_ITERATIONS
};

fn scheduler_of(read: &mut Arguments, horizon: Option<u64>) -> Result<(Scheduler, Counts)> {
    for (old, new) in [("warmup", "lr_warmup_fraction"), ("batch_size", "micro_batch_size")] {
        if let Some(value) = read.value(old) {
            return Err(read.error(old, value, format!("is not valid any more: Megatron wants {new}")));
        }
    }
    if let Some(value) = read.value("rampup_batch_size") {
        let rule = "a batch that grows is not there yet: set the progress increment anew when it does";
        return Err(read.error("rampup_batch_size", value, rule));
    }
    let (iterations, samples) = (read.optional_steps("train_iters")?, read.optional_steps("train_samples")?);
    let (counts, mut names, all) = match (iterations.filter(|n| *n > 0), samples.filter(|n| *n > 0)) {
        (Some(_), Some(samples)) => {
            return Err(read.error("train_samples", samples, "must not be given together with train_iters"));
        }
        (None, Some(samples)) => (Counts::Samples, OF_SAMPLES, Some(samples)),
        (iterations, None) => (Counts::Steps, OF_ITERATIONS, iterations.or(horizon)),
    };
    let others = if counts == Counts::Steps { OF_SAMPLES } else { OF_ITERATIONS };
    for name in [others.total, others.warmup, others.wsd_steps] {
        if let Some(value) = read.optional_steps(name)?.filter(|value| *value > 0) {
            let rule = format!("must not be given: the training is counted by {}", names.wd_steps);
            return Err(read.error(name, value, rule));
        }
    }
    let total = read.optional_steps(names.total)?.or(all);
    let total = total.ok_or_else(|| read.missing("train_iters"))?;
    let fraction = read.optional_f64("lr_warmup_fraction")?;
    let warmup = read.optional_steps(names.warmup)?.unwrap_or(0);
    let warmup = match fraction {
        None => warmup as f64,
        Some(fraction) if warmup == 0 => {
            names.warmup = "lr_warmup_fraction";
            whole(fraction * total as f64)
        }
        Some(_) => return Err(read.error(names.warmup, warmup, "must not be given together with lr_warmup_fraction")),
    };
    let style = read.word_or("lr_decay_style", STYLES[1].1, STYLES)?;
    let increase = read.word_or("weight_decay_incr_style", Increase::Constant, INCREASES)?;
    let [start_wd, end_wd] = weight_decay(read, increase)?;
    let numbers = Numbers {
        init: read.f64_or("lr_warmup_init", 0.0)?,
        max: read.f64("lr")?,
        min: read.f64_or("min_lr", 0.0)?,
        warmup,
        total,
        wsd_steps: read.optional_steps(names.wsd_steps)?,
        start_wd,
        end_wd,
        wd_steps: all.unwrap_or(0),
    };
    if !matches!(increase, Increase::Constant) && all.is_none() {
        return Err(read.missing(names.wd_steps));
    }
    if read.bool_or("use_checkpoint_opt_param_scheduler", false)? {
        expect_no_override(read)?;
    }
    let fall = read.word_or("lr_wsd_decay_style", Fall::Exponential, FALLS)?;
    Ok((Scheduler::new(read, names, &numbers, style, Some(fall), increase)?, counts))
}

/// What a fraction comes to; a step that it misses by rounding alone is that step.
fn whole(steps: f64) -> f64 {
    let nearest = steps.round();
    if (steps - nearest).abs() <= 1e-9 * nearest.max(1.0) { nearest } else { steps }
}

/// The weight decay at the start and at the end.
fn weight_decay(read: &mut Arguments, increase: Increase) -> Result<[f64; 2]> {
    let constant = read.f64_or("weight_decay", 0.01)?;
    let ends = ["start_weight_decay", "end_weight_decay"];
    match increase {
        Increase::Constant => {
            for name in ends {
                if let Some(value) = read.value(name) {
                    let rule = "must not be given where weight_decay_incr_style is constant";
                    return Err(read.error(name, value, rule));
                }
            }
            Ok([constant; 2])
        }
        Increase::Linear | Increase::Cosine => Ok([read.f64(ends[0])?, read.f64(ends[1])?]),
    }
}
