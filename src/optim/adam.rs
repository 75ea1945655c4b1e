//! Adam and AdamW.

use std::marker::PhantomData;

use super::known::{Known, Said};
use super::options::{Decay, Direction, ONE, Parity, ZERO};
use crate::error::Result;
use crate::rule::{Count, Element, Hyperparameter, Loop, Named, Range, Rule, Scalar, Step, Stream};
use crate::schedule::{Metric, Schedule};

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
    pub trait Form: std::fmt::Debug + Clone + Send + Sync + 'static {
        const NAME: &'static str;
        const FORM: crate::optim::options::Decay;
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
    const NAME: &'static str = "adam";
    const FORM: Decay = Decay::Coupled;
    const DEFAULT: f64 = 0.0;
}

impl form::Form for Decoupled {
    const NAME: &'static str = "adamw";
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
    parity: Parity,
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
            parity: Parity::Stated,
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

    /// Follows another order of operations in f32: torch's.
    pub fn parity(mut self, parity: Parity) -> Self {
        self.parity = parity;
        self
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of(&self.weight_decay, D::FORM)
    }

    /// With these options, for loops over elements.
    const fn of_options(maximize: bool, decays: bool, parity: Parity) -> Self {
        let direction = if maximize { Direction::Maximize } else { Direction::Minimize };
        let weight_decay = if decays { ONE } else { ZERO };
        let form = PhantomData;
        AdamRule { lr: ZERO, weight_decay, beta1: ZERO, beta2: ZERO, eps: ZERO, direction, parity, metric: None, form }
    }

    #[inline(always)]
    fn with_parity<L: Loop<Self>, const MAXIMIZE: bool, const DECAYS: bool>(&self, work: L) {
        match self.parity {
            Parity::Stated => work.run(const { &Self::of_options(MAXIMIZE, DECAYS, Parity::Stated) }),
            Parity::TorchForLoop => work.run(const { &Self::of_options(MAXIMIZE, DECAYS, Parity::TorchForLoop) }),
            Parity::TorchFused => work.run(const { &Self::of_options(MAXIMIZE, DECAYS, Parity::TorchFused) }),
        }
    }
}

crate::rule::scalars! {
    /// What elements go by; each order of operations uses some.
    pub AdamScalars {
        weight_decay, lr_weight_decay, one_minus_lr_weight_decay, beta1, one_minus_beta1, beta2, one_minus_beta2, eps,
        step_size, sqrt_bias_correction2, inv_sqrt_bias_correction2
    }
}

impl<D: DecayForm> Rule for AdamRule<D> {
    const NAME: &'static str = D::NAME;
    type Hyperparameters<T> = [T; 5];
    type Streams<T> = [T; 2];
    type Scalars<T> = AdamScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 5] {
        [
            Hyperparameter::new("lr", &self.lr, Range::NotNegative),
            Hyperparameter::new("weight_decay", &self.weight_decay, Range::NotNegative).default(D::DEFAULT),
            Hyperparameter::new("beta1", &self.beta1, Range::BelowOne).default(0.9),
            Hyperparameter::new("beta2", &self.beta2, Range::BelowOne).default(0.999),
            Hyperparameter::new("eps", &self.eps, Range::Positive).default(1e-8),
        ]
    }

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn metric(&self) -> Option<Metric> {
        self.metric
    }

    fn named(&self) -> Option<Named> {
        let options = self.direction.named().into_iter().chain(self.parity.named()).collect();
        Some(Named { options, without: Vec::new() })
    }

    fn identity(&self) -> Option<String> {
        let (decay, direction, parity) = (self.decay().name(), self.direction.name(), self.parity.suffix());
        Some(format!("Adam<Decay::{decay}, Direction::{direction}{parity}>"))
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> AdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let sqrt_bias_correction2 = beta2.bias_correction(updates).sqrt();
        AdamScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            one_minus_lr_weight_decay: (one - lr * weight_decay).round(),
            beta1: beta1.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            eps: eps.round(),
            step_size: (lr / beta1.bias_correction(updates)).round(),
            sqrt_bias_correction2: sqrt_bias_correction2.round(),
            inv_sqrt_bias_correction2: (one / sqrt_bias_correction2).round(),
        }
    }

    #[inline(always)]
    fn with_constants<L: Loop<Self>>(&self, work: L) {
        match (self.direction, self.decay()) {
            (Direction::Minimize, Decay::None) => self.with_parity::<L, false, false>(work),
            (Direction::Minimize, _) => self.with_parity::<L, false, true>(work),
            (Direction::Maximize, Decay::None) => self.with_parity::<L, true, false>(work),
            (Direction::Maximize, _) => self.with_parity::<L, true, true>(work),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let mut g = if self.direction == Direction::Maximize { -g } else { g };
        if self.decay() == Decay::Coupled {
            g = s.weight_decay.fma(p, g).named("decayed_g");
        }
        match self.parity {
            Parity::Stated => self.stated(s, p, g, [m, v]),
            Parity::TorchForLoop => self.torch_for_loop(s, p, g, [m, v]),
            Parity::TorchFused => self.torch_fused(s, p, g, [m, v]),
        }
    }
}

impl<D: DecayForm> Known for AdamRule<D> {
    const OPTIONS: &'static [&'static str] = &["maximize", "parity"];

    fn with_options(said: &Said<'_>) -> Result<Self> {
        Ok(AdamRule { direction: said.direction()?, parity: said.parity()?, ..AdamRule::new(0.0) })
    }

    fn schedules(&mut self) -> [&mut Schedule; 5] {
        [&mut self.lr, &mut self.weight_decay, &mut self.beta1, &mut self.beta2, &mut self.eps]
    }
}

/// One element, after the coupled decay.
impl<D: DecayForm> AdamRule<D> {
    /// The parameter is rounded once, so no decay is lost beside an update.
    #[inline(always)]
    fn stated<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        let m = s.one_minus_beta1.fma(g - m, m).named("m");
        let v = s.beta2.fma(v, s.one_minus_beta2 * (g * g)).named("v");
        let u = (m / v.sqrt().fma(s.inv_sqrt_bias_correction2, s.eps)).named("u");
        let p = match self.decay() {
            Decay::Decoupled => p - s.lr_weight_decay.fma(p, s.step_size * u),
            Decay::None | Decay::Coupled => (-s.step_size).fma(u, p),
        };
        (p, [m, v])
    }

    #[inline(always)]
    fn torch_for_loop<E: Element>(&self, s: &AdamScalars<E>, mut p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        if self.decay() == Decay::Decoupled {
            p = (p * s.one_minus_lr_weight_decay).named("decayed_p");
        }
        // torch's lerp begins at the nearer end.
        let (weight, apart) = (s.one_minus_beta1, (g - m).named("apart"));
        let from_g = (-(E::literal(1.0) - weight)).fma(apart, g);
        let m = E::select(weight.less(E::literal(0.5)), weight.fma(apart, m), from_g).named("m");
        let v = (s.one_minus_beta2 * g).fma(g, v * s.beta2).named("v");
        let denominator = v.sqrt() / s.sqrt_bias_correction2 + s.eps;
        (p + (-s.step_size * m) / denominator, [m, v])
    }

    #[inline(always)]
    fn torch_fused<E: Element>(&self, s: &AdamScalars<E>, mut p: E, g: E, [m, v]: [E; 2]) -> (E, [E; 2]) {
        if self.decay() == Decay::Decoupled {
            p = (-s.lr_weight_decay).fma(p, p).named("decayed_p");
        }
        let square = (g * g).named("square");
        let m = s.beta1.fma(m, (-s.beta1).fma(g, g)).named("m");
        let v = s.beta2.fma(v, (-s.beta2).fma(square, square)).named("v");
        let denominator = v.sqrt() / s.sqrt_bias_correction2 + s.eps;
        (p - (s.step_size * m) / denominator, [m, v])
    }
}
