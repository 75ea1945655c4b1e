//! MARS.

use super::declare::{choice, declare, declared};
use super::options::{Decay, sign};
use crate::error::{Error, Result};
use crate::rule::{Count, Element, Over, Rule, Scalar, Step, Stream, Sum, Terms};

/// What MARS makes of its corrected gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum MarsForm {
    /// AdamW's update.
    #[default]
    AdamW,
    /// The sign of the first moment.
    Lion,
}

choice!(MarsForm { "adamw" => AdamW, "lion" => Lion });

declare! {
    /// MARS: moments of gradients that are corrected by their change since the update before, and scaled to a norm of at most 1
    /// for each tensor.
    ///
    /// 36 bytes move per f32 parameter with [`MarsForm::AdamW`], 28 with [`MarsForm::Lion`], and 8 more to measure the norms. The
    /// first update has no correction. It is meant for matrices; vectors take [`AdamW`](crate::AdamW) in a group of their own.
    /// Source: Yuan et al. 2024, arXiv:2411.10438, algorithm 2. Peer: `timm.optim.Mars`.
    Mars = "mars", 6 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1); [`MarsForm::Lion`] has none.
        beta2: BelowOne = 0.99,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-8,
        /// Sets the strength of the correction, not negative.
        gamma: NotNegative = 0.025,
    }
    options {
        /// Sets what becomes of the corrected gradients.
        form: MarsForm = MarsForm::AdamW,
        /// Leaves out what of the first moment goes against the gradient. It goes with [`MarsForm::Lion`] alone: how much is left
        /// out would have to be known before the others are scaled up, and that follows from the norms.
        caution: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `correction` is 0 at a tensor's first update; `take1` and `take2` have the scale to norm 1 in them.
    pub MarsScalars {
        correction, lr_weight_decay, step_size, beta1, take1, beta2, take2, inv_sqrt_bias_correction2, eps
    }
}

impl Mars {
    #[inline(always)]
    fn corrected<E: Element>(s: &MarsScalars<E>, g: E, before: E) -> E {
        s.correction.fma(g - before, g).named("c")
    }
}

impl Rule for Mars {
    declared!(6);
    type Streams<T> = [T; 3];
    type Scalars<T> = MarsScalars<T>;
    const FEWEST_STREAMS: usize = 2;

    fn streams(&self) -> [Stream; 3] {
        [
            Stream::new("exp_avg"),
            Stream::new("exp_avg_sq").denominator().only_if(self.form == MarsForm::AdamW),
            Stream::new("last_grad").exact(),
        ]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("square_of_corrected", Over::Tensor)]
    }

    fn check(&self) -> Result<()> {
        if self.caution && self.form == MarsForm::AdamW {
            return Err(Error::argument(
                "caution",
                true,
                "must not be set with form \"adamw\": it takes two passes over the gradients",
            ));
        }
        Ok(())
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> MarsScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, gamma] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let (first, updates) = (step.updates().is(0), step.updates().next());
        let scale = one / step.sum(0).max(one).sqrt();
        let step_size = match self.form {
            MarsForm::AdamW => lr / beta1.bias_correction(updates),
            MarsForm::Lion => lr,
        };
        MarsScalars {
            correction: W::select(first, zero, gamma * beta1 / (one - beta1)).round(),
            lr_weight_decay: (lr * weight_decay).round(),
            step_size: step_size.round(),
            beta1: beta1.round(),
            take1: ((one - beta1) * scale).round(),
            beta2: beta2.round(),
            take2: ((one - beta2) * scale * scale).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(updates).sqrt()).round(),
            eps: eps.round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &MarsScalars<E>, _: E, g: E, [.., before]: [E; 3], terms: &mut Terms<E>) {
        let c = Self::corrected(s, self.direction.of(g), before);
        terms.add_product(0, c, c);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &MarsScalars<E>, p: E, g: E, [m, v, before]: [E; 3]) -> (E, [E; 3]) {
        let g = self.direction.of(g);
        let c = Self::corrected(s, g, before);
        let m = s.beta1.fma(m, s.take1 * c).named("m");
        let (u, v) = match self.form {
            MarsForm::AdamW => {
                let v = s.beta2.fma(v, s.take2 * (c * c)).named("v");
                ((m / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("u"), v)
            }
            // A sign is the same whatever the others are scaled by.
            MarsForm::Lion if self.caution => {
                let zero = E::literal(0.0);
                (E::select(zero.less(m * g), sign(m), zero).named("cautious"), v)
            }
            MarsForm::Lion => (sign(m), v),
        };
        let p = Decay::of(&self.weight_decay, Decay::Decoupled).step(s.lr_weight_decay, s.step_size, u, p);
        (p, [m, v, g])
    }
}
