//! Another optimizer takes the place of one that runs.

use super::{Engine, Optimizer, OptimizerBuilder};
use crate::backend::Stream;
use crate::error::{Error, Result};
use crate::plan::{LoadOptions, Loaded};

impl Optimizer {
    /// Builds another optimizer on the same device, lets it go on from the state of this one, as [`Optimizer::load_state_with`] does with
    /// `options`, and puts it in this one's place: for what cannot change while an optimizer lives, such as a rule, a precision, or more
    /// tensors than were reserved. Waits for `stream`, and builds as [`OptimizerBuilder::build`] does.
    ///
    /// Steps must be captured again. A graph that was captured before does nothing from then on, and raises
    /// [`Status::called_after_rebuild`](crate::Status::called_after_rebuild), which [`Edit::lower_flags`](crate::Edit::lower_flags) lowers; a loop on a condition of this one
    /// ends at once. The state memory of this one is freed; some of its tables stay for such graphs.
    ///
    /// Fails as those two do, and for a builder of another device; this optimizer then goes on as it was. Not so where the builder is given the
    /// state memory of this one ([`OptimizerBuilder::state_memory`]), which its build writes.
    ///
    /// ```
    /// use instep::{AdamW, Device, LoadOptions, Optimizer, Stream, Tensor};
    /// let (mut params, grads, stream) = ([[1.0f32; 4]; 2], [[0.5f32; 4]; 2], Stream::host());
    /// // SAFETY: the arrays outlive the optimizers, and nothing else touches them while a step runs.
    /// let mut tensor = |i: usize| unsafe { Tensor::f32(params[i].as_mut_ptr() as u64, grads[i].as_ptr() as u64, 4) };
    /// let (weight, adapter) = (tensor(0).name("weight"), tensor(1).name("adapter"));
    /// let builder = || Optimizer::builder(&Device::host());
    /// let mut opt = builder().group(AdamW::new(0.1), &[weight.clone()]).build()?;
    /// opt.step(&stream)?;
    /// let more = builder().group(AdamW::new(0.1), &[weight, adapter]);
    /// let loaded = opt.rebuild(more, LoadOptions::new().tensors(), &stream)?;
    /// opt.step(&stream)?;
    /// assert_eq!((opt.status(&stream)?.t, loaded.changes().len()), (2, 1));
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn rebuild(&mut self, builder: OptimizerBuilder, options: LoadOptions, stream: &Stream) -> Result<Loaded> {
        let state = self.state(stream)?;
        let mut next = builder.build()?;
        match (&self.0, &next.0) {
            (Engine::Host(_), Engine::Host(_)) => {}
            (Engine::Cuda(ours), Engine::Cuda(theirs)) if ours.context().is_same(theirs.context()) => {}
            _ => return Err(Error::argument("builder", "of another device", "an optimizer is rebuilt where it is")),
        }
        let loaded = next.load_state_with(&state, options, stream)?;
        if let (Engine::Cuda(ours), Engine::Cuda(next)) = (&mut self.0, &mut next.0) {
            next.retired = ours.retire(stream.cuda()?)?;
        }
        *self = next;
        Ok(loaded)
    }

    /// Whether a graph was launched that was captured before [`Optimizer::rebuild`], when the device last told: no driver call and no wait.
    pub fn called_after_rebuild(&self) -> bool {
        match &self.0 {
            Engine::Cuda(engine) => engine.was_called_late(),
            Engine::Host(_) => false,
        }
    }
}
