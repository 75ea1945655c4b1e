//! timm 1.0.31. Rates are what its own `create_scheduler` gives, stepped as its `train.py` does it.

use serde_json::{Value, json};

use super::{Facts, assert_rates, epochs_of, published, reading, refusal};
use crate::compat::Metric;
use crate::config::RuleConfig;
use crate::gradient::{Accumulate, Clip, LossScale};

#[cfg(feature = "yaml")]
#[test]
fn what_a_run_writes_is_read_whole() {
    let facts = Facts { samples_per_step: Some(2_048), ..epochs_of(10) };
    let read = reading(&published("timm_args.yaml"), &facts);
    assert_eq!(read.format, "timm's training arguments");
    let [no_decay, decay] = &read.config.groups[..] else { panic!("{:?}", read.config) };
    assert_eq!((no_decay.name.as_deref(), decay.name.as_deref()), (Some("no_decay"), Some("decay")));
    assert_eq!((no_decay.get("weight_decay"), decay.get("weight_decay")), (Some(&0.0.into()), Some(&0.05.into())));
    assert_eq!(decay.rule, Some(RuleConfig::of::<crate::optim::AdamW>()));
    // Of a rate of 0.0005 for 1,024 samples.
    let expected = [
        (0, 1e-6),
        (9, 1e-6),
        (10, 0.00020080000000000003),
        (49, 0.0008002000000000002),
        (50, 0.0009993154526099096),
        (1_000, 0.0007502500000000002),
        (2_990, 1.0273879019266845e-06),
        (3_000, 1e-6),
    ];
    assert_rates(no_decay, &expected);
    assert_rates(decay, &expected);
    assert_eq!(read.config.clip, Some(Clip::torch_norm(1.0)));
    assert_eq!(read.config.accumulate, Some(Accumulate::mean(2)));
    assert_eq!(read.config.loss_scale, Some(LossScale::dynamic()));
    assert!(read.left.contains(&"mixup: of augmentation and the loss".to_owned()), "{:?}", read.left);
    // What nothing is said of by a run is still of timm.
    assert!(!read.left.iter().any(|left| left.contains("not of an optimizer")), "{:?}", read.left);
    let devices = epochs_of(10).value("world_size", 4);
    assert_eq!(reading(&published("timm_args.yaml"), &devices).config, read.config);
}

#[test]
fn a_command_line_is_read_whole() {
    let read = reading(&published("timm_efficientnet.txt"), &epochs_of(4));
    let decay = &read.config.groups[1];
    let expected = [
        (0, 1e-6),
        (3, 1e-6),
        (4, 0.1600008),
        (19, 0.6400002),
        (20, 0.7527200000000001),
        (60, 0.6663776039431999),
        (2_399, 0.0004066790677077748),
        (2_400, 0.0003944786956765416),
    ];
    assert_rates(decay, &expected);
    assert_eq!((decay.get("eps"), decay.get("momentum")), (Some(&0.001.into()), Some(&0.9.into())));
    assert_eq!(read.config.loss_scale, None);
}

/// Stable from step 50 on, and down over the last fifth of the 450 steps after the warm-up.
#[cfg(feature = "yaml")]
#[test]
fn a_stable_decay_fits_into_the_epochs() {
    let read = reading(&published("timm_wsd.yaml"), &epochs_of(10));
    let expected = [
        (0, 0.0),
        (25, 0.01),
        (50, 0.02),
        (399, 0.02),
        (410, 0.02),
        (450, 0.006666666666666668),
        (499, 0.00011142147976493488),
        (500, 0.0),
    ];
    assert_rates(&read.config.groups[1], &expected);
    assert_eq!(read.config.clip, Some(Clip::torch_norm(3.0)));
    assert_eq!(read.config.groups[1].get("beta2"), Some(&0.95.into()));
    let text = published("timm_wsd.yaml");
    let clips_twice = refusal(&text, "max_grad_norm: null", "trust_clip: true", &epochs_of(10));
    assert!(clips_twice.starts_with("clip_grad is "), "{clips_twice}");
}

#[test]
fn milestones_count_updates_too() {
    let read = reading(&published("timm_multistep.json"), &epochs_of(7));
    let [group] = &read.config.groups[..] else { panic!("{:?}", read.config) };
    assert_eq!(group.rule, Some(RuleConfig::of::<crate::optim::Sgd>()));
    assert_eq!((group.get("momentum"), group.get("weight_decay")), (Some(&0.875.into()), Some(&0.0.into())));
    // timm drops one update before a milestone.
    assert_rates(group, &[(0, 0.5), (63, 0.5), (68, 0.5), (69, 0.05), (559, 0.005), (630, 0.0005)]);
}

/// A file of these fields, with an epoch of 10 updates.
fn rates(fields: Value, expected: &[(u64, f64)]) {
    let mut all = json!({"opt": "sgd", "lr": 0.02, "epochs": 50, "warmup_epochs": 5, "warmup_lr": 0.0});
    all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let read = reading(&all.to_string(), &epochs_of(10));
    assert_rates(&read.config.groups[0], expected);
}

#[test]
fn every_scheduler_of_the_factory() {
    rates(
        json!({"sched": "rsqrt"}),
        &[
            (0, 0.0),
            (49, 0.016),
            (50, 0.02),
            (300, 0.008164965809277261),
            (400, 0.007071067811865476),
            (450, 0.0037037037037037034),
            (499, 0.0007098628499999335),
            (500, 0.0),
        ],
    );
    rates(
        json!({"sched": "poly", "decay_rate": 2.0, "min_lr": 1e-4}),
        &[(0, 0.0), (50, 0.016219), (300, 0.0032840000000000005), (490, 0.00010796000000000002), (500, 1e-4)],
    );
    rates(
        json!({"sched": "tanh", "min_lr": 1e-4, "warmup_prefix": true}),
        &[(0, 0.0), (40, 0.016), (50, 0.01999998345259225), (300, 0.019642074421754377), (500, 0.0004579255782456218)],
    );
    rates(
        json!({"sched": "cosine", "warmup_epochs": 0, "lr_cycle_limit": 3}),
        &[
            (0, 0.02),
            (300, 0.006909830056250529),
            (500, 0.01),
            (600, 0.009045084971874737),
            (1_499, 4.933178929321102e-06),
            (1_500, 0.0),
        ],
    );
    rates(json!({"sched": "constant"}), &[(0, 0.0), (49, 0.016), (50, 0.02), (500, 0.02)]);
    rates(json!({"sched": "none"}), &[(0, 0.02), (500, 0.02)]);
    let plateau = json!({"opt": "sgd", "lr": 0.1, "sched": "plateau", "eval_metric": "loss", "patience_epochs": 3});
    let read = reading(&plateau.to_string(), &epochs_of(10));
    assert!(
        matches!(read.config.groups[0].metric.or(read.config.metric), Some(Metric::Plateau(_))),
        "{:?}",
        read.config
    );
}

/// Every name makes a group that can be built, with what the factory gives it.
#[test]
fn every_optimizer_of_the_factory() {
    for named in super::super::timm::OPTIMIZERS.iter().filter(|named| named.class != "Mars") {
        let text = json!({"opt": named.name, "lr": 0.1, "sched": "none", "opt_eps": 1e-5}).to_string();
        let read = reading(&text, &Facts::default());
        assert_eq!(read.config.groups.len(), 2, "{}", named.name);
    }
    let lion =
        reading(&json!({"opt": "clion", "lr": 0.1, "sched": "none", "opt_eps": 1}).to_string(), &Facts::default());
    assert_eq!(lion.config.groups[1].rule, Some(RuleConfig::of::<crate::optim::Lion>().with("caution", "mean")));
}

#[test]
fn a_rate_of_so_many_samples_is_scaled() {
    let rate = |opt: &str, scale: Value| {
        let text =
            json!({"opt": opt, "sched": "none", "lr_base": 0.1, "lr_base_scale": scale, "batch_size": 64}).to_string();
        let read = reading(&text, &Facts::default().value("world_size", 16));
        read.config.groups[0].lr().at(0).unwrap()
    };
    assert_eq!(rate("sgd", Value::Null), 0.4);
    assert_eq!(rate("adamw", "".into()), 0.2);
    assert_eq!(rate("lamb", "linear".into()), 0.4);
}

#[test]
fn what_has_no_translation_is_refused_in_its_place() {
    let text = json!({
        "opt": "adamw", "lr": 0.5, "sched": "step", "decay_epochs": 30, "opt_betas": [0.9, 0.999], "warmup_epochs": 5,
        "weight_decay": 0.1
    })
    .to_string();
    let refused = |from: &str, to: &str| refusal(&text, from, to, &epochs_of(10));
    let cases = [
        (
            "\"adamw\"",
            "\"adamwx\"",
            "opt is adamwx, but is not an optimizer of timm's that has a translation; the nearest is adamw;",
        ),
        (
            "\"adamw\"",
            "\"lookahead_adamw\"",
            "opt is lookahead_adamw, but has no translation with lookahead_ before it",
        ),
        ("\"adamw\"", "\"mars\"", "opt_kwargs.optimize_1d is false, but vectors take AdamW then"),
        ("\"step\"", "\"stp\"", "sched is stp, but must be cosine, tanh, step,"),
        ("30", "0", "decay_epochs is 0, but must be above 0: timm divides by it"),
        ("[0.9,0.999]", "[0.9]", "opt_betas is [0.9], but must be two numbers"),
        ("[0.9,0.999]", "[0.9,1.5]", "opt_betas[1] is 1.5, but must lie in"),
        ("\"weight_decay\"", "\"layer_decay\"", "layer_decay is 0.1, but makes a group of each layer"),
        (
            "\"weight_decay\":0.1",
            "\"clip_grad\":0.1,\"clip_mode\":\"agc\"",
            "clip_mode is agc, but clips by the norm of each unit",
        ),
        ("\"weight_decay\":0.1", "\"lr_noise\":[0.4,0.9]", "lr_noise is [0.4,0.9], but must be null"),
        ("\"weight_decay\":0.1", "\"amp\":true,\"amp_impl\":\"apex\"", "amp_impl is apex, but the loss scale of apex"),
        (
            "\"weight_decay\":0.1",
            "\"opt_kwargs\":{\"betas\":[0.9,0.9]}",
            "opt_kwargs.betas is [0.9,0.9], but is given twice",
        ),
        ("\"weight_decay\":0.1", "\"opt_kwargs\":\"amsgrd=True\"", "opt_kwargs.amsgrd is true, but is not an argument"),
        (
            "\"weight_decay\":0.1",
            "\"weigth_decay\":0.1",
            "weigth_decay is 0.1, but is not a field that is known; weight_decay is",
        ),
        ("\"lr\":0.5", "\"lr\":null", "facts.samples_per_step is missing, but must be given for lr_base"),
        ("\"step\"", "\"wsd\"", "decay_epochs is 46, but must lie in (0, 45], the epochs after the warm-up"),
    ];
    for (from, to, expected) in cases {
        let text = if to == "\"wsd\"" {
            text.replace("30", "46").replace("\"lr\"", "\"epochs\":50,\"lr\"")
        } else {
            text.clone()
        };
        let error = refusal(&text, from, to, &epochs_of(10));
        assert!(error.starts_with(expected), "{error}\nexpected {expected}");
    }
    let error = refused("\"step\"", "\"plateau\",\"sched_on_updates\":true");
    assert_eq!(error, "sched_on_updates is true, but must be false beside plateau, which timm steps by epochs");
    let error = refusal(&text, "\"lr\"", "\"lr\"", &Facts::default());
    assert_eq!(error, "facts.steps_per_epoch is missing, but must be given for sched, which goes by epochs");
}
