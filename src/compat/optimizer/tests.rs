//! What classes and arguments become, and what is refused, at which place.

mod estimates;
mod refused;

use serde_json::{Value, json};

use super::OptimizerConfiguration;
use crate::config::{Config, GroupConfig, RuleConfig};
use crate::gradient::{Clip, LossScale, Norm};
use crate::precision::{Precision, StateForm};
use crate::schedule::Schedule;

fn read(api: &str, params: Value, more: Value) -> Result<Config, String> {
    let mut fields = json!({"library": api.split('.').next(), "api": api, "params": params});
    if let Value::Object(more) = more {
        fields.as_object_mut().unwrap().extend(more);
    }
    let optimizer: OptimizerConfiguration = serde_json::from_value(fields).map_err(|e| e.to_string())?;
    optimizer.config().map_err(|e| e.to_string())
}

/// The one group, in the words of a file.
#[track_caller]
fn becomes(api: &str, params: Value, expected: Value) {
    let config = read(api, params, json!({})).unwrap();
    let expected: GroupConfig = serde_json::from_value(expected).unwrap();
    assert_eq!(config.groups, [expected], "{api}");
}

#[track_caller]
fn refused(api: &str, params: Value, more: Value, expected: &str) {
    let error = read(api, params, more).unwrap_err();
    assert!(error.contains(expected), "{error}\nexpected {expected}");
}

#[test]
fn a_class_becomes_a_rule_with_its_own_defaults() {
    let adam = |rule: Value, weight_decay: f64| json!({"rule": rule, "lr": 0.001, "weight_decay": weight_decay, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8});
    becomes("torch.optim.Adam", json!({}), adam(json!("adam"), 0.0));
    becomes("torch.optim.AdamW", json!({}), adam(json!("adamw"), 0.01));
    becomes("torch.optim.AdamW", json!({"maximize": true}), adam(json!({"adamw": {"maximize": true}}), 0.01));
    becomes("torch.optim.Adam", json!({"decoupled_weight_decay": true}), adam(json!("adamw"), 0.0));
    becomes("timm.optim.adamw.AdamWLegacy", json!({"caution": false}), adam(json!("adamw"), 0.01));
    becomes("optax.adamw", json!({"learning_rate": 1e-3}), adam(json!("adamw"), 1e-4));
    becomes("optax.adam", json!({"learning_rate": 1e-3, "eps_root": 0.0}), adam(json!("adamw"), 0.0));
    let sgd = json!({"rule": "sgd", "lr": 0.001, "weight_decay": 0});
    becomes("torch.optim.SGD", json!({"dampening": 0.5, "foreach": null, "fused": true}), sgd.clone());
    becomes("timm.optim.SGDW", json!({"weight_decay": 0, "caution": true}), sgd);
    let heavy = json!({"rule": "sgd", "lr": 0.1, "weight_decay": 0, "momentum": 0.9, "dampening": 0.5});
    becomes("torch.optim.SGD", json!({"lr": 0.1, "momentum": 0.9, "dampening": 0.5}), heavy);
    let nesterov = json!({"rule": {"sgd": {"momentum": "nesterov"}}, "lr": 0.1, "momentum": 0.9});
    becomes("optax.sgd", json!({"learning_rate": 0.1, "momentum": 0.9, "nesterov": true}), nesterov);
}

#[test]
fn what_a_peer_adds_becomes_an_option() {
    let adam = |rule: Value, weight_decay: f64| json!({"rule": rule, "lr": 0.001, "weight_decay": weight_decay, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8});
    becomes("torch.optim.Adam", json!({"amsgrad": true}), adam(json!({"adam": {"amsgrad": true}}), 0.0));
    let careful = json!({"adamw": {"caution": "mean", "clip_update": 1.0}});
    becomes("timm.optim.AdamWLegacy", json!({"caution": true, "clipping_threshold": 1}), adam(careful, 0.01));
    becomes("timm.optim.NAdamW", json!({}), adam(json!({"adamw": {"nesterov": "together"}}), 0.01));
    let apart = json!({"adamw": {"nesterov": "apart"}});
    becomes("optax.nadamw", json!({"learning_rate": 1e-3}), adam(apart.clone(), 1e-4));
    becomes("optax.adam", json!({"learning_rate": 1e-3, "nesterov": true}), adam(apart, 0.0));
    let rule = json!({"sgd": {"decoupled_weight_decay": true, "caution": "mean"}});
    let sgdw = json!({"rule": rule, "lr": 0.001, "weight_decay": 0.1, "momentum": 0.9});
    becomes("timm.optim.SGDW", json!({"weight_decay": 0.1, "momentum": 0.9, "caution": true}), sgdw);
    let tensorflow = json!({"start_at_one": true, "eps_in_root": true, "lr_in_momentum": true});
    let rmsprop = json!({"rule": {"rmsprop": tensorflow}, "lr": 0.01, "weight_decay": 0, "alpha": 0.9, "eps": 1e-10, "momentum": 0.9});
    becomes("timm.optim.RMSpropTF", json!({"momentum": 0.9}), rmsprop);
    let rmsprop = json!({"rule": {"rmsprop": {"eps_in_root": true}}, "lr": 0.01, "alpha": 0.9, "eps": 1e-8});
    becomes("optax.rmsprop", json!({"learning_rate": 0.01}), rmsprop);
    let rprop =
        json!({"rule": "rprop", "lr": 0.01, "eta_minus": 0.5, "eta_plus": 1.2, "min_step": 1e-6, "max_step": 50});
    becomes("torch.optim.Rprop", json!({}), rprop);
}

#[test]
fn a_corrected_weight_decay_follows_the_rate() {
    let schedule = json!({"schedule": {"class": "StepLR", "step_size": 3, "gamma": 0.5}});
    let params = json!({"lr": 0.5, "weight_decay": 0.25, "corrected_weight_decay": true});
    let config = read("timm.optim.AdamWLegacy", params, schedule).unwrap();
    let decay = config.groups[0].get("weight_decay").unwrap();
    assert_eq!([2, 3, 6].map(|step| decay.at(step).unwrap()), [0.25, 0.125, 0.0625]);
    let at_zero = json!({"lr": 0, "corrected_weight_decay": true});
    let rule = "must be above 0";
    refused("timm.optim.AdamWLegacy", at_zero, json!({"schedule": {"class": "ConstantLR"}}), rule);
    let plateau = json!({"schedule": {"class": "ReduceLROnPlateau"}});
    let rule = "a rate that follows a metric is not there yet";
    let params = json!({"weight_decay": 1, "corrected_weight_decay": true});
    for api in ["timm.optim.SGDW", "timm.optim.Lion", "timm.optim.Mars"] {
        let mut params = params.clone();
        if api.ends_with("Mars") {
            params["optimize_1d"] = json!(true);
        }
        refused(api, params, plateau.clone(), rule);
    }
    // What is not decoupled is not corrected.
    for api in ["timm.optim.Lamb", "timm.optim.RMSpropTF"] {
        let config = read(api, params.clone(), plateau.clone()).unwrap();
        assert_eq!(config.groups[0].get("weight_decay"), Some(&Schedule::constant(1.0)), "{api}");
    }
    let lower = json!({"groups": [{"options": {"max_lr_snapshot": 0.25}}]});
    let params = json!({"lr": 0.5, "weight_decay": 0.25, "corrected_weight_decay": true});
    let config = read("timm.optim.Lion", params, lower).unwrap();
    assert_eq!(config.groups[0].get("weight_decay").unwrap().at(0), Ok(0.5));
}

#[test]
fn a_groups_options_go_before_the_arguments_and_the_scheduler_acts_on_them() {
    let groups =
        json!([{"name": "head", "tensors": [2], "options": {"lr": 0.2, "weight_decay": 0.5}}, {"tensors": []}]);
    let schedule = json!({"class": "StepLR", "step_size": 3, "gamma": 0.5});
    let more = json!({"groups": groups, "schedule": schedule});
    let config = read("torch.optim.AdamW", json!({"lr": 0.1, "weight_decay": 0.25}), more).unwrap();
    let at = |group: usize, name: &str, step| config.groups[group].get(name).unwrap().at(step).unwrap();
    assert_eq!([at(0, "lr", 2), at(0, "lr", 3), at(1, "lr", 2), at(1, "lr", 3)], [0.2, 0.1, 0.1, 0.05]);
    assert_eq!([at(0, "weight_decay", 0), at(1, "weight_decay", 0)], [0.5, 0.25]);
    assert_eq!(config.groups[0].name.as_deref(), Some("head"));
}

#[test]
fn a_scheduler_moves_momentum_and_betas_too() {
    let schedule = json!({"class": "OneCycleLR", "max_lr": 0.1, "total_steps": 20});
    let config = read("torch.optim.SGD", json!({"momentum": 0.9}), json!({"schedule": schedule})).unwrap();
    assert_eq!(config.groups[0].get("momentum").unwrap().at(0), Ok(0.95));
    let config = read("torch.optim.Adam", json!({}), json!({"schedule": schedule})).unwrap();
    assert_eq!(config.groups[0].get("beta1").unwrap().at(0), Ok(0.95));
}

#[test]
fn schedulers_of_other_libraries_stand_beside_an_optimizer() {
    let lr = |schedule: Value, step| {
        let config = read("torch.optim.SGD", json!({"lr": 0.5}), json!({"schedule": schedule})).unwrap();
        config.groups[0].lr().at(step).unwrap()
    };
    let hf = json!({"class": "hf", "name": "constant_with_warmup", "num_warmup_steps": 4});
    assert_eq!([lr(hf.clone(), 2), lr(hf, 9)], [0.25, 0.5]);
    let linear = json!({"init_value": 1.0, "end_value": 0.0, "transition_steps": 4});
    let named = json!({"library": "optax", "api": "optax.linear_schedule", "params": linear});
    assert_eq!(lr(named, 1), 0.75);
    let more = json!({"schedule": {"function": "constant_schedule", "value": 0.25}});
    let config = read("optax.sgd", json!({"learning_rate": null}), more).unwrap();
    assert_eq!(config.groups[0].lr(), &Schedule::constant(0.25));
}

#[test]
fn a_scheduler_may_be_called_once_in_many_updates() {
    let params = json!({"lr": 0.5, "momentum": 0.75});
    let cycle = json!({"class": "OneCycleLR", "max_lr": 0.5, "total_steps": 5, "every": 10});
    let config = read("torch.optim.SGD", params.clone(), json!({"schedule": cycle, "horizon": 50})).unwrap();
    let each = json!({"class": "OneCycleLR", "max_lr": 0.5, "total_steps": 5});
    let once = read("torch.optim.SGD", params, json!({"schedule": each, "horizon": 5})).unwrap();
    let (config, once) = (&config.groups[0], &once.groups[0]);
    for name in ["lr", "momentum"] {
        let at = |group: &GroupConfig, step| group.get(name).unwrap().at(step).unwrap();
        for step in 0..50 {
            assert_eq!(at(config, step), at(once, step / 10), "{name} at {step}");
        }
    }
    // 25 updates are three calls, the last of them for half of its updates.
    let lambda = json!({"class": "LambdaLR", "lr_lambda": "1 / (3 - epoch)", "every": 10});
    let more = |horizon: u64| json!({"schedule": lambda, "horizon": horizon});
    read("torch.optim.SGD", json!({}), more(25)).unwrap();
    refused("torch.optim.SGD", json!({}), more(31), "schedule.params.lr_lambda is");
    // What is the same whenever it is called, is left as it is.
    let plateau = json!({"class": "ReduceLROnPlateau", "every": 10});
    let config = read("torch.optim.SGD", json!({"lr": 0.5}), json!({"schedule": plateau})).unwrap();
    assert_eq!(config.groups[0].lr(), &Schedule::constant(0.5));
    let never = json!({"schedule": {"class": "StepLR", "step_size": 1, "every": 0}});
    let rule = "schedule.every is 0, but must be a count of updates between two calls of the scheduler, at least 1";
    refused("torch.optim.SGD", json!({}), never, rule);
}

#[test]
fn a_plateau_is_shared_by_groups_and_scales_the_rate_of_optax() {
    let more = json!({"groups": [{}, {}], "schedule": {"class": "ReduceLROnPlateau", "eps": 0}});
    let config = read("torch.optim.SGD", json!({}), more).unwrap();
    assert!(config.metric.is_some() && config.groups.iter().all(|group| group.metric.is_none()));
    let more = json!({"schedule": {"function": "reduce_on_plateau"}});
    let config = read("optax.sgd", json!({"learning_rate": 0.5}), more).unwrap();
    assert_eq!((config.groups[0].lr(), config.groups[0].metric.is_some()), (&Schedule::constant(0.5), true));
}

#[test]
fn the_type_of_optaxs_first_moment_is_a_precision() {
    let precision = |dtype: Value| -> Result<Option<Precision>, String> {
        let config = read("optax.adamw", json!({"learning_rate": 0.5, "mu_dtype": dtype}), json!({}))?;
        Ok(config.groups[0].precision.clone())
    };
    let of = |form| Some(Precision::new().state("exp_avg", form));
    assert_eq!(precision(json!("bfloat16")), Ok(of(StateForm::Bf16Nearest)));
    assert_eq!(precision(json!("float32")), Ok(of(StateForm::F32)));
    assert_eq!(precision(Value::Null), Ok(None));
    let refused = precision(json!("int8")).unwrap_err();
    assert!(refused.ends_with("must be float32, bfloat16 or float16, or null for the parameter's"), "{refused}");
    let trace = json!({"learning_rate": 0.5, "momentum": 0.9, "accumulator_dtype": "bfloat16"});
    let config = read("optax.sgd", trace, json!({})).unwrap();
    assert_eq!(config.groups[0].precision, Some(Precision::new().state("momentum_buffer", StateForm::Bf16Nearest)));
}

#[test]
fn clipping_and_loss_scaling_are_read() {
    let read = |clip: Value, scaler: Value| {
        let config = read("torch.optim.SGD", json!({}), json!({"clip": clip, "scaler": scaler})).unwrap();
        (config.clip, config.loss_scale)
    };
    let clip = |function: &str, name: &str| {
        let mut call = json!({"function": function});
        call[name] = json!(0.5);
        call
    };
    let mut by_max = clip("torch.nn.utils.clip_grad_norm_", "max_norm");
    by_max["norm_type"] = json!("inf");
    let cases = [
        (clip("torch.nn.utils.clip_grad_norm_", "max_norm"), Clip::torch_norm(0.5)),
        (by_max, Clip::torch_norm(0.5).by(Norm::Max)),
        (clip("clip_grad_value_", "clip_value"), Clip::value(0.5)),
        (clip("optax.clip_by_global_norm", "max_norm"), Clip::optax_norm(0.5)),
        (clip("optax.clip", "max_delta"), Clip::value(0.5)),
    ];
    for (call, expected) in cases {
        assert_eq!(read(call, Value::Null), (Some(expected), None));
    }
    let scaler =
        json!({"device": "cpu", "init_scale": 8, "growth_factor": 4, "backoff_factor": 0.25, "growth_interval": 7});
    let expected = LossScale::dynamic().init(8.0).growth(4.0).backoff(0.25).interval(7);
    assert_eq!(read(Value::Null, scaler).1, Some(expected));
    assert_eq!(read(Value::Null, json!({"enabled": false})).1, None);
}

#[test]
fn every_rule_is_reached_by_some_class() {
    let apis = [
        ("torch.optim.SGD", "sgd", json!({})),
        ("torch.optim.Adam", "adam", json!({})),
        ("torch.optim.AdamW", "adamw", json!({})),
        ("timm.optim.Lion", "lion", json!({})),
        ("timm.optim.Adan", "adan", json!({})),
        ("timm.optim.AdaBelief", "adabelief", json!({})),
        ("timm.optim.LaProp", "laprop", json!({})),
        ("timm.optim.Mars", "mars", json!({"optimize_1d": true})),
        ("timm.optim.Lamb", "lamb", json!({})),
        ("timm.optim.Lars", "lars", json!({})),
        ("timm.optim.NvNovoGrad", "novograd", json!({})),
        ("pytorch_optimizer.Yogi", "yogi", json!({})),
        ("pytorch_optimizer.StableAdamW", "stableadamw", json!({})),
        ("optax.contrib.ademamix", "ademamix", json!({"learning_rate": 0.1})),
        ("optax.contrib.adopt", "adopt", json!({"learning_rate": 0.1})),
        ("torch.optim.NAdam", "nadam", json!({})),
        ("torch.optim.RAdam", "radam", json!({})),
        ("torch.optim.Adamax", "adamax", json!({})),
        ("torch.optim.Adagrad", "adagrad", json!({})),
        ("torch.optim.RMSprop", "rmsprop", json!({})),
        ("torch.optim.Adadelta", "adadelta", json!({})),
        ("torch.optim.ASGD", "asgd", json!({})),
        ("torch.optim.Rprop", "rprop", json!({})),
        ("schedulefree.AdamWScheduleFree", "schedule_free_adamw", json!({})),
        ("schedulefree.SGDScheduleFree", "schedule_free_sgd", json!({})),
        ("schedulefree.RAdamScheduleFree", "schedule_free_radam", json!({})),
        ("prodigyopt.Prodigy", "prodigy", json!({})),
        ("dadaptation.DAdaptAdam", "dadapt_adam", json!({})),
        ("dadaptation.DAdaptSGD", "dadapt_sgd", json!({})),
        ("dog-optimizer.DoG", "dog", json!({})),
        ("optax.contrib.dowg", "dowg", json!({})),
    ];
    let reached = apis.map(|(api, name, params)| {
        let rule = read(api, params, json!({})).unwrap().groups[0].rule.clone();
        assert_eq!(rule, RuleConfig::named(name));
        name
    });
    let missing: Vec<_> = RuleConfig::all().filter(|rule| !reached.contains(&rule.name())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn what_a_class_does_with_its_rate_is_a_schedule_of_the_decay() {
    let decay = |api: &str, params: Value| {
        let schedule = json!({"class": "StepLR", "step_size": 1, "gamma": 0.5});
        let config = read(api, params, json!({"schedule": schedule})).unwrap();
        [0, 1].map(|step| config.groups[0].get("weight_decay").unwrap().at(step).unwrap())
    };
    let params = json!({"lr": 0.5, "weight_decay": 0.25, "corrected_weight_decay": true});
    assert_eq!(decay("timm.optim.Lion", params.clone()), [0.25, 0.125]);
    // A decay that is part of the update is not corrected.
    assert_eq!(decay("timm.optim.Lamb", params), [0.25, 0.25]);
    let params = json!({"lr": 0.5, "weight_decay": 0.25, "decoupled_weight_decay": true});
    let config = json!({"library": "lion-pytorch", "api": "lion_pytorch.Lion", "params": params});
    let optimizer: OptimizerConfiguration = serde_json::from_value(config).unwrap();
    assert_eq!(optimizer.config().unwrap().groups[0].get("weight_decay").unwrap().at(0), Ok(0.5));
}

#[test]
fn the_warm_ups_of_ademamix_are_schedules() {
    let params = json!({"alpha": 8.0, "betas": [0.9, 0.999, 0.9999], "t_alpha_beta3": 4});
    let config = read("pytorch_optimizer.AdEMAMix", params, json!({})).unwrap();
    let at = |name: &str, step| config.groups[0].get(name).unwrap().at(step).unwrap();
    assert_eq!([at("alpha", 0), at("alpha", 3), at("alpha", 9)], [2.0, 8.0, 8.0]);
    assert_eq!([at("beta3", 3), at("beta3", 1_000_000)], [0.9999, 0.9999]);
    assert!(at("beta3", 0) > 0.9 && at("beta3", 0) < at("beta3", 1) && at("beta3", 1) < at("beta3", 2));
}

#[test]
fn lamb_clips_by_itself() {
    let lamb = "timm.optim.Lamb";
    let clip = |params: Value| read(lamb, params, json!({})).unwrap().clip;
    assert_eq!(clip(json!({})), Some(Clip::optax_norm(1.0)));
    assert_eq!(clip(json!({"max_grad_norm": 2.0})), Some(Clip::optax_norm(2.0)));
    assert_eq!(clip(json!({"max_grad_norm": null})), None);
    let twice = json!({"clip": {"function": "clip_grad_value_", "clip_value": 1}});
    refused(
        lamb,
        json!({}),
        twice.clone(),
        "clips by itself: leave this out, or let `max_grad_norm: null` among `params`",
    );
    let mut off = twice;
    off["groups"] = json!([{"options": {"max_grad_norm": null}}, {}]);
    assert_eq!(read(lamb, json!({"max_grad_norm": null}), off).unwrap().clip, Some(Clip::value(1.0)));
    let groups = |limit: Value| json!({"groups": [{}, {"options": {"max_grad_norm": limit}}]});
    assert_eq!(read(lamb, json!({}), groups(json!(1))).unwrap().clip, Some(Clip::optax_norm(1.0)));
    let rule =
        "groups[1].options.max_grad_norm is 2, but timm reads the limit of the norm over all groups from the class";
    refused(lamb, json!({}), groups(json!(2)), rule);
    refused(lamb, json!({}), groups(Value::Null), "groups[1].options.max_grad_norm is null, but timm reads");
}

#[test]
fn vectors_of_mars_take_adamw() {
    let mars = "timm.optim.Mars";
    let params = json!({"lr": 0.5, "lr_1d_factor": 0.25, "betas_1d": [0.5, 0.75]});
    let config = read(mars, params, json!({"groups": [{"ndim": 2}, {"ndim": 1}]})).unwrap();
    let named = |group: usize| config.groups[group].rule.as_ref().unwrap().name();
    assert_eq!([named(0), named(1)], ["mars", "adamw"]);
    let of_vectors = |name: &str| config.groups[1].get(name).unwrap().at(0).unwrap();
    assert_eq!([of_vectors("lr"), of_vectors("beta1"), of_vectors("beta2")], [0.125, 0.5, 0.75]);
    refused(mars, json!({}), json!({}), "say `ndim` of each group");
    let caution = json!({"optimize_1d": true, "caution": true});
    refused(mars, caution, json!({}), "params.caution is true, but caution of the adamw type takes two passes");
}
