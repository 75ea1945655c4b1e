//! The stop flag as the condition of a WHILE node of a CUDA graph. The kernel is `kernels/condition.cu`.

use std::sync::{Arc, PoisonError};

use super::resident::Resident;
use super::sources;
use crate::backend::Stream;
use crate::device::{self, Context, Memory, Pack, Setup};
use crate::error::{Error, Result, number};
use crate::kernels;
use crate::plan::layout::Condition;
use crate::plan::{Fall, Plan};

/// Threads of the launch; `kernels/condition.cu` has the same number.
const THREADS: u32 = 1;

/// Ends a WHILE node of a CUDA graph when the optimizer's end has come: of
/// [`Optimizer::stop_condition`](crate::Optimizer::stop_condition).
///
/// For one loop of steps [`Optimizer::capture_as`](crate::Optimizer::capture_as) makes the graph, this included. This is for
/// engines that build graphs of their own.
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
pub struct StopCondition {
    resident: Arc<Resident>,
    control: u64,
    /// The address of the count of launches, and how many a loop may take; 0 without a bound.
    launches: u64,
    at_most: u64,
}

/// Without addresses.
impl std::fmt::Debug for StopCondition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at_most = (self.at_most != 0).then_some(self.at_most);
        f.debug_struct("StopCondition").field("at_most", &at_most).finish_non_exhaustive()
    }
}

/// What is known of the body of a loop that a [`StopCondition`] is to end.
#[derive(Debug, Clone, Copy, Default)]
#[must_use = "give it to `Optimizer::stop_condition_of`"]
pub struct LoopBody {
    observes: bool,
    at_most: Option<u64>,
}

impl LoopBody {
    /// A body that holds steps and observes no metric, in a loop without a bound.
    pub fn new() -> LoopBody {
        LoopBody::default()
    }

    /// Says that the body observes a metric ([`Optimizer::observe`](crate::Optimizer::observe), captured), so that plateaus
    /// and the rates that they lower can end the loop. Steps that observe by themselves need no word.
    pub fn observes(mut self) -> LoopBody {
        self.observes = true;
        self
    }

    /// Ends the loop at the `launches`-th launch of [`StopCondition::set`] at the latest, at least 1, whatever the optimizer
    /// does: [`Status::exhausted`](crate::Status::exhausted) then shows. The count begins anew at each end of a loop.
    pub fn at_most(mut self, launches: u64) -> LoopBody {
        self.at_most = Some(launches);
        self
    }
}

impl StopCondition {
    /// Loads the kernel, unless it is loaded already. `control` is the address of the control block in `resident`.
    pub(super) fn new(
        context: &Arc<Context>,
        resident: &Arc<Resident>,
        control: u64,
        body: &LoopBody,
        pack: Option<&Pack>,
    ) -> Result<StopCondition> {
        if resident.condition.get().is_none() {
            let headers: Vec<_> = kernels::headers().collect();
            let words = || sources::CONDITION_WORDS.to_owned();
            let module = device::load(context, &sources::condition(&headers), pack, words)?;
            let function = module.function::<Condition>("set_condition")?;
            // Another thread may have been faster; its function is as good.
            let _ = resident.condition.set(function);
        }
        let launches = match body.at_most {
            None => 0,
            Some(_) => {
                let setup = Setup::new(context)?;
                let count = Memory::new(context, size_of::<u64>())?;
                count.clear(setup.stream())?;
                setup.finish()?;
                let address = count.address();
                resident.launches.lock().unwrap_or_else(PoisonError::into_inner).push(count);
                address
            }
        };
        Ok(StopCondition { resident: resident.clone(), control, launches, at_most: body.at_most.unwrap_or(0) })
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
        self.launch(handle, stream)
    }

    /// [`StopCondition::set`] for a handle and a stream that are known to be of one graph.
    pub(super) fn launch(&self, handle: u64, stream: &device::Stream) -> Result<()> {
        let function = self.resident.condition.get().expect("`new` loaded it");
        let StopCondition { control, launches, at_most, .. } = *self;
        function.launch(stream, 1, THREADS, &Condition { control, handle, launches, at_most })
    }
}

/// A loop on a flag that nothing raises would never end, nor one that skips every update. `found_inf`: whether one is handed in.
pub(super) fn expect_end(plan: &Plan, found_inf: bool, body: &LoopBody) -> Result<()> {
    let refused = |value: &str, rule: &str| Err(Error::argument("stop_condition", value, rule));
    if body.at_most == Some(0) {
        return Err(Error::argument("stop_condition.at_most", 0, "must be at least 1"));
    }
    if body.at_most.is_some() {
        return Ok(());
    }
    let (settings, features) = (&plan.settings, plan.features);
    if settings.stop_at == 0 && !features.stops {
        return refused(
            "of an optimizer without an end",
            "call stop_at, stop_below or stop_on_plateau on the builder: no loop would end",
        );
    }
    let gives_up = settings.raise_after != 0 || settings.stop_at_min_scale != 0;
    if (plan.gradients.skip || found_inf) && !gives_up {
        return refused(
            "of an optimizer that skips updates without limit",
            "call non_finite(NonFinite::SkipAndRaise(..)) on the builder: no loop would end whose gradients stay NaN",
        );
    }
    if settings.stop_at != 0 {
        return Ok(());
    }
    let observes = body.observes || features.observes;
    let plateaus = settings.stop_on_plateau != 0;
    if plateaus && observes {
        return Ok(());
    }
    let unobserved = "no step observes and no word says that the body does: call observe_every(..) on the builder, or \
                      LoopBody::observes()";
    if settings.stop_below == 0.0 {
        return refused("by a plateau that nobody shows a metric", unobserved);
    }
    match plan.fall(settings.stop_below, observes) {
        Fall::Possible => Ok(()),
        Fall::Above { group, least } => {
            let rule = format!(
                "the rate of groups[{group}] is {} at least, by its schedule, and never falls below {}: no loop would end",
                number(least),
                number(settings.stop_below)
            );
            Err(Error::argument("stop_condition", "by a floor that the rate stays above", rule))
        }
        Fall::Unobserved { group } => {
            let rule = format!("only its metric rule lowers the rate of groups[{group}] so far, and {unobserved}");
            Err(Error::argument("stop_condition", "by a rate that nobody shows a metric", rule))
        }
        Fall::Below { most } => {
            let rule = format!(
                "the rates are {} at most, by their schedules, always below {}: they never fall there",
                number(most),
                number(settings.stop_below)
            );
            Err(Error::argument("stop_condition", "by a floor that the rate never reaches", rule))
        }
    }
}

/// The error of an optimizer on the host. `which`: what graphs are to it that was asked for.
pub(super) fn no_graphs(which: &str) -> Error {
    Error::argument("device", "the host", format!("CUDA graphs, {which}, need a CUDA device"))
}
