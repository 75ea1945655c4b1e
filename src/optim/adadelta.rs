//! Adadelta.

use super::declare::{declare, declared};
use super::options::Decay;
use crate::rule::{Element, Rule, Scalar, Step, Stream};

declare! {
    /// Adadelta: the gradient over the root of its mean square, times the root of the mean square of former updates.
    ///
    /// 28 bytes move per f32 parameter. `eps` is inside both roots. Weight decay is an L2 term. Source: Zeiler 2012,
    /// arXiv:1212.5701, algorithm 1. Peer: `torch.optim.Adadelta`.
    Adadelta = "adadelta", 4, lr = 1.0 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of both averages, in [0, 1).
        rho: BelowOne = 0.9,
        /// Sets the term inside the roots, above 0.
        eps: Positive = 1e-6,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub AdadeltaScalars { lr, weight_decay, rho, one_minus_rho, eps }
}

impl Rule for Adadelta {
    declared!(4);
    type Streams<T> = [T; 2];
    type Scalars<T> = AdadeltaScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("square_avg").denominator(), Stream::new("acc_delta").not_negative()]
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], _: &mut Step<'_, W>) -> AdadeltaScalars<W::Element> {
        let [lr, weight_decay, rho, eps] = given;
        AdadeltaScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            rho: rho.round(),
            one_minus_rho: (W::literal(1.0) - rho).round(),
            eps: eps.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdadeltaScalars<E>, p: E, g: E, [v, moved]: [E; 2]) -> (E, [E; 2]) {
        let decay = Decay::of(&self.weight_decay, Decay::Coupled);
        let g = decay.gradient(s.weight_decay, p, self.direction.of(g));
        let v = s.rho.fma(v, s.one_minus_rho * (g * g)).named("v");
        let u = (((moved + s.eps) / (v + s.eps)).sqrt() * g).named("u");
        ((-s.lr).fma(u, p), [v, s.rho.fma(moved, s.one_minus_rho * (u * u)).named("moved")])
    }
}
