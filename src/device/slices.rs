//! What an engine has through cudarc, as this crate takes it: addresses of slices, loaded functions, errors.

use std::ffi::c_int;
use std::sync::Arc;

use cudarc::driver::{CudaContext, DriverError};
pub(crate) use cudarc::driver::{CudaFunction, CudaModule, DevicePtr};

use super::codes;
use super::context::Context;
use super::driver;
use crate::error::{Error, Result, quoted};

/// Where the elements of a slice or a view are, and how many: no copy, no wait.
pub(crate) fn place<T>(slice: &impl DevicePtr<T>) -> (u64, u64) {
    let (address, _guard) = slice.device_ptr(slice.stream());
    (address, slice.len() as u64)
}

/// Ends cudarc's recording of which stream uses which slice.
///
/// # Safety
/// * As for `CudaContext::disable_event_tracking`: the caller orders what streams do to slices.
pub(crate) unsafe fn forget_events(context: &Arc<CudaContext>) {
    // SAFETY: passed on to the caller.
    unsafe { context.disable_event_tracking() }
}

/// The kernel `name` of an engine's module, fully loaded: its first launch may be captured.
pub(crate) fn load_function(context: &Context, module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    let _relaxed = context.relaxed()?;
    let function = module.load_function(name).map_err(|error| match error.0 as u32 {
        codes::NOT_FOUND => Error::argument("name", quoted(name), "is not a kernel of the module"),
        _ => error.into(),
    })?;
    let (driver, raw) = (context.driver(), function.cu_function().cast());
    // SAFETY: `raw` is a function of a module that `function` keeps loaded.
    unsafe { driver.load_function(raw) }?;
    let mut registers: c_int = 0;
    // SAFETY: as above. Drivers without cuFuncLoad load the function here.
    unsafe { driver.cuFuncGetAttribute(&mut registers, driver::CU_FUNC_ATTRIBUTE_NUM_REGS, raw) }?;
    Ok(function)
}

/// An engine's own calls fail with the error that ours do, so that work which is captured needs no error type of its own.
impl From<DriverError> for Error {
    fn from(error: DriverError) -> Error {
        let code = error.0 as u32;
        Error::Driver { call: "a call through cudarc", code, name: codes::name(code) }
    }
}
