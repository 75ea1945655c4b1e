//! Adamax.

use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};

declare! {
    /// Adamax: Adam with a decaying maximum in place of the second moment.
    ///
    /// 28 bytes move per f32 parameter. `eps` is inside the maximum, `max(beta2 · u, |g| + eps)`, as in torch. Weight decay is an
    /// L2 term. Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 2. Peers: `torch.optim.Adamax`, `optax.adamax`.
    Adamax = "adamax", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the maximum, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the least that the maximum may be, above 0.
        eps: Positive = 1e-8,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub AdamaxScalars { step_size, weight_decay, one_minus_beta1, beta2, eps }
}

impl Rule for Adamax {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = AdamaxScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_inf").denominator()]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> AdamaxScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        AdamaxScalars {
            step_size: (lr / beta1.bias_correction(step.updates().next())).round(),
            weight_decay: weight_decay.round(),
            one_minus_beta1: (W::literal(1.0) - beta1).round(),
            beta2: beta2.round(),
            eps: eps.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdamaxScalars<E>, p: E, g: E, [m, most]: [E; 2]) -> (E, [E; 2]) {
        let decay = Decay::of(&self.weight_decay, Decay::Coupled);
        let g = decay.gradient(s.weight_decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let most = (s.beta2 * most).max(g.abs() + s.eps).named("most");
        ((-s.step_size).fma(m / most, p), [m, most])
    }
}
