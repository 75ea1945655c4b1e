//! Schedule-free rules: in place of a decaying rate, an average. The engine's parameter is y, where gradients are taken; z is a stream;
//! x, the average, is for evaluation and follows from both.

mod adamw;
mod radam;
mod sgd;

pub use adamw::ScheduleFreeAdamW;
pub use radam::ScheduleFreeRAdam;
pub use sgd::ScheduleFreeSgd;

use super::options::is_zero;
use crate::error::{Error, Result};
use crate::rule::{Count, Element, Of, Remembered, Scalar, Step};
use crate::schedule::{Form, Number, Schedule};

/// The average follows from the parameters for training while what made them of it stays.
fn expect_constant(name: &'static str, part: &Schedule) -> Result<()> {
    match part.0 {
        Form::Constant(Number::Literal(_)) => Ok(()),
        _ => Err(Error::argument(name, "a schedule or a knob", "must be a number: the average follows from it")),
    }
}

/// A rate that weighs steps is given where it is asked for, and only there.
fn expect_weight(own: bool, weight_lr: &Schedule) -> Result<()> {
    match (own, is_zero(weight_lr)) {
        (true, true) => Err(Error::argument("weight_lr", 0, "must be given with own_weight_lr")),
        (false, false) => {
            Err(Error::argument("weight_lr", "set", "must not be set without own_weight_lr, which says that it counts"))
        }
        _ => Ok(()),
    }
}

/// What all of them remember: the largest rate so far, and the sum of weights.
fn remembered() -> Vec<Remembered> {
    vec![Remembered::new("lr_max", Of::Cohort, 0.0), Remembered::new("weight_sum", Of::Cohort, 0.0)]
}

/// What y, z and x go by in one step.
struct Average<W> {
    /// How far y goes to z.
    to_z: W,
    /// What y goes by along the update.
    along: W,
    /// How far x is from y, in the direction of z.
    shown: W,
}

impl<W: Scalar> Average<W> {
    /// The weight of a step is `t^weight_power · lr_max^weight_lr_power`, where `weight_lr` is the rate that enters `lr_max`.
    fn resolve(
        step: &mut Step<'_, W>,
        lr: W,
        weight_lr: W,
        beta1: W,
        [weight_power, weight_lr_power]: [W; 2],
    ) -> Average<W> {
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let lr_max = weight_lr.max(step.remembered(0));
        step.remember(0, lr_max);
        let t = step.updates().next().scalar();
        let weight = t.pow(weight_power) * lr_max.pow(weight_lr_power);
        let weight_sum = step.remembered(1) + weight;
        step.remember(1, weight_sum);
        let to_z = W::select(weight_sum.equal(zero), zero, weight / weight_sum);
        Average {
            to_z,
            along: lr * (beta1 * (one - to_z) - one),
            shown: W::select(beta1.equal(zero), zero, one - one / beta1),
        }
    }
}

/// y and z after the update `u`.
#[inline(always)]
fn stepped<E: Element>([lr, to_z, along]: [E; 3], u: E, y: E, z: E) -> [E; 2] {
    let y = to_z.fma(z - y, y).named("y");
    [along.fma(u, y), (-lr).fma(u, z)]
}
