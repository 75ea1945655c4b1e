//! The public object that joins schedules, rules, tables and a backend. Start at [`Optimizer::builder`].

mod addresses;
mod builder;
mod condition;
mod cuda;
mod edit;
mod observe;
mod state;
mod tables;
mod telemetry;
mod view;

pub use builder::OptimizerBuilder;
pub use condition::StopCondition;
pub use edit::{Edit, KnobValue};
pub use observe::Observed;
pub use telemetry::TelemetryReader;
pub use view::{DeviceView, Status, TensorView};

use crate::backend::{Device, Queue, Stream};
use crate::error::{Error, Result};
use crate::host;
use crate::plan::Plan;

/// Updates all tensors of all groups, schedules included, in one launch (two with a norm) that waits for nothing.
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
#[derive(Debug)]
pub struct Optimizer(Engine);

#[derive(Debug)]
enum Engine {
    Host(host::Engine),
    Cuda(cuda::Engine),
}

impl Optimizer {
    /// Starts an optimizer on `device`.
    pub fn builder(device: &Device) -> OptimizerBuilder {
        OptimizerBuilder::new(device)
    }

    /// Enqueues one update of every tensor on `stream`: one kernel (two where something must be known of all gradients first)
    /// and one driver call more than kernels, however many tensors and groups. Nothing is allocated, copied or waited for, so
    /// the call may be captured, the very first one too, and its graph replayed for ever: the step counter and the schedules
    /// live on the device. On the host the update is done when the call returns.
    ///
    /// Steps, and whatever reads or writes the tensors, are ordered by the caller: see `# Safety` of
    /// [`Tensor::new`](crate::Tensor::new).
    ///
    /// Fails with [`Error::Argument`] for a stream of another device or context, before anything is enqueued.
    pub fn step(&mut self, stream: &Stream) -> Result<()> {
        match &mut self.0 {
            Engine::Cuda(engine) => engine.step(stream.cuda()?),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.step()
            }
        }
    }

    /// Feeds a metric (a loss, an accuracy) to the metric rules of all groups, which may change the rate of the next update:
    /// one tiny launch, which may be captured if the metric is in device memory. A NaN counts as a bad metric.
    ///
    /// # Safety
    ///
    /// * An address is that of a live element of the stated type in memory that the optimizer's device can read, until the
    ///   stream has passed this call (for a captured call: until the graph's last launch).
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn observe(&mut self, metric: impl Into<Observed>, stream: &Stream) -> Result<()> {
        let metric = metric.into();
        match &mut self.0 {
            Engine::Cuda(engine) => engine.observe(stream.cuda()?, metric),
            Engine::Host(engine) => {
                expect_host(stream)?;
                if engine.plan().metrics.is_empty() {
                    return Err(observe::no_metric());
                }
                match metric.check()? {
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
                Ok(Status::new(engine.plan(), engine.control(), engine.records()))
            }
        }
    }

    /// Read-only addresses of the state, for an engine's own kernels. They hold for the optimizer's life.
    pub fn device_view(&self) -> DeviceView {
        match &self.0 {
            Engine::Cuda(engine) => engine.device_view(),
            Engine::Host(engine) => {
                let control = std::ptr::from_ref(engine.control()) as u64;
                DeviceView::new(engine.plan(), control, engine.records().as_ptr() as u64)
            }
        }
    }

    /// The stop flag as the condition of a WHILE node of a CUDA graph, which can then hold a whole training: see
    /// [`StopCondition`]. Compiles and loads a kernel of its own at the first call, through the cache, and may wait: to be
    /// called before a capture begins.
    ///
    /// Fails with [`Error::Argument`] on the host, which has no CUDA graphs, and without an end
    /// ([`OptimizerBuilder::stop_at`], [`OptimizerBuilder::stop_below`], [`OptimizerBuilder::stop_on_plateau`]) or where updates
    /// may be skipped (a dynamic loss scale skips too) without [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise):
    /// a loop might then never end. With [`Error::NoNvrtc`], [`Error::Compile`] or [`Error::Driver`] where the kernel cannot be
    /// compiled or loaded: the driver is older than CUDA 12.3, say.
    pub fn stop_condition(&self) -> Result<StopCondition> {
        match &self.0 {
            Engine::Cuda(engine) => engine.stop_condition(),
            Engine::Host(_) => Err(condition::no_graphs()),
        }
    }

    /// The registered tensors in their order, each with its name and the addresses of its optimizer state.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = TensorView<'_>> {
        let plan = self.plan();
        plan.tensors.iter().zip(&plan.names).map(|(row, name)| TensorView::new(plan, row, name))
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
