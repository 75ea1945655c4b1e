//! The stop flag as the condition of a WHILE node of a CUDA graph. The kernel is `kernels/condition.cu`.

use std::sync::Arc;

use super::cuda::Resident;
use crate::backend::Stream;
use crate::device::{self, Context, Module, Source};
use crate::error::{Error, Result};
use crate::kernels::{self, CONDITION};
use crate::plan::Plan;
use crate::plan::layout::Condition;

/// Threads of the launch; `kernels/condition.cu` has the same number.
const THREADS: u32 = 1;

/// Ends a WHILE node of a CUDA graph when the optimizer's end has come: of
/// [`Optimizer::stop_condition`](crate::Optimizer::stop_condition).
///
/// A conditional node runs its body for as long as a value is not 0, which a kernel of the graph sets. With one that reads
/// the stop flag, a whole training is a single graph launch, and the host neither counts nor waits between steps. Drivers
/// have conditional nodes since CUDA 12.3. In terms of the driver's API:
///
/// 1. `cuGraphCreate(&graph, 0)`, and in it `cuGraphConditionalHandleCreate(&handle, graph, context, 1,
///    CU_GRAPH_COND_ASSIGN_DEFAULT)`: each launch of the graph begins with the value 1.
/// 2. `cuStreamBeginCaptureToGraph(stream, graph, ..)`, [`StopCondition::set`], `cuStreamEndCapture`. Without this launch
///    before the node, which may be left out, a graph that is launched after the end applies one update more.
/// 3. `cuGraphAddNode_v2(&node, graph, ..)`, after the nodes of 2, with `CUgraphNodeParams` of type
///    `CU_GRAPH_NODE_TYPE_CONDITIONAL` and in them the handle, `CU_GRAPH_COND_TYPE_WHILE`, size 1 and the context. The
///    driver hands out the body, an empty graph, in `phGraph_out[0]`.
/// 4. `cuStreamBeginCaptureToGraph(stream, body, ..)`; the forward and the backward pass,
///    [`Optimizer::step`](crate::Optimizer::step) and, after it, [`StopCondition::set`]; `cuStreamEndCapture`. A body may
///    hold kernels, copies and sets of device memory, child graphs and further conditional nodes; no allocation and no host
///    function.
/// 5. `cuGraphInstantiate`, and `cuGraphLaunch` once.
///
/// `examples/digits/while_loop.rs` has these calls in Rust, `examples/digits/graphs.rs` a loop of steps in one of epochs.
///
/// The value becomes 0 with [`DeviceView::stop`](crate::DeviceView::stop), and with
/// [`DeviceView::raised`](crate::DeviceView::raised), which [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise)
/// sets: a skipped update does not come nearer to the end, so a loop whose gradients never become finite again would
/// otherwise never end. Both flags stay set.
///
/// The state on the device lives for as long as the optimizer or this does.
#[derive(Debug)]
pub struct StopCondition {
    resident: Arc<Resident>,
    control: u64,
}

impl StopCondition {
    /// Loads the kernel, unless it is loaded already. `control` is the address of the control block in `resident`.
    pub(super) fn new(context: &Arc<Context>, resident: &Arc<Resident>, control: u64) -> Result<StopCondition> {
        if resident.condition.get().is_none() {
            let headers: Vec<_> = kernels::headers().collect();
            let source = Source { name: CONDITION, text: kernels::text(CONDITION), headers: &headers };
            let module = Module::load(context, &device::compile(context, &source)?)?;
            let function = module.function::<Condition>("set_condition")?;
            // Another thread may have been faster; its function is as good.
            let _ = resident.condition.set(function);
        }
        Ok(StopCondition { resident: resident.clone(), control })
    }

    /// Enqueues one launch of one thread on `stream`, which sets the value of `handle`: 1 to go on, 0 once the end has come.
    /// Two driver calls, no wait: it may be captured, in GLOBAL mode too, and nowhere else does it have a use.
    ///
    /// `handle` is a `CUgraphConditionalHandle`, as `cuGraphConditionalHandleCreate` gives it. It is frozen into the
    /// captured launch, which therefore belongs to that graph alone.
    ///
    /// Fails with [`Error::Argument`] for a stream of another device or context and for the handle 0, before anything is
    /// enqueued.
    ///
    /// # Safety
    ///
    /// * `stream` is being captured into the graph that `handle` was created for, or into a body of that graph's
    ///   conditional nodes; the launch is not copied into another graph. A handle of anything else is undefined on the
    ///   device.
    /// * The graph is launched for the last time, and has ended, before the optimizer and all of its conditions are dropped:
    ///   as with captured steps, whose addresses the graph holds too.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn set(&self, handle: u64, stream: &Stream) -> Result<()> {
        let stream = stream.cuda()?;
        if handle == 0 {
            let rule = "must be a CUgraphConditionalHandle of cuGraphConditionalHandleCreate";
            return Err(Error::argument("handle", handle, rule));
        }
        let function = self.resident.condition.get().expect("`new` loaded it");
        function.launch(stream, 1, THREADS, &Condition { control: self.control, handle })
    }
}

/// A loop on a flag that nothing raises would never end, nor one that skips every update. `found_inf`: whether one is handed in.
pub(super) fn expect_end(plan: &Plan, found_inf: bool) -> Result<()> {
    let (value, rule) = if plan.settings.stop_at == 0 && !plan.features.stops {
        (
            "of an optimizer without an end",
            "call stop_at, stop_below or stop_on_plateau on the builder: no loop would end",
        )
    } else if (plan.gradients.skip || found_inf) && plan.settings.raise_after == 0 {
        let rule =
            "call non_finite(NonFinite::SkipAndRaise(..)) on the builder: no loop would end whose gradients stay NaN";
        ("of an optimizer that skips updates without limit", rule)
    } else {
        return Ok(());
    };
    Err(Error::argument("stop_condition", value, rule))
}

/// The error of an optimizer on the host.
pub(super) fn no_graphs() -> Error {
    Error::argument("device", "the host", "CUDA graphs, whose nodes the condition is for, need a CUDA device")
}
