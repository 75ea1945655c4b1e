//! The arguments of the Trainer. Rates are held against the multipliers of `transformers/optimization.py` of 5.23.0.

use std::f64::consts::PI;

use serde_json::{Value, json};

use super::super::{Facts, Reading, read as read_file};
use crate::config::RuleConfig;
use crate::gradient::{Accumulate, Clip, LossScale, NonFinite};
use crate::optim::{Lion, ScheduleFreeAdamW};
use crate::precision::{Precision, StateForm};
use crate::schedule::Metric;

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations/", $name))
    };
}

const ARGUMENTS: &str = file!("published/transformers_training_args.json");
const INSIDE: &str = file!("published/transformers_deepspeed_inside.json");

#[track_caller]
fn read(text: &str, facts: &Facts) -> Reading {
    let reading = read_file(text, facts).unwrap_or_else(|error| panic!("{error}"));
    reading.config.check().unwrap();
    reading
}

fn refused(text: &str, facts: &Facts) -> String {
    read_file(text, facts).map(|reading| reading.config).unwrap_err().to_string()
}

fn per_epoch(steps: u64) -> Facts {
    Facts { steps_per_epoch: Some(steps), ..Facts::default() }
}

/// A file of `max_steps` 1000 with these fields too.
fn with(fields: Value) -> String {
    let mut file = json!({"output_dir": "out", "max_steps": 1_000, "num_train_epochs": 3});
    if let (Value::Object(file), Value::Object(fields)) = (&mut file, fields) {
        file.extend(fields);
    }
    file.to_string()
}

/// Holds the rates of the first group against a multiplier of `lr` that rises for `warmup` steps, and then is `after` the part of the
/// rest that is done.
#[track_caller]
fn rates(reading: &Reading, lr: f64, warmup: u64, total: u64, after: impl Fn(f64) -> f64) {
    for step in [0, 1, warmup.saturating_sub(1), warmup, warmup + 1, total / 3, total / 2, total - 1, total] {
        let multiplier = match step {
            step if step < warmup => step as f64 / warmup as f64,
            step => after((step - warmup) as f64 / (total - warmup) as f64),
        };
        let (ours, theirs) = (reading.config.groups[0].lr().at(step).unwrap(), lr * multiplier);
        assert!((ours - theirs).abs() <= 1e-12 * lr, "step {step}: {ours}, not {theirs}");
    }
}

fn cosine(done: f64) -> f64 {
    0.5 * (1.0 + (PI * done).cos())
}

#[test]
fn the_run_is_as_long_as_its_epochs_say_rounded_up() {
    // ceil(2.5 * 1251) = 3128.
    let reading = read(ARGUMENTS, &per_epoch(1_251));
    assert_eq!(reading.format, "TrainingArguments of transformers");
    rates(&reading, 5e-5, 500, 3_128, |done| 1.0 - done);
    let config = reading.config;
    let group = &config.groups[0];
    assert_eq!(group.rule, RuleConfig::named("adamw"));
    let numbers = ["beta1", "beta2", "eps", "weight_decay"].map(|name| group.get(name).unwrap().at(0).unwrap());
    assert_eq!(numbers, [0.9, 0.98, 1e-6, 0.0]);
    assert_eq!(config.clip, Some(Clip::torch_norm(0.5)));
    assert_eq!(config.accumulate, Some(Accumulate::mean(2)));
    assert_eq!(config.loss_scale, Some(LossScale::dynamic()), "torch's GradScaler");
    // What is known of the whole run goes before epochs.
    let facts = Facts { steps: Some(2_000), ..per_epoch(1_251) };
    rates(&read(ARGUMENTS, &facts), 5e-5, 500, 2_000, |done| 1.0 - done);
    assert_eq!(
        refused(ARGUMENTS, &Facts::default()),
        "facts.steps_per_epoch is missing, but must be given, or steps, or max_steps in the file: lr_scheduler_type linear \
         follows from the steps of the run"
    );
}

#[cfg(feature = "yaml")]
#[test]
fn a_programs_own_fields_are_left() {
    let reading = read(file!("published/transformers_sft.yaml"), &per_epoch(417));
    // ceil(3 * 417) = 1251, of which ceil(125.1) = 126 rise.
    rates(&reading, 2e-4, 126, 1_251, |done| cosine(done) * 0.9 + 0.1);
    let config = &reading.config;
    assert_eq!((config.loss_scale, config.non_finite), (None, None));
    assert_eq!(config.clip, Some(Clip::torch_norm(1.0)), "the Trainer's default");
    assert_eq!(config.groups[0].get("weight_decay").unwrap().at(0), Ok(0.01));
    let left = |start: &str| reading.left.iter().any(|left| left.starts_with(start));
    assert!(left("lora_r: not of an optimizer"), "{:?}", reading.left);
    assert!(left("no decay of biases and norms"), "{:?}", reading.left);
    assert!(left("logging_steps: of what is measured"), "{:?}", reading.left);
}

#[test]
fn a_command_line_is_read_too() {
    let reading = read(file!("published/transformers_run_clm.txt"), &Facts::default());
    let at = |step| reading.config.groups[0].lr().at(step).unwrap();
    let close = |ours: f64, theirs: f64| (ours - theirs).abs() <= 1e-15;
    // A warm-up from a tenth over 100 steps, 700 steps at the rate, and 1 - sqrt to a tenth over 200.
    assert!(close(at(0), 6e-5) && close(at(50), 6e-4 * 0.55) && close(at(100), 6e-4) && close(at(799), 6e-4));
    assert!(close(at(850), 6e-4 * (0.9 * 0.5 + 0.1)), "{}", at(850));
    assert!(close(at(1_000), 6e-5));
}

#[cfg(feature = "yaml")]
#[test]
fn arguments_of_an_optimizer_stand_in_one_text() {
    let reading = read(file!("published/transformers_sgd_plateau.yaml"), &Facts::default());
    let group = &reading.config.groups[0];
    assert_eq!(group.rule, Some(RuleConfig::named("sgd").unwrap().with("momentum", "nesterov")));
    let numbers = ["lr", "momentum", "weight_decay"].map(|name| group.get(name).unwrap().at(0).unwrap());
    assert_eq!(numbers, [0.1, 0.9, 5e-4]);
    assert!(matches!(group.metric, Some(Metric::Plateau(_))), "{:?}", group.metric);
    assert_eq!(reading.config.clip, None, "a max_grad_norm of 0");
}

#[test]
fn a_warm_up_is_a_count_or_a_part_of_the_run() {
    let cases = [
        (json!({"warmup_steps": 0.03}), 30),
        (json!({"warmup_steps": 12.7}), 12),
        (json!({"warmup_ratio": 0.0301}), 31),
        (json!({"warmup_ratio": 0.5, "warmup_steps": 7}), 7),
        (json!({}), 0),
    ];
    for (mut fields, warmup) in cases {
        fields["lr_scheduler_type"] = json!("SchedulerType.COSINE");
        rates(&read(&with(fields), &Facts::default()), 5e-5, warmup, 1_000, cosine);
    }
    // What needs no length of the run asks for none.
    let fields = json!({"lr_scheduler_type": "constant_with_warmup", "warmup_steps": 10, "max_steps": -1});
    rates(&read(&with(fields), &Facts::default()), 5e-5, 10, 1_000, |_| 1.0);
}

#[test]
fn an_optimizer_has_its_librarys_rule_and_the_trainers_numbers() {
    let group = |fields: Value| read(&with(fields), &Facts::default()).config.groups.remove(0);
    let stable = group(json!({"optim": "stable_adamw", "weight_decay": 0.01, "optim_args": "max_lr=1e-3"}));
    assert_eq!(stable.rule, RuleConfig::named("stableadamw"));
    assert_eq!(stable.get("eps").unwrap().at(0), Ok(1e-8));
    let free = json!({"optim": "schedule_free_adamw", "lr_scheduler_type": "constant", "warmup_steps": 10, "optim_args": "r=0.5"});
    let free = group(free);
    assert_eq!(free.rule, Some(RuleConfig::of::<ScheduleFreeAdamW>()));
    let lion = group(json!({"optim": "paged_lion_32bit", "adam_beta2": 0.99}));
    assert_eq!((&lion.rule, &lion.precision), (&Some(RuleConfig::of::<Lion>()), &None));
    assert_eq!(lion.get("beta2").unwrap().at(0), Ok(0.99));
    let eight = group(json!({"optim": "adamw_bnb_8bit", "weight_decay": 0.1}));
    assert_eq!((&eight.rule, eight.get("weight_decay").unwrap().at(0)), (&RuleConfig::named("adamw"), Ok(0.1)));
    assert_eq!(eight.precision, Some(Precision::new().states(StateForm::EightBit)));
    let rmsprop = group(json!({"optim": "rmsprop", "optim_args": "alpha=0.9,centered=True"}));
    assert_eq!(rmsprop.rule, Some(RuleConfig::named("rmsprop").unwrap().with("centered", true)));
    assert_eq!(rmsprop.get("alpha").unwrap().at(0), Ok(0.9));
}

#[test]
fn a_configuration_of_deepspeed_inside_goes_first() {
    let config = read(INSIDE, &Facts::default()).config;
    let group = &config.groups[0];
    // WarmupDecayLR over ceil(0.1 * 1000) steps, whose counter is one behind: see the tests of DeepSpeed.
    let at = |step: u64| group.lr().at(step).unwrap();
    assert!((at(51) - 2e-5 * 51f64.ln() / 100f64.ln()).abs() < 1e-17, "{}", at(51));
    assert!((at(551) - 1e-5).abs() < 1e-17, "{}", at(551));
    assert_eq!(group.get("beta2").unwrap().at(0), Ok(0.95));
    assert_eq!(group.get("weight_decay").unwrap().at(0), Ok(0.1));
    assert_eq!((config.loss_scale, config.non_finite), (None, Some(NonFinite::Skip)));
    assert_eq!((config.clip, config.accumulate), (Some(Clip::torch_norm(1.0)), Some(Accumulate::mean(8))));
    let changed = |path: &str, value: Value| {
        let mut file: Value = serde_json::from_str(INSIDE).unwrap();
        let (parent, name) = path.rsplit_once('/').unwrap();
        file.pointer_mut(parent).unwrap()[name] = value;
        file.to_string()
    };
    // Without a scheduler there, the Trainer's acts.
    let config = read(&changed("/deepspeed/scheduler", Value::Null), &Facts::default()).config;
    assert!((config.groups[0].lr().at(550).unwrap() - 1e-5).abs() < 1e-17);
    let cases = [
        (
            "/deepspeed/optimizer/params/lr",
            json!(1e-4),
            "deepspeed.optimizer.params.lr is 0.0001, but must be 0.00002 as the trainer's learning_rate, or \"auto\"",
        ),
        (
            "/deepspeed/scheduler/params/total_num_steps",
            json!(900),
            "deepspeed.scheduler.params.total_num_steps is 900, but must be the steps of the run, 1000, or \"auto\"",
        ),
        (
            "/deepspeed/gradient_accumulation_steps",
            json!(4),
            "deepspeed.gradient_accumulation_steps is 4, but must be 8 as the trainer's gradient_accumulation_steps, or \"auto\"",
        ),
        (
            "/deepspeed/scheduler/params/warmup_type",
            json!("lineer"),
            "deepspeed.scheduler.params.warmup_type is lineer, but must be log or linear; the nearest is linear",
        ),
        (
            "/deepspeed/optimizer/params/betas",
            json!([0.9, 1.5]),
            "deepspeed.optimizer.params.betas is [0.9,1.5], but must be [0.9,0.95] as the trainer's adam_beta1 and adam_beta2, \
             or \"auto\"",
        ),
    ];
    for (path, value, expected) in cases {
        assert_eq!(refused(&changed(path, value), &Facts::default()), expected);
    }
    let path = read(&with(json!({"deepspeed": "ds_config.json"})), &Facts::default());
    assert!(
        path.left.iter().any(|left| left.starts_with("deepspeed: ds_config.json is another file")),
        "{:?}",
        path.left
    );
}

#[test]
fn slips_are_named_with_what_is_near() {
    let cases = [
        (
            json!({"lr_scheduler_typ": "cosine"}),
            "lr_scheduler_typ is \"cosine\", but is not a field that is known; lr_scheduler_type is",
        ),
        (
            json!({"lr_scheduler_type": "cosin"}),
            "lr_scheduler_type is cosin, but is not the name of a scheduler; the nearest is cosine",
        ),
        (
            json!({"lr_scheduler_type": "cosine", "lr_scheduler_kwargs": {"num_cycle": 2}}),
            "lr_scheduler_kwargs.num_cycle is 2, but is not an argument of this call; the nearest is num_cycles",
        ),
        (
            json!({"lr_scheduler_type": "cosine_with_min_lr"}),
            "lr_scheduler_kwargs.min_lr is missing, but must be given, or else min_lr_rate",
        ),
        (
            json!({"optim": "adamw_torh"}),
            "optim is adamw_torh, but is not the name of an optimizer; the nearest is adamw_torch",
        ),
        (json!({"optim": "adafactor"}), "optim is adafactor, but is not there yet: it has no rule here"),
        (json!({"adafactor": true}), "adafactor is true, but is not there yet: it has no rule here"),
        (
            json!({"optim": "galore_adamw"}),
            "optim is galore_adamw, but is not there yet: it projects the gradients of modules that are not in the file",
        ),
        (
            json!({"optim": "sgd", "optim_args": "momentun=0.9"}),
            "optim_args.momentun is 0.9, but is not read for sgd; there are weight_decay, momentum, dampening, nesterov",
        ),
        (json!({"optim": "sgd", "optim_args": "momentum"}), "optim_args is momentum, but must be name=value"),
        (
            json!({"lr_scheduler": "cosine"}),
            "lr_scheduler is \"cosine\", but is not one of TrainingArguments; lr_scheduler_type is",
        ),
        (json!({"max_steps": 0}), "max_steps is 0, but must be at least 1, or -1 for num_train_epochs"),
        (json!({"warmup_steps": -1}), "warmup_steps is -1, but must not be negative"),
        (json!({"warmup_ratio": 2}), "warmup_ratio is 2, but must be from 0 to 1"),
        (json!({"fp16": true, "bf16": true}), "fp16 is true, but must be false where bf16 is true"),
        (
            json!({"fp16": true, "half_precision_backend": "apex"}),
            "half_precision_backend is apex, but the loss scale of apex.amp is not there yet",
        ),
        (json!({"adam_beta2": 1.5}), "adam_beta2 is 1.5, but "),
        (json!({"gradient_accumulation_steps": 0}), "gradient_accumulation_steps is 0, but must be at least 1"),
    ];
    for (fields, expected) in cases {
        let error = refused(&with(fields), &Facts::default());
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn schedulers_are_known_by_name_constant_and_function() {
    let data = |api: &str, params: Value| {
        let optimizer = json!({"class": "AdamW", "args": {"lr": 2e-5}, "groups": [{}]});
        json!({"library": "transformers", "api": api, "params": params, "optimizer": optimizer}).to_string()
    };
    let none = Facts::default();
    rates(&read(file!("p10_hf_targs.json"), &none), 2e-5, 30, 1_000, cosine);
    rates(&read(file!("p15_hf_direct.json"), &none), 2e-5, 30, 1_000, cosine);
    let thrice = |done: f64| if done >= 1.0 { 0.0 } else { cosine((3.0 * done) % 1.0) };
    rates(&read(file!("q04_hf_cos_ssk.json"), &none), 1e-3, 30, 1_000, thrice);
    let lengths = json!({"num_warmup_steps": 30, "num_training_steps": 1_000});
    for api in ["SchedulerType.COSINE", "COSINE", "cosine", "transformers.optimization.get_cosine_schedule_with_warmup"]
    {
        rates(&read(&data(api, lengths.clone()), &none), 2e-5, 30, 1_000, cosine);
    }
    rates(&read(&data("transformers.get_scheduler('cosine')", lengths.clone()), &none), 2e-5, 30, 1_000, cosine);
    let mut named = lengths.clone();
    named["name"] = json!("SchedulerType.LINEAR");
    rates(&read(&data("get_scheduler", named), &none), 2e-5, 30, 1_000, |done| 1.0 - done);
    let mut nested = lengths.clone();
    nested["scheduler_specific_kwargs"] = json!({"num_cycle": 2});
    let cases = [
        (
            refused(&data("get_cosine_schedule_with_warmups", lengths.clone()), &none),
            "api is get_cosine_schedule_with_warmups, but is not a scheduler that has a translation; the nearest is \
             get_cosine_schedule_with_warmup",
        ),
        (
            refused(&data("COSINE", nested), &none),
            "params.scheduler_specific_kwargs.num_cycle is 2, but is not an argument of this call; the nearest is num_cycles",
        ),
        (refused(&data("get_scheduler", lengths), &none), "params.name is missing, but must be given"),
        (
            refused(&data("TrainingArguments", json!({"learning_rate": 1e-5, "max_steps": 10})), &none),
            "optimizer.args.lr is 0.00002, but must be params.learning_rate, 0.00001: the Trainer makes its optimizer with it",
        ),
        (
            refused(
                &data("TrainingArguments", json!({"learning_rate": 2e-5, "max_steps": 10, "warmup_step": 3})),
                &none,
            ),
            "params.warmup_step is 3, but is not a field that is known; warmup_steps is",
        ),
        (
            refused(&data("TrainingArguments", json!({"learning_rate": 2e-5})), &none),
            "horizon is missing, but must be given, or params.max_steps: the scheduler goes by the steps of the run",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}
