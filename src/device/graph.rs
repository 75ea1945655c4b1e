//! Graphs: capturing what is put on a stream, loops of captured work, instantiation and launch. Start at [`Graph::capture`],
//! and at [`Graph::new`] for a loop.
//!
//! A capture is ended whatever its work comes to, a panic too: a stream that captures for ever would be of no use. What
//! failed is thrown away with all of its nodes.

use std::ffi::c_int;
use std::mem::ManuallyDrop;
use std::ptr;
use std::sync::Arc;

use super::codes;
use super::context::{self, Context};
use super::driver::{self, ConditionalNode, RawGraph, RawGraphExec, RawNode};
use super::stream::Stream;
use crate::error::{Error, Result};

/// Whom a capture forbids the calls that would break it: allocations and waits, above all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CaptureMode {
    /// All threads of the process.
    Global,
    /// The thread that captures.
    ThreadLocal,
}

impl CaptureMode {
    fn raw(self) -> c_int {
        match self {
            CaptureMode::Global => driver::CU_STREAM_CAPTURE_MODE_GLOBAL,
            CaptureMode::ThreadLocal => driver::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL,
        }
    }
}

/// A graph, and with it the bodies of its loops. Neither it nor what is made of it may be used by two threads at once.
#[derive(Debug)]
pub(crate) struct Graph {
    context: Arc<Context>,
    raw: RawGraph,
}

// SAFETY: the driver's handles may be used from any thread, and one at a time does: this is not `Sync`.
unsafe impl Send for Graph {}

/// Where captured work goes: a graph, or the body of a loop in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Body(RawGraph);

impl Body {
    /// How many nodes it has, those of loops not counted.
    pub(crate) fn len(self, context: &Context) -> Result<usize> {
        let mut count = 0;
        // SAFETY: a graph that is alive, as its owner is; null asks for the number alone.
        unsafe { context.driver().cuGraphGetNodes(self.0, ptr::null_mut(), &mut count) }?;
        Ok(count)
    }
}

impl Graph {
    /// What `work` puts on `stream`. The error of `work` is the one that is returned; a capture that was broken meanwhile is
    /// [`Error::Capture`].
    pub(crate) fn capture<E: From<Error>>(
        context: &Arc<Context>,
        stream: &Stream,
        mode: CaptureMode,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<Graph, E> {
        let capturing = Capturing::begin(context, stream, mode)?;
        work()?;
        let raw = capturing.end()?;
        Ok(Graph { context: context.clone(), raw })
    }

    /// An empty graph. Fails where the driver has no conditional nodes: they came with CUDA 12.3.
    pub(crate) fn new(context: &Arc<Context>) -> Result<Graph> {
        context.driver().conditional()?;
        let _current = context.current()?;
        let mut raw = ptr::null_mut();
        // SAFETY: `raw` outlives the call.
        unsafe { context.driver().cuGraphCreate(&mut raw, 0) }?;
        Ok(Graph { context: context.clone(), raw })
    }

    /// What runs once in a launch.
    pub(crate) fn body(&self) -> Body {
        Body(self.raw)
    }

    /// A `CUgraphConditionalHandle` for one loop, whose value is 1 when a launch begins.
    pub(crate) fn handle(&self) -> Result<u64> {
        let newer = self.context.driver().conditional()?;
        let mut handle = 0;
        // SAFETY: a live graph and its context; `handle` outlives the call.
        unsafe {
            newer.cuGraphConditionalHandleCreate(&mut handle, self.raw, self.context.raw(), 1, driver::ASSIGN_DEFAULT)
        }?;
        Ok(handle)
    }

    /// Captures what `work` puts on `stream` into `body`, which is empty and of this graph. Errors as [`Graph::capture`].
    pub(crate) fn add<E: From<Error>>(
        &self,
        body: Body,
        stream: &Stream,
        mode: CaptureMode,
        work: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let capturing = Capturing::begin_into(&self.context, stream, mode, body.0)?;
        work()?;
        capturing.end()?;
        Ok(())
    }

    /// Adds a loop after all that is there: its body runs for as long as the value of `handle` is not 0, which is tested before each
    /// round, the first one too.
    pub(crate) fn repeat(&self, handle: u64) -> Result<Body> {
        let newer = self.context.driver().conditional()?;
        let after = self.nodes()?;
        let mut params = ConditionalNode::repeating(handle, self.context.raw());
        let (mut node, last) = (ptr::null_mut(), after.as_ptr());
        // SAFETY: `after` are nodes of this live graph, without data of edges; `node` and `params` outlive the call.
        unsafe { newer.cuGraphAddNode_v2(&mut node, self.raw, last, ptr::null(), after.len(), &mut params) }?;
        // SAFETY: the call above pointed `bodies` at one graph, which lives for as long as the node.
        Ok(Body(unsafe { *params.bodies }))
    }

    /// How many nodes it has, those of loops not counted.
    pub(crate) fn len(&self) -> Result<usize> {
        self.body().len(&self.context)
    }

    fn nodes(&self) -> Result<Vec<RawNode>> {
        let mut count = self.len()?;
        let mut nodes = vec![ptr::null_mut(); count];
        if count > 0 {
            // SAFETY: a live graph, and room for `count` nodes.
            unsafe { self.context.driver().cuGraphGetNodes(self.raw, nodes.as_mut_ptr(), &mut count) }?;
        }
        Ok(nodes)
    }

    /// Makes it ready to launch.
    pub(crate) fn instantiate(self) -> Result<GraphExec> {
        let relaxed = self.context.relaxed()?;
        let mut raw = ptr::null_mut();
        // SAFETY: a live graph; `raw` outlives the call.
        unsafe { self.context.driver().cuGraphInstantiateWithFlags(&mut raw, self.raw, 0) }?;
        drop(relaxed);
        Ok(GraphExec { raw, graph: self })
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Ok(_relaxed) = self.context.relaxed() {
            // SAFETY: made or captured by this type, destroyed here only. Nothing can be done about an error.
            let _ = unsafe { self.context.driver().cuGraphDestroy(self.raw) };
        }
    }
}

/// A graph that is ready to launch.
#[derive(Debug)]
pub(crate) struct GraphExec {
    raw: RawGraphExec,
    /// Has the handles of loops, for which CUDA states no lifetime of their own.
    graph: Graph,
}

// SAFETY: as for `Graph`.
unsafe impl Send for GraphExec {}

impl GraphExec {
    /// Enqueues it: two driver calls while the context is current.
    pub(crate) fn launch(&self, stream: &Stream) -> Result<()> {
        let context = &self.graph.context;
        stream.expect_context(context)?;
        let _current = context.current()?;
        // SAFETY: the graph and the stream are alive and of the current context. What the graph's nodes need is vouched for, see
        // the room's doc.
        unsafe { context.driver().cuGraphLaunch(self.raw, stream.raw()) }
    }
}

impl Drop for GraphExec {
    fn drop(&mut self) {
        let context = &self.graph.context;
        if let Ok(_relaxed) = context.relaxed() {
            // SAFETY: instantiated by `instantiate`, destroyed here only; the driver lets a launch that runs come to its end.
            let _ = unsafe { context.driver().cuGraphExecDestroy(self.raw) };
        }
    }
}

/// A capture that is open, and ended when this is dropped.
struct Capturing<'a> {
    context: &'a Context,
    stream: &'a Stream,
    /// Into a graph of its own, which nobody has yet.
    own: bool,
}

impl<'a> Capturing<'a> {
    fn begin(context: &'a Context, stream: &'a Stream, mode: CaptureMode) -> Result<Self> {
        let _current = context.current()?;
        // SAFETY: the stream is alive and of the current context.
        unsafe { context.driver().cuStreamBeginCapture_v2(stream.raw(), mode.raw()) }?;
        Ok(Capturing { context, stream, own: true })
    }

    fn begin_into(context: &'a Context, stream: &'a Stream, mode: CaptureMode, graph: RawGraph) -> Result<Self> {
        let newer = context.driver().conditional()?;
        let _current = context.current()?;
        let (none, edges) = (ptr::null(), ptr::null());
        // SAFETY: as above, and a live graph; the capture follows no node of it.
        unsafe { newer.cuStreamBeginCaptureToGraph(stream.raw(), graph, none, edges, 0, mode.raw()) }?;
        Ok(Capturing { context, stream, own: false })
    }

    /// The graph that was captured into.
    fn end(self) -> Result<RawGraph> {
        ManuallyDrop::new(self).finish().map_err(|error| match error {
            Error::Driver { code, name, .. } if codes::is_of_capture(code) => Error::Capture { code, name },
            other => other,
        })
    }

    fn finish(&self) -> Result<RawGraph> {
        let _current = self.context.current()?;
        let mut graph = ptr::null_mut();
        // SAFETY: the stream is alive; `graph` outlives the call.
        unsafe { self.context.driver().cuStreamEndCapture(self.stream.raw(), &mut graph) }?;
        Ok(graph)
    }
}

impl Drop for Capturing<'_> {
    fn drop(&mut self) {
        if let Ok(graph) = self.finish()
            && self.own
            && !graph.is_null()
            && let Ok(_relaxed) = context::relax(self.context.driver(), self.context.raw())
        {
            // SAFETY: the call above handed it out, and nobody else has it.
            let _ = unsafe { self.context.driver().cuGraphDestroy(graph) };
        }
    }
}
