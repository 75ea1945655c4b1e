//! Where each tensor's gradient is, and whether updates see the tensor: what may change between any two steps.

use super::Plan;
use super::rows::{Lies, TensorRow};

/// Whether updates see a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It has no gradient at present.
    pub absent: bool,
    /// It is frozen: no gradient counts until it is thawed.
    pub frozen: bool,
    /// It is none any more; its place stays empty.
    pub removed: bool,
}

impl Standing {
    /// Whether updates leave it alone.
    pub fn rests(self) -> bool {
        self.absent || self.frozen || self.removed
    }
}

/// Of one tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seat {
    /// The address of element 0 of the gradient, the last one that was given.
    pub grad: u64,
    /// The tensor's row; [`Seat::NO_ROW`] where it has no elements, or rows are not sorted yet.
    pub row: u32,
    /// How often this place was given to another tensor.
    pub turn: u32,
    /// Bytes of an element of the gradient.
    pub bytes: u8,
    pub standing: Standing,
}

impl Seat {
    pub const NO_ROW: u32 = u32::MAX;

    /// The address of the gradient for launches: 0 where the tensor rests.
    pub fn in_use(&self) -> u64 {
        if self.standing.rests() { 0 } else { self.grad }
    }
}

impl Plan {
    pub fn seat_of(&self, row: &TensorRow) -> &Seat {
        &self.seats[row.place as usize]
    }

    /// Where the stream of a tensor at this place lies.
    pub fn lies(&self, row: &TensorRow, place: usize) -> Lies {
        match place {
            1 => Lies { first: self.seat_of(row).grad, second: 0 },
            _ => row.streams[place],
        }
    }

    /// What of a tensor of the engine's lies in this range of addresses, if something does.
    pub fn touching(&self, range: std::ops::Range<u64>) -> Option<(&'static str, usize)> {
        let touches = |first: u64, bytes: u64| bytes > 0 && first < range.end && range.start < first + bytes;
        self.living().find_map(|tensor| {
            let row = &self.tensors[tensor];
            let sizes = |place: usize| self.storages(row)[place].form.sizes(row.len);
            let grad = self.seats[tensor].grad;
            let all = [
                ("param", touches(row.param(), sizes(0)[0])),
                ("grad", grad != 0 && touches(grad, sizes(1)[0])),
                ("master", row.master_given && touches(row.streams[0].second, sizes(0)[1])),
            ];
            all.into_iter().find(|(_, touches)| *touches).map(|(what, _)| (what, tensor))
        })
    }

    /// Whether a tensor is one still.
    pub fn is_there(&self, tensor: usize) -> bool {
        !self.seats[tensor].standing.removed
    }
}
