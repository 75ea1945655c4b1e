//! What a peer keeps of a whole group or tensor, beside what ours remembers.

use approx::abs_diff_eq;
use instep::Status;
use serde_json::Value;

use super::case::Case;
use super::run::Trace;

/// The peers' names for what has another name here, the first that is there.
const NAMES: [(&str, &[&str]); 4] = [
    ("estim_lr", &["d"]),
    ("numerator_weighted", &["numerator_weighted", "d_numerator"]),
    ("G", &["sum_sq_norm_grads"]),
    ("max_dist", &["rbar"]),
];

/// What follows from the others and from sums of the step, and is remembered nowhere.
const DERIVED: [&str; 3] = ["d_denom", "eta", "scheduled_lr"];

/// Every scalar that the case lists, after each step: no farther from binary64 than 1.5 times the peer's own largest distance, or
/// 1e-6 (optax: 2e-6, since its schedules are binary32's and estimates have their square). Distances are over the largest value until then: an estimate grows by orders of magnitude.
pub fn check(case: &Case, trace: &Trace) -> Result<(), String> {
    let Some(listed) = case.value["scalars"].as_object() else { return Ok(()) };
    let least = if case.value["source"]["library"] == "optax" { 2e-6 } else { 1e-6 };
    let after: Vec<&Status> = trace.before.iter().skip(1).chain(&trace.last).collect();
    for (name, theirs) in listed.iter().filter(|(name, _)| !DERIVED.contains(&name.as_str())) {
        let (theirs, exact) = (numbers(theirs), numbers(&case.value["scalars_f64"][name]));
        let columns = exact.len();
        for (place, (theirs, exact)) in theirs.iter().zip(&exact).enumerate() {
            let bound = (1.5 * farthest(theirs, exact)).max(least);
            for (step, ((exact, unit), status)) in (1..).zip(exact.iter().zip(units(exact)).zip(&after)) {
                let tensor = (columns > 1).then_some(place);
                let ours = ours(case, trace, status, name, tensor);
                let ours = ours.ok_or_else(|| format!("the scalar {name} is not remembered"))?;
                let apart = (ours - exact).abs() / unit;
                if !abs_diff_eq!(apart, 0.0, epsilon = bound) {
                    return Err(format!("{name} after step {step} is {apart:.2e} from {exact:e}, allowed {bound:.1e}"));
                }
            }
        }
    }
    Ok(())
}

/// The distance that counts as 1 at each step.
fn units(exact: &[f64]) -> impl Iterator<Item = f64> {
    exact.iter().scan(f64::MIN_POSITIVE, |largest, value| {
        *largest = largest.max(value.abs());
        Some(*largest)
    })
}

/// The largest distance of the peer's.
fn farthest(theirs: &[f64], exact: &[f64]) -> f64 {
    let apart = theirs.iter().zip(exact).zip(units(exact)).map(|((theirs, exact), unit)| (theirs - exact).abs() / unit);
    apart.fold(0.0, f64::max)
}

/// How far the peer's scalars were from binary64 on the way: what follows from them is as far.
pub fn of_the_peer(case: &Case) -> f64 {
    let listed = case.value["scalars"].as_object().into_iter().flatten();
    let apart = listed.filter(|(name, _)| !DERIVED.contains(&name.as_str())).flat_map(|(name, theirs)| {
        let (theirs, exact) = (numbers(theirs), numbers(&case.value["scalars_f64"][name]));
        let apart: Vec<f64> = theirs.iter().zip(&exact).map(|(theirs, exact)| farthest(theirs, exact)).collect();
        apart
    });
    apart.fold(0.0, f64::max)
}

/// The numbers of all steps: one list, or one for each tensor.
fn numbers(listed: &Value) -> Vec<Vec<f64>> {
    let number = |value: &Value| value.as_f64().expect("a number");
    let steps = listed.as_array().expect("a list of steps");
    match steps[0].as_array() {
        None => vec![steps.iter().map(number).collect()],
        Some(tensors) => (0..tensors.len()).map(|i| steps.iter().map(|step| number(&step[i])).collect()).collect(),
    }
}

/// What is remembered of the case's first group, or of one of its tensors.
fn ours(case: &Case, trace: &Trace, status: &Status, name: &str, tensor: Option<usize>) -> Option<f64> {
    let own = [name];
    let names = NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(&own[..], |(_, ours)| ours);
    let Some(tensor) = tensor else {
        return names.iter().find_map(|name| status.remembered(trace.first_group, name));
    };
    let place = trace.first_tensor + case.groups.iter().flatten().position(|index| *index == tensor)?;
    names.iter().find_map(|name| status.tensor_remembered(place, name))
}
