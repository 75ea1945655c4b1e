//! AdEMAMix.

use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};
use crate::schedule::{Schedule, step};

declare! {
    /// AdEMAMix: AdamW with a second, slow average of the gradients in its update.
    ///
    /// 36 bytes move per f32 parameter. Training from scratch is steady only if `alpha` and `beta3` warm up: see
    /// [`AdEMAMix::alpha_warmup`] and [`AdEMAMix::beta3_warmup`]. Source: Pagliardini et al. 2024, arXiv:2409.03137, algorithm 1.
    /// Peers: `pytorch_optimizer.AdEMAMix`, `optax.contrib.ademamix`.
    AdEMAMix = "ademamix", 7 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the fast average, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the decay rate of the slow average, in [0, 1).
        beta3: BelowOne = 0.9999,
        /// Sets how much of the slow average enters the update, not negative.
        alpha: NotNegative = 5.0,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-8,
    }
    options {
        /// Adds the weight decay to the gradient.
        coupled_weight_decay: bool = false,
    }
}

impl AdEMAMix {
    /// The warm-up of `alpha` of the paper: linear, to `alpha` at update `steps`, counted from 1.
    ///
    /// ```
    /// use instep::AdEMAMix;
    /// let rule = AdEMAMix::new(1e-3)
    ///     .alpha(AdEMAMix::alpha_warmup(5.0, 1_000.0))
    ///     .beta3(AdEMAMix::beta3_warmup(0.9, 0.9999, 1_000.0));
    /// assert_eq!(AdEMAMix::alpha_warmup(5.0, 1_000.0).at(499)?, 2.5);
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn alpha_warmup(alpha: f64, steps: f64) -> Schedule {
        ((step() + 1.0) * alpha / steps).min(alpha)
    }

    /// The warm-up of `beta3` of the paper: from `beta1`, above 0, to `beta3` at update `steps`, so that the half-life of the
    /// average grows linearly.
    pub fn beta3_warmup(beta1: f64, beta3: f64, steps: f64) -> Schedule {
        let (ln1, ln3) = (beta1.ln(), beta3.ln());
        let part = ((step() + 1.0) / steps).min(1.0);
        (ln1 * ln3 / (part * (ln1 - ln3) + ln3)).exp().min(beta3)
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub AdEMAMixScalars {
        weight_decay, lr_weight_decay, one_minus_beta1, beta2, one_minus_beta2, one_minus_beta3, slow_share,
        inv_sqrt_bias_correction2, eps, step_size
    }
}

impl Rule for AdEMAMix {
    declared!(7);
    type Streams<T> = [T; 3];
    type Scalars<T> = AdEMAMixScalars<T>;

    fn streams(&self) -> [Stream; 3] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator(), Stream::new("exp_avg_slow")]
    }

    fn resolve<W: Scalar>(&self, given: [W; 7], step: &mut Step<'_, W>) -> AdEMAMixScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, beta3, alpha, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let correction1 = beta1.bias_correction(updates);
        AdEMAMixScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            one_minus_beta3: (one - beta3).round(),
            slow_share: (alpha * correction1).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(updates).sqrt()).round(),
            eps: eps.round(),
            step_size: (lr / correction1).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdEMAMixScalars<E>, p: E, g: E, [m, v, slow]: [E; 3]) -> (E, [E; 3]) {
        let decay = Decay::of_form(&self.weight_decay, !self.coupled_weight_decay);
        let g = decay.gradient(s.weight_decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let slow = s.one_minus_beta3.fma(g - slow, slow).named("slow");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = (s.slow_share.fma(slow, m) / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("u");
        (decay.step(s.lr_weight_decay, s.step_size, u, p), [m, v, slow])
    }
}
