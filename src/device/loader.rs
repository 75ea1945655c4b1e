//! Questions to the system's dynamic loader that `libloading` has no answer to.

use std::ffi::c_void;
use std::path::PathBuf;

use libloading::Library;

/// The loader's own words, without libloading's prefix where there is one.
pub(super) fn reason(error: &libloading::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The library `name`, if the process has it already.
#[cfg(target_os = "linux")]
pub(super) fn loaded(name: &'static str) -> Option<Library> {
    use libloading::os::unix;
    const RTLD_NOLOAD: std::ffi::c_int = 4;
    // SAFETY: nothing is loaded, so no initializer runs.
    unsafe { unix::Library::open(Some(name), unix::RTLD_LAZY | RTLD_NOLOAD) }.ok().map(Library::from)
}

#[cfg(not(target_os = "linux"))]
pub(super) fn loaded(_name: &'static str) -> Option<Library> {
    None
}

/// The file that the code at `address` was loaded from.
#[cfg(target_os = "linux")]
pub(super) fn file_of(address: *const c_void) -> Option<PathBuf> {
    use std::ffi::{CStr, OsStr, c_char, c_int};
    use std::os::unix::ffi::OsStrExt;

    #[repr(C)]
    struct DlInfo {
        file: *const c_char,
        base: *mut c_void,
        symbol: *const c_char,
        symbol_address: *mut c_void,
    }
    unsafe extern "C" {
        fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
    }

    let null = std::ptr::null_mut::<c_void>();
    let mut info = DlInfo { file: null.cast(), base: null, symbol: null.cast(), symbol_address: null };
    // SAFETY: `info` has the layout of Dl_info and outlives the call.
    let found = unsafe { dladdr(address, &mut info) };
    if found == 0 || info.file.is_null() {
        return None;
    }
    // SAFETY: dladdr gave a zero-terminated string that lives as long as the library.
    let file = unsafe { CStr::from_ptr(info.file) };
    std::path::absolute(OsStr::from_bytes(file.to_bytes())).ok()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn file_of(_address: *const c_void) -> Option<PathBuf> {
    None
}
