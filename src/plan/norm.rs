//! The tables of the norm launch: its tiles, and the levels on which their sums are added. `kernels/sums.cuh` states the
//! order of summation, which follows from the list of tensors alone; what is cut here decides who adds, never what.
//!
//! A level of one place has no node: its sum goes where that place's own would. Start at [`Plan::norm_tables`].

use super::Plan;
use super::layout::{NormTileRow, PACK, ROOT};
use super::sums::{Block, Place, Tree};
use super::tiles::Tiles;

/// All of it.
#[derive(Debug)]
pub(crate) struct NormTables {
    pub rows: Vec<NormTileRow>,
    /// Sums: of blocks, sections, tensors, groups.
    pub tree: Tree,
    /// Where each tensor's sum goes, in the order of the list.
    pub tensor_slots: Vec<u32>,
}

impl Plan {
    /// Cuts the norm launch as `tiles` are cut.
    pub fn norm_tables(&self, tiles: &Tiles) -> NormTables {
        let mut tree = Tree::default();
        let all = Place { slot: tree.slot(), parent: ROOT };
        let group = tree.level(all, self.groups.len() as u32);
        // Of tensors that are none any more: nobody writes there.
        let nowhere = Place { slot: ROOT, parent: ROOT };
        let mut places = vec![nowhere; self.tensors.len()];
        for g in 0..self.groups.len() as u32 {
            let tensors = self.tensors_of(g as usize);
            let level = tree.level(group.place(g), tensors.len() as u32);
            for (i, tensor) in (0..).zip(tensors) {
                places[tensor] = level.place(i);
            }
        }
        let place = |row: u32| places[self.rows[row as usize] as usize];
        let grad_type = |row: u32| self.grad_type(self.tensor_at(row));
        let mut rows = Vec::new();
        for (first, count) in &tiles.packs {
            let Some(tensor) = self.first_of_pack((*first, *count)) else { continue };
            let Place { slot, parent } = places[tensor as usize];
            // One tensor alone is a block like any other: also where it is the only one of all that is left in its pack.
            let alone = *count == 1 || parent == ROOT;
            let (row, what) = if alone { (self.seats[tensor as usize].row, 0) } else { (*first, PACK | count) };
            rows.push(NormTileRow { tensor: row, place: what | grad_type(*first), slot, parent });
        }
        for row in tiles.large.iter().copied() {
            let len = self.tensor_at(row).len;
            tree.blocks(len, place(row), None, |Block { index, place: Place { slot, parent } }| {
                rows.push(NormTileRow { tensor: row, place: index | grad_type(row), slot, parent });
            });
        }
        tree.count_arrivals(rows.iter().map(|row| row.parent));
        // Backwards: what the update reads first is then what was read last.
        rows.reverse();
        NormTables { rows, tree, tensor_slots: places.iter().map(|place| place.slot).collect() }
    }
}
