//! SGD.

use super::known::{Known, Said};
use super::options::{Decay, Direction, ONE, Parity, ZERO, is_zero};
use crate::error::{Error, Result};
use crate::rule::{Count, Element, Hyperparameter, Loop, Named, Range, Rule, RuleOption, Scalar, Step, Stream};
use crate::schedule::{Metric, Schedule};

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
    parity: Parity,
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
            parity: Parity::Stated,
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

    /// Follows another order of operations in f32. That of torch's for-loop is the one that the rule states.
    pub fn parity(mut self, parity: Parity) -> Sgd {
        self.parity = parity;
        self
    }

    #[inline(always)]
    fn decay(&self) -> Decay {
        Decay::of(&self.weight_decay, Decay::Coupled)
    }

    /// With these options, for loops over elements.
    const fn of_options(form: Momentum, maximize: bool, decays: bool, parity: Parity) -> Sgd {
        let direction = if maximize { Direction::Maximize } else { Direction::Minimize };
        let weight_decay = if decays { ONE } else { ZERO };
        Sgd { lr: ZERO, weight_decay, momentum: ZERO, dampening: ZERO, form, direction, parity, metric: None }
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
    /// What elements go by. `keep` and `take` are 0 and 1 at a tensor's first update, then momentum and 1 - dampening.
    pub SgdScalars { lr, weight_decay, momentum, keep, take }
}

impl Rule for Sgd {
    const NAME: &'static str = "sgd";
    type Hyperparameters<T> = [T; 4];
    type Streams<T> = [T; 1];
    type Scalars<T> = SgdScalars<T>;

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

    fn metric(&self) -> Option<Metric> {
        self.metric
    }

    fn check(&self) -> Result<()> {
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
        Ok(())
    }

    fn named(&self) -> Option<Named> {
        let (form, without) = match self.form {
            Momentum::None => (None, vec!["momentum", "dampening"]),
            // What `momentum` among the hyperparameters says already.
            Momentum::Heavy => (None, Vec::new()),
            Momentum::Nesterov => (Some(("momentum", RuleOption::from(self.form.name()))), vec!["dampening"]),
        };
        let options = form.into_iter().chain(self.direction.named()).chain(self.parity.named()).collect();
        Some(Named { options, without })
    }

    fn identity(&self) -> Option<String> {
        let (form, decay, direction) = (self.form.name(), self.decay().name(), self.direction.name());
        // As the rule states it is as the for-loop does it.
        let parity = if self.parity == Parity::TorchFused { self.parity.suffix() } else { "" };
        Some(format!("Sgd<Momentum::{form}, Decay::{decay}, Direction::{direction}{parity}>"))
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], step: &mut Step<'_, W>) -> SgdScalars<W::Element> {
        let [lr, weight_decay, momentum, dampening] = given;
        let (first, one) = (step.updates().is(0), W::literal(1.0));
        SgdScalars {
            lr: lr.round(),
            weight_decay: weight_decay.round(),
            momentum: momentum.round(),
            keep: W::select(first, W::literal(0.0), momentum).round(),
            take: W::select(first, one, one - dampening).round(),
        }
    }

    #[inline(always)]
    fn with_constants<L: Loop<Sgd>>(&self, work: L) {
        match (self.direction, self.decay()) {
            (Direction::Minimize, Decay::None) => self.with_form::<L, false, false>(work),
            (Direction::Minimize, _) => self.with_form::<L, false, true>(work),
            (Direction::Maximize, Decay::None) => self.with_form::<L, true, false>(work),
            (Direction::Maximize, _) => self.with_form::<L, true, true>(work),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &SgdScalars<E>, p: E, g: E, [buf]: [E; 1]) -> (E, [E; 1]) {
        let mut g = if self.direction == Direction::Maximize { -g } else { g };
        if self.decay() == Decay::Coupled {
            g = s.weight_decay.fma(p, g).named("decayed_g");
        }
        if self.form == Momentum::None {
            return ((-s.lr).fma(g, p), [buf]);
        }
        let buf = match self.parity {
            Parity::Stated | Parity::TorchForLoop => s.take.fma(g, s.keep * buf),
            Parity::TorchFused => s.keep.fma(buf, s.take * g),
        };
        let buf = buf.named("buf");
        let g = if self.form == Momentum::Nesterov { s.momentum.fma(buf, g) } else { buf };
        ((-s.lr).fma(g, p), [buf])
    }
}

impl Known for Sgd {
    const OPTIONS: &'static [&'static str] = &["momentum", "maximize", "parity"];

    /// Without the option `momentum`, it is heavy where the hyperparameter is given.
    fn with_options(said: &Said<'_>) -> Result<Sgd> {
        let forms = [Momentum::None, Momentum::Heavy, Momentum::Nesterov].map(|form| (form.name(), form));
        let (chosen, given) = (said.word("momentum", &forms)?, said.given("momentum").is_some());
        let form = chosen.unwrap_or(if given { Momentum::Heavy } else { Momentum::None });
        let is_set = |name: &str| said.given(name).is_some_and(|schedule| !is_zero(schedule));
        match (chosen, form) {
            (Some(form), Momentum::Heavy | Momentum::Nesterov) if !given => {
                return Err(said.refused("momentum", form.name(), "the hyperparameter momentum is not set"));
            }
            (None, Momentum::None) if is_set("dampening") => {
                return Err(Error::argument("dampening", "set", "momentum is not, and nothing else is dampened"));
            }
            (Some(form), Momentum::None | Momentum::Nesterov) => {
                let of_momentum = ["momentum", "dampening"];
                let without = &of_momentum[usize::from(form == Momentum::Nesterov)..];
                if let Some(name) = without.iter().find(|name| is_set(name)) {
                    let rule = format!("{name} is set beside it, which that form does not have");
                    return Err(said.refused("momentum", form.name(), rule));
                }
            }
            _ => {}
        }
        Ok(Sgd { form, direction: said.direction()?, parity: said.parity()?, ..Sgd::new(0.0) })
    }

    fn schedules(&mut self) -> [&mut Schedule; 4] {
        [&mut self.lr, &mut self.weight_decay, &mut self.momentum, &mut self.dampening]
    }
}
