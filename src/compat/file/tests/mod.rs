//! Published files, read whole: what becomes of them, and what is refused at which place.

mod lightning;
mod mmengine;
mod timm;

use super::{Facts, Reading, read};
use crate::config::GroupConfig;
use crate::schedule::Schedule;

/// A file as it is published.
pub(super) fn published(name: &str) -> String {
    let path = format!("{}/tests/configurations/published/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn reading(text: &str, facts: &Facts) -> Reading {
    read(text, facts).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What is said of `text`, in which `from` is put in place of `to`.
#[track_caller]
fn refusal(text: &str, from: &str, to: &str, facts: &Facts) -> String {
    assert!(text.contains(from), "{from} is not in\n{text}");
    match read(&text.replacen(from, to, 1), facts) {
        Ok(reading) => panic!("{to} was accepted: {:?}", reading.config),
        Err(error) => error.to_string(),
    }
}

fn epochs_of(steps_per_epoch: u64) -> Facts {
    Facts { steps_per_epoch: Some(steps_per_epoch), ..Facts::default() }
}

/// Asserts what `schedule` is at `steps`, to 12 digits.
pub(super) fn close(
    schedule: &Schedule,
    steps: impl IntoIterator<Item = u64> + Clone,
    expected: impl IntoIterator<Item = f64>,
) {
    let values = schedule.trace(steps.clone()).unwrap();
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(values.len(), expected.len(), "as many values as steps");
    for ((step, value), expected) in steps.into_iter().zip(values).zip(expected) {
        assert!((value - expected).abs() <= 1e-12 * expected.abs(), "at step {step}: {value} is not {expected}");
    }
}

#[track_caller]
fn assert_rates(group: &GroupConfig, expected: &[(u64, f64)]) {
    for (step, expected) in expected {
        let lr = group.lr().at(*step).unwrap();
        assert!((lr - expected).abs() <= 1e-12 * expected.abs(), "at {step}: {lr}, expected {expected}");
    }
}
