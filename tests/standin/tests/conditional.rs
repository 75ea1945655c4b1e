//! Conditional nodes: how often a body runs, who may set its value, what is refused.

mod rig;

use std::ffi::{c_int, c_void};
use std::ptr;

use cudarc::driver::sys::CUresult::{self, *};
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use cudarc::driver::sys::{
    CUgraph, CUgraphConditionalNodeType as Type, CUgraphExec, CUgraphNode, CUgraphNodeParams, CUgraphNodeType,
};
use cudarc::driver::{CudaFunction, DriverError, sys};
use rig::{Rig, launch_on, load_function};

/// All of them take two arguments of 8 bytes.
const TEXT: &str = r#"
typedef unsigned long long u64;
extern "C" __device__ void cudaGraphSetConditional(u64 handle, unsigned int value);
extern "C" __global__ void add(float* value, u64 addend) { __stcg(value, __ldcg(value) + float(addend)); }
extern "C" __global__ void scale(float* value, u64 factor) { __stcg(value, __ldcg(value) * float(factor)); }
extern "C" __global__ void count_down(float* value, u64 handle) {
    const float left = __ldcg(value) - 1.0f;
    __stcg(value, left);
    cudaGraphSetConditional(handle, left > 0.0f);
}
extern "C" __global__ void set(u64 handle, u64 value) { cudaGraphSetConditional(handle, value); }
"#;

struct Bench {
    add: CudaFunction,
    scale: CudaFunction,
    count_down: CudaFunction,
    set: CudaFunction,
    value: u64,
    left: u64,
    rig: Rig,
}

impl Bench {
    fn new() -> Self {
        let rig = Rig::new();
        let module = rig.load_once(TEXT);
        let [add, scale, count_down, set] = ["add", "scale", "count_down", "set"].map(|name| {
            let kernel = module.load_function(name).expect("the text has it");
            load_function(&kernel);
            kernel
        });
        let (value, left) = (rig.alloc(&[0.0f32]), rig.alloc(&[5.0f32]));
        Self { add, scale, count_down, set, value, left, rig }
    }

    fn graph(&self) -> CUgraph {
        let mut graph = ptr::null_mut();
        // SAFETY: writes one handle.
        unsafe { sys::cuGraphCreate(&mut graph, 0) }.result().expect("a graph");
        graph
    }

    /// A handle whose value is `default` at each launch, if there is one.
    fn handle(&self, graph: CUgraph, default: Option<u32>) -> u64 {
        let (mut handle, flags) = (0, u32::from(default.is_some()));
        let context = self.rig.context.cu_ctx();
        // SAFETY: writes one handle.
        unsafe { sys::cuGraphConditionalHandleCreate(&mut handle, graph, context, default.unwrap_or(0), flags) }
            .result()
            .expect("a handle");
        handle
    }

    fn params(&self, kind: Type, handle: u64) -> CUgraphNodeParams {
        // SAFETY: plain data, for which zeros are valid.
        let mut params: CUgraphNodeParams = unsafe { std::mem::zeroed() };
        params.type_ = CUgraphNodeType::CU_GRAPH_NODE_TYPE_CONDITIONAL;
        params.__bindgen_anon_1.conditional = sys::CUDA_CONDITIONAL_NODE_PARAMS {
            handle,
            type_: kind,
            size: 1,
            phGraph_out: ptr::null_mut(),
            ctx: self.rig.context.cu_ctx(),
        };
        params
    }

    /// The node and its body.
    fn node(&self, graph: CUgraph, kind: Type, handle: u64, after: &[CUgraphNode]) -> (CUgraphNode, CUgraph) {
        let mut params = self.params(kind, handle);
        let node = add(graph, &mut params, after).expect("a node");
        (node, body_of(&mut params))
    }

    /// Captures `work` into `graph`, after the nodes `after`.
    fn capture(&self, graph: CUgraph, after: &[CUgraphNode], work: impl FnOnce()) -> Result<(), DriverError> {
        let stream = self.rig.stream.cu_stream();
        let (first, mode) =
            (if after.is_empty() { ptr::null() } else { after.as_ptr() }, CU_STREAM_CAPTURE_MODE_GLOBAL);
        // SAFETY: the stream is alive; whether the rest is, is what some tests are about.
        unsafe { sys::cuStreamBeginCaptureToGraph(stream, graph, first, ptr::null(), after.len(), mode) }.result()?;
        work();
        let mut captured = ptr::null_mut();
        // SAFETY: as above.
        unsafe { sys::cuStreamEndCapture(stream, &mut captured) }.result()?;
        assert_eq!(captured, graph, "the capture ends with the graph that it went into");
        Ok(())
    }

    fn launch(&self, kernel: &CudaFunction, first: u64, second: u64) {
        launch_on(&self.rig.stream, kernel, 1, 1, &[first, second]).expect("a launch");
    }

    fn run(&self, exec: CUgraphExec) -> Result<(), DriverError> {
        // SAFETY: live handles, or stale ones that are to be refused.
        unsafe { sys::cuGraphLaunch(exec, self.rig.stream.cu_stream()) }.result()
    }

    fn values(&self) -> (f32, f32) {
        (self.rig.read(self.value, 1)[0], self.rig.read(self.left, 1)[0])
    }

    /// A WHILE node whose body adds 1 to `value` and counts `left` down.
    fn counting_loop(&self, default: Option<u32>) -> (CUgraph, u64, CUgraphNode) {
        let graph = self.graph();
        let handle = self.handle(graph, default);
        let (node, body) = self.node(graph, Type::CU_GRAPH_COND_TYPE_WHILE, handle, &[]);
        let work = || {
            self.launch(&self.add, self.value, 1);
            self.launch(&self.count_down, self.left, handle);
        };
        self.capture(body, &[], work).expect("captured");
        (graph, handle, node)
    }
}

fn conditional(params: &mut CUgraphNodeParams) -> &mut sys::CUDA_CONDITIONAL_NODE_PARAMS {
    // SAFETY: `Bench::params` wrote this member.
    unsafe { &mut params.__bindgen_anon_1.conditional }
}

/// The body of the node that was made from `params`.
fn body_of(params: &mut CUgraphNodeParams) -> CUgraph {
    let graphs = conditional(params).phGraph_out;
    // SAFETY: the driver wrote the address of an array of one graph.
    unsafe { *graphs }
}

fn add(graph: CUgraph, params: &mut CUgraphNodeParams, after: &[CUgraphNode]) -> Result<CUgraphNode, DriverError> {
    let mut node = ptr::null_mut();
    // SAFETY: as many dependencies as are said; writes the node and `params`.
    unsafe { sys::cuGraphAddNode_v2(&mut node, graph, after.as_ptr(), ptr::null(), after.len(), params) }.result()?;
    Ok(node)
}

fn instantiate(graph: CUgraph) -> Result<CUgraphExec, DriverError> {
    let mut exec = ptr::null_mut();
    // SAFETY: writes one handle.
    unsafe { sys::cuGraphInstantiateWithFlags(&mut exec, graph, 0) }.result()?;
    Ok(exec)
}

fn is<T>(code: CUresult) -> Result<T, DriverError> {
    Err(DriverError(code))
}

#[test]
fn a_while_body_runs_until_its_value_is_0_and_what_comes_after_sees_all_of_it() {
    let bench = Bench::new();
    let (graph, _, node) = bench.counting_loop(Some(1));
    bench.capture(graph, &[node], || bench.launch(&bench.scale, bench.value, 10)).expect("captured");
    let exec = instantiate(graph).expect("an executable graph");
    assert_eq!(bench.values(), (0.0, 5.0), "nothing ran");
    bench.run(exec).expect("a launch");
    assert_eq!(bench.values(), (50.0, 0.0), "5 times, then the node after it");
    // The default is assigned again: the body runs, and only then sets the value.
    bench.run(exec).expect("a launch");
    assert_eq!(bench.values(), (510.0, -1.0));
    bench.rig.expect_clean();
}

#[test]
fn the_value_is_tested_before_each_iteration_and_the_first() {
    let bench = Bench::new();
    let exec = instantiate(bench.counting_loop(Some(0)).0).expect("an executable graph");
    bench.run(exec).expect("a launch");
    assert_eq!(bench.values(), (0.0, 5.0));
}

#[test]
fn an_if_body_runs_once_and_only_if_its_value_is_not_0() {
    let bench = Bench::new();
    for (default, expected) in [(Some(0), 0.0), (Some(7), 3.0)] {
        let graph = bench.graph();
        let handle = bench.handle(graph, default);
        let (_, body) = bench.node(graph, Type::CU_GRAPH_COND_TYPE_IF, handle, &[]);
        bench.capture(body, &[], || bench.launch(&bench.add, bench.value, 3)).expect("captured");
        bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
        assert_eq!(bench.values().0, expected);
    }
}

#[test]
fn loops_nest_and_bodies_copy_and_set_memory() {
    let bench = Bench::new();
    let graph = bench.graph();
    let (outer, inner) = (bench.handle(graph, Some(1)), bench.handle(graph, None));
    let (_, body) = bench.node(graph, Type::CU_GRAPH_COND_TYPE_WHILE, outer, &[]);
    let (rounds, three) = (bench.rig.alloc(&[4.0f32]), bench.rig.alloc(&[3.0f32]));
    // Each round begins with `left` = 3 and the inner value 1; two inner kernels make one iteration.
    let begin = || {
        let stream = bench.rig.stream.cu_stream();
        // SAFETY: device memory that outlives the graph.
        unsafe { cudarc::driver::result::memcpy_dtod_async(bench.left, three, 4, stream) }.expect("captured");
        bench.launch(&bench.set, inner, 1);
    };
    bench.capture(body, &[], begin).expect("captured");
    let mut nodes = [ptr::null_mut(); 2];
    let mut count = 2;
    // SAFETY: room for two nodes.
    unsafe { sys::cuGraphGetNodes(body, nodes.as_mut_ptr(), &mut count) }.result().expect("two nodes");
    let (node, deepest) = bench.node(body, Type::CU_GRAPH_COND_TYPE_WHILE, inner, &nodes);
    let work = || {
        bench.launch(&bench.add, bench.value, 1);
        bench.launch(&bench.count_down, bench.left, inner);
    };
    bench.capture(deepest, &[], work).expect("captured");
    bench.capture(body, &[node], || bench.launch(&bench.count_down, rounds, outer)).expect("captured");
    bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
    assert_eq!(bench.values().0, 12.0, "4 rounds of 3");
    bench.rig.expect_clean();
}

#[test]
fn each_executable_graph_has_a_value_of_its_own_and_keeps_its_body() {
    let bench = Bench::new();
    let (graph, handle, _) = bench.counting_loop(Some(1));
    let (first, second) = (instantiate(graph).expect("one"), instantiate(graph).expect("another"));
    // SAFETY: a live graph, destroyed once; what was instantiated does not need it.
    unsafe { sys::cuGraphDestroy(graph) }.result().expect("it is live");
    bench.run(first).expect("a launch");
    bench.run(second).expect("a launch");
    assert_eq!(bench.values(), (6.0, -1.0), "the second one begins anew with 1");
    // The handle itself is of no use outside.
    bench.launch(&bench.set, handle, 0);
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("kernel set") && report.contains(&format!("handle {handle}")), "{report}");
}

#[test]
fn a_kernel_may_not_set_a_value_of_another_graph() {
    let bench = Bench::new();
    let (_, foreign, _) = bench.counting_loop(Some(1));
    let (graph, _, node) = bench.counting_loop(Some(1));
    bench.capture(graph, &[node], || bench.launch(&bench.set, foreign, 0)).expect("captured");
    bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("none of the graph"), "{report}");
}

#[test]
fn a_value_that_nothing_set_is_a_fault() {
    let bench = Bench::new();
    let (graph, ..) = bench.counting_loop(None);
    bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("WHILE node") && report.contains("never set"), "{report}");
}

#[test]
fn a_loop_without_end_is_a_fault_that_names_its_limit() {
    let bench = Bench::new();
    let graph = bench.graph();
    let handle = bench.handle(graph, Some(1));
    let (_, body) = bench.node(graph, Type::CU_GRAPH_COND_TYPE_WHILE, handle, &[]);
    bench.capture(body, &[], || bench.launch(&bench.add, bench.value, 1)).expect("captured");
    bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
    let report = bench.rig.expect_fault(CUDA_ERROR_LAUNCH_FAILED);
    assert!(report.contains("has run 100000 times and would go on"), "{report}");
    bench.rig.standin.reset();
    assert_eq!(bench.values().0, 100_000.0);
}

#[test]
fn nodes_and_handles_are_refused_as_cuda_says() {
    let bench = Bench::new();
    let (graph, other) = (bench.graph(), bench.graph());
    let (handle, foreign) = (bench.handle(graph, Some(1)), bench.handle(other, Some(1)));
    let create = |graph, context, flags| {
        let mut handle = 0;
        // SAFETY: writes one handle; the others are to be refused.
        unsafe { sys::cuGraphConditionalHandleCreate(&mut handle, graph, context, 1, flags) }
    };
    let context = bench.rig.context.cu_ctx();
    assert_eq!(create(ptr::null_mut(), context, 1), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(create(graph, ptr::null_mut(), 1), CUDA_ERROR_INVALID_VALUE);
    assert_eq!(create(graph, context, 2), CUDA_ERROR_INVALID_VALUE);

    type Change = fn(&mut CUgraphNodeParams);
    let changes: [(&str, Change, CUresult); 7] = [
        ("reserved words", |p| p.reserved0[1] = 1, CUDA_ERROR_INVALID_VALUE),
        ("the last reserved word", |p| p.reserved2 = 1, CUDA_ERROR_INVALID_VALUE),
        ("size 0", |p| conditional(p).size = 0, CUDA_ERROR_INVALID_VALUE),
        ("size 2 of a WHILE", |p| conditional(p).size = 2, CUDA_ERROR_INVALID_VALUE),
        ("no context", |p| conditional(p).ctx = ptr::null_mut(), CUDA_ERROR_INVALID_VALUE),
        ("an empty node", |p| p.type_ = CUgraphNodeType::CU_GRAPH_NODE_TYPE_EMPTY, CUDA_ERROR_NOT_SUPPORTED),
        ("a SWITCH", |p| conditional(p).type_ = Type::CU_GRAPH_COND_TYPE_SWITCH, CUDA_ERROR_NOT_SUPPORTED),
    ];
    for (what, change, code) in changes {
        let mut params = bench.params(Type::CU_GRAPH_COND_TYPE_WHILE, handle);
        change(&mut params);
        assert_eq!(add(graph, &mut params, &[]), is(code), "{what}");
    }
    let params = |handle| bench.params(Type::CU_GRAPH_COND_TYPE_WHILE, handle);
    assert_eq!(add(graph, &mut params(12345), &[]), is(CUDA_ERROR_INVALID_VALUE), "an unknown handle");
    assert_eq!(add(graph, &mut params(foreign), &[]), is(CUDA_ERROR_INVALID_VALUE), "another graph's handle");
    let (node, body) = bench.node(graph, Type::CU_GRAPH_COND_TYPE_WHILE, handle, &[]);
    assert_eq!(add(graph, &mut params(handle), &[]), is(CUDA_ERROR_INVALID_VALUE), "a handle of two nodes");
    assert_eq!(add(other, &mut params(foreign), &[node]), is(CUDA_ERROR_INVALID_VALUE), "after another graph's node");
    let null: *mut CUgraphNodeParams = ptr::null_mut();
    let mut out = ptr::null_mut();
    // SAFETY: null is to be refused.
    let refused = unsafe { sys::cuGraphAddNode_v2(&mut out, graph, ptr::null(), ptr::null(), 0, null) };
    assert_eq!(refused, CUDA_ERROR_INVALID_VALUE, "no parameters");

    let refused = |graph, after: &[CUgraphNode]| bench.capture(graph, after, || ());
    assert_eq!(refused(ptr::null_mut(), &[]), is(CUDA_ERROR_INVALID_VALUE), "a capture into no graph");
    assert_eq!(refused(body, &[node]), is(CUDA_ERROR_INVALID_VALUE), "a capture after a node of the graph around");
    assert_eq!(instantiate(body), is(CUDA_ERROR_INVALID_VALUE), "a body by itself");
    // SAFETY: the body belongs to its node: to be refused.
    assert_eq!(unsafe { sys::cuGraphDestroy(body) }, CUDA_ERROR_INVALID_VALUE);
    assert_eq!(instantiate(other), is(CUDA_ERROR_INVALID_VALUE), "a handle that no node uses");
    // SAFETY: a live graph, destroyed once; its body goes with it.
    unsafe { sys::cuGraphDestroy(graph) }.result().expect("it is live");
    assert_eq!(refused(body, &[]), is(CUDA_ERROR_INVALID_VALUE), "a stale body");
}

#[test]
fn a_body_holds_no_host_function_and_a_child_graph_no_conditional_node() {
    unsafe extern "C" fn nothing(_: *mut c_void) {}
    let bench = Bench::new();
    let stream = bench.rig.stream.cu_stream();
    let (graph, _, node) = bench.counting_loop(Some(1));
    let host = || {
        // SAFETY: the function takes anything.
        unsafe { sys::cuLaunchHostFunc(stream, Some(nothing), ptr::null_mut()) }.result().expect("captured");
    };
    let plain = instantiate(graph).expect("an executable graph");
    bench.rig.stream.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).expect("a capture");
    assert_eq!(bench.run(plain), is(CUDA_ERROR_NOT_SUPPORTED), "a loop as a child");
    // SAFETY: a live stream; the graph is empty.
    unsafe { cudarc::driver::result::stream::end_capture(stream) }.expect("the capture ends");

    bench.capture(graph, &[node], host).expect("captured");
    instantiate(graph).expect("beside the loop it may stand");
    let handle = bench.handle(graph, Some(1));
    let (_, body) = bench.node(graph, Type::CU_GRAPH_COND_TYPE_IF, handle, &[]);
    bench.capture(body, &[], host).expect("captured");
    assert_eq!(instantiate(graph), is(CUDA_ERROR_NOT_SUPPORTED), "inside");
}

#[test]
fn the_older_form_adds_nodes_too() {
    type AddNode =
        unsafe extern "C" fn(*mut CUgraphNode, CUgraph, *const CUgraphNode, usize, *mut CUgraphNodeParams) -> c_int;
    let bench = Bench::new();
    let graph = bench.graph();
    let handle = bench.handle(graph, Some(1));
    let mut params = bench.params(Type::CU_GRAPH_COND_TYPE_IF, handle);
    // SAFETY: the stand-in is loaded already.
    let library = unsafe { libloading::Library::new("libcuda.so") }.expect("it is open");
    // SAFETY: the type is that of the function in cuda.h of CUDA 12.3.
    let add = unsafe { library.get::<AddNode>("cuGraphAddNode") }.expect("the stand-in has it");
    let mut node = ptr::null_mut();
    // SAFETY: a live graph without dependencies; writes the node and `params`.
    assert_eq!(unsafe { add(&mut node, graph, ptr::null(), 0, &mut params) }, 0);
    bench.capture(body_of(&mut params), &[], || bench.launch(&bench.add, bench.value, 2)).expect("captured");
    bench.run(instantiate(graph).expect("an executable graph")).expect("a launch");
    assert_eq!(bench.values().0, 2.0);
}
