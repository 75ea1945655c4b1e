//! NVRTC, CUDA's run-time compiler: loaded by hand, so that its absence is an error and not a panic, and so that a
//! cubin, which cudarc has no getter for, comes out. Start at [`Nvrtc::of_process`].

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};

use libloading::Library;

use super::compile::Source;
use super::entry::Stamp;
use super::functions::functions;
use super::loader::{file_of, loaded, reason};
use super::search::{Candidate, Environment, OVERRIDE, builtins_beside};
use super::target::Target;
use crate::error::{Error, Result};

type Program = *mut c_void;

/// An NVRTC function's name and its result code.
pub(super) struct Refusal {
    call: &'static str,
    code: u32,
}

functions! {
    /// The functions that this crate calls; every one is in each NVRTC since 11.2.
    Functions, check => std::result::Result<(), Refusal>;
    nvrtcVersion(major: *mut c_int, minor: *mut c_int);
    nvrtcGetNumSupportedArchs(count: *mut c_int);
    nvrtcGetSupportedArchs(architectures: *mut c_int);
    nvrtcCreateProgram(
        program: *mut Program, text: *const c_char, name: *const c_char,
        count: c_int, headers: *const *const c_char, header_names: *const *const c_char
    );
    nvrtcDestroyProgram(program: *mut Program);
    nvrtcCompileProgram(program: Program, count: c_int, options: *const *const c_char);
    nvrtcGetPTXSize(program: Program, size: *mut usize);
    nvrtcGetPTX(program: Program, ptx: *mut c_char);
    nvrtcGetCUBINSize(program: Program, size: *mut usize);
    nvrtcGetCUBIN(program: Program, cubin: *mut c_char);
    nvrtcGetProgramLogSize(program: Program, size: *mut usize);
    nvrtcGetProgramLog(program: Program, log: *mut c_char);
}

fn check(call: &'static str, code: u32) -> std::result::Result<(), Refusal> {
    if code == 0 { Ok(()) } else { Err(Refusal { call, code }) }
}

/// A loaded NVRTC. It is never unloaded.
pub(super) struct Nvrtc {
    functions: Functions,
    error_string: unsafe extern "C" fn(u32) -> *const c_char,
    version: (u32, u32),
    /// Ascending, e.g. 90 for compute capability 9.0.
    architectures: Vec<u32>,
    path: Option<PathBuf>,
    _libraries: Vec<Library>,
}

/// The environment in which this process looks for NVRTC, read once, so that cache keys and the search agree.
pub(super) static ENVIRONMENT: LazyLock<Environment> =
    LazyLock::new(|| Environment::of_process(|name| loaded(name).is_some()));

impl Nvrtc {
    /// The process's NVRTC, loaded at the first call. A failure is looked into again by the next call.
    pub(super) fn of_process() -> Result<&'static Self> {
        static NVRTC: OnceLock<Nvrtc> = OnceLock::new();
        static LOADING: Mutex<()> = Mutex::new(());
        let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(nvrtc) = NVRTC.get() {
            return Ok(nvrtc);
        }
        let nvrtc = Self::find(&ENVIRONMENT)?;
        Ok(NVRTC.get_or_init(|| nvrtc))
    }

    /// Loads the first candidate of `environment` that is an NVRTC.
    pub(super) fn find(environment: &Environment) -> Result<Self> {
        let mut refusals = Vec::new();
        for candidate in environment.candidates() {
            match Self::open(&candidate) {
                Ok(nvrtc) => return Ok(nvrtc),
                Err(refusal) => refusals.push(refusal),
            }
        }
        let refusals = refusals.join("; ");
        let detail = match environment.override_path() {
            Some(path) if refusals.is_empty() => format!("{OVERRIDE} is {}, a folder without one", path.display()),
            Some(path) => format!("{OVERRIDE} is {} ({refusals})", path.display()),
            None => format!("the system's loader, CUDA's folders and Python's packages have none ({refusals})"),
        };
        Err(Error::NoNvrtc { detail })
    }

    fn open(candidate: &Candidate) -> std::result::Result<Self, String> {
        let mut libraries = Vec::new();
        let library = match candidate {
            Candidate::Loaded(name) => loaded(name).ok_or_else(|| format!("{name} is not loaded any more"))?,
            // SAFETY: the initializers of NVIDIA's library are sound to run at any time, on any thread.
            Candidate::Name(name) => unsafe { Library::new(*name) }.map_err(|e| reason(&e))?,
            Candidate::File(path) => {
                // NVRTC opens its builtins by bare name, which finds them only if they are in the process already.
                for builtins in builtins_beside(path) {
                    // SAFETY: as above.
                    libraries.extend(unsafe { Library::new(builtins) });
                }
                // SAFETY: as above.
                unsafe { Library::new(path) }.map_err(|e| reason(&e))?
            }
        };
        let shown = match candidate {
            Candidate::Loaded(name) | Candidate::Name(name) => Path::new(name).display(),
            Candidate::File(path) => path.display(),
        };
        let lacks = |symbol: &str| format!("{shown} is no NVRTC, or older than 11.2: it lacks {symbol}");
        let functions = Functions::bind(&library).map_err(lacks)?;
        // SAFETY: nvrtc.h declares const char *nvrtcGetErrorString(nvrtcResult).
        let error_string = *unsafe { library.get("nvrtcGetErrorString") }.map_err(|_| lacks("nvrtcGetErrorString"))?;
        let (version, architectures) =
            describe(&functions).map_err(|r| format!("{shown}: {} returned {}", r.call, r.code))?;
        let path = match candidate {
            Candidate::File(path) => Some(path.clone()),
            _ => file_of(functions.nvrtcVersion as *const c_void),
        };
        libraries.push(library);
        Ok(Self { functions, error_string, version, architectures, path, _libraries: libraries })
    }

    /// The version, major and minor.
    pub(super) fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The library's file, where the system tells which one it is.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The newest architecture that it compiles for.
    pub(super) fn newest(&self) -> Option<u32> {
        self.architectures.last().copied()
    }

    /// The library's file as it is now, where the system tells which one it is.
    pub(super) fn stamp(&self) -> Option<Stamp> {
        Stamp::of(self.path.as_deref()?, self.version)
    }

    /// Compiles `source` to a cubin for exactly this device; to PTX for the newest architecture below it where this NVRTC
    /// does not know the device.
    pub(super) fn compile(&self, source: &Source<'_>, options: &[&str], device: (u32, u32)) -> Result<Vec<u8>> {
        let target = Target::of(&self.architectures, device).ok_or_else(|| self.too_new_for(device))?;
        self.compile_for(source, options, target)
    }

    /// Compiles `source` for `target`. Needs no device and no driver.
    pub(super) fn compile_for(&self, source: &Source<'_>, options: &[&str], target: Target) -> Result<Vec<u8>> {
        if !self.architectures.contains(&target.architecture()) {
            let known: Vec<String> = self.architectures.iter().map(u32::to_string).collect();
            let (major, minor) = self.version;
            let rule = format!("must be one that NVRTC {major}.{minor} compiles for: {}", known.join(", "));
            return Err(Error::argument("architecture", target, rule));
        }
        let program = self.program(source)?;
        let architecture = format!("--gpu-architecture={target}");
        let options: Vec<CString> = options
            .iter()
            .copied()
            .chain([architecture.as_str()])
            .map(|option| terminated("option", option))
            .collect::<Result<_>>()?;
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program is alive, and `options` holds that many zero-terminated strings.
        let outcome =
            unsafe { self.functions.nvrtcCompileProgram(program.raw, options.len() as c_int, options.as_ptr()) };
        outcome.map_err(|refusal| self.error(source, refusal, program.log()))?;
        program.image(target).map_err(|refusal| self.error(source, refusal, String::new()))
    }

    fn program(&self, source: &Source<'_>) -> Result<OwnedProgram<'_>> {
        let (text, name) = (terminated("text", source.text)?, terminated("name", source.name)?);
        let headers: Vec<(CString, CString)> = source
            .headers
            .iter()
            .map(|(name, text)| Ok((terminated("headers", name)?, terminated("headers", text)?)))
            .collect::<Result<_>>()?;
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
        let texts: Vec<_> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
        let mut raw = std::ptr::null_mut();
        let (count, texts, names) = (headers.len() as c_int, texts.as_ptr(), names.as_ptr());
        // SAFETY: all strings are zero-terminated and outlive the call, which copies them.
        unsafe { self.functions.nvrtcCreateProgram(&mut raw, text.as_ptr(), name.as_ptr(), count, texts, names) }
            .map_err(|refusal| self.error(source, refusal, String::new()))?;
        Ok(OwnedProgram { functions: &self.functions, raw })
    }

    fn error(&self, source: &Source<'_>, refusal: Refusal, log: String) -> Error {
        // SAFETY: the function takes any code.
        let text = unsafe { (self.error_string)(refusal.code) };
        let detail = if text.is_null() {
            format!("{} returned {}", refusal.call, refusal.code)
        } else {
            // SAFETY: NVRTC returns a constant zero-terminated string.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        Error::Compile { name: source.name.to_owned(), detail, log }
    }

    fn too_new_for(&self, (major, minor): (u32, u32)) -> Error {
        let path = self.path.as_deref().unwrap_or(Path::new("the one found")).display();
        let (version, lowest) = (self.version, self.architectures.first().copied().unwrap_or(0));
        let detail = format!(
            "{path} is version {}.{} and compiles for compute capability {}.{} and later, but the device has {major}.{minor}",
            version.0,
            version.1,
            lowest / 10,
            lowest % 10
        );
        Error::NoNvrtc { detail }
    }
}

struct OwnedProgram<'a> {
    functions: &'a Functions,
    raw: Program,
}

impl OwnedProgram<'_> {
    /// NVRTC's log, unchanged but for the closing zero and blank lines at its end.
    fn log(&self) -> String {
        let f = self.functions;
        // SAFETY: `fetch` hands out valid pointers, and a buffer of the size that NVRTC asked for.
        let size = |size| unsafe { f.nvrtcGetProgramLogSize(self.raw, size) };
        // SAFETY: as above.
        let bytes = fetch(size, |buffer| unsafe { f.nvrtcGetProgramLog(self.raw, buffer) }).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim_end_matches(['\0', '\n', ' ']).to_owned()
    }

    fn image(&self, target: Target) -> std::result::Result<Vec<u8>, Refusal> {
        let f = self.functions;
        match target {
            // SAFETY: `fetch` hands out valid pointers, and a buffer of the size that NVRTC asked for.
            Target::Cubin(_) => fetch(
                |size| unsafe { f.nvrtcGetCUBINSize(self.raw, size) },
                |buffer| {
                    // SAFETY: as above.
                    unsafe { f.nvrtcGetCUBIN(self.raw, buffer) }
                },
            ),
            // SAFETY: as above.
            Target::Ptx(_) => fetch(
                |size| unsafe { f.nvrtcGetPTXSize(self.raw, size) },
                |buffer| {
                    // SAFETY: as above.
                    unsafe { f.nvrtcGetPTX(self.raw, buffer) }
                },
            ),
        }
    }
}

impl Drop for OwnedProgram<'_> {
    fn drop(&mut self) {
        // SAFETY: created by `Nvrtc::program`, destroyed here only.
        let _ = unsafe { self.functions.nvrtcDestroyProgram(&mut self.raw) };
    }
}

/// NVRTC's way to hand out bytes: first their number, then the bytes.
fn fetch(
    size: impl FnOnce(*mut usize) -> std::result::Result<(), Refusal>,
    get: impl FnOnce(*mut c_char) -> std::result::Result<(), Refusal>,
) -> std::result::Result<Vec<u8>, Refusal> {
    let mut len = 0;
    size(&mut len)?;
    let mut bytes = vec![0u8; len];
    get(bytes.as_mut_ptr().cast())?;
    Ok(bytes)
}

type Description = ((u32, u32), Vec<u32>);

/// The version, and the architectures in ascending order.
fn describe(functions: &Functions) -> std::result::Result<Description, Refusal> {
    let (mut major, mut minor, mut count) = (0, 0, 0);
    // SAFETY: both numbers outlive the call.
    unsafe { functions.nvrtcVersion(&mut major, &mut minor) }?;
    // SAFETY: `count` outlives the call.
    unsafe { functions.nvrtcGetNumSupportedArchs(&mut count) }?;
    let mut architectures = vec![0; count.max(0) as usize];
    // SAFETY: the buffer has room for the number of architectures that NVRTC just gave.
    unsafe { functions.nvrtcGetSupportedArchs(architectures.as_mut_ptr()) }?;
    let mut architectures: Vec<u32> = architectures.into_iter().map(|a: c_int| a as u32).collect();
    architectures.sort_unstable();
    Ok(((major as u32, minor as u32), architectures))
}

fn terminated(what: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| {
        let value = format!("text with a zero byte at {}", error.nul_position());
        Error::argument(format!("source.{what}"), value, "C strings end at a zero byte")
    })
}
