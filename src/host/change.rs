//! Changes of the tensors on the CPU: what `optimizer::moves` has a device do.

use bytemuck::Zeroable;

use super::{Engine, memory};
use crate::error::Result;
use crate::plan::edit::launches;
use crate::plan::layout::{EditRow, Step};
use crate::plan::{Change, Registered, Scales, Tensor, Turn};

impl Engine {
    pub fn rebind(&mut self, grads: &[(u32, Option<u64>)]) -> Result<()> {
        let turns = self.plan.check_grads(grads.iter().copied())?;
        self.plan.take_grads(grads);
        let change = self.plan.turn(&turns);
        self.settle(change);
        Ok(())
    }

    pub fn turn(&mut self, turns: &[Turn]) -> Result<()> {
        self.plan.check_turns(turns)?;
        let change = self.plan.turn(turns);
        self.settle(change);
        Ok(())
    }

    pub fn rescale(&mut self, scales: &[(u32, Scales)]) -> Result<()> {
        self.plan.check_scales(scales)?;
        let change = self.plan.rescale(scales);
        self.settle(change);
        Ok(())
    }

    pub fn add(&mut self, group: usize, tensors: &[Tensor]) -> Result<Vec<u32>> {
        let of_group = &self.plan.groups[group];
        let adding = self.plan.check_add(of_group.variant, &of_group.precision, 0, tensors)?;
        let change = self.plan.add(group, tensors, adding);
        let added = change.added.clone();
        self.settle(change);
        Ok(added)
    }

    pub fn add_group(&mut self, registered: Registered) -> Result<(usize, Vec<u32>)> {
        let (tensors, precision) = (registered.tensors.clone(), registered.precision.clone());
        let adding = self.plan.check_add_group(registered)?;
        let of_tensors = self.plan.check_add(adding.variant(), &precision, 1, &tensors)?;
        let (group, change) = self.plan.add_group(adding);
        let change = change.and(self.plan.add(group, &tensors, of_tensors));
        let added = change.added.clone();
        self.settle(change);
        Ok((group, added))
    }

    pub fn remove(&mut self, tensors: &[u32]) -> Result<()> {
        let change = self.plan.remove(tensors);
        self.settle(change);
        Ok(())
    }

    /// Writes what follows from the clock, evaluates the step in force anew, and lets states and masters of new tensors start.
    fn settle(&mut self, change: Change) {
        if !change.shape {
            return;
        }
        self.pieces = memory::pieces(&self.plan);
        let mut rows = launches(&change.units, Step::zeroed());
        rows[0].flags |= EditRow::LEVEL_MEMORY;
        rows.iter().for_each(|row| self.run(row));
        let state = self.state.bytes_mut();
        for (offset, bytes) in change.added.iter().flat_map(|tensor| self.plan.state_pieces(*tensor)) {
            state[offset as usize..][..bytes as usize].fill(0);
        }
        memory::fill_states(&self.plan, |row| change.added.contains(&row.place));
        memory::remake(&self.plan, &self.pieces, |row| change.added.contains(&row.place) && !row.master_given);
    }
}
