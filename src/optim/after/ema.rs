//! An exponential moving average of the parameters.

use super::{declare_after, declared_after};
use crate::rule::{Element, Rule, Scalar, Start, Step, Stream};
use crate::schedule::{Schedule, step};

declare_after! {
    /// Keeps an exponential moving average of the parameters, `ema ← ema + (1 - decay) · (p - ema)`, in a stream `ema` that starts from
    /// the parameters as they are before the first update: [`GroupRule::then`](crate::GroupRule::then).
    ///
    /// `decay` (`ema_decay` in files) lies in [0, 1]; at 1 the average stays as it is, so a schedule can let it follow every so many
    /// updates. 8 bytes more move per f32 parameter. Peers: `timm.utils.ModelEmaV3`, `torch.optim.swa_utils.AveragedModel`, `optax.ema`
    /// of parameters.
    Ema = "ema", 1 {
        decay("ema_decay"): UpToOne,
    }
    options {
        /// Makes the average the parameters for evaluation: [`Optimizer::eval`](crate::Optimizer::eval). What is for training is put aside
        /// meanwhile, which takes memory of the size of the parameters where no master has it.
        eval,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub EmaScalars { one_minus_ema_decay }
}

impl Ema {
    /// A decay that begins low, 0 for the first update and `min(decay, (1 + t) / (10 + t))` for update t from 1 on. Peer:
    /// `diffusers.training_utils.EMAModel`.
    pub fn warmup(decay: f64) -> Schedule {
        step().less(1.0).select(0.0, ((step() + 1.0) / (step() + 10.0)).min(decay))
    }
}

impl Rule for Ema {
    declared_after!("ema", 1);
    type Streams<T> = [T; 1];
    type Scalars<T> = EmaScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("ema").starts(Start::Param).exact()]
    }

    fn resolve<W: Scalar>(&self, [decay]: [W; 1], _: &mut Step<'_, W>) -> EmaScalars<W::Element> {
        EmaScalars { one_minus_ema_decay: (W::literal(1.0) - decay).round() }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &EmaScalars<E>, p: E, _: E, [ema]: [E; 1]) -> (E, [E; 1]) {
        (p, [s.one_minus_ema_decay.fma(p - ema, ema)])
    }

    #[inline(always)]
    fn show<E: Element>(&self, _: &EmaScalars<E>, _: E, [ema]: [E; 1]) -> Option<E> {
        self.eval.then_some(ema)
    }
}
