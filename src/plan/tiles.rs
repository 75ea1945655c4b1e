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
    /// Runs of rows that are packed, a block each: first row and number.
    pub packs: Vec<(u32, u32)>,
    /// Rows with tiles of their own that updates see.
    pub large: Vec<u32>,
    pub rows: Vec<TileRow>,
    /// How many of those are updates'; those of frozen tensors follow.
    pub of_updates: u32,
}

impl Plan {
    /// Sorts the rows of the tensor table for a device that runs `wave` blocks at once. From then on no row moves: tensors that come
    /// later have rows behind these, or in the place of one that went.
    pub fn sort_rows(&mut self, wave: u32) {
        let filled = (0..self.tensors.len() as u32).filter(|tensor| self.tensors[*tensor as usize].len > 0);
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = filled.partition(|tensor| self.is_small(*tensor));
        small.sort_by_key(|tensor| self.work(*tensor));
        large.sort_by_key(|tensor| self.tensors[*tensor as usize].param());
        let large_tiles = large.iter().map(|tensor| self.tiles_of(*tensor)).sum();
        self.pack = tensors_of_pack(small.len() as u32, large_tiles, wave);
        small.extend(large);
        for (row, tensor) in (0..).zip(&small) {
            self.seats[*tensor as usize].row = row;
        }
        self.rows = small;
    }

    /// Sorts the rows of small tensors again after some have got another cohort, where a pack has one: no captured launch knows rows then.
    pub(super) fn sort_small_rows(&mut self) {
        if self.reserve.is_some() || self.rows.is_empty() {
            return;
        }
        let large = self.rows.partition_point(|tensor| self.is_small(*tensor));
        let mut rows = std::mem::take(&mut self.rows);
        rows[..large].sort_by_key(|tensor| self.work(*tensor));
        for (row, tensor) in (0..).zip(&rows) {
            self.seats[*tensor as usize].row = row;
        }
        self.rows = rows;
    }

    /// Cuts the work, once rows are sorted.
    pub fn tiles(&self) -> Tiles {
        let packs = self.packs();
        let own = (0..).zip(&self.rows).filter(|(_, tensor)| !self.is_small(**tensor)).map(|(row, _)| row);
        let standing = |row: u32| self.seats[self.rows[row as usize] as usize].standing;
        let own = own.filter(|row| !standing(*row).removed);
        let (frozen, large): (Vec<u32>, Vec<u32>) = own.partition(|row| standing(*row).frozen);
        let tile_row = |row: u32, place: u32| {
            let tensor = self.tensor_at(row);
            TileRow { tensor: row, place: place | self.grad_type(tensor), cohort: tensor.cohort, form: tensor.form }
        };
        let tiles = |row: &u32| self.tiles_of(self.rows[*row as usize]);
        let mut rows = Vec::with_capacity(packs.len() + large.iter().chain(&frozen).map(tiles).sum::<u32>() as usize);
        rows.extend(packs.iter().map(|(first, count)| tile_row(*first, PACK | count)));
        let of = |row: &u32| {
            let row = *row;
            (0..tiles(&row)).map(move |tile| (row, tile))
        };
        rows.extend(large.iter().flat_map(of).map(|(row, tile)| tile_row(row, tile)));
        let of_updates = rows.len() as u32;
        rows.extend(frozen.iter().flat_map(of).map(|(row, tile)| tile_row(row, tile)));
        Tiles { packs, large, rows, of_updates }
    }

    /// The tensor in row `row` of the tensor table.
    pub(super) fn tensor_at(&self, row: u32) -> &TensorRow {
        &self.tensors[self.rows[row as usize] as usize]
    }

    /// Whether a tensor is packed. None is where launches of parts know rows and packs have one cohort.
    fn is_small(&self, tensor: u32) -> bool {
        let may_move = self.parts.is_none() || self.reserve.is_some();
        self.tensors[tensor as usize].len <= self.tuning.packed && may_move
    }

    /// Tiles of a tensor that is not packed.
    fn tiles_of(&self, tensor: u32) -> u32 {
        self.tensors[tensor as usize].len.div_ceil(self.tuning.tile()) as u32
    }

    /// What the tensors of a pack have in common: how they are stored, and the cohort; the group alone where cohorts may part.
    fn work(&self, tensor: u32) -> (u32, u32) {
        let tensor = &self.tensors[tensor as usize];
        (if self.reserve.is_some() { tensor.group } else { tensor.cohort }, tensor.form)
    }

    /// The first tensor of a pack that is one still.
    pub(super) fn first_of_pack(&self, (first, count): (u32, u32)) -> Option<u32> {
        let rows = &self.rows[first as usize..(first + count) as usize];
        rows.iter().copied().find(|tensor| self.is_there(*tensor as usize))
    }

    /// The type of a tensor's gradient, at its place in a tile's row.
    pub(super) fn grad_type(&self, tensor: &TensorRow) -> u32 {
        self.forms[tensor.form as usize].grad_type() << GRAD_TYPE
    }

    /// Cuts the runs of small tensors, frozen ones too.
    fn packs(&self) -> Vec<(u32, u32)> {
        let mut packs: Vec<(u32, u32)> = Vec::new();
        let work = |row: u32| self.work(self.rows[row as usize]);
        for row in (0..self.rows.len() as u32).filter(|row| self.is_small(self.rows[*row as usize])) {
            match packs.last_mut() {
                Some((first, count)) if *first + *count == row && *count < self.pack && work(*first) == work(row) => {
                    *count += 1;
                }
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
