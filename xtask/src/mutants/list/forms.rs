//! Of how streams are stored, in kernels and in the CPU backend.

use super::{FORMS, Mutant, mutant};

pub const MUTANTS: &[Mutant] = &[
    mutant("a code is rounded to nearest", "kernels/codes.cuh", ["(random >> 12)", "0x80000"], FORMS),
    mutant(
        "a scale is a step too large",
        "kernels/codes.cuh",
        ["(largest + 0xfffff) >> 20", "(largest + 0x1fffff) >> 20"],
        FORMS,
    ),
    mutant(
        "a code is that of its neighbour",
        "kernels/codes.cuh",
        ["word << (20 - 8 * e)", "word << (20 - 8 * (e ^ 1))"],
        FORMS,
    ),
    mutant(
        "a tail is without its masters",
        "kernels/storage.cuh",
        [
            "return Storage<f32>::load<WHOLE>({at.second, 0}, place, count);",
            "return Storage<f32>::load<WHOLE>({at.second, 0}, place, 0);",
        ],
        FORMS,
    ),
    mutant(
        "a walk of gradients takes the first type",
        "kernels/walk.cuh",
        ["place >> GRAD_TYPE & 3", "place >> GRAD_TYPE & 2"],
        FORMS,
    ),
    mutant(
        "host: a remainder is cut off",
        "src/precision/round.rs",
        ["bits.wrapping_add(0x8000) >> 16", "bits >> 16"],
        FORMS,
    ),
    mutant(
        "host: two streams are rounded by the same bits",
        "src/precision/random.rs",
        ["word.rotate_left(16)", "word"],
        FORMS,
    ),
    mutant(
        "host: a scale is below the largest of its block",
        "src/precision/codes.rs",
        ["(largest.div_ceil(1 << 20))", "(largest >> 20)"],
        FORMS,
    ),
    mutant(
        "host: chunks are rounded by the same bits",
        "src/host/memory.rs",
        ["range.begin as u64, &mut scratch.random", "0, &mut scratch.random"],
        FORMS,
    ),
    mutant(
        "host: a denominator becomes 0",
        "src/precision/codes.rs",
        ["code.max(u8::from(x != 0.0))", "code"],
        &["forms::every_rule"],
    ),
];
