//! StableAdamW.

use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Over, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// StableAdamW: AdamW whose learning rate is divided, for each tensor, by the root mean square of gradients over their second
    /// moments where that is above 1. Moments are corrected as they are kept.
    ///
    /// 28 bytes move per f32 parameter, and 8 more to measure. Source: Wortsman et al. 2023, arXiv:2304.13013, algorithm 2. Peers:
    /// `optimi.StableAdamW`, `pytorch_optimizer.StableAdamW`.
    StableAdamW = "stableadamw", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.01,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.99,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32. Its square is the least second
        /// moment that a gradient is measured by.
        eps: Positive = 1e-6,
    }
    options {
        /// Adds the weight decay to the gradient.
        coupled_weight_decay: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. The betas are debiased; `lr` is divided.
    pub StableAdamWScalars { lr, weight_decay, lr_weight_decay, take1, beta2, take2, eps, eps_square }
}

impl StableAdamW {
    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of_form(&self.weight_decay, !self.coupled_weight_decay)
    }

    #[inline(always)]
    fn second_moment<E: Element>(s: &StableAdamWScalars<E>, square: E, v: E) -> E {
        s.beta2.fma(v, s.take2 * square).named("v")
    }
}

impl Rule for StableAdamW {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = StableAdamWScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("normalised_squares", Over::Tensor)]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> StableAdamWScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let [take1, take2] = [beta1, beta2].map(|beta| (one - beta) / beta.bias_correction(updates));
        let lr = lr / (step.sum(0) / step.len(0)).max(one).sqrt();
        StableAdamWScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            take1: take1.round(),
            beta2: (one - take2).round(),
            take2: take2.round(),
            eps: eps.round(),
            eps_square: (eps * eps).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &StableAdamWScalars<E>, p: E, g: E, [_, v]: [E; 2], terms: &mut Terms<E>) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        let square = (g * g).named("square");
        terms.add(0, square / Self::second_moment(s, square, v).max(s.eps_square));
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &StableAdamWScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        let m = s.take1.fma(g - m, m).named("m");
        let v = Self::second_moment(s, (g * g).named("square"), v);
        let u = (m / (v.sqrt() + s.eps)).named("u");
        (self.decay().step(s.lr_weight_decay, s.lr, u, p), [m, v])
    }
}
