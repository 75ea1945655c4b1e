//! Reading the ring of telemetry while steps run.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{Engine, Optimizer};
use crate::backend::Stream;
use crate::device::{self, Memory, Pinned, Readback};
use crate::error::{Error, Result};
use crate::plan::Plan;
use crate::precision::Form;
use crate::telemetry::{Layout, Progress, Runs, TelemetryColumn, TelemetryRecord};

/// Reads what an optimizer records of its calls: [`OptimizerBuilder::telemetry`](crate::OptimizerBuilder::telemetry). It may
/// live on another thread than the optimizer, and longer.
///
/// ```
/// use instep::{Device, Optimizer, Schedule, Sgd, Stream, Telemetry, Tensor};
///
/// let (mut param, grad) = (vec![1.0f32; 8], vec![0.5f32; 8]);
/// // SAFETY: both vectors outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 8) };
/// let rule = Sgd::new(Schedule::linear(0.5, 0.0).over(4));
/// let mut opt = Optimizer::builder(&Device::host()).group(rule, &[weight]).telemetry(Telemetry::ring(256)).build()?;
/// let mut telemetry = opt.telemetry()?;
/// for _ in 0..3 {
///     opt.step(&Stream::host())?;
/// }
/// let rates: Vec<_> = telemetry.poll()?.iter().map(|record| (record.t, record.scalar(0, "lr"))).collect();
/// assert_eq!(rates, [(0, Some(0.5)), (1, Some(0.375)), (2, Some(0.25))]);
/// # Ok::<(), instep::Error>(())
/// ```
///
/// [`Optimizer::load_state`] empties the ring; a reader then goes on with the calls that follow the state.
pub struct TelemetryReader {
    layout: Layout,
    progress: Progress,
    /// The run that progress is in.
    run: u64,
    runs: Arc<Runs>,
    source: Source,
    forms: Vec<TelemetryForm>,
}

/// How a stream of a group's tensors is stored: what goes with records where runs in several precisions are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TelemetryForm {
    /// The group.
    pub group: usize,
    /// `param`, `grad`, or the name of a state.
    pub stream: Arc<str>,
    /// How it is stored.
    pub form: Form,
    /// In how many tensors of the group it is stored so.
    pub tensors: usize,
}

/// Where the ring is.
enum Source {
    /// In memory of the host, which the CPU backend writes.
    Host(Arc<[AtomicU64]>),
    /// In pinned memory of the host, which kernels write.
    Mapped(Arc<Pinned>),
    /// In device memory, of which copies are polled.
    Device(Arc<Memory>, Readback),
}

/// The ring of an optimizer on CUDA.
#[derive(Debug, Clone)]
pub(super) enum Ring {
    Mapped(Arc<Pinned>),
    Device(Arc<Memory>),
}

impl Ring {
    /// The address for kernels.
    pub(super) fn address(&self) -> u64 {
        match self {
            Ring::Mapped(pinned) => pinned.address(),
            Ring::Device(memory) => memory.address(),
        }
    }

    /// Zeroes it, and waits. No step runs.
    pub(super) fn clear(&self, stream: &device::Stream) -> Result<()> {
        match self {
            Ring::Mapped(pinned) => pinned.words().iter().for_each(|word| word.store(0, Ordering::Relaxed)),
            Ring::Device(memory) => {
                memory.clear(stream)?;
                device::wait(memory.context(), stream)?;
            }
        }
        Ok(())
    }
}

impl Optimizer {
    /// A reader of what is recorded of the calls of [`Optimizer::step`], from the first on that the ring still holds. Allocates;
    /// each reader reads everything.
    ///
    /// Fails with [`Error::Argument`] where the optimizer was built without telemetry.
    pub fn telemetry(&self) -> Result<TelemetryReader> {
        let Some(layout) = &self.plan().telemetry else {
            let rule = "the optimizer was built without: call telemetry(..) on its builder";
            return Err(Error::argument("telemetry", "asked for", rule));
        };
        let (source, runs) = match &self.0 {
            Engine::Host(engine) => (Source::Host(engine.ring().clone()), engine.runs()),
            Engine::Cuda(engine) => {
                let source = match engine.ring().expect("a layout has a ring") {
                    Ring::Mapped(pinned) => Source::Mapped(pinned.clone()),
                    Ring::Device(memory) => {
                        Source::Device(memory.clone(), Readback::new(engine.context(), layout.words())?)
                    }
                };
                (source, engine.runs())
            }
        };
        let (run, next) = runs.now();
        let progress = Progress { next, lost: 0 };
        let forms = forms(self.plan());
        Ok(TelemetryReader { layout: layout.clone(), progress, run, runs: runs.clone(), source, forms })
    }
}

impl TelemetryReader {
    /// The records that have come since the last call, in the order of calls of the step; often none. Waits for nothing, and
    /// holds no stream up: where the ring is in device memory, it looks at the copy that an earlier poll started and starts
    /// the next one, on a stream of its own.
    ///
    /// May be called while a graph is captured. Fails with [`Error::Driver`].
    pub fn poll(&mut self) -> Result<Vec<TelemetryRecord>> {
        self.follow();
        let before = self.progress;
        let come = match &mut self.source {
            Source::Host(_) | Source::Mapped(_) => true,
            Source::Device(_, copy) => copy.has_come()?,
        };
        let records = if come { self.take() } else { Vec::new() };
        if let Source::Device(memory, copy) = &mut self.source {
            // What was taken would be lost with the error: it is to be read again.
            copy.start(memory).inspect_err(|_| self.progress = before)?;
        }
        Ok(records)
    }

    /// Waits for all work on `stream`, then returns every record that was not returned yet: for the end of a run.
    ///
    /// Fails with [`Error::Argument`] for a stream of another device or one that is being captured, and with
    /// [`Error::Driver`].
    pub fn finish(&mut self, stream: &Stream) -> Result<Vec<TelemetryRecord>> {
        match &self.source {
            Source::Host(_) => super::expect_host(stream)?,
            Source::Mapped(pinned) => device::wait(pinned.context(), stream.cuda()?)?,
            Source::Device(memory, _) => device::wait(memory.context(), stream.cuda()?)?,
        }
        self.follow();
        let before = self.progress;
        let mut records = Vec::new();
        if let Source::Device(_, copy) = &mut self.source
            && copy.wait()?
        {
            // From before: it may hold what was overwritten since.
            records = self.take();
        }
        if let Source::Device(memory, copy) = &mut self.source {
            let copied = copy.start(memory).and_then(|()| copy.wait());
            copied.inspect_err(|_| self.progress = before)?;
        }
        records.extend(self.take());
        Ok(records)
    }

    /// The records that the ring, or the last copy of it, holds and that were not returned yet. A state that is loaded
    /// meanwhile, in another thread, begins another run: then those of that run.
    fn take(&mut self) -> Vec<TelemetryRecord> {
        loop {
            let ring = match &self.source {
                Source::Host(ring) => ring,
                Source::Mapped(pinned) => pinned.words(),
                Source::Device(_, copy) => copy.words(),
            };
            let taken = self.layout.read(ring, self.progress);
            if self.runs.now().0 == self.run {
                self.progress = taken.progress;
                return taken.records;
            }
            self.follow();
            if let Source::Device(..) = self.source {
                return Vec::new(); // the copy is of the former run
            }
        }
    }

    /// Where a state was loaded: begins with the run that goes on from it. A copy of the ring from before is of no use.
    fn follow(&mut self) {
        let (run, next) = self.runs.now();
        if run != self.run {
            (self.run, self.progress.next) = (run, next);
            if let Source::Device(_, copy) = &mut self.source {
                copy.discard();
            }
        }
    }

    /// How many calls were overwritten in the ring before they could be read, those before this reader was made among them:
    /// where it rises, the ring is too short for how often it is polled.
    pub fn lost(&self) -> u64 {
        self.progress.lost
    }

    /// What the values of all records are.
    pub fn columns(&self) -> &[TelemetryColumn] {
        &self.layout.columns
    }

    /// How parameters, gradients and states of all groups are stored.
    pub fn forms(&self) -> &[TelemetryForm] {
        &self.forms
    }
}

/// In the order of groups and their streams; of one stream in that of the tensors.
fn forms(plan: &Plan) -> Vec<TelemetryForm> {
    let mut all: Vec<TelemetryForm> = Vec::new();
    for (group, of_group) in plan.groups.iter().enumerate() {
        let states = plan.variants[of_group.variant as usize].streams().iter().map(|stream| &*stream.name);
        for (place, name) in ["param", "grad"].into_iter().chain(states).enumerate() {
            let begin = all.len();
            for row in plan.tensors_of(group).map(|tensor| &plan.tensors[tensor]) {
                let form = plan.storages(row)[place].form;
                match all[begin..].iter_mut().find(|known| known.form == form) {
                    Some(known) => known.tensors += 1,
                    None => all.push(TelemetryForm { group, stream: name.into(), form, tensors: 1 }),
                }
            }
        }
    }
    all
}

impl fmt::Debug for TelemetryReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TelemetryReader").field("progress", &self.progress).finish_non_exhaustive()
    }
}
