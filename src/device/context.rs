//! Contexts: the primary one, an engine's through cudarc, or an engine's as a raw handle; and making one current.

use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use cudarc::driver::CudaContext;

use super::driver::{self, Driver, RawContext};
use crate::error::{Error, Result};

/// One device's context, kept alive or borrowed, with the facts about its device that the rest of the crate needs.
#[derive(Debug)]
pub(crate) struct Context {
    driver: &'static Driver,
    raw: RawContext,
    device: c_int,
    compute_capability: (u32, u32),
    multiprocessors: u32,
    name: String,
    owner: Owner,
}

/// Who keeps the context alive.
#[derive(Debug)]
enum Owner {
    /// We hold one reference on this device's primary context.
    Primary(c_int),
    /// cudarc does, for as long as this lives.
    Cudarc { _context: Arc<CudaContext> },
    /// The caller of [`Context::from_raw`] does.
    Caller,
}

// SAFETY: the driver's handles may be used from any thread; this struct is not changed after its creation.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Device `ordinal`'s primary context, which the CUDA runtime API and most engines use.
    pub(crate) fn primary(ordinal: u32) -> Result<Arc<Self>> {
        let driver = driver::driver()?;
        let count = driver.device_count()?;
        if ordinal >= count {
            return Err(Error::argument(
                "ordinal",
                ordinal,
                format!("must be less than the number of devices, {count}"),
            ));
        }
        let mut device = 0;
        // SAFETY: `device` outlives the call.
        unsafe { driver.cuDeviceGet(&mut device, ordinal as c_int) }?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` outlives the call; the reference is given back by `Owner`'s drop.
        unsafe { driver.cuDevicePrimaryCtxRetain(&mut raw, device) }?;
        Self::describe(driver, raw, Owner::Primary(device))
    }

    /// An engine's cudarc context, kept alive by the result.
    pub(crate) fn from_cudarc(context: &Arc<CudaContext>) -> Result<Arc<Self>> {
        Self::describe(driver::driver()?, context.cu_ctx().cast(), Owner::Cudarc { _context: context.clone() })
    }

    /// An engine's context, a `CUcontext`, borrowed.
    ///
    /// # Safety
    /// * `raw` is a context of this process and stays one until the result, and all that was made from it, is dropped.
    pub(crate) unsafe fn from_raw(raw: *mut c_void) -> Result<Arc<Self>> {
        if raw.is_null() {
            return Err(Error::argument("context", "null", "must be a CUcontext"));
        }
        Self::describe(driver::driver()?, raw, Owner::Caller)
    }

    fn describe(driver: &'static Driver, raw: RawContext, owner: Owner) -> Result<Arc<Self>> {
        // Built first, so that an error below gives the primary context back.
        let mut context =
            Self { driver, raw, device: 0, compute_capability: (0, 0), multiprocessors: 0, name: String::new(), owner };
        let current = context.current()?;
        let mut device = 0;
        // SAFETY: `device` outlives the call.
        unsafe { driver.cuCtxGetDevice(&mut device) }?;
        drop(current);
        context.device = device;
        context.compute_capability = (
            context.attribute(driver::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            context.attribute(driver::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        context.multiprocessors = context.attribute(driver::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        context.name = device_name(driver, device)?;
        Ok(Arc::new(context))
    }

    /// A `CUdevice_attribute` of the device, negative values as 0.
    pub(super) fn attribute(&self, which: c_int) -> Result<u32> {
        let mut value = 0;
        // SAFETY: `value` outlives the call.
        unsafe { self.driver.cuDeviceGetAttribute(&mut value, which, self.device) }?;
        Ok(value.max(0) as u32)
    }

    /// The `CUdevice`, which is its ordinal too.
    pub(super) fn device(&self) -> c_int {
        self.device
    }

    /// Major and minor, e.g. (9, 0).
    pub(crate) fn compute_capability(&self) -> (u32, u32) {
        self.compute_capability
    }

    pub(crate) fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    /// The device's name as the driver gives it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The `CUcontext`.
    /// Whether both are handles of one context.
    pub(crate) fn is_same(&self, other: &Context) -> bool {
        self.raw() == other.raw()
    }

    pub(crate) fn raw(&self) -> *mut c_void {
        self.raw
    }

    pub(super) fn driver(&self) -> &'static Driver {
        self.driver
    }

    /// Makes this context the thread's current one until the guard is dropped: one driver call where it already is.
    pub(crate) fn current(&self) -> Result<Current<'_>> {
        enter(self.driver, self.raw)
    }

    /// The same, with the thread's capture mode relaxed, for calls that a GLOBAL-mode capture would refuse.
    pub(super) fn relaxed(&self) -> Result<Relaxed<'_>> {
        relax(self.driver, self.raw)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let Owner::Primary(device) = self.owner {
            // SAFETY: gives back the one reference that `Context::primary` took. Nothing can be done about an error.
            let _ = unsafe { self.driver.cuDevicePrimaryCtxRelease_v2(device) };
        }
    }
}

/// Makes `raw`, a live context, current until the guard is dropped.
pub(super) fn enter<'a>(driver: &'static Driver, raw: RawContext) -> Result<Current<'a>> {
    let mut present = ptr::null_mut();
    // SAFETY: `present` outlives the call.
    unsafe { driver.cuCtxGetCurrent(&mut present) }?;
    let pushed = present != raw;
    if pushed {
        // SAFETY: `raw` is alive, as the owner of the handle promised where it came in.
        unsafe { driver.cuCtxPushCurrent_v2(raw) }?;
    }
    Ok(Current { driver, pushed, thread: PhantomData })
}

/// [`enter`], with the thread's capture mode relaxed until the guard is dropped.
pub(super) fn relax<'a>(driver: &'static Driver, raw: RawContext) -> Result<Relaxed<'a>> {
    let current = enter(driver, raw)?;
    let mut mode = driver::CU_STREAM_CAPTURE_MODE_RELAXED;
    // SAFETY: `mode` outlives the call; the guard restores what it now holds.
    unsafe { driver.cuThreadExchangeStreamCaptureMode(&mut mode) }?;
    Ok(Relaxed { current, former: mode })
}

/// While this lives, the context is current on this thread. It leaves the engine's own current context as it was.
#[derive(Debug)]
#[must_use]
pub(crate) struct Current<'a> {
    driver: &'static Driver,
    pushed: bool,
    /// Bound to the context's life, and to this thread.
    thread: PhantomData<(&'a Context, *mut ())>,
}

impl Drop for Current<'_> {
    fn drop(&mut self) {
        if self.pushed {
            let mut popped = ptr::null_mut();
            // SAFETY: pops what `enter` pushed on this same thread. Nothing can be done about an error.
            let _ = unsafe { self.driver.cuCtxPopCurrent_v2(&mut popped) };
        }
    }
}

/// A [`Current`] during which this thread may allocate, free, load and wait although a capture is open somewhere.
#[derive(Debug)]
#[must_use]
pub(super) struct Relaxed<'a> {
    current: Current<'a>,
    former: c_int,
}

impl Drop for Relaxed<'_> {
    fn drop(&mut self) {
        let mut mode = self.former;
        // SAFETY: restores the mode that `relax` replaced on this same thread.
        let _ = unsafe { self.current.driver.cuThreadExchangeStreamCaptureMode(&mut mode) };
    }
}

fn device_name(driver: &Driver, device: c_int) -> Result<String> {
    let mut name = [0 as c_char; 256];
    // SAFETY: the driver writes at most `name.len()` bytes, the closing zero included.
    unsafe { driver.cuDeviceGetName(name.as_mut_ptr(), name.len() as c_int, device) }?;
    let bytes: Vec<u8> = name.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
