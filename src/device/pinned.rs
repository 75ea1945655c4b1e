//! Pinned memory of the host, which the device reads and writes too, and copies to it that are polled, never waited for.

use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::codes;
use super::context::Context;
use super::driver::{self, RawEvent};
use super::memory::Memory;
use super::stream::Stream;
use crate::error::{Error, Result};

/// Owned pinned words, zero at first, that kernels may write while the host reads them.
#[derive(Debug)]
pub(crate) struct Pinned {
    context: Arc<Context>,
    host: *mut AtomicU64,
    device: u64,
    words: usize,
}

// SAFETY: the words are only reached as atomics, and the driver's handles may be used from any thread.
unsafe impl Send for Pinned {}
// SAFETY: as above.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Allocates `words`, at least 1.
    pub(crate) fn new(context: &Arc<Context>, words: usize) -> Result<Self> {
        let driver = context.driver();
        let _relaxed = context.relaxed()?;
        let (mut host, mut device) = (ptr::null_mut(), 0);
        let flags = driver::CU_MEMHOSTALLOC_PORTABLE | driver::CU_MEMHOSTALLOC_DEVICEMAP;
        // SAFETY: `host` outlives the call, and the context is current.
        unsafe { driver.cuMemHostAlloc(&mut host, words * size_of::<u64>(), flags) }?;
        // Owned from here on, so that an error below frees it.
        let mut pinned = Self { context: context.clone(), host: host.cast(), device: 0, words };
        // SAFETY: `words` words were allocated, page-aligned, and nobody else knows them yet.
        unsafe { ptr::write_bytes(pinned.host, 0, words) };
        // SAFETY: `host` is what the driver gave, mapped as the flags say; `device` outlives the call.
        unsafe { driver.cuMemHostGetDevicePointer_v2(&mut device, host, 0) }?;
        pinned.device = device;
        Ok(pinned)
    }

    /// The address for kernels.
    pub(crate) fn address(&self) -> u64 {
        self.device
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The address for copies.
    pub(super) fn host(&self) -> *const AtomicU64 {
        self.host
    }

    /// The words where nothing else touches them.
    pub(super) fn words_mut(&mut self) -> &mut [u64] {
        // SAFETY: as below; the borrow is exclusive, and the owner sees to it that no copy reads them meanwhile.
        unsafe { std::slice::from_raw_parts_mut(self.host.cast(), self.words) }
    }

    pub(crate) fn words(&self) -> &[AtomicU64] {
        // SAFETY: `words` aligned words that live as long as `self`; all bits are valid, and others write them whole.
        unsafe { std::slice::from_raw_parts(self.host, self.words) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Ok(_relaxed) = self.context.relaxed() {
            // SAFETY: allocated by `new`, freed here only. Its owner sees to it that no kernel writes here any more: it frees
            // the device memory that those kernels use before this, which waits for them.
            let _ = unsafe { self.context.driver().cuMemFreeHost(self.host.cast()) };
        }
    }
}

/// A copy of device memory, on a stream of its own: started, polled, looked at, started again.
#[derive(Debug)]
pub(crate) struct Readback {
    /// Dropped after `drop` has waited for the copy.
    buffer: Pinned,
    stream: Stream,
    event: RawEvent,
    in_flight: bool,
    /// What is in flight is of no use to anybody.
    discarded: bool,
}

// SAFETY: the driver's handles may be used from any thread; copies are started and ended through `&mut self`.
unsafe impl Send for Readback {}
// SAFETY: as above.
unsafe impl Sync for Readback {}

impl Readback {
    /// For `words` words, at least 1.
    pub(crate) fn new(context: &Arc<Context>, words: usize) -> Result<Self> {
        let buffer = Pinned::new(context, words)?;
        let stream = Stream::create(context)?;
        let _relaxed = context.relaxed()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` outlives the call, and the context is current.
        unsafe { context.driver().cuEventCreate(&mut event, driver::CU_EVENT_DISABLE_TIMING) }?;
        Ok(Self { buffer, stream, event, in_flight: false, discarded: false })
    }

    /// Starts to copy all of `memory`, if no copy is on its way. Waits for nothing, no other stream either: words come as they
    /// are when the copy gets to them.
    pub(crate) fn start(&mut self, memory: &Memory) -> Result<()> {
        if self.in_flight {
            return Ok(());
        }
        let context = &self.buffer.context;
        let bytes = self.buffer.words * size_of::<u64>();
        let from = memory.range(0, bytes)?;
        self.stream.expect_context(memory.context())?;
        let _relaxed = context.relaxed()?;
        let (driver, to) = (context.driver(), self.buffer.host.cast());
        // SAFETY: both sides hold `bytes`; the host's side outlives the copy, since drop waits, and `memory` waits when freed.
        unsafe { driver.cuMemcpyDtoHAsync_v2(to, from, bytes, self.stream.raw()) }?;
        // SAFETY: event and stream are alive and of the current context.
        let recorded = unsafe { driver.cuEventRecord(self.event, self.stream.raw()) };
        match recorded {
            Ok(()) => self.in_flight = true,
            // Nothing would tell when the copy has come.
            Err(_) => drop(self.stream.wait()),
        }
        recorded
    }

    /// Makes nothing of the copy that is on its way, if any.
    pub(crate) fn discard(&mut self) {
        self.discarded = self.in_flight;
    }

    /// Whether a copy has come that was not looked at; never waits.
    pub(crate) fn has_come(&mut self) -> Result<bool> {
        if !self.in_flight {
            return Ok(false);
        }
        match self.query() {
            Err(Error::Driver { code: codes::NOT_READY, .. }) => Ok(false),
            outcome => outcome.map(|()| self.end()),
        }
    }

    fn query(&self) -> Result<()> {
        let context = &self.buffer.context;
        let _relaxed = context.relaxed()?;
        // SAFETY: the event is alive.
        unsafe { context.driver().cuEventQuery(self.event) }
    }

    /// Waits for the copy that is on its way, if any. Whether it is to be looked at.
    pub(crate) fn wait(&mut self) -> Result<bool> {
        if !self.in_flight {
            return Ok(false);
        }
        self.stream.wait()?;
        Ok(self.end())
    }

    fn end(&mut self) -> bool {
        self.in_flight = false;
        !std::mem::take(&mut self.discarded)
    }

    /// What the last copy brought.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        self.buffer.words()
    }
}

impl Drop for Readback {
    fn drop(&mut self) {
        // Nothing can be done about errors here.
        let _ = self.stream.wait();
        if let Ok(_relaxed) = self.buffer.context.relaxed() {
            // SAFETY: made by `new`, destroyed here only.
            let _ = unsafe { self.buffer.context.driver().cuEventDestroy_v2(self.event) };
        }
    }
}
