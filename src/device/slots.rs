//! Slots of pinned memory from which tables are written anew in stream order, while launches run: a slot is not touched again before
//! the event behind its copies has passed. Start at [`Slots::take`].

use std::ptr;
use std::sync::Arc;

use super::codes;
use super::context::Context;
use super::driver::{self, RawEvent};
use super::pinned::Pinned;
use super::stream::Stream;
use crate::error::{Error, Result};

/// What happens when every slot is in flight.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum WhenBusy {
    /// The call waits until the device has read the oldest one.
    #[default]
    Wait,
    /// The call is refused with [`Error::Busy`], and nothing is changed.
    Refuse,
}

/// A ring of slots of one size, each allocated when it is first taken.
#[derive(Debug)]
pub(crate) struct Slots {
    context: Arc<Context>,
    slots: Vec<Option<Slot>>,
    next: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    pinned: Pinned,
    event: RawEvent,
    in_flight: bool,
}

// SAFETY: the driver's handles may be used from any thread; slots are taken and sent through `&mut self`.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    /// `count` slots, at least 1, of `bytes` each.
    pub(crate) fn new(context: &Arc<Context>, count: usize, bytes: usize) -> Self {
        let slots = (0..count).map(|_| None).collect();
        Self { context: context.clone(), slots, next: 0, bytes }
    }

    /// Allocates all slots now, so that no call does later.
    pub(crate) fn allocate(mut self) -> Result<Self> {
        for slot in 0..self.slots.len() {
            self.slots[slot] = Some(self.slot()?);
        }
        Ok(self)
    }

    fn slot(&self) -> Result<Slot> {
        let pinned = Pinned::new(&self.context, self.bytes.div_ceil(size_of::<u64>()).max(1))?;
        let _relaxed = self.context.relaxed()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` outlives the call, and the context is current.
        unsafe { self.context.driver().cuEventCreate(&mut event, driver::CU_EVENT_DISABLE_TIMING) }?;
        Ok(Slot { pinned, event, in_flight: false })
    }

    /// Sees to it that nothing reads the next slot any more.
    pub(crate) fn ready(&mut self, when_busy: WhenBusy) -> Result<()> {
        if self.slots[self.next].is_none() {
            self.slots[self.next] = Some(self.slot()?);
        }
        let count = self.slots.len();
        let Some(slot) = &mut self.slots[self.next] else { unreachable!("just made") };
        if slot.in_flight {
            let _relaxed = self.context.relaxed()?;
            // SAFETY: the event is alive.
            match unsafe { self.context.driver().cuEventQuery(slot.event) } {
                Ok(()) => {}
                Err(Error::Driver { code: codes::NOT_READY, .. }) if when_busy == WhenBusy::Refuse => {
                    return Err(Error::Busy { slots: count });
                }
                Err(Error::Driver { code: codes::NOT_READY, .. }) => {
                    // SAFETY: as above.
                    unsafe { self.context.driver().cuEventSynchronize(slot.event) }?;
                }
                Err(error) => return Err(error),
            }
            slot.in_flight = false;
        }
        Ok(())
    }

    /// The next slot, to be filled.
    pub(crate) fn take(&mut self, when_busy: WhenBusy) -> Result<Taken<'_>> {
        self.ready(when_busy)?;
        let at = self.next;
        self.next = (at + 1) % self.slots.len();
        let Some(slot) = &mut self.slots[at] else { unreachable!("ready") };
        Ok(Taken { context: &self.context, slot, bytes: self.bytes })
    }
}

/// A slot that nothing reads.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    context: &'a Context,
    slot: &'a mut Slot,
    bytes: usize,
}

impl Taken<'_> {
    /// What is to be sent.
    pub(crate) fn words(&mut self) -> &mut [u64] {
        self.slot.pinned.words_mut()
    }

    /// Enqueues copies on `stream`, each of bytes of this slot to a device address, which is vouched for as the parameters of a
    /// launch are, and an event behind them.
    pub(crate) fn send(self, stream: &Stream, copies: &[(usize, u64, usize)]) -> Result<()> {
        stream.expect_context(self.context)?;
        let _relaxed = self.context.relaxed()?;
        let driver = self.context.driver();
        let enqueued = copies.iter().filter(|(_, _, len)| *len > 0).try_for_each(|(from, to, len)| {
            debug_assert!(from + len <= self.bytes);
            let from = self.slot.pinned.host().wrapping_byte_add(*from);
            // SAFETY: the bytes lie in this slot, which is touched again and freed only once its event has passed.
            unsafe { driver.cuMemcpyHtoDAsync_v2(*to, from.cast(), *len, stream.raw()) }
        });
        // SAFETY: event and stream are alive and of the current context.
        let recorded = unsafe { driver.cuEventRecord(self.slot.event, stream.raw()) };
        match recorded {
            Ok(()) => self.slot.in_flight = true,
            // Nothing would tell when the copies are done.
            Err(_) => drop(stream.wait()),
        }
        enqueued.and(recorded)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        let Ok(_relaxed) = self.context.relaxed() else { return };
        let driver = self.context.driver();
        for slot in self.slots.iter().flatten() {
            // Nothing can be done about errors here.
            if slot.in_flight {
                // SAFETY: made by `slot`, destroyed here only.
                let _ = unsafe { driver.cuEventSynchronize(slot.event) };
            }
            // SAFETY: as above.
            let _ = unsafe { driver.cuEventDestroy_v2(slot.event) };
        }
    }
}
