//! The walk over tensors: whatever the rule, the lengths, the addresses, what is decided about gradients, and how the work
//! is cut into blocks, the device computes what the CPU backend computes, bit for bit.

use instep::{Accumulate, AdamW, Clip, Momentum, NonFinite, OptimizerBuilder, Sgd, Tensor, Tuning};

use crate::bits::GROUPS;
use crate::rig::Rig;
use crate::sides::{Group, Shape, Sides};
use crate::values::Random;

/// Around the sizes of vectors, tiles, blocks of the norm, and what is packed.
const LENGTHS: [usize; 13] = [0, 1, 7, 1_023, 1_024, 1_025, 2_047, 2_048, 2_049, 4_096, 4_097, 8_193, 12_289];
/// All offsets past a 16-byte boundary that f32 allows, of one stream alone.
const SKEWS: [(usize, usize); 7] = [(0, 0), (1, 0), (2, 0), (3, 0), (0, 1), (0, 2), (0, 3)];

/// A rule for each number of states.
const RULES: [fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder; 3] = [
    |b, t| b.group(AdamW::new(1e-2).weight_decay(0.1), t),
    |b, t| b.group(Sgd::new(0.1).momentum(Momentum::Nesterov, 0.9), t),
    |b, t| b.group(Sgd::new(0.1).weight_decay(0.01), t),
];

/// The lengths, each with one of the skews in turn, the `turn`-th first.
fn shapes(turn: usize) -> Vec<Shape> {
    LENGTHS.into_iter().enumerate().map(|(i, len)| (len, SKEWS[(i + turn) % SKEWS.len()])).collect()
}

/// A group for each of [`RULES`].
fn groups() -> Vec<Group<'static>> {
    RULES.iter().enumerate().map(|(i, rule)| (rule as _, shapes(2 * i))).collect()
}

#[test]
fn every_rule_gives_the_hosts_bits_at_every_offset_of_each_stream_and_every_length() {
    let Some(rig) = Rig::new() else { return };
    let all = SKEWS.iter().flat_map(|skew| LENGTHS.map(|len| (len, *skew)));
    let all: Vec<Shape> = all.collect();
    let groups: Vec<Group<'_>> = GROUPS.iter().map(|(_, rule)| (rule as _, all.clone())).collect();
    let mut sides = Sides::new(&rig, Random::wild, &groups, |builder, _| builder);
    for tensor in sides.device.tensors() {
        for state in &tensor.states {
            let (name, address) = (state.name, state.address);
            assert_eq!(address % 16, 0, "{name} of {} with {} elements is at {address:#x}", tensor.name, tensor.len);
        }
    }
    for step in 0..3 {
        sides.step();
        sides.assert_equal(&format!("step {step}"));
        sides.renew(None);
    }
}

/// A name, what is asked of the builder, and the value of `found_inf` and one gradient for each call.
type Case = (&'static str, fn(OptimizerBuilder, u64) -> OptimizerBuilder, &'static [(f32, Option<f32>)]);

const FINE: (f32, Option<f32>) = (0.0, None);
const CASES: &[Case] = &[
    (
        "found_inf, zero",
        // SAFETY: the flag outlives the optimizer.
        |b, flag| unsafe { b.found_inf(flag) }.zero_gradients(),
        &[FINE, (1.0, None), FINE, (f32::NAN, None), FINE],
    ),
    ("skip", |b, _| b.non_finite(NonFinite::Skip), &[FINE, (0.0, Some(f32::NAN)), FINE, (0.0, Some(f32::INFINITY))]),
    (
        "sum of 2, skip, zero",
        |b, _| b.accumulate(Accumulate::sum(2)).non_finite(NonFinite::Skip).zero_gradients(),
        &[FINE, FINE, (0.0, Some(f32::NAN)), (0.0, Some(f32::NEG_INFINITY)), (0.0, Some(f32::NAN)), FINE],
    ),
    (
        "mean of 3, clip by norm, found_inf",
        // SAFETY: as above.
        |b, flag| unsafe { b.found_inf(flag) }.accumulate(Accumulate::mean(3)).clip(Clip::torch_norm(1.0)),
        &[FINE, (1.0, None), FINE, FINE, FINE, (1.0, None), FINE],
    ),
    ("clip by value, zero", |b, _| b.clip(Clip::value(0.25)).zero_gradients(), &[FINE, (0.0, Some(f32::NAN)), FINE]),
];

#[test]
fn skips_accumulation_and_zeroing_give_the_hosts_bits_whatever_the_shapes() {
    let Some(rig) = Rig::new() else { return };
    for (name, options, calls) in CASES {
        let mut sides = Sides::new(&rig, Random::spread, &groups(), options);
        for (call, (found, bad)) in calls.iter().enumerate() {
            sides.set_found(*found);
            sides.renew(*bad);
            sides.step();
            sides.assert_equal(&format!("{name}, call {call}"));
        }
    }
}

#[test]
fn no_bit_depends_on_tiles_packs_waves_reserves_or_the_order_of_blocks() {
    let Some(rig) = Rig::new() else { return };
    // Packs of many tensors and of one, of several cohorts; norm blocks that are alone and sections of several.
    let small = |count: usize| (0..count).map(|i| (1 + 37 * i % 131, (i % 4, i / 4 % 4)));
    let past = |b: OptimizerBuilder, t: &[Tensor]| {
        let cohorts = t.iter().enumerate().map(|(i, tensor)| tensor.clone().updates(i as u64 % 3));
        RULES[0](b, &cohorts.collect::<Vec<_>>())
    };
    let groups: Vec<Group<'_>> = vec![
        (&past, small(70).chain([(4_096, (0, 0)), (4_097, (2, 0))]).collect()),
        (&RULES[1], [1_023, 1_024, 1_025, 2_047, 2_048, 2_049].map(|len| (len, (0, 0))).to_vec()),
        (&RULES[2], vec![(12_289, (0, 0)), (0, (0, 0)), (64, (0, 0)), (65, (0, 1))]),
    ];
    let mut seed = 0;
    for vectors in [1, 2, 4] {
        for packed in [0, 64, 1_024, 4_096] {
            for (wave, reserve) in [(1, 0), (3, 5), (528, 5)] {
                let tuning = Tuning { vectors, packed, wave: Some(wave), reserve };
                let options = |b: OptimizerBuilder, _| b.clip(Clip::torch_norm(1.0)).tuning(tuning);
                let mut sides = Sides::new(&rig, Random::spread, &groups, options);
                for step in 0..2 {
                    seed += 1;
                    if let Some(standin) = rig.standin {
                        standin.seed(seed);
                    }
                    sides.step();
                    sides.assert_equal(&format!("{tuning:?}, seed {seed}, step {step}"));
                    sides.renew(None);
                }
            }
        }
    }
}
