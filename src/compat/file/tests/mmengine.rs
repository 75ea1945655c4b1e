//! MMEngine 0.10.7. Rates are what its own schedulers give, called as its hook does it.

use serde_json::{Value, json};

use super::{Facts, assert_rates, epochs_of, published, reading, refusal};
use crate::compat::{Configuration, Metric};
use crate::config::RuleConfig;
use crate::gradient::{Accumulate, Clip, LossScale};

#[test]
fn a_warm_up_of_iterations_multiplies_milestones_of_epochs() {
    let read = reading(&published("mmengine_detection.json"), &epochs_of(100));
    assert_eq!(read.format, "MMEngine's configuration");
    let [group] = &read.config.groups[..] else { panic!("{:?}", read.config) };
    assert_eq!(group.rule, Some(RuleConfig::of::<crate::optim::Sgd>()));
    assert_eq!(group.get("momentum"), Some(&0.9.into()));
    let expected = [
        (0, 2e-05),
        (1, 6.004008016032065e-05),
        (250, 0.010030020040080153),
        (499, 0.02),
        (500, 0.02),
        (799, 0.02),
        (800, 0.002),
        (1_099, 0.002),
        (1_100, 0.0002),
        (1_199, 0.0002),
    ];
    assert_rates(group, &expected);
    assert!(read.left.contains(&"model: of the model".to_owned()), "{:?}", read.left);
    assert!(!read.left.iter().any(|left| left.contains("not of an optimizer")), "{:?}", read.left);
}

#[cfg(feature = "yaml")]
#[test]
fn a_loop_of_iterations_needs_no_epochs() {
    let read = reading(&published("mmengine_segmentation.yaml"), &Facts::default());
    let expected = [
        (0, 6e-11),
        (75, 3.0201372080536884e-05),
        (149, 6e-05),
        (150, 6e-05),
        (875, 2.997929606625214e-05),
        (1_598, 4.1407867494823496e-08),
        (1_599, 0.0),
        (2_000, 0.0),
    ];
    assert_rates(&read.config.groups[0], &expected);
    assert_eq!(read.config.clip, Some(Clip::torch_norm(1.0)));
    assert_eq!(read.config.loss_scale, Some(LossScale::dynamic()));
}

#[cfg(feature = "yaml")]
#[test]
fn epochs_may_be_converted_to_iterations() {
    let facts = Facts { samples_per_step: Some(512), ..epochs_of(10) };
    let read = reading(&published("mmengine_rtmdet.yaml"), &facts);
    // The rate is scaled to twice 0.004, and `eta_min` is not: (0.008 - 0.0002) in place of 0.0038 above it.
    let above = |rate: f64| (rate - 0.0002) / 0.0038 * 0.0078 + 0.0002;
    let expected = [
        (0, 8e-08),
        (50, 2.0 * 0.0020202218181818196),
        (99, 0.008),
        (150, 0.008),
        (200, above(0.003050000000000002)),
        (299, above(0.00020041670139779355)),
        (305, above(0.00020041670139779355)),
    ];
    assert_rates(&read.config.groups[0], &expected);
    assert_eq!(read.config.loss_scale, Some(LossScale::fixed(512.0)));
}

/// A scheduler or a list of them, in a run of so many epochs of so many iterations.
fn rates(schedulers: Value, lr: f64, epochs: u64, epoch_length: u64, expected: &[(u64, f64)]) {
    let text = json!({
        "train_cfg": {"by_epoch": true, "max_epochs": epochs},
        "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": lr}},
        "param_scheduler": schedulers
    });
    assert_rates(&reading(&text.to_string(), &epochs_of(epoch_length)).config.groups[0], expected);
}

#[test]
fn every_scheduler() {
    rates(
        json!([
            {"type": "LinearLR", "start_factor": 1e-3, "end": 20, "convert_to_iter_based": true},
            {"type": "CosineAnnealingLR", "eta_min": 1e-5, "by_epoch": true, "begin": 20}
        ]),
        1e-3,
        60,
        10,
        &[
            (0, 1e-6),
            (100, 0.0005030100502512554),
            (199, 1e-3),
            (209, 1e-3),
            (210, 0.0009984740801978957),
            (400, 0.000505),
            (590, 1.1525919802101654e-05),
            (599, 1.1525919802101654e-05),
        ],
    );
    // What falls to 0 is a factor too.
    rates(
        json!([
            {"type": "ConstantLR", "factor": 0.25, "begin": 0, "end": 3},
            {"type": "CosineAnnealingLR", "T_max": 30, "begin": 0, "end": 30}
        ]),
        0.1,
        30,
        10,
        &[(0, 0.025), (15, 0.024931523692103417), (20, 0.09890738003669028), (150, 0.05), (299, 0.00027390523158633)],
    );
    // Past `T_max` it rises to the rate of the optimizer, though it has fallen from half of it.
    rates(
        json!([
            {"type": "LinearLR", "start_factor": 0.5, "end_factor": 0.5, "begin": 0, "end": 4},
            {"type": "CosineAnnealingLR", "T_max": 5, "begin": 4, "end": 25, "eta_min": 0.01}
        ]),
        0.1,
        30,
        1,
        &[
            (3, 0.05),
            (4, 0.05),
            (6, 0.03618033988749895),
            (9, 0.01),
            (10, 0.018594235253127367),
            (12, 0.06890576474687267),
            (14, 0.1),
            (15, 0.09140576474687272),
            (19, 0.01),
            (24, 0.1),
            (29, 0.1),
        ],
    );
    rates(
        json!({"type": "CosineRestartLR", "periods": [4, 6], "restart_weights": [1, 0.5], "eta_min_ratio": 0.1, "begin": 2}),
        0.1,
        16,
        1,
        &[
            (0, 0.1),
            (2, 0.1),
            (4, 0.055),
            (5, 0.023180194846605363),
            (6, 0.05),
            (8, 0.04),
            (11, 0.01267949192431123),
            (12, 0.01267949192431123),
            (15, 0.01267949192431123),
        ],
    );
    rates(
        json!({"type": "OneCycleLR", "eta_max": 1.0, "total_steps": 20, "by_epoch": false}),
        0.1,
        1,
        20,
        &[(0, 0.04), (3, 0.6683281572999747), (5, 1.0), (10, 0.7169430017913008), (19, 4e-06)],
    );
    rates(
        json!([
            {"type": "StepParamScheduler", "param_name": "lr", "step_size": 3, "begin": 2, "end": 10, "gamma": 0.5},
            {"type": "ExponentialLR", "gamma": 0.9, "begin": 5, "end": 8}
        ]),
        0.1,
        12,
        2,
        &[(0, 0.1), (9, 0.1), (10, 0.05), (11, 0.05), (14, 0.0405), (16, 0.02025), (23, 0.02025)],
    );
    rates(
        json!({"type": "PolyLR", "power": 0.9, "eta_min": 1e-3, "begin": 0, "end": 10}),
        0.1,
        12,
        2,
        &[(0, 0.1), (4, 0.07995964227699538), (10, 0.04871675793269875), (18, 1e-3), (23, 1e-3)],
    );
}

#[test]
fn a_plateau_may_follow_a_warm_up() {
    let text = json!({
        "train_cfg": {"by_epoch": true, "max_epochs": 20},
        "optim_wrapper": {"accumulative_counts": 4, "optimizer": {"type": "DAdaptAdam", "lr": 1.0}},
        "param_scheduler": {"type": "ReduceOnPlateauLR", "monitor": "acc", "rule": "greater", "patience": 3, "min_value": 0.01}
    });
    let read = reading(&text.to_string().replace("DAdaptAdam", "Adam"), &epochs_of(10));
    assert!(matches!(read.config.groups[0].metric, Some(Metric::Plateau(_))), "{:?}", read.config);
    assert_eq!(read.config.accumulate, Some(Accumulate::mean(4)));
    // Another library's class is found by its name.
    let estimates =
        text.to_string().replace("ReduceOnPlateauLR", "ConstantLR").replace("\"param_scheduler\"", "\"model\"");
    assert_eq!(
        reading(&estimates, &epochs_of(10)).config.groups[0].rule,
        Some(RuleConfig::of::<crate::optim::DAdaptAdam>())
    );
}

#[test]
fn a_scheduler_alone_is_data() {
    let configuration = Configuration {
        library: "mmengine".into(),
        api: "mmengine.optim.LinearLR".into(),
        params: json!({"start_factor": 0.5, "by_epoch": false, "end": 5}),
        optimizer: json!({"class": "SGD", "args": {"lr": 1.0}, "groups": [{}, {"lr": 0.5}]}),
        horizon: None,
        resumed_at: None,
    };
    let recipes = configuration.recipes().unwrap();
    assert_eq!(recipes[1].lr.trace([0, 2, 4, 5]).unwrap(), [0.25, 0.375, 0.5, 0.5]);
    let endless = Configuration { params: json!({"by_epoch": false}), ..configuration };
    assert_eq!(
        endless.recipes().unwrap_err().to_string(),
        "params.end is missing, but must be given where the length of the run is not: it is that if nothing is said"
    );
}

#[test]
fn what_has_no_translation_is_refused_in_its_place() {
    let text = published("mmengine_detection.json");
    let cases = [
        (
            "\"MultiStepLR\"",
            "\"MultiStepsLR\"",
            "param_scheduler[1].type is MultiStepsLR, but is not a scheduler that has a translation; the nearest is MultiStepLR",
        ),
        ("\"LinearLR\"", "\"LinearMomentum\"", "param_scheduler[0].type is LinearMomentum, but moves the momentum"),
        ("\"end\": 500", "\"end\": 0", "param_scheduler[0].end is 0, but must be above begin, 0"),
        ("\"start_factor\": 0.001", "\"start_factor\": 0", "param_scheduler[0].start_factor is 0, but must be above 0"),
        ("\"milestones\": [8, 11]", "\"milestone\": [8, 11]", "param_scheduler[1].milestones is missing"),
        (
            "\"MultiStepLR\", \"begin\": 0, \"end\": 12, \"by_epoch\": true, \"milestones\": [8, 11], \"gamma\": 0.1",
            "\"CosineAnnealingLR\", \"eta_min\": 0.1, \"begin\": 0",
            "param_scheduler[1].begin is 0, but overlaps LinearLR",
        ),
        (
            "\"EpochBasedTrainLoop\"",
            "\"IterBasedTrainLoop\"",
            "param_scheduler[1].by_epoch is true, but must be false in a loop of iterations",
        ),
        ("\"SGD\"", "\"SGDX\"", "optim_wrapper.optimizer.type is SGDX, but is not a class of torch"),
        ("\"momentum\": 0.9", "\"momentun\": 0.9", "optim_wrapper.optimizer.momentun is 0.9, but is not an argument"),
        (
            "\"OptimWrapper\"",
            "\"ApexOptimWrapper\"",
            "optim_wrapper.type is ApexOptimWrapper, but must be OptimWrapper or AmpOptimWrapper",
        ),
        (
            "\"OptimWrapper\"",
            "\"AmpOptimWrapper\", \"loss_scale\": 512",
            "optim_wrapper.loss_scale is 512, but must be \"dynamic\", a float",
        ),
        (
            "\"OptimWrapper\"",
            "\"OptimWrapper\", \"accumulative_counts\": 2",
            "optim_wrapper.accumulative_counts is 2, but must be 1 beside a scheduler of iterations",
        ),
        (
            "\"OptimWrapper\"",
            "\"OptimWrapper\", \"constructor\": \"LayerDecayOptimizerConstructor\"",
            "optim_wrapper.constructor is LayerDecayOptimizerConstructor, but makes groups",
        ),
        (
            "\"OptimWrapper\"",
            "\"OptimWrapper\", \"paramwise_cfg\": {\"norm_decay_mult\": 0}",
            "optim_wrapper.paramwise_cfg.norm_decay_mult is 0, but makes groups",
        ),
        (
            "\"enable\": false",
            "\"enable\": true",
            "facts.samples_per_step is missing, but must be given for auto_scale_lr.base_batch_size",
        ),
        (
            "\"optim_wrapper\"",
            "\"lr_config\": {\"policy\": \"step\"}, \"optim_wrapper\"",
            "lr_config is {\"policy\":\"step\"}, but is of MMCV 1",
        ),
        ("\"optim_wrapper\"", "\"optim_wraper\"", "optim_wraper is {\"optimizer\":"),
    ];
    for (from, to, expected) in cases {
        let error = refusal(&text, from, to, &epochs_of(100));
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let error = refusal(&text, "\"model\"", "\"model\"", &Facts::default());
    assert_eq!(
        error,
        "facts.steps_per_epoch is missing, but must be given for param_scheduler[1], which counts epochs"
    );
}
