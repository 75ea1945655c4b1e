//! The real NVRTC, as a report on machine code needs it: the library's own loader keeps neither the log nor the resource usage of a
//! compilation that succeeds. Start at [`Nvrtc::load`].

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;

use libloading::Library;

use crate::Compiled;
use crate::units::Unit;

/// Those of `src/device/compile.rs`, as a test holds.
pub const OPTIONS: [&str; 6] = [
    "--std=c++17",
    "--fmad=false",
    "--ftz=false",
    "--prec-div=true",
    "--prec-sqrt=true",
    "--device-as-default-execution-space",
];

type Program = *mut c_void;
type Create = unsafe extern "C" fn(
    *mut Program,
    *const c_char,
    *const c_char,
    c_int,
    *const *const c_char,
    *const *const c_char,
) -> c_int;
type Compile = unsafe extern "C" fn(Program, c_int, *const *const c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut Program) -> c_int;
type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Copy = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

/// The loaded library.
#[derive(Debug)]
pub struct Nvrtc {
    library: Library,
    _builtins: Vec<Library>,
}

impl Nvrtc {
    /// Loads it by what `INSTEP_NVRTC` may be: its folder, or its file. It opens its builtins by bare name, so they are
    /// loaded first.
    pub fn load(place: &Path) -> Result<Self, String> {
        let folder = if place.is_dir() { place } else { place.parent().unwrap_or(place) };
        let entries = folder.read_dir().map_err(|problem| format!("{}: {problem}", folder.display()))?;
        let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        let named = |start: &str| {
            let starts =
                |file: &&PathBuf| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start));
            files.iter().find(starts).ok_or_else(|| format!("{} holds no {start}*", folder.display()))
        };
        // SAFETY: NVIDIA's initializers are sound to run at any time.
        let builtins =
            unsafe { Library::new(named("libnvrtc-builtins.so")?) }.map_err(|problem| problem.to_string())?;
        // SAFETY: as above.
        let library = unsafe { Library::new(named("libnvrtc.so")?) }.map_err(|problem| problem.to_string())?;
        Ok(Self { library, _builtins: vec![builtins] })
    }

    /// Compiles for one architecture, e.g. 90. A failure is the log.
    pub fn compile(&self, unit: &Unit, architecture: u32) -> Result<Compiled, String> {
        let options = [format!("--gpu-architecture=sm_{architecture}"), "--ptxas-options=-v".to_string()];
        let options =
            OPTIONS.iter().copied().chain(options.iter().map(String::as_str)).map(terminated).collect::<Vec<_>>();
        let options = options.iter().map(|option| option.as_ptr()).collect::<Vec<_>>();
        let program = self.create(unit)?;

        let compile: Compile = self.function("nvrtcCompileProgram");
        // SAFETY: `program` was created, and `options` holds that many zero-terminated strings that outlive the call.
        let code = unsafe { compile(program, options.len() as c_int, options.as_ptr()) };
        let log = self.bytes(program, "nvrtcGetProgramLogSize", "nvrtcGetProgramLog");
        let log = String::from_utf8_lossy(&log).trim_end_matches('\0').to_string();
        let cubin = if code == 0 { self.bytes(program, "nvrtcGetCUBINSize", "nvrtcGetCUBIN") } else { Vec::new() };

        let destroy: Destroy = self.function("nvrtcDestroyProgram");
        let mut program = program;
        // SAFETY: `program` was created and is not used again.
        unsafe { destroy(&raw mut program) };
        if code == 0 { Ok(Compiled { cubin, log }) } else { Err(log) }
    }

    fn create(&self, unit: &Unit) -> Result<Program, String> {
        let (text, name) = (terminated(&unit.text), terminated(&unit.name));
        let names = unit.headers.iter().map(|(name, _)| terminated(name)).collect::<Vec<_>>();
        let texts = unit.headers.iter().map(|(_, text)| terminated(text)).collect::<Vec<_>>();
        let pointers = |strings: &[CString]| strings.iter().map(|string| string.as_ptr()).collect::<Vec<_>>();
        let (names, texts) = (pointers(&names), pointers(&texts));

        let create: Create = self.function("nvrtcCreateProgram");
        let (mut program, count) = (ptr::null_mut(), names.len() as c_int);
        // SAFETY: NVRTC copies the strings, which are zero-terminated and outlive the call.
        let code =
            unsafe { create(&raw mut program, text.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr()) };
        if code == 0 { Ok(program) } else { Err(format!("nvrtcCreateProgram returned {code}")) }
    }

    fn bytes(&self, program: Program, size: &str, copy: &str) -> Vec<u8> {
        let (size, copy): (Size, Copy) = (self.function(size), self.function(copy));
        let mut len = 0;
        // SAFETY: `program` was compiled.
        let code = unsafe { size(program, &raw mut len) };
        assert_eq!(code, 0, "NVRTC tells no size");
        let mut bytes = vec![0u8; len];
        // SAFETY: `bytes` has the length that NVRTC asked for.
        let code = unsafe { copy(program, bytes.as_mut_ptr().cast()) };
        assert_eq!(code, 0, "NVRTC gives no bytes");
        bytes
    }

    /// `F` is the type above that bears the function's name, as in nvrtc.h.
    fn function<F: std::marker::Copy>(&self, name: &str) -> F {
        // SAFETY: the callers pair each name with its type.
        let symbol = unsafe { self.library.get::<F>(name) };
        *symbol.unwrap_or_else(|problem| panic!("{name}: {problem}"))
    }
}

fn terminated(text: &str) -> CString {
    CString::new(text).expect("no text holds a zero")
}
