//! Adan.

use super::caution::Caution;
use super::declare::{choice, declare, declared};
use super::options::{Decay, is_zero};
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream, Sum, Terms};

/// What the difference of gradients is multiplied by where it is added to the gradient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AdanWeight {
    /// `beta2`, as in the paper, whose own betas are 1 minus these.
    #[default]
    Beta2,
    /// `1 - beta2`, as in optax.
    OneMinusBeta2,
}

choice!(AdanWeight { "beta2" => Beta2, "one_minus_beta2" => OneMinusBeta2 });

declare! {
    /// Adan: Adam with a Nesterov term made of differences of successive gradients.
    ///
    /// 44 bytes move per f32 parameter. The first update has no difference. Source: Xie et al. 2022, arXiv:2208.06677,
    /// algorithm 1. Peers: `timm.optim.Adan`, `optax.adan`.
    Adan = "adan", 7 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.98,
        /// Sets the decay rate of the average of differences, in [0, 1).
        beta2: BelowOne = 0.92,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta3: BelowOne = 0.99,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-8,
        /// Sets the term added to the second moment under the root, not negative.
        eps_root: NotNegative = 0.0,
    }
    options {
        /// Decays as AdamW does, `p · (1 - lr · weight_decay)` before the update, in place of `p / (1 + lr · weight_decay)` after it.
        no_prox: bool = false,
        /// Sets the weight of the difference.
        difference: AdanWeight = AdanWeight::Beta2,
        /// Leaves out what of the first moment goes against the gradient; the difference stays.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by. `diff_take` and `diff_weight` are 0 at a tensor's first update.
    pub AdanScalars {
        step_size, lr_weight_decay, one_minus_beta1, beta2, diff_take, diff_weight, beta3, one_minus_beta3,
        inv_bias_correction3, eps, eps_root, diff_share, caution
    }
}

impl Adan {
    #[inline(always)]
    fn moment<E: Element>(s: &AdanScalars<E>, g: E, m: E) -> E {
        s.one_minus_beta1.fma(g - m, m).named("m")
    }
}

impl Rule for Adan {
    declared!(7);
    type Streams<T> = [T; 4];
    type Scalars<T> = AdanScalars<T>;

    fn streams(&self) -> [Stream; 4] {
        [
            Stream::new("exp_avg"),
            Stream::new("exp_avg_sq").denominator(),
            Stream::new("exp_avg_diff"),
            Stream::new("neg_pre_grad").exact(),
        ]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn resolve<W: Scalar>(&self, given: [W; 7], step: &mut Step<'_, W>) -> AdanScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, beta3, eps, eps_root] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let (first, updates) = (step.updates().is(0), step.updates().next());
        let [correction1, correction2, correction3] = [beta1, beta2, beta3].map(|beta| beta.bias_correction(updates));
        let weight = match self.difference {
            AdanWeight::Beta2 => beta2,
            AdanWeight::OneMinusBeta2 => one - beta2,
        };
        // The decay after the update shrinks it too.
        let decay = lr * weight_decay;
        let shrink = if self.no_prox { one } else { one / (one + decay) };
        let inv_correction3 = one / correction3;
        AdanScalars {
            step_size: (lr / correction1 * shrink).round(),
            lr_weight_decay: (decay * shrink).round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            diff_take: W::select(first, zero, one - beta2).round(),
            diff_weight: W::select(first, zero, weight).round(),
            beta3: beta3.round(),
            one_minus_beta3: (one - beta3).round(),
            inv_bias_correction3: if is_zero(&self.eps_root) { inv_correction3.sqrt() } else { inv_correction3 }
                .round(),
            eps: eps.round(),
            eps_root: eps_root.round(),
            diff_share: (weight * correction1 / correction2).round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &AdanScalars<E>, _: E, g: E, [m, ..]: [E; 4], terms: &mut Terms<E>) {
        let g = self.direction.of(g);
        self.caution.measure(Self::moment(s, g, m), g, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdanScalars<E>, p: E, g: E, [m, n, d, before]: [E; 4]) -> (E, [E; 4]) {
        let g = self.direction.of(g);
        let m = Self::moment(s, g, m);
        let change = (g + before).named("change");
        let d = s.diff_take.fma(change, s.beta2 * d).named("d");
        let ahead = s.diff_weight.fma(change, g).named("ahead");
        let n = s.beta3.fma(n, s.one_minus_beta3 * (ahead * ahead)).named("n");
        let root = if is_zero(&self.eps_root) {
            n.sqrt().fma(s.inv_bias_correction3, s.eps)
        } else {
            n.fma(s.inv_bias_correction3, s.eps_root).sqrt() + s.eps
        };
        let u = (s.diff_share.fma(d, self.caution.apply(s.caution, m, g)) / root).named("u");
        let p = Decay::of(&self.weight_decay, Decay::Decoupled).step(s.lr_weight_decay, s.step_size, u, p);
        (p, [m, n, d, -g])
    }
}
