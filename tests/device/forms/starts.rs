//! Streams that start from the parameter, the first gradient or a value, streams that are only read, sums over groups and what is
//! remembered: in every form.

use instep::rule::Over;
use instep::{AdamW, Dtype, NonFinite, OptimizerBuilder, ParamForm, Precision, StateForm};

use super::sides::{Add, Group, Kind, Sides};
use super::{kinds, scaled, warm};
use crate::measured::rules::{DistanceSgd, NormedSgd, ProductSgd};
use crate::rig::Rig;
use crate::rules::starts::Anchored;
use crate::values::Random;

const RULES: [Add; 3] = [
    |b, p, t| b.group_in(p, DistanceSgd { lr: warm(1.0), over: Over::Group }, t),
    |b, p, t| b.group_in(p, NormedSgd { lr: warm(1e-2) }, t),
    |b, p, t| b.group_in(p, ProductSgd { lr: warm(1e-2), momentum: 0.9.into() }, t),
];

/// Its exact streams are not quantized; the others are.
const ANCHORED: Add = |b, p, t| b.group_in(p, Anchored { lr: warm(1e-2), momentum: true }, t);

fn anchored() -> Vec<Group> {
    use StateForm::{Bf16Nearest, EightBit, F16Nearest};
    let of = |param, [former, momentum, peak, anchor]: [StateForm; 4]| {
        let precision = Precision::new().param(param).state("former", former).state("momentum", momentum);
        precision.state("peak", peak).state("anchor", anchor)
    };
    let (bf16, f16) = (Dtype::Bf16, Dtype::F16);
    let all = [
        Kind::new(Dtype::F32, bf16, of(ParamForm::Master, [StateForm::Bf16, EightBit, EightBit, Bf16Nearest])),
        Kind::new(
            bf16,
            Dtype::F32,
            of(ParamForm::Remainder, [StateForm::F32, StateForm::Bf16, EightBit, StateForm::F32]),
        ),
        Kind::new(f16, f16, of(ParamForm::Stochastic, [F16Nearest, EightBit, StateForm::Bf16, F16Nearest])),
    ];
    all.into_iter().map(|kind| (ANCHORED, kind, vec![(300, (1, 0)), (2_100, (0, 0)), (5, (0, 3))])).collect()
}

#[test]
fn streams_start_and_sums_follow_in_every_form_as_on_the_host() {
    let Some(rig) = Rig::new() else { return };
    let shapes = |i: usize| vec![(300, (i % 4, 0)), (2_048, (0, 0)), (4_100, (0, i % 4)), (7, (0, 0))];
    let kinds = kinds().into_iter().enumerate();
    let mut groups: Vec<Group> = kinds.map(|(i, kind)| (RULES[i % RULES.len()], kind, shapes(i))).collect();
    groups.extend(anchored());
    let plain: Add = |b, p, t| b.group_in(p, AdamW::new(1e-3), t);
    groups.push((plain, Kind::new(Dtype::F32, Dtype::F32, Precision::new()), vec![(100, (0, 0))]));
    let options = |builder: OptimizerBuilder, _| scaled(builder).non_finite(NonFinite::Skip);
    let mut sides = Sides::new(&rig, Random::units, &groups, options);
    sides.assert_equal("before the first update");
    for call in 0..6 {
        // The first update, and one later, are skipped.
        sides.renew([0, 3].contains(&call).then_some(f32::NAN));
        sides.step();
        sides.assert_equal(&format!("call {call}"));
    }
    assert_eq!(sides.device.status(&rig.stream).unwrap().skipped, 2);
    rig.finish();
}
