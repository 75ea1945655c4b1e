//! A CUDA graph that is a loop: captured work, repeated on the device until a kernel of it says that this was the last
//! time. Knows cudarc and nothing else of the program it is in. Start at [`WhileLoop::capture`].
//!
//! Three driver functions are newer than the rest, of CUDA 12.3. They are looked up by name: with an older driver that is
//! an [`unavailable`] function, where cudarc's own bindings would panic, and with an older toolkit they would not compile.

use std::error::Error;
use std::ffi::{c_int, c_uint, c_void};
use std::ptr;
use std::sync::{Arc, OnceLock};

use cudarc::driver::sys::{CUcontext, CUgraph, CUgraphExec, CUgraphNode, CUstream};
use cudarc::driver::{CudaStream, DriverError, result, sys};
use libloading::Library;

type BoxedError = Box<dyn Error>;
type Result<T> = std::result::Result<T, BoxedError>;

const CAPTURE_MODE_GLOBAL: c_int = 0;
const ASSIGN_DEFAULT: c_uint = 1;
const NODE_TYPE_CONDITIONAL: c_int = 13;
const CONDITIONAL_WHILE: c_int = 1;

/// `CUgraphNodeParams`, for a conditional node.
#[repr(C)]
struct NodeParams {
    kind: c_int,
    reserved0: [c_int; 3],
    handle: u64,
    conditional: c_int,
    size: c_uint,
    /// Out: the driver's own array of `size` graphs.
    bodies: *const CUgraph,
    context: CUcontext,
    /// Up to the size of the largest member of the union.
    rest: [u64; 25],
    reserved2: i64,
}

const _: () = assert!(size_of::<NodeParams>() == 256, "cuda.h: CUgraphNodeParams");

type HandleCreate = unsafe extern "C" fn(*mut u64, CUgraph, CUcontext, c_uint, c_uint) -> c_uint;
type AddNode = unsafe extern "C" fn(
    *mut CUgraphNode,
    CUgraph,
    *const CUgraphNode,
    *const c_void,
    usize,
    *mut NodeParams,
) -> c_uint;
type BeginCapture = unsafe extern "C" fn(CUstream, CUgraph, *const CUgraphNode, *const c_void, usize, c_int) -> c_uint;

/// The functions that came with CUDA 12.3.
struct Newer {
    handle_create: HandleCreate,
    add_node: AddNode,
    begin_capture: BeginCapture,
    _library: Library,
}

/// Why the driver has no conditional nodes, if it has none. A CUDA context must have been made before.
pub fn unavailable() -> Option<&'static str> {
    newer().err()
}

fn newer() -> std::result::Result<&'static Newer, &'static str> {
    static NEWER: OnceLock<std::result::Result<Newer, String>> = OnceLock::new();
    NEWER.get_or_init(load).as_ref().map_err(String::as_str)
}

fn load() -> std::result::Result<Newer, String> {
    let names: &[&str] = if cfg!(windows) { &["nvcuda.dll"] } else { &["libcuda.so", "libcuda.so.1"] };
    // SAFETY: the library is loaded already, under one of the names that cudarc tries; its initializers have run.
    let library = names.iter().find_map(|name| unsafe { Library::new(*name) }.ok()).ok_or("no CUDA driver")?;
    let missing = |error: libloading::Error| format!("the driver is older than CUDA 12.3: {error}");
    // SAFETY: the type is that of the function in cuda.h; `_library` keeps it loaded.
    let handle_create = *unsafe { library.get::<HandleCreate>("cuGraphConditionalHandleCreate") }.map_err(missing)?;
    // SAFETY: as above.
    let add_node = *unsafe { library.get::<AddNode>("cuGraphAddNode_v2") }.map_err(missing)?;
    // SAFETY: as above.
    let begin_capture = *unsafe { library.get::<BeginCapture>("cuStreamBeginCaptureToGraph") }.map_err(missing)?;
    Ok(Newer { handle_create, add_node, begin_capture, _library: library })
}

/// The instantiated graph. What was captured must live for as long as this.
pub struct WhileLoop {
    exec: CUgraphExec,
    stream: Arc<CudaStream>,
    /// Has the handle, for which CUDA states no lifetime of its own.
    _graph: Graph,
}

impl WhileLoop {
    /// Captures `first`, which runs once per launch, then `body`, which runs for as long as the value of the handle is not
    /// 0. Both are given that `CUgraphConditionalHandle`, and put their work on `stream`. Each launch begins with the value
    /// 1; a kernel of `body` is to set it, and one of `first` may. The capture's mode is GLOBAL: the other threads' calls
    /// may not wait or allocate meanwhile.
    pub fn capture(
        stream: &Arc<CudaStream>,
        first: impl FnOnce(u64) -> Result<()>,
        body: impl FnOnce(u64) -> Result<()>,
    ) -> Result<WhileLoop> {
        let newer = newer()?;
        stream.context().bind_to_thread()?;
        let context = stream.context().cu_ctx();
        let graph = Graph::new()?;

        let mut handle = 0;
        // SAFETY: a live graph and its context; `handle` outlives the call.
        check("cuGraphConditionalHandleCreate", unsafe {
            (newer.handle_create)(&mut handle, graph.0, context, 1, ASSIGN_DEFAULT)
        })?;
        capture_into(newer, graph.0, stream, || first(handle))?;

        let before = graph.nodes()?;
        let mut params = NodeParams {
            kind: NODE_TYPE_CONDITIONAL,
            reserved0: [0; 3],
            handle,
            conditional: CONDITIONAL_WHILE,
            size: 1,
            bodies: ptr::null(),
            context,
            rest: [0; 25],
            reserved2: 0,
        };
        let mut node = ptr::null_mut();
        // SAFETY: `before` are nodes of this live graph; `node` and `params` outlive the call.
        check("cuGraphAddNode_v2", unsafe {
            (newer.add_node)(&mut node, graph.0, before.as_ptr(), ptr::null(), before.len(), &mut params)
        })?;
        // SAFETY: the call above pointed `bodies` at one graph, which lives for as long as the node.
        let inner = unsafe { *params.bodies };
        capture_into(newer, inner, stream, || body(handle))?;

        let mut exec = ptr::null_mut();
        // SAFETY: a live graph; `exec` outlives the call.
        unsafe { sys::cuGraphInstantiateWithFlags(&mut exec, graph.0, 0) }.result()?;
        Ok(WhileLoop { exec, stream: stream.clone(), _graph: graph })
    }

    /// Enqueues the whole loop on the stream that it was captured on.
    pub fn launch(&self) -> std::result::Result<(), DriverError> {
        self.stream.context().bind_to_thread()?;
        // SAFETY: the graph and the stream are alive, and so is what was captured, by the type's contract.
        unsafe { result::graph::launch(self.exec, self.stream.cu_stream()) }
    }
}

impl Drop for WhileLoop {
    fn drop(&mut self) {
        // SAFETY: instantiated by `capture`, destroyed here only; the driver lets a launch that runs come to its end.
        // Only a context that is broken refuses, and then the error has been seen elsewhere.
        let _ = unsafe { result::graph::exec_destroy(self.exec) };
    }
}

/// A graph, and with it its conditional nodes and their bodies.
struct Graph(CUgraph);

impl Graph {
    fn new() -> std::result::Result<Graph, DriverError> {
        let mut graph = ptr::null_mut();
        // SAFETY: `graph` outlives the call.
        unsafe { sys::cuGraphCreate(&mut graph, 0) }.result()?;
        Ok(Graph(graph))
    }

    fn nodes(&self) -> std::result::Result<Vec<CUgraphNode>, DriverError> {
        let mut count = 0;
        // SAFETY: a live graph; null asks for the number alone.
        unsafe { sys::cuGraphGetNodes(self.0, ptr::null_mut(), &mut count) }.result()?;
        let mut nodes = vec![ptr::null_mut(); count];
        if count > 0 {
            // SAFETY: room for `count` nodes.
            unsafe { sys::cuGraphGetNodes(self.0, nodes.as_mut_ptr(), &mut count) }.result()?;
        }
        Ok(nodes)
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed here only. A refusal is as for `WhileLoop`.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

/// Captures what `work` puts on `stream` into `graph`, as its first nodes.
fn capture_into(
    newer: &Newer,
    graph: CUgraph,
    stream: &Arc<CudaStream>,
    work: impl FnOnce() -> Result<()>,
) -> Result<()> {
    // SAFETY: a live stream and graph; no dependencies and no data of theirs.
    check("cuStreamBeginCaptureToGraph", unsafe {
        (newer.begin_capture)(stream.cu_stream(), graph, ptr::null(), ptr::null(), 0, CAPTURE_MODE_GLOBAL)
    })?;
    let worked = work();
    // The capture ends in any case: the stream would be of no use otherwise.
    // SAFETY: the stream is capturing since the call above; the graph that comes back is the one it captures into.
    let ended = unsafe { result::stream::end_capture(stream.cu_stream()) };
    worked?;
    ended?;
    Ok(())
}

/// A code is compared as a number: it may be newer than the names that cudarc has.
fn check(call: &str, code: c_uint) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(format!("{call} failed with CUresult {code}").into()),
    }
}
