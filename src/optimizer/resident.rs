//! What an optimizer has on a CUDA device that outlives it where a captured graph needs it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use super::telemetry::Ring;
use crate::device::{Function, Memory, Module, Pinned};
use crate::plan::layout::Condition;

/// Words of [`Resident::flags`]; `kernels/tables.cuh` says which.
pub(super) const FLAGS: usize = 3;

/// What enqueued and captured launches need on the device, shared with whoever enqueues some besides the engine.
#[derive(Debug)]
pub(super) struct Resident {
    /// What `step` and the tensor table point to. First, since freeing it waits for launches that still run, which the
    /// kernels below must outlive.
    pub memory: [Memory; 2],
    /// Where records of calls go, if they go anywhere. After the memory: kernels write it.
    pub ring: Option<Ring>,
    /// The stop flag and that of too many skips, for the host. After the memory, as the ring.
    pub flags: Pinned,
    pub _update: Arc<Module>,
    /// Loaded when it is first asked for.
    pub condition: OnceLock<Function<Condition>>,
    /// Counts of launches of conditions with a bound, one each.
    pub launches: Mutex<Vec<Memory>>,
}

impl Resident {
    pub fn flag(&self, word: usize) -> bool {
        self.flags.words()[word].load(Ordering::Relaxed) != 0
    }

    /// Whether a launch came after another optimizer had taken this one's place.
    pub fn was_called_late(&self) -> bool {
        self.flag(2)
    }

    /// Forgets that.
    pub fn forget_calls(&self) {
        self.flags.words()[2].store(0, Ordering::Relaxed);
    }
}
