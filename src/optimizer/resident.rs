//! What an optimizer has on a CUDA device that outlives it where a captured graph needs it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::telemetry::Ring;
use crate::device::{Function, Memory, Module, Pinned};
use crate::plan::layout::Condition;

/// Words of [`Resident::flags`]; `kernels/tables.cuh` says which.
pub(super) const FLAGS: usize = 3;

/// What enqueued and captured launches need on the device, shared with whoever enqueues some besides the engine.
#[derive(Debug)]
pub(super) struct Resident {
    /// What the tensor table points to, until another optimizer takes this one's place. First, since freeing it waits for launches that
    /// still run, which the kernels below must outlive.
    pub state: Mutex<Option<Memory>>,
    /// What `step` points to.
    pub tables: Memory,
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

    /// Frees the state memory: no launch uses it any more.
    pub fn free_state(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Forgets that.
    pub fn forget_calls(&self) {
        self.flags.words()[2].store(0, Ordering::Relaxed);
    }
}
