//! The peers' optimizers, built from the peers' own classes, arguments and groups, run on the CPU backend and compared with
//! what the peers really did.
//!
//! Reads every `optimizers*.json` of the folder that `INSTEP_GOLDEN` names, or of `tests/golden/`. The format and how to judge
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
use optimizers::{cases, check};

#[test]
fn golden_optimizers_are_reproduced_or_refused() {
    check(cases(), &Host::default(), &OWN).print("golden optimizers", 30);
}

#[test]
fn golden_optimizers_are_followed_in_the_order_of_torchs_for_loop() {
    check(cases(), &Host::default(), &TORCH_FOR_LOOP).print("golden optimizers in torch's order", 29);
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
}
