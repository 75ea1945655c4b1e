//! RAdam.

use super::declare::{declare, declared};
use super::options::Decay;
use super::rectify::Rectified;
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};

declare! {
    /// RAdam: Adam whose step is rectified for the variance of the second moment, and which does without that moment in the first
    /// updates, while the variance is not defined.
    ///
    /// 28 bytes move per f32 parameter. Weight decay is an L2 term unless it is decoupled. `eps` is added to the root of the
    /// second moment before the bias is corrected. Source: Liu et al. 2020, arXiv:1908.03265, algorithm 2. Peer:
    /// `torch.optim.RAdam`.
    RAdam = "radam", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment, above 0.
        eps: Positive = 1e-8,
    }
    options {
        /// Decays the parameter itself, by `lr · weight_decay`.
        decoupled_weight_decay: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `root` and `base` make the denominator: 1 and eps, or 0 and 1 while there is no rectification.
    pub RAdamScalars { step_size, decay, one_minus_beta1, beta2, one_minus_beta2, root, base }
}

impl Rule for RAdam {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = RAdamScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> RAdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let Rectified { bias_correction2, length, factor } = Rectified::of(beta2, step.updates());
        let rectified = W::literal(5.0).less(length);
        let step_size = lr / beta1.bias_correction(step.updates().next());
        let decay = if self.decoupled_weight_decay { lr * weight_decay } else { weight_decay };
        RAdamScalars {
            step_size: W::select(rectified, step_size * bias_correction2.sqrt() * factor, step_size).round(),
            decay: decay.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            root: W::select(rectified, one, zero).round(),
            base: W::select(rectified, eps, one).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &RAdamScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let decay = Decay::of_form(&self.weight_decay, self.decoupled_weight_decay);
        let g = decay.gradient(s.decay, p, self.direction.of(g));
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = (m / s.root.fma(v.sqrt(), s.base)).named("u");
        (decay.step(s.decay, s.step_size, u, p), [m, v])
    }
}
