//! LaProp.

use super::caution::Caution;
use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Of, Remembered, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// LaProp: the momentum of normalised gradients, where Adam normalises the momentum.
    ///
    /// 28 bytes move per f32 parameter. The momentum has the learning rates of its gradients in it; weight decay comes after the
    /// update. Source: Ziyin et al. 2020, arXiv:2002.04839, algorithm 1. Peer: `timm.optim.LaProp`.
    LaProp = "laprop", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the momentum, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-15,
    }
    options {
        /// Leaves out what of the momentum goes against the gradient.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub LaPropScalars {
        step_size, lr_weight_decay, beta1, lr_one_minus_beta1, beta2, one_minus_beta2, inv_sqrt_bias_correction2, eps, caution
    }
}

impl LaProp {
    /// The moments after an update.
    #[inline(always)]
    fn moments<E: Element>(s: &LaPropScalars<E>, g: E, [m, v]: [E; 2]) -> [E; 2] {
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let normalised = (g / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("normalised");
        [s.lr_one_minus_beta1.fma(normalised, s.beta1 * m).named("m"), v]
    }
}

impl Rule for LaProp {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = LaPropScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("exp_avg_lr", Of::Cohort, 0.0)]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> LaPropScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (zero, one, updates) = (W::literal(0.0), W::literal(1.0), step.updates().next());
        let average = beta1.fma(step.remembered(0), (one - beta1) * lr);
        step.remember(0, average);
        let (decay, scale) = (lr * weight_decay, W::select(average.equal(zero), zero, lr / average));
        LaPropScalars {
            step_size: (scale * (one - decay)).round(),
            lr_weight_decay: decay.round(),
            beta1: beta1.round(),
            lr_one_minus_beta1: (lr * (one - beta1)).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(updates).sqrt()).round(),
            eps: eps.round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &LaPropScalars<E>, _: E, g: E, streams: [E; 2], terms: &mut Terms<E>) {
        let g = self.direction.of(g);
        let [m, _] = Self::moments(s, g, streams);
        self.caution.measure(m, g, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &LaPropScalars<E>, p: E, g: E, streams: [E; 2]) -> (E, [E; 2]) {
        let g = self.direction.of(g);
        let [m, v] = Self::moments(s, g, streams);
        let u = self.caution.apply(s.caution, m, g);
        let p = Decay::of(&self.weight_decay, Decay::Decoupled).step(s.lr_weight_decay, s.step_size, u, p);
        (p, [m, v])
    }
}
