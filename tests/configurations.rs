//! Configurations as people wrote them, one a file: each has the values of the library that it comes from, or is refused in words that
//! are pinned here.
#![cfg(feature = "serde")]

use std::collections::{BTreeMap, BTreeSet};

use instep::Error;
use instep::compat::{Facts, Metric, read};

/// What becomes of a file.
enum Becomes {
    /// The values of a hyperparameter of a group at steps, to 13 digits of what is at least 0.001.
    Values(usize, &'static str, &'static [(u64, f64)]),
    Refused(&'static str),
}
use Becomes::{Refused, Values};

/// A file, the library with the version whose values these are and where they are from, and what becomes of it.
type Case = (&'static str, &'static str, &'static [Becomes]);

const CASES: &[Case] = &[
    (
        "q01_ds_warmup_groups.json",
        "DeepSpeed 0.19.8, run: lr_schedules.WarmupLR takes each group's own rate; up to 0.19.3 it took the first group's",
        &[
            Values(0, "lr", &[(0, 0.0), (1, 0.0), (2, 2.5e-4), (3, 5e-4), (4, 7.5e-4), (5, 1e-3), (100, 1e-3)]),
            Values(1, "lr", &[(0, 0.0), (1, 0.0), (2, 2.5e-5), (3, 5e-5), (4, 7.5e-5), (5, 1e-4), (100, 1e-4)]),
        ],
    ),
    (
        "q02_ds_onecycle_FusedAdam.json",
        "DeepSpeed 0.19.8, run: lr_schedules.OneCycle on an optimizer with betas (0.9, 0.999)",
        &[
            Values(0, "lr", &[(0, 1e-4), (1, 3.25e-4), (4, 1e-3), (6, 5.5e-4), (8, 1e-4), (10, 1e-4)]),
            Values(0, "beta1", &[(0, 0.8), (1, 0.875), (2, 0.85), (4, 0.8), (6, 0.85), (8, 0.9), (10, 0.9)]),
            Values(0, "beta2", &[(0, 0.99), (5, 0.99), (100, 0.99)]),
        ],
    ),
    (
        "q03_torch_cyclic_torch.optim.AdamW.json",
        "torch 2.15.0: CyclicLR.get_lr, triangular, with the first beta from max_momentum 0.9 to base_momentum 0.8 and back",
        &[
            Values(0, "lr", &[(0, 1e-4), (1, 3.25e-4), (2, 5.5e-4), (4, 1e-3), (7, 3.25e-4), (8, 1e-4), (12, 1e-3)]),
            Values(0, "beta1", &[(0, 0.9), (1, 0.875), (2, 0.85), (4, 0.8), (7, 0.875), (8, 0.9), (12, 0.8)]),
        ],
    ),
    (
        "q04_hf_cos_ssk.json",
        "transformers 5.23.0: get_cosine_with_hard_restarts_schedule_with_warmup, 3 cycles",
        &[Values(
            0,
            "lr",
            &[
                (0, 0.0),
                (15, 5e-4),
                (30, 1e-3),
                (100, 8.887427753398248e-4),
                (354, 9.999895105006994e-4),
                (999, 2.360127027339898e-8),
                (1000, 0.0),
            ],
        )],
    ),
    (
        "q07_optax_neg.json",
        "optax 0.2.8, which raises: decay_steps counts the warm-up",
        &[Refused("params.decay_steps is 100, but must leave the cosine at least one step")],
    ),
    (
        "p01_ds_whole.json",
        "DeepSpeed 0.19.8 in transformers' Trainer 5.23.0, which fills in every auto",
        &[Refused("facts.steps is missing, but must be given for scheduler.params.total_num_steps")],
    ),
    (
        "p03_ds_sched_section.json",
        "DeepSpeed 0.19.8: WarmupDecayLR, whose warmup_max_lr is 0.001 where it is left out, with the logarithmic rise",
        &[Values(0, "lr", &[(0, 0.0), (1, 0.0), (101, 1e-3), (551, 5e-4), (1001, 0.0), (2000, 0.0)])],
    ),
    (
        "p08_ds_typo_type.json",
        "DeepSpeed 0.19.8 takes it for log with a warning; nobody means that",
        &[Refused("params.warmup_type is lineer, but must be log or linear; the nearest is linear")],
    ),
    (
        "p10_hf_targs.json",
        "transformers 5.23.0: get_cosine_schedule_with_warmup over max_steps, with ceil(1000 * 0.03) steps of warm-up",
        &[Values(0, "lr", &[(0, 0.0), (15, 1e-5), (30, 2e-5), (500, 1.0485622221144485e-5), (1000, 0.0)])],
    ),
    (
        "p15_hf_direct.json",
        "transformers 5.23.0: get_cosine_schedule_with_warmup",
        &[Values(0, "lr", &[(0, 0.0), (15, 1e-5), (30, 2e-5), (500, 1.0485622221144485e-5), (1000, 0.0)])],
    ),
    (
        "p30_meg_cli.json",
        "Megatron-LM core 0.16.1: OptimizerParamScheduler.get_lr, cosine, with 0.01 of the decay as warm-up",
        &[Values(
            0,
            "lr",
            &[
                (0, 0.0),
                (1600, 7.5e-5),
                (3200, 1.5e-4),
                (100_000, 1.2015035054457321e-4),
                (320_000, 1e-5),
                (400_000, 1e-5),
            ],
        )],
    ),
    (
        "p40_comp_mpt.json",
        "llm-foundry 0.22.0's short name of Composer 0.32.1's CosineAnnealingWithWarmupScheduler",
        &[Values(
            0,
            "lr",
            &[(0, 0.0), (50, 3e-4), (100, 6e-4), (2000, 4.099944068391212e-4), (4800, 6e-5), (6000, 6e-5)],
        )],
    ),
    (
        "p51_keras_serialized.json",
        "Keras 3.15.1: CosineDecay in float64",
        &[Values(0, "lr", &[(0, 1e-3), (25, 8.681980515339464e-4), (50, 5.5e-4), (100, 1e-4), (200, 1e-4)])],
    ),
    (
        "p64_torch_name_key.json",
        "torch 2.15.0: SequentialLR of two ConstantLR, the second of which ends 5 calls after the milestone",
        &[Values(0, "lr", &[(0, 0.01), (199, 0.01), (200, 1e-3), (204, 1e-3), (205, 0.01), (1000, 0.01)])],
    ),
    (
        "p66_torch_lambda_lambda.json",
        "torch 2.15.0: LambdaLR, of which the lambda is read as its body",
        &[Values(0, "lr", &[(0, 0.01), (1, 0.0095), (2, 0.009025), (50, 7.694497527671315e-4)])],
    ),
    (
        "p68_torch_poly900.json",
        "torch 2.15.0, where Python's power becomes a complex number at epoch 101",
        &[Refused(
            "params.lr_lambda is (1 - epoch / 100) ** 0.9, but pow[0] is -1.8446744073709552e17 to 1 in it, which \
                 must not be negative at any step; say where the run ends, after which the last value holds: `horizon`, \
                 Facts::steps or --total-steps",
        )],
    ),
    (
        "p78_torch_exp_growth.json",
        "torch 2.15.0, where the rate grows until it is infinite",
        &[Refused(
            "groups[0].lr.schedule is 0.1 to inf, but must be finite in f32 at every step; say where the run ends, \
                 after which the last value holds: `horizon`, Facts::steps or --total-steps",
        )],
    ),
    (
        "p86_titan_section.json",
        "torchtitan 0.3.0: linear_warmup_stable_decay of lr_scheduler.py, cosine",
        &[Values(
            0,
            "lr",
            &[(0, 4e-6), (99, 4e-4), (199, 8e-4), (200, 8e-4), (600, 4.4e-4), (999, 8.00027758226706e-5)],
        )],
    ),
    (
        "r09_msf.toml",
        "instep: milestones at 0.6, 1.2 and 1.8 steps, of which two round to step 1 and are both taken there",
        &[Values(0, "lr", &[(0, 0.1), (1, 1e-3), (2, 1e-4), (10, 1e-4)])],
    ),
    (
        "h01_onecycle_u64_max.json",
        "torch 2.15.0",
        &[Refused("params.total_steps is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1")],
    ),
    (
        "h02_chained_cosine_u64_max.json",
        "torch 2.15.0",
        &[Refused(
            "params.schedulers[1].T_max is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1",
        )],
    ),
    (
        "h03_wsd_i64_min.json",
        "transformers 5.23.0: get_wsd_schedule, past its decay right after the warm-up",
        &[Values(0, "lr", &[(0, 1e-4), (5, 5.5e-4), (10, 1e-4), (50, 1e-4), (129, 1e-4)])],
    ),
    (
        "h04_last_epoch_huge.json",
        "transformers 5.23.0",
        &[Refused("horizon is 18446744073709551615, but must be a count of steps, from 0 to 2^63 - 1")],
    ),
];

fn folder() -> String {
    format!("{}/tests/configurations", env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    std::fs::read_to_string(format!("{}/{name}", folder())).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_case_has_the_values_of_its_library_or_its_words() {
    let mut wrong = Vec::new();
    for (name, source, becomes) in CASES {
        let reading = read(&text(name), &Facts::default());
        for becomes in *becomes {
            match (&reading, becomes) {
                (Err(error), Refused(words)) => {
                    if error.to_string() != *words {
                        wrong.push(format!("{name}: {error}\n  expected {words}"));
                    }
                }
                (Ok(reading), Values(group, hyperparameter, values)) => {
                    let Some(schedule) = reading.config.groups[*group].get(hyperparameter) else {
                        wrong.push(format!("{name}: no {hyperparameter}"));
                        continue;
                    };
                    for (step, expected) in *values {
                        let value = schedule.at(*step).expect("a value");
                        if (value - expected).abs() > 1e-13 * expected.abs().max(1e-3) {
                            wrong.push(format!(
                                "{name}: {hyperparameter} at {step} is {value}, and {expected} in {source}"
                            ));
                        }
                    }
                }
                (Ok(_), Refused(words)) => wrong.push(format!("{name} is accepted, and not {words}")),
                (Err(error), Values(..)) => wrong.push(format!("{name}: {error}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Keras reduces after 4 epochs that are not better, which is a patience of 3 where more than so many must be.
#[test]
fn a_callback_of_keras_is_a_metric_rule() {
    let config =
        read(&text("p53_keras_plateau.json"), &Facts::default()).expect("Keras 3.15.1's ReduceLROnPlateau").config;
    let Some(Metric::Plateau(plateau)) = config.groups[0].metric.or(config.metric) else { panic!("no plateau") };
    let mut state = plateau.start();
    let scales: Vec<f64> = [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5]
        .map(|loss| {
            state = plateau.observe(state, loss);
            state.scale
        })
        .into();
    assert_eq!(scales, [1.0, 1.0, 1.0, 1.0, 0.2, 0.2, 0.2]);
}

/// What the Trainer fills in comes from facts.
#[test]
fn what_is_left_to_be_filled_in_is_named_or_comes_from_facts() -> Result<(), Error> {
    let facts = |names: &[(&str, f64)]| Facts {
        steps: Some(1_000),
        values: names.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect::<BTreeMap<_, _>>(),
        ..Facts::default()
    };
    let config = read(&text("p01_ds_whole.json"), &facts(&[("warmup_num_steps", 100.0)]))?.config;
    let lr = config.groups[0].lr();
    assert_eq!([0, 1, 101, 1_001].map(|step| lr.at(step).expect("a rate")), [0.0, 0.0, 4e-5, 0.0]);
    assert_eq!(config.groups[0].rule.as_ref().map(|rule| rule.name()), Some("adamw"));
    assert!(config.clip.is_some());
    Ok(())
}

#[test]
fn no_case_is_forgotten() {
    let files = std::fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    let is_case = |name: &String| name.as_bytes()[1].is_ascii_digit();
    let files: BTreeSet<String> = files.map(|name| name.to_string_lossy().into_owned()).filter(is_case).collect();
    let mut tested: BTreeSet<String> = CASES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    tested.insert("p53_keras_plateau.json".into());
    assert_eq!(files, tested);
    assert_eq!(tested.len(), 24);
}
