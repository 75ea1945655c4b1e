//! [`Turns`]: a debug mode that looks, before each call on an optimizer, for unfinished work that the call does not wait for.
//! Queries of streams and events alone: nothing waits.
//!
//! **What it can know.** A stream that is idle waits for nothing. So where the call's stream is idle and other work is not
//! finished, nothing orders the call after that work: no false alarm, but for work that has nothing to do with the optimizer,
//! and for work that another thread of the host enqueues in between. A stream that is busy may well wait for the other work:
//! then nothing is said. What runs on streams of the engine's own is unknown here, and nothing is looked at in a capture.

use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::codes;
use super::context::Context;
use super::driver::{self, RawEvent, RawStream};
use super::stream::Stream;
use crate::error::{Error, Result};

/// Watches that the calls of one optimizer come one after the other, and after the work on default streams.
#[derive(Debug)]
pub(crate) struct Turns {
    context: Arc<Context>,
    /// Recorded after each call.
    event: RawEvent,
    /// The address of the stream of the last call.
    last: Mutex<Option<usize>>,
}

// SAFETY: the driver's handles may be used from any thread.
unsafe impl Send for Turns {}
// SAFETY: as above.
unsafe impl Sync for Turns {}

impl Turns {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self> {
        let _relaxed = context.relaxed()?;
        let mut event = ptr::null_mut();
        // SAFETY: `event` outlives the call, and the context is current.
        unsafe { context.driver().cuEventCreate(&mut event, driver::CU_EVENT_DISABLE_TIMING) }?;
        Ok(Self { context: context.clone(), event, last: Mutex::default() })
    }

    /// Enqueues `work` on `stream`, unless something unfinished is seen that it is not ordered after.
    pub(crate) fn enqueue(&self, stream: &Stream, work: impl FnOnce() -> Result<()>) -> Result<()> {
        stream.expect_context(&self.context)?;
        if stream.is_capturing()? {
            return work();
        }
        let _relaxed = self.context.relaxed()?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_idle(stream.raw())? {
            if last.is_some_and(|last| last != stream.raw().addr()) && !self.is_last_done()? {
                let rule = "calls of one optimizer come one after the other: record an event on that stream, and let this one \
                            wait for it";
                return Err(Error::argument(
                    "stream",
                    "idle while the call before this one is on another stream",
                    rule,
                ));
            }
            self.expect_default_streams_done(stream)?;
        }
        work()?;
        // SAFETY: event and stream are alive and of the current context.
        unsafe { self.context.driver().cuEventRecord(self.event, stream.raw()) }?;
        *last = Some(stream.raw().addr());
        Ok(())
    }

    /// `stream` is idle.
    fn expect_default_streams_done(&self, stream: &Stream) -> Result<()> {
        let (driver, handle) = (self.context.driver(), stream.raw().addr());
        if handle <= driver::CU_STREAM_LEGACY {
            return Ok(()); // what blocks is ordered with it
        }
        let mut flags = 0;
        // SAFETY: the stream is alive; `flags` outlives the call.
        unsafe { driver.cuStreamGetFlags(stream.raw(), &mut flags) }?;
        let unfinished = if flags & driver::CU_STREAM_NON_BLOCKING != 0 && self.is_unfinished(driver::CU_STREAM_LEGACY)
        {
            "legacy"
        } else if handle != driver::CU_STREAM_PER_THREAD && self.is_unfinished(driver::CU_STREAM_PER_THREAD) {
            "per-thread"
        } else {
            return Ok(());
        };
        let value = format!("idle while there is work on the {unfinished} default stream");
        let rule = "it does not wait for that: if gradients are computed there, record an event after them, and let this stream \
                    wait for it";
        Err(Error::argument("stream", value, rule))
    }

    /// Whether a default stream has work. One that must not be asked, because a capture is open, has none that is known.
    fn is_unfinished(&self, handle: usize) -> bool {
        let raw = ptr::without_provenance_mut(handle);
        let mut status = driver::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: a special handle of the current context; `status` outlives the call.
        let asked = unsafe { self.context.driver().cuStreamIsCapturing(raw, &mut status) };
        asked.is_ok() && status == driver::CU_STREAM_CAPTURE_STATUS_NONE && self.is_idle(raw) == Ok(false)
    }

    fn is_idle(&self, stream: RawStream) -> Result<bool> {
        // SAFETY: the stream is alive, and is not captured.
        is_done(unsafe { self.context.driver().cuStreamQuery(stream) })
    }

    fn is_last_done(&self) -> Result<bool> {
        // SAFETY: the event is alive.
        is_done(unsafe { self.context.driver().cuEventQuery(self.event) })
    }
}

fn is_done(query: Result<()>) -> Result<bool> {
    match query {
        Err(Error::Driver { code: codes::NOT_READY, .. }) => Ok(false),
        outcome => outcome.map(|()| true),
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        if let Ok(_relaxed) = self.context.relaxed() {
            // SAFETY: made by `new`, destroyed here only.
            let _ = unsafe { self.context.driver().cuEventDestroy_v2(self.event) };
        }
    }
}
