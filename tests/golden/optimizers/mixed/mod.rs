//! The cases in which parameters, gradients or states have 16 bits.

mod case;

use std::collections::BTreeMap;
use std::sync::Arc;

use half::bf16;
use instep::Half;
use serde_json::Value;

use super::case::{Case, Tensors, tensors};
use super::judge::{self, Arithmetic, Distances, distance, exact, in_f64, step, unit};
use super::run::{self, Place, Trace};
use super::storage::{Beside, nearest, widened};
use super::{Report, cases_of, check_with, own_tables};
pub use case::case;

/// How far from parameters whose moments the peer rounds after the step.
const MOMENTS: f64 = 2e-5;
/// How far from binary64, as a part of the distance of a peer that rounds every intermediate result.
const FROM_F64: f64 = 1.1;

/// Checks all of every `mixed*.json` in the folder; another folder than ours may have none.
pub fn check_all(what: &str, place: &impl Place) {
    let cases = cases_of("mixed");
    if cases.is_empty() && !own_tables() {
        return println!("{what}: none are in the folder");
    }
    check(cases.clone(), place, &judge::OWN).print(what, 23);
    check(cases.clone(), place, &judge::TORCH_FOR_LOOP).print(&format!("{what} in torch's order"), 18);
    let remainders = check_remainders(&cases, place);
    println!("{what} with remainders: {remainders} cases");
    assert!(!own_tables() || remainders == 6, "{remainders} cases with remainders, but there were 6");
}

/// Runs and judges all cases.
pub fn check(cases: Vec<(Arc<Value>, Value)>, place: &impl Place, arithmetic: &Arithmetic) -> Report {
    let read = |file: &_, value, known: &mut _| case(file, value, Beside::Master, arithmetic, known);
    check_with(cases, place, read, |case, trace| judge(case, trace, arithmetic))
}

/// Judges what a case came to; the error says what is wrong.
pub fn judge(case: &Case, trace: &Trace, arithmetic: &Arithmetic) -> Result<Distances, String> {
    let kind = case.value["kind"].as_str().expect("a kind").to_owned();
    if kind == "master" {
        check_rounded(trace, case.storage.param.expect("a parameter of 16 bits"))?;
        return Ok(Distances { kind, ..judge::judge(case, trace, arithmetic)? });
    }
    judge::check_schedules(case, trace)?;
    judge::check_clock(case, trace)?;
    let after = case.value["after"].as_array().expect("records");
    if kind == "moments" && case.value["source"]["library"] != "optax" {
        let (in_own_order, mut last) = (arithmetic.as_far_as_the_peer, 0.0);
        let bound = if in_own_order { MOMENTS } else { arithmetic.last };
        for record in after {
            last = judge::check_params(trace, record, bound, false)?;
        }
        // In another order of operations two values may be rounded to neighbours.
        let neighbours = if in_own_order { f64::from(bf16::EPSILON) } else { 0.0 };
        judge::check_states(case, trace, arithmetic.last + neighbours)?;
        return Ok(Distances { kind, last, ratio: None, of_allowed: Some(last / bound) });
    }
    let (mut last, mut of_allowed) = (0.0, 0.0);
    for record in after {
        (last, of_allowed) = check_from_f64(case, trace, record)?;
    }
    let kind = if kind == "moments" { "moments of optax".to_owned() } else { kind };
    Ok(Distances { kind, last, ratio: None, of_allowed: Some(of_allowed) })
}

/// Each parameter is the rounding of its master to nearest, ties to even, bit for bit.
fn check_rounded(trace: &Trace, half: Half) -> Result<(), String> {
    let rounded = map(&trace.params, |value| widened(half, nearest(half, *value)));
    for (step, rounded) in bits(&rounded) {
        if bits(&trace.stored)[&step] != rounded {
            return Err(format!("after step {step} the parameters are not the roundings of their masters"));
        }
    }
    Ok(())
}

/// The largest distance from the peer after one record, and the largest from binary64 as a part of what is allowed: 1.1 times the
/// peer's and a unit in the last place of the largest element. With a remainder in place of a compensation it is the peer's.
fn check_from_f64(case: &Case, trace: &Trace, record: &Value) -> Result<(f64, f64), String> {
    let (mut worst, mut of_allowed) = (0.0f64, 0.0f64);
    for (i, (ours, theirs)) in trace.params[&step(record)].iter().zip(tensors(&record["params"])).enumerate() {
        let unit = unit(&theirs);
        let peers = distance(&theirs, in_f64(record, i), unit);
        let allowed =
            if case.value["kahan_sum"] == true { peers } else { FROM_F64 * peers + last_place(case, &theirs) / unit };
        let apart = distance(ours, in_f64(record, i), unit);
        if apart.is_nan() || apart > allowed {
            let step = step(record);
            return Err(format!("tensor {i} after step {step} is {apart:.2e} from binary64, allowed {allowed:.2e}"));
        }
        worst = worst.max(distance(ours, exact(&theirs), unit));
        of_allowed = of_allowed.max(if apart == 0.0 { 0.0 } else { apart / allowed });
    }
    Ok((worst, of_allowed))
}

/// One unit in the last place of the largest element in the type that the peer rounds to.
fn last_place(case: &Case, theirs: &[f32]) -> f64 {
    let largest = theirs.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let fraction_bits = if case.storage.param == Some(Half::F16) { 10.0 } else { 7.0 };
    (f64::from(largest).log2().floor() - fraction_bits).exp2()
}

/// Runs all cases that have bf16 parameters and an f32 master, with remainders too: the values are the master's, and the
/// parameters their roundings with ties away from zero. Returns the number of cases.
pub fn check_remainders(cases: &[(Arc<Value>, Value)], place: &impl Place) -> usize {
    let wanted = |value: &Value| value["kind"] == "master" && value["dtypes"]["params"] == "bfloat16";
    let run = |beside| {
        let mut known = Vec::new();
        let cases = cases.iter().filter(|(_, value)| wanted(value));
        let built = cases.filter_map(|(file, value)| case(file, value.clone(), beside, &judge::OWN, &mut known).ok());
        let together = run::together(built.collect());
        let traces = together.iter().flat_map(|cases| cases.iter().zip(run::run(place, cases)));
        traces.map(|(case, trace)| (case.name.clone(), trace)).collect::<Vec<_>>()
    };
    let (masters, remainders) = (run(Beside::Master), run(Beside::Remainder));
    assert_eq!(masters.len(), remainders.len());
    for ((name, master), (_, remainder)) in masters.iter().zip(&remainders) {
        assert_eq!(bits(&master.params), bits(&remainder.params), "{name}: values");
        let away = map(&master.params, |value| f32::from_bits(value.to_bits().wrapping_add(0x8000) & 0xffff_0000));
        assert_eq!(bits(&away), bits(&remainder.stored), "{name}: parameters");
        assert_eq!(master.states, remainder.states, "{name}: states");
    }
    masters.len()
}

/// What a trace holds of each step.
type Steps<T> = BTreeMap<u64, Vec<Vec<T>>>;

fn map<T>(steps: &BTreeMap<u64, Tensors>, to: impl Fn(&f32) -> T) -> Steps<T> {
    let tensor = |tensor: &Vec<f32>| tensor.iter().map(&to).collect();
    steps.iter().map(|(step, tensors)| (*step, tensors.iter().map(tensor).collect())).collect()
}

fn bits(steps: &BTreeMap<u64, Tensors>) -> Steps<u32> {
    map(steps, |value| value.to_bits())
}
