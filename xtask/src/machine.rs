//! What this machine has: a C++ compiler, a GPU. Each probe answers with what it found, or with why there is none.

use libloading::{Library, Symbol};
use std::ffi::c_int;
use std::process::{Command, Stdio};

/// A driver that answered, with at least one device.
#[derive(Clone, Copy, Debug)]
pub struct Gpu {
    pub devices: c_int,
    /// The newest CUDA that the driver runs, as the driver counts: 13000 for 13.0.
    pub cuda_version: c_int,
}

const DRIVER: &str = if cfg!(windows) { "nvcuda.dll" } else { "libcuda.so.1" };
/// As the stand-in looks for one.
const COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];

/// Name of a C++ compiler that answers.
pub fn cxx_compiler() -> Result<&'static str, String> {
    let found = COMPILERS.into_iter().find(|name| answers(Command::new(name).arg("--version")));
    found.ok_or_else(|| format!("no C++ compiler: tried {}", COMPILERS.join(", ")))
}

/// Whether a program exists and succeeds; what it prints is dropped.
pub fn answers(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Asks the driver itself, found as the crate finds it: by dynamic loading.
pub fn gpu() -> Result<Gpu, String> {
    // SAFETY: the driver's initializers are its own concern; every CUDA program runs them.
    let driver = unsafe { Library::new(DRIVER) }.map_err(|_| format!("no CUDA driver: {DRIVER} does not load"))?;
    let missing = |problem| format!("{DRIVER} is no CUDA driver: {problem}");

    // SAFETY: `CUresult cuInit(unsigned)` has had this signature since CUDA 2.
    let init: Symbol<unsafe extern "C" fn(u32) -> c_int> = unsafe { driver.get(b"cuInit\0") }.map_err(missing)?;
    // SAFETY: cuInit takes flags, which must be 0, and may be called at any time.
    let code = unsafe { init(0) };
    if code != 0 {
        return Err(format!("no CUDA device: cuInit returned {code}"));
    }
    let ask = |name: &[u8]| -> Result<c_int, String> {
        // SAFETY: both names below are `CUresult f(int*)`.
        let query: Symbol<unsafe extern "C" fn(*mut c_int) -> c_int> = unsafe { driver.get(name) }.map_err(missing)?;
        let mut answer = 0;
        // SAFETY: `answer` outlives the call, and the driver is initialized.
        match unsafe { query(&raw mut answer) } {
            0 => Ok(answer),
            code => Err(format!("{} returned {code}", String::from_utf8_lossy(name).trim_end_matches('\0'))),
        }
    };
    let devices = ask(b"cuDeviceGetCount\0")?;
    let cuda_version = ask(b"cuDriverGetVersion\0")?;
    if devices > 0 { Ok(Gpu { devices, cuda_version }) } else { Err("the CUDA driver reports no device".to_string()) }
}
