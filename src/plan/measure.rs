//! The tables of the measuring launch: its tiles, the levels on which their sums are added, and what a group needs for what
//! follows. Only rules that sum over elements are in it. Start at [`Plan::measure_tables`].

use super::Plan;
use super::layout::{GroupRow, MeasureTileRow, PACK, ROOT, level};
use super::sums::{Block, Place, Tree};
use super::tiles::Tiles;
use crate::rule::Over;

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct MeasureTables {
    pub rows: Vec<MeasureTileRow>,
    pub tree: Tree,
    pub groups: Vec<GroupRow>,
    /// Where each tensor's sum goes, in the order of the list.
    pub tensor_slots: Vec<u32>,
}

impl Plan {
    /// Cuts the measuring launch as `tiles` are cut.
    pub fn measure_tables(&self, tiles: &Tiles) -> MeasureTables {
        let mut tree = Tree::default();
        // Of tensors that are none any more: nobody writes there.
        let nowhere = Place { slot: ROOT, parent: ROOT };
        let mut places = vec![nowhere; self.tensors.len()];
        let mut groups: Vec<GroupRow> =
            self.groups.iter().enumerate().map(|(index, group)| self.group_row(index, group.variant)).collect();
        for (variant, rule) in (0..).zip(&self.variants) {
            let Some(widest) = rule.widest() else { continue };
            let own: Vec<usize> = (0..groups.len()).filter(|group| groups[*group].variant == variant).collect();
            let len = own.iter().map(|group| groups[*group].len).sum();
            let root = Place { slot: tree.slot(), parent: ROOT };
            let of_groups = match widest {
                Over::All => tree.node(root, own.len() as u32, level::ALL, 0, variant),
                Over::Group | Over::Tensor => tree.apart(own.len() as u32),
            };
            for (i, group) in (0..).zip(own) {
                let place = of_groups.place(i);
                (groups[group].slot, groups[group].len_of_all) = (place.slot, len);
                let tensors = self.tensors_of(group);
                let count = tensors.len() as u32;
                let of_tensors = match widest {
                    Over::Tensor => tree.apart(count),
                    Over::Group => tree.node(place, count, level::GROUP, group as u32, variant),
                    Over::All => tree.node(place, count, level::PART, 0, 0),
                };
                for (i, tensor) in (0..).zip(tensors) {
                    places[tensor] = of_tensors.place(i);
                }
            }
        }
        let mut rows = Vec::new();
        let measures = |tensor: usize| self.variants[self.tensors[tensor].variant as usize].widest().is_some();
        let list = |row: u32| self.rows[row as usize] as usize;
        let row_of = |first: u32, what: u32, Place { slot, parent }: Place| {
            let tensor = &self.tensors[list(first)];
            let (cohort, variant, form) = (tensor.cohort, tensor.variant, tensor.form);
            MeasureTileRow { tensor: first, place: what, slot, parent, cohort, variant, form, reserved: 0 }
        };
        for (first, count) in tiles.packs.iter().filter(|(first, _)| measures(list(*first))) {
            // One tensor alone is a block like any other.
            let what = if *count == 1 { 0 } else { PACK | count };
            let Some(tensor) = self.first_of_pack((*first, *count)) else { continue };
            rows.push(row_of(*first, what, places[tensor as usize]));
        }
        for row in tiles.large.iter().copied().filter(|row| measures(list(*row))) {
            let tensor = &self.tensors[list(row)];
            let known = Some([row, tensor.variant]);
            tree.blocks(tensor.len, places[list(row)], known, |Block { index, place }| {
                rows.push(row_of(row, index, place))
            });
        }
        tree.count_arrivals(rows.iter().map(|row| row.parent));
        rows.reverse();
        MeasureTables { rows, tree, groups, tensor_slots: places.iter().map(|place| place.slot).collect() }
    }

    fn group_row(&self, index: usize, variant: u32) -> GroupRow {
        let len = self.tensors_of(index).map(|tensor| self.tensors[tensor].len).sum();
        GroupRow { variant, first_cohort: self.groups[index].first_cohort, slot: 0, reserved: 0, len, len_of_all: 0 }
    }
}
