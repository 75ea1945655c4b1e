//! AdaBelief.

use super::declare::{choice, declare, declared};
use super::options::Decay;
use super::rectify::Rectified;
use crate::error::{Error, Result};
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};

/// Whether steps are scaled by how many gradients the second moment is made of, as in RAdam, and what is done while they are
/// too few: the length of the average is below 5. Source: Liu et al. 2020, arXiv:1908.03265.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Rectify {
    /// Not scaled.
    Off,
    /// Until then the update is the first moment.
    #[default]
    Momentum,
    /// Until then nothing moves but the moments, and decoupled decay.
    Wait,
}

choice!(Rectify { "off" => Off, "momentum" => Momentum, "wait" => Wait });

declare! {
    /// AdaBelief: Adam whose second moment is that of what the first did not foresee.
    ///
    /// 28 bytes move per f32 parameter, 36 with `amsgrad`. Source: Zhuang et al. 2020, arXiv:2010.07468, algorithm 2. Peers:
    /// `adabelief_pytorch.AdaBelief`, `timm.optim.AdaBelief`, `optax.adabelief`.
    AdaBelief = "adabelief", 6 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-16,
        /// Sets the term that each update adds to the second moment, where it stays and adds up; not negative. It is `eps` in all
        /// peers but optax.
        eps_root: NotNegative = 1e-16,
    }
    options {
        /// Sets the rectification.
        rectify: Rectify = Rectify::Momentum,
        /// Divides by the largest second moment so far. It goes with [`Rectify::Off`].
        amsgrad: bool = false,
        /// Adds the weight decay to the gradient.
        coupled_weight_decay: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. The divisor is `root_share · √v + eps`: 1 while there is no adaptive step.
    pub AdaBeliefScalars {
        weight_decay, lr_weight_decay, one_minus_beta1, beta2, one_minus_beta2, eps_root, root_share, eps, step_size
    }
}

impl AdaBelief {
    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of_form(&self.weight_decay, !self.coupled_weight_decay)
    }

    /// The scale of a step, the share of the root in the divisor, and what is added there.
    fn scales<W: Scalar>(&self, beta2: W, eps: W, updates: W::Count) -> [W; 3] {
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        if self.rectify == Rectify::Off {
            return [one, one / beta2.bias_correction(updates.next()).sqrt(), eps];
        }
        let Rectified { bias_correction2, length, factor } = Rectified::of(beta2, updates);
        let adaptive = W::less_equal(W::literal(5.0), length);
        let until = if self.rectify == Rectify::Wait { zero } else { one };
        [
            W::select(adaptive, bias_correction2.sqrt() * factor, until),
            W::select(adaptive, one, zero),
            W::select(adaptive, eps, one),
        ]
    }
}

impl Rule for AdaBelief {
    declared!(6);
    type Streams<T> = [T; 3];
    type Scalars<T> = AdaBeliefScalars<T>;
    const FEWEST_STREAMS: usize = 2;

    fn streams(&self) -> [Stream; 3] {
        [
            Stream::new("exp_avg"),
            Stream::new("exp_avg_var").denominator(),
            Stream::new("max_exp_avg_var").denominator().only_if(self.amsgrad),
        ]
    }

    fn check(&self) -> Result<()> {
        if self.amsgrad && self.rectify != Rectify::Off {
            let rule = "must not be set with a rectified step, which divides by the second moment itself";
            return Err(Error::argument("amsgrad", true, rule));
        }
        Ok(())
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> AdaBeliefScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, eps_root] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let [scale, root_share, eps] = self.scales(beta2, eps, step.updates());
        AdaBeliefScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            eps_root: eps_root.round(),
            root_share: root_share.round(),
            eps: eps.round(),
            step_size: (lr / beta1.bias_correction(updates) * scale).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdaBeliefScalars<E>, p: E, g: E, [m, v, most]: [E; 3]) -> (E, [E; 3]) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let surprise = (g - m).named("surprise");
        let v = s.beta2.fma(v, s.one_minus_beta2.fma(surprise * surprise, s.eps_root)).named("v");
        let most = if self.amsgrad { most.max(v).named("most") } else { most };
        let root = if self.amsgrad { most } else { v }.sqrt();
        let u = (m / root.fma(s.root_share, s.eps)).named("u");
        (self.decay().step(s.lr_weight_decay, s.step_size, u, p), [m, v, most])
    }
}
