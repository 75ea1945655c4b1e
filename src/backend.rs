//! Where an optimizer runs: [`Device`] and [`Stream`], each either the host or CUDA.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

use crate::device::{self, Context, CudaFunction, CudaModule, Source};
use crate::error::{Error, Result};

/// Where an optimizer runs: the host, or one CUDA device. Cheap to clone.
#[derive(Clone)]
pub struct Device(pub(crate) Backend);

#[derive(Clone)]
pub(crate) enum Backend {
    Host,
    Cuda(Arc<Context>),
}

/// Its name.
impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({})", self.name())
    }
}

impl Device {
    /// The CPU backend: bit for bit the same results as the kernels, on all cores.
    pub fn host() -> Device {
        Device(Backend::Host)
    }

    /// The primary context of CUDA device `ordinal`, which the CUDA runtime, PyTorch and cudarc use too.
    ///
    /// Never panics: no driver library is [`Error::NoDriver`], a driver without a device [`Error::NoDevice`], an ordinal
    /// past the last device [`Error::Argument`], anything else [`Error::Driver`].
    pub fn cuda(ordinal: u32) -> Result<Device> {
        Ok(Device(Backend::Cuda(Context::primary(ordinal)?)))
    }

    /// An engine's cudarc context, kept alive by the result.
    pub fn from_cudarc(context: &Arc<cudarc::driver::CudaContext>) -> Result<Device> {
        Ok(Device(Backend::Cuda(Context::from_cudarc(context)?)))
    }

    /// [`Device::from_cudarc`] for an engine that captures: cudarc's event tracking is turned off, for this context and for good.
    /// With it, cudarc makes streams wait for events from outside of a capture, which a capture forbids. To be called before the
    /// context's streams and slices are made: what was made before goes on with its events.
    ///
    /// Kernels are loaded before they are captured too, see [`Device::load_function`].
    ///
    /// # Safety
    ///
    /// As for cudarc's `CudaContext::disable_event_tracking`: where more than one stream is used, the caller orders what they do to a
    /// slice, its allocation and its end included.
    #[expect(unsafe_code, reason = "passes a contract on to the device room")]
    pub unsafe fn from_cudarc_for_capture(context: &Arc<cudarc::driver::CudaContext>) -> Result<Device> {
        let device = Device::from_cudarc(context)?;
        // SAFETY: the caller's promise is the one that `forget_events` asks for.
        unsafe { device::forget_events(context) };
        Ok(device)
    }

    /// An engine's `CUcontext`, borrowed.
    ///
    /// # Safety
    ///
    /// `context` is a live CUDA context, and stays so until every handle made from the result is dropped.
    #[expect(unsafe_code, reason = "passes a contract on to the device room")]
    pub unsafe fn from_raw_context(context: *mut c_void) -> Result<Device> {
        // SAFETY: the caller's promise is the one that `Context::from_raw` asks for.
        Ok(Device(Backend::Cuda(unsafe { Context::from_raw(context) }?)))
    }

    /// A name to print, e.g. `NVIDIA H200` or `host`.
    pub fn name(&self) -> &str {
        match &self.0 {
            Backend::Host => "host",
            Backend::Cuda(context) => context.name(),
        }
    }

    /// A new stream, which does not wait for the legacy default stream. On the host: [`Stream::host`].
    pub fn new_stream(&self) -> Result<Stream> {
        match &self.0 {
            Backend::Host => Ok(Stream::host()),
            Backend::Cuda(context) => Ok(Stream(Queue::Cuda(device::Stream::create(context)?))),
        }
    }

    /// An engine's cudarc stream, kept alive by the result. Fails for a stream of another context than the device's. Of the
    /// per-thread default stream [`Device::stream_from_raw`] says more.
    pub fn stream(&self, stream: &Arc<cudarc::driver::CudaStream>) -> Result<Stream> {
        self.borrow(|_| device::Stream::from_cudarc(stream))
    }

    /// An engine's `CUstream` or `cudaStream_t`, borrowed. The special handles are understood: 0 and 1 (the legacy default
    /// stream) and 2 (the per-thread default stream) of the device's context. Fails for a stream of another context.
    ///
    /// Handle 2 names another stream on each thread, so the result belongs to the thread that calls this: every call to which
    /// another thread passes it is an [`Error::Argument`], before anything is enqueued.
    ///
    /// # Safety
    ///
    /// `stream` is a live stream or a special handle, and stays so until the result is dropped.
    #[expect(unsafe_code, reason = "passes a contract on to the device room")]
    pub unsafe fn stream_from_raw(&self, stream: *mut c_void) -> Result<Stream> {
        // SAFETY: the caller's promise is the one that `Stream::from_raw_in` asks for.
        self.borrow(|context| unsafe { device::Stream::from_raw_in(context, stream) })
    }

    fn borrow(&self, stream: impl FnOnce(&Context) -> Result<device::Stream>) -> Result<Stream> {
        match &self.0 {
            Backend::Host => Err(Error::argument("stream", "a CUDA stream", "the device is the host")),
            Backend::Cuda(context) => {
                let stream = stream(context)?;
                stream.expect_context(context)?;
                Ok(Stream(Queue::Cuda(stream)))
            }
        }
    }

    /// Compiles an engine's own kernels for this device, with the optimizer's compiler settings and through its cache.
    /// The image is a cubin (PTX where NVRTC does not know the device), for `cuModuleLoadData`.
    ///
    /// Fails with [`Error::NoNvrtc`], [`Error::Compile`], and [`Error::Argument`] on the host.
    pub fn compile(&self, source: &Source<'_>) -> Result<Arc<[u8]>> {
        match &self.0 {
            Backend::Host => Err(Error::argument("device", "the host", "it compiles no CUDA")),
            Backend::Cuda(context) => device::compile(context, source),
        }
    }

    /// The kernel `name` of an engine's module, fully loaded, so that its first launch may be captured: by itself the driver loads a
    /// kernel when it is first launched, and a capture forbids that.
    ///
    /// Fails with [`Error::Argument`] where the module has no such kernel, and on the host; with [`Error::Driver`] where it cannot be
    /// loaded.
    pub fn load_function(&self, module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
        match &self.0 {
            Backend::Host => Err(Error::argument("device", "the host", "it runs no CUDA")),
            Backend::Cuda(context) => device::load_function(context, module, name),
        }
    }
}

/// The handle on which a step is enqueued: the host, or a CUDA stream of the optimizer's context.
pub struct Stream(pub(crate) Queue);

pub(crate) enum Queue {
    Host,
    Cuda(device::Stream),
}

/// Of the host, or whose CUDA stream it is.
impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Queue::Host => f.write_str("Stream(host)"),
            Queue::Cuda(stream) => write!(f, "Stream({})", stream.words()),
        }
    }
}

impl Stream {
    /// The stream of [`Device::host`], on which work is done at once.
    pub fn host() -> Stream {
        Stream(Queue::Host)
    }

    /// Waits until all work put on this stream so far is done, and reports the failure of any.
    ///
    /// Fails with [`Error::Argument`] on a stream that is capturing a graph, and on the legacy default stream while a stream
    /// that is ordered with it is: the wait would invalidate that capture, which goes on unharmed.
    pub fn synchronize(&self) -> Result<()> {
        match &self.0 {
            Queue::Host => Ok(()),
            Queue::Cuda(stream) => stream.synchronize(),
        }
    }

    /// The `CUstream`; null on the host.
    pub fn raw(&self) -> *mut c_void {
        match &self.0 {
            Queue::Host => std::ptr::null_mut(),
            Queue::Cuda(stream) => stream.raw(),
        }
    }

    /// The CUDA stream that an optimizer on CUDA needs.
    pub(crate) fn cuda(&self) -> Result<&device::Stream> {
        match &self.0 {
            Queue::Cuda(stream) => Ok(stream),
            Queue::Host => Err(Error::argument("stream", "the host's", "the optimizer runs on a CUDA device")),
        }
    }
}
