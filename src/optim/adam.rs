//! Adam and AdamW. Element arithmetic: `kernels/adam.cuh`.

use std::marker::PhantomData;

use super::sealed::Sealed;
use super::{Decay, Description, Direction, Hyperparameter, Variant, is_zero};
use crate::error::Result;
use crate::schedule::{Metric, Schedule};

/// Reads param, grad, exp_avg, exp_avg_sq; writes all but grad. `kernels/adam.cuh`, line 2.
pub(super) const BYTES_PER_PARAM: usize = 16 + 12;
pub(super) const STATES: [&str; 2] = ["exp_avg", "exp_avg_sq"];
pub(super) const HYPERPARAMETERS: [&str; 5] = ["lr", "weight_decay", "beta1", "beta2", "eps"];
/// The betas.
pub(super) const CORRECTED: [usize; 2] = [2, 3];

/// Adam. Weight decay is an L2 term, added to the gradient; its default is 0.
///
/// Defaults as in torch: betas 0.9 and 0.999, eps 1e-8. 28 bytes move per f32 parameter. Every hyperparameter takes a number
/// or a [`Schedule`]; a scheduled beta enters the bias correction with its present value, as in torch.
/// Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1. Peer: `torch.optim.Adam`.
pub type Adam = AdamRule<Coupled>;

/// AdamW: Adam with decoupled weight decay, `p ← p - (lr · weight_decay · p + update)`; its default is 0.01.
///
/// The parameter is rounded once, so that a decay far below the spacing of f32 still arrives, on average, beside an update.
/// Where the update is 0, as for a parameter that never had a gradient, f32 itself absorbs a decay below 2^-25 of the
/// parameter: `lr · weight_decay` under 3e-8.
///
/// All else is as in [`Adam`]. Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2. Peer: `torch.optim.AdamW`.
pub type AdamW = AdamRule<Decoupled>;

/// How an [`AdamRule`] takes its weight decay: [`Coupled`] or [`Decoupled`].
pub trait DecayForm: form::Form {}

mod form {
    pub trait Form {
        const FORM: super::Decay;
        const DEFAULT: f64;
    }
}

/// Weight decay as part of the gradient: [`Adam`].
#[derive(Debug, Clone, Copy)]
pub enum Coupled {}

/// Weight decay apart from the gradient: [`AdamW`].
#[derive(Debug, Clone, Copy)]
pub enum Decoupled {}

impl form::Form for Coupled {
    const FORM: Decay = Decay::Coupled;
    const DEFAULT: f64 = 0.0;
}

impl form::Form for Decoupled {
    const FORM: Decay = Decay::Decoupled;
    const DEFAULT: f64 = 0.01;
}

impl DecayForm for Coupled {}
impl DecayForm for Decoupled {}

/// [`Adam`] and [`AdamW`].
#[derive(Debug, Clone)]
#[must_use = "give it to `OptimizerBuilder::group`"]
pub struct AdamRule<D> {
    lr: Schedule,
    weight_decay: Schedule,
    beta1: Schedule,
    beta2: Schedule,
    eps: Schedule,
    direction: Direction,
    metric: Option<Metric>,
    form: PhantomData<D>,
}

impl<D: DecayForm> AdamRule<D> {
    /// The rule with learning rate `lr`, not negative.
    pub fn new(lr: impl Into<Schedule>) -> Self {
        AdamRule {
            lr: lr.into(),
            weight_decay: D::DEFAULT.into(),
            beta1: 0.9.into(),
            beta2: 0.999.into(),
            eps: 1e-8.into(),
            direction: Direction::Minimize,
            metric: None,
            form: PhantomData,
        }
    }

    /// Sets the weight decay, not negative.
    pub fn weight_decay(mut self, weight_decay: impl Into<Schedule>) -> Self {
        self.weight_decay = weight_decay.into();
        self
    }

    /// Sets the decay rate of the first moment, in [0, 1).
    pub fn beta1(mut self, beta1: impl Into<Schedule>) -> Self {
        self.beta1 = beta1.into();
        self
    }

    /// Sets the decay rate of the second moment, in [0, 1).
    pub fn beta2(mut self, beta2: impl Into<Schedule>) -> Self {
        self.beta2 = beta2.into();
        self
    }

    /// Sets the term added to the root of the second moment: above 0 after rounding to f32, or a parameter without a gradient
    /// would become NaN.
    pub fn eps(mut self, eps: impl Into<Schedule>) -> Self {
        self.eps = eps.into();
        self
    }

    /// Multiplies the learning rate of this group alone by a factor that follows observed metrics, a
    /// [`Plateau`](crate::Plateau) or a [`Greedy`](crate::Greedy): see [`Optimizer::observe`](crate::Optimizer::observe).
    /// Other groups keep their rates: [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric) is for all of them.
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.metric = Some(metric.into());
        self
    }

    /// Maximizes the objective: the gradient is negated before anything else.
    pub fn maximize(mut self) -> Self {
        self.direction = Direction::Maximize;
        self
    }
}

impl<D: DecayForm> Sealed for AdamRule<D> {
    fn describe(&self) -> Result<Description> {
        let decay = if is_zero(&self.weight_decay) { Decay::None } else { D::FORM };
        Ok(Description {
            variant: Variant::Adam { decay, direction: self.direction },
            hyperparameters: vec![
                Hyperparameter::new("lr", &self.lr),
                Hyperparameter::new("weight_decay", &self.weight_decay),
                Hyperparameter::new("beta1", &self.beta1),
                Hyperparameter::new("beta2", &self.beta2),
                Hyperparameter::new("eps", &self.eps),
            ],
            metric: self.metric,
        })
    }
}

/// Places in a record: the hyperparameters, then what is derived from them. `kernels/adam.cuh` names the same.
pub(crate) mod record {
    pub const WEIGHT_DECAY: usize = 1;
    pub const BETA2: usize = 3;
    pub const EPS: usize = 4;
    pub const LR_WEIGHT_DECAY: usize = 5;
    pub const ONE_MINUS_BETA1: usize = 6;
    pub const ONE_MINUS_BETA2: usize = 7;
    pub const STEP_SIZE: usize = 8;
    pub const INV_SQRT_BIAS_CORRECTION2: usize = 9;
    pub const LEN: usize = 10;
}

pub(super) fn resolve(inputs: &[f64], r: &mut [f32]) {
    let &[lr, weight_decay, beta1, beta2, eps, bias_correction1, bias_correction2] = inputs else {
        unreachable!("five hyperparameters and two bias corrections")
    };
    for (place, value) in r.iter_mut().zip([lr, weight_decay, beta1, beta2, eps]) {
        *place = value as f32;
    }
    r[record::LR_WEIGHT_DECAY] = (lr * weight_decay) as f32;
    r[record::ONE_MINUS_BETA1] = (1.0 - beta1) as f32;
    r[record::ONE_MINUS_BETA2] = (1.0 - beta2) as f32;
    r[record::STEP_SIZE] = (lr / bias_correction1) as f32;
    r[record::INV_SQRT_BIAS_CORRECTION2] = (1.0 / bias_correction2.sqrt()) as f32;
}
