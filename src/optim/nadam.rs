//! NAdam.

use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Of, Remembered, Rule, Scalar, Step, Stream};

declare! {
    /// NAdam: Adam with Nesterov momentum, whose weight grows by a schedule of its own.
    ///
    /// At update t, counted from 1, the momentum is `beta1 · (1 - 0.96^(t · momentum_decay) / 2)`. 28 bytes move per f32 parameter.
    /// Weight decay is an L2 term unless it is decoupled. Source: Dozat 2016, Incorporating Nesterov Momentum into Adam, ICLR
    /// workshop, algorithm 8. Peer: `torch.optim.NAdam`; the NAdamW of timm and optax, which has no such schedule, is an
    /// [`AdamW`](crate::AdamW) with [`Nesterov`](crate::Nesterov).
    NAdam = "nadam", 6 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment, above 0.
        eps: Positive = 1e-8,
        /// Sets how fast the momentum grows, not negative.
        momentum_decay: NotNegative = 0.004,
    }
    options {
        /// Decays the parameter itself, by `lr · weight_decay`.
        decoupled_weight_decay: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. The rate is in the weights of gradient and moment.
    pub NAdamScalars { of_gradient, of_moment, decay, one_minus_beta1, beta2, one_minus_beta2, inv_sqrt_bias_correction2, eps }
}

impl Rule for NAdam {
    declared!(6);
    type Streams<T> = [T; 2];
    type Scalars<T> = NAdamScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("mu_product", Of::Cohort, 1.0)]
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> NAdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, momentum_decay] = given;
        let one = W::literal(1.0);
        let updates = step.updates().next();
        let momentum = |updates: W::Count| {
            let power = W::literal(0.96).pow(updates.scalar() * momentum_decay);
            beta1 * (one - W::literal(0.5) * power)
        };
        let (mu, next_mu) = (momentum(updates).named("mu"), momentum(updates.next()).named("next_mu"));
        let product = (step.remembered(0) * mu).named("product");
        step.remember(0, product);
        let decay = if self.decoupled_weight_decay { lr * weight_decay } else { weight_decay };
        NAdamScalars {
            of_gradient: (lr * (one - mu) / (one - product)).round(),
            of_moment: (lr * next_mu / (one - product * next_mu)).round(),
            decay: decay.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(updates).sqrt()).round(),
            eps: eps.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &NAdamScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let decay = Decay::of_form(&self.weight_decay, self.decoupled_weight_decay);
        let g = decay.gradient(s.decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = s.of_moment.fma(m, s.of_gradient * g) / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps);
        (decay.whole_step(s.decay, u.named("u"), p), [m, v])
    }
}
