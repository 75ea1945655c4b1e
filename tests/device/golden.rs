//! The peers' own schedules and optimizers (`on_device`) on the device: what a kernel applies is the host's value, rounded once
//! to f32, at every step.
//!
//! That those values are the peers' is for the golden runner to say, on the host. Here are all cases that have a
//! translation, those that metrics drive with their metrics observed on the device.

#[path = "golden/optimizers.rs"]
mod on_device;
#[path = "../golden/optimizers/mod.rs"]
mod optimizers;

use approx::abs_diff_eq;
use instep::compat::Recipe;
use instep::{AdamW, Device, Error, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Tensor};

use crate::rig::Rig;
use crate::{files, golden_cases};

/// Recipes in one optimizer, hence in one compilation.
const TOGETHER: usize = 64;
/// Steps of the long cases.
const MOST_STEPS: u64 = 500;

/// A recipe, the name of its case and the number of steps.
struct Case {
    name: String,
    recipe: Recipe,
    steps: u64,
}

/// All cases that have a translation and no metric, long ones last.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for case in golden_cases::all() {
        let name = case["name"].as_str().unwrap_or("?");
        let steps = case["steps"].as_u64().expect("a number of steps").min(MOST_STEPS);
        for recipe in golden_cases::configuration(&case).recipes().unwrap_or_default() {
            // Rules of the language are checked with the first value.
            let valid = scheduled(&recipe).all(|(_, schedule)| schedule.at(0).is_ok());
            if valid && recipe.metric.is_none() {
                let recipe = accepted(recipe, steps).unwrap_or_else(|why| panic!("{name}: {why}"));
                cases.push(Case { name: name.to_owned(), recipe, steps });
            }
        }
    }
    cases.sort_by_key(|case| case.steps);
    cases
}

/// The recipe as an optimizer takes it: one that gets out of bounds after the run is given an end, and a rate that gets
/// below 0 in the run loses its sign.
fn accepted(recipe: Recipe, steps: u64) -> Result<Recipe, Error> {
    let mut ended = recipe.clone();
    ended.lr = ended.lr.over(steps);
    for schedule in [&mut ended.momentum, &mut ended.beta1, &mut ended.weight_decay] {
        *schedule = schedule.take().map(|schedule| schedule.over(steps));
    }
    let mut unsigned = ended.clone();
    unsigned.lr = unsigned.lr.abs();
    let build = |recipe: Recipe| {
        let (mut param, grad) = (Box::new(0.0f32), Box::new(0.0f32));
        // SAFETY: both outlive the optimizer, which is never stepped.
        let tensor = unsafe { Tensor::f32(&raw mut *param as u64, &raw const *grad as u64, 1) };
        add(Optimizer::builder(&Device::host()), &recipe, tensor).build().map(|_| recipe)
    };
    build(recipe).or_else(|_| build(ended)).or_else(|_| build(unsigned))
}

/// The hyperparameters that a recipe moves.
fn scheduled(recipe: &Recipe) -> impl Iterator<Item = (&'static str, &Schedule)> {
    let others = [
        ("momentum", &recipe.momentum),
        ("beta1", &recipe.beta1),
        ("beta2", &recipe.beta2),
        ("weight_decay", &recipe.weight_decay),
    ];
    let others = others.into_iter().filter_map(|(name, schedule)| Some((name, schedule.as_ref()?)));
    std::iter::once(("lr", &recipe.lr)).chain(others)
}

/// Adds the recipe as a group with a rule that has what it moves.
fn add(builder: OptimizerBuilder, recipe: &Recipe, tensor: Tensor) -> OptimizerBuilder {
    let weight_decay = recipe.weight_decay.clone().unwrap_or(Schedule::constant(0.0));
    match (&recipe.beta1, &recipe.momentum) {
        (Some(beta1), _) => {
            let rule = AdamW::new(recipe.lr.clone()).beta1(beta1.clone()).weight_decay(weight_decay);
            let beta2 = recipe.beta2.clone().unwrap_or(Schedule::constant(0.999));
            builder.group(rule.beta2(beta2), &[tensor])
        }
        (None, Some(momentum)) => {
            let rule = Sgd::new(recipe.lr.clone()).momentum(Momentum::Heavy, momentum.clone());
            builder.group(rule.weight_decay(weight_decay), &[tensor])
        }
        (None, None) => builder.group(Sgd::new(recipe.lr.clone()).weight_decay(weight_decay), &[tensor]),
    }
}

/// Steps all cases in one optimizer. With a gradient of 1, plain SGD takes a parameter from 0 to the negative of the rate.
fn check(rig: &Rig, cases: &[Case]) {
    let zeros = vec![0.0; cases.len()];
    let (mut params, grads) = (rig.array(&zeros, 0), rig.array(&vec![1.0; cases.len()], 0));
    let builder = cases.iter().enumerate().fold(Optimizer::builder(&rig.device), |builder, (i, case)| {
        let place = 4 * i as u64;
        // SAFETY: element `i` of two arrays that outlive the optimizer; all work is on one stream.
        let tensor = unsafe { Tensor::f32(params.address() + place, grads.address() + place, 1) };
        add(builder, &case.recipe, tensor)
    });
    let mut opt = builder.build().unwrap();
    let last = cases.iter().map(|case| case.steps).max().unwrap_or(0);
    let trace = |schedule: &Schedule| schedule.trace(0..last).unwrap();
    let expected: Vec<Vec<_>> = cases
        .iter()
        .map(|case| scheduled(&case.recipe).map(|(name, schedule)| (name, trace(schedule))).collect())
        .collect();

    for t in 0..last as usize {
        let status = opt.status(&rig.stream).unwrap();
        opt.step(&rig.stream).unwrap();
        let after = params.read(rig);
        params.write(rig, &zeros);
        for (i, (case, expected)) in cases.iter().zip(&expected).enumerate() {
            for (name, values) in expected {
                let (ours, host) = (status.scalar(i, name).unwrap(), values[t] as f32);
                assert_eq!(
                    ours.to_bits(),
                    host.to_bits(),
                    "{}, {name} at step {t}: {ours:e}, host {host:e}",
                    case.name
                );
            }
            if expected.len() == 1 {
                let (applied, host) = (-after[i], expected[0].1[t] as f32);
                assert_eq!(applied, host, "{}, applied at step {t}: {applied:e}, host {host:e}", case.name);
            }
        }
    }
    rig.finish();
}

#[test]
fn every_golden_schedule_is_applied_as_the_host_says_at_every_step() {
    let Some(rig) = Rig::new() else { return };
    let cases = cases();
    assert!(cases.len() > TOGETHER, "{} recipes are hardly all", cases.len());
    for together in cases.chunks(TOGETHER) {
        check(&rig, together);
    }
    println!("golden schedules on the device: {} recipes", cases.len());
}

/// A number of the tables, which write those that JSON has not as texts.
fn number(value: &serde_json::Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        _ => value.as_f64().expect("a number"),
    }
}

#[test]
fn every_golden_metric_case_gives_the_peers_rates_observation_by_observation() {
    let Some(rig) = Rig::new() else { return };
    let mut driven = 0;
    for case in golden_cases::all().into_iter().filter(|case| case["metrics"].is_array()) {
        let name = case["name"].as_str().unwrap_or("?");
        let Ok(recipes) = golden_cases::configuration(&case).recipes() else { continue };
        let metrics: Vec<f64> = case["metrics"].as_array().unwrap().iter().map(number).collect();
        let before = case["metric_timing"] == "with_step";
        for (index, recipe) in recipes.iter().enumerate() {
            let Some(metric) = recipe.metric else { continue };
            let (param, grad) = (rig.array(&[1.0], 0), rig.array(&[0.0], 0));
            // SAFETY: the arrays outlive the optimizer.
            let tensor = unsafe { Tensor::f32(param.address(), grad.address(), 1) };
            let rule = Sgd::new(recipe.lr.clone()).metric(metric);
            let mut opt = Optimizer::builder(&rig.device).group(rule, &[tensor]).build().unwrap();
            let listed = case["groups"][index]["lr"].as_array().or_else(|| case["lr"].as_array()).unwrap();
            for (step, (listed, metric)) in listed.iter().map(number).zip(&metrics).enumerate() {
                if before {
                    // SAFETY: a value has no address.
                    unsafe { opt.observe(*metric, &rig.stream) }.unwrap();
                }
                let lr = f64::from(opt.status(&rig.stream).unwrap().scalar(0, "lr").unwrap());
                // One rounding to f32, on a value that may differ in its last digits as an f64.
                let allowed = listed.abs() * f64::from(f32::EPSILON) + f64::from(f32::MIN_POSITIVE);
                let close = abs_diff_eq!(lr, listed, epsilon = allowed);
                assert!(close, "{name}, group {index}, step {step}: {lr:e}, not {listed:e}");
                opt.step(&rig.stream).unwrap();
                if !before {
                    // SAFETY: as above.
                    unsafe { opt.observe(*metric, &rig.stream) }.unwrap();
                }
            }
            driven += 1;
        }
    }
    rig.finish();
    println!("golden metric cases on the device: {driven} groups");
    assert!(driven >= 15, "{driven} groups only");
}
