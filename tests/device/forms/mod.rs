//! Precisions: whatever the forms in which parameters, gradients and states are stored, mixed freely in one launch, the device has the
//! bits of the CPU backend, whatever the rule, the lengths, the addresses and what is decided about gradients.

mod faults;
mod memory;
mod refusals;
mod replays;
pub mod sides;
mod starts;
mod traffic;

use instep::{
    Accumulate, Adam, AdamW, Buffer, Clip, Dtype, LossScale, Momentum, NonFinite, Norm, Optimizer, OptimizerBuilder,
    ParamForm, Precision, Schedule, Sgd, StateForm, Tensor, Tuning,
};

use self::sides::{Add, Group, Kind, Shape, Sides};
use crate::measured::ClippedAdamW;
use crate::rig::Rig;
use crate::values::Random;

const LENGTHS: [usize; 10] = [0, 1, 7, 255, 256, 257, 2_047, 2_048, 2_049, 8_193];

/// A rule for each number of states, each way of decaying, and sums.
const RULES: [Add; 5] = [
    |b, p, t| b.group_in(p, AdamW::new(warm(1e-2)).weight_decay(0.1), t),
    |b, p, t| b.group_in(p, Adam::new(warm(1e-2)).beta2(0.95).weight_decay(0.3), t),
    |b, p, t| b.group_in(p, Sgd::new(warm(0.1)).momentum(Momentum::Nesterov, 0.9), t),
    |b, p, t| b.group_in(p, Sgd::new(0.1).weight_decay(0.01), t),
    |b, p, t| b.group_in(p, ClippedAdamW { lr: warm(1e-2), limit: 0.6 }, t),
];

/// The `turn`-th rule that a kind goes with: second moments are not stored in f16.
fn rule(turn: usize, kind: &Kind) -> Add {
    if kind.f16_states { RULES[2 + turn % 2] } else { RULES[turn % RULES.len()] }
}

fn warm(peak: f64) -> Schedule {
    Schedule::linear(peak / 10.0, peak).over(2).then(Schedule::cosine(peak, 0.0).over(40))
}

/// Types of parameter and gradient, and precision, so that each occurs with several others.
fn kinds() -> Vec<Kind> {
    use Dtype::{Bf16, F16, F32};
    use StateForm::{Bf16Nearest, EightBit, F16Nearest};
    let of = |param: ParamForm, states: StateForm| Precision::new().param(param).states(states);
    let (master, remainder) = (ParamForm::Master, ParamForm::Remainder);
    let (nearest, stochastic) = (ParamForm::Nearest, ParamForm::Stochastic);
    let given = Kind { masters: true, ..Kind::new(Bf16, Bf16, of(master, Bf16Nearest)) };
    vec![
        Kind::new(F32, F32, of(master, StateForm::F32)),
        Kind::new(F32, Bf16, of(master, Bf16Nearest)),
        Kind::new(F32, F16, of(master, EightBit)),
        Kind::new(Bf16, Bf16, of(master, StateForm::F32)),
        Kind::new(Bf16, F32, of(master, StateForm::Bf16)),
        Kind::new(Bf16, Bf16, of(remainder, StateForm::F32)),
        Kind::new(Bf16, F16, of(remainder, EightBit)),
        Kind::new(Bf16, Bf16, of(nearest, Bf16Nearest)),
        Kind::new(Bf16, Bf16, of(stochastic, StateForm::Bf16)),
        Kind::new(Bf16, F32, of(stochastic, EightBit)),
        Kind::of_f16_states(F16, F16, of(master, F16Nearest)),
        Kind::of_f16_states(F16, Bf16, of(nearest, StateForm::F16)),
        Kind::of_f16_states(Bf16, F16, of(remainder, StateForm::F16)),
        Kind::new(F16, F16, of(stochastic, EightBit)),
        given,
    ]
}

/// Every length with every offset of a stream that its type allows, in turn.
fn shapes(turn: usize) -> Vec<Shape> {
    let skews = (0..8).map(|skew| (skew, 0)).chain((1..8).map(|skew| (0, skew)));
    let skews: Vec<_> = skews.collect();
    LENGTHS.into_iter().enumerate().map(|(i, len)| (len, skews[(i + turn) % skews.len()])).collect()
}

/// Each of [`kinds`] with a rule, all in one optimizer.
fn mixed(turn: usize) -> Vec<Group> {
    let kinds = kinds().into_iter().enumerate();
    kinds.map(|(i, kind)| (rule(i + turn, &kind), kind, shapes(3 * i + turn))).collect()
}

fn scaled(builder: OptimizerBuilder) -> OptimizerBuilder {
    builder.loss_scale(LossScale::fixed(4.0))
}

#[test]
fn every_rule_in_every_form_gives_the_hosts_bits_at_every_offset_and_length() {
    let Some(rig) = Rig::new() else { return };
    for turn in 0..RULES.len() {
        let mut sides = Sides::new(&rig, Random::wild, &mixed(turn), |builder, _| scaled(builder));
        for step in 0..3 {
            sides.step();
            sides.assert_equal(&format!("turn {turn}, step {step}"));
            sides.renew(None);
        }
        sides.load_params();
        sides.assert_equal(&format!("turn {turn}, new parameters"));
        sides.step();
        sides.assert_equal(&format!("turn {turn}, after new parameters"));
    }
}

#[test]
fn all_offsets_of_each_form_alone_give_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    for kind in kinds() {
        let all = (0..8).flat_map(|skew| [(257, (skew, 0)), (2_048, (0, skew)), (300, (skew, 7 - skew))]);
        let group = (rule(0, &kind), kind.clone(), all.collect());
        let mut sides = Sides::new(&rig, Random::units, &[group], |builder, _| scaled(builder));
        for step in 0..2 {
            sides.step();
            sides.assert_equal(&format!("{:?}, {:?}, {:?}, step {step}", kind.param, kind.grad, kind.precision));
            sides.renew(None);
        }
    }
}

/// A name, what is asked of the builder, and the value of `found_inf` and one gradient for each call.
type Case = (&'static str, fn(OptimizerBuilder, u64) -> OptimizerBuilder, &'static [(f32, Option<f32>)]);

const FINE: (f32, Option<f32>) = (0.0, None);
const CASES: &[Case] = &[
    (
        "found_inf, zero",
        // SAFETY: the flag outlives the optimizer.
        |b, flag| unsafe { b.found_inf(flag) }.zero_gradients().loss_scale(LossScale::fixed(8.0)),
        &[FINE, (1.0, None), FINE, (f32::NAN, None), FINE],
    ),
    (
        "dynamic scale",
        |b, _| b.loss_scale(LossScale::dynamic().init(1024.0).interval(2)),
        &[FINE, (0.0, Some(f32::NAN)), FINE, FINE, (0.0, Some(f32::INFINITY)), FINE],
    ),
    (
        "sum of 2, skip, zero, clip by norm",
        |b, _| {
            let b = b.accumulate(Accumulate::sum(2)).non_finite(NonFinite::Skip).zero_gradients();
            b.clip(Clip::torch_norm(1.0)).loss_scale(LossScale::fixed(2.0))
        },
        &[FINE, FINE, (0.0, Some(f32::NAN)), (0.0, Some(f32::NEG_INFINITY)), FINE, FINE],
    ),
    (
        "mean of 3, the largest gradient, clip by value",
        |b, _| {
            b.accumulate(Accumulate::mean(3)).clip(Clip::value(0.25)).norm(Norm::Max).loss_scale(LossScale::fixed(2.0))
        },
        &[FINE, FINE, FINE, (0.0, Some(f32::NAN)), FINE, FINE, FINE],
    ),
];

#[test]
fn skips_accumulation_norms_and_zeroing_give_the_hosts_bits_in_every_form() {
    let Some(rig) = Rig::new() else { return };
    for (turn, (name, options, calls)) in CASES.iter().enumerate() {
        // Every other kind in turn: each occurs in two cases.
        let groups: Vec<Group> = mixed(turn).into_iter().skip(turn % 2).step_by(2).collect();
        let mut sides = Sides::new(&rig, Random::spread, &groups, options);
        for (call, (found, bad)) in calls.iter().enumerate() {
            sides.set_found(*found);
            sides.renew(*bad);
            sides.step();
            sides.assert_equal(&format!("{name}, call {call}"));
        }
    }
}

#[test]
fn no_bit_depends_on_how_the_work_is_cut_in_any_form() {
    let Some(rig) = Rig::new() else { return };
    let small = |turn: usize| (0..12).map(move |i| (1 + 97 * i % 401, ((i + turn) % 8, i % 4)));
    // Every other kind with two vectors a thread, and the others with four.
    let groups = |vectors: u32| {
        let kinds = kinds().into_iter().enumerate().skip(vectors as usize / 4).step_by(2);
        let group = |(i, kind): (usize, Kind)| {
            let shapes = small(i).chain([(1_025, (i % 8, 0)), (4_097, (0, 0))]).collect();
            (rule(i, &kind), kind, shapes)
        };
        kinds.map(group).collect::<Vec<Group>>()
    };
    let mut seed = 0;
    for (vectors, packed, wave, reserve) in [(2, 0, 1, 3), (2, 4_096, 3, 5), (4, 1_024, 528, 0), (4, 64, 7, 0)] {
        let tuning = Tuning { vectors, packed, wave: Some(wave), reserve };
        let options = |b: OptimizerBuilder, _| scaled(b.clip(Clip::torch_norm(1.0)).tuning(tuning));
        let mut sides = Sides::new(&rig, Random::spread, &groups(vectors), options);
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

/// Tensors of one group may differ in their types.
#[test]
fn tensors_of_one_group_may_be_of_different_types() {
    let Some(rig) = Rig::new() else { return };
    let param: Vec<f32> = (0..40).map(|i| i as f32 / 8.0).collect();
    let (wide, half) = (rig.array(&param, 0), rig.array(&param, 0));
    let grad = rig.array(&[0.5; 40], 0);
    let tensor = |param: Buffer| {
        // SAFETY: the arrays outlive the optimizer.
        unsafe { Tensor::new(param, Buffer::f32(grad.address(), 40)) }
    };
    let tensors = [tensor(Buffer::f32(wide.address(), 40)), tensor(Buffer::bf16(half.address(), 40))];
    let builder = Optimizer::builder(&rig.device).group(AdamW::new(1e-2), &tensors);
    let mut opt = builder.build().unwrap();
    opt.step(&rig.stream).unwrap();
    let forms: Vec<String> = opt.tensors().map(|view| view.param_form.to_string()).collect();
    assert_eq!(forms, ["f32", "bf16 with an f32 master"]);
    assert_eq!(opt.tensors().map(|view| view.bytes_per_param).collect::<Vec<_>>(), [28.0, 30.0]);
    rig.finish();
}
