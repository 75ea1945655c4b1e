//! Device memory: owned bytes, and copies that wait, for reports and tests.

use std::sync::Arc;

use super::context::Context;
use super::stream::Stream;
use crate::error::{Error, Result};

/// Owned device memory, 256-byte aligned, with undefined content.
#[derive(Debug)]
pub(crate) struct Memory {
    context: Arc<Context>,
    address: u64,
    len: usize,
}

impl Memory {
    /// Allocates `bytes`; none are address 0 and no allocation.
    pub(crate) fn new(context: &Arc<Context>, bytes: usize) -> Result<Self> {
        let mut address = 0;
        if bytes > 0 {
            let _relaxed = context.relaxed()?;
            // SAFETY: `address` outlives the call, and the context is current.
            unsafe { context.driver().cuMemAlloc_v2(&mut address, bytes) }?;
        }
        Ok(Self { context: context.clone(), address, len: bytes })
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// The address of `len` bytes from `offset`, all of them inside.
    pub(super) fn range(&self, offset: usize, len: usize) -> Result<u64> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.address + offset as u64),
            _ => {
                let rule = format!("must lie inside {} bytes of device memory", self.len);
                Err(Error::argument("range", format!("{len} bytes from {offset}"), rule))
            }
        }
    }
}

impl Drop for Memory {
    /// Waits for the device, as the driver does by itself. Where the driver refuses, the bytes leak until the context
    /// ends: better than to break a capture or to abort the process.
    fn drop(&mut self) {
        if self.address != 0
            && let Ok(_relaxed) = self.context.relaxed()
        {
            // SAFETY: allocated by `new` in the context that is now current, and freed here only.
            let _ = unsafe { self.context.driver().cuMemFree_v2(self.address) };
        }
    }
}

/// Copies `to.len()` bytes from device address `from`, after the work that is on `stream`. Waits.
///
/// `from` is vouched for as the parameters of a launch are.
pub(crate) fn read(context: &Context, stream: &Stream, from: u64, to: &mut [u8]) -> Result<()> {
    expect_waitable(context, stream)?;
    if !to.is_empty() {
        let _relaxed = context.relaxed()?;
        // SAFETY: `to` is ours until the wait below is over.
        let copy =
            unsafe { context.driver().cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), from, to.len(), stream.raw()) };
        stream.synchronize()?;
        copy?;
    }
    Ok(())
}

/// Waits for all work on `stream`.
pub(crate) fn wait(context: &Context, stream: &Stream) -> Result<()> {
    expect_waitable(context, stream)?;
    stream.synchronize()
}

/// A wait inside a capture would invalidate the engine's graph, so it is refused before the driver sees it.
fn expect_waitable(context: &Context, stream: &Stream) -> Result<()> {
    stream.expect_context(context)?;
    if stream.is_capturing()? {
        return Err(Error::argument("stream", "capturing a graph", "reading waits, which a capture forbids"));
    }
    Ok(())
}
