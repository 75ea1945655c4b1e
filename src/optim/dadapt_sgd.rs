//! SGD with D-Adaptation.

use super::declare::{declare, declared};
use super::estimate::{expect_constant, known, limited, ratio};
use super::options::Decay;
use crate::error::Result;
use crate::rule::{Element, Of, Over, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Terms};

declare! {
    /// SGD with D-Adaptation: the rate is an estimate of the distance to the solution over the norm of the first gradient.
    ///
    /// `x ← x + (1 - momentum) · (p0 - s - x)`, where `s` sums the gradients, each times `d · lr / g0_norm`, and `p0` is where the
    /// parameter started. `lr` is a schedule around 1. `d` follows from sums over all groups with the same options and never falls;
    /// `momentum` and `weight_decay`, an L2 term, are each group's own, where the peer takes the first group's for all. Groups share `d` if
    /// `d0` and `growth_rate` are the same.
    ///
    /// No start leads to NaN or an error: while all gradients are 0, or while `lr` is 0 as at the start of a warm-up, nothing
    /// moves, `d` stays, and `g0_norm` is that of the first gradient that is not. (The peer raises.) At `lr` 0 later on the
    /// parameters still come nearer to `p0 - s`. A skipped update leaves `d` as it is.
    ///
    /// 36 bytes move per f32 parameter, 12 of them to measure. Remembered per group, 0 before the first update: `d`, `g0_norm`,
    /// `numerator_weighted`. Source: Defazio and Mishchenko 2023, arXiv:2301.07733. Peer: `dadaptation.DAdaptSGD`.
    DAdaptSgd = "dadapt_sgd", 5, lr = 1.0 {
        /// Sets the L2 term that is added to the gradient, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the momentum, in [0, 1).
        momentum: BelowOne = 0.0,
        /// Sets the estimate to start from, above 0: a constant.
        d0: Positive = 1e-6,
        /// Sets by how much the estimate may grow in one update; what is below 1 counts as 1. The default, 0, sets no limit.
        growth_rate: NotNegative = 0.0,
    }
}

crate::rule::scalars! {
    /// What elements go by. `moves` is 0 where `lr` is, or else 1; `rate` is what gradients enter `s` with.
    pub DAdaptSgdScalars { lr, moves, weight_decay, one_minus_momentum, rate }
}

const D: usize = 0;
const G0_NORM: usize = 1;
const NUMERATOR_WEIGHTED: usize = 2;

impl DAdaptSgd {
    #[inline(always)]
    fn gradient<E: Element>(&self, s: &DAdaptSgdScalars<E>, p: E, g: E) -> E {
        // Groups with and without decay share an estimate: a term that is left out would part them.
        Decay::Coupled.gradient(s.weight_decay, p, g)
    }
}

impl Rule for DAdaptSgd {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = DAdaptSgdScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("grad_sum").exact(), Stream::new("p0").starts(Start::Param).read_only().exact()]
    }

    fn sums(&self) -> Vec<Sum> {
        ["product", "grad_sum_sq", "gradient_sq", "plain_gradient_sq"].map(|name| Sum::new(name, Over::All)).into()
    }

    fn check(&self) -> Result<()> {
        expect_constant("d0", &self.d0)
    }

    fn remember(&self) -> Vec<Remembered> {
        ["d", "g0_norm", "numerator_weighted"].map(|name| Remembered::new(name, Of::Group, 0.0)).into()
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> DAdaptSgdScalars<W::Element> {
        let [lr, weight_decay, momentum, d0, growth_rate] = given;
        let [zero, one, two] = [0.0, 1.0, 2.0].map(W::literal);
        let d = known(step, D, d0).named("d");
        let g0_norm = known(step, G0_NORM, step.sum(3).sqrt()).named("g0_norm");
        let scale = ratio(d, g0_norm).named("scale");
        // The new s is s + scale · lr · g: its sums follow from those of s and lr · g.
        let product = (scale * step.sum(0)).named("product");
        let numerator = (step.remembered(NUMERATOR_WEIGHTED) + product).named("numerator_weighted");
        let s_sq = (scale * scale).fma(step.sum(2), two.fma(product, step.sum(1)));
        let d_hat = ratio(two * numerator, s_sq.max(zero).sqrt()).named("d_hat");
        let d_now = d.max(limited(d_hat, d, growth_rate)).named("d_now");
        step.remember(D, d_now);
        step.remember(G0_NORM, g0_norm);
        step.remember(NUMERATOR_WEIGHTED, numerator);
        DAdaptSgdScalars {
            lr: lr.round(),
            moves: W::select(zero.less(lr), one, zero).round(),
            weight_decay: weight_decay.round(),
            one_minus_momentum: (one - momentum).round(),
            rate: (scale * lr).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &DAdaptSgdScalars<E>, p: E, g: E, [sum, _]: [E; 2], terms: &mut Terms<E>) {
        let plain = self.direction.of(g);
        let g = (s.lr * self.gradient(s, p, plain)).named("lr_g");
        let plain = s.moves * plain;
        terms.add_product(0, g, sum);
        terms.add_product(1, sum, sum);
        terms.add_product(2, g, g);
        terms.add_product(3, plain, plain);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &DAdaptSgdScalars<E>, p: E, g: E, [sum, p0]: [E; 2]) -> (E, [E; 2]) {
        let g = self.gradient(s, p, self.direction.of(g));
        let sum = s.rate.fma(g, sum).named("s_now");
        (s.one_minus_momentum.fma((p0 - sum) - p, p), [sum, p0])
    }
}
