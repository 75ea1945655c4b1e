//! The control API of the two libraries, behind safe methods.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::path::Path;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

type Text = *mut c_char;

/// Direction of memory traffic, as kernels see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Reads of global memory.
    Load,
    /// Writes to global memory.
    Store,
}

/// The loaded stand-in: what it counted, what it found, and the faults to inject. All of it is shared by the process.
#[derive(Debug)]
pub struct Standin {
    calls: unsafe extern "C" fn(*const c_char) -> u64,
    reset_calls: unsafe extern "C" fn(),
    call_log: unsafe extern "C" fn() -> Text,
    inject: unsafe extern "C" fn(*const c_char, c_int, c_uint) -> bool,
    take_report: unsafe extern "C" fn() -> Text,
    free_text: unsafe extern "C" fn(Text),
    seed: unsafe extern "C" fn(u64),
    traffic: unsafe extern "C" fn(c_int, c_uint) -> u64,
    reset_traffic: unsafe extern "C" fn(),
    reset: unsafe extern "C" fn(),
    check_guard_zones: unsafe extern "C" fn() -> Text,
    live_bytes: unsafe extern "C" fn() -> u64,
    sparse_memory: unsafe extern "C" fn(u64),
    run_only: unsafe extern "C" fn(c_uint, c_uint),
    patch: unsafe extern "C" fn(*const c_char, *const c_char),
    clear_patches: unsafe extern "C" fn(),
    let_streams_race: unsafe extern "C" fn(),
    move_to_device: unsafe extern "C" fn(u64, c_int) -> bool,
    let_events_lie: unsafe extern "C" fn(bool),
    /// Kept open for good: the function pointers above point into them.
    _libraries: [Library; 4],
}

impl Standin {
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let cuda = open(folder, "libcuda.so", "cuInit")?;
        let nvrtc = open(folder, "libnvrtc.so", "nvrtcVersion")?;
        let cuda_alias = open(folder, "libcuda.so.1", "cuInit")?;
        let nvrtc_alias = open(folder, "libnvrtc.so.13", "nvrtcVersion")?;
        macro_rules! function {
            ($library:expr, $name:literal) => {{
                // SAFETY: the field's type is that of the function's definition in csrc/.
                unsafe { symbol(&$library, $name) }?
            }};
        }
        Ok(Self {
            calls: function!(cuda, "cuda_on_cpu_calls"),
            reset_calls: function!(cuda, "cuda_on_cpu_reset_calls"),
            call_log: function!(cuda, "cuda_on_cpu_call_log"),
            inject: function!(cuda, "cuda_on_cpu_inject"),
            take_report: function!(cuda, "cuda_on_cpu_take_report"),
            free_text: function!(cuda, "cuda_on_cpu_free_text"),
            seed: function!(cuda, "cuda_on_cpu_seed"),
            traffic: function!(cuda, "cuda_on_cpu_traffic"),
            reset_traffic: function!(cuda, "cuda_on_cpu_reset_traffic"),
            reset: function!(cuda, "cuda_on_cpu_reset"),
            check_guard_zones: function!(cuda, "cuda_on_cpu_check_guard_zones"),
            live_bytes: function!(cuda, "cuda_on_cpu_live_bytes"),
            sparse_memory: function!(cuda, "cuda_on_cpu_sparse_memory"),
            run_only: function!(cuda, "cuda_on_cpu_run_only"),
            patch: function!(nvrtc, "cuda_on_cpu_patch"),
            clear_patches: function!(nvrtc, "cuda_on_cpu_clear_patches"),
            let_streams_race: function!(cuda, "cuda_on_cpu_let_streams_race"),
            move_to_device: function!(cuda, "cuda_on_cpu_move_to_device"),
            let_events_lie: function!(cuda, "cuda_on_cpu_let_events_lie"),
            _libraries: [cuda, nvrtc, cuda_alias, nvrtc_alias],
        })
    }

    /// Calls of the driver function `name` (its exported name, `cuMemAlloc_v2`) since the last reset, refused ones too.
    pub fn calls(&self, name: &str) -> u64 {
        let name = text(name);
        // SAFETY: a NUL-terminated string that outlives the call.
        unsafe { (self.calls)(name.as_ptr()) }
    }

    /// Calls of all driver functions since the last reset.
    pub fn total_calls(&self) -> u64 {
        // SAFETY: null is allowed and means all of them.
        unsafe { (self.calls)(std::ptr::null()) }
    }

    /// Sets all call counters to zero.
    pub fn reset_calls(&self) {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.reset_calls)() }
    }

    /// Calls by exported name since the last reset.
    pub fn call_log(&self) -> BTreeMap<String, u64> {
        // SAFETY: takes nothing, locks for itself.
        let log = self.take(unsafe { (self.call_log)() }).unwrap_or_default();
        let entry = |line: &str| line.rsplit_once(' ').and_then(|(name, n)| Some((name.to_owned(), n.parse().ok()?)));
        log.lines().filter_map(entry).collect()
    }

    /// Lets the driver function of this exported name fail once with `code`, after `after` calls that pass.
    /// An error if the stand-in has no such function.
    pub fn inject(&self, function: &str, code: i32, after: u32) -> Result<(), String> {
        let name = text(function);
        // SAFETY: a NUL-terminated string that outlives the call.
        let known = unsafe { (self.inject)(name.as_ptr(), code, after) };
        known
            .then_some(())
            .ok_or_else(|| format!("function is {function}, but must be a driver function of the stand-in"))
    }

    /// What the emulator found wrong first since the last take: a race, a stray access, a divergent barrier.
    pub fn take_report(&self) -> Option<String> {
        // SAFETY: takes nothing, locks for itself.
        self.take(unsafe { (self.take_report)() })
    }

    /// Starts the generator anew that decides when work runs and which thread goes on.
    pub fn seed(&self, seed: u64) {
        // SAFETY: takes a number, locks for itself.
        unsafe { (self.seed)(seed) }
    }

    /// Bytes that kernels moved by accesses of `width` bytes (1, 2, 4, 8 or 16) since the last reset.
    pub fn traffic(&self, direction: Direction, width: u32) -> u64 {
        // SAFETY: takes numbers, locks for itself.
        unsafe { (self.traffic)(c_int::from(direction == Direction::Store), width) }
    }

    /// Sets all traffic counters to zero.
    pub fn reset_traffic(&self) {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.reset_traffic)() }
    }

    /// Forgets device errors, reports, injections and counters; objects and memory stay.
    pub fn reset(&self) {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.reset)() }
    }

    /// A description of the first damaged guard zone, if any. Each damage is told once, here or at a synchronization.
    pub fn damaged_guard_zone(&self) -> Option<String> {
        // SAFETY: takes nothing, locks for itself.
        self.take(unsafe { (self.check_guard_zones)() })
    }

    /// Bytes of device and pinned memory that are allocated now, for leak checks.
    pub fn live_bytes(&self) -> u64 {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.live_bytes)() }
    }

    /// Gives the device that many bytes, more than the machine may have: allocations of 1 GiB or more hold zeros and take no
    /// memory until they are written. 0: as at first.
    pub fn sparse_memory(&self, bytes: u64) {
        // SAFETY: takes a number, locks for itself.
        unsafe { (self.sparse_memory)(bytes) }
    }

    /// Lets every later launch of more blocks run the first and the last ones alone: the others never start, so a kernel
    /// that counts its blocks must be told. 0 and 0: all run.
    pub fn run_only(&self, first: u32, last: u32) {
        // SAFETY: takes numbers, locks for itself.
        unsafe { (self.run_only)(first, last) }
    }

    /// In all later compilations the text `from` is replaced by `to`; it must occur exactly once, or they fail and say so.
    pub fn patch(&self, from: &str, to: &str) {
        let (from, to) = (text(from), text(to));
        // SAFETY: NUL-terminated strings that outlive the call, which copies them.
        unsafe { (self.patch)(from.as_ptr(), to.as_ptr()) }
    }

    /// Ends all patches.
    pub fn clear_patches(&self) {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.clear_patches)() }
    }

    /// Reports no race between streams until the next reset: for tests that read off the order that was drawn.
    pub fn let_streams_race(&self) {
        // SAFETY: takes nothing, locks for itself.
        unsafe { (self.let_streams_race)() }
    }

    /// Lets `cuEventQuery` say that an event is done which is not: a fault, until it is ended or the next reset.
    pub fn let_events_lie(&self, lie: bool) {
        // SAFETY: takes a flag, locks for itself.
        unsafe { (self.let_events_lie)(lie) }
    }

    /// Says that the allocation at `address` is memory of device `ordinal`. There is one device here: nothing reaches the others.
    /// False if no allocation begins there.
    pub fn move_to_device(&self, address: u64, ordinal: i32) -> bool {
        // SAFETY: takes numbers, locks for itself.
        unsafe { (self.move_to_device)(address, ordinal) }
    }

    /// Takes over a text of the library; `None` for null.
    fn take(&self, given: Text) -> Option<String> {
        if given.is_null() {
            return None;
        }
        // SAFETY: not null, and the library gives NUL-terminated texts, which live until `free_text`.
        let copy = unsafe { CStr::from_ptr(given) }.to_string_lossy().into_owned();
        // SAFETY: given by the library, freed once, not used after.
        unsafe { (self.free_text)(given) };
        Some(copy)
    }
}

/// # Panics
/// If the text holds a NUL, which no name or kernel text does.
fn text(value: &str) -> CString {
    CString::new(value).expect("a text for the stand-in must not hold a NUL")
}

/// Opens `name` in `folder` for the whole process, and makes sure that others who ask for `name` get the same.
fn open(folder: &Path, name: &str, witness: &str) -> Result<Library, String> {
    // SAFETY: our own library; its initializers only set up its tables.
    let ours = unsafe { Library::open(Some(folder.join(name)), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| e.to_string())?;
    // SAFETY: already open under its SONAME, or a library that the process opened before us.
    let theirs = unsafe { Library::open(Some(name), RTLD_NOW) }.map_err(|e| e.to_string())?;
    // SAFETY: the address is compared, never called.
    let mine: usize = unsafe { symbol(&ours, witness) }?;
    // SAFETY: the address is compared, never called.
    let found: usize = unsafe { symbol(&theirs, witness) }?;
    if mine != found {
        return Err(format!("another {name} was opened before the stand-in: call cuda_on_cpu::load() first"));
    }
    Ok(ours)
}

/// # Safety
/// * `T` is the size of a pointer, and the type of the symbol if it is used as more than an address.
unsafe fn symbol<T: Copy>(library: &Library, name: &str) -> Result<T, String> {
    // SAFETY: the caller vouches for the type.
    let found = unsafe { library.get::<T>(name) };
    found.map(|symbol| *symbol).map_err(|e| format!("{name}: {e}"))
}
