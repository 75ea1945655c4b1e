//! Steps, and what an engine launches around them, captured in a CUDA graph. Start at [`Optimizer::capture`].

use std::num::NonZeroU64;

use super::condition::{LoopBody, StopCondition, no_graphs};
use super::keep::KeepAlive;
use super::{Engine, Optimizer};
use crate::backend::Stream;
use crate::device::{CaptureMode, Graph, GraphExec};
use crate::error::{Error, Result};

/// What a captured graph does in one launch: for [`Optimizer::capture_as`].
#[derive(Debug, Clone, Copy)]
#[must_use = "give it to `Optimizer::capture_as`"]
pub struct Capture {
    runs: Runs,
    mode: CaptureMode,
}

#[derive(Debug, Clone, Copy)]
enum Runs {
    Times(u64),
    UntilStop(LoopBody),
}

impl Capture {
    /// The work, once.
    pub fn once() -> Capture {
        Capture::times(1)
    }

    /// The work `times` times, at least once, one after the other. The graph has as many copies of its nodes.
    pub fn times(times: u64) -> Capture {
        Capture { runs: Runs::Times(times), mode: CaptureMode::Global }
    }

    /// The work again and again until the optimizer's end has come: a loop on the device, a WHILE node, which one launch starts and no
    /// host counts. Launched after the end it does nothing. Drivers have such nodes since CUDA 12.3; [`StopCondition`] says what
    /// the work may hold, and which optimizers have no such loop.
    pub fn until_stop() -> Capture {
        Capture::until_stop_of(LoopBody::new())
    }

    /// [`Capture::until_stop`] for work of which more is known: that it observes a metric, or how often it may run.
    pub fn until_stop_of(body: LoopBody) -> Capture {
        Capture { runs: Runs::UntilStop(body), mode: CaptureMode::Global }
    }

    /// Lets other threads of the process allocate, free and wait while the work is captured. Without this such a call of theirs
    /// breaks the capture, so that none is by mistake left out of it.
    pub fn thread_local(mut self) -> Capture {
        self.mode = CaptureMode::ThreadLocal;
        self
    }
}

/// A captured graph, ready to launch: of [`Optimizer::capture`].
///
/// It keeps alive what the optimizer has on the device, as [`KeepAlive`] does, so either may be dropped first. Tensors, and whatever
/// else the captured work touches, are the engine's to keep until this is dropped. Edits, telemetry, the step counter and
/// gradients that move ([`Dynamic`](crate::Dynamic)) go on between launches; what the host computed while the work was captured is
/// frozen.
///
/// Dropping it destroys the graph; a launch that still runs comes to its end first.
pub struct CapturedGraph {
    // In this order: the graph is gone before what its nodes use.
    exec: GraphExec,
    _condition: Option<StopCondition>,
    _keep: [KeepAlive; 2],
    runs: Runs,
}

/// What a launch does.
impl std::fmt::Debug for CapturedGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CapturedGraph").field("runs", &self.runs).finish_non_exhaustive()
    }
}

impl CapturedGraph {
    /// Enqueues all that was captured, on the stream that it was captured from or on any other of the same context. Two driver
    /// calls, no wait. Launches, and whatever else touches the tensors, are ordered by the caller, as steps are.
    ///
    /// On a stream that captures it becomes a child of that graph, unless it is a loop, which the driver refuses there; this is then
    /// kept until the last launch of that graph.
    ///
    /// Fails with [`Error::Argument`] for the host's stream and one of another context, before anything is enqueued.
    pub fn launch(&self, stream: &Stream) -> Result<()> {
        self.exec.launch(stream.cuda()?)
    }
}

impl Optimizer {
    /// Captures what `work` enqueues on `stream`, this optimizer's steps and the engine's own kernels, in a CUDA graph, which can be
    /// launched for ever with the schedules still moving. Nothing of it runs yet.
    ///
    /// `work` is given the optimizer and the stream, and is called once. It may return the engine's own error, made from an
    /// [`Error`] where the capture fails by itself. If it fails, the capture is thrown away, `stream` can be used as before, and its
    /// error is returned.
    ///
    /// ```no_run
    /// # use instep::{AdamW, Device, Optimizer, Tensor};
    /// # fn forward_and_backward(stream: &instep::Stream) -> instep::Result<()> { Ok(()) }
    /// # fn train(weight: Tensor) -> instep::Result<()> {
    /// let device = Device::cuda(0)?;
    /// let stream = device.new_stream()?;
    /// let mut opt = Optimizer::builder(&device).group(AdamW::new(3e-4), &[weight]).build()?;
    /// let step = opt.capture(&stream, |opt, stream| {
    ///     forward_and_backward(stream)?;
    ///     opt.step(stream)
    /// })?;
    /// for _ in 0..10_000 {
    ///     step.launch(&stream)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Kernels are loaded before they are captured, and cudarc's event tracking is off:
    /// [`Device::load_function`](crate::Device::load_function),
    /// [`Device::from_cudarc_for_capture`](crate::Device::from_cudarc_for_capture).
    ///
    /// Fails with [`Error::Argument`] on the host; for a stream of another context, the legacy default stream, one that is
    /// captured already; and where nothing was enqueued on it. With [`Error::Capture`] where the work did what a capture forbids, and
    /// went on.
    pub fn capture<E: From<Error>>(
        &mut self,
        stream: &Stream,
        work: impl FnOnce(&mut Optimizer, &Stream) -> Result<(), E>,
    ) -> Result<CapturedGraph, E> {
        let mut work = Some(work);
        self.capture_as(Capture::once(), stream, |opt, stream| match work.take() {
            Some(work) => work(opt, stream),
            None => Ok(()),
        })
    }

    /// [`Optimizer::capture`] for a graph that does the work more than once in a launch: `n` times, or until the optimizer's end
    /// has come. `work` is called once for each copy, and once for a loop.
    ///
    /// ```no_run
    /// # use instep::{AdamW, Capture, Device, Optimizer, Tensor};
    /// # fn train(device: Device, weight: Tensor) -> instep::Result<()> {
    /// # let stream = device.new_stream()?;
    /// let mut opt = Optimizer::builder(&device).group(AdamW::new(3e-4), &[weight]).stop_at(10_000).build()?;
    /// let training = opt.capture_as(Capture::until_stop(), &stream, |opt, stream| opt.step(stream))?;
    /// training.launch(&stream)?; // all of it
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Fails as [`Optimizer::capture`] does, and for a loop as [`Optimizer::stop_condition_of`] does: for one that could not
    /// end, above all. With [`Error::Argument`] where the driver has no loops.
    pub fn capture_as<E: From<Error>>(
        &mut self,
        capture: Capture,
        stream: &Stream,
        work: impl FnMut(&mut Optimizer, &Stream) -> Result<(), E>,
    ) -> Result<CapturedGraph, E> {
        Optimizer::captured(self, |opt| opt, capture, stream, work)
    }

    /// The same for whatever holds an optimizer.
    pub(crate) fn captured<T, E: From<Error>>(
        target: &mut T,
        optimizer: fn(&T) -> &Optimizer,
        capture: Capture,
        stream: &Stream,
        mut work: impl FnMut(&mut T, &Stream) -> Result<(), E>,
    ) -> Result<CapturedGraph, E> {
        let context = match &optimizer(target).0 {
            Engine::Cuda(engine) => engine.context().clone(),
            Engine::Host(_) => return Err(no_graphs("which a capture makes").into()),
        };
        let queue = stream.cuda()?;
        queue.expect_context(&context)?;
        queue.expect_capturable()?;
        // The work may put another optimizer in this one's place.
        let before = optimizer(target).keep_alive();
        let (graph, condition) = match capture.runs {
            Runs::Times(times) => {
                let times = NonZeroU64::new(times)
                    .ok_or_else(|| Error::argument("capture.times", times, "must be at least 1"))?;
                let all = || (0..times.get()).try_for_each(|_| work(target, stream));
                (Graph::capture(&context, queue, capture.mode, all)?, None)
            }
            Runs::UntilStop(body) => {
                let condition = optimizer(target).stop_condition_of(body)?;
                let graph = Graph::new(&context)?;
                let handle = graph.handle()?;
                // Nothing to do if the end has come already.
                let first = || Ok::<_, E>(condition.launch(handle, queue)?);
                graph.add(graph.body(), queue, capture.mode, first)?;
                let rounds = graph.repeat(handle)?;
                graph.add(rounds, queue, capture.mode, || {
                    work(target, stream)?;
                    Ok::<_, E>(condition.launch(handle, queue)?)
                })?;
                // Of the condition alone: it would go round for ever.
                if rounds.len(&context)? < 2 {
                    return Err(empty().into());
                }
                (graph, Some(condition))
            }
        };
        if graph.len()? == 0 {
            return Err(empty().into());
        }
        let _keep = [before, optimizer(target).keep_alive()];
        Ok(CapturedGraph { exec: graph.instantiate()?, _condition: condition, _keep, runs: capture.runs })
    }
}

/// The error of work that put nothing on the stream.
fn empty() -> Error {
    Error::argument("work", "empty", "must enqueue something on the stream that it is given")
}
