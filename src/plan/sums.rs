//! The levels on which sums are added, for the norm launch and the measuring launch: who adds what, and where it goes.
//! `kernels/sums.cuh` states the order of summation.

use super::layout::{NORM_BLOCK, NodeRow, ROOT, SECTION, level};

/// Where a sum goes, and the node that adds it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub slot: u32,
    pub parent: u32,
}

/// The places of sums that one node adds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Level {
    first: Place,
}

impl Level {
    pub fn place(self, i: u32) -> Place {
        Place { slot: self.first.slot + i, ..self.first }
    }
}

/// A block of a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub index: u32,
    pub place: Place,
}

/// What adds, and how many sums there are.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub nodes: Vec<NodeRow>,
    pub slots: u32,
}

impl Tree {
    /// A place for one more sum.
    pub fn slot(&mut self) -> u32 {
        self.slots += 1;
        self.slots - 1
    }

    /// The places of `count` sums that are added to the one at `into`; a single one goes there itself.
    pub fn level(&mut self, into: Place, count: u32) -> Level {
        match count {
            0 | 1 => Level { first: into },
            _ => self.node(into, count, level::PART, 0, 0),
        }
    }

    /// The same with a node for any number of sums, which knows what it has when it has added.
    pub fn node(&mut self, into: Place, count: u32, level: u32, index: u32, variant: u32) -> Level {
        let first = Place { slot: self.slots, parent: self.nodes.len() as u32 };
        let Place { slot, parent } = into;
        self.nodes.push(NodeRow { first: first.slot, count, arrivals: 0, slot, parent, level, index, variant });
        self.slots += count;
        Level { first }
    }

    /// Places of sums that nothing adds.
    pub fn apart(&mut self, count: u32) -> Level {
        let first = Place { slot: self.slots, parent: ROOT };
        self.slots += count;
        Level { first }
    }

    /// Visits the blocks of a tensor of `len` elements, whose sum goes to `into`. `tensor`: its row and its variant, if a node is
    /// to know when the tensor is done that is not a single block.
    pub fn blocks(&mut self, len: u64, into: Place, tensor: Option<[u32; 2]>, mut visit: impl FnMut(Block)) {
        let blocks = len.div_ceil(NORM_BLOCK);
        if blocks <= 1 {
            (0..blocks as u32).for_each(|index| visit(Block { index, place: into }));
            return;
        }
        let sections = blocks.div_ceil(SECTION);
        let parts = if sections == 1 { blocks } else { sections } as u32;
        let top = match tensor {
            Some([row, variant]) => self.node(into, parts, level::TENSOR, row, variant),
            None => self.level(into, parts),
        };
        if sections == 1 {
            (0..parts).for_each(|index| visit(Block { index, place: top.place(index) }));
            return;
        }
        for s in 0..parts {
            let begin = u64::from(s) * SECTION;
            let count = (blocks - begin).min(SECTION) as u32;
            let block = self.level(top.place(s), count);
            (0..count).for_each(|i| visit(Block { index: begin as u32 + i, place: block.place(i) }));
        }
    }

    /// Counts who comes to each node, from the leaves on: a node is made after the one that adds it. `parents`: of each tile.
    pub fn count_arrivals(&mut self, parents: impl Iterator<Item = u32>) {
        for parent in parents.filter(|parent| *parent != ROOT) {
            self.nodes[parent as usize].arrivals += 1;
        }
        for node in (0..self.nodes.len()).rev() {
            let NodeRow { arrivals, parent, .. } = self.nodes[node];
            if arrivals > 0 && parent != ROOT {
                self.nodes[parent as usize].arrivals += 1;
            }
        }
    }
}
