//! Edits that are refused: the error says why, and nothing is changed.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    AdamW, Edit, Error, Optimizer, OptimizerBuilder, Schedule, Sgd, Stream, Tensor, Warmup, knob, knob_steps, step,
};

use crate::rig::Rig;
use crate::twins::Twins;
use crate::values::assert_same_bits;

#[test]
fn a_refused_edit_says_why_and_changes_nothing() {
    let Some(rig) = Rig::new() else { return };
    let lr = || {
        let warm = Schedule::linear(0.0, knob("peak_lr", 0.5)).over(knob_steps("warmup_steps", 4));
        let total = Schedule::multi_step_fractions(1.0, 0.5, knob_steps("total", 100), [0.5, 0.75]);
        let root = Schedule::exponential(knob("high", 1.0), knob("low", 0.5)).over(knob_steps("decay_steps", 9));
        warm.then(total * root * knob("factor", 1.0))
    };
    let beta = || Schedule::constant(knob("beta", 0.9)).over(knob_steps("piece", 3)).then(0.8);
    let mut twins = Twins::new(&rig, &[70], |builder, tensors| {
        builder.group(AdamW::new(lr()).beta1(beta()).weight_decay((step() + 1.0) * 0.0 + knob("decay", 0.1)), tensors)
    });
    let untouched = Twins::new(&rig, &[70], |builder, tensors| {
        builder.group(AdamW::new(lr()).beta1(beta()).weight_decay((step() + 1.0) * 0.0 + 0.1), tensors)
    });
    let knobs: Vec<_> = twins.device.knobs().map(|(name, value)| (name.to_owned(), value)).collect();
    twins.steps(2);
    if let Some(standin) = rig.standin {
        rig.finish();
        standin.reset_calls();
    }
    type Change = fn(Edit<'_>) -> Edit<'_>;
    let cases: [(Change, &str); 16] = [
        (|e| e.set("lr", 0.1), "knob \"lr\" is not there, but the knobs are \"beta\", \"decay\", "),
        (|e| e.set("total", 0.1), "knob \"total\" is 0.1, but it is a count of steps: use `set_steps`"),
        (|e| e.set_steps("peak_lr", 3), "knob \"peak_lr\" is 3 steps, but it is a number: use `set`"),
        (|e| e.set("peak_lr", 0.1).set("peak_lr", 0.2), "knob \"peak_lr\" is given twice"),
        (|e| e.set_steps("total", 5).now("total"), "knob \"total\" is given twice"),
        (
            |e| e.set("decay", 0.2).set("peak_lr", f64::NAN),
            "edit(decay: 0.2, peak_lr: NaN).groups[0].lr.then[0].linear.to is NaN",
        ),
        (|e| e.set("peak_lr", 1e39), "groups[0].lr.then[0].linear.to is 1e39"),
        (|e| e.set("peak_lr", -1.0), "groups[0].lr is -1 to 1, but must not be negative at any step"),
        (|e| e.set("beta", 1.0), "groups[0].beta1 is 0.8 to 1, but must lie in [0, 1) at every step"),
        (|e| e.set("low", -0.5), "groups[0].lr.then[1].product[0].product[1].exponential.to is -0.5"),
        (
            |e| e.set("high", 0.0),
            "exponential.to is 0.5, but must be of the same sign as from, 0, and neither may be 0",
        ),
        (
            |e| e.set_steps("warmup_steps", 3).now("total"),
            "now(\"total\") is refused, but it is the length of no piece",
        ),
        (|e| e.now("decay_steps"), "now(\"decay_steps\") is refused"),
        (|e| e.now("peak_lr"), "now(\"peak_lr\") is 0.5, but only a count of steps can be set to now"),
        (|e| e.now("never"), "knob \"never\" is not there"),
        (|e| e.progress_increment(3).set_steps("piece", u64::MAX).set("factor", f64::INFINITY), "factor: inf"),
    ];
    for (change, text) in cases {
        let refused = twins.refused(change);
        assert!(refused.contains(text), "{refused}\nhas no {text}");
    }
    if let Some(standin) = rig.standin {
        assert_eq!(standin.calls("cuLaunchKernel"), 0);
    }
    assert!(twins.device.knobs().eq(knobs.iter().map(|(name, value)| (name.as_str(), *value))));
    let mut untouched = untouched;
    untouched.steps(2);
    for _ in 0..8 {
        assert_eq!(twins.device.status(&rig.stream).unwrap(), untouched.device.status(&rig.stream).unwrap());
        twins.steps(1);
        untouched.steps(1);
        twins.expect_same("after refused edits");
        assert_same_bits(&twins.pairs[0].host_param, &untouched.pairs[0].host_param, "with and without refused edits");
    }
}

#[test]
fn a_value_must_suit_every_hyperparameter_that_has_the_knob() {
    let Some(rig) = Rig::new() else { return };
    let shared = || Schedule::constant(knob("shared", 0.5));
    let mut twins = Twins::new(&rig, &[3, 4], |builder, tensors| {
        builder.group(Sgd::new(shared()), &tensors[..1]).group(AdamW::new(shared()).beta2(shared()), &tensors[1..])
    });
    let refused = twins.refused(|edit| edit.set("shared", 1.5));
    assert!(refused.contains("groups[1].beta2 is 1.5, but must lie in [0, 1) at every step"), "{refused}");
    twins.edit(|edit| edit.set("shared", 0.25));
    let status = twins.device.status(&rig.stream).unwrap();
    assert_eq!([status.scalar(0, "lr"), status.scalar(1, "lr"), status.scalar(1, "beta2")], [Some(0.25); 3]);
    twins.steps(2);
    twins.expect_same("with one knob in two groups");
}

#[test]
fn a_boundary_that_other_constants_are_computed_from_cannot_be_now() {
    let Some(rig) = Rig::new() else { return };
    let ramp = || Schedule::linear(0.1, 0.5);
    let n = |i: usize| knob_steps(format!("n{i}"), 10);
    let cases = [
        (ramp().over(n(0)) * 2.0, "not a sequence of pieces as a whole"),
        (ramp().over(n(1)).then(ramp().over(n(1))).then(0.5), "it moves more than one boundary"),
        (ramp().over(5).then(ramp().over(n(2))), "it is the length of no piece"),
        (ramp().over(5).delay(n(3)).then(0.5), "other constants are computed from it"),
        (Schedule::constant(0.5).warmup_as(Warmup::FromFirst, n(4)), "other constants are computed from it"),
        (Schedule::join([0.5.into(), 0.25.into(), 0.125.into()], [n(5), 20.into()]), "at any later step"),
        (Schedule::join([0.5.into(), ramp().over(n(6))], [10u64]), "it is the length of no piece"),
        ((step() * 1e30).over(n(7)).then(0.5), "at any later step"),
    ];
    let mut twins = Twins::new(&rig, &[3; 8], |builder, tensors| {
        let add = |builder: OptimizerBuilder, ((lr, _), tensor): (&(Schedule, &str), &Tensor)| {
            builder.group(Sgd::new(lr.clone()), std::slice::from_ref(tensor))
        };
        cases.iter().zip(tensors).fold(builder, add)
    });
    for (i, (lr, text)) in cases.iter().enumerate() {
        let refused = twins.refused(|edit| edit.now(format!("n{i}")));
        assert!(refused.contains(text), "{lr:?}: {refused}");
    }
    twins.steps(3);
    twins.expect_same("after refused edits");
}

#[test]
fn an_edit_is_refused_on_a_stream_that_is_captured_or_of_another_place() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::sgd(&rig, Schedule::linear(0.0, knob("peak_lr", 0.5)).over(4));
    let refused = |opt: &mut Optimizer, stream: &Stream| {
        let error = opt.edit().set("peak_lr", 0.25).apply(stream).unwrap_err();
        assert!(matches!(&error, Error::Argument { argument, .. } if argument == "stream"), "{error}");
        error.to_string()
    };
    refused(&mut twins.device, &Stream::host());
    refused(&mut twins.host, &rig.stream);

    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    let text = refused(&mut twins.device, &rig.stream);
    twins.device.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert!(text.contains("capturing a graph"), "{text}");
    graph.launch().unwrap();
    twins.host.step(&Stream::host()).unwrap();
    twins.expect_same("the capture went on, and nothing was edited");
    assert_eq!(twins.lr(0), 0.125);
}

#[test]
fn a_boundary_that_may_be_zero_where_that_is_forbidden_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let n = || knob_steps("n", 10);
    let schedules = [
        Schedule::constant(0.1).over(n()).then(Schedule::step_decay(0.1, 0.5, n())),
        Schedule::constant(0.1).over(n()).then(Schedule::linear(0.1, 0.0).over(n()).repeat()),
    ];
    for schedule in schedules {
        let mut twins = Twins::new(&rig, &[3], |builder, tensors| builder.group(Sgd::new(schedule.clone()), tensors));
        let error = twins.host.edit().now("n").apply(&Stream::host()).unwrap_err();
        assert!(error.to_string().contains("it is a period too"), "{error}");
        twins.device.edit().now("n").apply(&rig.stream).unwrap_err();
        twins.steps(2);
    }
}
