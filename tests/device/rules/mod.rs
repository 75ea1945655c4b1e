//! Rules that are not the crate's: the device computes what the CPU backend computes, whether they are compiled or read from a
//! text, whatever they are written with.

#[path = "../../../examples/own_rule/lion.rs"]
mod lion;
mod resumed;
pub mod starts;
mod words;

use instep::rule::{Rule, Tape, TapeRule};
use instep::{OptimizerBuilder, Schedule, Tensor};

/// What adds a group to a builder.
type Add = Box<dyn Fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder>;

/// `rule` itself, and as the text of its tape, with these hyperparameters.
fn both<R: Rule>(rule: R, given: &[(&str, Schedule)]) -> [(&'static str, Add); 2] {
    let text = Tape::of(&rule).unwrap().to_string();
    let read = TapeRule::new(Tape::parse(&text).unwrap());
    let read = given.iter().fold(read, |read, (name, schedule)| read.set(*name, schedule.clone()));
    [
        ("in Rust", Box::new(move |builder, tensors| builder.group(rule.clone(), tensors))),
        ("as text", Box::new(move |builder, tensors| builder.group(read.clone(), tensors))),
    ]
}

/// All lengths around those of vectors, warps, blocks and tiles.
const LENGTHS: [usize; 14] = [1, 3, 4, 5, 31, 33, 255, 256, 257, 2_047, 2_048, 2_049, 4_096, 4_097];

/// The lengths, at addresses that are aligned in each way.
fn shapes() -> Vec<(usize, (usize, usize))> {
    LENGTHS.iter().enumerate().map(|(i, len)| (*len, (i % 4, i / 4 % 4))).collect()
}
