//! An update in parts, as gradients come.

use super::{Engine, Optimizer, TensorId, expect_host};
use crate::backend::Stream;
use crate::error::Result;

impl Optimizer {
    /// Enqueues the update of some tensors, whose gradients are there: while the backward pass goes on, say. One launch for each 475
    /// tensors, no wait; it may be captured. The clock and the schedules stay as they are until [`Optimizer::finish`] ends the update,
    /// after the parts, so all of them use the same rate. Parts and `finish` may be on different streams that the caller orders.
    ///
    /// What must be known of all gradients first must be handed in, before the first part, and stay until `finish` is done:
    /// [`norm_square`](crate::OptimizerBuilder::norm_square), [`found_inf`](crate::OptimizerBuilder::found_inf). Where gradients accumulate, every call is made so.
    ///
    /// Fails with [`Error::Argument`](crate::Error::Argument) for an optimizer without [`OptimizerBuilder::in_parts`](crate::OptimizerBuilder::in_parts), one
    /// that takes a norm itself or has a rule that sums over elements, a tensor that has come in this update, and for a stream of another device or context.
    ///
    /// ```
    /// use instep::{AdamW, Device, Optimizer, Stream, Tensor};
    /// let (mut params, grads, stream) = ([[1.0f32; 4]; 2], [[0.5f32; 4]; 2], Stream::host());
    /// // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
    /// let mut tensor = |i: usize| unsafe { Tensor::f32(params[i].as_mut_ptr() as u64, grads[i].as_ptr() as u64, 4) };
    /// let tensors = [tensor(0).name("first"), tensor(1).name("last")];
    /// let mut opt = Optimizer::builder(&Device::host()).in_parts().group(AdamW::new(0.1), &tensors).build()?;
    /// let (first, last) = (opt.tensor("first")?, opt.tensor("last")?);
    /// opt.step_part(&[last], &stream)?; // its gradient comes first
    /// opt.step_part(&[first], &stream)?;
    /// opt.finish(&stream)?;
    /// assert_eq!((params[0], opt.status(&stream)?.t), (params[1], 1));
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn step_part(&mut self, tensors: &[TensorId], stream: &Stream) -> Result<()> {
        let places = self.places(tensors)?;
        self.plan().check_part(&places)?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.step_part(&places, stream.cuda()?)?,
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.step_part(&places)?;
            }
        }
        if let Some(parts) = &mut self.plan_mut().parts {
            parts.extend(places);
        }
        Ok(())
    }

    /// Enqueues the end of an update whose parts were made: what [`Optimizer::step`] does beside updating tensors. One launch of one block,
    /// no wait; it may be captured, with the parts.
    ///
    /// Fails with [`Error::Argument`](crate::Error::Argument) as [`Optimizer::step_part`] does, and where a tensor has not come that has a gradient.
    pub fn finish(&mut self, stream: &Stream) -> Result<()> {
        self.plan().check_finish()?;
        match &mut self.0 {
            Engine::Cuda(engine) => engine.finish(stream.cuda()?)?,
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.finish()?;
            }
        }
        if let Some(parts) = &mut self.plan_mut().parts {
            parts.clear();
        }
        Ok(())
    }
}
