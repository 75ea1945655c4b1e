//! The peers' schedules, built from the peers' own configurations and compared with what the peers really did.
//!
//! Reads every `schedules*.json` of the folder that `INSTEP_GOLDEN` names, or of `tests/golden/`, and what is in its folder
//! `peers/`. The format and the tolerances are in the README there. A case is built from its `source`, `params`, `optimizer`,
//! base rate, number of steps and metrics; its name, notes and listed numbers are never an input. A case that is neither
//! reproduced nor, where the peer itself errs, refused is a failure.
#![cfg(feature = "serde")]

#[path = "golden/cases.rs"]
mod cases;
#[path = "golden/files.rs"]
mod files;

use approx::abs_diff_ne;
use cases::configuration;
use instep::Schedule;
use instep::compat::{Metric, Recipe};
use serde_json::{Value, json};

/// How far from a listed number ours may be, as a share of the largest number listed.
const TOLERANCE: f64 = 1e-12;
/// What a peer that computes each rate from the rate before may be off, for each step.
const ROUNDING: f64 = 1.0 / (1u64 << 53) as f64;

/// How a case went.
enum Outcome {
    Reproduced,
    Refused(String),
}

#[test]
fn golden_schedules_are_reproduced_or_refused() {
    let cases = cases::all();
    let (mut refused, mut failed) = (Vec::new(), Vec::new());
    for case in &cases {
        let name = case["name"].as_str().unwrap_or("?");
        match judge(case) {
            Ok(Outcome::Reproduced) => {}
            Ok(Outcome::Refused(reason)) => refused.push(format!("{name}: {reason}")),
            Err(why) => failed.push(format!("{name}: {why}")),
        }
    }
    let count = cases.len();
    println!("golden schedules: {count} cases, {} passed", count - failed.len());
    println!("refused: {}", refused.len());
    refused.iter().for_each(|line| println!("  {line}"));
    assert!(failed.is_empty(), "{} of {count} failed:\n  {}", failed.len(), failed.join("\n  "));
}

/// The runner itself sees a wrong number: otherwise nothing above means anything.
#[test]
fn golden_runner_sees_a_wrong_number() {
    let case = |lr: Value| {
        json!({
            "source": {"library": "torch", "api": "torch.optim.lr_scheduler.LambdaLR"},
            "params": {"class": "LambdaLR", "lr_lambda": "1 / (1 + epoch)", "last_epoch": -1},
            "optimizer": {"class": "SGD", "args": {}, "groups": [{}]},
            "base_lr": 0.5, "steps": 2, "lr": lr,
        })
    };
    assert!(matches!(judge(&case(json!([0.5, 0.25]))), Ok(Outcome::Reproduced)));
    assert!(judge(&case(json!([0.5, 0.2500000000006]))).is_err());
    let mut broken = case(json!([0.5, 0.25]));
    broken["params"]["lr_lambda"] = json!("1 / epoch");
    assert!(judge(&broken).is_err());
    broken["quirk"] = json!("divides by zero");
    assert!(matches!(judge(&broken), Ok(Outcome::Refused(_))));
}

fn judge(case: &Value) -> Result<Outcome, String> {
    let peer_errs = !case["raises"].is_null()
        || !case["quirk"].is_null()
        || case["resume"]["same_as_uninterrupted"] == json!(false);
    let recipes = match configuration(case).recipes() {
        Ok(recipes) => recipes,
        Err(error) if peer_errs => return Ok(Outcome::Refused(error.to_string())),
        Err(error) => return Err(format!("refused: {error}")),
    };
    if case["raises"]["when"] == "construction" {
        return Err(format!("accepted, where the peer raises {}", case["raises"]["message"]));
    }
    let groups = match case["groups"].as_array() {
        Some(groups) => groups.iter().collect(),
        None => vec![case],
    };
    if recipes.len() != groups.len() {
        return Err(format!("{} recipes for {} groups", recipes.len(), groups.len()));
    }
    for (i, (recipe, group)) in recipes.iter().zip(groups).enumerate() {
        match compare(case, i, recipe, group) {
            Ok(()) => {}
            // Rules of the language are checked with the first value.
            Err(Fault::Refused(error)) if peer_errs => return Ok(Outcome::Refused(error.to_string())),
            Err(Fault::Refused(error)) => return Err(format!("group {i} refused: {error}")),
            Err(Fault::Differs(how)) => return Err(format!("group {i}: {how}")),
        }
    }
    Ok(Outcome::Reproduced)
}

enum Fault {
    Refused(instep::Error),
    Differs(String),
}

/// Compares the rates, and every other hyperparameter that is listed, of one group.
fn compare(case: &Value, index: usize, recipe: &Recipe, group: &Value) -> Result<(), Fault> {
    let steps = listed_steps(case, group);
    let scales = recipe.metric.map(|metric| scales(case, metric));
    let recursive = case["source"]["library"] == "torch" && is_recursive(&case["params"], &case["source"]["api"]);
    let others = [
        ("momentum", &recipe.momentum),
        ("beta1", &recipe.beta1),
        ("beta2", &recipe.beta2),
        ("weight_decay", &recipe.weight_decay),
    ];
    for (name, schedule) in std::iter::once(("lr", &Some(recipe.lr.clone()))).chain(others) {
        let Some(listed) = group[name].as_array() else { continue };
        let own = schedule.clone().or_else(|| own_option(case, index, name).map(Schedule::from));
        let schedule = own.ok_or_else(|| Fault::Differs(format!("{name} is listed, but the recipe has none")))?;
        let ours = schedule.trace(steps.iter().copied()).map_err(Fault::Refused)?;
        let listed: Vec<f64> = listed.iter().map(number).collect();
        let largest = listed.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        for ((step, ours), listed) in steps.iter().zip(ours).zip(listed) {
            let ours = match &scales {
                Some(scales) if name == "lr" => ours * scales[*step as usize],
                _ => ours,
            };
            let rounding = if recursive { *step as f64 * ROUNDING } else { 0.0 };
            if abs_diff_ne!(ours, listed, epsilon = (TOLERANCE + rounding) * largest) {
                return Err(Fault::Differs(format!("{name} at step {step} is {ours:e}, not {listed:e}")));
            }
        }
    }
    Ok(())
}

/// The steps that the lists of a group stand for.
fn listed_steps(case: &Value, group: &Value) -> Vec<u64> {
    let steps: Vec<u64> = match case["at"].as_array() {
        Some(at) => at.iter().map(|step| step.as_u64().expect("a step")).collect(),
        None => (0..group["lr"].as_array().expect("a list of rates").len() as u64).collect(),
    };
    match case["raises"]["after_index"].as_u64() {
        Some(last) => steps.into_iter().filter(|step| *step <= last).collect(),
        None => steps,
    }
}

/// An option of the optimizer that no scheduler moves.
fn own_option(case: &Value, group: usize, name: &str) -> Option<f64> {
    let of = |options: &Value| match name {
        "beta1" => options["betas"][0].as_f64(),
        other => options[other].as_f64(),
    };
    of(&case["optimizer"]["groups"][group]).or_else(|| of(&case["optimizer"]["args"]))
}

/// What the observed metrics multiply the rate of each step by.
fn scales(case: &Value, metric: Metric) -> Vec<f64> {
    let metrics: Vec<f64> = case["metrics"].as_array().expect("a list of metrics").iter().map(number).collect();
    let mut observe: Box<dyn FnMut(f64) -> f64> = match metric {
        Metric::Plateau(plateau) => {
            let mut state = plateau.start();
            Box::new(move |metric| {
                state = plateau.observe(state, metric);
                state.scale
            })
        }
        Metric::Greedy(greedy) => {
            let (mut state, mut window) = (greedy.start(), vec![0.0; greedy.window_len()]);
            Box::new(move |metric| {
                state = greedy.observe(state, &mut window, metric);
                state.scale
            })
        }
    };
    let after: Vec<f64> = metrics.into_iter().map(&mut observe).collect();
    match case["metric_timing"].as_str() {
        Some("with_step") => after,
        Some("after_step") => std::iter::once(1.0).chain(after).collect(),
        other => panic!("unknown metric_timing {other:?}"),
    }
}

/// Whether torch computes the rates of `params` from the rates before, and so adds a rounding error a step.
fn is_recursive(params: &Value, api: &Value) -> bool {
    const CLASSES: [&str; 9] = [
        "StepLR",
        "MultiStepLR",
        "ConstantLR",
        "LinearLR",
        "ExponentialLR",
        "PolynomialLR",
        "CosineAnnealingLR",
        "MultiplicativeLR",
        "SWALR",
    ];
    let class = params["class"].as_str().or_else(|| api.as_str()?.rsplit('.').next());
    let members = params["schedulers"].as_array();
    class.is_some_and(|class| CLASSES.contains(&class))
        || members.is_some_and(|all| all.iter().any(|member| is_recursive(member, &Value::Null)))
}

/// A listed number; JSON has no others for what is not finite.
fn number(value: &Value) -> f64 {
    match value.as_str() {
        None => value.as_f64().expect("a number"),
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        Some(other) => panic!("{other} is no number"),
    }
}
