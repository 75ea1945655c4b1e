//! Schedule-free AdamW.

use super::{Average, expect_constant, expect_weight, remembered, stepped};
use crate::error::Result;
use crate::optim::declare::{declare, declared};
use crate::optim::options::Decay;
use crate::rule::{Count, Element, Remembered, Rule, Scalar, Start, Step, Stream};

declare! {
    /// Schedule-free AdamW: an average of parameters in place of a decaying rate.
    ///
    /// The rate is constant, but for a warm-up: what `lr` has at each step weighs that step too. Between [`Optimizer::eval`](crate::Optimizer::eval)
    /// and [`Optimizer::train`](crate::Optimizer::train) the engine's parameters are the average, which follows from the parameters for training
    /// and the stream `z`. Weight decay is taken at the parameters for training. 28 bytes move per f32 parameter. Source: Defazio et al. 2024,
    /// arXiv:2405.15682, algorithm 1. Peers: `schedulefree.AdamWScheduleFree`, `optax.contrib.schedule_free_adamw`.
    ScheduleFreeAdamW = "schedule_free_adamw", 8 {
        /// Sets the weight decay, not negative.
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
        /// Sets the rate that weighs steps, where `own_weight_lr` says that it is not `lr`.
        weight_lr: NotNegative = 0.0,
    }
    options {
        /// Whether steps are weighed by `weight_lr`, as optax does, whose weights are one step ahead of its rates; else by `lr`.
        own_weight_lr: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub ScheduleFreeAdamWScalars {
        lr, weight_decay, beta2, one_minus_beta2, inv_sqrt_bias_correction2, eps, to_z, along, shown
    }
}

impl Rule for ScheduleFreeAdamW {
    declared!(8);
    type Streams<T> = [T; 2];
    type Scalars<T> = ScheduleFreeAdamWScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("z").starts(Start::Param).exact(), Stream::new("exp_avg_sq").denominator()]
    }

    fn check(&self) -> Result<()> {
        expect_constant("beta1", &self.beta1)?;
        expect_weight(self.own_weight_lr, &self.weight_lr)
    }

    fn remember(&self) -> Vec<Remembered> {
        remembered()
    }

    fn resolve<W: Scalar>(&self, given: [W; 8], step: &mut Step<'_, W>) -> ScheduleFreeAdamWScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps, weight_power, weight_lr_power, weight_lr] = given;
        let one = W::literal(1.0);
        let weight_lr = if self.own_weight_lr { weight_lr } else { lr };
        let average = Average::resolve(step, lr, weight_lr, beta1, [weight_power, weight_lr_power]);
        ScheduleFreeAdamWScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            inv_sqrt_bias_correction2: (one / beta2.bias_correction(step.updates().next()).sqrt()).round(),
            eps: eps.round(),
            to_z: average.to_z.round(),
            along: average.along.round(),
            shown: average.shown.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ScheduleFreeAdamWScalars<E>, y: E, g: E, [z, v]: [E; 2]) -> (E, [E; 2]) {
        let g = self.direction.of(g);
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = g / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps);
        let u = Decay::of(&self.weight_decay, Decay::Coupled).gradient(s.weight_decay, y, u).named("u");
        let [y, z] = stepped([s.lr, s.to_z, s.along], u, y, z);
        (y, [z, v])
    }

    #[inline(always)]
    fn show<E: Element>(&self, s: &ScheduleFreeAdamWScalars<E>, y: E, [z, _]: [E; 2]) -> Option<E> {
        Some(s.shown.fma(z - y, y))
    }
}
