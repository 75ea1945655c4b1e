//! Schedules for engines that keep their own update kernels: the numbers move on the device, at addresses of theirs. Start at [`Rates`].
// Inside: `scope` records what a value follows from, `group` turns a group into a rule whose memory is what it writes, `builder` makes
// an optimizer of it, whose groups have no elements; `slices` is cudarc's side.

mod builder;
mod group;
mod scope;
mod slices;

pub use builder::RatesBuilder;
pub use group::{RateGroup, RateOutput};
pub use scope::{IntoRate, RateScalar, RateScope};
pub use slices::RateElement;

use crate::backend::{Device, Stream};
use crate::error::{Error, Result};
use crate::optimizer::{
    Capture, CapturedGraph, DeviceView, Edit, KeepAlive, KnobValue, LoopBody, Observed, Optimizer, Status,
    StopCondition, TelemetryReader,
};
use crate::plan::{LoadOptions, Loaded};

/// Evaluates schedules, and what follows from them, on the device, and writes the numbers to addresses of the engine's: one tiny launch
/// and two driver calls, whatever the number of addresses. For engines that keep their own update kernel and need a rate
/// that moves under a captured graph.
///
/// [`Rates::step`] writes the values of update `t` and advances the clock, so it comes before the engine's kernel of that update, on
/// the same stream or in the same graph; its first launch writes those of update 0. Where a `found_inf` of the engine's keeps an
/// update from being applied, the clock stays, and the next launch writes the same values: the launch then comes after the backward
/// pass that sets the flag. A state goes on with other values too, of the same schedules; what is written is no part of it. Metric rules, knobs, telemetry,
/// state, ends and captures are those of an [`Optimizer`].
///
/// ```
/// use instep::{Device, RateGroup, RateOutput, Rates, Schedule, Stream};
///
/// let (mut rate, mut keep) = (0.0f32, 0.0f64);
/// let group = RateGroup::new(Schedule::linear(0.0, 1.0).over(4))
///     .schedule("weight_decay", 0.1)
///     .value("keep", |s| 1.0 - s.get("lr") * s.get("weight_decay"));
/// // SAFETY: both outlive the rates, and nothing else touches them while a step runs.
/// let group = unsafe { group.write("lr", RateOutput::f32(&raw mut rate as u64)) };
/// // SAFETY: as above.
/// let group = unsafe { group.write("keep", RateOutput::f64(&raw mut keep as u64)) };
/// let mut rates = Rates::builder(&Device::host()).group(group).build()?;
/// for update in [0.0, 0.25, 0.5] {
///     rates.step(&Stream::host())?;
///     assert_eq!((f64::from(rate), keep), (update, 1.0 - update * 0.1));
/// }
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug)]
pub struct Rates(Optimizer);

impl Rates {
    /// Starts rates on `device`.
    pub fn builder(device: &Device) -> RatesBuilder {
        RatesBuilder::new(device)
    }

    /// Enqueues one launch on `stream`, by two driver calls: it writes the values of the update in force and, unless a `found_inf` says
    /// that this update is skipped, advances the clock. It waits for nothing and may be captured, the very first one too.
    ///
    /// Fails with [`Error::Argument`](crate::Error::Argument) for a stream of another device or context, before anything is enqueued.
    pub fn step(&mut self, stream: &Stream) -> Result<()> {
        self.0.step(stream)
    }

    /// Captures what `work` enqueues on `stream`, these launches and the engine's own kernels, in a CUDA graph:
    /// [`Optimizer::capture`].
    pub fn capture<E: From<Error>>(
        &mut self,
        stream: &Stream,
        work: impl FnOnce(&mut Rates, &Stream) -> Result<(), E>,
    ) -> Result<CapturedGraph, E> {
        let mut work = Some(work);
        self.capture_as(Capture::once(), stream, |rates, stream| match work.take() {
            Some(work) => work(rates, stream),
            None => Ok(()),
        })
    }

    /// The same for a graph that does the work more than once in a launch: [`Optimizer::capture_as`].
    pub fn capture_as<E: From<Error>>(
        &mut self,
        capture: Capture,
        stream: &Stream,
        work: impl FnMut(&mut Rates, &Stream) -> Result<(), E>,
    ) -> Result<CapturedGraph, E> {
        Optimizer::captured(self, |rates| &rates.0, capture, stream, work)
    }

    /// Feeds a metric to the metric rules, which may change the rate of the next update: [`Optimizer::observe`].
    ///
    /// # Safety
    ///
    /// As for [`Optimizer::observe`].
    #[expect(unsafe_code, reason = "passes a contract on")]
    pub unsafe fn observe(&mut self, metric: impl Into<Observed>, stream: &Stream) -> Result<()> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.0.observe(metric, stream) }
    }

    /// Starts an edit of knobs: [`Optimizer::edit`].
    pub fn edit(&mut self) -> Edit<'_> {
        self.0.edit()
    }

    /// Names of the knobs with their values: [`Optimizer::knobs`].
    pub fn knobs(&self) -> impl Iterator<Item = (&str, KnobValue)> {
        self.0.knobs()
    }

    /// Reads the counters and the schedules of the next update. Waits for `stream`: [`Optimizer::status`].
    pub fn status(&self, stream: &Stream) -> Result<Status> {
        self.0.status(stream)
    }

    /// Whether the stop flag was up when the device last told: [`Optimizer::stopped`].
    pub fn stopped(&self) -> bool {
        self.0.stopped()
    }

    /// Whether too many launches in a row had been skipped when the device last told: [`Optimizer::raised`].
    pub fn raised(&self) -> bool {
        self.0.raised()
    }

    /// Addresses of the clock and the counters, for the engine's own kernels: [`Optimizer::device_view`].
    pub fn device_view(&self) -> DeviceView {
        self.0.device_view()
    }

    /// A reader of the records of launches: [`Optimizer::telemetry`].
    pub fn telemetry(&self) -> Result<TelemetryReader> {
        self.0.telemetry()
    }

    /// The state of the run as one block of bytes: [`Optimizer::state`].
    pub fn state(&self, stream: &Stream) -> Result<Vec<u8>> {
        self.0.state(stream)
    }

    /// Goes on from a block: [`Optimizer::load_state`].
    pub fn load_state(&mut self, bytes: &[u8], stream: &Stream) -> Result<()> {
        self.0.load_state(bytes, stream)
    }

    /// The same for rates that may differ from those of the block: [`Optimizer::load_state_with`].
    pub fn load_state_with(&mut self, bytes: &[u8], options: LoadOptions, stream: &Stream) -> Result<Loaded> {
        self.0.load_state_with(bytes, options, stream)
    }

    /// The stop flag as the condition of a WHILE node: [`Optimizer::stop_condition_of`].
    pub fn stop_condition_of(&self, body: LoopBody) -> Result<StopCondition> {
        self.0.stop_condition_of(body)
    }

    /// Keeps what a captured graph needs: [`Optimizer::keep_alive`].
    pub fn keep_alive(&self) -> KeepAlive {
        self.0.keep_alive()
    }
}
