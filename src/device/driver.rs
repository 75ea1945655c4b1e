//! The CUDA driver: finding it without a panic, its functions, and its result codes as errors. Start at [`driver`].

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use libloading::Library;

use super::codes;
use super::functions::functions;
use super::loader::reason;
use crate::error::{Error, Result};

pub(super) type RawContext = *mut c_void;
pub(super) type RawStream = *mut c_void;
pub(super) type RawModule = *mut c_void;
pub(super) type RawFunction = *mut c_void;
pub(super) type RawEvent = *mut c_void;
pub(super) type RawGraph = *mut c_void;
pub(super) type RawGraphExec = *mut c_void;
pub(super) type RawNode = *mut c_void;

// Values of the driver's enums, named as in cuda.h.
pub(super) const CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: c_int = 16;
pub(super) const CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: c_int = 75;
pub(super) const CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: c_int = 76;
pub(super) const CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS: c_int = 88;
pub(super) const CU_FUNC_ATTRIBUTE_NUM_REGS: c_int = 4;
// Special handles, no enums; 0 is the legacy stream too.
pub(super) const CU_STREAM_LEGACY: usize = 1;
pub(super) const CU_STREAM_PER_THREAD: usize = 2;
pub(super) const CU_STREAM_NON_BLOCKING: c_uint = 1;
pub(super) const CU_STREAM_CAPTURE_MODE_GLOBAL: c_int = 0;
pub(super) const CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: c_int = 1;
pub(super) const CU_STREAM_CAPTURE_MODE_RELAXED: c_int = 2;
pub(super) const CU_STREAM_CAPTURE_STATUS_NONE: c_int = 0;
pub(super) const CU_MEMORYTYPE_HOST: u32 = 1;
pub(super) const CU_MEMORYTYPE_DEVICE: u32 = 2;
pub(super) const CU_POINTER_ATTRIBUTE_CONTEXT: c_int = 1;
pub(super) const CU_POINTER_ATTRIBUTE_MEMORY_TYPE: c_int = 2;
pub(super) const CU_POINTER_ATTRIBUTE_DEVICE_POINTER: c_int = 3;
pub(super) const CU_POINTER_ATTRIBUTE_IS_MANAGED: c_int = 8;
pub(super) const CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL: c_int = 9;
pub(super) const CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE: c_int = 10;
pub(super) const CU_POINTER_ATTRIBUTE_RANGE_START_ADDR: c_int = 11;
pub(super) const CU_POINTER_ATTRIBUTE_RANGE_SIZE: c_int = 12;
pub(super) const CU_EVENT_DISABLE_TIMING: c_uint = 2;
pub(super) const CU_MEMHOSTALLOC_PORTABLE: c_uint = 1;
pub(super) const CU_MEMHOSTALLOC_DEVICEMAP: c_uint = 2;

functions! {
    /// The functions that this crate calls; every one is in each driver since CUDA 11.4.
    Functions, check => Result<()>;
    cuInit(flags: c_uint);
    cuDeviceGetCount(count: *mut c_int);
    cuDeviceGet(device: *mut c_int, ordinal: c_int);
    cuDeviceGetName(name: *mut c_char, len: c_int, device: c_int);
    cuDeviceGetAttribute(value: *mut c_int, attribute: c_int, device: c_int);
    cuDeviceCanAccessPeer(can: *mut c_int, device: c_int, peer: c_int);
    cuDevicePrimaryCtxRetain(context: *mut RawContext, device: c_int);
    cuDevicePrimaryCtxRelease_v2(device: c_int);
    cuCtxGetCurrent(context: *mut RawContext);
    cuCtxPushCurrent_v2(context: RawContext);
    cuCtxPopCurrent_v2(context: *mut RawContext);
    cuCtxGetDevice(device: *mut c_int);
    cuThreadExchangeStreamCaptureMode(mode: *mut c_int);
    cuCtxSynchronize();
    cuStreamCreate(stream: *mut RawStream, flags: c_uint);
    cuStreamDestroy_v2(stream: RawStream);
    cuStreamSynchronize(stream: RawStream);
    cuStreamQuery(stream: RawStream);
    cuStreamGetFlags(stream: RawStream, flags: *mut c_uint);
    cuStreamGetCtx(stream: RawStream, context: *mut RawContext);
    cuStreamBeginCapture_v2(stream: RawStream, mode: c_int);
    cuStreamEndCapture(stream: RawStream, graph: *mut RawGraph);
    cuStreamIsCapturing(stream: RawStream, status: *mut c_int);
    cuGraphCreate(graph: *mut RawGraph, flags: c_uint);
    cuGraphDestroy(graph: RawGraph);
    cuGraphGetNodes(graph: RawGraph, nodes: *mut RawNode, count: *mut usize);
    cuGraphInstantiateWithFlags(exec: *mut RawGraphExec, graph: RawGraph, flags: u64);
    cuGraphExecDestroy(exec: RawGraphExec);
    cuGraphLaunch(exec: RawGraphExec, stream: RawStream);
    cuMemAlloc_v2(address: *mut u64, bytes: usize);
    cuMemFree_v2(address: u64);
    cuPointerGetAttributes(count: c_uint, kinds: *mut c_int, values: *mut *mut c_void, address: u64);
    cuMemHostAlloc(memory: *mut *mut c_void, bytes: usize, flags: c_uint);
    cuMemHostGetDevicePointer_v2(address: *mut u64, memory: *mut c_void, flags: c_uint);
    cuMemFreeHost(memory: *mut c_void);
    cuEventCreate(event: *mut RawEvent, flags: c_uint);
    cuEventRecord(event: RawEvent, stream: RawStream);
    cuEventQuery(event: RawEvent);
    cuEventSynchronize(event: RawEvent);
    cuEventDestroy_v2(event: RawEvent);
    cuMemcpyHtoDAsync_v2(to: u64, from: *const c_void, bytes: usize, stream: RawStream);
    cuMemcpyDtoHAsync_v2(to: *mut c_void, from: u64, bytes: usize, stream: RawStream);
    cuMemsetD8Async(address: u64, byte: u8, bytes: usize, stream: RawStream);
    cuMemsetD16Async(address: u64, value: u16, count: usize, stream: RawStream);
    cuMemsetD32Async(address: u64, value: u32, count: usize, stream: RawStream);
    cuModuleLoadData(module: *mut RawModule, image: *const c_void);
    cuModuleUnload(module: RawModule);
    cuModuleGetFunction(function: *mut RawFunction, module: RawModule, name: *const c_char);
    cuFuncGetAttribute(value: *mut c_int, attribute: c_int, function: RawFunction);
    cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks: *mut c_int, function: RawFunction, block: c_int, shared: usize);
    cuLaunchKernel(
        function: RawFunction,
        grid_x: c_uint, grid_y: c_uint, grid_z: c_uint,
        block_x: c_uint, block_y: c_uint, block_z: c_uint,
        shared: c_uint, stream: RawStream, params: *mut *mut c_void, extra: *mut *mut c_void
    );
}

functions! {
    /// Conditional nodes, which drivers have since CUDA 12.3.
    Conditional, check => Result<()>;
    cuGraphConditionalHandleCreate(
        handle: *mut u64, graph: RawGraph, context: RawContext, default_value: c_uint, flags: c_uint
    );
    cuGraphAddNode_v2(
        node: *mut RawNode, graph: RawGraph, after: *const RawNode, edges: *const c_void, count: usize,
        params: *mut ConditionalNode
    );
    cuStreamBeginCaptureToGraph(
        stream: RawStream, graph: RawGraph, after: *const RawNode, edges: *const c_void, count: usize, mode: c_int
    );
}

pub(super) const ASSIGN_DEFAULT: c_uint = 1;
const CU_GRAPH_NODE_TYPE_CONDITIONAL: c_int = 13;
const CU_GRAPH_COND_TYPE_WHILE: c_int = 1;

/// `CUgraphNodeParams`, for a conditional node.
#[repr(C)]
pub(super) struct ConditionalNode {
    kind: c_int,
    reserved0: [c_int; 3],
    handle: u64,
    conditional: c_int,
    size: c_uint,
    /// Out: the driver's own array of `size` graphs.
    pub bodies: *const RawGraph,
    context: RawContext,
    /// Up to the size of the largest member of the union.
    rest: [u64; 25],
    reserved2: i64,
}

const _: () = assert!(size_of::<ConditionalNode>() == 256, "cuda.h: CUgraphNodeParams");

impl ConditionalNode {
    /// A WHILE node.
    pub(super) fn repeating(handle: u64, context: RawContext) -> Self {
        Self {
            kind: CU_GRAPH_NODE_TYPE_CONDITIONAL,
            reserved0: [0; 3],
            handle,
            conditional: CU_GRAPH_COND_TYPE_WHILE,
            size: 1,
            bodies: std::ptr::null(),
            context,
            rest: [0; 25],
            reserved2: 0,
        }
    }
}

/// The loaded, initialized driver. It is never unloaded: other libraries of the process share it.
pub(super) struct Driver {
    functions: Functions,
    func_load: Option<unsafe extern "C" fn(RawFunction) -> u32>,
    /// Or the name of a function that is missing.
    conditional: std::result::Result<Conditional, &'static str>,
    _library: Library,
}

impl std::ops::Deref for Driver {
    type Target = Functions;

    fn deref(&self) -> &Functions {
        &self.functions
    }
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Driver")
    }
}

impl Driver {
    /// `cuFuncLoad`, which drivers have since CUDA 12.4; older ones load in `cuFuncGetAttribute`.
    ///
    /// # Safety
    /// * `function` belongs to a loaded module of the current context.
    pub(super) unsafe fn load_function(&self, function: RawFunction) -> Result<()> {
        let Some(func_load) = self.func_load else { return Ok(()) };
        // SAFETY: passed on to the caller.
        check("cuFuncLoad", unsafe { func_load(function) })
    }

    /// The functions for conditional nodes.
    pub(super) fn conditional(&self) -> Result<&Conditional> {
        self.conditional.as_ref().map_err(|symbol| {
            let rule = format!("must have {symbol} for a loop in a graph: capture single steps instead");
            Error::argument("driver", "older than CUDA 12.3", rule)
        })
    }

    /// The number of devices, 0 included.
    pub(super) fn device_count(&self) -> Result<u32> {
        let mut count = 0;
        // SAFETY: `count` outlives the call.
        unsafe { self.cuDeviceGetCount(&mut count) }?;
        Ok(count.max(0) as u32)
    }
}

/// The driver, with at least one device. A success is remembered; a failure is looked into again by the next call.
pub(super) fn driver() -> Result<&'static Driver> {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    if let Some(driver) = DRIVER.get() {
        return Ok(driver);
    }
    let driver = load()?;
    // SAFETY: cuInit may be called at any time, any number of times.
    match unsafe { driver.cuInit(0) } {
        Err(Error::Driver { code: codes::NO_DEVICE, .. }) => {
            return Err(Error::NoDevice { detail: "cuInit returned CUDA_ERROR_NO_DEVICE".into() });
        }
        outcome => outcome?,
    }
    match driver.device_count() {
        Ok(0) | Err(Error::Driver { code: codes::NO_DEVICE, .. }) => {
            return Err(Error::NoDevice { detail: "the driver counts 0 devices".into() });
        }
        outcome => outcome?,
    };
    Ok(DRIVER.get_or_init(|| driver))
}

/// Loads the library under the names, and in the order, that cudarc tries, so that an engine and we share one.
fn load() -> Result<Driver> {
    let names: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };
    let mut refusals = Vec::new();
    for &name in names {
        // SAFETY: the initializers of NVIDIA's driver library are sound to run at any time, on any thread.
        match unsafe { Library::new(name) } {
            Ok(library) => match Functions::bind(&library) {
                Ok(functions) => {
                    // SAFETY: cuda.h declares CUresult cuFuncLoad(CUfunction).
                    let func_load = unsafe { library.get("cuFuncLoad") }.ok().map(|symbol| *symbol);
                    let conditional = Conditional::bind(&library);
                    return Ok(Driver { functions, func_load, conditional, _library: library });
                }
                Err(symbol) => refusals.push(format!("{name} is older than CUDA 11.4 (it lacks {symbol})")),
            },
            Err(error) => refusals.push(reason(&error)),
        }
    }
    Err(Error::NoDriver { detail: refusals.join("; ") })
}

/// A result code as a [`Result`].
pub(super) fn check(call: &'static str, code: u32) -> Result<()> {
    match code {
        codes::SUCCESS => Ok(()),
        code => Err(Error::Driver { call, code, name: codes::name(code) }),
    }
}
