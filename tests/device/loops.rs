//! Loops that could not end are refused, by the bounds of the schedules; a bound on launches ends any other.

use instep::{
    AdamW, Greedy, LoopBody, LossScale, NonFinite, Observed, Optimizer, OptimizerBuilder, Plateau, Schedule, Sgd,
    Tensor, knob,
};

use crate::rig::{Pair, Rig};
use crate::while_loop::{self, WhileLoop};

/// What is asked of a builder for two tensors, of a body, and the error; empty if there is none.
type Case = (fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder, LoopBody, &'static str);

fn halving() -> Plateau {
    Plateau::new().factor(0.5).min_scale(0.01)
}

#[test]
fn a_loop_that_cannot_end_by_its_schedules_is_refused_and_one_that_can_is_not() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = [(); 2].map(|()| Pair::new(&rig, vec![1.0; 5], vec![1.0; 5], (0, 0)));
    let tensors: Vec<Tensor> = pairs.iter_mut().map(|pair| pair.device_tensor()).collect();
    let (plain, observing) = (LoopBody::new(), LoopBody::new().observes());
    let cases: Vec<Case> = vec![
        (|b, t| b.group(Sgd::new(Schedule::linear(1.0, 0.0).over(9)), t).stop_below(0.5), plain, ""),
        // Never below.
        (
            |b, t| b.group(Sgd::new(Schedule::linear(1.0, 0.125).over(9)), t).stop_below(0.125),
            plain,
            "stop_condition is by a floor that the rate stays above, but the rate of groups[0] is 0.125 at least, by its \
             schedule, and never falls below 0.125: no loop would end",
        ),
        // Another end comes all the same.
        (|b, t| b.group(Sgd::new(1.0), t).stop_below(0.5).stop_at(7), plain, ""),
        // All groups have to fall.
        (
            |b, t| {
                b.group(Sgd::new(Schedule::linear(1.0, 0.0).over(9)), &t[..1])
                    .group(Sgd::new(0.75), &t[1..])
                    .stop_below(0.5)
            },
            plain,
            "stop_condition is by a floor that the rate stays above, but the rate of groups[1] is 0.75 at least, by its \
             schedule, and never falls below 0.5: no loop would end",
        ),
        // Below from the beginning to the end: it never falls.
        (
            |b, t| b.group(AdamW::new(Schedule::linear(0.0, 0.25).over(9)), t).stop_below(0.5),
            plain,
            "stop_condition is by a floor that the rate never reaches, but the rates are 0.25 at most, by their schedules, \
             always below 0.5: they never fall there",
        ),
        // A plateau lowers it, if somebody observes.
        (|b, t| b.group(Sgd::new(1.0).metric(halving()), t).stop_below(0.5), observing, ""),
        (|b, t| b.metric(halving()).group(Sgd::new(1.0), t).stop_below(0.5), observing, ""),
        (
            |b, t| b.group(Sgd::new(1.0).metric(halving()), t).stop_below(0.5),
            plain,
            "stop_condition is by a rate that nobody shows a metric, but only its metric rule lowers the rate of groups[0] so \
             far, and no step observes and no word says that the body does: call observe_every(..) on the builder, or \
             LoopBody::observes()",
        ),
        (
            |b, t| b.group(Sgd::new(1.0).metric(halving()), t).stop_below(0.001),
            observing,
            "stop_condition is by a floor that the rate stays above, but the rate of groups[0] is 0.01 at least, by its \
             schedule, and never falls below 0.001: no loop would end",
        ),
        (
            |b, t| b.group(Sgd::new(1.0).metric(halving().min_change(0.25)), t).stop_below(0.25),
            observing,
            "stop_condition is by a floor that the rate stays above, but the rate of groups[0] is 0.25 at least, by its \
             schedule, and never falls below 0.25: no loop would end",
        ),
        (|b, t| b.group(Sgd::new(1.0).metric(Greedy::new()), t).stop_below(0.5), observing, ""),
        // One that raises it can lower it again.
        (|b, t| b.group(Sgd::new(0.25).metric(Greedy::new()), t).stop_below(0.5), observing, ""),
        (
            |b, t| b.group(Sgd::new(1.0).metric(halving()), t).stop_on_plateau(),
            plain,
            "stop_condition is by a plateau that nobody shows a metric, but no step observes and no word says that the body \
             does: call observe_every(..) on the builder, or LoopBody::observes()",
        ),
        (|b, t| b.group(Sgd::new(1.0).metric(halving()), t).stop_on_plateau(), observing, ""),
        // Skips without limit.
        (
            |b, t| b.group(Sgd::new(1.0), t).stop_at(5).loss_scale(LossScale::dynamic()),
            plain,
            "stop_condition is of an optimizer that skips updates without limit, but call \
             non_finite(NonFinite::SkipAndRaise(..)) on the builder: no loop would end whose gradients stay NaN",
        ),
        (|b, t| b.group(Sgd::new(1.0), t).stop_at(5).loss_scale(LossScale::dynamic().stop_at_min()), plain, ""),
        // A bound ends any loop.
        (|b, t| b.group(Sgd::new(1.0), t).non_finite(NonFinite::Skip), LoopBody::new().at_most(9), ""),
        (
            |b, t| b.group(Sgd::new(1.0), t).stop_at(3),
            LoopBody::new().at_most(0),
            "stop_condition.at_most is 0, but must be at least 1",
        ),
    ];
    for (i, (options, body, expected)) in cases.into_iter().enumerate() {
        let opt = options(Optimizer::builder(&rig.device), &tensors).build().unwrap();
        let refused = opt.stop_condition_of(body).map_or_else(|error| error.to_string(), |_| String::new());
        assert_eq!(refused, expected, "case {i}");
    }
    // A step that observes by itself needs no word.
    let loss = rig.array(&[1.0], 0);
    // SAFETY: the loss outlives the optimizer.
    let builder = unsafe { Optimizer::builder(&rig.device).observe_every(1, Observed::f32(loss.address())) };
    let opt = builder.group(Sgd::new(1.0).metric(halving()), &tensors).stop_on_plateau().build().unwrap();
    opt.stop_condition().unwrap();
}

#[test]
fn a_bound_on_launches_ends_a_loop_and_begins_anew_with_the_next() {
    let Some(rig) = Rig::new() else { return };
    if let Some(why) = while_loop::unavailable() {
        return println!("skipped: {why}");
    }
    let pair = Pair::new(&rig, vec![1.0; 5], vec![1.0; 5], (0, 0));
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(1e-3), &[pair.device_tensor()]).stop_at(10);
    let mut opt = builder.build().unwrap();
    let condition = opt.stop_condition_of(LoopBody::new().at_most(4)).unwrap();
    rig.finish();
    let body = |handle| {
        opt.step(&rig.stream)?;
        // SAFETY: captured into the graph of the handle; the condition outlives the graph.
        Ok(unsafe { condition.set(handle, &rig.stream) }?)
    };
    let whole = WhileLoop::capture(&rig.engine, |_| Ok(()), body).unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        whole.launch().unwrap();
        let status = opt.status(&rig.stream).unwrap();
        seen.push((status.t, status.stop, status.exhausted));
    }
    // The third ends by itself, two launches before the bound.
    assert_eq!(seen, [(4, false, true), (8, false, true), (10, true, true)]);
    opt.edit().lower_flags().stop_at(13).apply(&rig.stream).unwrap();
    whole.launch().unwrap();
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.stop, status.exhausted), (13, true, false), "a moved end, and a count from 0");
}

#[test]
fn whether_a_loop_can_end_follows_the_knobs() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0; 3], vec![0.5; 3], (0, 0));
    let build = |end| {
        let lr = Schedule::linear(1.0, knob("end", end)).over(9);
        let builder = Optimizer::builder(&rig.device).stop_below(0.5);
        builder.group(Sgd::new(lr), &[pair.device_tensor()]).build().unwrap()
    };
    let mut opt = build(0.0);
    opt.stop_condition().unwrap();
    opt.edit().set("end", 0.75).apply(&rig.stream).unwrap();
    let refused = opt.stop_condition().unwrap_err().to_string();
    assert!(refused.contains("the rate of groups[0] is 0.75 at least"), "{refused}");

    let state = opt.state(&rig.stream).unwrap();
    let mut resumed = build(0.0);
    resumed.load_state(&state, &rig.stream).unwrap();
    resumed.stop_condition().unwrap_err();
    resumed.edit().set("end", 0.25).apply(&rig.stream).unwrap();
    resumed.stop_condition().unwrap();
}
