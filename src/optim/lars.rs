//! LARS.

use super::declare::{declare, declared};
use super::options::{Decay, is_zero};
use crate::error::{Error, Result};
use crate::rule::{Count, Element, Over, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// LARS: SGD whose gradient of each tensor is scaled by the norm of the parameter over that of the gradient.
    ///
    /// 20 bytes move per f32 parameter, 12 where the momentum is written as 0, and 8 more to measure the norms. The weight decay is
    /// part of the gradient. The ratio of the norms is 1 where either is 0, and is left out where the weight decay is written as
    /// 0, unless `always_adapt`. The momentum buffer starts as a copy of the first scaled gradient. Source: You et al. 2017,
    /// arXiv:1708.03888, algorithm 1. Peers: `timm.optim.Lars`, `optax.lars`.
    Lars = "lars", 6 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the momentum, in [0, 1).
        momentum: BelowOne = 0.9,
        /// Sets the dampening, not negative.
        dampening: NotNegative = 0.0,
        /// Sets what the ratio is multiplied by, not negative.
        trust_coeff: NotNegative = 0.001,
        /// Sets the term added to the norm that divides, not negative.
        eps: NotNegative = 1e-8,
    }
    options {
        /// Uses Nesterov momentum, which has no dampening.
        nesterov: bool = false,
        /// Scales whatever the weight decay is.
        always_adapt: bool = false,
        /// Lets no ratio, divided by the learning rate, be above 1: LARC.
        trust_clip: bool = false,
        /// Divides by the norm of the gradient with the decay, in place of the sum of the norms of both: as in optax.
        joint_norm: bool = false,
        /// Multiplies what enters the momentum buffer by the learning rate, as in the paper and in optax, not what leaves it.
        lr_in_momentum: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `take` and `scale` have the ratio in them, for the momentum buffer and for the gradient itself.
    pub LarsScalars { weight_decay, momentum, take, scale, rate }
}

impl Lars {
    #[inline(always)]
    fn adapts(&self) -> bool {
        self.always_adapt || !is_zero(&self.weight_decay)
    }

    #[inline(always)]
    fn has_momentum(&self) -> bool {
        !is_zero(&self.momentum)
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of(&self.weight_decay, Decay::Coupled)
    }

    fn ratio<W: Scalar>(&self, step: &Step<'_, W>, [lr, weight_decay, trust_coeff, eps]: [W; 4]) -> W {
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        if !self.adapts() {
            return one;
        }
        let (param, grad) = (step.sum(0).sqrt(), step.sum(1).sqrt());
        let divisor = if self.joint_norm { grad + eps } else { weight_decay.fma(param, grad) + eps };
        let none = param.equal(zero) | grad.equal(zero);
        let ratio = W::select(none, one, trust_coeff * param / divisor);
        if self.trust_clip { (ratio / lr).min(one) } else { ratio }
    }
}

impl Rule for Lars {
    declared!(6);
    type Streams<T> = [T; 1];
    type Scalars<T> = LarsScalars<T>;
    const FEWEST_STREAMS: usize = 0;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("momentum_buffer").only_if(self.has_momentum())]
    }

    fn sums(&self) -> Vec<Sum> {
        let names: &[&'static str] = if self.adapts() { &["params", "grads"] } else { &[] };
        names.iter().map(|name| Sum::new(*name, Over::Tensor)).collect()
    }

    fn check(&self) -> Result<()> {
        if self.nesterov && !self.has_momentum() {
            return Err(Error::argument("nesterov", true, "must not be set without momentum, on which it acts"));
        }
        if self.nesterov && !is_zero(&self.dampening) {
            return Err(Error::argument("dampening", "set", "must not be set with Nesterov momentum, which has none"));
        }
        Ok(())
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> LarsScalars<W::Element> {
        let [lr, weight_decay, momentum, dampening, trust_coeff, eps] = given;
        let one = W::literal(1.0);
        let ratio = self.ratio(step, [lr, weight_decay, trust_coeff, eps]);
        let (scale, rate) = if self.lr_in_momentum { (lr * ratio, one) } else { (ratio, lr) };
        LarsScalars {
            weight_decay: weight_decay.round(),
            momentum: momentum.round(),
            take: (W::select(step.updates().is(0), one, one - dampening) * scale).round(),
            scale: scale.round(),
            rate: if self.has_momentum() { rate } else { lr * ratio }.round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &LarsScalars<E>, p: E, g: E, _: [E; 1], terms: &mut Terms<E>) {
        if self.adapts() {
            let g = self.direction.of(g);
            let g = if self.joint_norm { self.decay().gradient(s.weight_decay, p, g) } else { g };
            terms.add_product(0, p, p);
            terms.add_product(1, g, g);
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &LarsScalars<E>, p: E, g: E, [buf]: [E; 1]) -> (E, [E; 1]) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        if !self.has_momentum() {
            return ((-s.rate).fma(g, p), [buf]);
        }
        let buf = s.take.fma(g, s.momentum * buf).named("buf");
        let u = if self.nesterov { s.momentum.fma(buf, s.scale * g).named("ahead") } else { buf };
        ((-s.rate).fma(u, p), [buf])
    }
}
