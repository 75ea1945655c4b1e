//! SGD. Element arithmetic: `kernels/sgd.cuh`.

use super::sealed::Sealed;
use super::{Decay, Description, Direction, Hyperparameter, Variant, is_zero};
use crate::error::{Error, Result};
use crate::schedule::{Metric, Schedule};

/// Reads param and grad, writes param. `kernels/sgd.cuh`, line 2.
pub(super) const BYTES_PER_PARAM: usize = 8 + 4;
/// Reads and writes momentum_buffer as well.
pub(super) const BYTES_PER_PARAM_WITH_MOMENTUM: usize = 12 + 8;
pub(super) const STATES: [&str; 1] = ["momentum_buffer"];
pub(super) const HYPERPARAMETERS: [&str; 4] = ["lr", "weight_decay", "momentum", "dampening"];

/// How momentum enters the update. The names are those of `kernels/sgd.cuh`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Momentum {
    /// No momentum: no state.
    None,
    /// The update is the momentum buffer.
    Heavy,
    /// The update is the gradient plus `momentum` times the buffer.
    Nesterov,
}

impl Momentum {
    pub(super) fn cuda(self) -> &'static str {
        match self {
            Momentum::None => "Momentum::none",
            Momentum::Heavy => "Momentum::heavy",
            Momentum::Nesterov => "Momentum::nesterov",
        }
    }
}

/// Stochastic gradient descent, plain by default.
///
/// 12 bytes move per f32 parameter, 20 with momentum. The momentum buffer starts as a copy of the first gradient, as in
/// torch. Every hyperparameter takes a number or a [`Schedule`]. Source: Sutskever et al. 2013, ICML. Peer:
/// `torch.optim.SGD`.
#[derive(Debug, Clone)]
#[must_use = "give it to `OptimizerBuilder::group`"]
pub struct Sgd {
    lr: Schedule,
    weight_decay: Schedule,
    momentum: Schedule,
    dampening: Schedule,
    form: Momentum,
    direction: Direction,
    metric: Option<Metric>,
}

impl Sgd {
    /// SGD with learning rate `lr`, not negative.
    pub fn new(lr: impl Into<Schedule>) -> Sgd {
        Sgd {
            lr: lr.into(),
            weight_decay: 0.0.into(),
            momentum: 0.0.into(),
            dampening: 0.0.into(),
            form: Momentum::None,
            direction: Direction::Minimize,
            metric: None,
        }
    }

    /// Sets the L2 term that is added to the gradient, not negative.
    pub fn weight_decay(mut self, weight_decay: impl Into<Schedule>) -> Sgd {
        self.weight_decay = weight_decay.into();
        self
    }

    /// Uses momentum: `buf ← momentum · buf + (1 - dampening) · g`, with `momentum` in [0, 1).
    pub fn momentum(mut self, form: Momentum, momentum: impl Into<Schedule>) -> Sgd {
        self.form = form;
        self.momentum = momentum.into();
        self
    }

    /// Sets the dampening, not negative; [`Momentum::Nesterov`] has none.
    pub fn dampening(mut self, dampening: impl Into<Schedule>) -> Sgd {
        self.dampening = dampening.into();
        self
    }

    /// Multiplies the learning rate of this group alone by a factor that follows observed metrics, a
    /// [`Plateau`](crate::Plateau) or a [`Greedy`](crate::Greedy): see [`Optimizer::observe`](crate::Optimizer::observe).
    /// Other groups keep their rates: [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric) is for all of them.
    pub fn metric(mut self, metric: impl Into<Metric>) -> Sgd {
        self.metric = Some(metric.into());
        self
    }

    /// Maximizes the objective: the gradient is negated before anything else.
    pub fn maximize(mut self) -> Sgd {
        self.direction = Direction::Maximize;
        self
    }
}

impl Sealed for Sgd {
    fn describe(&self) -> Result<Description> {
        let decay = if is_zero(&self.weight_decay) { Decay::None } else { Decay::Coupled };
        if self.form == Momentum::Nesterov && !is_zero(&self.dampening) {
            return Err(Error::argument("dampening", "set", "Nesterov momentum has none"));
        }
        if self.form == Momentum::None && !(is_zero(&self.momentum) && is_zero(&self.dampening)) {
            let argument = if is_zero(&self.momentum) { "dampening" } else { "momentum" };
            return Err(Error::argument(
                argument,
                "set with Momentum::None",
                "that form has no momentum and no dampening",
            ));
        }
        Ok(Description {
            variant: Variant::Sgd { momentum: self.form, decay, direction: self.direction },
            hyperparameters: vec![
                Hyperparameter::new("lr", &self.lr),
                Hyperparameter::new("weight_decay", &self.weight_decay),
                Hyperparameter::new("momentum", &self.momentum),
                Hyperparameter::new("dampening", &self.dampening),
            ],
            metric: self.metric,
        })
    }
}

/// Places in a record: the hyperparameters, then what is derived from them. `kernels/sgd.cuh` names the same.
pub(crate) mod record {
    pub const LR: usize = 0;
    pub const WEIGHT_DECAY: usize = 1;
    pub const MOMENTUM: usize = 2;
    pub const KEEP: usize = 4;
    pub const TAKE: usize = 5;
    pub const LEN: usize = 6;
}

pub(super) fn resolve(inputs: &[f64], updates: u64, r: &mut [f32]) {
    let &[lr, weight_decay, momentum, dampening] = inputs else { unreachable!("four hyperparameters") };
    for (place, value) in r.iter_mut().zip([lr, weight_decay, momentum, dampening]) {
        *place = value as f32;
    }
    r[record::KEEP] = if updates == 0 { 0.0 } else { momentum as f32 };
    r[record::TAKE] = if updates == 0 { 1.0 } else { (1.0 - dampening) as f32 };
}
