//! Which block of a launch takes what: a tile of a large tensor, or a pack of small ones. Start at [`Plan::tiles`].
//!
//! Tiles come in the order of the addresses, each a block of its own: a grid in that order reaches 98 % of the copy, a
//! resident grid that loops 93 %. Small tensors take a warp each, as few a block as keep the grid at about one wave, and come
//! first, since they wait for rows rather than for bandwidth. All measured on an H100.

use super::layout::{GRAD_TYPE, PACK, TileRow, WARPS};
use super::{Plan, TensorRow};

/// The work of all blocks but the one that evaluates.
#[derive(Debug)]
pub(crate) struct Tiles {
    /// For each row of the tensor table its place in the list of tensors.
    pub order: Vec<u32>,
    /// Runs of rows that are packed, a block each: first row and number.
    pub packs: Vec<(u32, u32)>,
    /// The first row that is not packed.
    pub large: u32,
    pub rows: Vec<TileRow>,
}

impl Plan {
    /// Cuts the work for a device that runs `wave` blocks at once.
    pub fn tiles(&self, wave: u32) -> Tiles {
        let is_small = |tensor: u32| self.tensors[tensor as usize].len <= self.tuning.packed;
        let filled = (0..self.tensors.len() as u32).filter(|tensor| self.tensors[*tensor as usize].len > 0);
        let (mut order, mut large): (Vec<u32>, Vec<u32>) = filled.partition(|tensor| is_small(*tensor));
        order.sort_by_key(|tensor| self.work(*tensor));
        large.sort_by_key(|tensor| self.tensors[*tensor as usize].param());

        let tile = self.tuning.tile();
        let row = |tensor: u32, row: u32, place: u32| {
            let tensor = &self.tensors[tensor as usize];
            TileRow { tensor: row, place: place | self.grad_type(tensor), cohort: tensor.cohort, form: tensor.form }
        };
        let tiles = |tensor: &u32| self.tensors[*tensor as usize].len.div_ceil(tile) as u32;
        let (small, large_tiles) = (order.len() as u32, large.iter().map(tiles).sum());
        let packs = self.packs(&order, tensors_of_pack(small, large_tiles, wave));
        let mut rows = Vec::with_capacity(packs.len() + large_tiles as usize);
        rows.extend(packs.iter().map(|(first, count)| row(order[*first as usize], *first, PACK | count)));
        for (place, tensor) in (small..).zip(&large) {
            rows.extend((0..tiles(tensor)).map(|tile| row(*tensor, place, tile)));
        }
        order.extend(large);
        Tiles { order, packs, large: small, rows }
    }

    /// What the tensors of a pack have in common: the cohort, and how they are stored.
    fn work(&self, tensor: u32) -> (u32, u32) {
        let tensor = &self.tensors[tensor as usize];
        (tensor.cohort, tensor.form)
    }

    /// The type of a tensor's gradient, at its place in a tile's row.
    pub(super) fn grad_type(&self, tensor: &TensorRow) -> u32 {
        self.forms[tensor.form as usize].grad_type() << GRAD_TYPE
    }

    /// Cuts the small tensors, `most` a pack; a pack has one cohort and one way of storing.
    fn packs(&self, small: &[u32], most: u32) -> Vec<(u32, u32)> {
        let mut packs: Vec<(u32, u32)> = Vec::new();
        let work = |row: u32| self.work(small[row as usize]);
        for row in 0..small.len() as u32 {
            match packs.last_mut() {
                Some((first, count)) if *count < most && work(*first) == work(row) => *count += 1,
                _ => packs.push((row, 1)),
            }
        }
        packs
    }
}

/// As few as keep the grid within one wave, whole warps' turns; beside large tensors they get a quarter of one at least.
fn tensors_of_pack(small: u32, large_tiles: u32, wave: u32) -> u32 {
    let room = wave.saturating_sub(1).saturating_sub(large_tiles).max(wave / 4).max(1);
    WARPS * small.div_ceil(WARPS).div_ceil(room).max(1)
}

#[test]
fn packs_keep_the_grid_at_one_wave_and_no_smaller_than_they_must() {
    assert_eq!(tensors_of_pack(148, 0, 528), 8);
    assert_eq!(tensors_of_pack(1_000, 0, 528), 8);
    assert_eq!(tensors_of_pack(10_000, 0, 528), 24);
    assert_eq!(tensors_of_pack(10_000, 500, 528), 80);
    assert_eq!(tensors_of_pack(10_000, 60_000, 528), 80);
    assert_eq!(tensors_of_pack(0, 7, 1), 8);
    assert_eq!(tensors_of_pack(u32::MAX - 7, 0, 0), u32::MAX - 7);
}
