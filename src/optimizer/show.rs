//! Parameters for evaluation, where rules have others than for training.

use super::{Engine, Optimizer, expect_host};
use crate::backend::Stream;
use crate::error::{Error, Result};

impl Optimizer {
    /// Shows parameters for evaluation: of rules that have others than for training ([`ScheduleFreeAdamW`](crate::ScheduleFreeAdamW) and
    /// its like, [`Ema`](crate::Ema) with `eval`), the engine's parameters become those, rounded to nearest; others stay.
    /// [`Optimizer::train`] brings back those for training, bit for bit. One launch on `stream`, no wait; it may be captured, and
    /// the switch is on the device: to show what is shown already changes nothing.
    ///
    /// Meanwhile a step, replayed too, does nothing and raises [`Status::called_while_shown`](crate::Status::called_while_shown);
    /// [`Edit::lower_flags`](crate::Edit::lower_flags) lowers it. A loop on [`Optimizer::stop_condition`] ends at once. The state block of such a moment says so, and holds the parameters for
    /// training.
    ///
    /// Fails with [`Error::Argument`] for a stream of another device or context, and where no rule has other parameters for evaluation.
    pub fn eval(&mut self, stream: &Stream) -> Result<()> {
        self.show(stream, true)
    }

    /// Brings back the parameters for training: the counterpart of [`Optimizer::eval`].
    pub fn train(&mut self, stream: &Stream) -> Result<()> {
        self.show(stream, false)
    }

    fn show(&mut self, stream: &Stream, show: bool) -> Result<()> {
        self.plan().expect_whole(if show { "eval" } else { "train" })?;
        if !self.plan().shows() {
            let mode = if show { "eval" } else { "train" };
            let rule = "no rule of this optimizer has other parameters for evaluation";
            return Err(Error::argument("mode", mode, rule));
        }
        match &mut self.0 {
            Engine::Cuda(engine) => engine.show(stream.cuda()?, show)?,
            Engine::Host(engine) => {
                expect_host(stream)?;
                engine.show(show);
            }
        }
        self.plan_mut().shown = show;
        Ok(())
    }
}
