//! The graphs of a training, which differ in how much of it one launch runs; the results have the same bits. Start at
//! [`Graphs::capture`].
//!
//! A loop inside of a graph is a WHILE node, which repeats its nodes for as long as a kernel among them says so. The whole
//! training is two of them, and the host waits for nothing but its end:
//!
//! ```text
//! set_condition                        nothing to do if the stop flag is up already
//! WHILE the stop flag is not up        the library's condition
//!     begin_epoch
//!     WHILE the epoch goes on          the example's own condition: epoch.cu
//!         step                         pick a batch, forward, backward, record, update
//!         continue_epoch
//!     validation                       with the observation of its loss, where a rule follows it
//!     set_condition
//! ```

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaFunction, CudaGraph, CudaModule, CudaStream, LaunchConfig, PushKernelArg};
use instep::StopCondition;

use crate::Result;
use crate::while_loop::{self, WhileLoop};
use crate::work::{Work, function};

/// What one launch runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// One step; a validation is another launch. Any driver can.
    Step,
    /// The steps of an epoch; a validation is another launch.
    Epoch,
    /// All steps, and the validations among them.
    Training,
}

/// Captured and instantiated. Each is dropped before what it uses.
pub enum Graphs {
    Step { step: CudaGraph, validation: CudaGraph },
    Epoch { steps: WhileLoop, validation: CudaGraph, _kernels: EpochKernels },
    Training { whole: WhileLoop, _condition: StopCondition, _kernels: EpochKernels },
}

impl Graphs {
    /// Captures `work` for launches of this size. The one that fails where a driver or an NVRTC has no loops leaves
    /// `work` as it was. `compile` loads a unit, given by name and text.
    pub fn capture(
        work: &mut Work,
        launch: Launch,
        compile: impl FnOnce((&str, &str)) -> Result<Arc<CudaModule>>,
    ) -> Result<Self> {
        let stream = work.stream.clone();
        if launch == Launch::Step {
            let step = capture(&stream, || work.step())?;
            return Ok(Self::Step { step, validation: capture(&stream, || work.validation())? });
        }
        if let Some(why) = while_loop::unavailable() {
            return Err(why.into());
        }
        let kernels = EpochKernels::of(&compile(("epoch.cu", include_str!("epoch.cu")))?)?;
        if launch == Launch::Epoch {
            let steps = WhileLoop::capture(&stream, |_| Ok(()), |epoch| kernels.step(work, epoch))?;
            let validation = capture(&stream, || work.validation())?;
            return Ok(Self::Epoch { steps, validation, _kernels: kernels });
        }
        let condition = work.optimizer.stop_condition()?;
        // SAFETY: captured into the graph of the handle, which is launched before `Self` and `work` are dropped.
        let set = |work: &Work, handle| Ok(unsafe { condition.set(handle, &work.borrowed) }?);
        let whole = WhileLoop::build(&stream, |whole| {
            let training = whole.handle()?;
            whole.work(|| set(work, training))?;
            whole.repeat(training, |epochs| {
                let epoch = epochs.handle()?;
                epochs.work(|| kernels.begin(work, epoch))?;
                epochs.repeat(epoch, |steps| steps.work(|| kernels.step(work, epoch)))?;
                epochs.work(|| {
                    work.validation()?;
                    set(work, training)
                })
            })
        })?;
        Ok(Self::Training { whole, _condition: condition, _kernels: kernels })
    }

    /// Enqueues an epoch of at most `steps_per_epoch` of the `left` steps that are left, with its validation; or all that
    /// is left. The numbers of steps and of launches.
    pub fn launch(&self, left: u64, steps_per_epoch: u64) -> Result<(u64, u64)> {
        let epoch = left.min(steps_per_epoch);
        match self {
            Self::Step { step, validation } => {
                for _ in 0..epoch {
                    step.launch()?;
                }
                validation.launch()?;
                Ok((epoch, epoch + 1))
            }
            Self::Epoch { steps, validation, .. } => {
                steps.launch()?;
                validation.launch()?;
                Ok((epoch, 2))
            }
            Self::Training { whole, .. } => {
                whole.launch()?;
                Ok((left, 1))
            }
        }
    }
}

/// The graph of what `body` puts on `stream`.
fn capture(stream: &Arc<CudaStream>, body: impl FnOnce() -> Result<()>) -> Result<CudaGraph> {
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
    body()?;
    Ok(stream.end_capture(CUgraphInstantiate_flags(0))?.ok_or("the captured graph is empty")?)
}

/// The compiled kernels of `epoch.cu`.
pub struct EpochKernels {
    begin: CudaFunction,
    go_on: CudaFunction,
}

impl EpochKernels {
    const ONE_THREAD: LaunchConfig = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };

    fn of(module: &Arc<CudaModule>) -> Result<Self> {
        Ok(Self { begin: function(module, "begin_epoch")?, go_on: function(module, "continue_epoch")? })
    }

    /// Lets the loop of `handle` begin.
    fn begin(&self, work: &Work, handle: u64) -> Result<()> {
        let mut arguments = work.stream.launch_builder(&self.begin);
        arguments.arg(&handle);
        // SAFETY: the kernel takes a handle, of the graph that this is captured into.
        unsafe { arguments.launch(Self::ONE_THREAD) }?;
        Ok(())
    }

    /// One round of the loop of `handle`: a step, and whether it was the epoch's last.
    fn step(&self, work: &mut Work, handle: u64) -> Result<()> {
        work.step()?;
        let view = work.optimizer.device_view();
        let mut arguments = work.stream.launch_builder(&self.go_on);
        arguments.arg(&view.t).arg(&view.stop).arg(&handle);
        // SAFETY: the kernel takes two addresses, which `work` keeps valid, and a handle, of the graph that this is
        // captured into.
        unsafe { arguments.launch(Self::ONE_THREAD) }?;
        Ok(())
    }
}
