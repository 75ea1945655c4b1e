//! Adam and AdamW: what they are; `additions` has what they may do beside, `element` their arithmetic.

mod additions;
mod element;

use std::marker::PhantomData;

use additions::Additions;
pub use additions::Nesterov;

use super::caution::Caution;
use super::declare::Choice;
use super::known::{Known, Said};
use super::options::{Decay, Direction, ONE, Parity, ZERO};
use crate::error::{Error, Result, number};
use crate::rule::{
    Count, Element, Hyperparameter, Loop, Named, Over, Range, Rule, RuleOption, Scalar, Step, Stream, Sum, Terms,
};
use crate::schedule::{IntoSchedule, Metric, Schedule};

/// Adam. Weight decay is an L2 term, added to the gradient; its default is 0.
///
/// Defaults as in torch: betas 0.9 and 0.999, eps 1e-8. 28 bytes move per f32 parameter. Every hyperparameter takes a number
/// or a [`Schedule`]; a scheduled beta enters the bias correction with its present value, as in torch.
/// Source: Kingma and Ba 2015, arXiv:1412.6980, algorithm 1. Peer: `torch.optim.Adam`.
///
/// With `amsgrad` there is a third state, and 36 bytes move; source: Reddi et al. 2018, arXiv:1904.09237, algorithm 2. With caution
/// or a clipped update a sum over each tensor is taken before, which reads 8 bytes more, 12 for both.
pub type Adam = AdamRule<Coupled>;

/// AdamW: Adam with decoupled weight decay, `p ← p - (lr · weight_decay · p + update)`; its default is 0.01.
///
/// The parameter is rounded once, so that a decay far below the spacing of f32 still arrives, on average, beside an update.
/// Where the update is 0, as for a parameter that never had a gradient, f32 itself absorbs a decay below 2^-25 of the
/// parameter: `lr · weight_decay` under 3e-8.
///
/// All else is as in [`Adam`]. Source: Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2. Peers: `torch.optim.AdamW`,
/// `timm.optim.AdamWLegacy`, `optax.adamw`; with [`Nesterov`] `timm.optim.NAdamW`, `optax.nadamw`.
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
    additions: Additions,
    metric: Option<Metric>,
    form: PhantomData<D>,
}

impl<D: DecayForm> AdamRule<D> {
    /// The rule with learning rate `lr`, not negative.
    pub fn new(lr: impl IntoSchedule) -> Self {
        AdamRule {
            lr: lr.into(),
            weight_decay: D::DEFAULT.into(),
            beta1: 0.9.into(),
            beta2: 0.999.into(),
            eps: 1e-8.into(),
            direction: Direction::Minimize,
            parity: Parity::Stated,
            additions: Additions::NONE,
            metric: None,
            form: PhantomData,
        }
    }

    /// Sets the weight decay, not negative.
    pub fn weight_decay(mut self, weight_decay: impl IntoSchedule) -> Self {
        self.weight_decay = weight_decay.into();
        self
    }

    /// Sets the decay rate of the first moment, in [0, 1).
    pub fn beta1(mut self, beta1: impl IntoSchedule) -> Self {
        self.beta1 = beta1.into();
        self
    }

    /// Sets the decay rate of the second moment, in [0, 1).
    pub fn beta2(mut self, beta2: impl IntoSchedule) -> Self {
        self.beta2 = beta2.into();
        self
    }

    /// Sets the term added to the root of the second moment: above 0 after rounding to f32, or a parameter without a gradient
    /// would become NaN.
    pub fn eps(mut self, eps: impl IntoSchedule) -> Self {
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

    /// Divides by the root of the largest second moment so far.
    pub fn amsgrad(mut self, amsgrad: bool) -> Self {
        self.additions.amsgrad = amsgrad;
        self
    }

    /// Lets the gradient enter the update once more.
    pub fn nesterov(mut self, nesterov: Nesterov) -> Self {
        self.additions.nesterov = nesterov;
        self
    }

    /// Leaves out of the update what goes against the gradient.
    pub fn caution(mut self, caution: Caution) -> Self {
        self.additions.caution = caution;
        self
    }

    /// Divides the update of each tensor, not its decay, by the root mean square of the gradient over the update's denominator
    /// where that is above `most`, which is above 0; over `most` then. Source: Shazeer and Stern 2018, arXiv:1804.04235, section 6.
    pub fn clip_update(mut self, most: f64) -> Self {
        self.additions.clip_update = Some(most);
        self
    }

    /// Corrects the moments for their start at 0, as by default, or not.
    pub fn bias_correction(mut self, bias_correction: bool) -> Self {
        self.additions.uncorrected = !bias_correction;
        self
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of(&self.weight_decay, D::FORM)
    }

    /// The step size, with the scales of what is added.
    fn step_size<W: Scalar>(&self, lr: W, beta1: W, updates: W::Count, step: &Step<'_, W>) -> W {
        let Additions { caution, clip_update, uncorrected, .. } = self.additions;
        let mut step_size = if uncorrected { lr } else { lr / beta1.bias_correction(updates) };
        if caution.is_on() {
            step_size = step_size * caution.scale(step);
        }
        if let Some(most) = clip_update {
            let place = caution.sums().len();
            let whitened = (step.sum(place) / step.len(place)).sqrt();
            step_size = step_size / (whitened / W::literal(most)).max(W::literal(1.0));
        }
        step_size
    }

    /// With these options, for loops over elements.
    const fn of_options(maximize: bool, decays: bool, parity: Parity) -> Self {
        let direction = if maximize { Direction::Maximize } else { Direction::Minimize };
        let weight_decay = if decays { ONE } else { ZERO };
        let form = PhantomData;
        let additions = Additions::NONE;
        AdamRule {
            lr: ZERO,
            weight_decay,
            beta1: ZERO,
            beta2: ZERO,
            eps: ZERO,
            direction,
            parity,
            additions,
            metric: None,
            form,
        }
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
    /// What elements go by; each order of operations uses some. With [`Nesterov::Apart`] `beta1` has the corrections of the moment
    /// over those of the gradient in it.
    pub AdamScalars {
        weight_decay, lr_weight_decay, one_minus_lr_weight_decay, beta1, one_minus_beta1, beta2, one_minus_beta2, eps,
        step_size, sqrt_bias_correction2, inv_sqrt_bias_correction2
    }
}

impl<D: DecayForm> Rule for AdamRule<D> {
    const NAME: &'static str = D::NAME;
    type Hyperparameters<T> = [T; 5];
    type Streams<T> = [T; 3];
    type Scalars<T> = AdamScalars<T>;
    const FEWEST_STREAMS: usize = 2;

    fn hyperparameters(&self) -> [Hyperparameter; 5] {
        [
            Hyperparameter::new("lr", &self.lr, Range::NotNegative),
            Hyperparameter::new("weight_decay", &self.weight_decay, Range::NotNegative).default(D::DEFAULT),
            Hyperparameter::new("beta1", &self.beta1, Range::BelowOne).default(0.9),
            Hyperparameter::new("beta2", &self.beta2, Range::BelowOne).default(0.999),
            Hyperparameter::new("eps", &self.eps, Range::Positive).default(1e-8),
        ]
    }

    fn streams(&self) -> [Stream; 3] {
        let largest = Stream::new("max_exp_avg_sq").denominator().only_if(self.additions.amsgrad);
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator(), largest]
    }

    fn sums(&self) -> Vec<Sum> {
        let mut sums = self.additions.caution.sums();
        if self.additions.clip_update.is_some() {
            sums.push(Sum::new("squares", Over::Tensor));
        }
        sums
    }

    fn check(&self) -> Result<()> {
        if let Some(most) = self.additions.clip_update.filter(|most| !(*most > 0.0 && most.is_finite())) {
            return Err(Error::argument("clip_update", number(most), "must be above 0 and finite"));
        }
        if self.parity == Parity::TorchFused && self.additions.nesterov != Nesterov::Off {
            let rule = "must not be set with parity \"torch_fused\": torch has no such kernel";
            return Err(Error::argument("nesterov", self.additions.nesterov.written(), rule));
        }
        if self.additions.nesterov == Nesterov::Apart && self.additions.uncorrected {
            return Err(Error::argument(
                "bias_correction",
                false,
                "must be true with nesterov \"apart\", a way to correct",
            ));
        }
        Ok(())
    }

    fn metric(&self) -> Option<Metric> {
        self.metric
    }

    fn named(&self) -> Option<Named> {
        let options = self.direction.named().into_iter().chain(self.parity.named());
        let options = options.chain(self.additions.named()).collect();
        Some(Named { options, without: Vec::new() })
    }

    fn identity(&self) -> Option<String> {
        let (decay, direction, parity) = (self.decay().name(), self.direction.name(), self.parity.suffix());
        let written = |value: &RuleOption| match value {
            // As blocks have it, whatever messages do.
            RuleOption::Number(value) => value.to_string(),
            RuleOption::Flag(_) | RuleOption::Word(_) => value.to_string(),
        };
        let named = self.additions.named();
        let more: String = named.iter().map(|(option, value)| format!(", {option} = {}", written(value))).collect();
        Some(format!("Adam<Decay::{decay}, Direction::{direction}{parity}{more}>"))
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> AdamScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, eps] = given;
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let Additions { nesterov, uncorrected, .. } = self.additions;
        let sqrt_bias_correction2 = if uncorrected { one } else { beta2.bias_correction(updates).sqrt() };
        let of_moment = match nesterov {
            Nesterov::Apart => beta1 * beta1.bias_correction(updates) / beta1.bias_correction(updates.next()),
            Nesterov::Off | Nesterov::Together => beta1,
        };
        AdamScalars {
            weight_decay: weight_decay.round(),
            lr_weight_decay: (lr * weight_decay).round(),
            one_minus_lr_weight_decay: (one - lr * weight_decay).round(),
            beta1: of_moment.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
            eps: eps.round(),
            step_size: self.step_size(lr, beta1, updates, step).round(),
            sqrt_bias_correction2: sqrt_bias_correction2.round(),
            inv_sqrt_bias_correction2: (one / sqrt_bias_correction2).round(),
        }
    }

    #[inline(always)]
    fn with_constants<L: Loop<Self>>(&self, work: L) {
        if self.additions != Additions::NONE {
            return work.run(self);
        }
        match (self.direction, self.decay()) {
            (Direction::Minimize, Decay::None) => self.with_parity::<L, false, false>(work),
            (Direction::Minimize, _) => self.with_parity::<L, false, true>(work),
            (Direction::Maximize, Decay::None) => self.with_parity::<L, true, false>(work),
            (Direction::Maximize, _) => self.with_parity::<L, true, true>(work),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, streams: [E; 3], terms: &mut Terms<E>) {
        self.measured(s, p, g, streams, terms);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AdamScalars<E>, p: E, g: E, streams: [E; 3]) -> (E, [E; 3]) {
        self.updated(s, p, g, streams)
    }
}

impl<D: DecayForm> Known for AdamRule<D> {
    const OPTIONS: &'static [&'static str] =
        &["maximize", "parity", "amsgrad", "nesterov", "caution", "clip_update", "bias_correction"];

    fn with_options(said: &Said<'_>) -> Result<Self> {
        let additions = Additions::said(said)?;
        Ok(AdamRule { direction: said.direction()?, parity: said.parity()?, additions, ..AdamRule::new(0.0) })
    }

    fn schedules(&mut self) -> [&mut Schedule; 5] {
        [&mut self.lr, &mut self.weight_decay, &mut self.beta1, &mut self.beta2, &mut self.eps]
    }
}
