//! Every rule of the crate, with its options, in four precisions: the host's bits at tails and whole spans, with accumulation, skips and
//! clipping, through a thousand replays, and when each side goes on from the other's state.

use std::collections::BTreeSet;

use instep::{
    Accumulate, Clip, Config, Dtype, Error, GroupConfig, NonFinite, OptimizerBuilder, ParamForm, Precision, RuleConfig,
    StateForm, Stream, Tensor,
};

use crate::forms::sides::{Group, Kind, Sides};
use crate::rig::Rig;
use crate::values::Random;

/// The configuration of all of them.
fn groups() -> Vec<GroupConfig> {
    Config::from_toml(include_str!("../every_rule.toml")).unwrap().groups
}

/// The first group of each rule: the others have options that are no matter of how streams are stored.
fn one_of_each() -> Vec<GroupConfig> {
    let mut seen = BTreeSet::new();
    let name = |group: &GroupConfig| group.rule.as_ref().map(|rule| rule.name().to_owned());
    groups().into_iter().filter(|group| seen.insert(name(group))).collect()
}

/// Eight bits for the states of `group` that may have them.
fn eight_bit(group: &GroupConfig) -> Precision {
    let mut precision = Precision::new().states(StateForm::EightBit);
    let mut exact = BTreeSet::new();
    loop {
        let mut config = Config::new([group.clone()]);
        config.precision = precision.clone();
        let Err(Error::Argument { rule, .. }) = config.check() else { return precision };
        let state = rule.split_once(" for ").and_then(|(_, rest)| rest.split_once(" of the rule "));
        let (state, rest) = state.expect("the error names the state that is exact");
        assert!(rest.contains("is exact") && exact.insert(state.to_owned()), "{rule}");
        precision = precision.state(state, StateForm::F32);
    }
}

type Of = fn(&GroupConfig) -> Kind;

const F32: Of = |_| Kind::new(Dtype::F32, Dtype::F32, Precision::new());
const MASTER: Of = |_| Kind::new(Dtype::Bf16, Dtype::Bf16, Precision::new());
const STOCHASTIC: Of = |_| {
    let precision = Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16);
    Kind::new(Dtype::Bf16, Dtype::Bf16, precision)
};
const EIGHT_BIT: Of = |group| Kind::new(Dtype::F32, Dtype::F32, eight_bit(group));

/// Groups in one launch: enough to be many, few enough to compile side by side.
const TOGETHER: usize = 17;

fn options(builder: OptimizerBuilder, _: u64) -> OptimizerBuilder {
    builder.non_finite(NonFinite::Skip).accumulate(Accumulate::mean(2)).clip(Clip::torch_norm(1e3))
}

/// A warp's pack, a tail, and whole spans.
fn shapes(i: usize) -> Vec<(usize, (usize, usize))> {
    vec![(5, (i % 4, 0)), (300, (0, i % 4)), (4_097, (0, 0))]
}

/// Optimizers of all `groups`, some in each.
fn all_sides<'r>(rig: &'r Rig, groups: Vec<GroupConfig>, kind: Of, small: bool) -> Vec<Sides<'r>> {
    let group = |(i, config): (usize, GroupConfig)| {
        let kind = kind(&config);
        let add = move |builder: OptimizerBuilder, precision: Precision, tensors: &[Tensor]| {
            builder.group_in(precision, config.clone(), tensors)
        };
        (add, kind, if small { vec![(70, (i % 4, 0)), (300, (0, 0))] } else { shapes(i) })
    };
    let groups: Vec<Group<_>> = groups.into_iter().enumerate().map(group).collect();
    groups.chunks(TOGETHER).map(|groups| Sides::new(rig, Random::units, groups, options)).collect()
}

fn steps_are_equal(groups: Vec<GroupConfig>, kind: Of) {
    let Some(rig) = Rig::new() else { return };
    for (part, mut sides) in all_sides(&rig, groups, kind, false).into_iter().enumerate() {
        for call in 0..9 {
            sides.renew((call == 5).then_some(f32::NAN));
            sides.step();
            sides.assert_equal(&format!("part {part}, call {call}"));
        }
    }
}

#[test]
fn every_rule_has_the_hosts_bits_in_f32() {
    steps_are_equal(groups(), F32);
}

#[test]
fn every_rule_has_the_hosts_bits_with_masters() {
    steps_are_equal(one_of_each(), MASTER);
}

#[test]
fn every_rule_has_the_hosts_bits_in_bf16() {
    steps_are_equal(one_of_each(), STOCHASTIC);
}

#[test]
fn every_rule_has_the_hosts_bits_with_eight_bit_states() {
    steps_are_equal(one_of_each(), EIGHT_BIT);
}

#[test]
fn a_thousand_replays_with_skips_and_a_resume_have_the_hosts_bits_for_every_rule() {
    let Some(rig) = Rig::new() else { return };
    // Of the other form the stand-in, where a replay of all rules takes a tenth of a second, makes fewer.
    let fewer = if rig.standin.is_some() { 260 } else { 1_000 };
    for (kind, replays, resumed_at) in [(F32, 1_000, 500), (STOCHASTIC, fewer, 120)] {
        for mut sides in all_sides(&rig, one_of_each(), kind, true) {
            sides.step();
            let step = sides.capture();
            for replay in 0..replays {
                if replay % 50 == 0 {
                    sides.renew((replay % 100 == 50).then_some(f32::NAN));
                }
                sides.replay(&step);
                if replay % 250 == 0 {
                    sides.assert_equal(&format!("replay {replay}"));
                }
                if replay == resumed_at {
                    let states = [sides.device.state(&rig.stream).unwrap(), sides.host.state(&Stream::host()).unwrap()];
                    assert!(states[0] == states[1], "the states of both sides are one");
                    sides.device.load_state(&states[1], &rig.stream).unwrap();
                    sides.host.load_state(&states[0], &Stream::host()).unwrap();
                }
            }
            sides.assert_equal("the end");
        }
    }
}

/// The list has every rule that files name: their names are in the error of one that none has.
#[test]
fn the_list_has_every_rule() {
    let error = serde_json::from_str::<RuleConfig>("\"none\"").unwrap_err().to_string();
    let named: Vec<&str> = error.split('`').skip(3).step_by(2).collect();
    assert!(named.len() > 30 && named.contains(&"adamw"), "{error}");
    let list = include_str!("../every_rule.toml");
    let listed = |name: &str| list.contains(&format!("\"{name}\"")) || list.contains(&format!("{{ {name} = "));
    let missing: Vec<_> = named.iter().filter(|name| !listed(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in tests/every_rule.toml");
}
