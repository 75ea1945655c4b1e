//! Numbers at the ends of their types: what is told of them is a value that the peer has too, or an error that names the argument.
//! The files are in `tests/configurations`; `tests/fuzz` makes more of the kind.

use serde_json::{Value, json};

use super::super::{Configuration, Facts, Reading, read};
use crate::error::Result;

fn reading(text: &str) -> Result<Reading> {
    read(text, &Facts::default())
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let error = reading(text).map(|reading| reading.config).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

#[test]
fn h01_a_total_above_what_two_counts_may_sum_to() {
    refused(
        include_str!("../../../tests/configurations/h01_onecycle_u64_max.json"),
        "params.total_steps is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1",
    );
}

#[test]
fn h02_a_period_above_what_two_counts_may_sum_to() {
    refused(
        include_str!("../../../tests/configurations/h02_chained_cosine_u64_max.json"),
        "params.schedulers[1].T_max is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1",
    );
}

/// transformers takes it: after the warm-up, every step is past the end of the decay.
#[test]
fn h03_a_decay_that_was_over_long_ago() {
    let text = include_str!("../../../tests/configurations/h03_wsd_i64_min.json");
    let lr = reading(text).unwrap().config.groups[0].lr().clone();
    let values = lr.trace([0, 5, 10, 50, 129, u64::MAX]).unwrap();
    assert_eq!(values, [1e-4, 5.5e-4, 1e-4, 1e-4, 1e-4, 1e-4]);
}

/// The run goes on from the step that it was taken up at: nothing is compared, and nothing is allocated. In a file, a run of so many
/// steps is a slip of the pen.
#[test]
fn h04_a_run_taken_up_after_all_that_counts() {
    let text = include_str!("../../../tests/configurations/h04_last_epoch_huge.json");
    refused(text, "horizon is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1");

    let fields: Value = serde_json::from_str(text).unwrap();
    let mut configuration = Configuration {
        library: "transformers".into(),
        api: "get_scheduler".into(),
        params: fields["params"].clone(),
        optimizer: fields["optimizer"].clone(),
        horizon: fields["horizon"].as_u64(),
        resumed_at: None,
    };
    let lr = configuration.recipes().unwrap().remove(0).lr;
    assert_eq!(lr.trace([0, 25, 50, 1 << 63, u64::MAX]).unwrap(), [0.0, 2.5e-5, 0.0, 0.0, 0.0]);

    configuration.resumed_at = Some(5);
    let error = configuration.recipes().unwrap_err().to_string();
    assert_eq!(
        error,
        "horizon is 18446744073709551615, but must be at most 1048576 past the step 5 at which the run is taken up: the steps \
         since are compared one by one"
    );
}

fn lr_of(library: &str, api: &str, params: Value, optimizer: &str, horizon: Option<u64>) -> Result<Vec<f64>> {
    let configuration = Configuration {
        library: library.into(),
        api: api.into(),
        params,
        optimizer: json!({"class": optimizer, "args": {"lr": 1.0}, "groups": [{}]}),
        horizon,
        resumed_at: None,
    };
    configuration.recipes()?[0].lr.trace([0, 1, 1 << 53, u64::MAX])
}

#[test]
fn counts_at_the_end_of_what_is_taken() {
    let end = (1u64 << 63) - 1;
    let cases = [
        (
            "torch",
            "OneCycleLR",
            json!({"max_lr": 1.0, "total_steps": end, "anneal_strategy": "linear", "pct_start": 0.5}),
        ),
        ("torch", "CosineAnnealingLR", json!({"T_max": end})),
        ("torch", "CosineAnnealingWarmRestarts", json!({"T_0": end, "T_mult": 3})),
        ("torch", "StepLR", json!({"step_size": end})),
        (
            "transformers",
            "get_scheduler",
            json!({"name": "linear", "num_warmup_steps": end, "num_training_steps": end}),
        ),
        ("transformers", "get_scheduler", json!({"name": "cosine", "num_warmup_steps": 0, "num_training_steps": end})),
        ("timm", "CosineLRScheduler", json!({"t_initial": end, "cycle_limit": end, "cycle_mul": 2.0})),
        ("deepspeed", "WarmupLR", json!({"warmup_num_steps": end, "warmup_type": "linear"})),
    ];
    for (library, api, params) in cases {
        match lr_of(library, api, params, "SGD", None) {
            Ok(values) => assert!(values.iter().all(|value| (0.0..=1.0).contains(value)), "{api}: {values:?}"),
            Err(error) => panic!("{api}: {error}"),
        }
    }
}

/// A recursion that leaves the finite numbers is refused with the step, as it is where torch gets there.
#[test]
fn what_overflows_on_its_way_is_refused() {
    let exponential = json!({"class": "ExponentialLR", "gamma": 1e200});
    let cosine = json!({"class": "CosineAnnealingLR", "T_max": 4, "eta_min": 0.1});
    let chained = json!({"schedulers": [exponential, cosine]});
    let error = lr_of("torch", "ChainedScheduler", chained, "SGD", Some(10)).unwrap_err().to_string();
    assert!(error.ends_with("lr at step 2 is inf, but must be finite"), "{error}");
    let error = lr_of("torch", "ExponentialLR", json!({"gamma": 1e300}), "SGD", Some(10)).unwrap_err().to_string();
    assert!(error.contains("must be finite"), "{error}");
}

/// A text of a few lines asks for no more memory than a table has.
#[test]
fn what_a_file_asks_for_is_bounded() {
    let product = json!({"lr_lambda": "0.5 if epoch % 7 else 1"});
    let error = lr_of("torch", "MultiplicativeLR", product.clone(), "SGD", Some(u64::MAX)).unwrap_err().to_string();
    assert_eq!(
        error,
        "horizon is 18446744073709551615, but must be less: without a closed form each step is computed, and all groups \
         and schedulers together take at most 8388608 steps"
    );
    let error = lr_of("torch", "MultiplicativeLR", product, "SGD", Some((1 << 20) + 1)).unwrap_err().to_string();
    assert_eq!(error, "horizon is 1048577, but must be at most 1048576 steps without a closed form");

    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let error = lr_of("torch", "StepLR", json!({"step_size": deep}), "SGD", None).unwrap_err().to_string();
    assert_eq!(error, "params is nested 65 levels deep or deeper, but must nest at most 64 levels");

    let groups = |count: usize, milestones: u64| Configuration {
        library: "torch".into(),
        api: "MultiStepLR".into(),
        params: json!({"milestones": (0..milestones).collect::<Vec<_>>()}),
        optimizer: json!({"class": "SGD", "args": {"lr": 1.0}, "groups": vec![json!({}); count]}),
        horizon: None,
        resumed_at: None,
    };
    let error = groups(4_097, 1).recipes().unwrap_err().to_string();
    assert_eq!(error, "optimizer.groups is 4097 groups, but must be at most 4096");
    let error = groups(4_096, 2_000).recipes().unwrap_err().to_string();
    assert_eq!(
        error,
        "optimizer.groups is 4096 groups, but must be fewer: each reads all 2004 values of the arguments, and all groups \
         together read at most 4194304"
    );
    assert_eq!(groups(4_096, 1).recipes().unwrap().len(), 4_096);
}
