//! Which rows there are: rule, options, sizes, and how the step is scheduled and launched. A new precision or rule is a
//! line here.

use crate::bars::{BARS, COMPARED};
use crate::driver::Result;
use crate::forms;
use crate::gpu::Contest;
use crate::options::Options;
use crate::rule::Rule;
use crate::sizes::{self, Size};
use crate::way::{Mode, Way};

/// Rows that differ in size, way and mode alone. Those of one size are timed in turn.
pub struct Line {
    pub rule: Rule,
    pub options: Options,
    pub sizes: &'static [Size],
    runs: &'static [(Way, Mode)],
}

/// The library alone.
const LIBRARY: [(Way, Mode); 3] = [(Way::Resident, Mode::Eager), (Way::Resident, Mode::Replay), MANY_STEPS];
const MANY_STEPS: (Way, Mode) = (Way::Resident, Mode::Unrolled);

/// The library, and the same kernel without a schedule, whose difference is what the schedule costs.
const WITH_LITERAL: [(Way, Mode); 5] =
    [LIBRARY[0], LIBRARY[1], MANY_STEPS, (Way::Literal, Mode::Replay), (Way::Literal, Mode::Unrolled)];

/// What an engine does that schedules on the host.
const ON_HOST: [(Way, Mode); 6] = [
    (Way::ByValue, Mode::Eager),
    (Way::Filled, Mode::Eager),
    (Way::Literal, Mode::Eager),
    (Way::ByValue, Mode::Replay),
    (Way::Filled, Mode::Replay),
    (Way::Frozen, Mode::Replay),
];

const fn line(rule: Rule, options: Options, sizes: &'static [Size], runs: &'static [(Way, Mode)]) -> Line {
    Line { rule, options, sizes, runs }
}

/// The rows that the bars and the peers are compared with: they come first.
pub const TABLE: [Line; 5] = [
    line(Rule::AdamW, Options::None, &sizes::ALL, &WITH_LITERAL),
    line(Rule::SgdMomentum, Options::None, &[sizes::SMALL, sizes::GPT2], &WITH_LITERAL),
    line(Rule::AdamW, Options::Clip, &sizes::ALL, &LIBRARY),
    line(Rule::AdamW, Options::ClipAndScale, &sizes::ALL, &LIBRARY),
    line(Rule::AdamW, Options::GradientOffByOne, &[sizes::GPT2], &LIBRARY),
];

/// Rows for a longer visit: scheduling on the host, and more rules and sizes.
pub const WAYS: [Line; 5] = [
    line(Rule::AdamW, Options::Dynamic, &[sizes::SMALL, sizes::MANY, sizes::GPT2], &LIBRARY),
    line(Rule::AdamW, Options::None, &[sizes::SMALL, sizes::MANY, sizes::GPT2], &ON_HOST),
    line(Rule::AdamW, Options::None, &[sizes::HUNDRED_MILLION], &WITH_LITERAL),
    line(Rule::Sgd, Options::None, &[sizes::SMALL, sizes::MANY, sizes::GPT2, sizes::BILLION], &WITH_LITERAL),
    line(Rule::Sgd, Options::None, &[sizes::SMALL, sizes::GPT2], &ON_HOST),
];

impl Line {
    /// What is timed in turn at `size`, one of its own: a long step is not put into a graph many times.
    pub fn contest(&self, size: &Size) -> Contest<'static> {
        let tiny = size.is_tiny();
        let runs = self.runs.iter().copied().filter(|(_, mode)| tiny || *mode != Mode::Unrolled).collect();
        Contest { rule: self.rule, options: self.options, size: size.name, lengths: size.lengths(), runs }
    }
}

/// Checks that every bar, and every row that is compared with a peer's, is one of a row that there is.
pub fn check() -> Result<()> {
    let contests = TABLE.iter().flat_map(|line| line.sizes.iter().map(|size| line.contest(size)));
    let in_forms =
        forms::ALL.iter().flat_map(|form| form.modes().iter().map(|mode| (form.row(*mode), sizes::GPT2.name)));
    let known: Vec<(String, &str)> = contests
        .flat_map(|contest| contest.names().into_iter().map(move |name| (name, contest.size)))
        .chain(in_forms)
        .collect();
    let compared = COMPARED.iter().flat_map(|(row, sizes)| sizes.iter().map(move |size| (*row, *size)));
    for (row, size) in BARS.iter().map(|bar| (bar.row, bar.size)).chain(compared) {
        if !known.iter().any(|(name, of)| name == row && *of == size) {
            return Err(format!("bars.rs speaks of {row}, {size}, which the table has not").into());
        }
    }
    Ok(())
}
