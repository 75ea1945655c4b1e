//! NovoGrad.

use super::declare::{declare, declared};
use super::options::{Decay, is_zero};
use crate::rule::{Count, Element, Of, Over, Remembered, Rule, Scalar, Step, Stream, Sum, Terms};

declare! {
    /// NovoGrad: momentum of gradients that are normalised by one second moment for each tensor.
    ///
    /// 20 bytes move per f32 parameter, and 4 more to measure the gradients. The second moment is the average of the gradients' square
    /// sums, and starts as the first of them; nothing is corrected. The weight decay is added to the normalised gradient. Source:
    /// Ginsburg et al. 2019, arXiv:1905.11286, algorithm 1. Peers: `timm.optim.NvNovoGrad`, `pytorch_optimizer.NovoGrad`,
    /// `optax.novograd`.
    NovoGrad = "novograd", 5 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the momentum, in [0, 1).
        beta1: BelowOne = 0.95,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.98,
        /// Sets the term added to the root of the second moment: above 0 after rounding to f32.
        eps: Positive = 1e-8,
    }
    options {
        /// Multiplies what enters the momentum by `1 - beta1`.
        grad_averaging: bool = false,
        /// Takes the whole of the first gradient into the momentum whatever `grad_averaging` is; a second moment that starts at 0
        /// then stays what it is, where else it starts anew: as in pytorch_optimizer and optax, not in timm.
        whole_first: bool = false,
        /// Decays as AdamW does.
        decoupled_weight_decay: bool = false,
        /// Divides by the largest second moment so far.
        amsgrad: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `take` has the divisor in it.
    pub NovoGradScalars { lr, lr_weight_decay, beta1, take, take_weight_decay }
}

impl Rule for NovoGrad {
    declared!(5);
    type Streams<T> = [T; 1];
    type Scalars<T> = NovoGradScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("exp_avg")]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("grads", Over::Tensor)]
    }

    fn remember(&self) -> Vec<Remembered> {
        let names: &[&'static str] = if self.amsgrad { &["exp_avg_sq", "max_exp_avg_sq"] } else { &["exp_avg_sq"] };
        names.iter().map(|name| Remembered::new(*name, Of::Tensor, 0.0)).collect()
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> NovoGradScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let (first, former, square) = (step.updates().is(0), step.remembered(0), step.sum(0));
        let anew = if self.whole_first { first } else { former.equal(zero) };
        let v = W::select(anew, square, beta2.fma(former, (one - beta2) * square));
        step.remember(0, v);
        let mut divides = v;
        if self.amsgrad {
            divides = step.remembered(1).max(v);
            step.remember(1, divides);
        }
        let mut take = if self.grad_averaging { one - beta1 } else { one };
        if self.whole_first {
            take = W::select(first, one, take);
        }
        NovoGradScalars {
            lr: lr.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            beta1: beta1.round(),
            take: (take / (divides.sqrt() + eps)).round(),
            take_weight_decay: (take * weight_decay).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, _: &NovoGradScalars<E>, _: E, g: E, _: [E; 1], terms: &mut Terms<E>) {
        terms.add_product(0, g, g);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &NovoGradScalars<E>, p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) {
        let joins = !self.decoupled_weight_decay && !is_zero(&self.weight_decay);
        let mut taken = (s.take * self.direction.of(g)).named("taken");
        if joins {
            taken = s.take_weight_decay.fma(p, taken).named("decayed");
        }
        let m = s.beta1.fma(m, taken).named("m");
        let decay = if joins { Decay::None } else { Decay::of(&self.weight_decay, Decay::Decoupled) };
        (decay.step(s.lr_weight_decay, s.lr, m, p), [m])
    }
}
