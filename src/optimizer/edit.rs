//! Edits of knobs: the builder that collects one, and what knobs show of themselves.

use super::{Engine, Optimizer, expect_host};
use crate::backend::Stream;
use crate::error::Result;
use crate::plan::Request;
use crate::program::Knob;

/// Collects new values for the knobs of an [`Optimizer`]; [`Edit::apply`] checks and enqueues them all together.
///
/// ```
/// use instep::{Device, KnobValue, Optimizer, Schedule, Sgd, Stream, Tensor, knob, knob_steps, reached};
///
/// let stable = Schedule::constant(knob("peak_lr", 0.5)).over(knob_steps("stable_steps", 1_000));
/// let lr = stable.then(Schedule::linear(reached(), 0.0).over(4));
/// let (mut param, grad) = (vec![1.0f32; 8], vec![0.5f32; 8]);
/// // SAFETY: both vectors outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 8) };
/// let stream = Stream::host();
/// let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(lr), &[weight]).build()?;
///
/// opt.edit().set("peak_lr", 0.25).apply(&stream)?;
/// opt.step(&stream)?;
/// opt.edit().now("stable_steps").apply(&stream)?; // cools down from here, whatever the step is
/// opt.step(&stream)?;
/// assert_eq!(opt.status(&stream)?.scalar(0, "lr"), Some(0.1875));
/// assert_eq!(opt.knobs().collect::<Vec<_>>(), [("peak_lr", KnobValue::Number(0.25)), ("stable_steps", KnobValue::Now)]);
/// # Ok::<(), instep::Error>(())
/// ```
#[must_use = "call `apply`"]
pub struct Edit<'a> {
    optimizer: &'a mut Optimizer,
    request: Request,
}

impl<'a> Edit<'a> {
    pub(super) fn new(optimizer: &'a mut Optimizer) -> Self {
        Edit { optimizer, request: Request::default() }
    }

    /// What is asked for so far.
    pub(super) fn request(&self) -> &Request {
        &self.request
    }

    /// Sets a [`knob`](crate::knob).
    pub fn set(mut self, name: impl Into<String>, value: f64) -> Self {
        self.request.values.push((name.into(), Knob::Real(value)));
        self
    }

    /// Sets a [`knob_steps`](crate::knob_steps): a length, a boundary or a milestone. Milestones must still rise then.
    pub fn set_steps(mut self, name: impl Into<String>, steps: u64) -> Self {
        self.request.values.push((name.into(), Knob::Count(steps)));
        self
    }

    /// Sets the length of a piece, a [`knob_steps`](crate::knob_steps), so that the piece ends at the device's clock at this
    /// point of the stream: the next update is the first of the piece that follows. Steps that are enqueued but have not run
    /// and updates that were skipped are counted right, since the device resolves it.
    ///
    /// In every schedule that holds the knob, it must be the length of a piece of the outermost `then`, `join` or warm-up, on
    /// the step or on the progress clock, and nothing may be computed from it; a milestone is refused, which would have to stay
    /// between its neighbours. The pieces before are cut where they would
    /// last longer; the piece itself may become longer than it was. A piece that follows and starts from
    /// [`reached`](crate::reached) goes on from the value in force before this edit.
    ///
    /// What was resolved stays, whatever else is edited, until this knob is set to a number of steps, which puts all of it
    /// back. An edit of another knob that would move a boundary that was cut is refused.
    pub fn now(mut self, name: impl Into<String>) -> Self {
        self.request.now.push(name.into());
        self
    }

    /// Sets by how much each applied update advances the progress clock from now on.
    pub fn progress_increment(mut self, increment: u64) -> Self {
        self.request.increment = Some(increment);
        self
    }

    /// Sets how many calls of a step make an update from now on: for an optimizer that accumulates
    /// ([`OptimizerBuilder::accumulate`](crate::OptimizerBuilder::accumulate)). Calls that were made since the last update
    /// count: where they are as many already, the next call updates. A mean is over the calls that were made.
    pub fn accumulate(mut self, calls: u32) -> Self {
        self.request.accumulate = Some(calls);
        self
    }

    /// Moves the end: the stop flag is raised when `steps` updates have been applied, at least 1
    /// ([`OptimizerBuilder::stop_at`](crate::OptimizerBuilder::stop_at)). Where as many were applied already, the next one raises
    /// it. A state does not hold it: after [`Optimizer::load_state`] the end is that of the builder, until an edit moves it.
    pub fn stop_at(mut self, steps: u64) -> Self {
        self.request.stop_at = Some(steps);
        self
    }

    /// Lowers all sticky flags: [`Status::stop`](crate::Status::stop), [`raised`](crate::Status::raised) with the skips in a row
    /// that led to it, [`overlapped`](crate::Status::overlapped), [`exhausted`](crate::Status::exhausted) and
    /// [`called_while_shown`](crate::Status::called_while_shown). A loop on
    /// [`Optimizer::stop_condition`] can then be launched again. An end that still holds raises its flag again: a rate that is
    /// below the floor and a plateau that has given up at once, unless the same edit ends that; the others with the next call.
    pub fn lower_flags(mut self) -> Self {
        self.request.lower_flags = true;
        self
    }

    /// Checks the whole edit, then enqueues it on `stream`, ordered with the steps as those are among themselves: the next
    /// update after it uses the new values, those before it the old ones. It takes one small kernel for each 239 constants
    /// that change, no copy, no wait and no recompilation, and captured steps need no new capture.
    ///
    /// Fails with [`Error::Argument`](crate::Error::Argument), and then nothing is changed: for a knob that is not there, that
    /// is of the other kind or given twice; for values with which a schedule or hyperparameter breaks a rule; for a
    /// [`now`](Edit::now) that cannot be resolved; for 0 calls, or calls of an optimizer that does not accumulate; for an end
    /// after 0 updates; for a stream of another device or context, or one that is being captured, because every replay of the
    /// graph would make the edit again.
    pub fn apply(self, stream: &Stream) -> Result<()> {
        self.optimizer.plan().expect_whole("edit")?;
        match &mut self.optimizer.0 {
            Engine::Cuda(engine) => engine.edit(stream.cuda()?, &self.request),
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.edit(&self.request)
            }
        }
    }
}

/// What a knob is set to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum KnobValue {
    /// Of a [`knob`](crate::knob).
    Number(f64),
    /// Of a [`knob_steps`](crate::knob_steps).
    Steps(u64),
    /// The device resolved it when [`Edit::now`] was applied, and the host does not know the steps.
    Now,
}

impl From<Option<Knob>> for KnobValue {
    fn from(value: Option<Knob>) -> KnobValue {
        match value {
            Some(Knob::Real(value)) => KnobValue::Number(value),
            Some(Knob::Count(steps)) => KnobValue::Steps(steps),
            None => KnobValue::Now,
        }
    }
}
