//! LAMB.

use super::caution::Caution;
use super::declare::{declare, declared};
use super::options::{Decay, is_zero};
use crate::rule::{Count, Element, Over, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// LAMB: AdamW whose update of each tensor, decay included, is scaled to the norm of the parameter.
    ///
    /// 28 bytes move per f32 parameter, and 16 more to measure the norms. The ratio of the norms is 1 where either is 0, and is
    /// left out where the weight decay is written as 0, unless `always_adapt`. The paper's clipping of the gradients' norm is the
    /// optimizer's: [`Clip`](crate::Clip). Source: You et al. 2020, arXiv:1904.00962, algorithm 2. Peers: `timm.optim.Lamb`,
    /// `optax.lamb`.
    Lamb = "lamb", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.01,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-6,
    }
    options {
        /// Scales whatever the weight decay is.
        always_adapt: bool = false,
        /// Lets no ratio be above 1.
        trust_clip: bool = false,
        /// Decays as AdamW does, before the norms are taken.
        decoupled_weight_decay: bool = false,
        /// Adds gradients to the first moment times `1 - beta1`, as by default, or as they are.
        grad_averaging: bool = true,
        /// Corrects the moments for their start at 0, as by default, or not.
        bias_correction: bool = true,
        /// Leaves out what of the update, without the decay, goes against the gradient.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by. `step_size` has the ratio in it, and so has `lr_weight_decay` if the decay is part of the update.
    pub LambScalars {
        step_size, lr_weight_decay, beta1, take1, beta2, one_minus_beta2, inv_sqrt_bias_correction2, eps,
        corrected_weight_decay, caution
    }
}

impl Lamb {
    #[inline(always)]
    fn adapts(&self) -> bool {
        self.always_adapt || !is_zero(&self.weight_decay)
    }

    /// Whether the decay is part of the update.
    #[inline(always)]
    fn joins(&self) -> bool {
        !self.decoupled_weight_decay && !is_zero(&self.weight_decay)
    }

    /// The update, of which the first moment is not corrected yet, and the moments.
    #[inline(always)]
    fn update<E: Element>(s: &LambScalars<E>, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let m = s.beta1.fma(m, s.take1 * g).named("m");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        ((m / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("u"), [m, v])
    }

    /// The ratio of the norms, of parameters that have shrunk by `decay` before if it is apart; `scale`: what the first moment is
    /// corrected by.
    fn ratio<W: Scalar>(&self, step: &Step<'_, W>, scale: W, weight_decay: W, decay: W) -> W {
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        if !self.adapts() {
            return one;
        }
        let first = usize::from(self.caution.is_on());
        let (param, mut update) = (step.sum(first), step.sum(first + 1) * scale * scale);
        if self.caution.is_on() {
            let moving = self.caution.scale(step);
            update = update * moving * moving;
            if self.joins() {
                let both = W::literal(2.0) * moving * scale * weight_decay * step.sum(first + 2);
                // Rounding must leave no negative square.
                update = (update + both + weight_decay * weight_decay * param).max(zero);
            }
        }
        let shrunk = if self.decoupled_weight_decay { (one - decay).abs() } else { one };
        let norm = shrunk * param.sqrt();
        let none = norm.equal(zero) | update.equal(zero);
        let ratio = W::select(none, one, norm / update.sqrt());
        if self.trust_clip { ratio.min(one) } else { ratio }
    }
}

impl Rule for Lamb {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = LambScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn sums(&self) -> Vec<Sum> {
        let mut sums = self.caution.sums();
        if self.adapts() {
            sums.extend(["params", "update"].map(|name| Sum::new(name, Over::Tensor)));
            if self.caution.is_on() && self.joins() {
                sums.push(Sum::new("params_by_update", Over::Tensor));
            }
        }
        sums
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> LambScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let corrections = [beta1, beta2].map(|beta| beta.bias_correction(updates));
        let [correction1, correction2] = if self.bias_correction { corrections } else { [one, one] };
        let (scale, decay) = (one / correction1, lr * weight_decay);
        let ratio = self.ratio(step, scale, weight_decay, decay);
        LambScalars {
            step_size: (lr * ratio * scale).round(),
            lr_weight_decay: if self.decoupled_weight_decay { decay } else { decay * ratio }.round(),
            beta1: beta1.round(),
            take1: if self.grad_averaging { one - beta1 } else { one }.round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            inv_sqrt_bias_correction2: (one / correction2.sqrt()).round(),
            eps: eps.round(),
            corrected_weight_decay: (weight_decay * correction1).round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &LambScalars<E>, p: E, g: E, streams: [E; 2], terms: &mut Terms<E>) {
        let g = self.direction.of(g);
        let (mut u, _) = Self::update(s, g, streams);
        self.caution.measure(u, g, terms);
        if !self.adapts() {
            return;
        }
        let first = usize::from(self.caution.is_on());
        if self.caution.is_on() {
            u = E::select(self.caution.moves(u, g), u, E::literal(0.0)).named("moving");
            if self.joins() {
                terms.add_product(first + 2, p, u);
            }
        } else if self.joins() {
            u = s.corrected_weight_decay.fma(p, u).named("decayed");
        }
        terms.add_product(first, p, p);
        terms.add_product(first + 1, u, u);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &LambScalars<E>, p: E, g: E, streams: [E; 2]) -> (E, [E; 2]) {
        let g = self.direction.of(g);
        let (u, streams) = Self::update(s, g, streams);
        let u = self.caution.apply(s.caution, u, g);
        let decay = Decay::of(&self.weight_decay, Decay::Decoupled);
        (decay.step(s.lr_weight_decay, s.step_size, u, p), streams)
    }
}
