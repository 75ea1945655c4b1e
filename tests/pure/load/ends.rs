//! Another end than before needs no word.

use instep::{Device, NonFinite, Optimizer, OptimizerBuilder, Schedule, Sgd, Stream};

use super::block;
use crate::owned::Pair;

#[test]
fn when_to_stop_may_change_with_a_resume() {
    let stopped = |ask: fn(OptimizerBuilder) -> OptimizerBuilder, steps: usize| {
        let pair = Pair::small();
        let mut opt = ends(&pair, ask);
        (0..steps).for_each(|_| opt.step(&Stream::host()).unwrap());
        block(&opt)
    };
    // The rate is 1 - t / 10 up to t = 10. Where, by which end it goes on, and the flag at once and after three more steps.
    type Ask = fn(OptimizerBuilder) -> OptimizerBuilder;
    let cases: [(Ask, usize, Ask, bool, bool); 7] = [
        (|b| b.stop_below(0.75), 5, |b| b.stop_below(0.75), true, true),
        (|b| b.stop_below(0.75), 5, |b| b.stop_below(0.25), false, true),
        (|b| b.stop_below(0.75), 5, |b| b.stop_at(100), false, false),
        (|b| b.stop_at(5), 5, |b| b.stop_at(7), false, true),
        (|b| b, 5, |b| b.stop_at(5), true, true),
        (|b| b, 5, |b| b.stop_below(0.25), false, true),
        (|b| b, 5, |b| b.stop_below(0.75), false, false), // it is below, and does not fall
    ];
    for (i, (first, steps, then, at_once, later)) in cases.into_iter().enumerate() {
        let (block, pair) = (stopped(first, steps), Pair::small());
        let mut opt = ends(&pair, then);
        opt.load_state(&block, &Stream::host()).unwrap();
        let flag = |opt: &Optimizer| opt.status(&Stream::host()).unwrap().stop;
        assert_eq!(flag(&opt), at_once, "case {i}, at once");
        (0..3).for_each(|_| opt.step(&Stream::host()).unwrap());
        assert_eq!(flag(&opt), later, "case {i}, later");
    }
}

/// One tensor, whose rate falls from 1 to 0 in ten steps.
fn ends(pair: &Pair, ask: fn(OptimizerBuilder) -> OptimizerBuilder) -> Optimizer {
    let builder = Optimizer::builder(&Device::host());
    ask(builder.group(Sgd::new(Schedule::linear(1.0, 0.0).over(10)), &[pair.tensor()])).build().unwrap()
}

#[test]
fn a_run_that_came_to_its_end_can_be_resumed_with_another_end() {
    let pair = Pair::small();
    let build = |end| {
        let builder = Optimizer::builder(&Device::host()).non_finite(NonFinite::Skip).stop_at(end);
        builder.group(Sgd::new(0.1), &[pair.tensor()]).build().unwrap()
    };
    let mut first = build(3);
    (0..3).for_each(|_| first.step(&Stream::host()).unwrap());
    assert!(first.status(&Stream::host()).unwrap().stop);
    let mut longer = build(5);
    longer.load_state(&block(&first), &Stream::host()).unwrap();
    let stops: Vec<bool> = (0..3)
        .map(|_| {
            let stop = longer.status(&Stream::host()).unwrap().stop;
            longer.step(&Stream::host()).unwrap();
            stop
        })
        .collect();
    assert_eq!(stops, [false, false, true]);
}
