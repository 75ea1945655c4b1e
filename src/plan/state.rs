//! The state of an optimizer as one block of bytes: everything that an update changes and that does not follow from the step, and what
//! the optimizer was, so that another one can tell what it does not share. [`encode`] makes it from what a backend read back; `load`
//! goes on from it. Neither knows a device.
//!
//! **Layout, version 3.** All numbers are little-endian, nothing is aligned. A number is a u64. A text is its length in bytes (a number)
//! and UTF-8; rows are the size of one, their number (numbers) and their bytes as they lie in memory (`layout`); a list is its
//! length (a number) and its elements. The same layout for every optimizer.
//!
//! | part | what it holds |
//! |---|---|
//! | head | `instep\0\0`, version (u32) |
//! | sections | each a tag of four letters, its length in bytes (a number), its content |
//! | checksum | SHA-256 of all bytes before |
//!
//! | section | content, in this order |
//! |---|---|
//! | `ctrl` | one row of control, whole |
//! | `sett` | one row of settings, as they are in force, without its addresses |
//! | `opts` | what is done with gradients, seven numbers ([`Gradients::numbers`](crate::gradient::Gradients::numbers)); what stochastic rounding begins with |
//! | `knob` | a list, in alphabetical order: name (text), 0 for a value or 1 for a count, its bits |
//! | `metr` | a list of metric rules: one row each of the rule and of its state, rows of f64 of its window, of the halves in force |
//! | `grou` | a list of groups: the rule (text), the place of its metric rule from 1 on or 0, a list of its hyperparameters, rows of f64 that the rule remembers of the group |
//! | `tens` | a list of tensors, in the order of their states in `stat` |
//! | `stat` | for each tensor, for each of its states, as many values as the tensor has, as they are stored, without gaps: f32, 16 bits, or codes and then the f32 scales of their blocks; for a rule that shows other parameters for evaluation, what is put aside meanwhile, zeros where nothing is; then its master (f32) or its remainder (16 bits), if it is the optimizer's |
//!
//! | element of | content, in this order |
//! |---|---|
//! | a group's hyperparameters | name, the schedule in words, with a line for each of its arguments (texts), whether it is a plain number, a digest of its structure (numbers), rows of the places of its knobs in `knob`, rows of its constants as they are in force, a list of those that the device resolved for itself: the place among them and that of the knob whose `now` it was |
//! | `tens` | name, place of its group, length, updates that it has had, what its random bits come from; how the parameter is stored (by number: `kept/tensor.rs`), whether its master is the engine's; a list of states: name, form, what is known of its values; 1 and form and values of what is put aside, or 0; rows of f64 that the rule remembers of its cohort, as the update before left it, and of the tensor |
//!
//! Values and records of schedules follow from the step, and are computed anew. Addresses, gaps before them and cohorts are in
//! no section, so a block does not depend on where tensors lie. Parameters and gradients belong to the engine.

use std::ops::Range;

use super::block::{Tag, Writer};
use super::kept::Kept;
use super::layout::{Control, MetricStateRow};
use super::{Plan, TensorRow};
use crate::error::{Error, Result};
use crate::settings::Settings;

/// The states of all tensors.
pub(super) const STATES: Tag = *b"stat";

/// The tables that change: of those with two halves, the one in force.
#[derive(Debug)]
pub(crate) struct Tables {
    pub control: Control,
    pub settings: Settings,
    pub constants: Vec<u64>,
    pub metric_states: Vec<MetricStateRow>,
    pub windows: Vec<f64>,
    /// The bases of ages.
    pub ages: Vec<u64>,
    /// What rules remember: see [`Remembered::durable`](super::Remembered::durable).
    pub remembered: Vec<f64>,
}

/// The half that update `t` reads.
pub(crate) fn half<T>(both: &[T], t: u64) -> &[T] {
    let len = both.len() / 2;
    &both[(t & 1) as usize * len..][..len]
}

impl Plan {
    /// How many updates a tensor has had.
    pub(super) fn updates_of(&self, tables: &Tables, tensor: usize) -> u64 {
        let age = self.cohorts[self.tensors[tensor].cohort as usize].age;
        tables.ages[age as usize].wrapping_add(tables.control.t)
    }

    /// Where that of a tensor which is the optimizer's lies in the state memory, in bytes, in the order of a block: for every state, what is
    /// put aside, and then the parameter (whose first range is empty) the place among the streams, its elements and what belongs to them.
    pub(super) fn pieces(&self, row: &TensorRow) -> Vec<(usize, [Range<usize>; 2])> {
        let storages = self.storages(row);
        let range = |own: bool, address: u64, len: u64| match own && len > 0 {
            true => (address - self.state_base) as usize..(address - self.state_base + len) as usize,
            false => 0..0,
        };
        let piece = |place: usize| {
            let ([first, second], lies) = (storages[place].form.sizes(row.len), row.streams[place]);
            let beside = place > 0 || !row.master_given;
            (place, [range(place > 0, lies.first, first), range(beside, lies.second, second)])
        };
        (2..storages.len()).chain([0]).map(piece).collect()
    }
}

/// The block. `memory`: the state memory of `plan`, from its first byte on.
pub(crate) fn encode(plan: &Plan, tables: &Tables, memory: &[u8]) -> Result<Vec<u8>> {
    expect_little_endian()?;
    // Names and digests take the most beside the state.
    let rest = size_of_val(&*tables.constants) + size_of_val(&*tables.windows) + size_of_val(&*tables.metric_states);
    let a_tensor = 200 + 64 * (2 + plan.widths().addresses);
    let mut block = Writer::new(memory.len() + rest + a_tensor * plan.tensors.len() + 1_000 * (plan.groups.len() + 1));
    Kept::of(plan, tables).write(&mut block)?;
    block.section(STATES, |section| {
        for tensor in plan.living() {
            let row = &plan.tensors[tensor];
            let states = 2 + plan.variants[row.variant as usize].streams().len();
            for (place, ranges) in plan.pieces(row) {
                for range in ranges {
                    // What was put aside once is no state of a run that shows nothing.
                    match place >= states && tables.control.shown == 0 {
                        true => section.bytes(&vec![0; range.len()]),
                        false => section.bytes(&memory[range]),
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(block.finish())
}

/// Rows are written as they lie in memory.
pub(super) fn expect_little_endian() -> Result<()> {
    match cfg!(target_endian = "little") {
        true => Ok(()),
        false => Err(Error::argument("state", "asked for", "a machine that is not little-endian has none")),
    }
}
