//! Adam with D-Adaptation.

use super::declare::{declare, declared};
use super::estimate::{expect_constant, known, limited, ratio};
use super::options::Decay;
use crate::error::Result;
use crate::rule::{Count, Element, Of, Over, Remembered, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// Adam with D-Adaptation: the rate is an estimate of the distance to the solution that follows from the gradients alone.
    ///
    /// `lr` is a schedule around 1 that multiplies the estimate `d`. A gradient enters the first moment with the rate of its own step, so
    /// that a step with `lr` 0 still moves by what earlier ones left there. `d` follows from sums over all groups with the
    /// same options, whatever their hyperparameters, and never falls. Groups share it if `beta2`, `d0` and `growth_rate` are the same.
    ///
    /// No start leads to NaN: while all gradients are 0, or while `lr` is 0 as at the start of a warm-up, `d` stays and nothing moves
    /// a parameter but decoupled decay, which is times `d · lr`. (dadaptation leaves such steps out, optax divides 0 by 0.) A skipped
    /// update leaves `d` as it is.
    ///
    /// 48 bytes move per f32 parameter, 12 of them to measure (52 and 16 with an L2 term). Remembered per group, 0 before the
    /// first update: `d`, `numerator_weighted`. Source: Defazio and Mishchenko 2023, arXiv:2301.07733. Peers:
    /// `dadaptation.DAdaptAdam`, `optax.contrib.dadapt_adamw`.
    DAdaptAdam = "dadapt_adam", 8, lr = 1.0 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment: above 0.
        eps: Positive = 1e-8,
        /// Sets the estimate to start from, above 0: a constant.
        d0: Positive = 1e-6,
        /// Sets by how much the estimate may grow in one update; what is below 1 counts as 1. The default, 0, sets no limit.
        growth_rate: NotNegative = 0.0,
        /// Sets what the updates of this group are multiplied by beside those of others, not negative.
        layer_scale: NotNegative = 1.0,
    }
    options {
        /// Whether the weight decay is decoupled, or an L2 term in the gradient, as by default.
        decouple: bool = false,
        /// Whether the rate is multiplied by Adam's bias correction.
        use_bias_correction: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub DAdaptAdamScalars {
        weight_decay, lr_weight_decay, beta1, lr_one_minus_beta1, beta2, one_minus_beta2, eps, sqrt_beta2, lr_one_minus_sqrt_beta2,
        layer_scale
    }
}

const D: usize = 0;
const NUMERATOR_WEIGHTED: usize = 1;

impl DAdaptAdam {
    /// The gradient that the moments see.
    #[inline(always)]
    fn gradient<E: Element>(&self, s: &DAdaptAdamScalars<E>, p: E, g: E) -> E {
        // Groups with and without decay share an estimate: a term that is left out would part them.
        let decay = if self.decouple { Decay::Decoupled } else { Decay::Coupled };
        decay.gradient(s.weight_decay, p, self.direction.of(g))
    }
}

impl Rule for DAdaptAdam {
    declared!(8);
    type Streams<T> = [T; 3];
    type Scalars<T> = DAdaptAdamScalars<T>;

    fn streams(&self) -> [Stream; 3] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator(), Stream::new("grad_sum")]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("numerator", Over::All), Sum::new("denominator", Over::All)]
    }

    fn check(&self) -> Result<()> {
        expect_constant("d0", &self.d0)
    }

    fn remember(&self) -> Vec<Remembered> {
        ["d", "numerator_weighted"].map(|name| Remembered::new(name, Of::Group, 0.0)).into()
    }

    fn resolve<W: Scalar>(&self, given: [W; 8], step: &mut Step<'_, W>) -> DAdaptAdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, d0, growth_rate, layer_scale] = given;
        let (one, t) = (W::literal(1.0), step.updates().next());
        let sqrt_beta2 = beta2.sqrt();
        let take = (one - sqrt_beta2).named("take");
        let d = known(step, D, d0).named("d");
        let mut rate = d * lr;
        if self.use_bias_correction {
            rate = rate * (beta2.bias_correction(t).sqrt() / beta1.bias_correction(t));
        }
        // The terms of the numerator have `take` in them.
        let numerator = sqrt_beta2.fma(step.remembered(NUMERATOR_WEIGHTED), step.sum(0)).named("numerator_weighted");
        let d_hat = ratio(numerator, take * step.sum(1)).named("d_hat");
        let d_now = d.max(limited(d_hat, d, growth_rate)).named("d_now");
        step.remember(D, d_now);
        step.remember(NUMERATOR_WEIGHTED, numerator);
        DAdaptAdamScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (rate * weight_decay).round(),
            beta1: beta1.round(),
            lr_one_minus_beta1: (layer_scale * rate * (one - beta1)).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            eps: eps.round(),
            sqrt_beta2: sqrt_beta2.round(),
            lr_one_minus_sqrt_beta2: (rate * take).round(),
            layer_scale: layer_scale.round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &DAdaptAdamScalars<E>, p: E, g: E, [_, v, sum]: [E; 3], terms: &mut Terms<E>) {
        let new = (s.lr_one_minus_sqrt_beta2 * self.gradient(s, p, g)).named("taken");
        terms.add_product(0, new, s.layer_scale * sum / (v.sqrt() + s.eps));
        terms.add_product(1, s.layer_scale, s.sqrt_beta2.fma(sum, new).abs());
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &DAdaptAdamScalars<E>, p: E, g: E, [m, v, sum]: [E; 3]) -> (E, [E; 3]) {
        let g = self.gradient(s, p, g);
        let sum = s.sqrt_beta2.fma(sum, s.lr_one_minus_sqrt_beta2 * g).named("s_now");
        let m = s.beta1.fma(m, s.lr_one_minus_beta1 * g).named("m");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = (m / (v.sqrt() + s.eps)).named("u");
        let p = if self.decouple { p - s.lr_weight_decay.fma(p, u) } else { p - u };
        (p, [m, v, sum])
    }
}
