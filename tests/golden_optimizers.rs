//! The peers' optimizers, built from the peers' own classes, arguments and groups, run on the CPU backend and compared with
//! what the peers really did.
//!
//! Reads every `optimizers*.json` and `mixed*.json` of the folder that `INSTEP_GOLDEN` names, or of `tests/golden/`. The format and how to judge
//! are in the README there. A case whose rule is not here yet is listed with the reason; any other case that is neither
//! reproduced nor, where the peer errs, refused is a failure. `tests/device/golden` does the same through kernels.
#![cfg(feature = "serde")]

#[path = "golden/files.rs"]
mod files;
#[path = "golden/host.rs"]
mod host;
#[path = "golden/optimizers/mod.rs"]
mod optimizers;

use std::sync::Arc;

use serde_json::{Value, json};

use host::Host;
use optimizers::judge::{OWN, TORCH_FOR_LOOP};
use optimizers::run::run;
use optimizers::storage::Beside;
use optimizers::{cases, check, mixed};

#[test]
fn golden_optimizers_are_reproduced_or_refused() {
    check(cases(), &Host::default(), &OWN).print("golden optimizers", 144);
}

#[test]
fn golden_optimizers_are_followed_in_the_order_of_torchs_for_loop() {
    check(cases(), &Host::default(), &TORCH_FOR_LOOP).print("golden optimizers in torch's order", 86);
}

#[test]
fn golden_mixed_cases_are_reproduced() {
    mixed::check_all("golden mixed", &Host::default());
}

/// Two steps of SGD on one tensor, whose numbers are exact in f32.
fn two_steps() -> (Value, Value) {
    let bits = |value: f32| format!("{:08x}", value.to_bits());
    let file = json!({
        "steps": 2,
        "grad_sets": {"set": {"init": [bits(1.0)], "grads": [[bits(0.5)], [bits(-0.25)]]}},
    });
    let record = |step: u64, value: f32| json!({"step": step, "params": [bits(value)], "params_f64": [[value]]});
    let case = json!({
        "name": "one", "source": {"library": "torch", "api": "torch.optim.SGD"}, "params": {"lr": 0.5},
        "grad_set": "set", "schedule": {"class": "StepLR", "step_size": 1, "gamma": 0.5},
        "groups": [{"tensors": [0], "options": {"momentum": 0.5}, "lr": [0.5, 0.25]}],
        "after": [record(1, 0.75), record(2, 0.75)],
        "state": {"momentum_buffer": [bits(0.0)]},
    });
    (file, case)
}

/// How many cases passed, failed, were refused and are not there yet.
fn outcome(change: impl Fn(&mut Value)) -> [usize; 4] {
    let (file, mut case) = two_steps();
    change(&mut case);
    let file = Arc::new(file);
    let judged = |arithmetic| check(vec![(file.clone(), case.clone())], &Host::default(), arithmetic).counts();
    let counts = judged(&OWN);
    assert_eq!(counts, judged(&TORCH_FOR_LOOP), "both bounds see it");
    counts
}

/// The runner itself sees a wrong number: otherwise nothing above means anything.
#[test]
fn golden_runner_sees_what_is_wrong() {
    let (passed, failed, refused, not_yet) = ([1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]);
    assert_eq!(outcome(|_| {}), passed);
    assert_eq!(outcome(|case| case["groups"][0]["lr"][1] = json!(0.2500000000006)), failed);
    assert_eq!(outcome(|case| case["groups"][0]["options"]["momentum"] = json!(0.25)), failed);
    let moved = |case: &mut Value| {
        case["after"][1]["params"][0] = json!("3f400100");
        case["after"][1]["params_f64"][0][0] = json!(f32::from_bits(0x3f40_0100));
    };
    assert_eq!(outcome(moved), failed);
    assert_eq!(outcome(|case| case["state"]["momentum_buffer"][0] = json!("3a000000")), failed);
    assert_eq!(outcome(|case| case["resume"] = json!({"at": 1})), passed);
    let scaler = |scale: [f64; 2]| json!({"init_scale": 4, "scale": scale, "skipped": []});
    assert_eq!(outcome(|case| case["scaler"] = scaler([4.0, 4.0])), passed);
    assert_eq!(outcome(|case| case["scaler"] = scaler([4.0, 8.0])), failed);
    assert_eq!(outcome(|case| case["scaler"] = json!({"skipped": [1]})), failed);
    let clip = |coef: &str| json!({"function": "clip_grad_norm_", "max_norm": 1, "clip_coef": coef});
    assert_eq!(outcome(|case| case["clip"] = clip("3f800000 3f800000")), passed);
    assert_eq!(outcome(|case| case["clip"] = clip("3f800000 3f000000")), failed);
    assert_eq!(outcome(|case| case["params"]["rate"] = json!(1)), failed);
    assert_eq!(outcome(|case| case["source"]["api"] = json!("torch.optim.Other")), not_yet);
    let quirk = |case: &mut Value| {
        case["params"]["rate"] = json!(1);
        case["quirk"] = json!("takes any argument");
    };
    assert_eq!(outcome(quirk), refused);
    let scalar = |case: &mut Value| {
        (case["scalars"], case["scalars_f64"]) = (json!({"rbar": [1.0, 1.0]}), json!({"rbar": [1.0, 1.0]}));
    };
    assert_eq!(outcome(scalar), failed, "SGD has none");
}

/// The same for what a peer keeps beside its tensors: DoG's distance.
#[test]
fn golden_runner_sees_a_wrong_scalar() {
    let outcome = |scalars: [f64; 2], exact: [f64; 2]| {
        let (file, mut case) = two_steps();
        case["source"] = json!({"library": "dog-optimizer", "api": "dog.DoG"});
        case["params"] = json!({"lr": 1.0, "reps_rel": 0.125, "eps": 0.0});
        (case["schedule"], case["state"]) = (Value::Null, Value::Null);
        case["groups"] = json!([{"tensors": [0], "options": {}, "lr": [1.0, 1.0]}]);
        // A distance of 0.25, which the first step goes: 0.25/0.5 · 0.5; then back by 0.25/sqrt(0.3125) · 0.25.
        let second = 0.75 + 0.0625 / 0.3125f64.sqrt();
        for (record, param) in case["after"].as_array_mut().unwrap().iter_mut().zip([0.75, second]) {
            record["params"][0] = json!(format!("{:08x}", (param as f32).to_bits()));
            record["params_f64"][0][0] = json!(f64::from(param as f32));
        }
        (case["scalars"], case["scalars_f64"]) = (json!({"rbar": scalars}), json!({"rbar": exact}));
        check(vec![(Arc::new(file), case)], &Host::default(), &OWN).counts()
    };
    let (passed, failed) = ([1, 0, 0, 0], [0, 1, 0, 0]);
    assert_eq!(outcome([0.25; 2], [0.25; 2]), passed);
    assert_eq!(outcome([0.25, 0.250001], [0.25, 0.250001]), failed);
    assert_eq!(outcome([0.25, 0.250002], [0.25, 0.250001]), passed, "as far as the peer");
}

/// How many mixed cases passed and failed: the two steps with a start that 16 bits cannot hold, and a master.
fn outcome_of_mixed(change: impl Fn(&mut Value)) -> [usize; 2] {
    let (file, case) = mixed_steps(change);
    let [passed, failed, 0, 0] = mixed::check(vec![(file, case)], &Host::default(), &OWN).counts() else {
        panic!("not run");
    };
    [passed, failed]
}

fn mixed_steps(change: impl Fn(&mut Value)) -> (Arc<Value>, Value) {
    let (mut file, mut case) = two_steps();
    file["grad_sets"]["set"]["init"][0] = json!("3f800800"); // 1 + 2^-12
    (case["kind"], case["impl"]) = (json!("master"), json!("for-loop"));
    case["dtypes"] = json!({"params": "bfloat16", "grads": "bfloat16", "master": "float32", "state": "float32"});
    for (after, step) in case["after"].as_array_mut().unwrap().iter_mut().zip([1, 2]) {
        *after = json!({
            "step": step, "params": ["3f40"], "master": ["3f401000"], "master_f64": [[0.75 + 0.5f64.powi(12)]],
            "params_f64": [[0.75]], "state": {"momentum_buffer": ["3f000000"]},
        });
    }
    case["after"][1]["state"]["momentum_buffer"][0] = json!("00000000");
    change(&mut case);
    (Arc::new(file), case)
}

/// The same for cases with 16 bits.
#[test]
fn golden_runner_sees_what_is_wrong_with_16_bits() {
    let (passed, failed) = ([1, 0], [0, 1]);
    assert_eq!(outcome_of_mixed(|_| {}), passed);
    let moved = |case: &mut Value| {
        case["after"][1]["master"][0] = json!("3f401100");
        case["after"][1]["master_f64"][0][0] = json!(f32::from_bits(0x3f40_1100));
    };
    assert_eq!(outcome_of_mixed(moved), failed);
    assert_eq!(outcome_of_mixed(|case| case["after"][1]["state"]["momentum_buffer"][0] = json!("3a000000")), failed);
    assert_eq!(outcome_of_mixed(|case| case["loss_scale"] = json!(4)), passed);
    assert_eq!(outcome_of_mixed(|case| case["scaler"] = json!({"init_scale": 4, "scale": [4.0, 8.0]})), failed);

    let of_kind = |case: &mut Value, kind: &str, dtypes: Value, params: &str| {
        (case["kind"], case["dtypes"]) = (json!(kind), dtypes);
        for (after, buffer) in case["after"].as_array_mut().unwrap().iter_mut().zip(["3f00", "0000"]) {
            (after["params"][0], after["state"]["momentum_buffer"][0]) = (json!(params), json!(buffer));
        }
    };
    let low = |case: &mut Value| {
        of_kind(case, "low", json!({"params": "bfloat16", "grads": "bfloat16", "state": "bfloat16"}), "3f40");
    };
    let exact = |case: &mut Value, params: &str, value: f64| {
        low(case);
        (case["after"][1]["params_f64"][0][0], case["after"][1]["params"][0]) = (json!(value), json!(params));
    };
    assert_eq!(outcome_of_mixed(low), passed);
    assert_eq!(outcome_of_mixed(|case| exact(case, "3f41", 0.7539)), passed, "a unit in the last place");
    assert_eq!(outcome_of_mixed(|case| exact(case, "3f42", 0.7578)), failed, "two units");
    let with_remainder = |case: &mut Value, value: f64| {
        exact(case, "3f41", value);
        case["params"]["kahan_sum"] = json!(true);
    };
    assert_eq!(outcome_of_mixed(|case| with_remainder(case, 0.7517)), passed, "the peer is farther");
    assert_eq!(outcome_of_mixed(|case| with_remainder(case, 0.7523)), failed);

    let moments = |case: &mut Value, params: &str| {
        of_kind(case, "moments", json!({"params": "float32", "momentum_buffer": "bfloat16"}), params);
    };
    assert_eq!(outcome_of_mixed(|case| moments(case, "3f401000")), passed);
    assert_eq!(outcome_of_mixed(|case| moments(case, "3f401200")), failed, "3.05e-5");
    let other_state = |case: &mut Value| {
        moments(case, "3f401000");
        case["after"][1]["state"]["momentum_buffer"][0] = json!("3c80");
    };
    assert_eq!(outcome_of_mixed(other_state), failed, "two units in the last place of 1");

    let (file, value) = mixed_steps(|_| {});
    let Ok(case) = mixed::case(&file, value, Beside::Master, &OWN, &mut Vec::new()) else { panic!("not built") };
    let cases = [case];
    let mut trace = run(&Host::default(), &cases).remove(0);
    assert!(mixed::judge(&cases[0], &trace, &OWN).is_ok());
    trace.stored.get_mut(&1).unwrap()[0][0] = f32::from_bits(0x3f41_0000);
    assert!(mixed::judge(&cases[0], &trace, &OWN).is_err(), "no rounding of the master");
}
