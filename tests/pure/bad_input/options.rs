//! What a builder is asked for besides groups: gradients, metrics, the end, telemetry.

use instep::{
    Accumulate, Clip, Dtype, Greedy, LossScale, NonFinite, Norm, Observed, OptimizerBuilder, Plateau, Sgd, Telemetry,
    Tensor,
};

use super::builder;

type Form = fn(OptimizerBuilder) -> OptimizerBuilder;

fn empty() -> Tensor {
    // SAFETY: nothing is behind an empty tensor.
    unsafe { Tensor::f32(0, 0, 0) }
}

/// The argument of the error.
#[track_caller]
fn refused(options: Form, expected: &str) {
    let builder = builder().group(Sgd::new(0.1), &[empty()]);
    let [argument, ..] = super::refused(options(builder).build());
    assert_eq!(argument, expected);
}

/// The same for two groups with metric rules, of which only the second is a plateau.
#[track_caller]
fn refused_with_metrics(options: Form, expected: &str) {
    let builder = builder()
        .group(Sgd::new(0.1).metric(Greedy::new()), &[empty()])
        .group(Sgd::new(0.1).metric(Plateau::new()), &[empty()]);
    let [argument, ..] = super::refused(options(builder).build());
    assert_eq!(argument, expected);
}

#[test]
fn bad_options_of_gradients_are_refused() {
    refused(|b| b.clip(Clip::torch_norm(0.0)), "clip");
    refused(|b| b.clip(Clip::value(f64::NAN)), "clip");
    refused(|b| b.clip(Clip::optax_norm(-1.0)), "clip");
    refused(|b| b.loss_scale(LossScale::fixed(0.0)), "loss_scale.init");
    refused(|b| b.loss_scale(LossScale::fixed(f64::INFINITY)), "loss_scale.init");
    refused(|b| b.loss_scale(LossScale::dynamic().growth(1.0)), "loss_scale.growth");
    refused(|b| b.loss_scale(LossScale::dynamic().backoff(1.0)), "loss_scale.backoff");
    refused(|b| b.loss_scale(LossScale::dynamic().interval(0)), "loss_scale.interval");
    refused(|b| b.loss_scale(LossScale::dynamic().limits(2.0, 1.0)), "loss_scale.max");
    refused(|b| b.loss_scale(LossScale::dynamic().init(1.0).limits(2.0, 4.0)), "loss_scale.init");
    refused(|b| b.non_finite(NonFinite::SkipAndRaise(0)), "non_finite.raise_after");
    refused(|b| b.accumulate(Accumulate::mean(0)), "accumulate.calls");
    refused(|b| b.clip(Clip::value(1.0).by(Norm::One)), "clip.by");
    refused(|b| b.clip(Clip::value(1e-50)), "clip");
    refused(|b| b.loss_scale(LossScale::fixed(1e-50)), "loss_scale.init");
    refused(|b| b.loss_scale(LossScale::dynamic().limits(1e-45, 65_536.0)), "loss_scale.min");
}

#[test]
fn bad_ends_are_refused() {
    refused(|b| b.stop_at(0), "stop_at");
    refused(|b| b.stop_below(0.0), "stop_below");
    refused(|b| b.stop_below(-1e-3), "stop_below");
    refused(|b| b.stop_below(1e-50), "stop_below");
    refused(|b| b.stop_below(f64::NAN), "stop_below");
    refused(|b| b.stop_below(f64::INFINITY), "stop_below");
    refused(|b| b.stop_on_plateau(), "stop_on_plateau");
    refused(|b| b.group(Sgd::new(0.1).metric(Greedy::new()), &[empty()]).stop_on_plateau(), "stop_on_plateau");
}

#[test]
fn bad_rings_are_refused() {
    refused(|b| b.telemetry(Telemetry::ring(0)), "telemetry.records");
    refused(|b| b.telemetry(Telemetry::ring((1 << 24) + 1)), "telemetry.records");
    refused(|b| b.telemetry(Telemetry::ring(8).groups([0, 1])), "telemetry.groups[1]");
    refused(|b| b.telemetry(Telemetry::ring(8).groups([0, 0]).mapped()), "telemetry.groups[1]");
}

#[test]
fn bad_observations_of_the_step_are_refused() {
    // SAFETY: refused, so never read.
    refused(|b| unsafe { b.observe_every(1, Observed::f32(64)) }, "observe_every.updates");
    // SAFETY: as above.
    refused_with_metrics(|b| unsafe { b.observe_every(0, Observed::f32(64)) }, "observe_every.updates");
    // SAFETY: as above.
    refused_with_metrics(|b| unsafe { b.observe_every(1, Observed::f32(0)) }, "observe_every.metric");
    // SAFETY: as above.
    refused_with_metrics(|b| unsafe { b.observe_every(1, Observed::f32(66)) }, "observe_every.metric");
    // SAFETY: as above.
    refused_with_metrics(|b| unsafe { b.observe_every(1, 0.5.into()) }, "observe_every.metric");
}

#[test]
fn a_metric_that_the_update_writes_in_part_is_refused() {
    let (mut memory, grad) = ([0u64; 4], [0.0f32; 4]);
    let base = memory.as_mut_ptr() as u64;
    // SAFETY: both outlive the builder. The parameter begins in the upper half of an f64 and ends in the lower half of another.
    let tensor = [unsafe { Tensor::f32(base + 4, grad.as_ptr() as u64, 4) }];
    for (offset, fits) in [(0, false), (8, false), (16, false), (24, true)] {
        let builder = builder().group(Sgd::new(0.1).metric(Plateau::new()), &tensor);
        let metric = Observed::Device { address: base + offset, dtype: Dtype::F64 };
        // SAFETY: never read, since no step is made.
        let built = unsafe { builder.observe_every(1, metric) }.build();
        match fits {
            true => assert!(built.is_ok(), "{built:?}"),
            false => assert_eq!(super::refused(built)[0], "observe_every.metric", "{offset}"),
        }
    }
}
