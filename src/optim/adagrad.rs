//! Adagrad.

use super::declare::{declare, declared};
use super::options::{Decay, is_zero};
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};

declare! {
    /// Adagrad: the gradient over the root of the sum of all squared gradients.
    ///
    /// 20 bytes move per f32 parameter. Weight decay is an L2 term. Source: Duchi et al. 2011, JMLR 12, pages 2121-2159. Peer:
    /// `torch.optim.Adagrad`.
    Adagrad = "adagrad", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets how the rate decays with the updates before, `lr / (1 + updates · lr_decay)`; not negative.
        lr_decay: NotNegative = 0.0,
        /// Sets what the sum starts from, not negative.
        initial_accumulator_value: NotNegative = 0.0,
        /// Sets the term added to the root of the sum, above 0.
        eps: Positive = 1e-10,
    }
}

crate::rule::scalars! {
    /// What elements go by. `start` is 0 after a tensor's first update.
    pub AdagradScalars { rate, weight_decay, start, eps }
}

impl Rule for Adagrad {
    declared!(5);
    type Streams<T> = [T; 1];
    type Scalars<T> = AdagradScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("sum").denominator()]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> AdagradScalars<W::Element> {
        let [lr, weight_decay, lr_decay, start, eps] = given;
        let updates = step.updates();
        AdagradScalars {
            rate: (lr / (W::literal(1.0) + updates.scalar() * lr_decay)).round(),
            weight_decay: weight_decay.round(),
            start: W::select(updates.is(0), start, W::literal(0.0)).round(),
            eps: eps.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdagradScalars<E>, p: E, g: E, [total]: [E; 1]) -> (E, [E; 1]) {
        let decay = Decay::of(&self.weight_decay, Decay::Coupled);
        let g = decay.gradient(s.weight_decay, p, self.direction.of(g));
        let before = if is_zero(&self.initial_accumulator_value) { total } else { total + s.start };
        let total = g.fma(g, before).named("total");
        ((-s.rate).fma(g / (total.sqrt() + s.eps), p), [total])
    }
}
