//! DoG, LDoG and DoWG: rates from the distance that the parameters came and the gradients they met.

use super::declare::{choice, declare, declared};
use super::estimate::{expect_constant, known, ratio};
use super::options::Decay;
use crate::error::Result;
use crate::rule::{Element, Of, Over, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Terms};
use crate::schedule::Schedule;

/// What the number [`DoG::init_step`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum InitStep {
    /// The distance to start from, over 1 and the norm of the parameters at the start.
    #[default]
    Heuristic,
    /// The distance to start from.
    Distance,
    /// What `lr` is multiplied by until a parameter moves.
    LearningRate,
}

choice!(InitStep { "heuristic" => Heuristic, "distance" => Distance, "learning_rate" => LearningRate });

declare! {
    /// DoG: SGD whose rate is the distance from the start over the root of the sum of squared gradients. LDoG with
    /// `over(Over::Tensor)`.
    ///
    /// `x ← x - lr · rbar / sqrt(G + eps) · g`, where `rbar` is the largest distance so far and `G` sums the squares of gradients,
    /// weight decay included. `lr` is a schedule around 1.
    ///
    /// No start leads to NaN or holds the run up: where the first gradients are 0, or `lr` is 0 as at the start of a warm-up, nothing
    /// moves and `rbar` stays; a start with [`InitStep::LearningRate`] takes that rate until something has moved. (There the
    /// peers take it once and then stand still for ever.) A skipped update leaves `rbar` as it is.
    ///
    /// 24 bytes move per f32 parameter, 12 of them to measure. `p0` is where the parameter started; in 16 bits its rounding would be taken
    /// for a way. Remembered, 0 before the first update: `rbar`, `sum_sq_norm_grads`. Source: Ivgi et al. 2023, arXiv:2302.12022; its
    /// authors want the parameters averaged. Peers: `dog.DoG`, `dog.LDoG`, `optax.contrib.dog`.
    DoG = "dog", 4, lr = 1.0 {
        /// Sets the L2 term that is added to the gradient, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the first step, above 0, as [`DoG::init`] has it: a constant.
        init_step: Positive = 1e-6,
        /// Sets the term added to the sum of squares, not negative.
        eps: NotNegative = 1e-8,
    }
    options {
        /// Sets what has a distance: each group (the default, as in `dog.DoG`), each tensor (LDoG), or all groups with the same
        /// options together (as in optax).
        over: Over = Over::Group,
        /// Sets what [`DoG::init_step`] is.
        init: InitStep = InitStep::Heuristic,
    }
}

declare! {
    /// DoWG: SGD whose rate is the squared distance from the start over the root of a sum of squared gradients, each weighted by the
    /// squared distance of its step.
    ///
    /// `x ← x - lr · r2 / (sqrt(W) + eps) · g`. `lr` is a schedule around 1. While the gradients or `lr` are 0, nothing moves and the
    /// estimate stays; a skipped update leaves it as it is.
    ///
    /// 24 bytes move per f32 parameter, 12 of them to measure. `p0` as in [`DoG`]. Remembered, 0 before the first update:
    /// `estim_sq_dist`, `weighted_sq_norm_grads`. Source: Khaled et al. 2023, arXiv:2305.16284. Peer: `optax.contrib.dowg`.
    DoWG = "dowg", 4, lr = 1.0 {
        /// Sets the L2 term that is added to the gradient, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the squared distance to start from, above 0: a constant.
        init_estim_sq_dist: Positive = 1e-4,
        /// Sets the term added to the root, not negative.
        eps: NotNegative = 1e-4,
    }
    options {
        /// Sets what has a distance: all groups with the same options together (the default), each group, or each tensor.
        over: Over = Over::All,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub DistanceScalars { weight_decay, rate }
}

/// Whose what is remembered is.
fn of(over: Over) -> Of {
    if over == Over::Tensor { Of::Tensor } else { Of::Group }
}

/// Decay is left out where it is 0, but not where groups with and without it share a distance.
#[inline(always)]
fn decay(weight_decay: &Schedule, over: Over) -> Decay {
    if over == Over::All { Decay::Coupled } else { Decay::of(weight_decay, Decay::Coupled) }
}

fn start() -> [Stream; 1] {
    [Stream::new("p0").starts(Start::Param).read_only().exact()]
}

impl DoG {
    #[inline(always)]
    fn gradient<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E) -> E {
        decay(&self.weight_decay, self.over).gradient(s.weight_decay, p, self.direction.of(g))
    }
}

impl Rule for DoG {
    declared!(4);
    type Streams<T> = [T; 1];
    type Scalars<T> = DistanceScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        start()
    }

    fn sums(&self) -> Vec<Sum> {
        let mut sums = vec![Sum::new("distance_sq", self.over), Sum::new("gradient_sq", self.over)];
        if self.init == InitStep::Heuristic {
            sums.push(Sum::new("param_sq", self.over));
        }
        sums
    }

    fn check(&self) -> Result<()> {
        expect_constant("init_step", &self.init_step)
    }

    fn remember(&self) -> Vec<Remembered> {
        ["rbar", "sum_sq_norm_grads"].map(|name| Remembered::new(name, of(self.over), 0.0)).into()
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], step: &mut Step<'_, W>) -> DistanceScalars<W::Element> {
        let [lr, weight_decay, init_step, eps] = given;
        let before = match self.init {
            InitStep::Heuristic => known(step, 0, init_step * (W::literal(1.0) + step.sum(2).sqrt())),
            InitStep::Distance => known(step, 0, init_step),
            InitStep::LearningRate => step.remembered(0),
        };
        let rbar = before.max(step.sum(0).sqrt()).named("rbar");
        let sum = (step.remembered(1) + step.sum(1)).named("sum_sq_norm_grads");
        step.remember(0, rbar);
        step.remember(1, sum);
        let mut rate = ratio(rbar, (sum + eps).sqrt());
        if self.init == InitStep::LearningRate {
            rate = W::select(rbar.equal(W::literal(0.0)), init_step, rate);
        }
        DistanceScalars { weight_decay: weight_decay.round(), rate: (lr * rate).round() }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [p0]: [E; 1], terms: &mut Terms<E>) {
        let (g, way) = (self.gradient(s, p, g), (p - p0).named("way"));
        terms.add_product(0, way, way);
        terms.add_product(1, g, g);
        if self.init == InitStep::Heuristic {
            terms.add_product(2, p, p);
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [p0]: [E; 1]) -> (E, [E; 1]) {
        ((-s.rate).fma(self.gradient(s, p, g), p), [p0])
    }
}

impl DoWG {
    #[inline(always)]
    fn gradient<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E) -> E {
        decay(&self.weight_decay, self.over).gradient(s.weight_decay, p, self.direction.of(g))
    }
}

impl Rule for DoWG {
    declared!(4);
    type Streams<T> = [T; 1];
    type Scalars<T> = DistanceScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        start()
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("distance_sq", self.over), Sum::new("gradient_sq", self.over)]
    }

    fn check(&self) -> Result<()> {
        expect_constant("init_estim_sq_dist", &self.init_estim_sq_dist)
    }

    fn remember(&self) -> Vec<Remembered> {
        ["estim_sq_dist", "weighted_sq_norm_grads"].map(|name| Remembered::new(name, of(self.over), 0.0)).into()
    }

    fn resolve<W: Scalar>(&self, given: [W; 4], step: &mut Step<'_, W>) -> DistanceScalars<W::Element> {
        let [lr, weight_decay, init_estim_sq_dist, eps] = given;
        let r2 = known(step, 0, init_estim_sq_dist).max(step.sum(0)).named("estim_sq_dist");
        let sum = r2.fma(step.sum(1), step.remembered(1)).named("weighted_sq_norm_grads");
        step.remember(0, r2);
        step.remember(1, sum);
        let rate = lr * ratio(r2, sum.sqrt() + eps);
        DistanceScalars { weight_decay: weight_decay.round(), rate: rate.round() }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [p0]: [E; 1], terms: &mut Terms<E>) {
        let (g, way) = (self.gradient(s, p, g), (p - p0).named("way"));
        terms.add_product(0, way, way);
        terms.add_product(1, g, g);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [p0]: [E; 1]) -> (E, [E; 1]) {
        ((-s.rate).fma(self.gradient(s, p, g), p), [p0])
    }
}
