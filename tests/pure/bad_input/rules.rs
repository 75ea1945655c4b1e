//! Hyperparameters and their ranges, what needs CUDA, and the text of errors.

use instep::{Adam, AdamW, Device, Momentum, OptimizerBuilder, Schedule, Sgd, Source, Tensor};

use super::{FINITE, NOT_IN_F32, builder, refused, written};
use crate::owned::{Pair, tensor};

/// A hyperparameter's name, its place in a rule, and whether it stays below 1.
struct Hyperparameter {
    name: &'static str,
    set: fn(OptimizerBuilder, Schedule, &[Tensor]) -> OptimizerBuilder,
    below_one: bool,
}

const HYPERPARAMETERS: [Hyperparameter; 13] = [
    Hyperparameter { name: "lr", set: |b, x, t| b.group(AdamW::new(x), t), below_one: false },
    Hyperparameter {
        name: "weight_decay",
        set: |b, x, t| b.group(AdamW::new(0.1).weight_decay(x), t),
        below_one: false,
    },
    Hyperparameter { name: "beta1", set: |b, x, t| b.group(AdamW::new(0.1).beta1(x), t), below_one: true },
    Hyperparameter { name: "beta2", set: |b, x, t| b.group(AdamW::new(0.1).beta2(x), t), below_one: true },
    Hyperparameter { name: "eps", set: |b, x, t| b.group(AdamW::new(0.1).eps(x), t), below_one: false },
    Hyperparameter { name: "lr", set: |b, x, t| b.group(Adam::new(x), t), below_one: false },
    Hyperparameter {
        name: "weight_decay",
        set: |b, x, t| b.group(Adam::new(0.1).weight_decay(x), t),
        below_one: false,
    },
    Hyperparameter { name: "lr", set: |b, x, t| b.group(Sgd::new(x), t), below_one: false },
    Hyperparameter { name: "weight_decay", set: |b, x, t| b.group(Sgd::new(0.1).weight_decay(x), t), below_one: false },
    Hyperparameter { name: "momentum", set: |b, x, t| b.group(heavy(x), t), below_one: true },
    Hyperparameter { name: "momentum", set: |b, x, t| b.group(nesterov(x), t), below_one: true },
    Hyperparameter { name: "dampening", set: |b, x, t| b.group(heavy(0.9).dampening(x), t), below_one: false },
    Hyperparameter { name: "eps", set: |b, x, t| b.group(Adam::new(0.1).eps(x), t), below_one: false },
];

fn heavy(momentum: impl Into<Schedule>) -> Sgd {
    Sgd::new(0.1).momentum(Momentum::Heavy, momentum)
}

fn nesterov(momentum: impl Into<Schedule>) -> Sgd {
    Sgd::new(0.1).momentum(Momentum::Nesterov, momentum)
}

#[test]
fn hyperparameters_keep_to_their_range_as_constants_and_at_every_step_of_a_schedule() {
    let (first, second) = (Pair::small(), Pair::small());
    for Hyperparameter { name, set, below_one } in HYPERPARAMETERS {
        let try_with = |x: Schedule| {
            let builder = builder().group(Sgd::new(0.1), &[first.tensor()]);
            set(builder, x, &[second.tensor()]).build()
        };
        let path = format!("groups[1].{name}");
        let range = match (name, below_one) {
            (_, true) => "must lie in [0, 1) at every step",
            ("eps", _) => "must be above 0 and finite in f32 at every step",
            _ => "must not be negative at any step",
        };
        for x in NOT_IN_F32 {
            assert_eq!(refused(try_with(x.into())), [&path, written(x), FINITE]);
        }
        assert_eq!(refused(try_with((-1e-3).into())), [&path, "-0.001", range]);
        let dips = Schedule::linear(0.5, -0.25).over(10);
        assert_eq!(refused(try_with(dips)), [&path, "-0.25 to 0.5", range]);
        let broken = Schedule::constant(0.5).over(1).then(Schedule::step_decay(0.5, 0.5, 0));
        assert_eq!(refused(try_with(broken))[0], format!("{path}.then[1].step_decay.every"));
        if below_one {
            assert_eq!(refused(try_with(1.0.into())), [&path, "1", range]);
            assert_eq!(refused(try_with(1.5.into())), [&path, "1.5", range]);
            let reaches_one = Schedule::linear(0.9, 1.0).over(1_000_000);
            assert_eq!(refused(try_with(reaches_one)), [&path, "0.9 to 1", range]);
        } else {
            try_with(1.5.into()).unwrap();
        }
        if name == "eps" {
            // 0 once it is rounded to f32: a parameter without a gradient would become NaN.
            assert_eq!(refused(try_with(1e-46.into()))[2], range);
            assert_eq!(refused(try_with(Schedule::linear(1e-8, 0.0).over(10)))[1], "0 to 1e-8");
            try_with(1e-45.into()).unwrap();
            continue;
        }
        try_with(0.0.into()).unwrap();
        try_with(Schedule::linear(0.0, 0.999).over(10)).unwrap();
    }
}

#[test]
fn a_rule_has_no_argument_without_effect() {
    let pair = Pair::small();
    let build = |rule: Sgd| builder().group(rule, &[pair.tensor()]).build();
    let dampened = refused(build(nesterov(0.9).dampening(0.1)));
    assert_eq!(dampened, ["groups[0].dampening", "set", "must not be set with Nesterov momentum, which has none"]);
    let [argument, value, rule] = refused(build(Sgd::new(0.1).momentum(Momentum::None, 0.9)));
    assert_eq!((&*argument, &*value), ("groups[0].momentum", "set"));
    assert_eq!(rule, "must not be set with the form none, which has no momentum and no dampening");
    assert_eq!(refused(build(Sgd::new(0.1).dampening(0.1)))[0], "groups[0].dampening");
}

#[test]
fn what_needs_cuda_is_refused_on_the_host() {
    let source = Source { name: "a.cu", text: "", headers: &[] };
    let [argument, value, rule] = refused(Device::host().compile(&source));
    assert_eq!([argument, value, rule], ["device", "the host", "it compiles no CUDA"]);
    // SAFETY: the host refuses any CUDA stream unseen.
    let stream = unsafe { Device::host().stream_from_raw(std::ptr::null_mut()) };
    assert_eq!(refused(stream), ["stream", "a CUDA stream", "the device is the host"]);
}

#[test]
fn the_text_of_an_error_is_a_sentence_with_argument_value_and_rule() {
    let pair = Pair::small();
    let lr = Schedule::linear(0.0, 0.1).over(10).then(Schedule::multi_step(0.1, 0.5, [30, 20]));
    let error = builder().group(AdamW::new(lr), &[pair.tensor()]).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "groups[0].lr.then[1].multi_step.milestones[1] is 20, but must exceed the one before, 30"
    );
    let error = builder().group(AdamW::new(0.1).beta2(1.0), &[pair.tensor()]).build().unwrap_err();
    assert_eq!(error.to_string(), "groups[0].beta2 is 1, but must lie in [0, 1) at every step");
    let tensors = [pair.tensor(), tensor(0, pair.grad.address(), 4)];
    let error = builder().group(Sgd::new(0.1), &tensors).build().unwrap_err();
    assert_eq!(error.to_string(), "groups[0].tensors[1].param.address is null, but 4 elements are to be there");
}
