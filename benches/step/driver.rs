//! The driver, as the bench uses it for itself: memory, kernels, graphs and events on one stream. Every call that steps
//! are made of is a single driver call, so that the ways to schedule on the host are not charged for a wrapper.
//!
//! Handles live as long as the process's primary context; they are used by the thread that opened the [`Gpu`].

use std::ffi::{CString, c_void};
use std::mem::MaybeUninit;
use std::sync::Arc;

use bytemuck::Pod;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute};
use cudarc::driver::{CudaContext, CudaStream, result};
use instep::{Device, Source, Stream};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The first CUDA device, its primary context current on this thread, with one stream.
pub struct Gpu {
    pub device: Device,
    /// As an optimizer takes it; `raw` is the same stream.
    pub stream: Stream,
    raw: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

impl Gpu {
    /// Only where a driver with a device is known to be: cudarc panics without one.
    pub fn open() -> Result<Gpu> {
        let context = CudaContext::new(0)?;
        // SAFETY: all work of the bench goes to one stream, which orders it.
        unsafe { context.disable_event_tracking() };
        let raw = context.new_stream()?;
        let device = Device::from_cudarc(&context)?;
        Ok(Gpu { stream: device.stream(&raw)?, device, raw, context })
    }

    pub fn multiprocessors(&self) -> Result<u32> {
        Ok(self.context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as u32)
    }

    pub fn l2_bytes(&self) -> Result<u64> {
        Ok(self.context.attribute(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)? as u64)
    }

    pub fn free_bytes(&self) -> Result<u64> {
        Ok(result::mem_get_info()?.0 as u64)
    }

    /// The newest CUDA version that the driver runs, e.g. 13000.
    pub fn driver_version(&self) -> Result<i32> {
        let mut version = 0;
        // SAFETY: writes one int.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
        Ok(version)
    }

    /// Waits for all work on the stream.
    pub fn wait(&self) -> Result<()> {
        Ok(self.stream.synchronize()?)
    }

    /// Copies `values` to the device; they are there when the call returns.
    pub fn upload<T: Pod>(&self, address: u64, values: &[T]) -> Result<()> {
        self.wait()?;
        // SAFETY: callers give addresses inside a live `Memory` with room for `values`.
        Ok(unsafe { result::memcpy_htod_sync(address, values) }?)
    }

    /// `len` values from the device, after all work on the stream.
    pub fn read<T: Pod>(&self, address: u64, len: usize) -> Result<Vec<T>> {
        self.wait()?;
        let mut values = vec![T::zeroed(); len];
        // SAFETY: callers give addresses inside a live `Memory` that holds `len` values.
        unsafe { result::memcpy_dtoh_sync(&mut values, address) }?;
        Ok(values)
    }

    /// Enqueues a copy of one value from pinned memory.
    pub fn copy_from_pinned<T: Pod>(&self, to: u64, from: &Pinned<T>, index: usize) -> Result<()> {
        let value = &from.values()[index..=index];
        // SAFETY: `to` has room for a `T`; `from` outlives the copy, as its owner waits before it drops or rewrites it.
        Ok(unsafe { result::memcpy_htod_async(to, value, self.raw.cu_stream()) }?)
    }

    /// Enqueues a copy of `bytes` on the device.
    pub fn copy(&self, to: u64, from: u64, bytes: usize) -> Result<()> {
        // SAFETY: callers give two live allocations of at least `bytes`.
        Ok(unsafe { result::memcpy_dtod_async(to, from, bytes, self.raw.cu_stream()) }?)
    }

    /// Compiles `text` with the library's compiler settings and headers, and `extra` ones, and loads its kernels `names`.
    pub fn kernels<const N: usize>(
        &self,
        name: &str,
        text: &str,
        extra: &[(&str, &str)],
        names: [&str; N],
    ) -> Result<[Kernel; N]> {
        let headers = KERNEL_FILES.iter().filter(|(name, _)| name.ends_with(".cuh")).copied();
        let headers: Vec<_> = headers.chain(extra.iter().copied()).collect();
        let image = self.device.compile(&Source { name, text, headers: &headers })?;
        // SAFETY: a whole image, as the compiler gave it. The module stays loaded until the process ends.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }?;
        let mut kernels = [Kernel(std::ptr::null_mut()); N];
        for (kernel, name) in kernels.iter_mut().zip(names) {
            // SAFETY: the module is loaded.
            kernel.0 = unsafe { result::module::get_function(module, CString::new(name)?) }?;
            // The driver loads lazily, and may not do so inside a capture: a question about a kernel loads it.
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_NUM_REGS;
            // SAFETY: as above.
            unsafe { result::function::get_function_attribute(kernel.0, attribute) }?;
        }
        Ok(kernels)
    }

    /// Enqueues `kernel`.
    ///
    /// # Safety
    /// * `parameters` point to values of the types that the kernel takes, in order; addresses in them stay valid until the
    ///   stream has passed the launch.
    pub unsafe fn launch(&self, kernel: Kernel, grid: u32, threads: u32, parameters: &mut [*mut c_void]) -> Result<()> {
        let (grid, block) = ((grid, 1, 1), (threads, 1, 1));
        // SAFETY: the kernel is loaded for good; the caller vouches for the parameters.
        Ok(unsafe { result::launch_kernel(kernel.0, grid, block, 0, self.raw.cu_stream(), parameters) }?)
    }

    /// Captures what `enqueue` puts on the stream, kernels only, in GLOBAL mode.
    pub fn capture(&self, enqueue: impl FnOnce() -> Result<()>) -> Result<Graph> {
        self.raw.begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
        let enqueued = enqueue();
        // SAFETY: the stream is alive and captures.
        let graph = unsafe { result::stream::end_capture(self.raw.cu_stream()) }?;
        enqueued?;
        Graph::new(graph)
    }

    pub fn replay(&self, graph: &Graph) -> Result<()> {
        // SAFETY: both handles are alive.
        Ok(unsafe { result::graph::launch(graph.executable, self.raw.cu_stream()) }?)
    }

    /// Seconds that the stream spends on what `enqueue` puts on it.
    pub fn seconds(&self, events: &Events, enqueue: impl FnOnce() -> Result<()>) -> Result<f64> {
        // SAFETY: both handles are alive.
        unsafe { result::event::record(events.begin, self.raw.cu_stream()) }?;
        enqueue()?;
        // SAFETY: as above.
        unsafe { result::event::record(events.end, self.raw.cu_stream()) }?;
        self.wait()?;
        // SAFETY: both events were recorded on one stream, which has passed them.
        Ok(f64::from(unsafe { result::event::elapsed(events.begin, events.end) }?) / 1e3)
    }
}

/// The library's kernels, as its build found them: file name and text.
static KERNEL_FILES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/kernels.rs"));

/// A parameter for [`Gpu::launch`].
pub fn parameter<T: Pod>(value: &T) -> *mut c_void {
    std::ptr::from_ref(value).cast_mut().cast()
}

/// A loaded kernel.
#[derive(Clone, Copy)]
pub struct Kernel(sys::CUfunction);

/// Device memory; never empty.
pub struct Memory(u64);

impl Memory {
    pub fn new(bytes: u64) -> Result<Memory> {
        // SAFETY: whoever reads it fills it before; the bench reads plain numbers only.
        Ok(Memory(unsafe { result::malloc_sync(bytes.max(16) as usize) }?))
    }

    pub fn zeroed(gpu: &Gpu, bytes: u64) -> Result<Memory> {
        let memory = Memory::new(bytes)?;
        memory.zero(gpu, bytes)?;
        Ok(memory)
    }

    pub fn zero(&self, gpu: &Gpu, bytes: u64) -> Result<()> {
        // SAFETY: the allocation has at least `bytes`.
        Ok(unsafe { result::memset_d8_async(self.0, 0, bytes as usize, gpu.raw.cu_stream()) }?)
    }

    pub fn address(&self) -> u64 {
        self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once; freeing waits for the work that uses it.
        let _ = unsafe { result::free_sync(self.0) };
    }
}

/// Page-locked host memory, which the device copies from while the host goes on.
pub struct Pinned<T> {
    values: *mut T,
    len: usize,
}

impl<T: Pod> Pinned<T> {
    pub fn new(len: usize) -> Result<Pinned<T>> {
        // SAFETY: every value is written before it is copied from.
        let values = unsafe { result::malloc_host(len * size_of::<T>(), 0) }?.cast::<T>();
        // SAFETY: the allocation holds `len` values, and all-zero bytes are a `T`.
        unsafe { values.write_bytes(0, len) };
        Ok(Pinned { values, len })
    }

    pub fn values(&self) -> &[T] {
        // SAFETY: allocated and zeroed in `new`.
        unsafe { std::slice::from_raw_parts(self.values, self.len) }
    }

    pub fn values_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.values, self.len) }
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // SAFETY: allocated once, freed once.
        let _ = unsafe { result::free_host(self.values.cast()) };
    }
}

/// A captured graph of kernels, instantiated.
pub struct Graph {
    graph: sys::CUgraph,
    executable: sys::CUgraphExec,
    first: sys::CUgraphNode,
    shape: sys::CUDA_KERNEL_NODE_PARAMS,
    pub kernels: usize,
}

impl Graph {
    fn new(graph: sys::CUgraph) -> Result<Graph> {
        let mut kernels = 0;
        // SAFETY: a null list asks for the number alone.
        unsafe { sys::cuGraphGetNodes(graph, std::ptr::null_mut(), &mut kernels) }.result()?;
        let mut nodes = vec![std::ptr::null_mut(); kernels];
        // SAFETY: room for as many nodes as it says.
        unsafe { sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut kernels) }.result()?;
        let first = *nodes.first().ok_or("the captured graph is empty")?;
        let mut shape = MaybeUninit::uninit();
        // SAFETY: the node is a kernel, since kernels alone are captured.
        unsafe { sys::cuGraphKernelNodeGetParams_v2(first, shape.as_mut_ptr()) }.result()?;
        // SAFETY: the call above has filled it.
        let shape = unsafe { shape.assume_init() };
        // SAFETY: the graph is alive.
        let executable = unsafe { result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0)) }?;
        Ok(Graph { graph, executable, first, shape, kernels })
    }

    /// Replaces the parameters of the first kernel, for replays from now on.
    ///
    /// # Safety
    /// * As for [`Gpu::launch`], until the last replay is done.
    pub unsafe fn set_parameters(&self, parameters: &mut [*mut c_void]) -> Result<()> {
        let shape = sys::CUDA_KERNEL_NODE_PARAMS {
            kernelParams: parameters.as_mut_ptr(),
            extra: std::ptr::null_mut(),
            ..self.shape
        };
        // SAFETY: the node belongs to the graph; the caller vouches for the parameters, which the driver copies.
        Ok(unsafe { sys::cuGraphExecKernelNodeSetParams_v2(self.executable, self.first, &shape) }.result()?)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: instantiated once, destroyed once; replays in flight finish.
        let _ = unsafe { result::graph::exec_destroy(self.executable) };
        // SAFETY: captured once, destroyed once.
        let _ = unsafe { result::graph::destroy(self.graph) };
    }
}

/// Two marks on the stream with a time each.
pub struct Events {
    begin: sys::CUevent,
    end: sys::CUevent,
}

impl Events {
    pub fn new() -> Result<Events> {
        let flags = sys::CUevent_flags::CU_EVENT_DEFAULT;
        Ok(Events { begin: result::event::create(flags)?, end: result::event::create(flags)? })
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        for event in [self.begin, self.end] {
            // SAFETY: created once, destroyed once.
            let _ = unsafe { result::event::destroy(event) };
        }
    }
}
