//! Lion.

use super::caution::Caution;
use super::declare::{declare, declared};
use super::options::{Decay, sign};
use crate::rule::{Element, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// Lion: the sign of an average of gradients, with decoupled weight decay.
    ///
    /// 20 bytes move per f32 parameter. The sign of 0 is 0. Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2. Peers:
    /// `lion_pytorch.Lion`, `timm.optim.Lion`, `pytorch_optimizer.Lion`, `optax.lion`.
    Lion = "lion", 4 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets how much of the average enters the update, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the average, in [0, 1).
        beta2: BelowOne = 0.99,
    }
    options {
        /// Leaves out what goes against the gradient.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub LionScalars { lr, lr_weight_decay, beta1, one_minus_beta1, beta2, one_minus_beta2, caution }
}

impl Lion {
    /// The direction of the update.
    #[inline(always)]
    fn update<E: Element>(&self, s: &LionScalars<E>, g: E, m: E) -> E {
        sign(s.beta1.fma(m, s.one_minus_beta1 * g).named("c"))
    }
}

impl Rule for Lion {
    declared!(4);
    type Streams<T> = [T; 1];
    type Scalars<T> = LionScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("exp_avg")]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], step: &mut Step<'_, W>) -> LionScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2] = given;
        let one = W::literal(1.0);
        LionScalars {
            lr: lr.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            beta1: beta1.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &LionScalars<E>, _: E, g: E, [m]: [E; 1], terms: &mut Terms<E>) {
        let g = self.direction.of(g);
        self.caution.measure(self.update(s, g, m), g, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &LionScalars<E>, p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) {
        let g = self.direction.of(g);
        let u = self.caution.apply(s.caution, self.update(s, g, m), g);
        let p = Decay::of(&self.weight_decay, Decay::Decoupled).step(s.lr_weight_decay, s.lr, u, p);
        (p, [s.beta2.fma(m, s.one_minus_beta2 * g).named("m")])
    }
}
