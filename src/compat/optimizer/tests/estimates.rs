//! Optimizers that find their rates.

use serde_json::json;

use super::*;

#[test]
fn optimizers_that_find_their_rates_are_read() {
    let adam = json!({"lr": 1.0, "weight_decay": 0.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "d0": 1e-6});
    let with = |more: Value| {
        let mut group = adam.clone();
        group.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        group
    };
    becomes("prodigyopt.Prodigy", json!({"growth_rate": "inf"}), with(json!({"rule": "prodigy", "d_coef": 1.0})));
    let options = json!({"decouple": false, "beta3": 0.5, "growth_rate": 1.5, "safeguard_warmup": true});
    let rule = json!({"prodigy": {"decouple": false, "safeguard_warmup": true}});
    let expected = with(json!({"rule": rule, "d_coef": 1.0, "beta3": 0.5, "growth_rate": 1.5}));
    becomes("prodigyopt.Prodigy", options, expected);
    let rule = json!({"prodigy": {"use_bias_correction": true}});
    let estimate = json!({"estim_lr0": 1e-4, "estim_lr_coef": 2.0});
    becomes("optax.contrib.prodigy", estimate, with(json!({"rule": rule, "d0": 1e-4, "d_coef": 2.0})));

    let options = json!({"decouple": true, "log_every": 5});
    let expected = with(json!({"rule": {"dadapt_adam": {"decouple": true}}, "layer_scale": 1.0}));
    becomes("dadaptation.DAdaptAdam", options, expected);
    let rule = json!({"dadapt_adam": {"decouple": true, "use_bias_correction": true}});
    becomes("optax.contrib.dadapt_adamw", json!({}), with(json!({"rule": rule})));
    let expected = json!({"rule": "dadapt_sgd", "lr": 1.0, "weight_decay": 0.0, "momentum": 0.5, "d0": 1e-6});
    becomes("dadaptation.DAdaptSGD", json!({"momentum": 0.5}), expected);

    let dog = |rule: Value, lr: f64, init_step: f64| json!({"rule": rule, "lr": lr, "weight_decay": 0.0, "eps": 1e-8, "init_step": init_step});
    becomes("dog-optimizer.DoG", json!({}), dog(json!("dog"), 1.0, 1e-6));
    becomes("dog-optimizer.LDoG", json!({"reps_rel": 1e-4}), dog(json!({"dog": {"over": "tensor"}}), 1.0, 1e-4));
    let rule = json!({"dog": {"init": "learning_rate"}});
    becomes("dog-optimizer.DoG", json!({"init_eta": 0.25, "lr": 0.5}), dog(rule, 0.5, 0.5));
    let all = |init: &str| json!({"dog": {"over": "all", "init": init}});
    becomes("optax.contrib.dog", json!({"init_step": ["distance", 0.5]}), dog(all("distance"), 1.0, 0.5));
    let expected = json!({"rule": "dowg", "lr": 1.0, "weight_decay": 0.0, "eps": 1e-3, "init_estim_sq_dist": 1e-3});
    becomes("optax.contrib.dowg", json!({"eps": 1e-3}), expected);
}

#[test]
fn what_optimizers_that_find_their_rates_have_not_is_refused() {
    let (prodigy, dog) = ("prodigyopt.Prodigy", "dog-optimizer.DoG");
    let cases = [
        (prodigy, json!({"slice_p": 11}), "params.slice_p is 11, but an estimate from a part of the elements"),
        (prodigy, json!({"fsdp_in_use": true}), "params.fsdp_in_use is true, but an estimate over the processes"),
        (prodigy, json!({"beta3": 0}), "params.beta3 is 0, but must be above 0"),
        (prodigy, json!({"d0": 0}), "groups[0].d0 is 0, but must be above 0"),
        ("dadaptation.DAdaptSGD", json!({"growth_rate": 0}), "params.growth_rate is 0, but must be above 0"),
        (
            "dadaptation.DAdaptAdam",
            json!({"growth_rate": "fast"}),
            "params.growth_rate is \"fast\", but must be a number",
        ),
        (dog, json!({"init_eta": 0.1, "lr": 0}), "params.init_eta is 0.1, but the rate that it is to be a multiple of"),
        (
            "optax.contrib.dog",
            json!({"init_step": ["far", 1]}),
            "params.init_step is [\"far\",1], but must be a list of one of",
        ),
        ("optax.contrib.prodigy", json!({"growth_rate": 2}), "params.growth_rate is 2, but is not an argument"),
        ("optax.contrib.dadapt_adamw", json!({"fsdp_in_use": false}), "params.fsdp_in_use is false, but is not an"),
        ("optax.contrib.dog", json!({"init_step": 1}), "params.init_step is 1, but must be a list of one of"),
        ("optax.contrib.dowg", json!({"mask": 1}), "params.mask is 1, but a mask of the weight decay is not there yet"),
    ];
    for (api, params, expected) in cases {
        refused(api, params, json!({}), expected);
    }
    let schedule = json!({"function": "constant_schedule", "value": 0.5});
    let config = read("optax.contrib.dowg", json!({}), json!({"schedule": schedule})).unwrap();
    assert_eq!(config.groups[0].lr().at(3), Ok(0.5));
    let given = json!({"learning_rate": 1.0});
    refused("optax.contrib.dowg", given, json!({"schedule": schedule}), "leave one of them out");
}

#[test]
fn groups_that_share_an_estimate_are_alike() {
    let (prodigy, adam, sgd) = ("prodigyopt.Prodigy", "dadaptation.DAdaptAdam", "dadaptation.DAdaptSGD");
    let groups = |first: Value, second: Value| json!({"groups": [{"options": first}, {"options": second}]});
    let rates = "groups[1].options.lr is 0.5, but the peer raises for rates that differ between groups, 0 excepted: in groups[0]";
    for api in [prodigy, adam, sgd] {
        refused(api, json!({}), groups(json!({}), json!({"lr": 0.5})), rates);
        for schedule in [
            Value::Null,
            json!({"class": "StepLR", "step_size": 3}),
            json!({"class": "CosineAnnealingLR", "T_max": 8}),
            json!({"class": "hf", "name": "linear", "num_warmup_steps": 2, "num_training_steps": 9}),
        ] {
            let mut more = groups(json!({"lr": 0, "weight_decay": 0.5}), json!({}));
            more["schedule"] = schedule;
            read(api, json!({"d0": 1e-5}), more).unwrap();
        }
        let grown = groups(json!({"growth_rate": 1.5}), json!({"growth_rate": "inf"}));
        let expected = "groups[1].options.growth_rate is its default, but the estimate is one over all groups: in groups[0] it is 1.5";
        refused(api, json!({}), grown, expected);
        refused(api, json!({}), groups(json!({}), json!({"d0": 1e-4})), "groups[1].options.d0 is ");
        let read =
            read(api, json!({"growth_rate": "inf"}), groups(json!({"growth_rate": 1.5}), json!({"growth_rate": 1.5})));
        assert_eq!(read.unwrap().groups[1].get("growth_rate").unwrap().at(0), Ok(1.5));
    }
    let others = [
        ("betas", json!([0.9, 0.99])),
        ("beta3", json!(0.5)),
        ("d_coef", json!(2)),
        ("decouple", json!(false)),
        ("use_bias_correction", json!(true)),
        ("safeguard_warmup", json!(true)),
    ];
    for (name, value) in others {
        let second = json!({ name: value });
        refused(prodigy, json!({}), groups(json!({}), second), &format!("groups[1].options.{name} is "));
    }
    read(prodigy, json!({}), groups(json!({"betas": [0.9, 0.999], "d_coef": 1}), json!({"decouple": true}))).unwrap();
    let cycle =
        |momentum: Value| json!({"class": "OneCycleLR", "max_lr": 1.0, "total_steps": 20, "base_momentum": momentum});
    let mut more = groups(json!({}), json!({}));
    more["schedule"] = cycle(json!([0.85, 0.5]));
    refused(prodigy, json!({}), more.clone(), "schedule is given, but the estimate is one over all groups");
    more["schedule"] = cycle(json!(0.85));
    read(prodigy, json!({}), more).unwrap();
}
