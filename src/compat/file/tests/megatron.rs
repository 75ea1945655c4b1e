//! Rates and decays are what `OptimizerParamScheduler` of megatron-core 0.16.1 gives, run with these arguments and the increments of the
//! batch.

use super::super::{Facts, Reading, read};
use super::flags;
use crate::compat::Configuration;
use crate::config::GroupConfig;
use crate::gradient::{Clip, LossScale, NonFinite};

/// `group` has the rates and, if it says any, the decays at these steps, each of which counts `increment`.
fn expect(group: &GroupConfig, increment: u64, expected: &[(u64, f64, f64)]) {
    let decay = group.get("weight_decay").unwrap();
    for (step, lr, weight_decay) in expected {
        let now = [group.lr(), decay].map(|schedule| schedule.at(step * increment).unwrap());
        let close = |value: f64, expected: f64| (value - expected).abs() <= 1e-12 * expected.abs().max(1e-4);
        assert!(close(now[0], *lr) && close(now[1], *weight_decay), "step {step}: {now:?}, not {lr}, {weight_decay}");
    }
}

fn error(text: &str) -> String {
    read(text, &Facts::default()).unwrap_err().to_string()
}

const GPT_345M: [(u64, f64, f64); 9] = [
    (0, 0.0, 0.01),
    (1, 4.687_499_999_999_999_5e-08, 0.01),
    (1_600, 7.5e-05, 0.01),
    (3_200, 0.000_15, 0.01),
    (3_201, 0.000_149_999_999_996_558_08, 0.01),
    (161_600, 7.999_999_999_999_999e-05, 0.01),
    (319_999, 1.000_000_000_344_189_4e-05, 0.01),
    (320_000, 1e-05, 0.01),
    (320_001, 1e-05, 0.01),
];

#[test]
fn flags_are_the_arguments_of_a_script() {
    let text = include_str!("../../../../tests/configurations/p30_meg_cli.json");
    let reading = read(text, &Facts::default()).unwrap();
    expect(&reading.config.groups[0], 1, &GPT_345M);
    let mut value: serde_json::Value = serde_json::from_str(text).unwrap();
    let configuration = |value: &serde_json::Value| Configuration {
        library: "megatron".into(),
        api: "pretrain_gpt".into(),
        params: value["params"].clone(),
        optimizer: serde_json::Value::Null,
        horizon: None,
        resumed_at: None,
    };
    let recipes = configuration(&value).recipes().unwrap();
    assert_eq!(recipes[0].lr, *reading.config.groups[0].lr());
    value["params"]["num-layers"] = 24.into();
    assert_eq!(configuration(&value).recipes().unwrap(), recipes, "a flag of the model is none of ours");
    value["params"]["lr-warmup-frac"] = 0.5.into();
    let error = configuration(&value).recipes().unwrap_err().to_string();
    assert_eq!(error, "params.lr-warmup-frac is 0.5, but is not a flag of Megatron; the nearest is lr_warmup_fraction");
    value["params"]["lr-warmup-frac"].take();
    value["params"].as_object_mut().unwrap().remove("lr-warmup-frac");
    value["params"]["lr-warmup-fraction"] = 1.5.into();
    let error = configuration(&value).recipes().unwrap_err().to_string();
    assert_eq!(error, "params.lr-warmup-fraction is 1.5, but must be below lr_decay_iters, 320000");
}

#[test]
fn a_script_with_arrays_is_read() {
    let text = include_str!("../../../../tests/configurations/published/megatron_gpt_wsd.sh");
    let Reading { config, format, took, left, .. } = read(text, &Facts::default()).unwrap();
    assert_eq!(format, "a command line of Megatron-LM");
    let rates = [
        (0, 1e-07),
        (250, 0.000_150_05),
        (500, 0.000_3),
        (501, 0.000_3),
        (4_000, 0.000_3),
        (4_001, 0.000_291_461_850_317_545_35),
        (4_500, 0.000_109_081_169_079_632_14),
        (4_999, 3.013_503_376_688_554_3e-05),
        (5_000, 3e-05),
        (5_001, 3e-05),
    ];
    let [matrices, vectors] = &config.groups[..] else { panic!("{}", config.groups.len()) };
    expect(matrices, 1, &rates.map(|(step, lr)| (step, lr, 0.1)));
    expect(vectors, 1, &rates.map(|(step, lr)| (step, lr, 0.0)));
    assert_eq!(vectors.name.as_deref(), Some("vectors and biases"));
    assert_eq!(matrices.rule.as_ref().unwrap().name(), "adamw");
    assert_eq!(matrices.get("beta2").unwrap().at(0).unwrap(), 0.95);
    assert_eq!(config.clip, Some(Clip::torch_norm(0.8)));
    assert_eq!((config.loss_scale, config.progress_increment), (None, 1));
    assert!(took.contains(&"lr = 0.0003".to_owned()), "{took:?}");
    assert!(left.contains(&"num_layers: of the model".to_owned()), "{left:?}");
}

#[test]
fn a_script_with_a_text_of_flags_is_read() {
    let text = include_str!("../../../../tests/configurations/published/megatron_gpt_fp16.sh");
    let config = read(text, &Facts::default()).unwrap().config;
    expect(&config.groups[0], 1, &GPT_345M);
    let scale = LossScale::dynamic().init(65_536.0).interval(1_000).hysteresis(3);
    let max = 2f64.powi(127);
    assert_eq!(config.loss_scale, Some(scale.limits(1.0, max)));
    let default = read(&text.replace("--initial-loss-scale 65536 --hysteresis 3", ""), &Facts::default()).unwrap();
    let scale = LossScale::dynamic().init(4_294_967_296.0).interval(1_000).hysteresis(2);
    assert_eq!(default.config.loss_scale, Some(scale.limits(1.0, max)));
}

#[test]
fn samples_are_counted_by_the_progress_clock() {
    let text = include_str!("../../../../tests/configurations/published/megatron_samples.txt");
    let config = read(text, &Facts::default()).unwrap().config;
    assert_eq!(config.progress_increment, 512);
    let matrices = [
        (0, 0.0, 0.033),
        (100, 3.2768e-05, 0.033_000_027_735_397_39),
        (366, 0.000_119_930_88, 0.033_000_371_531_653_784),
        (367, 0.000_119_999_999_995_634_26, 0.033_000_373_564_651_16),
        (10_000, 0.000_119_350_535_596_773_86, 0.033_276_971_510_658_21),
        (100_000, 6.412_014_555_051_704e-05, 0.057_113_379_526_507_82),
        (195_312, 1.200_000_000_175_296_9e-05, 0.093_601_942_620_713_56),
    ];
    let decoupled = [
        (0, 0.0, 0.033),
        (100, 8.192e-05, 0.033_000_027_735_397_39),
        (367, 0.000_299_999_999_988_681_4, 0.033_000_373_564_651_16),
        (100_000, 0.000_155_126_303_279_118_27, 0.057_113_379_526_507_82),
    ];
    expect(&config.groups[0], 512, &matrices);
    expect(&config.groups[1], 512, &matrices.map(|(step, lr, _)| (step, lr, 0.0)));
    expect(&config.groups[2], 512, &decoupled);
    let unsaid = text.replace("--global-batch-size 512", "");
    let missing = "facts.samples_per_step is missing, but must be given for a schedule that counts samples";
    assert_eq!(error(&unsaid), missing);
    let facts = Facts { samples_per_step: Some(512), ..Facts::default() };
    assert_eq!(read(&unsaid, &facts).unwrap().config, config);
}

#[test]
fn a_list_of_flags_is_read() {
    let text = include_str!("../../../../tests/configurations/published/megatron_list.json");
    let config = read(text, &Facts::default()).unwrap().config;
    let [group] = &config.groups[..] else { panic!("nothing decays") };
    expect(group, 1, &[(0, 3e-4, 0.0), (500, 1.65e-4, 0.0), (1_000, 3e-5, 0.0)]);
    assert_eq!(group.rule.as_ref().unwrap().name(), "sgd");
    assert_eq!(group.get("momentum").unwrap().at(0).unwrap(), 0.9);
    assert_eq!((config.clip, config.loss_scale), (None, Some(LossScale::fixed(128.0))));
    // A fixed scale that overflows skips the update all the same.
    assert_eq!(config.non_finite, Some(NonFinite::Skip));
}

#[test]
fn a_warm_up_may_end_between_two_steps() {
    let rates = |style: &str| {
        let text = format!(
            "--lr 1 --min-lr 0.1 --train-iters 1000 --lr-warmup-fraction 0.0015 --weight-decay 0 --lr-decay-style {style} --lr-wsd-decay-iters 200 --lr-wsd-decay-style linear"
        );
        let config = read(&text, &Facts::default()).unwrap().config;
        config.groups[0].lr().trace([0, 1, 2, 3, 500, 900, 999, 1_000, 1_001]).unwrap()
    };
    let cases = [
        (
            "linear",
            [
                0.0,
                2.0 / 3.0,
                0.999_549_323_985_979,
                0.998_647_971_957_936_9,
                0.550_676_014_021_031_6,
                0.190_135_202_804_206_32,
                0.100_901_352_028_042_03,
                0.1,
                0.1,
            ],
        ),
        (
            "cosine",
            [
                0.0,
                2.0 / 3.0,
                0.999_999_443_165_616_6,
                0.999_994_988_498_818_4,
                0.551_061_879_355_612_6,
                0.122_090_243_141_319_17,
                0.100_002_227_336_155_32,
                0.1,
                0.1,
            ],
        ),
        (
            "inverse-square-root",
            [0.0, 2.0 / 3.0, 0.866_025_403_784_438_5, 0.707_106_781_186_547_5, 0.1, 0.1, 0.1, 0.1, 0.1],
        ),
        ("constant", [0.0, 2.0 / 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("WSD", [0.0, 2.0 / 3.0, 1.0, 1.0, 1.0, 0.55, 0.104_5, 0.1, 0.1]),
    ];
    for (style, expected) in cases {
        let got = rates(style);
        let close = got.iter().zip(expected).all(|(got, expected)| (got - expected).abs() < 1e-12);
        assert!(close, "{style}: {got:?}, not {expected:?}");
    }
}

#[test]
fn errors_name_the_flag() {
    let run = "--lr 1e-3 --train-iters 100 ";
    let cases = [
        ("--min-lr 1e-2", "min_lr is 0.01, but must lie in [0, lr], [0, 0.001]"),
        ("--lr-warmup-iters 100", "lr_warmup_iters is 100, but must be below lr_decay_iters, 100"),
        ("--train-samples 5", "train_samples is 5, but must not be given together with train_iters"),
        (
            "--lr-decay-samples 5",
            "lr_decay_samples is 5, but must not be given: the training is counted by train_iters",
        ),
        (
            "--lr-warmup-iters 5 --lr-warmup-fraction 0.1",
            "lr_warmup_iters is 5, but must not be given together with lr_warmup_fraction",
        ),
        (
            "--lr-decay-style cosin",
            "lr_decay_style is cosin, but must be constant, linear, cosine, inverse-square-root or WSD; the nearest is cosine",
        ),
        ("--lr-decay-style WSD", "lr_wsd_decay_iters is missing, but must be given"),
        (
            "--rampup-batch-size 16 8 300000",
            "rampup_batch_size is [16,8,300000], but a batch that grows is not there yet: set the progress increment anew when it does",
        ),
        ("--warmup 0.1", "warmup is 0.1, but is not valid any more: Megatron wants lr_warmup_fraction"),
        ("--optimizer muon", "optimizer is muon, but is not there yet; there are adam and sgd"),
        ("--lr-decay-iter 10", "lr_decay_iter is 10, but is not a flag of Megatron; the nearest is lr_decay_iters"),
        (
            "--start-weight-decay 0.1",
            "start_weight_decay is 0.1, but must not be given where weight_decay_incr_style is constant",
        ),
        ("--weight-decay-incr-style linear", "start_weight_decay is missing, but must be given"),
        ("--fp16 --bf16", "bf16 is true, but must not be set together with fp16"),
        (
            "--override-opt_param-scheduler --use-checkpoint-opt_param-scheduler",
            "override_opt_param_scheduler is true, but must not be set together with use_checkpoint_opt_param_scheduler",
        ),
        ("--lr $LR", "lr is \"$LR\", but must be a number"),
    ];
    for (flags, expected) in cases {
        assert_eq!(error(&format!("{run}{flags}")), expected);
    }
    assert_eq!(error("--lr-decay-style cosine --train-iters 10"), "lr is missing, but must be given");
    assert_eq!(error("--lr-decay-style cosine --lr 1"), "train_iters is missing, but must be given");
}

#[test]
fn every_flag_is_known_once() {
    let mut all: Vec<&str> = flags().collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    for (names, _) in super::LEFT {
        assert!(names.iter().all(|name| !all.contains(name)), "{names:?}");
    }
}

#[cfg(feature = "yaml")]
#[test]
fn arguments_by_name_are_read() {
    let text = include_str!("../../../../tests/configurations/published/megatron_model_args.yaml");
    let reading = read(text, &Facts::default()).unwrap();
    expect(&reading.config.groups[0], 1, &GPT_345M);
    assert!(reading.took.contains(&"MODEL_ARGS.lr = 0.00015".to_owned()), "{:?}", reading.took);
    assert_eq!(
        error(&text.replace("--min-lr: 1.0e-5", "--min-lr: 1.0")),
        "MODEL_ARGS.min_lr is 1.0, but must lie in [0, lr], [0, 0.00015]"
    );
    let text = include_str!("../../../../tests/configurations/published/megatron_arguments.yaml");
    let config = read(text, &Facts::default()).unwrap().config;
    assert_eq!(config.groups.len(), 1, "nothing decays");
    assert!((config.groups[0].lr().at(500).unwrap() - 0.551_061_879_355_612_6).abs() < 1e-12);
}
