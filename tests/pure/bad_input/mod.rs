//! Whatever breaks a rule is an error that names the argument, its value and the rule, before anything is changed.

mod metrics;
mod options;
mod rules;
mod schedules;
mod tensors;

use instep::{Device, Error, Optimizer, OptimizerBuilder};

/// Argument, value and rule of the error in `result`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> [String; 3] {
    match result {
        Err(Error::Argument { argument, value, rule }) => [argument, value, rule],
        other => panic!("expected Error::Argument, got {other:?}"),
    }
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

/// Numbers that no argument may be, and the rule that they break.
const FINITE: &str = "must be finite in f32, into which every value is rounded";
const NOT_IN_F32: [f64; 5] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e39, -1e39];

/// One of [`NOT_IN_F32`], as people write it.
fn written(x: f64) -> &'static str {
    NOT_IN_F32
        .iter()
        .zip(["NaN", "inf", "-inf", "1e39", "-1e39"])
        .find(|(known, _)| known.to_bits() == x.to_bits())
        .unwrap()
        .1
}
