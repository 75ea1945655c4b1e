//! Planted faults of how streams are stored: as `crate::faults`.

use instep::{AdamW, Dtype, Momentum, OptimizerBuilder, ParamForm, Precision, Sgd, StateForm};

use super::sides::{Add, Group, Kind, Sides};
use crate::faults::{assert_caught, plant};
use crate::planted::Fault;
use crate::rig::Rig;
use crate::values::Random;

const FAULTS: &[Fault] = &[
    (
        "a parameter is read beside its master",
        "return Storage<f32>::load<WHOLE>({at.second, 0}, place, count);",
        "return Storage<Half>::template load<WHOLE>(at, place, count);",
    ),
    (
        "a parameter is not stored beside its master",
        "place, count, x, random, 0);\n    Storage<Half>::template store<WHOLE>(at, place, count, x, random, 0);\n",
        "place, count, x, random, 0);\n",
    ),
    ("a remainder has no sign", "(u32)(int)(short)(lower & 0xffff)", "(lower & 0xffff)"),
    ("every other remainder has no sign", "(u32)((int)lower >> 16)", "(lower >> 16)"),
    ("a parameter is cut off beside its remainder", "(first + 0x8000) >> 16 |", "first >> 16 |"),
    ("two streams are rounded by the same bits", "PLACE % 2 == 0 ? word : word << 16 | word >> 16", "word"),
    (
        "two vectors are rounded by the same bits",
        "const u64 vector = at / VECTOR;",
        "const u64 vector = at / (2 * VECTOR);",
    ),
    ("two updates are rounded by the same bits", "(u32)vector, dice.t, tensor,", "(u32)vector, 0, tensor,"),
    ("two tensors are rounded by the same bits", "dice.t, tensor, rest", "dice.t, 0, rest"),
    ("four streams are rounded by the same bits", "const u32 rest = pair |", "const u32 rest = 0 |"),
    ("the seed is left out", "return philox(dice.seed,", "return philox(0,"),
    ("a lane has a scale of its own", "largest[I] = largest_of_warp(largest[I]);", ""),
    (
        "a lane of a tail has a scale of its own",
        "largest[decltype(place)::AT] = largest_of_warp(largest[decltype(place)::AT]);",
        "",
    ),
    ("half a block has its scale", "k < TOGETHER; k++) largest[I] = larger_of", "k < 1; k++) largest[I] = larger_of"),
    ("scales are stored before all have loaded", "__syncwarp();  // all lanes have", "// all lanes have"),
    ("scales are not stored", "if (place % CODES_BLOCK == 0) store_element", "if (false) store_element"),
    ("a code that divides becomes 0", "if (CODES == Codes::denominator && code == 0 && x != 0.0f) code = 1;", ""),
    ("what divides becomes 0 in 16 bits", "if ((word & 0xffff) == 0 && lower != 0.0f) word |= 1;", ""),
    ("a block that is not finite is stored", "if (largest >= INFINITY_32) return __uint_as_float(0x7fffffff);", ""),
    ("codes run over", "if (code > TOP) code = TOP;", ""),
    ("a code has no sign", "SIGNED ? code | (__float_as_uint(x) >> 24 & 0x80) : code", "code"),
    ("a gradient is read as another type", "const u32 type = place >> GRAD_TYPE & 3;", "const u32 type = 0;"),
    (
        "masters are made of nothing",
        "Storage<Half>::widen(Storage<Half>::template load<WHOLE>(at, place, count), x);",
        "x[0] = x[1] = x[2] = x[3] = 0.0f;",
    ),
    ("remainders outlive their parameters", "store_elements<u16, WHOLE>(at.second, place, count, Vector<u16>{});", ""),
    ("masters of the engine's are made anew at build", "(tensor.flags & MASTER_GIVEN) == 0 &&", "true &&"),
    ("masters of the engine's outlive their parameters", "makes = which == all ||", "makes ="),
    ("a NaN is stored as it is", "return x == x ? (bits + 0x7fff", "return true ? (bits + 0x7fff"),
    ("bf16 is cut off", "(bits + 0x7fff + (bits >> 16 & 1)) >> 16", "bits >> 16"),
    ("an f16 has no subnormals", "magnitude < 0x38800000 ? small", "false ? small"),
    ("a subnormal f16 is rounded by 16 bits", "dropped < 56 ? significand >> (dropped - 32) : 0", "0"),
];

const ADAMW: Add = |b, p, t| b.group_in(p, AdamW::new(1e-2).weight_decay(0.1), t);
/// Parameters that are 0 become as small as an f16 is rounded by more than 32 bits.
const SMALL: Add = |b, p, t| b.group_in(p, AdamW::new(1.1e-10).eps(1e-15), t);
const MOMENTUM: Add = |b, p, t| b.group_in(p, Sgd::new(0.1).momentum(Momentum::Heavy, 0.9), t);

/// Every other element is tiny beside the rest; one alone is the largest there is.
fn uneven(random: &mut Random, len: usize) -> Vec<f32> {
    match len {
        1 => vec![f32::MAX],
        _ => (0..len).map(|i| random.unit() * if i % 2 == 0 { 1e-9 } else { 1.0 }).collect(),
    }
}

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    let standin = rig.standin.expect("faults are planted on the stand-in");
    plant(standin);
    use Dtype::{Bf16, F16, F32};
    let of = |param, states| Precision::new().param(param).states(states);
    let given = Kind { masters: true, ..Kind::new(Bf16, Bf16, of(ParamForm::Master, StateForm::Bf16)) };
    let kinds = [
        given,
        Kind::new(F32, F16, of(ParamForm::Master, StateForm::EightBit)),
        Kind::new(Bf16, F32, of(ParamForm::Remainder, StateForm::EightBit)),
        Kind::new(Bf16, Bf16, of(ParamForm::Stochastic, StateForm::Bf16)),
        Kind::new(F16, F32, of(ParamForm::Stochastic, StateForm::F32)),
    ];
    let shapes = |i: usize| [5, 256, 300, 2_100, 70].map(|len| (len, (i / 2, 0))).to_vec();
    let rules = [ADAMW, ADAMW, ADAMW, ADAMW, SMALL];
    let groups = kinds.into_iter().zip(rules).enumerate().map(|(i, (kind, rule))| (rule, kind, shapes(i)));
    let mut groups: Vec<Group> = groups.collect();
    groups.push((
        MOMENTUM,
        Kind::new(F32, F32, of(ParamForm::Master, StateForm::EightBit)),
        vec![(1, (0, 0)), (9, (0, 0))],
    ));
    let draws: [fn(&mut Random, usize) -> Vec<f32>; 3] = [Random::wild, uneven, Random::units];
    for (seed, draw) in draws.into_iter().enumerate() {
        standin.seed(seed as u64);
        let options = |builder: OptimizerBuilder, _| builder.zero_gradients().norm(instep::Norm::Two);
        let mut sides = Sides::new(&rig, draw, &groups, options);
        for call in 0..4 {
            if call == 2 {
                sides.load_params();
            }
            sides.step();
            sides.assert_equal(&format!("call {call}"));
            sides.renew(None);
        }
    }
}

#[test]
fn every_planted_fault_of_how_streams_are_stored_is_caught() {
    assert_caught("forms::faults::scenario", FAULTS);
}
