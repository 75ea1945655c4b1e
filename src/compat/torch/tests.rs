//! What the tables of the peers do not show: compositions against torch's recursion, and what is refused.

use approx::abs_diff_eq;
use serde_json::{Value, json};

use super::super::{Configuration, Metric, Recipe};
use super::Scheduler;
use super::replay::Trace;
use crate::compat::group::Group;
use crate::error::Result;

fn configuration(class: &str, params: Value) -> Configuration {
    Configuration {
        library: "torch".into(),
        api: format!("torch.optim.lr_scheduler.{class}"),
        params,
        optimizer: json!({"class": "SGD", "args": {"lr": 1.0, "momentum": 0.9}, "groups": [{}]}),
        horizon: Some(40),
        resumed_at: None,
    }
}

fn recipe(class: &str, params: Value) -> Result<Recipe> {
    configuration(class, params).recipes().map(|mut all| all.remove(0))
}

fn rates<const N: usize>(class: &str, params: Value, steps: [u64; N]) -> [f64; N] {
    let lr = recipe(class, params).and_then(|recipe| recipe.lr.trace(steps));
    lr.unwrap_or_else(|e| panic!("{class}: {e}")).try_into().expect("as many values as steps")
}

fn refusal(class: &str, params: Value) -> String {
    match recipe(class, params) {
        Ok(recipe) => panic!("{class} was accepted: {recipe:?}"),
        Err(error) => error.to_string(),
    }
}

/// Where there is a closed form, torch's recursion gives the same.
#[test]
fn closed_forms_are_what_the_recursion_gives() {
    let group = Group { lr: 0.3, default_lr: 0.3, momentum: None, betas: None, weight_decay: None, lr_scale: None };
    let single = [
        Scheduler::Step { size: 7, gamma: 0.5 },
        Scheduler::MultiStep { milestones: vec![0, 5, 5, 30], gamma: 0.5 },
        Scheduler::Constant { factor: 0.25, total: 9 },
        Scheduler::Constant { factor: 0.25, total: 0 },
        Scheduler::Linear { start: 0.1, end: 0.8, total: 12 },
        Scheduler::Linear { start: 0.1, end: 0.8, total: 0 },
        Scheduler::Exponential { gamma: -0.9 },
        Scheduler::Polynomial { total: 20, power: 0.9 },
        Scheduler::Polynomial { total: 0, power: 0.9 },
        Scheduler::Cosine { t_max: 13, eta_min: 0.01 },
        Scheduler::Restarts { t_0: 3, t_mult: 2, eta_min: 0.01 },
        Scheduler::Swa { swa_lr: 0.05, epochs: 10, anneal: super::Anneal::Cosine },
        Scheduler::Swa { swa_lr: 0.05, epochs: 0, anneal: super::Anneal::Linear },
    ];
    let sequence = Scheduler::Sequential {
        members: single[4..=4].iter().chain(&single[9..=10]).cloned().collect(),
        milestones: vec![8, 40],
    };
    let chain = Scheduler::Chained(vec![single[4].clone(), single[1].clone(), single[6].clone()]);
    for scheduler in single.iter().chain([&sequence, &chain]) {
        let closed = scheduler.closed(group.lr, Some(100)).expect("a closed form").trace(0..100).unwrap();
        let replayed = Trace::of(scheduler, &group, 100).unwrap().lr;
        for (step, (closed, replayed)) in closed.iter().zip(&replayed).enumerate() {
            let close = abs_diff_eq!(closed, replayed, epsilon = 1e-13);
            assert!(close, "{scheduler:?} at {step}: {closed} and {replayed}");
        }
    }
}

#[test]
fn the_milestone_of_an_inner_sequence_comes_one_step_early() {
    let inner = json!({"class": "SequentialLR", "milestones": [3], "schedulers": [
        {"class": "ConstantLR", "factor": 0.5, "total_iters": 100},
        {"class": "ConstantLR", "factor": 0.25, "total_iters": 100}]});
    let outer = json!({"milestones": [10], "schedulers": [inner, {"class": "ConstantLR", "factor": 0.125}]});
    assert_eq!(rates("SequentialLR", outer, [0, 1, 2, 9, 10]), [0.5, 0.5, 0.25, 0.25, 0.125]);
}

#[test]
fn a_chain_in_the_first_slot_acts_at_step_0() {
    let chain = json!({"class": "ChainedScheduler", "schedulers": [{"class": "ExponentialLR", "gamma": 0.5}]});
    let params = json!({"milestones": [3], "schedulers": [chain, {"class": "ExponentialLR", "gamma": 0.5}]});
    assert_eq!(rates("SequentialLR", params, [0, 1, 2, 3, 4]), [0.5, 0.25, 0.125, 1.0, 0.5]);
}

#[test]
fn a_one_cycle_in_a_later_slot_moves_the_rate_of_the_warm_up() {
    let params = json!({"milestones": [4], "schedulers": [
        {"class": "LinearLR", "start_factor": 0.5, "total_iters": 4},
        {"class": "OneCycleLR", "max_lr": 0.5, "total_steps": 40, "div_factor": 4.0}]});
    assert_eq!(rates("SequentialLR", params, [0, 4]), [0.0625, 0.125]);
}

#[test]
fn a_function_that_only_python_can_vouch_for_becomes_a_table() {
    let params = json!({"lr_lambda": "1 / (epoch - 20) if epoch != 20 else 7"});
    assert_eq!(rates("LambdaLR", params, [19, 20, 21, 22]), [-1.0, 7.0, 1.0, 0.5]);
}

#[test]
fn a_run_taken_up_with_last_epoch_goes_on_or_is_refused() {
    let params = |last_epoch: i64| json!({"step_size": 10, "gamma": 0.5, "last_epoch": last_epoch});
    let taken_up = |at: u64, last_epoch: i64| {
        Configuration { resumed_at: Some(at), ..configuration("StepLR", params(last_epoch)) }.recipes()
    };
    assert!(taken_up(15, 14).is_ok());
    let twice = taken_up(20, 19).unwrap_err().to_string();
    assert!(twice.contains("from step 20 on"), "{twice}");
    assert!(taken_up(15, 15).is_err());
}

#[test]
fn what_torch_refuses_or_divides_by_is_refused_by_name() {
    let cases = [
        ("StepLR", json!({"step_size": 0}), "params.step_size is 0"),
        ("StepLR", json!({}), "params.step_size is missing"),
        ("StepLR", json!({"step_size": 3, "gama": 1}), "params.gama is 1"),
        ("StepLR", json!({"step_size": "3"}), "params.step_size is \"3\""),
        ("ConstantLR", json!({"factor": 0.0}), "params.factor is 0"),
        ("LinearLR", json!({"start_factor": 0.0}), "params.start_factor is 0"),
        ("CosineAnnealingLR", json!({"T_max": 0}), "params.T_max is 0"),
        ("CosineAnnealingWarmRestarts", json!({"T_0": 10.0}), "params.T_0 is 10.0"),
        ("CyclicLR", json!({"base_lr": 0.1, "max_lr": 1, "step_size_up": 0}), "params.step_size_up is 0"),
        ("OneCycleLR", json!({"max_lr": 1, "total_steps": 39}), "params.total_steps is 39"),
        ("OneCycleLR", json!({"max_lr": 1, "total_steps": 50, "pct_start": 0.02}), "params.pct_start is 0.02"),
        ("OneCycleLR", json!({"max_lr": 1, "total_steps": 50, "pct_start": 1}), "params.pct_start is 1"),
        ("LambdaLR", json!({"lr_lambda": "1 / epoch"}), "params.lr_lambda is 1 / epoch"),
        ("LambdaLR", json!({"lr_lambda": ["1", "1"]}), "params.lr_lambda is 2 values"),
        ("ReduceLROnPlateau", json!({"factor": 1.0}), "params.factor is 1"),
        ("ReduceLROnPlateau", json!({"factor": -0.5, "min_lr": -0.1}), "params.min_lr is -0.1"),
        ("ReduceLROnPlateau", json!({"eps": -1}), "params.eps is -1"),
        ("ChainedScheduler", json!({"schedulers": [{"class": "ReduceLROnPlateau"}]}), "params.schedulers[0].class is"),
        (
            "SequentialLR",
            json!({"schedulers": [{"class": "ExponentialLR", "gamma": 1}], "milestones": [3]}),
            "params.milestones is",
        ),
        ("NoSuchLR", json!({}), "api is NoSuchLR"),
    ];
    for (class, params, start) in cases {
        let refusal = refusal(class, params);
        assert!(refusal.starts_with(start), "{class}: {refusal}");
    }
}

#[test]
fn what_torch_makes_of_odd_plateaus_is_kept() {
    // The rate after each of these observations.
    let rates = |params: Value| {
        let recipe = recipe("ReduceLROnPlateau", params).unwrap();
        let Some(Metric::Plateau(plateau)) = recipe.metric else { panic!("{recipe:?}") };
        let (lr, mut state) = (recipe.lr.at(0).unwrap(), plateau.start());
        [1.0, 1.0, f64::NEG_INFINITY, 0.5, 0.25].map(|metric| {
            state = plateau.observe(state, metric);
            lr * state.scale
        })
    };
    // max(-0.5 lr, min_lr)
    let at_once = rates(json!({"patience": 0, "factor": -0.5, "min_lr": 0.25}));
    assert_eq!(at_once, [1.0, 0.25, 0.25, 0.25, 0.25]);
    // A lower bound above the rate is no reduction.
    assert_eq!(rates(json!({"patience": 0, "factor": 0.5, "min_lr": 2.0})), [1.0; 5]);
    // Nothing is better than minus infinity.
    let falls = rates(json!({"patience": 0, "factor": 0.5, "min_lr": -1.0}));
    assert_eq!(falls, [1.0, 0.5, 0.5, 0.25, 0.125]);
}

#[test]
fn groups_whose_bounds_are_alike_share_one_rule_and_all_are_in_one_state() {
    let two = |params, second: f64| {
        let optimizer = json!({"class": "SGD", "args": {"lr": 0.5}, "groups": [{}, {"lr": second}]});
        Configuration { optimizer, ..configuration("ReduceLROnPlateau", params) }.recipes().unwrap()
    };
    let alike = two(json!({"eps": 0.0}), 0.1);
    assert_eq!(Recipe::shared_metric(&alike), alike[0].metric);
    assert!(alike[0].metric.is_some());
    let apart = two(json!({"patience": 1, "min_lr": 0.1}), 0.2);
    assert_eq!(Recipe::shared_metric(&apart), None);
    let rules = [0, 1].map(|i| match apart[i].metric {
        Some(Metric::Plateau(plateau)) => plateau,
        other => panic!("{other:?}"),
    });
    let mut states = rules.map(|plateau| plateau.start());
    for metric in [1.0, 1.0, 1.0, 0.5, 0.6, 0.7, 0.8, 0.4] {
        states = [0, 1].map(|i| rules[i].observe(states[i], metric));
        // What torch keeps once; the bounds are each group's own.
        let kept = states.map(|state| (state.best, state.bad, state.cooldown));
        assert_eq!(kept[0], kept[1], "{metric}");
    }
}
