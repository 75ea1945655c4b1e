//! One metric rule for all groups, observations once an update, and metrics that are not finite: on the device and, bit for
//! bit the same, on the host.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Better, Greedy, Improvement, Metric, Observed, Optimizer, OptimizerBuilder, Plateau, Sgd,
    Status, Stream, Telemetry, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::twins::Twins;

fn halving(patience: u64) -> Plateau {
    Plateau::new().factor(0.5).patience(patience)
}

fn own_rule() -> Greedy {
    Greedy::new().factor(0.5).patience(0).smooth(2)
}

/// Four groups, of which the second has a rule of its own and the others share one.
fn shared(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder
        .metric(halving(1).min_scale(0.25))
        .telemetry(Telemetry::ring(16))
        .group(AdamW::new(1.0), &tensors[..1])
        .group(Sgd::new(1.0).metric(own_rule()), &tensors[1..2])
        .group(Sgd::new(0.5), &tensors[2..3])
        .group(AdamW::new(0.25), &tensors[3..])
}

fn rates(status: &Status) -> [f32; 4] {
    [0, 1, 2, 3].map(|group| status.scalar(group, "lr").unwrap())
}

#[test]
fn groups_without_a_rule_of_their_own_share_one_and_the_others_keep_theirs() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[70, 5, 900, 4], shared);
    let metrics = [1.0, 1.0, 1.0, 0.5, 2.0, 2.0, 0.25, 1.0, 1.0, 1.0, 1.0, 1.0];
    // Reduced with the third, the sixth and the ninth; then it is at its bound.
    let scales = [1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25];
    let (mut greedy, mut window) = (own_rule().start(), [0.0; 2]);
    for (i, (metric, scale)) in metrics.into_iter().zip(scales).enumerate() {
        twins.observe(metric);
        let [first, own, third, fourth] = rates(&twins.device.status(&rig.stream).unwrap());
        assert_eq!([first, third, fourth], [scale, 0.5 * scale, 0.25 * scale], "observation {i}");
        greedy = own_rule().observe(greedy, &mut window, metric);
        assert_eq!(own, greedy.scale as f32, "observation {i}: the group with a rule of its own");
        twins.steps(1);
        twins.expect_same(&format!("observation {i}"));
    }
}

#[test]
fn a_plateau_on_one_group_alone_leaves_the_others() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[7, 9], |builder, tensors| {
        builder.group(Sgd::new(1.0).metric(halving(0)), &tensors[..1]).group(Sgd::new(1.0), &tensors[1..])
    });
    twins.observe(1.0);
    twins.observe(1.0);
    twins.steps(1);
    twins.expect_same("after a reduction");
    assert_eq!([twins.lr(0), twins.lr(1)], [0.5, 1.0]);
}

#[test]
fn a_shared_plateau_gives_up_once_for_all_its_groups() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[7, 9], |builder, tensors| {
        let builder = builder.metric(halving(0).min_scale(0.5)).stop_on_plateau();
        builder.group(Sgd::new(1.0), &tensors[..1]).group(Sgd::new(0.1), &tensors[1..])
    });
    for (i, stops) in [false, false, true].into_iter().enumerate() {
        twins.observe(1.0);
        assert_eq!(twins.device.status(&rig.stream).unwrap().stop, stops, "observation {i}");
        twins.expect_same("while it gives up");
    }
}

#[test]
fn a_floor_can_be_reached_by_the_rule_that_groups_share() {
    let Some(rig) = Rig::new() else { return };
    let loss = rig.array(&[1.0], 0);
    let pairs = [3, 4].map(|len| Pair::new(&rig, vec![1.0; len], vec![0.5; len], (0, 0)));
    let builder = Optimizer::builder(&rig.device).metric(halving(0)).stop_below(0.3);
    // SAFETY: the loss outlives the optimizer.
    let builder = unsafe { builder.observe_every(1, Observed::f32(loss.address())) };
    let groups = pairs.iter().fold(builder, |b, pair| b.group(Sgd::new(1.0), &[pair.device_tensor()]));
    let mut opt = groups.build().unwrap();
    opt.stop_condition().unwrap();
    for stops in [false, false, true] {
        opt.step(&rig.stream).unwrap();
        assert_eq!(opt.status(&rig.stream).unwrap().stop, stops);
    }
}

#[test]
fn metrics_that_are_not_finite_count_as_bad_on_both_sides() {
    let Some(rig) = Rig::new() else { return };
    let higher = Improvement::relative(Better::Higher, 0.0);
    let rules: [Metric; 5] = [
        halving(0).into(),
        halving(0).improvement(higher).into(),
        halving(0).average(2).into(),
        halving(0).improvement(Improvement::signed(Better::Lower, 0.5, 0.0)).into(),
        Greedy::new().factor(0.5).patience(0).smooth(3).bounds(0.01, 8.0).into(),
    ];
    let mut twins = Twins::new(&rig, &[1; 5], |builder, tensors| {
        rules.iter().zip(tensors).fold(builder, |builder, (rule, tensor)| {
            builder.group(Sgd::new(1.0).metric(*rule), std::slice::from_ref(tensor))
        })
    });
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    let metrics = [1.0, low, 0.5, high, 0.25, f64::NAN, 0.125, low, 0.0625, low, low, 0.03125, f64::MAX, f64::MIN];
    for (i, metric) in metrics.into_iter().enumerate() {
        twins.observe(metric);
        twins.steps(1);
        twins.expect_same(&format!("observation {i}, {metric}"));
        let reductions = [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 6, 7, 7][i];
        assert_eq!(twins.lr(0), 0.5f32.powi(reductions), "only what is not finite, or worse, is bad: {i}, {metric}");
    }
}

/// An optimizer that accumulates over `calls` calls, whose rate halves with every observation after the first.
fn accumulating(builder: OptimizerBuilder, tensors: &[Tensor], calls: u32) -> OptimizerBuilder {
    builder.metric(halving(0)).accumulate(Accumulate::mean(calls)).group(Sgd::new(1.0), tensors)
}

fn observe_per_update(twins: &mut Twins<'_>, rig: &Rig, metric: f64) {
    // SAFETY: a value has no address.
    unsafe { twins.device.observe_per_update(metric, &rig.stream) }.unwrap();
    // SAFETY: as above.
    unsafe { twins.host.observe_per_update(metric, &Stream::host()) }.unwrap();
}

#[test]
fn an_observation_per_update_counts_once_an_update_before_or_after_its_calls() {
    let Some(rig) = Rig::new() else { return };
    for before in [true, false] {
        let mut twins = Twins::new(&rig, &[70], |builder, tensors| accumulating(builder, tensors, 3));
        for call in 0..12 {
            if before {
                observe_per_update(&mut twins, &rig, 1.0);
            }
            twins.steps(1);
            if !before {
                observe_per_update(&mut twins, &rig, 1.0);
            }
            // The first observation is the best there is.
            let observations = if before { call / 3 + 1 } else { (call + 1) / 3 };
            assert_eq!(twins.lr(0), 0.5f32.powi((observations - 1).max(0)), "call {call}, before: {before}");
            twins.expect_same(&format!("call {call}"));
        }
    }
}

#[test]
fn a_plain_observation_counts_at_every_call_and_a_skipped_update_is_one() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[70], |builder, tensors| accumulating(builder, tensors, 2));
    for call in 0..4 {
        twins.steps(1);
        twins.observe(1.0);
        assert_eq!(twins.lr(0), 0.5f32.powi(call), "call {call}");
    }
    twins.expect_same("after four observations");
    twins.steps(1);
    observe_per_update(&mut twins, &rig, 1.0);
    assert_eq!(twins.lr(0), 0.125, "half done");
    twins.skipped_step();
    observe_per_update(&mut twins, &rig, 1.0);
    assert_eq!(twins.lr(0), 0.0625, "skipped");
    twins.expect_same("after a skipped update");

    // Where nothing accumulates both are one.
    let mut plain = Twins::new(&rig, &[9], |builder, tensors| builder.metric(halving(0)).group(Sgd::new(1.0), tensors));
    observe_per_update(&mut plain, &rig, 1.0);
    observe_per_update(&mut plain, &rig, 1.0);
    plain.expect_same("without accumulation");
    assert_eq!(plain.lr(0), 0.5);
}

#[test]
fn a_captured_call_of_an_accumulated_update_observes_at_its_last_replay() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0], vec![0.0], (0, 0));
    let mut loss = rig.array(&[1.0], 0);
    let builder = accumulating(Optimizer::builder(&rig.device), &[pair.device_tensor()], 2);
    let mut opt = builder.build().unwrap();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    // SAFETY: `loss` outlives the graph.
    unsafe { opt.observe_per_update(Observed::f32(loss.address()), &rig.stream) }.unwrap();
    // SAFETY: a value has no address.
    unsafe { opt.observe_per_update(0.5, &rig.stream) }.unwrap_err();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let mut rates = Vec::new();
    // What lies there at the first of two calls is never the best.
    for value in [0.1, 1.0, 0.2, 0.9, 0.3, 0.9, 0.4, 0.8, 0.8, 0.8] {
        loss.write(&rig, &[value]);
        graph.launch().unwrap();
        rates.push(opt.status(&rig.stream).unwrap().scalar(0, "lr").unwrap());
    }
    assert_eq!(rates, [1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]);
}
