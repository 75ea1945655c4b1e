//! Factors are what Composer 0.32.1 and llm-foundry 0.22.0 give, run with these arguments; the weight decay is by the formula of
//! `DecoupledAdamW`, `1 - lr / initial_lr · weight_decay`.

use super::super::{Facts, Reading, read};
use crate::compat::Configuration;
use crate::config::GroupConfig;
use crate::gradient::{Clip, LossScale, Norm};

/// What the rate of a group is made of: the rate of the optimizer times the factors.
fn expect(group: &GroupConfig, increment: u64, lr: f64, factors: &[(u64, f64)]) {
    for (step, factor) in factors {
        let rate = group.lr().at(step * increment).unwrap();
        let expected = lr * factor;
        assert!((rate - expected).abs() <= 1e-14 * lr, "step {step}: {rate}, not {expected}");
    }
}

fn said(reading: &Reading, what: &str) -> bool {
    reading.took.iter().chain(&reading.left).any(|line| line == what)
}

const COSINE: [(u64, f64); 7] =
    [(0, 0.0), (1, 0.01), (50, 0.5), (100, 1.0), (2_450, 0.55), (4_799, 0.100_000_100_527_881_72), (4_800, 0.1)];

#[test]
fn a_scheduler_goes_by_its_name_in_the_registry() {
    let text = include_str!("../../../../tests/configurations/p40_comp_mpt.json");
    let reading = read(text, &Facts::default()).unwrap();
    expect(&reading.config.groups[0], 1, 6e-4, &COSINE);
    let value: serde_json::Value = serde_json::from_str(text).unwrap();
    let configuration = Configuration {
        library: "composer".into(),
        api: "cosine_with_warmup".into(),
        params: value["params"].clone(),
        optimizer: value["optimizer"].clone(),
        horizon: None,
        resumed_at: None,
    };
    assert_eq!(configuration.recipes().unwrap()[0].lr, *reading.config.groups[0].lr());
}

#[test]
fn tokens_of_a_scheduler_as_data_need_a_fact() {
    let text = r#"{"library": "composer", "api": "LinearScheduler", "params": {"max_duration": "1000tok"},
                   "optimizer": {"class": "SGD", "args": {"lr": 1.0}, "groups": [{}]}}"#;
    let error = read(text, &Facts::default()).unwrap_err().to_string();
    assert_eq!(error, "facts.tokens_per_step is missing, but must be given for a schedule that counts tokens");
    let facts = Facts { tokens_per_step: Some(100), ..Facts::default() };
    let config = read(text, &facts).unwrap().config;
    assert_eq!(config.progress_increment, 100);
    expect(&config.groups[0], 100, 1.0, &[(0, 1.0), (5, 0.5), (10, 0.0)]);
}

#[cfg(feature = "yaml")]
mod yaml {
    use super::*;

    #[test]
    fn a_whole_file_is_read() {
        let text = include_str!("../../../../tests/configurations/published/composer_mpt_125m.yaml");
        let reading = read(text, &Facts::default()).unwrap();
        let (config, group) = (&reading.config, &reading.config.groups[0]);
        assert_eq!(reading.format, "a configuration of llm-foundry or Composer");
        expect(group, 1, 6e-4, &COSINE);
        let rule = group.rule.as_ref().unwrap();
        assert_eq!(rule.name(), "adamw");
        // 6e-5 / 6e-4, so that the decay of the first full rate is 6e-5.
        assert_eq!(group.get("weight_decay").unwrap().at(0).unwrap(), 6e-5 / 6e-4);
        assert_eq!(group.get("beta2").unwrap().at(0).unwrap(), 0.95);
        assert_eq!(config.clip, Some(Clip::torch_norm(1.0)));
        assert_eq!((config.loss_scale, config.progress_increment), (None, 1));
        assert!(said(&reading, "optimizer.lr = 0.0006"), "{:?}", reading.took);
        assert!(said(&reading, "model: of the model"), "{:?}", reading.left);
    }

    #[test]
    fn samples_are_counted_by_the_progress_clock() {
        let text = include_str!("../../../../tests/configurations/published/composer_bert_samples.yaml");
        let config = read(text, &Facts::default()).unwrap().config;
        assert_eq!((config.progress_increment, config.clip), (4_096, None));
        let factors = [
            (0, 0.0),
            (1, 0.000_238_095_238_095_238_1),
            (4_200, 1.0),
            (4_201, 0.999_985_106_382_978_8),
            (37_100, 0.51),
            (69_999, 0.020_014_893_617_021_356),
        ];
        expect(&config.groups[0], 4_096, 5e-4, &factors);
        let facts = Facts { samples_per_step: Some(8_192), ..Facts::default() };
        assert_eq!(read(text, &facts).unwrap().config.progress_increment, 8_192);
    }

    #[test]
    fn tokens_are_samples_of_full_length_where_none_is_padded() {
        let text = include_str!("../../../../tests/configurations/published/composer_lion_tokens.yaml");
        let config = read(text, &Facts::default()).unwrap().config;
        assert_eq!(config.progress_increment, 1_024 * 4_096);
        let factors = [
            (0, 0.0),
            (100, 0.209_715_2),
            (476, 0.998_244_352),
            (477, 0.999_999_999_550_374_1),
            (5_000, 0.695_441_797_587_482_8),
            (11_920, 0.100_000_014_632_179_57),
        ];
        let [first, norm, bias] = &config.groups[..] else { panic!("{}", config.groups.len()) };
        expect(first, config.progress_increment, 1e-4, &factors);
        expect(norm, config.progress_increment, 2e-5, &factors);
        expect(bias, config.progress_increment, 1e-4, &factors);
        let names = [first, norm, bias].map(|group| group.name.as_deref());
        assert_eq!(names, [Some("all others"), Some("norm"), Some("bias")]);
        let decays = [first, norm, bias].map(|group| group.get("weight_decay").unwrap().at(0).unwrap());
        assert_eq!(decays, [1e-5 / 1e-4, 0.0, 0.0]);
        // With FSDP, "value" is the largest magnitude of all.
        assert_eq!(config.clip, Some(Clip::torch_norm(0.5).by(Norm::Max)));
        let padded = text.replace("name: text", "name: finetuning");
        let error = read(&padded, &Facts::default()).unwrap_err().to_string();
        assert_eq!(error, "facts.tokens_per_step is missing, but must be given for a schedule that counts tokens");
    }

    #[test]
    fn epochs_need_their_length() {
        let text = include_str!("../../../../tests/configurations/published/composer_dolly_epochs.yaml");
        let error = read(text, &Facts::default()).unwrap_err().to_string();
        let expected =
            "facts.steps_per_epoch is missing, but must be given, the batches of an epoch, since max_duration is 2ep";
        assert_eq!(error, expected);
        let facts = Facts { steps_per_epoch: Some(1_234), ..Facts::default() };
        let config = read(text, &facts).unwrap().config;
        let factors = [(0, 0.0), (25, 0.5), (50, 1.0), (1_259, 0.5), (2_467, 0.000_413_564_929_693_910_34)];
        expect(&config.groups[0], 1, 5e-6, &factors);
        assert_eq!(config.clip, Some(Clip::value(1.0)));
        assert_eq!(config.loss_scale, Some(LossScale::dynamic()));
        // A part of the data that is shorter is the epoch.
        let subset = format!("{text}train_subset_num_batches: 617\n");
        assert_eq!(read(&subset, &facts).unwrap().config.groups[0].lr().at(1_234).unwrap(), 0.0);
    }

    #[test]
    fn errors_name_the_field_of_the_file() {
        let text = include_str!("../../../../tests/configurations/published/composer_mpt_125m.yaml");
        let cases = [
            ("t_warmup: 100ba", "t_warmup: 100", "scheduler.t_warmup is 100, but must be a text"),
            (
                "alpha_f: 0.1",
                "t_max: 4000ba",
                "scheduler.t_max is 4000ba, but must not come before the end of the training, 4800ba",
            ),
            (
                "t_warmup: 100ba",
                "t_warmup: 3ep",
                "facts.steps_per_epoch is missing, but must be given, the batches of an epoch, since t_warmup is 3ep",
            ),
            (
                "t_warmup: 100ba",
                "t_warmup: 1e6tok",
                "scheduler.t_warmup is 1e6tok, but must count what t_max counts, 4800ba",
            ),
            ("max_duration: 4800ba", "max_duration: 1h", "max_duration is 1h, but must be in ba, ep, sp or tok"),
            (
                "clipping_type: norm",
                "clipping_type: adaptive",
                "algorithms.gradient_clipping.clipping_type is adaptive, but clipping by the norm of each row over that of its parameters is not there yet; there are norm and value",
            ),
            (
                "precision: amp_bf16",
                "precision: bf16",
                "precision is bf16, but must be fp32, amp_fp16, amp_bf16 or amp_fp8",
            ),
            (
                "optimizer:",
                "optimiser:",
                "optimiser is {\"betas\":[0.9,0.95],\"eps\":1e-8,\"lr\":0.0006,\"name\":\"decoupled_adamw\",\"weight_decay\":0.00006}, but is not a field that is known; optimizer is",
            ),
        ];
        for (from, to, expected) in cases {
            assert!(text.contains(from), "{from}");
            let error = read(&text.replace(from, to), &Facts::default()).unwrap_err().to_string();
            assert_eq!(error, expected);
        }
    }
}

#[test]
fn a_schedule_of_llm_foundry_alone() {
    let text = include_str!("../../../../tests/configurations/published/composer_continual.json");
    let config = read(text, &Facts::default()).unwrap().config;
    let factors = [
        (0, 0.0),
        (5, 0.5),
        (10, 1.0),
        (50, 0.736_396_103_067_892_7),
        (130, 0.55),
        (179, 0.493_730_775_333_826_5),
        (180, 0.492_792_202_424_786_3),
        (190, 0.271_396_101_212_393_1),
        (199, 0.072_139_610_121_239_32),
        (200, 0.05),
        (300, 0.05),
    ];
    expect(&config.groups[0], 1, 1e-3, &factors);
    let tokens = text.replace("\"10ba\"", "\"1000tok\"");
    let error = read(&tokens, &Facts::default()).unwrap_err().to_string();
    let expected = "scheduler.t_warmup is 1000tok, but must be in the unit of max_duration, which llm-foundry compares";
    assert_eq!(error, expected);
    let missing = text.replace("variables.scale}", "variables.scales}");
    let error = read(&missing, &Facts::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        "scheduler.t_scale is ${variables.scales}, but is not known: what it refers to is not in the file"
    );
}
