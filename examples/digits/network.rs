//! The network's shape and its first parameters, the same for host and device: 64 pixels, 128 hidden units with ReLU,
//! 10 digits. All parameters lie in one buffer, and all gradients in another of the same layout.

use std::ops::Range;

use crate::data::Digits;
use crate::order::{HALF_BITS, ROUNDS};
use crate::stored::Form;

pub const PIXELS: usize = 64;
pub const HIDDEN: usize = 128;
pub const DIGITS: usize = 10;
/// Images in one step.
pub const BATCH: usize = 64;

/// `[PIXELS][HIDDEN]` in the parameter buffer.
pub const W1: Range<usize> = 0..PIXELS * HIDDEN;
/// `[HIDDEN]`.
pub const B1: Range<usize> = W1.end..W1.end + HIDDEN;
/// `[HIDDEN][DIGITS]`.
pub const W2: Range<usize> = B1.end..B1.end + HIDDEN * DIGITS;
/// `[DIGITS]`.
pub const B2: Range<usize> = W2.end..W2.end + DIGITS;
/// All parameters.
pub const PARAMS: usize = B2.end;

/// Steps in one pass over the training images; an epoch leaves out the few that do not fill a batch.
pub fn steps_per_epoch(digits: &Digits) -> u64 {
    (digits.training / BATCH) as u64
}

/// `f32[PARAMS]`: weights uniform in ±√(6 / inputs), biases zero. No generator but a hash of seed and index, so that
/// every run on every machine starts from the same bits. Source: He et al. 2015, arXiv:1502.01852.
pub fn initial_params(seed: u64) -> Vec<f32> {
    let mut param = vec![0.0; PARAMS];
    for (weights, inputs) in [(W1, PIXELS), (W2, HIDDEN)] {
        let bound = (6.0 / inputs as f32).sqrt();
        for index in weights {
            // The upper 24 bits, exact in an f32, as a fraction of [0, 1).
            let fraction = (splitmix64(seed << 32 | index as u64) >> 40) as f32 / (1 << 24) as f32;
            param[index] = bound * (2.0 * fraction - 1.0);
        }
    }
    param
}

/// The header `network.h` of `digits.cu`: every number above, so that none is written twice, and the type of parameters
/// and gradients.
pub fn header(digits: &Digits, form: Form) -> String {
    let constants = [
        ("PIXELS", PIXELS),
        ("HIDDEN", HIDDEN),
        ("DIGITS", DIGITS),
        ("BATCH", BATCH),
        ("B1", B1.start),
        ("W2", W2.start),
        ("B2", B2.start),
        ("PARAMS", PARAMS),
        ("TRAINING", digits.training),
        ("HELD_OUT", digits.held_out()),
        ("STEPS_PER_EPOCH", digits.training / BATCH),
        ("ORDER_HALF_BITS", HALF_BITS as usize),
        ("ORDER_ROUNDS", ROUNDS as usize),
    ];
    let constants = constants.map(|(name, value)| format!("constexpr unsigned int {name} = {value};\n")).concat();
    let element = if form == Form::F32 { "float" } else { "unsigned short" };
    format!("{constants}using Element = {element};\n")
}

/// The `index`-th output of the generator seeded with 0. Source: Steele et al. 2014, "Fast splittable pseudorandom
/// number generators".
fn splitmix64(index: u64) -> u64 {
    let mut z = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}
