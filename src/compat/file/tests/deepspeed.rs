//! Files of DeepSpeed. Rates are held against its own formulas (`deepspeed/runtime/lr_schedules.py` of 0.19.8), whose counter `i`
//! is one behind the step, and which leave the lowest rate at steps 0 and 1 of a warm-up.

use serde_json::{Value, json};

use super::super::{Facts, Reading, read as read_file};
use crate::config::{GroupConfig, RuleConfig};
use crate::gradient::{Accumulate, Clip, LossScale, NonFinite};

macro_rules! file {
    ($name:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations/", $name))
    };
}

const WHOLE: &str = file!("p01_ds_whole.json");
const SECTIONS: &str = file!("p03_ds_sched_section.json");
const AUTO: &str = file!("published/deepspeed_zero3_auto.json");
const ONE_CYCLE: &str = file!("published/deepspeed_one_cycle.json");
const SCALED: &str = file!("published/deepspeed_fp16_scale.json");

#[track_caller]
fn read(text: &str, facts: &Facts) -> Reading {
    let reading = read_file(text, facts).unwrap_or_else(|error| panic!("{error}"));
    reading.config.check().unwrap();
    reading
}

fn refused(text: &str, facts: &Facts) -> String {
    read_file(text, facts).map(|reading| reading.config).unwrap_err().to_string()
}

/// What a file says without one of its fields, or with another value there.
fn with(text: &str, path: &str, value: Value) -> String {
    let mut file: Value = serde_json::from_str(text).unwrap();
    let (parent, name) = path.rsplit_once('/').unwrap();
    file.pointer_mut(parent).unwrap()[name] = value;
    file.to_string()
}

#[track_caller]
fn rates(reading: &Reading, peer: impl Fn(u64) -> f64) {
    for step in [0, 1, 2, 3, 50, 99, 100, 101, 102, 400, 401, 500, 999, 1_000, 1_200] {
        let (ours, theirs) = (reading.config.groups[0].lr().at(step).unwrap(), peer(step));
        assert!((ours - theirs).abs() <= 1e-12 * theirs.abs().max(1e-9), "step {step}: {ours}, not {theirs}");
    }
}

/// `WarmupDecayLR` with the logarithmic warm-up.
fn warmup_decay(step: u64, peak: f64, warmup: f64, total: f64) -> f64 {
    let i = step.saturating_sub(1) as f64;
    peak * if i < warmup { (i + 1.0).ln() / warmup.ln() } else { ((total - i) / (total - warmup)).max(0.0) }
}

fn trainer() -> Facts {
    Facts { steps: Some(1_000), ..Facts::default() }
        .value("learning_rate", 2e-5)
        .value("adam_beta1", 0.9)
        .value("adam_beta2", 0.95)
        .value("adam_epsilon", 1e-6)
        .value("weight_decay", 0.1)
        .value("warmup_ratio", 0.1)
        .value("max_grad_norm", 0.5)
        .value("gradient_accumulation_steps", 8)
        .value("fp16", true)
}

#[test]
fn a_whole_file_takes_its_peak_from_the_optimizer_and_its_lengths_from_the_facts() {
    let facts = Facts { steps: Some(1_000), ..Facts::default() }.value("warmup_num_steps", 100);
    let reading = read(WHOLE, &facts);
    assert_eq!(reading.format, "DeepSpeed's configuration");
    rates(&reading, |step| warmup_decay(step, 4e-5, 100.0, 1_000.0));
    let group = &reading.config.groups[0];
    assert_eq!(group.rule, RuleConfig::named("adamw"));
    let numbers = ["beta1", "beta2", "eps", "weight_decay"].map(|name| group.get(name).unwrap().at(7).unwrap());
    assert_eq!(numbers, [0.9, 0.95, 1e-8, 0.1]);
    assert_eq!(reading.config.clip, Some(Clip::torch_norm(1.0)));
    assert_eq!((reading.config.loss_scale, reading.config.non_finite), (None, Some(NonFinite::Skip)));
    assert!(reading.took.iter().any(|took| took == "scheduler.params.warmup_max_lr = 0.00004"), "{:?}", reading.took);
}

#[test]
fn a_fact_that_is_missing_is_named() {
    let none = Facts::default();
    let cases = [
        (refused(WHOLE, &none), "facts.steps is missing, but must be given for scheduler.params.total_num_steps"),
        (
            refused(WHOLE, &Facts { steps: Some(1_000), ..Facts::default() }),
            "scheduler.params.warmup_num_steps is auto, but is for whoever starts the run to fill in: give it as \
             Facts::value(\"warmup_num_steps\", …), or as the trainer's warmup_steps",
        ),
        (
            refused(AUTO, &none),
            "optimizer.params.lr is auto, but is for whoever starts the run to fill in: give it as Facts::value(\"lr\", …), or \
             as the trainer's learning_rate",
        ),
        (
            refused(&with(AUTO, "/optimizer/params/lr", json!(1e-4)), &none),
            "optimizer.params.betas is auto, but is for whoever starts the run to fill in: give it as Facts::value(\"betas\", …), \
             or as the trainer's adam_beta1 and adam_beta2",
        ),
    ];
    for (error, expected) in cases {
        assert_eq!(error, expected);
    }
}

#[test]
fn what_is_auto_is_the_trainers() {
    let reading = read(AUTO, &trainer());
    rates(&reading, |step| warmup_decay(step, 2e-5, 100.0, 1_000.0));
    let config = reading.config;
    let group = &config.groups[0];
    let numbers = ["beta1", "beta2", "eps", "weight_decay"].map(|name| group.get(name).unwrap().at(0).unwrap());
    assert_eq!(numbers, [0.9, 0.95, 1e-6, 0.1]);
    assert_eq!(config.clip, Some(Clip::torch_norm(0.5)));
    assert_eq!(config.accumulate, Some(Accumulate::mean(8)));
    let scale = LossScale::dynamic().interval(1_000).limits(1.0, 2f64.powi(127)).hysteresis(2).stop_at_min();
    assert_eq!((config.loss_scale, config.non_finite), (Some(scale), Some(NonFinite::Skip)));
    // A warm-up of no steps is one of a single step, which is one of two.
    let reading = read(AUTO, &trainer().value("warmup_ratio", 0.0).value("warmup_steps", 0));
    rates(&reading, |step| warmup_decay(step, 2e-5, 2.0, 1_000.0));
    // ceil(0.033 * 1000).
    let reading = read(AUTO, &trainer().value("warmup_ratio", 0.0325));
    rates(&reading, |step| warmup_decay(step, 2e-5, 33.0, 1_000.0));
}

#[test]
fn adam_is_adamw_unless_it_is_said_otherwise() {
    let rule = |text: &str| read(text, &Facts::default()).config.groups[0].rule.clone();
    let scaled = with(SCALED, "/gradient_accumulation_steps", json!(1));
    assert_eq!(rule(&scaled), RuleConfig::named("adam"));
    let decoupled = with(&scaled, "/optimizer/params/adam_w_mode", json!(null));
    assert_eq!(rule(&decoupled), RuleConfig::named("adamw"));
    let upper = with(&scaled, "/optimizer/type", json!("ADAMW"));
    assert_eq!(rule(&upper), RuleConfig::named("adamw"));
    // FusedAdam decays nothing where nothing is said, torch's AdamW by 0.01.
    let decay = |torch: bool| {
        let text = format!(r#"{{"optimizer": {{"type": "AdamW", "params": {{"lr": 1e-3, "torch_adam": {torch}}}}}}}"#);
        read(&text, &Facts::default()).config.groups[0].get("weight_decay").unwrap().at(0).unwrap()
    };
    assert_eq!([decay(false), decay(true)], [0.0, 0.01]);
}

#[test]
fn a_loss_scale_keeps_its_window_and_its_hysteresis() {
    let text = with(SCALED, "/gradient_accumulation_steps", json!(4));
    let config = read(&text, &Facts::default()).config;
    let scale = LossScale::dynamic().init(4_096.0).interval(500).limits(8.0, 2f64.powi(127));
    assert_eq!(config.loss_scale, Some(scale.hysteresis(4).consecutive_hysteresis().stop_at_min()));
    assert_eq!(config.accumulate, Some(Accumulate::mean(4)));
    assert_eq!(config.clip, Some(Clip::torch_norm(0.5)));
    // Without ZeRO there is no hysteresis, and the run goes on at the least scale.
    let config = read(&with(&text, "/zero_optimization", json!({"stage": 0})), &Facts::default()).config;
    assert_eq!(config.loss_scale, Some(scale));
    let fixed = read(file!("published/deepspeed_sgd_static.json"), &Facts::default());
    assert_eq!(fixed.config.loss_scale, Some(LossScale::fixed(128.0)));
    let refused = refused(&with(&text, "/fp16/loss_scale_window", json!(0)), &Facts::default());
    assert_eq!(refused, "fp16.loss_scale_window is 0, but must be at least 1, and below 2^32");
}

#[test]
fn accumulation_is_what_makes_up_the_batch() {
    let facts = |processes: u64| Facts::default().value("world_size", processes);
    assert_eq!(read(SCALED, &facts(4)).config.accumulate, Some(Accumulate::mean(8)));
    assert_eq!(read(SCALED, &facts(32)).config.accumulate, None);
    assert_eq!(
        refused(SCALED, &facts(64)),
        "train_batch_size is 512, but must be a multiple of 64 processes of 16 each"
    );
    assert!(refused(SCALED, &Facts::default()).starts_with("gradient_accumulation_steps is missing"));
}

#[test]
fn one_cycle_moves_beta1_and_puts_0_99_in_place_of_beta2() {
    let reading = read(ONE_CYCLE, &Facts::default());
    let group = &reading.config.groups[0];
    // Up from 1e-4 over four steps and down again, one step late.
    let rates = group.lr().trace(0..10).unwrap();
    let expected = [1e-4, 3.25e-4, 5.5e-4, 7.75e-4, 1e-3, 7.75e-4, 5.5e-4, 3.25e-4, 1e-4, 1e-4];
    assert!(rates.iter().zip(expected).all(|(ours, theirs)| (ours - theirs).abs() < 1e-15), "{rates:?}");
    let beta1 = group.get("beta1").unwrap();
    assert_eq!([beta1.at(0), beta1.at(4)], [Ok(0.85), Ok(0.85)]);
    assert_eq!(group.get("beta2").unwrap().at(0), Ok(0.99));
    assert_eq!(reading.config.clip, None, "a gradient_clipping of 0");
    assert_eq!(reading.config.accumulate, Some(Accumulate::mean(4)));
}

#[cfg(feature = "yaml")]
#[test]
fn a_scheduler_alone_goes_by_a_rate_that_must_be_told() {
    const ALONE: &str = file!("published/deepspeed_scheduler_only.yaml");
    let reading = read(ALONE, &Facts::default().value("lr", 1e-3));
    // WarmupCosineLR: 0 at step 0, i / warm-up, then half a cosine whose step is one ahead of the counter.
    rates(&reading, |step| {
        let i = step.saturating_sub(1) as f64;
        let ratio = if i < 100.0 {
            i / 100.0
        } else {
            let progress = ((i - 100.0 + 1.0) / 900.0).min(1.0);
            (0.1 + 0.9 * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0).max(0.0)
        };
        if step == 0 { 0.0 } else { 1e-3 * ratio }
    });
    assert_eq!(reading.config.groups[0].rule, None);
    assert_eq!(
        refused(ALONE, &Facts::default()),
        "optimizer is missing, but is made in code, and the scheduler goes by its rate: give it as Facts::value(\"lr\", …)"
    );
    let misspelt = ALONE.replace("cos_min_ratio", "cos_min_ration");
    let error = refused(&misspelt, &Facts::default().value("lr", 1e-3));
    assert!(
        error.starts_with(
            "scheduler.params.cos_min_ration is 0.1, but is not an argument of this call; the nearest is cos_min_ratio"
        ),
        "{error}"
    );
}

#[test]
fn a_type_that_is_none_of_deepspeeds_is_torchs() {
    let reading = read(file!("published/deepspeed_sgd_static.json"), &Facts::default());
    let group = &reading.config.groups[0];
    let sgd = json!({"rule": {"sgd": {"momentum": "nesterov"}}, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4});
    let sgd: GroupConfig = serde_json::from_value(sgd).unwrap();
    assert_eq!(group.rule, sgd.rule);
    assert_eq!([group.get("momentum"), group.get("weight_decay")], [sgd.get("momentum"), sgd.get("weight_decay")]);
    let rates = group.lr().trace([99, 100, 150]).unwrap();
    assert!(rates.iter().zip([0.1, 0.01, 0.001]).all(|(ours, theirs)| (ours - theirs).abs() < 1e-15), "{rates:?}");
    assert!(
        reading.left.iter().any(|left| left == "tensorboard: of what is measured and printed"),
        "{:?}",
        reading.left
    );
}

#[test]
fn sections_of_a_file_stand_for_a_scheduler_and_its_optimizer() {
    let reading = read(SECTIONS, &Facts::default());
    // WarmupDecayLR goes to 1e-3 where no warmup_max_lr is said, whatever the optimizer's rate.
    rates(&reading, |step| warmup_decay(step, 1e-3, 100.0, 1_000.0));
    let other = with(SECTIONS, "/params/type", json!("WarmupLR"));
    assert_eq!(refused(&other, &Facts::default()), "params.type is WarmupLR, but must be WarmupDecayLR, as api has it");
}

#[test]
fn slips_are_named_with_what_is_near() {
    let none = Facts::default();
    let filled = Facts { steps: Some(1_000), ..Facts::default() }.value("warmup_num_steps", 100);
    let cases = [
        (
            refused(file!("p08_ds_typo_type.json"), &none),
            "params.warmup_type is lineer, but must be log or linear; the nearest is linear",
        ),
        (
            refused(&with(WHOLE, "/gradient_cliping", json!(1.0)), &filled),
            "gradient_cliping is 1.0, but is not a field that is known; gradient_clipping is",
        ),
        (
            refused(&with(WHOLE, "/optimizer/type", json!("AdmW")), &filled),
            "optimizer.type is AdmW, but is not an optimizer that DeepSpeed makes from a file; the nearest is AdamW",
        ),
        (
            refused(&with(WHOLE, "/scheduler/type", json!("WarmupDecay")), &filled),
            "scheduler.type is WarmupDecay, but is not a scheduler that DeepSpeed makes from a file; the nearest is WarmupDecayLR",
        ),
        (
            refused(&with(WHOLE, "/optimizer/params/wieght_decay", json!(0.1)), &filled),
            "optimizer.params.wieght_decay is 0.1, but is not an argument of this call; the nearest is weight_decay",
        ),
        (
            refused(&with(WHOLE, "/optimizer/params/max_grad_norm", json!(1.0)), &filled),
            "optimizer.params.max_grad_norm is 1.0, but is not an argument that DeepSpeed takes here: gradient_clipping, beside \
             optimizer, is",
        ),
        (
            refused(&with(WHOLE, "/optimizer/type", json!("Muon")), &filled),
            "optimizer.type is Muon, but is not there yet: code marks the matrices that it is for",
        ),
        (
            refused(&with(WHOLE, "/optimizer/params/betas", json!([1.5, 0.9])), &filled),
            "optimizer.params.betas[0] is 1.5",
        ),
        (
            refused(&with(WHOLE, "/scheduler/params/warmup_num_steps", json!(-3)), &filled),
            "scheduler.params.warmup_num_steps is -3, but must be a count of steps, from 0 to 2^63 - 1",
        ),
        (
            refused(&with(WHOLE, "/fp16", json!({"enabled": true})), &filled),
            "fp16.enabled is true, but must be false where bf16 is enabled",
        ),
        (
            refused(&with(WHOLE, "/amp", json!({"enabled": true})), &filled),
            "amp.enabled is true, but the loss scale of apex.amp is not there yet",
        ),
    ];
    for (error, expected) in cases {
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn what_is_not_of_deepspeed_is_left_to_others() {
    let error = refused(r#"{"optimizer": {"type": "adam", "lr": 1}, "a": 1}"#, &Facts::default());
    assert!(error.contains("is like no file that is known"), "{error}");
    // Those of GPT-NeoX have a section of DeepSpeed's and Megatron's schedules, and are read as neither.
    let error = refused(r#"{"train_iters": 1, "fp16": {"enabled": true}}"#, &Facts::default());
    assert_eq!(error, "fp16 is {\"enabled\":true}, but must be true or false");
    let said = Facts { library: Some("deepspeed".into()), ..Facts::default() };
    assert_eq!(
        refused(r#"{"gradient_clipping": 1.0}"#, &said),
        "optimizer is missing, but must be given, or else scheduler: what is made in code is not in the file"
    );
}
