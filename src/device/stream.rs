//! [`Stream`]: the handle on which an engine orders its work, and that a step is enqueued on.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::thread::{self, ThreadId};

use cudarc::driver::CudaStream;

use super::codes;
use super::context::{self, Context};
use super::driver::{self, Driver, RawContext, RawStream};
use crate::error::{Error, Result};

/// A CUDA stream: an engine's own, borrowed, or one made by this crate.
///
/// The stream's context is looked up once, when the handle is made, so a step can refuse a stream of another context
/// without a driver call.
#[derive(Debug)]
pub struct Stream {
    driver: &'static Driver,
    raw: RawStream,
    context: RawContext,
    /// Of the per-thread default stream: whose it is. Its handle names another stream on another thread.
    thread: Option<ThreadId>,
    owner: Owner,
}

/// Who keeps the stream alive.
#[derive(Debug)]
enum Owner {
    /// The caller of [`Stream::from_raw`] does.
    Caller,
    /// cudarc does, for as long as this lives.
    Cudarc { _stream: Arc<CudaStream> },
    /// We made it, in this context, and destroy it.
    Own(Arc<Context>),
}

// SAFETY: the driver's handles may be used from any thread; this struct is not changed after its creation.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Stream {
    /// Whose it is.
    pub(crate) fn words(&self) -> &'static str {
        match (&self.owner, self.thread) {
            (Owner::Own(_), _) => "CUDA, made by Device::new_stream",
            (Owner::Cudarc { .. }, _) => "CUDA, of cudarc",
            (Owner::Caller, Some(_)) => "CUDA, the default one of a thread",
            (Owner::Caller, None) => "CUDA, the engine's",
        }
    }

    /// An engine's stream, a `CUstream` or `cudaStream_t`, borrowed.
    ///
    /// A CUDA context must be current on the calling thread, as it is where an engine works with streams. The special
    /// handles 0 and 1 (the legacy default stream) and 2 (the per-thread default stream) belong to that context.
    ///
    /// A result made from handle 2 belongs to the calling thread: on another thread everything refuses it.
    ///
    /// Fails with [`Error::NoDriver`] or [`Error::NoDevice`] where CUDA cannot run, and with [`Error::Driver`] where the
    /// driver does not know the handle.
    ///
    /// # Safety
    /// * `raw` is a stream of this process, or a special handle, and stays one until the result is dropped.
    pub unsafe fn from_raw(raw: *mut c_void) -> Result<Self> {
        let driver = driver::driver()?;
        let mut context = ptr::null_mut();
        // SAFETY: `raw` is a stream, as the caller promised; `context` outlives the call.
        unsafe { driver.cuStreamGetCtx(raw, &mut context) }?;
        Ok(Self { driver, raw, context, thread: thread_of(raw), owner: Owner::Caller })
    }

    /// [`Stream::from_raw`] where `context` is to be the current one.
    ///
    /// # Safety
    /// * As for [`Stream::from_raw`].
    pub(crate) unsafe fn from_raw_in(context: &Context, raw: *mut c_void) -> Result<Self> {
        let _current = context.current()?;
        // SAFETY: passed on to the caller.
        unsafe { Self::from_raw(raw) }
    }

    /// An engine's cudarc stream, kept alive by the result. Makes no driver call on the stream.
    ///
    /// Fails with [`Error::NoDriver`] or [`Error::NoDevice`] where CUDA cannot run.
    pub fn from_cudarc(stream: &Arc<CudaStream>) -> Result<Self> {
        let raw = stream.cu_stream().cast();
        Ok(Self {
            driver: driver::driver()?,
            raw,
            context: stream.context().cu_ctx().cast(),
            thread: thread_of(raw),
            owner: Owner::Cudarc { _stream: stream.clone() },
        })
    }

    /// A new stream, which does not wait for the legacy default stream.
    pub(crate) fn create(context: &Arc<Context>) -> Result<Self> {
        let driver = context.driver();
        let _relaxed = context.relaxed()?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` outlives the call, and the context is current.
        unsafe { driver.cuStreamCreate(&mut raw, driver::CU_STREAM_NON_BLOCKING) }?;
        Ok(Self { driver, raw, context: context.raw(), thread: None, owner: Owner::Own(context.clone()) })
    }

    /// Waits until all work that was put on this stream so far is done. A failure of that work is reported here.
    ///
    /// Fails with [`Error::Argument`] while a capture forbids it, which goes on unharmed.
    pub fn synchronize(&self) -> Result<()> {
        self.expect_waitable()?;
        self.wait()
    }

    /// [`Stream::synchronize`] on a stream that is known not to capture.
    pub(super) fn wait(&self) -> Result<()> {
        let _relaxed = context::relax(self.driver, self.context)?;
        // SAFETY: the stream is alive: `owner` keeps it so, or the caller of `from_raw` does.
        unsafe { self.driver.cuStreamSynchronize(self.raw) }
    }

    /// Whether work put on this stream is recorded into a graph at present, rather than run.
    pub fn is_capturing(&self) -> Result<bool> {
        self.expect_thread()?;
        let _current = context::enter(self.driver, self.context)?;
        let mut status = driver::CU_STREAM_CAPTURE_STATUS_NONE;
        // SAFETY: the stream is alive, as above; `status` outlives the call.
        unsafe { self.driver.cuStreamIsCapturing(self.raw, &mut status) }?;
        Ok(status != driver::CU_STREAM_CAPTURE_STATUS_NONE)
    }

    /// The `CUstream`.
    pub fn raw(&self) -> *mut c_void {
        self.raw
    }

    /// A wait inside a capture would invalidate the engine's graph, so it is refused before the driver sees it.
    pub(super) fn expect_waitable(&self) -> Result<()> {
        let value = match self.is_capturing() {
            Ok(false) => return Ok(()),
            Ok(true) => "capturing a graph",
            // Asked of the legacy stream: a stream that is ordered with it captures. The question does no harm.
            Err(Error::Driver { code: codes::CAPTURE_IMPLICIT, .. }) => {
                "the legacy default stream while a stream that is ordered with it is capturing a graph"
            }
            Err(other) => return Err(other),
        };
        Err(Error::argument("stream", value, "this waits, which a capture forbids"))
    }

    /// Refuses a stream that no capture can begin on: one that captures already, and the legacy default stream.
    pub(crate) fn expect_capturable(&self) -> Result<()> {
        if [0, driver::CU_STREAM_LEGACY].contains(&self.raw.addr()) {
            let rule = "CUDA captures no work of it: give a stream of Device::new_stream(), say";
            return Err(Error::argument("stream", "the legacy default stream", rule));
        }
        if self.is_capturing()? {
            let rule = "it can be in one capture at a time: end that first, or enqueue the work in it";
            return Err(Error::argument("stream", "capturing a graph", rule));
        }
        Ok(())
    }

    /// Refuses the per-thread default stream of another thread. No driver call.
    fn expect_thread(&self) -> Result<()> {
        match self.thread {
            Some(owner) if owner != thread::current().id() => {
                let rule = "it belongs to the thread that borrowed it: on this one its handle is another stream";
                Err(Error::argument("stream", "the per-thread default stream", rule))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a stream of another context than `context`, and one of another thread. No driver call.
    pub(crate) fn expect_context(&self, context: &Context) -> Result<()> {
        self.expect_thread()?;
        if self.context == context.raw() {
            return Ok(());
        }
        let value = format!("a stream of context {:?}", self.context);
        Err(Error::argument("stream", value, format!("must be a stream of the device's context, {:?}", context.raw())))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Owner::Own(context) = &self.owner
            && let Ok(_relaxed) = context.relaxed()
        {
            // SAFETY: made by `create`, destroyed here only; the driver lets enqueued work finish by itself.
            let _ = unsafe { self.driver.cuStreamDestroy_v2(self.raw) };
        }
    }
}

/// The calling thread, where `raw` is the per-thread default stream.
fn thread_of(raw: RawStream) -> Option<ThreadId> {
    (raw.addr() == driver::CU_STREAM_PER_THREAD).then(|| thread::current().id())
}
