//! Rules that sum over elements before an update and rules that remember: what they come to on the device has the bits of the
//! CPU backend, whatever the shapes, through skipped updates, accumulation, replays of a graph and a resume.

mod edges;
mod faults;
pub mod rules;

use approx::assert_abs_diff_eq;
use cuda_on_cpu::Direction;
use instep::rule::Over;
use instep::{Accumulate, AdamW, Clip, NonFinite, OptimizerBuilder, Schedule, Stream, Tensor};

use crate::rig::Rig;
use crate::sides::{Group, Shape, Sides};
use crate::values::Random;
pub use rules::ClippedAdamW;
use rules::{DistanceSgd, NormedSgd, ProductSgd};

fn cosine(peak: f64) -> Schedule {
    Schedule::cosine(peak, peak / 10.0).over(40).warmup(3)
}

fn clipped(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(ClippedAdamW { lr: cosine(1e-2), limit: 0.6 }, tensors)
}

fn product(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(ProductSgd { lr: cosine(1e-2), momentum: Schedule::linear(0.5, 0.9).over(20) }, tensors)
}

fn distance_over_all(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(DistanceSgd { lr: cosine(1.0), over: Over::All }, tensors)
}

/// The same rule with another rate, and tensors of two cohorts.
fn distance_over_all_again(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    let tensors: Vec<Tensor> =
        tensors.iter().enumerate().map(|(i, tensor)| tensor.clone().updates(i as u64 % 2 * 5)).collect();
    builder.group(DistanceSgd { lr: cosine(0.5), over: Over::All }, &tensors)
}

fn distance_over_groups(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(DistanceSgd { lr: cosine(1.0), over: Over::Group }, tensors)
}

fn normed(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(NormedSgd { lr: cosine(1e-2) }, tensors)
}

fn plain(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    builder.group(AdamW::new(cosine(1e-2)), tensors)
}

/// Packs, single blocks, several blocks, nothing; at all offsets.
fn shapes() -> Vec<Shape> {
    [1, 7, 0, 64, 1_024, 1_025, 4_096, 4_097, 9_001, 300]
        .into_iter()
        .enumerate()
        .map(|(i, len)| (len, (i % 4, i / 3 % 4)))
        .collect()
}

fn few() -> Vec<Shape> {
    vec![(5, (0, 1)), (4_100, (1, 0)), (33, (2, 2))]
}

fn groups() -> Vec<Group<'static>> {
    vec![
        (&clipped, shapes()),
        (&plain, few()),
        (&product, few()),
        (&distance_over_all, shapes()),
        (&normed, shapes()),
        (&distance_over_all_again, few()),
        (&distance_over_groups, few()),
        (&distance_over_groups, vec![(0, (0, 0))]),
        (&clipped, few()),
    ]
}

#[test]
fn what_follows_from_sums_and_memory_has_the_hosts_bits_through_skips_and_accumulation() {
    let Some(rig) = Rig::new() else { return };
    let options = |builder: OptimizerBuilder, _: u64| {
        let builder = builder.clip(Clip::torch_norm(3.0)).non_finite(NonFinite::Skip);
        builder.accumulate(Accumulate::mean(2)).zero_gradients()
    };
    let mut sides = Sides::new(&rig, Random::units, &groups(), options);
    for call in 0..24 {
        // The first update, and one later, are skipped.
        let bad = [1, 13].contains(&call).then_some(f32::NAN);
        sides.renew(bad);
        sides.step();
        sides.assert_equal(&format!("call {call}"));
    }
    assert_eq!(sides.device.status(&rig.stream).unwrap().skipped, 2);
    rig.finish();
}

#[test]
fn each_rule_alone_has_the_hosts_bits_and_propagates_what_is_not_finite() {
    let Some(rig) = Rig::new() else { return };
    for group in groups().into_iter().filter(|(_, shapes)| shapes.len() > 1) {
        let mut sides = Sides::new(&rig, Random::units, &[group], |builder, _| builder);
        for call in 0..5 {
            sides.renew((call == 4).then_some(f32::INFINITY));
            sides.step();
            sides.assert_equal(&format!("call {call}"));
        }
    }
    rig.finish();
}

/// Replays of one captured step; in the middle both sides go somewhere else, and then each goes on from the other's state.
#[test]
fn a_thousand_replays_and_a_resume_have_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let groups: Vec<Group<'_>> = vec![
        (&clipped, vec![(7, (0, 0)), (70, (1, 0)), (1_100, (0, 2))]),
        (&product, vec![(5, (0, 0))]),
        (&distance_over_all, vec![(33, (0, 1)), (12, (0, 0))]),
        (&normed, vec![(9, (0, 0)), (1_030, (0, 0))]),
    ];
    let options = |builder: OptimizerBuilder, _: u64| builder.clip(Clip::torch_norm(1.0)).non_finite(NonFinite::Skip);
    let mut sides = Sides::new(&rig, Random::units, &groups, options);
    let step = sides.capture();
    let bad = |call: u64| (call % 37 == 5).then_some(f32::INFINITY);
    for call in 0..1_000 {
        if call == 500 {
            let host = Stream::host();
            let blocks = [sides.device.state(&rig.stream).unwrap(), sides.host.state(&host).unwrap()];
            assert_eq!(blocks[0], blocks[1], "the states are the same bytes");
            let params = sides.params();
            for _ in 0..7 {
                sides.renew(None);
                sides.replay(&step);
            }
            sides.device.load_state(&blocks[1], &rig.stream).unwrap();
            sides.host.load_state(&blocks[0], &host).unwrap();
            sides.set_params(&params);
        }
        sides.renew(bad(call));
        sides.replay(&step);
        if call % 100 == 99 || call == 500 {
            sides.assert_equal(&format!("call {call}"));
        }
    }
    let status = sides.device.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.skipped), (1_000 - 27, 27));
    rig.finish();
}

#[test]
fn measuring_is_one_launch_more_and_moves_what_the_rule_reads_there() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: calls and bytes are counted on the stand-in") };
    for clip in [false, true] {
        let options =
            |builder: OptimizerBuilder, _: u64| if clip { builder.clip(Clip::torch_norm(1.0)) } else { builder };
        let many: Vec<Shape> = vec![(1 << 14, (0, 0)), (1 << 14, (0, 0))];
        let mut sides = Sides::new(&rig, Random::units, &[(&clipped, many.clone()), (&clipped, many)], options);
        sides.step();
        rig.finish();
        standin.reset_calls();
        standin.reset_traffic();
        sides.step();
        assert_eq!(standin.calls("cuLaunchKernel"), 2 + u64::from(clip));
        rig.finish();
        let moved =
            [Direction::Load, Direction::Store].map(|direction| standin.traffic(direction, 16)).iter().sum::<u64>();
        let (stated, norm) = (sides.device.tensors().next().unwrap().bytes_per_param as u64, if clip { 4 } else { 0 });
        // g, m and v to measure, all to update.
        assert_eq!(stated, 12 + 28);
        let elements = 4 << 14;
        let beside = moved - (stated + norm) * elements;
        assert!(beside < elements / 4, "{beside} B in 16-byte accesses beside the elements");
    }
    rig.finish();
}

/// By a model of its own in f64: that the sums are what the rule says, not only the same on both sides.
#[test]
fn the_update_of_a_tensor_has_the_root_mean_square_that_its_rule_says() {
    let Some(rig) = Rig::new() else { return };
    let lens = [600, 5_000];
    let shapes = lens.map(|len| (len, (0, 0))).to_vec();
    let rule: &dyn Fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder =
        &|builder, tensors| builder.group(ClippedAdamW { lr: Schedule::constant(1.0), limit: 0.5 }, tensors);
    let mut sides = Sides::new(&rig, Random::units, &[(rule, shapes)], |builder, _| builder);
    let before = sides.parameters();
    sides.step();
    rig.finish();
    let after = sides.parameters();
    // A first update of Adam is the sign of the gradient: a root mean square of 1, which is clipped to the limit.
    for (before, after) in before.iter().zip(&after) {
        let square = |(before, after): (&f32, &f32)| (f64::from(*after) - 0.9 * f64::from(*before)).powi(2);
        let mean = before.iter().zip(after).map(square).sum::<f64>() / before.len() as f64;
        assert_abs_diff_eq!(mean.sqrt(), 0.5, epsilon = 1e-5);
    }
    sides.assert_equal("the update");
}
