//! The ways to schedule a step and the modes to launch it, and what their rows are called.

use crate::options::Options;
use crate::rule::Rule;

/// Where the step's scalars come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The library: evaluated on the device, inside the launch.
    Resident,
    /// The host computes them and passes them as a kernel argument.
    ByValue,
    /// The host computes them and copies them from pinned memory into a place that the kernel reads.
    Filled,
    /// As `ByValue`, captured once and replayed without new arguments: the mistake that is easily made.
    Frozen,
    /// Literals in the kernel's code: no schedule at all.
    Literal,
}

/// How a step gets to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Eager,
    /// One step a graph, as an engine replays it.
    Replay,
    /// [`UNROLLED`] steps a graph: the time of the kernels, with the least between them.
    Unrolled,
}

pub const UNROLLED: usize = 32;

impl Mode {
    /// As in the names of rows.
    pub fn name(self) -> String {
        match self {
            Mode::Eager => "eager".to_owned(),
            Mode::Replay => "one-step graph".to_owned(),
            Mode::Unrolled => format!("{UNROLLED} steps in a graph"),
        }
    }
}

/// Every meaningful pair. By value and filled cannot be unrolled: their scalars change between the steps of one graph.
pub const RUNS: [(Way, Mode); 11] = [
    (Way::Resident, Mode::Eager),
    (Way::ByValue, Mode::Eager),
    (Way::Filled, Mode::Eager),
    (Way::Literal, Mode::Eager),
    (Way::Resident, Mode::Replay),
    (Way::ByValue, Mode::Replay),
    (Way::Filled, Mode::Replay),
    (Way::Frozen, Mode::Replay),
    (Way::Literal, Mode::Replay),
    (Way::Resident, Mode::Unrolled),
    (Way::Literal, Mode::Unrolled),
];

/// What stands beside the numbers of [`Way::Frozen`].
pub const WRONG: &str = "WRONG RESULT: every replay uses the rate of the capture";

/// The name of a row: rule, options, way, mode, each where it is not the plain one.
pub fn name(rule: Rule, options: Options, way: Way, mode: Mode) -> String {
    let way = match way {
        Way::Resident => "",
        Way::ByValue => "rate by value",
        Way::Filled => "rate filled",
        Way::Frozen => "rate by value, frozen",
        Way::Literal => "rate a literal",
    };
    let words = [rule.name(), options.name(), way, &mode.name()];
    words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(", ")
}
