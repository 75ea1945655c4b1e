//! [`Setup`]: what `build()` puts on the device before the first step, on a stream of its own, with one wait at the end.

use std::sync::Arc;

use super::context::Context;
use super::memory::Memory;
use super::stream::Stream;
use crate::error::Result;

/// Fills, uploads and launches in order. When [`Setup::finish`] returns, every stream of the device sees the results.
#[derive(Debug)]
pub(crate) struct Setup {
    stream: Stream,
    /// What uploads read from: on machines with shared page tables a copy may read pageable memory when it runs.
    sources: Vec<Box<[u8]>>,
    finished: bool,
}

impl Setup {
    pub(crate) fn new(context: &Arc<Context>) -> Result<Self> {
        Ok(Self { stream: Stream::create(context)?, sources: Vec::new(), finished: false })
    }

    /// The stream of this setup, for launches that belong to it.
    pub(crate) fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Waits for all work of the context so far, whatever stream it is on: what is read next was written by somebody. Fails while a
    /// stream captures.
    pub(crate) fn wait_for_context(&self, context: &Context) -> Result<()> {
        let _current = context.current()?;
        // SAFETY: the context is current, and nothing of ours is read.
        unsafe { context.driver().cuCtxSynchronize() }
    }

    /// Copies `bytes` to `memory` at `offset`; they are kept here until the device has them.
    pub(crate) fn upload(&mut self, memory: &Memory, offset: usize, bytes: &[u8]) -> Result<()> {
        let address = memory.range(offset, bytes.len())?;
        self.stream.expect_context(memory.context())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let _relaxed = memory.context().relaxed()?;
        self.sources.push(bytes.into());
        let source = &self.sources[self.sources.len() - 1];
        let driver = memory.context().driver();
        // SAFETY: `range` checked the device side; `sources` keeps the host side until `finish` or drop has waited.
        unsafe { driver.cuMemcpyHtoDAsync_v2(address, source.as_ptr().cast(), source.len(), self.stream.raw()) }
    }

    /// Waits once for all of it, and reports what failed.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.finished = true;
        self.stream.wait()
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        if !self.finished {
            // An error is on its way to the caller already; the sources must outlive the copies all the same.
            let _ = self.stream.wait();
        }
    }
}
