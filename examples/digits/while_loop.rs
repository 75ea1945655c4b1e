//! A CUDA graph that is a loop: captured work, repeated on the device until a kernel of it says that this was the last
//! time. Loops may hold loops. Knows cudarc and nothing else of the program it is in. Start at [`WhileLoop::capture`], and
//! at [`WhileLoop::build`] for more than one loop.
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
    /// 1; a kernel of `body` is to set it, and one of `first` may.
    pub fn capture(
        stream: &Arc<CudaStream>,
        first: impl FnOnce(u64) -> Result<()>,
        body: impl FnOnce(u64) -> Result<()>,
    ) -> Result<WhileLoop> {
        Self::build(stream, |whole| {
            let handle = whole.handle()?;
            whole.work(|| first(handle))?;
            whole.repeat(handle, |rounds| rounds.work(|| body(handle)))
        })
    }

    /// A graph of what `fill` adds to the sequence that it is given. All captures are in mode GLOBAL: the other threads'
    /// calls may not wait or allocate meanwhile.
    pub fn build(stream: &Arc<CudaStream>, fill: impl FnOnce(&mut Sequence<'_>) -> Result<()>) -> Result<WhileLoop> {
        let newer = newer()?;
        stream.context().bind_to_thread()?;
        let graph = Graph::new()?;
        fill(&mut Sequence { newer, stream, graph: graph.0, last: Vec::new() })?;
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
        // SAFETY: instantiated by `build`, destroyed here only; the driver lets a launch that runs come to its end.
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
}

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: made by `new`, destroyed here only. A refusal is as for `WhileLoop`.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

/// What a launch, or one round of a loop, does: one thing after the other.
pub struct Sequence<'a> {
    newer: &'static Newer,
    stream: &'a Arc<CudaStream>,
    /// Lives for as long as the graph that is built.
    graph: CUgraph,
    /// The nodes that the next one waits for, and by them for all before.
    last: Vec<CUgraphNode>,
}

impl Sequence<'_> {
    /// The handle of one loop of this sequence, to be given to [`Sequence::repeat`]. Its value is 1 when a launch begins,
    /// but not when a round of a loop around does: there a kernel is to set it before.
    pub fn handle(&self) -> Result<u64> {
        let mut handle = 0;
        // SAFETY: a live graph and its context; `handle` outlives the call.
        check("cuGraphConditionalHandleCreate", unsafe {
            (self.newer.handle_create)(&mut handle, self.graph, self.stream.context().cu_ctx(), 1, ASSIGN_DEFAULT)
        })?;
        Ok(handle)
    }

    /// Captures what `work` puts on the stream.
    pub fn work(&mut self, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let before = nodes(self.graph)?;
        let (stream, last) =
            (self.stream.cu_stream(), if self.last.is_empty() { ptr::null() } else { self.last.as_ptr() });
        // SAFETY: a live stream, and nodes of this live graph; no data of their edges.
        check("cuStreamBeginCaptureToGraph", unsafe {
            (self.newer.begin_capture)(stream, self.graph, last, ptr::null(), self.last.len(), CAPTURE_MODE_GLOBAL)
        })?;
        let worked = work();
        // The capture ends in any case: the stream would be of no use otherwise.
        // SAFETY: the stream is capturing since the call above; the graph that comes back is the one it captures into.
        let ended = unsafe { result::stream::end_capture(stream) };
        worked?;
        ended?;
        let mut added = nodes(self.graph)?;
        added.retain(|node| !before.contains(node));
        if !added.is_empty() {
            self.last = added;
        }
        Ok(())
    }

    /// Adds a loop: the rounds that `fill` describes, for as long as the value of `handle` is not 0. It is tested before
    /// each round, the first one too.
    pub fn repeat(&mut self, handle: u64, fill: impl FnOnce(&mut Sequence<'_>) -> Result<()>) -> Result<()> {
        let mut params = NodeParams {
            kind: NODE_TYPE_CONDITIONAL,
            reserved0: [0; 3],
            handle,
            conditional: CONDITIONAL_WHILE,
            size: 1,
            bodies: ptr::null(),
            context: self.stream.context().cu_ctx(),
            rest: [0; 25],
            reserved2: 0,
        };
        let (mut node, last) = (ptr::null_mut(), self.last.as_ptr());
        // SAFETY: `last` are nodes of this live graph; `node` and `params` outlive the call.
        check("cuGraphAddNode_v2", unsafe {
            (self.newer.add_node)(&mut node, self.graph, last, ptr::null(), self.last.len(), &mut params)
        })?;
        self.last = vec![node];
        // SAFETY: the call above pointed `bodies` at one graph, which lives for as long as the node.
        let graph = unsafe { *params.bodies };
        fill(&mut Sequence { newer: self.newer, stream: self.stream, graph, last: Vec::new() })
    }
}

/// The nodes of a live graph, without those of its loops' rounds.
fn nodes(graph: CUgraph) -> std::result::Result<Vec<CUgraphNode>, DriverError> {
    let mut count = 0;
    // SAFETY: a live graph; null asks for the number alone.
    unsafe { sys::cuGraphGetNodes(graph, ptr::null_mut(), &mut count) }.result()?;
    let mut nodes = vec![ptr::null_mut(); count];
    if count > 0 {
        // SAFETY: room for `count` nodes.
        unsafe { sys::cuGraphGetNodes(graph, nodes.as_mut_ptr(), &mut count) }.result()?;
    }
    Ok(nodes)
}

/// A code is compared as a number: it may be newer than the names that cudarc has.
fn check(call: &str, code: c_uint) -> Result<()> {
    match code {
        0 => Ok(()),
        code => Err(format!("{call} failed with CUresult {code}").into()),
    }
}
