//! The tables of the norm launch: its tiles, and the levels on which their sums are added. `kernels/norm.cuh` states the
//! order of summation, which follows from the list of tensors alone; what is cut here decides who adds, never what.
//!
//! A level of one place has no node: its sum goes where that place's own would. Start at [`Plan::norm_tables`].

use super::Plan;
use super::layout::{NORM_BLOCK, NodeRow, NormTileRow, PACK, ROOT, SECTION};
use super::tiles::Tiles;

/// All of it.
#[derive(Debug)]
pub(crate) struct NormTables {
    pub rows: Vec<NormTileRow>,
    pub nodes: Vec<NodeRow>,
    /// How many sums there are: blocks, sections, tensors, groups.
    pub slots: u32,
    /// Where each tensor's sum goes, in the order of the list.
    pub tensor_slots: Vec<u32>,
}

/// Where a sum goes, and the node that adds it.
#[derive(Debug, Clone, Copy)]
struct Place {
    slot: u32,
    parent: u32,
}

/// The places of sums that one node adds.
#[derive(Debug, Clone, Copy)]
struct Level {
    first: Place,
}

impl Level {
    fn place(self, i: u32) -> Place {
        Place { slot: self.first.slot + i, ..self.first }
    }
}

impl NormTables {
    /// The places of `count` sums that are added to the one at `into`.
    fn level(&mut self, into: Place, count: u32) -> Level {
        if count <= 1 {
            return Level { first: into };
        }
        let first = Place { slot: self.slots, parent: self.nodes.len() as u32 };
        let Place { slot, parent } = into;
        self.nodes.push(NodeRow { first: first.slot, count, arrivals: 0, slot, parent, reserved: [0; 3] });
        self.slots += count;
        Level { first }
    }

    /// Rows for the blocks of a tensor in row `row`, whose sum goes to `into`.
    fn blocks(&mut self, row: u32, len: u64, into: Place) {
        let blocks = len.div_ceil(NORM_BLOCK);
        let sections = blocks.div_ceil(SECTION) as u32;
        let section = self.level(into, sections);
        for s in 0..sections {
            let begin = u64::from(s) * SECTION;
            let count = (blocks - begin).min(SECTION) as u32;
            let block = self.level(section.place(s), count);
            self.rows.extend((0..count).map(|i| {
                let Place { slot, parent } = block.place(i);
                NormTileRow { tensor: row, place: begin as u32 + i, slot, parent }
            }));
        }
    }

    /// Counts who comes to each node, from the leaves on: a node is made after the one that adds it.
    fn count_arrivals(&mut self) {
        for row in self.rows.iter().filter(|row| row.parent != ROOT) {
            self.nodes[row.parent as usize].arrivals += 1;
        }
        for node in (0..self.nodes.len()).rev() {
            let NodeRow { arrivals, parent, .. } = self.nodes[node];
            if arrivals > 0 && parent != ROOT {
                self.nodes[parent as usize].arrivals += 1;
            }
        }
    }
}

impl Plan {
    /// Cuts the norm launch as `tiles` are cut.
    pub fn norm_tables(&self, tiles: &Tiles) -> NormTables {
        let mut norm = NormTables { rows: Vec::new(), nodes: Vec::new(), slots: 1, tensor_slots: Vec::new() };
        let all = Place { slot: 0, parent: ROOT };
        let group = norm.level(all, self.groups.len() as u32);
        let mut places = Vec::with_capacity(self.tensors.len());
        for g in 0..self.groups.len() as u32 {
            let count = self.tensors_of(g as usize).len() as u32;
            let tensor = norm.level(group.place(g), count);
            places.extend((0..count).map(|i| tensor.place(i)));
        }
        norm.tensor_slots = places.iter().map(|place| place.slot).collect();

        let place = |row: u32| places[tiles.order[row as usize] as usize];
        for (first, count) in &tiles.packs {
            let Place { slot, parent } = place(*first);
            // One tensor alone is a block like any other.
            let what = if *count == 1 { 0 } else { PACK | count };
            norm.rows.push(NormTileRow { tensor: *first, place: what, slot, parent });
        }
        for row in tiles.large..tiles.order.len() as u32 {
            let tensor = &self.tensors[tiles.order[row as usize] as usize];
            norm.blocks(row, tensor.len, place(row));
        }
        norm.count_arrivals();
        // Backwards: what the update reads first is then what was read last.
        norm.rows.reverse();
        norm
    }
}
