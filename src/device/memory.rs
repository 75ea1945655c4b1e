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
    /// Freed when this is dropped.
    owned: bool,
}

/// The value of an element.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Filling {
    Bytes(u8),
    Halves(u16),
    Words(u32),
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
        Ok(Self { context: context.clone(), address, len: bytes, owned: bytes > 0 })
    }

    /// Memory that somebody else owns, vouched for as the parameters of a launch are.
    pub(crate) fn of_others(context: &Arc<Context>, address: u64, bytes: usize) -> Self {
        Self { context: context.clone(), address, len: bytes, owned: false }
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Zeroes all of it, in the order of `stream`.
    pub(crate) fn clear(&self, stream: &Stream) -> Result<()> {
        self.fill(stream, 0, self.len, Filling::Bytes(0))
    }

    /// Sets `len` elements from byte `offset` on to one value, in the order of `stream`.
    pub(crate) fn fill(&self, stream: &Stream, offset: usize, len: usize, value: Filling) -> Result<()> {
        let bytes = match value {
            Filling::Bytes(_) => 1,
            Filling::Halves(_) => 2,
            Filling::Words(_) => 4,
        };
        let address = self.range(offset, len.saturating_mul(bytes))?;
        stream.expect_context(&self.context)?;
        if len == 0 {
            return Ok(());
        }
        let _relaxed = self.context.relaxed()?;
        let (driver, stream) = (self.context.driver(), stream.raw());
        match value {
            // SAFETY: `range` checked that the bytes lie in this memory, which frees itself only after the device is done.
            Filling::Bytes(value) => unsafe { driver.cuMemsetD8Async(address, value, len, stream) },
            // SAFETY: as above.
            Filling::Halves(value) => unsafe { driver.cuMemsetD16Async(address, value, len, stream) },
            // SAFETY: as above.
            Filling::Words(value) => unsafe { driver.cuMemsetD32Async(address, value, len, stream) },
        }
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
        if self.owned
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
    read_all(context, stream, &mut [(from, to)])
}

/// [`read`] for several places, with one wait.
pub(crate) fn read_all(context: &Context, stream: &Stream, copies: &mut [(u64, &mut [u8])]) -> Result<()> {
    expect_waitable(context, stream)?;
    let _relaxed = context.relaxed()?;
    let enqueued = copies.iter_mut().filter(|(_, to)| !to.is_empty()).try_for_each(|(from, to)| {
        // SAFETY: `to` is ours until the wait below is over.
        unsafe { context.driver().cuMemcpyDtoHAsync_v2(to.as_mut_ptr().cast(), *from, to.len(), stream.raw()) }
    });
    let waited = stream.wait();
    enqueued.and(waited)
}

/// Copies bytes to device addresses, after the work that is on `stream`; what `then` enqueues comes after them. Waits.
///
/// Addresses are vouched for as the parameters of a launch are.
pub(crate) fn write_all(
    context: &Context,
    stream: &Stream,
    copies: &[(u64, &[u8])],
    then: impl FnOnce() -> Result<()>,
) -> Result<()> {
    expect_waitable(context, stream)?;
    let _relaxed = context.relaxed()?;
    let enqueued = copies.iter().filter(|(_, from)| !from.is_empty()).try_for_each(|(to, from)| {
        // SAFETY: `from` is borrowed until the wait below is over.
        unsafe { context.driver().cuMemcpyHtoDAsync_v2(*to, from.as_ptr().cast(), from.len(), stream.raw()) }
    });
    let enqueued = enqueued.and_then(|()| then());
    let waited = stream.wait();
    enqueued.and(waited)
}

/// Waits for all work on `stream`.
pub(crate) fn wait(context: &Context, stream: &Stream) -> Result<()> {
    expect_waitable(context, stream)?;
    stream.wait()
}

/// Refuses a stream of another context, one of another thread, and one on which nothing may wait.
pub(crate) fn expect_waitable(context: &Context, stream: &Stream) -> Result<()> {
    stream.expect_context(context)?;
    stream.expect_waitable()
}
