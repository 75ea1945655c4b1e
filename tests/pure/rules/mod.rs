//! Rules of one's own, and rules as data: what is refused, what a tape's text is, and that both forms compute the same bits.

mod after;
mod any_text;
mod interpreted;
mod kin;
#[path = "../../../examples/own_rule/lion.rs"]
mod lion;
mod tapes;
mod texts;
mod wrong;

use instep::{Device, Error, Optimizer};

use crate::owned::Pair;

/// The rule that adds each gradient's share to what it knows of a tensor and of its group: a text with a line of every kind.
const EVERYTHING: &str = include_str!("everything.txt");

fn lion() -> lion::Lion {
    lion::Lion { lr: 0.01.into(), weight_decay: 0.1.into(), beta1: 0.9.into(), beta2: 0.99.into() }
}

/// What the build of an optimizer with `rule` says.
fn refusal(rule: impl instep::rule::Rule) -> String {
    let pair = Pair::small();
    let built: Result<Optimizer, Error> = Optimizer::builder(&Device::host()).group(rule, &[pair.tensor()]).build();
    built.map_or_else(|error| error.to_string(), |_| "nothing is wrong".to_owned())
}
