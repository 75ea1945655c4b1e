//! ADOPT.

use super::caution::Caution;
use super::declare::{choice, declare, declared};
use super::options::Decay;
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream, Sum, Terms};

/// At what a normalised gradient is clipped: a number of updates to the power of `clip_exp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum AdoptClip {
    /// It is not clipped.
    Off,
    /// The number of updates before this one.
    #[default]
    Former,
    /// The number of updates with this one, as in pytorch_optimizer.
    Present,
}

choice!(AdoptClip { "off" => Off, "former" => Former, "present" => Present });

declare! {
    /// ADOPT: the momentum of gradients that are normalised by the second moment of those before, without corrections.
    ///
    /// 28 bytes move per f32 parameter. The first update sets the second moment to the gradient's square and moves nothing. Source:
    /// Taniguchi et al. 2024, arXiv:2411.02853, algorithm 2. Peers: `timm.optim.Adopt`, `pytorch_optimizer.ADOPT`,
    /// `optax.contrib.adopt`.
    Adopt = "adopt", 6 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the momentum, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.9999,
        /// Sets the least divisor: above 0 after rounding to f32.
        eps: Positive = 1e-6,
        /// Sets the exponent of the clipping, not negative.
        clip_exp: NotNegative = 0.25,
    }
    options {
        /// Sets what is to the power of `clip_exp`.
        clip: AdoptClip = AdoptClip::Former,
        /// Adds the weight decay to the gradient.
        coupled_weight_decay: bool = false,
        /// Decays at the first update too, if the decay is not part of the gradient.
        decay_at_first: bool = false,
        /// Looks ahead by one more step of the momentum.
        nesterov: bool = false,
        /// Leaves out what of the update goes against the gradient.
        caution: Caution = Caution::Off,
    }
}

crate::rule::scalars! {
    /// What elements go by. At a tensor's first update `take1` is 0 and `take2` is 1.
    pub AdoptScalars { lr, weight_decay, lr_weight_decay, take1, beta2, take2, eps, limit, caution }
}

impl Adopt {
    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of_form(&self.weight_decay, !self.coupled_weight_decay)
    }

    /// The momentum after an update, and the update.
    #[inline(always)]
    fn momentum<E: Element>(&self, s: &AdoptScalars<E>, g: E, m: E, v: E) -> [E; 2] {
        let mut normalised = (g / v.sqrt().max(s.eps)).named("normalised");
        if self.clip != AdoptClip::Off {
            normalised = normalised.min(s.limit).max(-s.limit).named("clipped");
        }
        let m = s.take1.fma(normalised - m, m).named("m");
        [m, if self.nesterov { s.take1.fma(normalised - m, m).named("ahead") } else { m }]
    }
}

impl Rule for Adopt {
    declared!(6);
    type Streams<T> = [T; 2];
    type Scalars<T> = AdoptScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> AdoptScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, clip_exp] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let (former, first) = (step.updates(), step.updates().is(0));
        let counted = if self.clip == AdoptClip::Present { former.next() } else { former };
        let decay = lr * weight_decay;
        AdoptScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            lr_weight_decay: if self.decay_at_first { decay } else { W::select(first, zero, decay) }.round(),
            take1: W::select(first, zero, one - beta1).round(),
            beta2: beta2.round(),
            take2: W::select(first, one, one - beta2).round(),
            eps: eps.round(),
            limit: counted.scalar().pow(clip_exp).round(),
            caution: self.caution.resolve(step),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &AdoptScalars<E>, p: E, g: E, [m, v]: [E; 2], terms: &mut Terms<E>) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        let [_, u] = self.momentum(s, g, m, v);
        self.caution.measure(u, g, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdoptScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        let [m, u] = self.momentum(s, g, m, v);
        let v = s.beta2.fma(v, s.take2 * (g * g)).named("v");
        let u = self.caution.apply(s.caution, u, g);
        (self.decay().step(s.lr_weight_decay, s.lr, u, p), [m, v])
    }
}
