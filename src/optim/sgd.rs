//! SGD.

use super::caution::Caution;
use super::declare::Choice;
use super::known::{Known, Said};
use super::options::{Decay, Direction, ONE, Parity, ZERO, is_zero};
use crate::error::{Error, Result, quoted};
use crate::rule::{
    Count, Element, Hyperparameter, Loop, Named, Range, Rule, RuleOption, Scalar, Step, Stream, Sum, Terms,
};
use crate::schedule::{IntoSchedule, Metric, Schedule};

/// How momentum enters the update.
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
    fn name(self) -> &'static str {
        match self {
            Momentum::None => "none",
            Momentum::Heavy => "heavy",
            Momentum::Nesterov => "nesterov",
        }
    }
}

/// Stochastic gradient descent, plain by default.
///
/// 12 bytes move per f32 parameter, 20 with momentum. The momentum buffer starts as a copy of the first gradient, as in
/// torch. Every hyperparameter takes a number or a [`Schedule`]. Source: Sutskever et al. 2013, ICML; with decoupled weight decay:
/// Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 1. Peers: `torch.optim.SGD`, `timm.optim.SGDW`, `optax.sgd`.
#[derive(Debug, Clone)]
#[must_use = "give it to `OptimizerBuilder::group`"]
pub struct Sgd {
    lr: Schedule,
    weight_decay: Schedule,
    momentum: Schedule,
    dampening: Schedule,
    form: Momentum,
    direction: Direction,
    parity: Parity,
    decoupled: bool,
    caution: Caution,
    metric: Option<Metric>,
}

impl Sgd {
    /// SGD with learning rate `lr`, not negative.
    pub fn new(lr: impl IntoSchedule) -> Sgd {
        Sgd {
            lr: lr.into(),
            weight_decay: 0.0.into(),
            momentum: 0.0.into(),
            dampening: 0.0.into(),
            form: Momentum::None,
            direction: Direction::Minimize,
            parity: Parity::Stated,
            decoupled: false,
            caution: Caution::Off,
            metric: None,
        }
    }

    /// Sets the weight decay, an L2 term that is added to the gradient unless it is decoupled; not negative.
    pub fn weight_decay(mut self, weight_decay: impl IntoSchedule) -> Sgd {
        self.weight_decay = weight_decay.into();
        self
    }

    /// Uses momentum: `buf ← momentum · buf + (1 - dampening) · g`, with `momentum` in [0, 1).
    pub fn momentum(mut self, form: Momentum, momentum: impl IntoSchedule) -> Sgd {
        self.form = form;
        self.momentum = momentum.into();
        self
    }

    /// Sets the dampening, not negative; [`Momentum::Nesterov`] has none.
    pub fn dampening(mut self, dampening: impl IntoSchedule) -> Sgd {
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

    /// Follows another order of operations in f32. That of torch's for-loop is the one that the rule states.
    pub fn parity(mut self, parity: Parity) -> Sgd {
        self.parity = parity;
        self
    }

    /// Decays the parameter itself, by `lr · weight_decay`, and not the gradient.
    pub fn decoupled_weight_decay(mut self, decoupled: bool) -> Sgd {
        self.decoupled = decoupled;
        self
    }

    /// Leaves out what goes against the gradient; it takes a momentum.
    pub fn caution(mut self, caution: Caution) -> Sgd {
        self.caution = caution;
        self
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of_form(&self.weight_decay, self.decoupled)
    }

    /// Whether what the buffer loses is taken off it: 1 - momentum loses less in f32 than a momentum near 1.
    #[inline(always)]
    fn loses(&self) -> bool {
        self.decay() == Decay::Decoupled && self.parity == Parity::Stated
    }

    /// The parameter after the update `u`.
    #[inline(always)]
    fn step<E: Element>(&self, s: &SgdScalars<E>, u: E, p: E) -> E {
        match (self.decay(), self.parity) {
            (Decay::Decoupled, Parity::TorchForLoop) => (-s.lr).fma(u, p * s.weight_decay),
            (decay, _) => decay.step(s.weight_decay, s.lr, u, p),
        }
    }

    /// The momentum buffer after an update, and the update.
    #[inline(always)]
    fn update<E: Element>(&self, s: &SgdScalars<E>, g: E, buf: E) -> (E, E) {
        let buf = match self.parity {
            _ if self.loses() => s.take.fma(g, (-s.keep).fma(buf, buf)),
            Parity::Stated | Parity::TorchForLoop => s.take.fma(g, s.keep * buf),
            Parity::TorchFused => s.keep.fma(buf, s.take * g),
        };
        let buf = buf.named("buf");
        (buf, if self.form == Momentum::Nesterov { s.momentum.fma(buf, g) } else { buf })
    }

    /// With these options, for loops over elements.
    const fn of_options(form: Momentum, maximize: bool, decays: bool, parity: Parity) -> Sgd {
        let direction = if maximize { Direction::Maximize } else { Direction::Minimize };
        let weight_decay = if decays { ONE } else { ZERO };
        let (decoupled, caution) = (false, Caution::Off);
        Sgd {
            lr: ZERO,
            weight_decay,
            momentum: ZERO,
            dampening: ZERO,
            form,
            direction,
            parity,
            decoupled,
            caution,
            metric: None,
        }
    }

    #[inline(always)]
    fn with_form<L: Loop<Sgd>, const MAXIMIZE: bool, const DECAYS: bool>(&self, work: L) {
        use Momentum::{Heavy, Nesterov};
        use Parity::{Stated, TorchFused};
        match (self.form, self.parity) {
            (Momentum::None, _) => work.run(const { &Sgd::of_options(Momentum::None, MAXIMIZE, DECAYS, Stated) }),
            (Heavy, TorchFused) => work.run(const { &Sgd::of_options(Heavy, MAXIMIZE, DECAYS, TorchFused) }),
            (Heavy, _) => work.run(const { &Sgd::of_options(Heavy, MAXIMIZE, DECAYS, Stated) }),
            (Nesterov, TorchFused) => work.run(const { &Sgd::of_options(Nesterov, MAXIMIZE, DECAYS, TorchFused) }),
            (Nesterov, _) => work.run(const { &Sgd::of_options(Nesterov, MAXIMIZE, DECAYS, Stated) }),
        }
    }
}

crate::rule::scalars! {
    /// What elements go by. `keep` and `take` are 0 and 1 at a tensor's first update, then momentum and 1 - dampening; where the
    /// buffer loses, `keep` is what it is less than 1. A decoupled `weight_decay` has the rate in it, and with caution `lr` its scale.
    pub SgdScalars { lr, weight_decay, momentum, keep, take }
}

impl Rule for Sgd {
    const NAME: &'static str = "sgd";
    type Hyperparameters<T> = [T; 4];
    type Streams<T> = [T; 1];
    type Scalars<T> = SgdScalars<T>;
    const FEWEST_STREAMS: usize = 0;

    fn hyperparameters(&self) -> [Hyperparameter; 4] {
        [
            Hyperparameter::new("lr", &self.lr, Range::NotNegative),
            Hyperparameter::new("weight_decay", &self.weight_decay, Range::NotNegative).default(0.0),
            Hyperparameter::new("momentum", &self.momentum, Range::BelowOne).default(0.0),
            Hyperparameter::new("dampening", &self.dampening, Range::NotNegative).default(0.0),
        ]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("momentum_buffer").only_if(self.form != Momentum::None)]
    }

    fn sums(&self) -> Vec<Sum> {
        self.caution.sums()
    }

    fn metric(&self) -> Option<Metric> {
        self.metric
    }

    fn check(&self) -> Result<()> {
        if self.form == Momentum::Nesterov && !is_zero(&self.dampening) {
            return Err(Error::argument("dampening", "set", "must not be set with Nesterov momentum, which has none"));
        }
        if self.form == Momentum::None && !(is_zero(&self.momentum) && is_zero(&self.dampening)) {
            let argument = if is_zero(&self.momentum) { "dampening" } else { "momentum" };
            let rule = "must not be set with the form none, which has no momentum and no dampening";
            return Err(Error::argument(argument, "set", rule));
        }
        if self.decoupled && self.parity == Parity::TorchFused {
            let rule = "must not be set with parity \"torch_fused\": torch has no such kernel";
            return Err(Error::argument("decoupled_weight_decay", true, rule));
        }
        if self.form == Momentum::None && self.caution.is_on() {
            let rule = "must not be set without momentum: nothing goes its own way";
            return Err(Error::argument("caution", self.caution.written(), rule));
        }
        Ok(())
    }

    fn named(&self) -> Option<Named> {
        let (form, without) = match self.form {
            Momentum::None => (None, vec!["momentum", "dampening"]),
            // What `momentum` among the hyperparameters says already.
            Momentum::Heavy => (None, Vec::new()),
            Momentum::Nesterov => (Some(("momentum", RuleOption::from(self.form.name()))), vec!["dampening"]),
        };
        let decoupled = self.decoupled.then_some(("decoupled_weight_decay", RuleOption::from(true)));
        let caution = self.caution.is_on().then(|| ("caution", self.caution.written()));
        let others = [self.direction.named(), self.parity.named(), decoupled, caution];
        let options = form.into_iter().chain(others.into_iter().flatten()).collect();
        Some(Named { options, without })
    }

    fn identity(&self) -> Option<String> {
        let (form, decay, direction) = (self.form.name(), self.decay().name(), self.direction.name());
        // As the rule states it is as the for-loop does it, but for a decoupled decay.
        let apart = self.parity == Parity::TorchFused || self.decay() == Decay::Decoupled;
        let parity = if apart { self.parity.suffix() } else { "" };
        let caution = if self.caution.is_on() { format!(", Caution::{:?}", self.caution) } else { String::new() };
        Some(format!("Sgd<Momentum::{form}, Decay::{decay}, Direction::{direction}{parity}{caution}>"))
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], step: &mut Step<'_, W>) -> SgdScalars<W::Element> {
        let [lr, weight_decay, momentum, dampening] = given;
        let (first, one) = (step.updates().is(0), W::literal(1.0));
        let decay = match (self.decay(), self.parity) {
            (Decay::Decoupled, Parity::TorchForLoop) => one - lr * weight_decay,
            (Decay::Decoupled, _) => lr * weight_decay,
            (Decay::None | Decay::Coupled, _) => weight_decay,
        };
        let keep = |kept: W| if self.loses() { one - kept } else { kept };
        SgdScalars {
            lr: if self.caution.is_on() { lr * self.caution.scale(step) } else { lr }.round(),
            weight_decay: decay.round(),
            momentum: momentum.round(),
            keep: keep(W::select(first, W::literal(0.0), momentum)).round(),
            take: W::select(first, one, one - dampening).round(),
        }
    }

    #[inline(always)]
    fn with_constants<L: Loop<Sgd>>(&self, work: L) {
        if self.decay() == Decay::Decoupled || self.caution.is_on() {
            return work.run(self);
        }
        match (self.direction, self.decay()) {
            (Direction::Minimize, Decay::None) => self.with_form::<L, false, false>(work),
            (Direction::Minimize, _) => self.with_form::<L, false, true>(work),
            (Direction::Maximize, Decay::None) => self.with_form::<L, true, false>(work),
            (Direction::Maximize, _) => self.with_form::<L, true, true>(work),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &SgdScalars<E>, p: E, g: E, [buf]: [E; 1], terms: &mut Terms<E>) {
        if self.caution.is_on() {
            let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
            self.caution.measure(self.update(s, g, buf).1, g, terms);
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &SgdScalars<E>, p: E, g: E, [buf]: [E; 1]) -> (E, [E; 1]) {
        let g = self.decay().gradient(s.weight_decay, p, self.direction.of(g));
        if self.form == Momentum::None {
            return (self.step(s, g, p), [buf]);
        }
        let (buf, u) = self.update(s, g, buf);
        (self.step(s, self.caution.mask(u, g), p), [buf])
    }
}

impl Known for Sgd {
    const OPTIONS: &'static [&'static str] = &["momentum", "maximize", "parity", "decoupled_weight_decay", "caution"];

    /// Without the option `momentum`, it is heavy where the hyperparameter is given.
    fn with_options(said: &Said<'_>) -> Result<Sgd> {
        let forms = [Momentum::None, Momentum::Heavy, Momentum::Nesterov].map(|form| (form.name(), form));
        let (chosen, given) = (said.word("momentum", &forms)?, said.given("momentum").is_some());
        let form = chosen.unwrap_or(if given { Momentum::Heavy } else { Momentum::None });
        let is_set = |name: &str| said.given(name).is_some_and(|schedule| !is_zero(schedule));
        match (chosen, form) {
            (Some(form), Momentum::Heavy | Momentum::Nesterov) if !given => {
                return Err(said.refused(
                    "momentum",
                    quoted(form.name()),
                    "must have the hyperparameter momentum beside it",
                ));
            }
            (None, Momentum::None) if is_set("dampening") => {
                return Err(Error::argument(
                    "dampening",
                    "set",
                    "must not be set without momentum, which is what it dampens",
                ));
            }
            (Some(form), Momentum::None | Momentum::Nesterov) => {
                let of_momentum = ["momentum", "dampening"];
                let without = &of_momentum[usize::from(form == Momentum::Nesterov)..];
                if let Some(name) = without.iter().find(|name| is_set(name)) {
                    let rule = format!("must not be set beside {name}, which that form does not have");
                    return Err(said.refused("momentum", quoted(form.name()), rule));
                }
            }
            _ => {}
        }
        let decoupled = said.flag("decoupled_weight_decay")?;
        let caution = Caution::said(said, "caution")?.unwrap_or_default();
        Ok(Sgd { form, direction: said.direction()?, parity: said.parity()?, decoupled, caution, ..Sgd::new(0.0) })
    }

    fn schedules(&mut self) -> [&mut Schedule; 4] {
        [&mut self.lr, &mut self.weight_decay, &mut self.momentum, &mut self.dampening]
    }
}
