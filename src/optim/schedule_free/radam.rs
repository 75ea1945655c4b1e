//! Schedule-free RAdam.

use super::{Average, expect_constant, remembered, stepped};
use crate::error::Result;
use crate::optim::declare::{declare, declared};
use crate::optim::options::Decay;
use crate::optim::rectify::Rectified;
use crate::rule::{Element, Remembered, Rule, Scalar, Start, Step, Stream};

declare! {
    /// Schedule-free RAdam: the rate warms up by itself, with the rectification of RAdam.
    ///
    /// As [`ScheduleFreeAdamW`](crate::ScheduleFreeAdamW). While the rectification is not defined, the first 5 updates or so, the rate is 0, or
    /// with `sgd_phase` gradients are taken as they are. 28 bytes move per f32 parameter. Sources: Defazio et al. 2024, arXiv:2405.15682; Liu et al.
    /// 2019, arXiv:1908.03265. Peer: `schedulefree.RAdamScheduleFree`.
    ScheduleFreeRAdam = "schedule_free_radam", 7 {
        /// Sets the weight decay, not negative, taken at the parameters for training.
        weight_decay: NotNegative = 0.0,
        /// Sets the part of the average in the parameters for training, in [0, 1): a number, since the
        /// average follows from it. At 0 there is no other parameter for evaluation.
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the term added to the root of the second moment, above 0.
        eps: Positive = 1e-8,
        /// Sets the power of the step's number in its weight (`r` of the paper), not negative.
        weight_power: NotNegative = 0.0,
        /// Sets the power of the largest rate so far in a step's weight, not negative.
        weight_lr_power: NotNegative = 2.0,
    }
    options {
        /// Whether the first updates are those of SGD; else there are none.
        sgd_phase: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `root` and `base` make the denominator: 0 and 1 while there is no rectification.
    pub ScheduleFreeRAdamScalars {
        lr, weight_decay, beta2, one_minus_beta2, root, base, to_z, along, shown
    }
}

impl Rule for ScheduleFreeRAdam {
    declared!(7);
    type Streams<T> = [T; 2];
    type Scalars<T> = ScheduleFreeRAdamScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("z").starts(Start::Param).exact(), Stream::new("exp_avg_sq").denominator()]
    }

    fn check(&self) -> Result<()> {
        expect_constant("beta1", &self.beta1)
    }

    fn remember(&self) -> Vec<Remembered> {
        remembered()
    }

    fn resolve<W: Scalar>(&self, given: [W; 7], step: &mut Step<'_, W>) -> ScheduleFreeRAdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, weight_power, weight_lr_power] = given;
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let Rectified { length, factor, bias_correction2 } = Rectified::of(beta2, step.updates());
        let is_defined = W::literal(4.0).less(length);
        let before = if self.sgd_phase { one } else { zero };
        let lr = lr * W::select(is_defined, factor, before);
        let average = Average::resolve(step, lr, lr, beta1, [weight_power, weight_lr_power]);
        ScheduleFreeRAdamScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            root: W::select(is_defined, one / bias_correction2.sqrt(), zero).round(),
            base: W::select(is_defined, eps, one).round(),
            to_z: average.to_z.round(),
            along: average.along.round(),
            shown: average.shown.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ScheduleFreeRAdamScalars<E>, y: E, g: E, [z, v]: [E; 2]) -> (E, [E; 2]) {
        let g = self.direction.of(g);
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = g / v.sqrt().fma(s.root, s.base);
        let u = Decay::of(&self.weight_decay, Decay::Coupled).gradient(s.weight_decay, y, u).named("u");
        let [y, z] = stepped([s.lr, s.to_z, s.along], u, y, z);
        (y, [z, v])
    }

    #[inline(always)]
    fn show<E: Element>(&self, s: &ScheduleFreeRAdamScalars<E>, y: E, [z, _]: [E; 2]) -> Option<E> {
        Some(s.shown.fma(z - y, y))
    }
}
