//! Yogi.

use super::declare::{declare, declared};
use super::options::{Decay, sign};
use crate::rule::{Count, Element, Rule, Scalar, Start, Step, Stream};

/// What both moments hold before the first update.
const START: f32 = 1e-6;

declare! {
    /// Yogi: Adam whose second moment moves by the gradient's square at most, whichever way.
    ///
    /// 28 bytes move per f32 parameter. Both moments start at 1e-6. Source: Zaheer et al. 2018, NeurIPS, algorithm 2. Peers:
    /// `pytorch_optimizer.Yogi`, `optax.yogi`.
    Yogi = "yogi", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-3,
    }
    options {
        /// Adds the weight decay to the gradient.
        coupled_weight_decay: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub YogiScalars {
        weight_decay, lr_weight_decay, one_minus_beta1, one_minus_beta2, inv_sqrt_bias_correction2, eps, step_size
    }
}

impl Rule for Yogi {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = YogiScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [
            Stream::new("exp_avg").starts(Start::Value(START)),
            Stream::new("exp_avg_sq").starts(Start::Value(START)).denominator(),
        ]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> YogiScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        YogiScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            one_minus_beta1: (one - beta1).round(),
            one_minus_beta2: (one - beta2).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(updates).sqrt()).round(),
            eps: eps.round(),
            step_size: (lr / beta1.bias_correction(updates)).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &YogiScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let decay = Decay::of_form(&self.weight_decay, !self.coupled_weight_decay);
        let g = decay.gradient(s.weight_decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let square = (g * g).named("square");
        let v = (-(s.one_minus_beta2 * square)).fma(sign(v - square), v).named("v");
        let u = (m / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("u");
        (decay.step(s.lr_weight_decay, s.step_size, u, p), [m, v])
    }
}
