//! Schedule-free SGD.

use super::{Average, expect_constant, expect_weight, remembered, stepped};
use crate::error::Result;
use crate::optim::declare::{declare, declared};
use crate::optim::options::Decay;
use crate::rule::{Element, Remembered, Rule, Scalar, Start, Step, Stream};

declare! {
    /// Schedule-free SGD: an average of parameters in place of momentum and of a decaying rate.
    ///
    /// As [`ScheduleFreeAdamW`](crate::ScheduleFreeAdamW), without a second moment. 20 bytes move per f32 parameter. Source: Defazio et al. 2024,
    /// arXiv:2405.15682. Peers: `schedulefree.SGDScheduleFree`, `optax.contrib.schedule_free_sgd`.
    ScheduleFreeSgd = "schedule_free_sgd", 6 {
        /// Sets the weight decay, not negative, taken at the parameters for training.
        weight_decay: NotNegative = 0.0,
        /// Sets the part of the average in the parameters for training, in [0, 1): a number, since the
        /// average follows from it. At 0 there is no other parameter for evaluation.
        momentum: BelowOne = 0.9,
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
    pub ScheduleFreeSgdScalars { lr, weight_decay, to_z, along, shown }
}

impl Rule for ScheduleFreeSgd {
    declared!(6);
    type Streams<T> = [T; 1];
    type Scalars<T> = ScheduleFreeSgdScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("z").starts(Start::Param).exact()]
    }

    fn check(&self) -> Result<()> {
        expect_constant("momentum", &self.momentum)?;
        expect_weight(self.own_weight_lr, &self.weight_lr)
    }

    fn remember(&self) -> Vec<Remembered> {
        remembered()
    }

    fn resolve<W: Scalar>(&self, given: [W; 6], step: &mut Step<'_, W>) -> ScheduleFreeSgdScalars<W::Element> {
        let [lr, weight_decay, momentum, weight_power, weight_lr_power, weight_lr] = given;
        let weight_lr = if self.own_weight_lr { weight_lr } else { lr };
        let average = Average::resolve(step, lr, weight_lr, momentum, [weight_power, weight_lr_power]);
        ScheduleFreeSgdScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            to_z: average.to_z.round(),
            along: average.along.round(),
            shown: average.shown.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ScheduleFreeSgdScalars<E>, y: E, g: E, [z]: [E; 1]) -> (E, [E; 1]) {
        let u = Decay::of(&self.weight_decay, Decay::Coupled).gradient(s.weight_decay, y, self.direction.of(g));
        let [y, z] = stepped([s.lr, s.to_z, s.along], u, y, z);
        (y, [z])
    }

    #[inline(always)]
    fn show<E: Element>(&self, s: &ScheduleFreeSgdScalars<E>, y: E, [z]: [E; 1]) -> Option<E> {
        Some(s.shown.fma(z - y, y))
    }
}
