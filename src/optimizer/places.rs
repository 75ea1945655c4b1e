//! Where the tables are that may be written again, from where that is done, and how states are filled.

use std::sync::Arc;

use super::shape::{Shape, grads_at};
use crate::device::{Context, Filling, Memory, Slots, Stream, WhenBusy};
use crate::dynamic::Dynamic;
use crate::error::Result;
use crate::plan::layout::RuleTablesRow;
use crate::plan::{Lies, Plan};
use crate::precision::{CODES_BLOCK, Constant};

/// Where changes go from.
#[derive(Debug)]
pub(super) struct Moves {
    /// What is said of ages, and gradients' addresses.
    pub seats: Slots,
    /// All tables of a shape.
    pub shapes: Slots,
    pub when_busy: WhenBusy,
}

/// Where what may be written again is.
#[derive(Debug)]
pub(super) struct Places {
    /// Addresses of the tables of a [`Shape`], in its order; then that of what rules need besides.
    pub tables: Vec<u64>,
    /// Sums, which are 0 where nobody writes them: addresses and bytes.
    pub sums: Vec<(u64, usize)>,
}

impl Places {
    /// From offsets into the tables at `base`.
    pub fn new(base: u64, tables: Vec<u64>, sums: Vec<(u64, usize)>) -> Places {
        let tables = tables.into_iter().map(|offset| offset + base).collect();
        Places { tables, sums: sums.into_iter().map(|(offset, bytes)| (offset + base, bytes)).collect() }
    }
}

impl Moves {
    pub fn new(context: &Arc<Context>, plan: &Plan, dynamic: &Dynamic) -> Result<Moves> {
        let (slots, when_busy) = dynamic.slots_in_all();
        let seats = grads_at(plan) + 8 * plan.room.tensors;
        let tables = Shape::of(plan).tables().map(|(_, room)| room.next_multiple_of(8)).sum::<usize>();
        let shape = tables + size_of::<RuleTablesRow>();
        Ok(Moves {
            seats: Slots::new(context, slots, seats).allocate()?,
            // Such a change is rare and its slot large: it is allocated when the first one comes.
            shapes: Slots::new(context, slots.min(2), shape),
            when_busy,
        })
    }

    /// Sees to it that the next shape finds a slot: a call that is refused must not have changed anything.
    pub fn expect_slot(&mut self) -> Result<()> {
        self.shapes.ready(self.when_busy)
    }
}

/// Sets the elements of a state to what it starts from. `lies`: offsets into `state`.
pub(super) fn fill(state: &Memory, stream: &Stream, lies: Lies, len: u64, value: Constant) -> Result<()> {
    let (first, second, len) = (lies.first as usize, lies.second as usize, len as usize);
    match value {
        Constant::F32(value) => state.fill(stream, first, len, Filling::Words(value.to_bits())),
        Constant::Half(value) => state.fill(stream, first, len, Filling::Halves(value)),
        Constant::EightBit(code, scale) => {
            state.fill(stream, first, len, Filling::Bytes(code))?;
            let scales = len.div_ceil(CODES_BLOCK as usize);
            state.fill(stream, second, scales, Filling::Words(scale.to_bits()))
        }
    }
}
