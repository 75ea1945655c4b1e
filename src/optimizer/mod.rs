//! The public object that joins schedules, rules, tables and a backend. Start at [`Optimizer::builder`].

mod addresses;
mod builder;
mod capture;
mod condition;
#[cfg(feature = "serde")]
mod config;
mod cuda;
mod debug;
mod dynamic;
mod edit;
mod given;
mod group;
#[cfg(feature = "serde")]
mod header;
mod keep;
mod moves;
mod observe;
mod pack;
mod parts;
mod places;
mod rebuild;
mod resident;
mod resume;
mod shape;
mod show;
mod slices;
mod sources;
mod state;
mod tables;
mod telemetry;
mod terms;
mod view;

pub use builder::OptimizerBuilder;
pub use capture::{Capture, CapturedGraph};
pub use condition::{LoopBody, StopCondition};
pub use dynamic::TensorId;
pub use edit::{Edit, KnobValue};
pub use given::{StateContents, StateLayout, StatePiece};
pub use group::{GroupRule, Then};
pub use keep::KeepAlive;
pub use observe::Observed;
use observe::When;
pub use pack::PackBuilder;
#[cfg(feature = "serde")]
pub use pack::{EngineFacts, TensorKind};
pub use telemetry::{TelemetryForm, TelemetryReader};
pub use view::{DeviceView, MetricStatus, StateView, Status, TensorView};

use crate::backend::{Device, Queue, Stream};
use crate::error::{Error, Result};
use crate::host;
use crate::plan::Plan;

/// Updates all tensors of all groups, schedules included, in one launch that waits for nothing (one more for a norm, and one
/// more where a rule sums over elements).
///
/// ```
/// use instep::{AdamW, Device, Optimizer, Schedule, Stream, Tensor};
///
/// let lr = Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800));
/// let (mut param, grad) = (vec![1.0f32; 1_000], vec![0.5f32; 1_000]);
/// // SAFETY: both vectors outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 1_000) }.name("weight");
///
/// let mut opt = Optimizer::builder(&Device::host()).group(AdamW::new(lr).weight_decay(0.1), &[weight]).build()?;
/// for _ in 0..10 {
///     opt.step(&Stream::host())?;
/// }
/// let status = opt.status(&Stream::host())?;
/// assert_eq!((status.t, status.scalar(0, "lr")), (10, Some(1.5e-5)));
/// # Ok::<(), instep::Error>(())
/// ```
pub struct Optimizer(Engine);

enum Engine {
    Host(Box<host::Engine>),
    Cuda(Box<cuda::Engine>),
}

impl Optimizer {
    /// Starts an optimizer on `device`.
    pub fn builder(device: &Device) -> OptimizerBuilder {
        OptimizerBuilder::new(device)
    }

    /// Enqueues one update of every tensor on `stream`: one kernel (one more where something must be known of all
    /// gradients first, and one more where a rule sums over elements) and one driver call more than kernels, however many
    /// tensors and groups. Nothing is allocated, copied or waited for, so
    /// the call may be captured, the very first one too, and its graph replayed for ever: the step counter and the schedules
    /// live on the device: [`Optimizer::capture`]. On the host the update is done when the call returns.
    ///
    /// Steps, and whatever reads or writes the tensors, are ordered by the caller: see `# Safety` of
    /// [`Tensor::new`](crate::Tensor::new).
    ///
    /// Fails with [`Error::Argument`] for a stream of another device or context, before anything is enqueued.
    pub fn step(&mut self, stream: &Stream) -> Result<()> {
        self.plan().expect_whole("step")?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.step(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.step()
            }
        }
    }

    /// Enqueues an update of the calls that have accumulated since the last one, though they are fewer than an update takes: for
    /// the end of an epoch. It looks at the gradients as they are and is no call of its own, so a mean is over the calls that
    /// were made; without any it changes nothing. As many launches and driver calls as [`Optimizer::step`], no wait; it may be
    /// captured.
    ///
    /// Fails with [`Error::Argument`] as [`Optimizer::step`] does, and for an optimizer that was built without
    /// [`OptimizerBuilder::accumulate`].
    pub fn flush(&mut self, stream: &Stream) -> Result<()> {
        self.plan().expect_whole("flush")?;
        if !self.plan().gradients.accumulate {
            let rule = "the optimizer was built without: call accumulate(..) on its builder";
            return Err(Error::argument("flush", "of accumulated gradients", rule));
        }
        match &mut self.0 {
            Engine::Cuda(engine) => engine.flush(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.flush()
            }
        }
    }

    /// Says that the engine has written parameters (loaded weights, say): masters and remainders of them are made anew, masters that
    /// the engine gave too. One launch on `stream`, ordered after those writes by the caller; none where nothing lies beside a
    /// parameter. It may be captured.
    ///
    /// Without this call the next update goes on from the masters as they were: the weights that were loaded are overwritten, and
    /// nothing tells. States are not touched.
    ///
    /// Not after a resume: [`Optimizer::load_state`] brings masters and remainders back, to more bits than the parameters have, and
    /// this call would round them away. Nor for masters of the engine's that it has loaded itself.
    ///
    /// Fails with [`Error::Argument`] as [`Optimizer::step`] does.
    pub fn parameters_changed(&mut self, stream: &Stream) -> Result<()> {
        self.plan().expect_whole("parameters_changed")?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.parameters_changed(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.parameters_changed();
                Ok(())
            }
        }
    }

    /// Whether the stop flag was up when the device last told: no driver call and no wait, so steps that still run may raise it
    /// a moment later. On a stream that was waited for, it is what [`Status::stop`] says.
    pub fn stopped(&self) -> bool {
        match &self.0 {
            Engine::Cuda(engine) => engine.flags()[0],
            Engine::Host(engine) => engine.control().stop != 0,
        }
    }

    /// Whether too many updates in a row had been skipped ([`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise)) when the
    /// device last told: as [`Optimizer::stopped`].
    pub fn raised(&self) -> bool {
        match &self.0 {
            Engine::Cuda(engine) => engine.flags()[1],
            Engine::Host(engine) => engine.control().raised != 0,
        }
    }

    /// Feeds a metric (a loss, an accuracy) to the metric rules of all groups, which may change the rate of the next update:
    /// one tiny launch, which may be captured if the metric is in device memory. A metric that is not finite counts as bad.
    ///
    /// Every call counts. Between the calls of one accumulated update too: patience then counts calls, not updates.
    /// [`Optimizer::observe_per_update`] counts updates.
    ///
    /// # Safety
    ///
    /// * An address is that of a live element of the stated type in memory that the optimizer's device can read, until the
    ///   stream has passed this call (for a captured call: until the graph's last launch).
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn observe(&mut self, metric: impl Into<Observed>, stream: &Stream) -> Result<()> {
        self.observe_when(metric.into(), When::EveryCall, stream)
    }

    /// [`Optimizer::observe`] once an update, for an optimizer that accumulates: called beside every call of a step, whether
    /// before or after, it observes where no accumulation is half done, and does nothing otherwise. The device decides, so it
    /// may be captured together with the step. An update that is skipped counts as one; where nothing accumulates, every call
    /// counts. The metric observed is that of the one call, not a mean.
    ///
    /// # Safety
    ///
    /// As for [`Optimizer::observe`]. The metric may be read whether it counts or not.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn observe_per_update(&mut self, metric: impl Into<Observed>, stream: &Stream) -> Result<()> {
        self.observe_when(metric.into(), When::PerUpdate, stream)
    }

    fn observe_when(&mut self, metric: Observed, when: When, stream: &Stream) -> Result<()> {
        self.plan().expect_whole("observe")?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.observe(stream.cuda()?, metric, when),
            Engine::Host(engine) => {
                expect_host(stream)?;
                if engine.plan().metrics.is_empty() {
                    return Err(observe::no_metric());
                }
                match metric.check()? {
                    _ if when == When::PerUpdate && engine.control().micro_step != 0 => {}
                    Observed::Value(value) => engine.observe(value),
                    Observed::Device { address, dtype } => engine.observe_at(address, dtype),
                }
                Ok(())
            }
        }
    }

    /// Starts an edit: new values for the [`knob`](crate::knob)s of the schedules, while the optimizer lives and between
    /// replays of a captured step.
    pub fn edit(&mut self) -> Edit<'_> {
        Edit::new(self)
    }

    /// Names of the knobs in all groups' schedules, in alphabetical order, with the values that they have for the next
    /// work put on a stream.
    pub fn knobs(&self) -> impl Iterator<Item = (&str, KnobValue)> {
        self.plan().editable.knobs().map(|(name, value)| (name, value.into()))
    }

    /// Reads the counters and the scalars of the next update. Waits for `stream`: for reports, not for every step.
    pub fn status(&self, stream: &Stream) -> Result<Status> {
        match &self.0 {
            Engine::Cuda(engine) => engine.status(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                let (records, states) = (engine.records(), engine.metric_states());
                Ok(Status::new(engine.plan(), engine.control(), records, states, engine.remembered()))
            }
        }
    }

    /// Read-only addresses of the state, for an engine's own kernels. They hold for the optimizer's life.
    pub fn device_view(&self) -> DeviceView {
        match &self.0 {
            Engine::Cuda(engine) => engine.device_view(),
            Engine::Host(engine) => {
                let control = std::ptr::from_ref(engine.control()) as u64;
                let states = engine.metric_states().as_ptr() as u64;
                DeviceView::new(engine.plan(), control, engine.records().as_ptr() as u64, states)
            }
        }
    }

    /// The stop flag as the condition of a WHILE node of a CUDA graph, which can then hold a whole training: see
    /// [`StopCondition`]. Compiles and loads a kernel of its own at the first call, through the cache, and may wait: to be
    /// called before a capture begins.
    ///
    /// Fails with [`Error::Argument`] on the host, which has no CUDA graphs, and where a loop could not end: without an end
    /// ([`OptimizerBuilder::stop_at`], [`OptimizerBuilder::stop_below`], [`OptimizerBuilder::stop_on_plateau`]); where updates may be
    /// skipped (a dynamic loss scale skips too) without [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise) or
    /// [`LossScale::stop_at_min`](crate::LossScale::stop_at_min); where the only end is a floor that, by the bounds of the
    /// schedules, some rate never falls below or all are always below; and where it waits for a metric that no step observes:
    /// [`Optimizer::stop_condition_of`] takes the word that the body does. With [`Error::NoNvrtc`], [`Error::Compile`] or
    /// [`Error::Driver`] where the kernel cannot be compiled or loaded: the driver is older than CUDA 12.3, say.
    pub fn stop_condition(&self) -> Result<StopCondition> {
        self.stop_condition_of(LoopBody::new())
    }

    /// [`Optimizer::stop_condition`] for a loop of whose body more is known: that it observes, or how many launches it may take,
    /// which ends any loop.
    pub fn stop_condition_of(&self, body: LoopBody) -> Result<StopCondition> {
        match &self.0 {
            Engine::Cuda(engine) => engine.stop_condition(&body),
            Engine::Host(_) => Err(condition::no_graphs("whose nodes the condition is for")),
        }
    }

    /// The registered tensors in their order, each with its name and the addresses of its optimizer state.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        let plan = self.plan();
        let there: Vec<usize> = plan.living().collect();
        there.into_iter().map(|tensor| TensorView::new(plan, &plan.tensors[tensor], &plan.names[tensor]))
    }

    fn plan_mut(&mut self) -> &mut Plan {
        match &mut self.0 {
            Engine::Cuda(engine) => engine.plan_mut(),
            Engine::Host(engine) => engine.plan_mut(),
        }
    }

    fn plan(&self) -> &Plan {
        match &self.0 {
            Engine::Cuda(engine) => engine.plan(),
            Engine::Host(engine) => engine.plan(),
        }
    }
}

fn expect_host(stream: &Stream) -> Result<()> {
    match stream.0 {
        Queue::Host => Ok(()),
        Queue::Cuda(_) => Err(Error::argument("stream", "a CUDA stream", "the optimizer runs on the host")),
    }
}
