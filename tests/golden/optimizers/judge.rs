//! How far a run may be from what a peer did. Distances are over the larger of 1 and the tensor's largest element.

use approx::abs_diff_eq;
use instep::{Config, Status};
use serde_json::Value;

use super::case::{Case, numbers, tensors};
use super::run::Trace;
use super::scalars;

/// An arithmetic of ours and what is asked of it.
pub struct Arithmetic {
    /// Makes a configuration use it; None for a peer that it is not that of.
    pub apply: fn(&Value, Config) -> Option<Config>,
    /// How far from the peer's parameters after the first recorded step.
    pub first: f64,
    /// How far after later ones, and how far the states after the last.
    pub last: f64,
    /// Whether that is twice the peer's own distance from binary64 where that is more.
    pub as_far_as_the_peer: bool,
    /// How far the parameters may be from those in binary64 on average, as a part of the peer's distance.
    pub from_f64: Option<f64>,
}

/// Ours, which is to be as near to binary64 as the peers' are.
pub const OWN: Arithmetic = Arithmetic {
    apply: |_, config| Some(config),
    first: 1e-5,
    last: 1e-5,
    as_far_as_the_peer: true,
    from_f64: Some(1.1),
};

/// torch's for-loop, followed operation by operation, for torch's own optimizers and timm's.
pub const TORCH_FOR_LOOP: Arithmetic = Arithmetic {
    apply: |case, mut config| {
        for group in &mut config.groups {
            // Other rules have one arithmetic.
            let follows = |name: &str| ["adam", "adamw", "sgd"].contains(&name);
            let rule = group.rule.take();
            group.rule =
                rule.map(|rule| if follows(rule.name()) { rule.with("parity", "torch_for_loop") } else { rule });
        }
        let library = case["source"]["library"].as_str();
        ["torch", "timm"].contains(&library?).then_some(config)
    },
    first: 2e-7,
    last: 5e-6,
    as_far_as_the_peer: false,
    from_f64: None,
};

/// A case that passed.
#[derive(Debug)]
pub struct Distances {
    /// What is stored how, where the table says it.
    pub kind: String,
    /// The largest distance after the last step.
    pub last: f64,
    /// The average distance from binary64, as a part of the peer's.
    pub ratio: Option<f64>,
    /// The largest distance after the last step, as a part of what is allowed.
    pub of_allowed: Option<f64>,
}

/// Judges what a case came to; the error says what is wrong.
pub fn judge(case: &Case, trace: &Trace, arithmetic: &Arithmetic) -> Result<Distances, String> {
    check_schedules(case, trace)?;
    check_clock(case, trace)?;
    if trace.resumed == Some(false) {
        return Err("taken up, it came to other bits".to_owned());
    }
    let after = case.value["after"].as_array().expect("records");
    let last = after.last().expect("a record");
    let mut distance = 0.0;
    for (i, record) in after.iter().enumerate() {
        let bound = if i == 0 { arithmetic.first } else { arithmetic.last };
        distance = check_params(trace, record, bound, arithmetic.as_far_as_the_peer)?;
        check_shown(trace, record, bound, arithmetic.as_far_as_the_peer)?;
    }
    // What an estimate multiplies is no nearer than the estimate, twice where its square does.
    check_states(case, trace, arithmetic.last.max(2.0 * scalars::of_the_peer(case)))?;
    scalars::check(case, trace)?;
    // A rate that follows from the way the parameters went makes roundings grow: the peers' own distances are draws that differ
    // by more than the bound where single bits of the gradients do.
    let estimates = case.value["scalars"].is_object() && case.value["scope"] != "element";
    let least = if estimates { 2.0 * f64::from(f32::EPSILON) } else { 0.0 };
    let ratio = arithmetic.from_f64.map(|bound| check_from_f64(trace, last, bound, least)).transpose()?;
    Ok(Distances { kind: String::new(), last: distance, ratio, of_allowed: None })
}

/// The distance that counts as 1 in a tensor.
pub fn unit(theirs: &[f32]) -> f64 {
    theirs.iter().fold(1.0, |largest: f64, value| largest.max(f64::from(value.abs())))
}

/// The largest distance of two tensors; NaN where one element alone is one.
pub fn distance(ours: &[f32], theirs: impl Iterator<Item = f64>, unit: f64) -> f64 {
    let apart = ours.iter().map(|ours| f64::from(*ours)).zip(theirs).map(|(ours, theirs)| {
        let same = ours == theirs || (ours.is_nan() && theirs.is_nan());
        if same { 0.0 } else { (ours - theirs).abs() / unit }
    });
    apart.fold(0.0, |worst, apart| if apart > worst || apart.is_nan() { apart } else { worst })
}

pub fn exact(values: &[f32]) -> impl Iterator<Item = f64> {
    values.iter().map(|value| f64::from(*value))
}

/// A tensor of a record in binary64.
pub fn in_f64(record: &Value, tensor: usize) -> impl Iterator<Item = f64> {
    numbers_of(&record["params_f64"][tensor])
}

fn numbers_of(values: &Value) -> impl Iterator<Item = f64> {
    values.as_array().expect("numbers").iter().map(|value| value.as_f64().unwrap_or(f64::NAN))
}

pub fn step(record: &Value) -> u64 {
    record["step"].as_u64().expect("a step")
}

/// The largest distance of the parameters of one record.
pub fn check_params(trace: &Trace, record: &Value, bound: f64, as_far: bool) -> Result<f64, String> {
    let ours = &trace.params[&step(record)];
    check_tensors(ours, &record["params"], |i| in_f64(record, i).collect(), bound, as_far)
        .map_err(|e| format!("{e} after step {}", step(record)))
}

/// The same of those for evaluation, where the case lists some.
fn check_shown(trace: &Trace, record: &Value, bound: f64, as_far: bool) -> Result<(), String> {
    let Some(ours) = trace.shown.get(&step(record)) else { return Ok(()) };
    let exact = |i: usize| numbers_of(&record["params_eval_f64"][i]).collect();
    let checked = check_tensors(ours, &record["params_eval"], exact, bound, as_far);
    checked.map(drop).map_err(|e| format!("for evaluation, {e} after step {}", step(record)))
}

/// The largest distance of tensors from `theirs`. `exact`: a tensor in binary64.
fn check_tensors(
    ours: &[Vec<f32>],
    theirs: &Value,
    exact_of: impl Fn(usize) -> Vec<f64>,
    bound: f64,
    as_far: bool,
) -> Result<f64, String> {
    let mut worst = 0.0f64;
    for (i, (ours, theirs)) in ours.iter().zip(tensors(theirs)).enumerate() {
        let unit = unit(&theirs);
        // A peer that is far from its own binary64 cannot be followed closer.
        let own = if as_far { 2.0 * distance(&theirs, exact_of(i).into_iter(), unit) } else { 0.0 };
        let bound = bound.max(own);
        let apart = distance(ours, exact(&theirs), unit);
        if !abs_diff_eq!(apart, 0.0, epsilon = bound) {
            return Err(format!("tensor {i} is {apart:.2e} apart, allowed {bound:.1e}"));
        }
        worst = worst.max(apart);
    }
    Ok(worst)
}

/// The peers' names for states that cannot have them here: `s` and `x0` stand in kernels.
const STATES: [(&str, &str); 2] = [("grad_sum", "s"), ("p0", "x0")];

/// The states that ours and the peer's have under one name.
pub fn check_states(case: &Case, trace: &Trace, bound: f64) -> Result<(), String> {
    let listed = case.value["state"].as_object().is_some_and(|listed| !listed.is_empty());
    let state = |name: &str| {
        let other = STATES.iter().find(|(ours, _)| *ours == name).map(|(_, theirs)| &case.value["state"][*theirs]);
        case.value["state"][name].as_array().or(other.and_then(Value::as_array))
    };
    if let Some(name) = trace.states.keys().find(|name| listed && state(name).is_none()) {
        return Err(format!("the state {name} is not among those that are listed"));
    }
    for (name, ours) in &trace.states {
        let Some(listed) = state(name) else { continue };
        for (index, ours) in ours {
            let Some(theirs) = listed[*index].as_str().map(numbers) else { continue };
            let apart = distance(ours, exact(&theirs), unit(&theirs));
            if !abs_diff_eq!(apart, 0.0, epsilon = bound) {
                return Err(format!("{name} of tensor {index} is {apart:.2e} apart, allowed {bound:.1e}"));
            }
        }
    }
    Ok(())
}

/// The average distance from binary64 over all elements, as a part of the peer's. An average of `least` is near enough.
fn check_from_f64(trace: &Trace, record: &Value, bound: f64, least: f64) -> Result<f64, String> {
    let (mut of_ours, mut of_theirs, mut elements) = (0.0, 0.0, 0.0);
    for (i, (ours, theirs)) in trace.params[&step(record)].iter().zip(tensors(&record["params"])).enumerate() {
        let unit = unit(&theirs);
        for ((ours, theirs), exact) in exact(ours).zip(exact(&theirs)).zip(in_f64(record, i)) {
            of_ours += (ours - exact).abs() / unit;
            of_theirs += (theirs - exact).abs() / unit;
            elements += 1.0;
        }
    }
    // A peer that is exact is met by what is exact.
    let ratio = if of_ours == of_theirs { 1.0 } else { of_ours / of_theirs };
    if ratio.is_nan() || (ratio > bound && of_ours > least * elements) {
        return Err(format!("from binary64 it is {ratio:.3} times as far as the peer on average, allowed {bound}"));
    }
    Ok(ratio)
}

/// Every hyperparameter that the case lists for each step, as a value of our schedule and as the step used it.
pub fn check_schedules(case: &Case, trace: &Trace) -> Result<(), String> {
    // optax computes its schedules in binary32.
    let tolerance = if case.value["source"]["library"] == "optax" { 1e-6 } else { 1e-12 };
    let groups = case.value["groups"].as_array().expect("groups");
    for (i, (listed, group)) in groups.iter().zip(&case.config.groups).enumerate() {
        for (name, schedule) in group.hyperparameters() {
            let Some(listed) = listed[name].as_array() else { continue };
            let listed: Vec<f64> = listed.iter().map(|value| value.as_f64().expect("a number")).collect();
            let largest = listed.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
            for (step, (listed, before)) in listed.iter().zip(&trace.before).enumerate() {
                let ours = schedule.at(before.t).map_err(|e| e.to_string())?;
                // A scheduler that goes on from its present rate adds a rounding error a step.
                let bound = (tolerance + step as f64 * f64::EPSILON / 2.0) * largest;
                // What a peer warms up itself it lists apart.
                let own = case.value["scalars_f64"]["scheduled_lr"][step].as_f64().filter(|_| name == "lr");
                let met = own.is_some_and(|own| abs_diff_eq!(ours, own, epsilon = bound));
                if !met && !abs_diff_eq!(ours, *listed, epsilon = bound) {
                    return Err(format!("{name} of group {i} at step {step} is {ours:e}, not {listed:e}"));
                }
                let used = before.scalar(trace.first_group + i, name);
                if used != Some(ours as f32) {
                    return Err(format!("{name} of group {i} was used as {used:?} at step {step}, not {ours:e}"));
                }
            }
        }
    }
    Ok(())
}

/// Skipped steps and the loss scale exactly; what clips, where it is finite.
pub fn check_clock(case: &Case, trace: &Trace) -> Result<(), String> {
    let after: Vec<&Status> = trace.before.iter().skip(1).chain(&trace.last).collect();
    let skips = trace.before.iter().zip(&after).map(|(before, after)| after.skipped > before.skipped);
    let skipped: Vec<u64> = (0..).zip(skips).filter(|(_, skips)| *skips).map(|(step, _)| step).collect();
    let scaler = &case.value["scaler"];
    let listed: Vec<u64> = scaler["skipped"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    if skipped != listed {
        return Err(format!("the steps {skipped:?} were skipped, not {listed:?}"));
    }
    let scales = scaler["scale"].as_array().into_iter().flatten();
    for (step, (listed, before)) in scales.zip(&trace.before).enumerate() {
        if Some(f64::from(before.loss_scale)) != listed.as_f64() {
            return Err(format!("the loss scale at step {step} is {}, not {listed}", before.loss_scale));
        }
    }
    let norms = after.iter().map(|status| status.norm).collect();
    let factors = after.iter().map(|status| f64::from(status.clip_factor)).collect();
    for (name, ours) in [("total_norm", norms), ("clip_coef", factors)] as [(_, Vec<f64>); 2] {
        let Some(listed) = case.value["clip"][name].as_str().map(numbers) else { continue };
        for (step, (listed, ours)) in (0..).zip(exact(&listed).zip(ours)) {
            let compared = listed.is_finite() && !skipped.contains(&step);
            if compared && !abs_diff_eq!(ours, listed, epsilon = 1e-6 * listed.abs()) {
                return Err(format!("{name} at step {step} is {ours:e}, not {listed:e}"));
            }
        }
    }
    Ok(())
}
