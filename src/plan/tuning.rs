//! How the work is cut for a device. No number here changes a bit of any result.

use super::layout::{NORM_BLOCK, VECTOR, WARP, WARPS};
use crate::error::{Error, Result};

/// How the work of a step is cut into blocks: for tests and benches, which show that no bit depends on it.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// Vectors of each stream that a thread has in flight: 1, 2 or 4. A tile is 1,024 elements for each.
    pub vectors: u32,
    /// Tensors of up to so many elements are packed, a warp each.
    pub packed: u64,
    /// Blocks that the device runs at once; None: as the driver says.
    pub wave: Option<u32>,
    /// Blocks of the grid beyond those that have work.
    pub reserve: u32,
}

impl Default for Tuning {
    /// 2,048 elements a tile: 98.4 % of the copy at 124 M elements, and with 1,024 packed 6.7 µs at 10,000 × 64. H100.
    fn default() -> Tuning {
        Tuning { vectors: 2, packed: 1_024, wave: None, reserve: 0 }
    }
}

impl Tuning {
    pub(crate) fn check(self) -> Result<Tuning> {
        if ![1, 2, 4].contains(&self.vectors) {
            return Err(Error::argument("tuning.vectors", self.vectors, "must be 1, 2 or 4"));
        }
        if self.packed > NORM_BLOCK {
            let rule = format!("must not exceed {NORM_BLOCK}, a block of the norm");
            return Err(Error::argument("tuning.packed", self.packed, rule));
        }
        Ok(self)
    }

    /// Elements of a tile.
    pub(crate) fn tile(self) -> u64 {
        u64::from(WARPS) * WARP as u64 * VECTOR * u64::from(self.vectors)
    }
}
