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
const DERIVED: [&str; 2] = ["d_denom", "eta"];

/// Every scalar that the case lists, after each step: no farther from binary64 than 1.5 times what the peer was at most until
/// then, or 1e-6 of it.
pub fn check(case: &Case, trace: &Trace) -> Result<(), String> {
    let Some(listed) = case.value["scalars"].as_object() else { return Ok(()) };
    let after: Vec<&Status> = trace.before.iter().skip(1).chain(&trace.last).collect();
    for (name, theirs) in listed.iter().filter(|(name, _)| !DERIVED.contains(&name.as_str())) {
        let exact = numbers(&case.value["scalars_f64"][name]);
        let mut farthest = vec![0.0f64; exact.first().map_or(0, Vec::len)];
        for (step, ((theirs, exact), status)) in numbers(theirs).iter().zip(&exact).zip(&after).enumerate() {
            let ours = ours(case, trace, status, name, exact.len());
            let ours = ours.ok_or_else(|| format!("the scalar {name} is not remembered"))?;
            for (((ours, theirs), exact), farthest) in ours.iter().zip(theirs).zip(exact).zip(&mut farthest) {
                *farthest = farthest.max((theirs - exact).abs());
                let bound = (1.5 * *farthest).max(1e-6 * exact.abs());
                if !abs_diff_eq!(*ours, *exact, epsilon = bound) {
                    let apart = (ours - exact).abs();
                    return Err(format!("{name} after step {} is {apart:.2e} from {exact:e}, allowed {bound:.1e}", step + 1));
                }
            }
        }
    }
    Ok(())
}

/// One number a step, or one a tensor.
fn numbers(listed: &Value) -> Vec<Vec<f64>> {
    let number = |value: &Value| value.as_f64().expect("a number");
    let of_step = |value: &Value| match value {
        Value::Array(tensors) => tensors.iter().map(number).collect(),
        one => vec![number(one)],
    };
    listed.as_array().expect("a list of steps").iter().map(of_step).collect()
}

/// What is remembered of the case's first group, or of each of its tensors.
fn ours(case: &Case, trace: &Trace, status: &Status, name: &str, count: usize) -> Option<Vec<f64>> {
    let own = [name];
    let names = NAMES.iter().find(|(theirs, _)| *theirs == name).map_or(&own[..], |(_, ours)| ours);
    if count == 1 {
        return Some(vec![names.iter().find_map(|name| status.remembered(trace.first_group, name))?]);
    }
    let mut found = vec![0.0; count];
    for (place, index) in case.groups.iter().flatten().enumerate() {
        found[*index] = names.iter().find_map(|name| status.tensor_remembered(trace.first_tensor + place, name))?;
    }
    Some(found)
}
