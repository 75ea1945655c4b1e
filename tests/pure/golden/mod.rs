//! The schedules of torch, transformers, optax, timm and DeepSpeed, written in this crate's language and
//! compared with what those libraries really did: the tables of `tests/golden/`, whose README has the format and the
//! tolerances. A case that the language cannot say yet is left out and counted. Optimizers: `tests/golden_optimizers.rs`.

mod optax;
mod others;
mod torch;

use std::path::Path;

use approx::abs_diff_ne;
use instep::Schedule;
use serde_json::Value;

/// One of the files of `tests/golden/`.
fn load(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    serde_json::from_str(&text).unwrap()
}

/// A number among the arguments of a call.
fn real(params: &Value, name: &str) -> f64 {
    params[name].as_f64().unwrap_or_else(|| panic!("no number {name} in {params}"))
}

/// A count among the arguments of a call; some libraries hold theirs as floats.
fn count(params: &Value, name: &str) -> u64 {
    whole(real(params, name)).unwrap_or_else(|| panic!("no count {name} in {params}"))
}

/// `x` as a count of steps, if it is one.
fn whole(x: f64) -> Option<u64> {
    (x >= 0.0 && x.fract() == 0.0).then_some(x as u64)
}

fn reals(values: &Value) -> Vec<f64> {
    values.as_array().expect("a list").iter().map(|value| value.as_f64().expect("a number")).collect()
}

/// All pieces one after the other.
fn chain(pieces: impl IntoIterator<Item = Schedule>) -> Schedule {
    pieces.into_iter().reduce(Schedule::then).expect("at least one piece")
}

/// What a case lists of a group in our language: which of its lists, and the schedule that must give it.
struct Claim {
    quantity: &'static str,
    schedule: Schedule,
}

impl Claim {
    fn lr(schedule: Schedule) -> Vec<Claim> {
        vec![Claim { quantity: "lr", schedule }]
    }
}

/// What our language says of a case for a group with `base_lr`, which is the `group`-th; None if it cannot say it yet.
fn claims(case: &Value, group: usize, base_lr: Option<f64>) -> Option<Vec<Claim>> {
    let params = &case["params"];
    let base = base_lr.unwrap_or(f64::NAN);
    match case["source"]["library"].as_str().unwrap() {
        "torch" => torch::claims(params, base, group, case["steps"].as_u64().unwrap()),
        "transformers" => others::transformers(params, base).map(Claim::lr),
        "optax" => {
            optax::schedule(case["source"]["api"].as_str().unwrap().rsplit('.').next().unwrap(), params).map(Claim::lr)
        }
        "timm" => others::timm(case["source"]["api"].as_str().unwrap(), params, base).map(Claim::lr),
        "deepspeed" => others::deepspeed(case["source"]["api"].as_str().unwrap(), params).map(Claim::lr),
        other => panic!("an unknown library, {other}"),
    }
}

/// Torch computes these from the present rate: a rounding error a step adds up.
const RECURSIVE: [&str; 11] = [
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "MultiplicativeLR",
    "SWALR",
    "SequentialLR",
    "ChainedScheduler",
];

/// The first step at which `schedule` is not what was listed, and both values.
fn first_difference(schedule: &Schedule, listed: &[f64], recursive: bool) -> Option<(usize, f64, f64)> {
    let largest = listed.iter().fold(0.0f64, |largest, value| largest.max(value.abs()));
    let ours = schedule.trace(0..listed.len() as u64).unwrap();
    let differs = |i: usize, ours: f64, listed: f64| {
        let growing = if recursive { i as f64 * f64::EPSILON / 2.0 } else { 0.0 };
        abs_diff_ne!(ours, listed, epsilon = (1e-12 + growing) * largest)
    };
    let mut rates = ours.into_iter().zip(listed).enumerate().map(|(i, (ours, listed))| (i, ours, *listed));
    rates.find(|(i, ours, listed)| differs(*i, *ours, *listed))
}

#[test]
fn schedules_of_other_libraries_can_be_written_and_give_their_values() {
    let file = load("schedules.json");
    let cases = file["cases"].as_array().unwrap();
    let (mut covered, mut passed, mut wrong, mut left_out) = (0, 0, Vec::new(), Vec::new());
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let api = case["source"]["api"].as_str().unwrap();
        let recursive = RECURSIVE.iter().any(|class| api.ends_with(class));
        // The fields of group 0 stand at the top where there is only one group.
        let single = [case.clone()];
        let groups = case["groups"].as_array().map_or(&single[..], Vec::as_slice);
        let all: Option<Vec<_>> =
            groups.iter().enumerate().map(|(i, group)| claims(case, i, group["base_lr"].as_f64())).collect();
        let Some(all) = all else {
            left_out.push(name);
            continue;
        };
        covered += 1;
        let wrong_before = wrong.len();
        for (group, claims) in groups.iter().zip(all) {
            for Claim { quantity, schedule } in claims {
                // Of momentum and beta1 a case lists the one that its optimizer has.
                if quantity != "lr" && group[quantity].is_null() {
                    continue;
                }
                let listed = reals(&group[quantity]);
                if let Some((step, ours, listed)) = first_difference(&schedule, &listed, recursive) {
                    wrong.push(format!(
                        "{name}: {quantity} at step {step} is {ours:e}, listed {listed:e}; {schedule:?}"
                    ));
                }
            }
        }
        passed += usize::from(wrong.len() == wrong_before);
    }
    let all = cases.len();
    println!("golden schedules: {covered} of {all} cases are covered by the language so far, {passed} passed");
    println!("not covered: {}", left_out.join(", "));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(covered >= COVERED, "{covered} cases are covered, but {COVERED} were");
}

/// How many cases are known to be covered: none may get lost.
const COVERED: usize = 98;
