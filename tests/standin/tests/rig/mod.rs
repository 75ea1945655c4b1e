//! What every test file needs: the stand-in, a fresh primary context, and launches by name. One rig lives at a time, since
//! device errors, counters and reports belong to the process.
#![allow(dead_code)] // each test file uses its part

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cuda_on_cpu::Standin;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg, result, sys,
};
use cudarc::nvrtc::{CompileOptions, Ptx, compile_ptx_with_opts};

static TURN: Mutex<()> = Mutex::new(());

/// Fields are dropped in order: the turn ends when the context is gone.
pub struct Rig {
    pub standin: &'static Standin,
    pub stream: Arc<CudaStream>,
    pub context: Arc<CudaContext>,
    _turn: MutexGuard<'static, ()>,
}

impl Rig {
    pub fn new() -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let standin = cuda_on_cpu::load().unwrap_or_else(|why| panic!("{why}"));
        standin.reset();
        standin.clear_patches();
        let context = CudaContext::new(0).expect("the stand-in has a device");
        // SAFETY: every slice of these tests stays on one stream, or is ordered by hand.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().expect("a stream");
        Self { standin, stream, context, _turn: turn }
    }

    pub fn load(&self, text: &str) -> Arc<CudaModule> {
        self.context.load_module(compile(text)).expect("the compiled text loads")
    }

    /// As `load`, but the text is compiled only once in this process.
    pub fn load_once(&self, text: &'static str) -> Arc<CudaModule> {
        static COMPILED: Mutex<Vec<(&str, Ptx)>> = Mutex::new(Vec::new());
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if !compiled.iter().any(|(known, _)| *known == text) {
            compiled.push((text, compile(text)));
        }
        let (_, ptx) = compiled.iter().find(|(known, _)| *known == text).expect("just compiled");
        self.context.load_module(ptx.clone()).expect("the compiled text loads")
    }

    /// Enqueues `kernel`; all its arguments are 8 bytes wide.
    pub fn launch(&self, kernel: &CudaFunction, grid: u32, block: u32, arguments: &[u64]) -> Result<(), DriverError> {
        launch_on(&self.stream, kernel, grid, block, arguments)
    }

    pub fn alloc<T>(&self, values: &[T]) -> u64 {
        // SAFETY: a plain allocation in the context that the rig made current.
        let address = unsafe { result::malloc_sync(size_of_val(values)) }.expect("memory");
        // SAFETY: as many bytes as were allocated.
        unsafe { result::memcpy_htod_sync(address, values) }.expect("a copy");
        address
    }

    pub fn read<T: Clone + Default>(&self, address: u64, count: usize) -> Vec<T> {
        let mut values = vec![T::default(); count];
        self.stream.synchronize().expect("no device error");
        // SAFETY: the address came from `alloc`; a range past its end is refused by the stand-in.
        unsafe { result::memcpy_dtoh_sync(&mut values, address) }.expect("a copy");
        values
    }

    /// Waits, asserts that the launch failed with `code`, and returns the report.
    pub fn expect_fault(&self, code: CUresult) -> String {
        let outcome = self.stream.synchronize();
        let report = self.standin.take_report();
        assert_eq!(outcome, Err(DriverError(code)), "report: {report:?}");
        report.expect("a fault comes with a report")
    }

    /// Waits, and asserts that nothing went wrong.
    pub fn expect_clean(&self) {
        let outcome = self.stream.synchronize();
        let report = self.standin.take_report();
        assert_eq!((outcome, report), (Ok(()), None));
    }
}

pub fn compile(text: &str) -> Ptx {
    let options = CompileOptions { fmad: Some(false), arch: Some("compute_90"), ..Default::default() };
    compile_ptx_with_opts(text, options).unwrap_or_else(|e| panic!("{e:?}"))
}

pub fn launch_on(
    stream: &Arc<CudaStream>,
    kernel: &CudaFunction,
    grid: u32,
    block: u32,
    arguments: &[u64],
) -> Result<(), DriverError> {
    let mut builder = stream.launch_builder(kernel);
    for argument in arguments {
        builder.arg(argument);
    }
    let config = LaunchConfig { grid_dim: (grid, 1, 1), block_dim: (block, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: the arguments fit the kernel's parameters; a stray access is what some of the tests are about.
    unsafe { builder.launch(config) }.map(|_| ())
}

/// Loads the function now: a first launch would load it, which captures forbid.
pub fn load_function(kernel: &CudaFunction) {
    // SAFETY: a live function of a live module.
    unsafe { sys::cuFuncLoad(kernel.cu_function()) }.result().expect("the function loads");
}

/// Page-locked host memory, given back at the end.
pub struct Pinned(*mut std::ffi::c_void);

impl Pinned {
    pub fn new(bytes: usize) -> Self {
        // SAFETY: no flags, a positive size.
        Self(unsafe { result::malloc_host(bytes, 0) }.expect("pinned memory"))
    }

    /// The first `count` floats; written and read by queued copies, as the tests mean it.
    pub fn floats(&mut self, count: usize) -> &mut [f32] {
        // SAFETY: page-aligned, and the tests allocate at least this many floats.
        unsafe { std::slice::from_raw_parts_mut(self.0.cast(), count) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: of `malloc_host`, freed once; after a device error there is nothing left to do about it.
        let _ = unsafe { result::free_host(self.0) };
    }
}
