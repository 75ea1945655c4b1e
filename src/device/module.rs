//! Modules and kernels: loading an image, finding a function, launching it.

use std::ffi::{CString, c_int};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use bytemuck::NoUninit;

use super::context::{Context, Current};
use super::driver::{self, RawFunction, RawModule};
use super::stream::Stream;
use crate::error::{Error, Result};

/// A loaded image.
#[derive(Debug)]
pub(crate) struct Module {
    context: Arc<Context>,
    raw: RawModule,
}

// SAFETY: the driver's handles may be used from any thread; this struct is not changed after its creation.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

impl Module {
    /// Loads an image that [`super::compile()`] made, or a pack holds: a cubin, or PTX with its closing zero.
    pub(crate) fn load(context: &Arc<Context>, image: &[u8]) -> Result<Arc<Self>> {
        if image.is_empty() {
            return Err(Error::argument("image", "empty", "must be a cubin or PTX"));
        }
        let _relaxed = context.relaxed()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the image is whole: it comes from NVRTC, or from a cache entry or a pack whose lengths and checksum were tested.
        unsafe { context.driver().cuModuleLoadData(&mut raw, image.as_ptr().cast()) }?;
        Ok(Arc::new(Self { context: context.clone(), raw }))
    }

    /// The kernel `name`, whose only parameter is one `P` by value, fully loaded: its first launch may be captured.
    pub(crate) fn function<P: NoUninit>(self: &Arc<Self>, name: &str) -> Result<Function<P>> {
        const { assert!(size_of::<P>() > 0 && size_of::<P>() <= 4096, "a kernel takes one struct of at most 4 KiB") };
        let symbol =
            CString::new(name).map_err(|_| Error::argument("name", format!("{name:?}"), "must hold no zero"))?;
        let driver = self.context.driver();
        let _relaxed = self.context.relaxed()?;
        let mut raw = ptr::null_mut();
        // SAFETY: the module is loaded in the current context; `symbol` and `raw` outlive the call.
        unsafe { driver.cuModuleGetFunction(&mut raw, self.raw, symbol.as_ptr()) }?;
        // SAFETY: `raw` is a function of this module.
        unsafe { driver.load_function(raw) }?;
        let mut registers = 0;
        // SAFETY: as above. Drivers without cuFuncLoad load the function here.
        unsafe { driver.cuFuncGetAttribute(&mut registers, driver::CU_FUNC_ATTRIBUTE_NUM_REGS, raw) }?;
        Ok(Function { module: self.clone(), raw, params: PhantomData })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Ok(_relaxed) = self.context.relaxed() {
            // SAFETY: loaded by `load`, unloaded here only, after the last `Function` is gone.
            let _ = unsafe { self.context.driver().cuModuleUnload(self.raw) };
        }
    }
}

/// A kernel with its module, which it keeps loaded. `P` is the kernel's parameter struct, `repr(C)` and laid out as in CUDA.
#[derive(Debug)]
pub(crate) struct Function<P> {
    module: Arc<Module>,
    raw: RawFunction,
    params: PhantomData<fn(&P)>,
}

// SAFETY: as for `Module`.
unsafe impl<P> Send for Function<P> {}
// SAFETY: as for `Module`.
unsafe impl<P> Sync for Function<P> {}

impl<P: NoUninit> Function<P> {
    /// Enqueues the kernel: two driver calls while the context is current. The driver copies `params` before it returns.
    pub(crate) fn launch(&self, stream: &Stream, grid: u32, block: u32, params: &P) -> Result<()> {
        stream.expect_context(&self.module.context)?;
        let current = self.module.context.current()?;
        self.launch_in(&current, stream, grid, block, params)
    }

    /// [`Function::launch`] where the context is current already: one driver call.
    pub(crate) fn launch_in(&self, _: &Current<'_>, stream: &Stream, grid: u32, block: u32, params: &P) -> Result<()> {
        let context = &self.module.context;
        stream.expect_context(context)?;
        let mut arguments = [ptr::from_ref(params).cast_mut().cast()];
        let (driver, arguments) = (context.driver(), arguments.as_mut_ptr());
        // SAFETY: the function and the stream are alive and of the current context; `arguments` holds the one parameter,
        // a `P` without padding, which the driver only reads. Addresses in it are vouched for, see the room's doc.
        unsafe { driver.cuLaunchKernel(self.raw, grid, 1, 1, block, 1, 1, 0, stream.raw(), arguments, ptr::null_mut()) }
    }

    /// How many blocks of `block` threads one multiprocessor holds at once.
    pub(crate) fn blocks_per_multiprocessor(&self, block: u32) -> Result<u32> {
        let context = &self.module.context;
        let _current = context.current()?;
        let mut blocks: c_int = 0;
        let driver = context.driver();
        // SAFETY: the function is alive; `blocks` outlives the call.
        unsafe { driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, self.raw, block as c_int, 0) }?;
        Ok(blocks.max(0) as u32)
    }
}
