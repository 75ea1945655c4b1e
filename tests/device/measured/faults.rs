//! Planted faults of the measuring launch and of what rules remember: as `crate::faults`.

use instep::{Clip, NonFinite, OptimizerBuilder};

use super::{clipped, distance_over_all, distance_over_all_again, normed, product};
use crate::faults::{assert_caught, plant};
use crate::planted::Fault;
use crate::rig::Rig;
use crate::sides::{Group, Sides};
use crate::values::Random;

const FAULTS: &[Fault] = &[
    (
        "sums are used before all blocks came",
        "take_ticket(arrived, arrivals - 1) == arrivals - 1;",
        "take_ticket(arrived, arrivals - 1) == 0;",
    ),
    ("a tensor remembers in place", "memory_of(memory, t - 1, tensors,", "memory_of(memory, t, tensors,"),
    ("a group remembers in place", "at.t - 1, step.cohort_capacity,", "at.t, step.cohort_capacity,"),
    ("what cohorts remember is lost", "  carry_memory<THREADS>(step, t);\n", ""),
    ("what cohorts remember stays", "cohort_rests(step, i / WIDTH) ? 0 : 1;", "0;"),
    ("a sum over all is that of the group", "over_all ? all.sum[k] : sums.sum[k]", "sums.sum[k]"),
    ("the length of all is that of the group", "over_all ? group.len_of_all : group.len", "group.len"),
    ("a tensor goes by another's scalars", "OWN_BYTES, tensor.place", "OWN_BYTES, 0"),
    ("streams do not keep where they start", "if (functor.stores_once()) store_streams", "if (false) store_streams"),
    ("a stream starts at every update", "if (s.first != 0.0f) x[2] = x[0];", "x[2] = x[0];"),
    ("what follows from sums is not written", "if ((R::LATE >> k & 1) != 0) store_row", "if (false) store_row"),
    (
        "gradients are measured as they are",
        "x[GRAD_AT] = prepare<O>(x[GRAD_AT], gradient);\n    R::start(x, scalars);\n    R::measure",
        "R::start(x, scalars);\n    R::measure",
    ),
    ("streams are measured as they are in memory", "R::start(x, scalars);\n    R::measure", "R::measure"),
    ("a span is measured once too often", "at + lane + turn * N * APART", "at + lane"),
    (
        "one block is not concluded",
        "if (!always && tensor.len > NORM_BLOCK) return;",
        "if (!always && tensor.len >= NORM_BLOCK / 4) return;",
    ),
    (
        "a tensor of many blocks is not concluded",
        "if (node.level == Level::tensor) conclude_row",
        "if (false) conclude_row",
    ),
    ("groups are not concluded", "if (group.variant != node.variant) continue;", "continue;"),
    (
        "a group counts the updates of a cohort",
        "resolve_rule<R>(step, first, t, known, r);",
        "resolve_rule<R>(step, at, t + at.base, known, r);",
    ),
    (
        "the launch measures for the next update",
        "const u64 t = load_relaxed(&step.control->t);\n    const MeasureTile",
        "const u64 t = load_relaxed(&step.control->t) + 1;\n    const MeasureTile",
    ),
];

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("faults are planted on the stand-in");
    plant(standin);
    let of = |lens: &[usize]| lens.iter().enumerate().map(|(i, len)| (*len, (i % 3, i % 2))).collect();
    let groups: [Group<'_>; 5] = [
        (&clipped, of(&[5, 4_096, 4_100, 1_030])),
        (&product, of(&[3])),
        (&distance_over_all, of(&[2_049, 9, 4_200])),
        (&distance_over_all_again, of(&[130, 7, 64])),
        (&normed, of(&[5_000, 65, 4_000, 2])),
    ];
    for seed in 0..3 {
        standin.seed(seed);
        let options =
            |builder: OptimizerBuilder, _: u64| builder.clip(Clip::torch_norm(2.0)).non_finite(NonFinite::Skip);
        let mut sides = Sides::new(&rig, Random::units, &groups, options);
        for call in 0..6 {
            sides.renew([0, 3].contains(&call).then_some(f32::NAN));
            sides.step();
            sides.assert_equal(&format!("call {call}"));
        }
    }
}

#[test]
fn every_planted_fault_of_measuring_and_remembering_is_caught() {
    assert_caught("measured::faults::scenario", FAULTS);
}
