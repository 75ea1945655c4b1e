//! What is refused, at which place.

use serde_json::{Value, json};

use super::refused;

#[test]
fn what_is_not_there_yet_is_refused_by_name() {
    let sgd = "torch.optim.SGD";
    let cases = [
        (
            "torch.optim.LBFGS",
            json!({}),
            "api is torch.optim.LBFGS, but is not a class of torch that has a translation; there are SGD, Adam,",
        ),
        (
            "colossalai.FusedAdam",
            json!({}),
            "library is colossalai, but is not a library whose optimizers have a translation",
        ),
        (sgd, json!({"differentiable": true}), "params.differentiable is true, but a step that gradients flow through"),
        (
            "optax.rmsprop",
            json!({"learning_rate": 1, "initial_scale": 0.5}),
            "params.initial_scale is 0.5, but a start",
        ),
        (
            "optax.adam",
            json!({"learning_rate": 1, "eps_root": 0.1}),
            "params.eps_root is 0.1, but a term under the root",
        ),
    ];
    for (api, params, expected) in cases {
        refused(api, params, json!({}), expected);
    }
    let more = |key: &str, value: Value| json!({ key: value });
    refused(
        sgd,
        json!({}),
        more("clip", json!({"function": "agc"})),
        "clip.function is agc, but is not a clipping that has",
    );
    let clip = json!({"function": "clip_grad_norm_", "max_norm": 1, "norm_type": 3});
    refused(sgd, json!({}), more("clip", clip), "clip.norm_type is 3, but that norm is not there yet");
    refused(sgd, json!({}), more("scaler", json!({"class": "Other"})), "scaler.class is Other, but must be GradScaler");
    let on_skip = json!({"scheduler_on_skip": "advanced"});
    refused(sgd, json!({}), more("scaler", on_skip), "a schedule that moves on with a skipped step is not there yet");
}

#[test]
fn what_is_wrong_is_refused_at_its_place() {
    let (sgd, adam) = ("torch.optim.SGD", "torch.optim.Adam");
    let cases = [
        (sgd, json!({"rate": 1}), "params.rate is 1, but is not an argument of this call"),
        (sgd, json!({"lr": "fast"}), "params.lr is \"fast\", but must be a number"),
        (sgd, json!({"nesterov": true}), "params.nesterov is true, but torch wants a momentum and no dampening"),
        (adam, json!({"betas": [0.9]}), "params.betas is [0.9], but must be two numbers"),
        (adam, json!({"betas": [0.9, 1.0]}), "groups[0].beta2 is 1, but must lie in [0, 1)"),
        (adam, json!({"lr": -1.0}), "groups[0].lr is -1, but must not be negative"),
        ("optax.sgd", json!({}), "params.learning_rate is missing, but must be given"),
    ];
    for (api, params, expected) in cases {
        refused(api, params, json!({}), expected);
    }
    let groups = json!({"groups": [{"options": {"lr": 1}}, {"options": {"rate": 1}}]});
    refused(sgd, json!({}), groups, "groups[1].options.rate is 1, but is not an argument of this call");
    refused(adam, json!({}), json!({"groups": [{"options": {"amsgrad": 1}}]}), "groups[0].options.amsgrad is 1, but");
    refused(sgd, json!({}), json!({"groups": [{"lr": 1}]}), "groups[0].lr is 1, but is not an argument of this call");
    refused(sgd, json!({}), json!({"groups": 3}), "groups is 3, but must be a list of parameter groups");
    let schedule = json!({"schedule": {"class": "StepLR", "step_size": 0}});
    refused(sgd, json!({}), schedule, "schedule.params.step_size is 0, but");
    refused(sgd, json!({}), json!({"schedule": {"step_size": 1}}), "must have a class, a function, or library and api");
    let schedule = json!({"schedule": {"function": "constant_schedule", "value": 0.1}});
    refused("optax.sgd", json!({"learning_rate": 0.1}), schedule, "leave one of them out");
    refused(
        sgd,
        json!({}),
        json!({"clip": {"function": "clip_grad_norm_", "max_norm": 0}}),
        "clip.torch_norm is 0, but",
    );
}
