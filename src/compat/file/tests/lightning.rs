//! Lightning 2.6.6.

use serde_json::json;

use super::{Facts, assert_rates, epochs_of, published, reading, refusal};
use crate::compat::Metric;
use crate::config::{GroupConfig, RuleConfig};
use crate::gradient::{Accumulate, Clip, LossScale};

#[cfg(feature = "yaml")]
#[test]
fn a_command_lines_file_is_read_whole() {
    let read = reading(&published("lightning_cli.yaml"), &epochs_of(100));
    assert_eq!(read.format, "Lightning's configuration");
    let group = &read.config.groups[0];
    assert_eq!(group.rule, Some(RuleConfig::of::<crate::optim::AdamW>()));
    assert_eq!((group.get("beta2"), group.get("weight_decay")), (Some(&0.95.into()), Some(&0.1.into())));
    assert_rates(group, &[(0, 1e-3), (2_999, 1e-3), (3_000, 1e-4), (5_999, 1e-4), (6_000, 1e-5)]);
    assert_eq!(read.config.clip, Some(Clip::torch_norm(1.0)));
    assert_eq!(read.config.accumulate, Some(Accumulate::mean(2)));
    assert_eq!(read.config.loss_scale, None);
    assert!(read.took.contains(&"lr_scheduler.init_args.milestones = [30,60]".to_owned()), "{:?}", read.took);
    assert!(read.left.contains(&"data: of what data is trained on".to_owned()), "{:?}", read.left);
    assert!(read.left.contains(&"class_path, init_args of model: of the model".to_owned()), "{:?}", read.left);
}

#[cfg(feature = "yaml")]
#[test]
fn hydras_targets_are_classes() {
    let read = reading(&published("lightning_hydra.yaml"), &epochs_of(100));
    assert_eq!(read.config.groups[0].rule, Some(RuleConfig::of::<crate::optim::Adam>()));
    assert!(matches!(read.config.groups[0].metric, Some(Metric::Plateau(_))), "{:?}", read.config);
    assert_eq!(read.config.loss_scale, Some(LossScale::dynamic()));
    let text = published("lightning_hydra.yaml");
    let error = refusal(&text, "monitor: val/loss", "width: 3", &epochs_of(100));
    assert_eq!(
        error,
        "model.scheduler.monitor is missing, but must be given beside ReduceLROnPlateau: Lightning raises without it"
    );
}

/// transformers: `s / 2000` up to there, then half a cosine to 0 at step 100,000; at 51,000 half of it.
#[cfg(feature = "yaml")]
#[test]
fn a_models_arguments_have_the_optimizer() {
    let read = reading(&published("lightning_model.yaml"), &Facts::default());
    let group = &read.config.groups[0];
    assert_eq!(group.rule, Some(RuleConfig::of::<crate::optim::Sgd>().with("momentum", "nesterov")));
    assert_rates(group, &[(0, 0.0), (500, 0.025), (2_000, 0.1), (51_000, 0.05)]);
    assert_eq!(read.config.clip, Some(Clip::value(0.5)));
    assert_eq!(read.config.loss_scale, Some(LossScale::dynamic()));
}

/// torch 2.15: epoch `e` of a `LinearLR` from 0.01 over 5 has the factor 0.01 + 0.99 e / 5; the cosine starts at epoch 5 and
/// ends at eta_min at 100.
#[test]
fn a_dictionary_steps_by_epochs() {
    let read = reading(&published("lightning_dictionary.json"), &epochs_of(10));
    let group = &read.config.groups[0];
    let expected = [(0, 3e-6), (9, 3e-6), (10, 3e-4 * 0.208), (49, 3e-4 * 0.802), (50, 3e-4), (1_000, 1e-5)];
    assert_rates(group, &expected);
    assert_eq!(group.get("weight_decay"), Some(&0.05.into()));
    let every_second = published("lightning_dictionary.json").replace("\"frequency\": 1", "\"frequency\": 2");
    assert_rates(&reading(&every_second, &epochs_of(10)).config.groups[0], &[(19, 3e-6), (20, 3e-4 * 0.208)]);
}

#[test]
fn members_go_by_name_and_args() {
    let text = published("../p64_torch_name_key.json");
    let read = reading(&text, &Facts::default());
    // `ConstantLR` ends after its `total_iters`, 5, and the second one starts anew at its milestone.
    assert_rates(&read.config.groups[0], &[(0, 0.01), (199, 0.01), (200, 0.001), (204, 0.001), (205, 0.01)]);
    let refused = |from, to| refusal(&text, from, to, &Facts::default());
    assert_eq!(
        refused("\"factor\": 1", "\"factr\": 1"),
        "params.schedulers[0].args.factr is 1, but is not an argument of this call; the nearest is factor; there are factor, \
         last_epoch, total_iters"
    );
    assert!(refused("\"ConstantLR\"", "3").starts_with("params.schedulers[0].name is 3, but must be a text"));
}

#[test]
fn what_has_no_translation_is_refused_in_its_place() {
    let text = published("lightning_dictionary.json");
    let refused = |from: &str, to: &str| refusal(&text, from, to, &epochs_of(10));
    let cases = [
        ("\"name\": \"AdamW\"", "\"name\": \"AdamX\"", "optimizer.name is AdamX, but is not a class of torch"),
        ("\"lr\": 0.0003", "\"lrs\": 0.0003", "optimizer.args.lrs is 0.0003, but is not an argument"),
        (
            "\"T_max\": 95",
            "\"T_max\": 0",
            "lr_scheduler.scheduler.init_args.schedulers[1].T_max is 0, but must be at least 1",
        ),
        ("\"epoch\"", "\"batch\"", "lr_scheduler.interval is batch, but must be step or epoch"),
        ("\"frequency\": 1", "\"frequency\": 0", "lr_scheduler.frequency is 0, but must be at least 1"),
        (
            "\"interval\": \"epoch\"",
            "\"intervall\": \"epoch\"",
            "lr_scheduler.intervall is \"epoch\", but is not a field",
        ),
        (
            "\"epoch\",\n    \"frequency\": 1",
            "\"step\",\n    \"frequency\": 3",
            "lr_scheduler.frequency is 3, but must divide the updates of an epoch, 10",
        ),
        (
            "torch.optim.lr_scheduler.SequentialLR",
            "pl_bolts.optimizers.LinearWarmup",
            "lr_scheduler.scheduler.class_path is pl_bolts.optimizers.LinearWarmup, but is of a package whose schedulers",
        ),
    ];
    for (from, to, expected) in cases {
        let error = refused(from, to);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let error = refusal(&text, "\"frequency\"", "\"frequency\"", &Facts::default());
    let expected = "facts.steps_per_epoch is missing, but must be given for lr_scheduler.interval, an epoch, which is Lightning's if \
                    nothing is said";
    assert_eq!(error, expected);
}

#[test]
fn a_trainer_that_moves_rates_is_refused() {
    let text = json!({
        "trainer": {"max_epochs": 3, "gradient_clip_val": 1, "accumulate_grad_batches": 1, "precision": "32-true"},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.5}}
    })
    .to_string();
    let plain: GroupConfig = reading(&text, &Facts::default()).config.groups.remove(0);
    assert_eq!(plain.lr(), &0.5.into());
    let refused = |from: &str, to: &str| refusal(&text, from, to, &Facts::default());
    let cases = [
        (
            "\"max_epochs\":3",
            "\"callbacks\":[{\"class_path\":\"lightning.pytorch.callbacks.StochasticWeightAveraging\"}]",
            "trainer.callbacks is StochasticWeightAveraging, but has no translation: it puts SWALR in place of the scheduler from an epoch on",
        ),
        (
            "\"accumulate_grad_batches\":1",
            "\"accumulate_grad_batches\":{\"0\":8}",
            "trainer.accumulate_grad_batches is {\"0\":8}, but must be a count: another one from epoch to epoch is not there yet",
        ),
        (
            "\"gradient_clip_val\":1",
            "\"gradient_clip_vals\":1",
            "trainer.gradient_clip_vals is 1, but is not a field that is known",
        ),
        ("\"32-true\"", "\"16-mixd\"", "trainer.precision is 16-mixd, but must be 16-mixed, bf16-mixed"),
        ("\"optimizer\"", "\"model\"", "optimizer is missing, but must be given beside trainer or in model"),
        (
            "\"optimizer\":{",
            "\"optimizer\":[1,2],\"model\":{",
            "optimizer is 2 of them, but must be one: which of them an update is of, code decides",
        ),
    ];
    for (from, to, expected) in cases {
        let error = refused(from, to);
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
}
