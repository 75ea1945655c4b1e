//! Rules that sum over elements and rules that remember, one small rule for each thing that can be asked for.

use instep::rule::{
    Count, Element, Hyperparameter, Of, Over, Range, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Terms,
};
use instep::{Schedule, scalars};

fn lr(schedule: &Schedule) -> Hyperparameter {
    Hyperparameter::new("lr", schedule, Range::NotNegative)
}

scalars! { pub ClippedScalars { lr, weight_decay, beta1, beta2, correction1, correction2, eps, clip } }

/// AdamW whose update is clipped by its root mean square over the tensor. Source of the clipping: Shazeer and Stern 2018,
/// arXiv:1804.04235, section 6.
#[derive(Debug, Clone)]
pub struct ClippedAdamW {
    pub lr: Schedule,
    pub limit: f64,
}

impl ClippedAdamW {
    #[inline(always)]
    fn moments<E: Element>(s: &ClippedScalars<E>, g: E, [m, v]: [E; 2]) -> [E; 2] {
        let one = E::literal(1.0);
        let m = s.beta1.fma(m, (one - s.beta1) * g).named("m");
        [m, s.beta2.fma(v, (one - s.beta2) * (g * g)).named("v")]
    }

    #[inline(always)]
    fn update<E: Element>(s: &ClippedScalars<E>, [m, v]: [E; 2]) -> E {
        ((m * s.correction1) / ((v * s.correction2).sqrt() + s.eps)).named("u")
    }
}

impl Rule for ClippedAdamW {
    const NAME: &'static str = "clipped_adamw";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 2];
    type Scalars<T> = ClippedScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        [lr(&self.lr), Hyperparameter::new("weight_decay", &0.1.into(), Range::NotNegative)]
    }

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("square", Over::Tensor)]
    }

    fn resolve<W: Scalar>(&self, [lr, weight_decay]: [W; 2], step: &mut Step<'_, W>) -> ClippedScalars<W::Element> {
        let (one, updates) = (W::literal(1.0), step.updates().next());
        let [beta1, beta2] = [0.9, 0.95].map(W::literal);
        let rms = (step.sum(0) / step.len(0)).sqrt();
        ClippedScalars {
            lr: lr.round(),
            weight_decay: (lr * weight_decay).round(),
            beta1: beta1.round(),
            beta2: beta2.round(),
            correction1: (one / beta1.bias_correction(updates)).round(),
            correction2: (one / beta2.bias_correction(updates)).round(),
            eps: W::literal(1e-8).round(),
            clip: (one / one.max(rms / W::literal(self.limit))).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &ClippedScalars<E>, _: E, g: E, moments: [E; 2], terms: &mut Terms<E>) {
        let u = ClippedAdamW::update(s, ClippedAdamW::moments(s, g, moments));
        terms.add_product(0, u, u);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ClippedScalars<E>, p: E, g: E, moments: [E; 2]) -> (E, [E; 2]) {
        let moments = ClippedAdamW::moments(s, g, moments);
        let u = ClippedAdamW::update(s, moments) * s.clip;
        (p - s.weight_decay.fma(p, s.lr * u), moments)
    }
}

scalars! { pub ProductScalars { lr, momentum } }

/// SGD whose rate is corrected by the product of its momenta, each of which is a schedule's: as NAdam's `mu_product`.
#[derive(Debug, Clone)]
pub struct ProductSgd {
    pub lr: Schedule,
    pub momentum: Schedule,
}

impl Rule for ProductSgd {
    const NAME: &'static str = "product_sgd";
    type Hyperparameters<T> = [T; 2];
    type Streams<T> = [T; 1];
    type Scalars<T> = ProductScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 2] {
        [lr(&self.lr), Hyperparameter::new("momentum", &self.momentum, Range::BelowOne)]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("momentum_buffer")]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("product", Of::Cohort, 1.0)]
    }

    fn resolve<W: Scalar>(&self, [lr, momentum]: [W; 2], step: &mut Step<'_, W>) -> ProductScalars<W::Element> {
        let product = step.remembered(0) * momentum;
        step.remember(0, product);
        ProductScalars { lr: (lr / (W::literal(1.0) - product)).round(), momentum: momentum.round() }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ProductScalars<E>, p: E, g: E, [buf]: [E; 1]) -> (E, [E; 1]) {
        let buf = s.momentum.fma(buf, (E::literal(1.0) - s.momentum) * g).named("buf");
        ((-s.lr).fma(buf, p), [buf])
    }
}

scalars! { pub DistanceScalars { rate, estimate } }

/// SGD whose rate follows from how far the parameters came, summed over all groups or over each: a distance estimate that only
/// grows, and a weight that a mean is taken with. After Ivgi et al. 2023, arXiv:2302.12022.
#[derive(Debug, Clone)]
pub struct DistanceSgd {
    pub lr: Schedule,
    pub over: Over,
}

impl Rule for DistanceSgd {
    const NAME: &'static str = "distance_sgd";
    type Hyperparameters<T> = [T; 1];
    type Streams<T> = [T; 1];
    type Scalars<T> = DistanceScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 1] {
        [lr(&self.lr)]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("start").starts(Start::Param).read_only()]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("distance", self.over), Sum::new("gradient", Over::Group), Sum::new("magnitude", Over::Group)]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("farthest", Of::Group, 1e-3), Remembered::new("gradients", Of::Group, 0.0)]
    }

    fn resolve<W: Scalar>(&self, [lr]: [W; 1], step: &mut Step<'_, W>) -> DistanceScalars<W::Element> {
        let before = step.remembered(0);
        let farthest = before.max((step.sum(0) / step.len(0)).sqrt()).named("farthest_now");
        let weight = (step.updates().next().scalar()).sqrt();
        let gradients = step.remembered(1) + weight * step.sum(1) + W::literal(1e-3) * step.sum(2);
        step.remember(0, farthest);
        step.remember(1, gradients);
        DistanceScalars { rate: (lr * farthest / gradients.sqrt()).round(), estimate: before.round() }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [start]: [E; 1], terms: &mut Terms<E>) {
        let way = (p - start).named("way");
        terms.add_product(0, way, way);
        terms.add_product(1, g, g);
        // What was known before the sums may be measured with.
        terms.add(2, (g * s.estimate).abs());
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &DistanceScalars<E>, p: E, g: E, [start]: [E; 1]) -> (E, [E; 1]) {
        ((-s.rate).fma(g, p), [start])
    }
}

scalars! { pub NormScalars { lr, scale, share } }

/// Each tensor's gradient over a running mean of its norm, which the tensor remembers. After Ginsburg et al. 2019,
/// arXiv:1905.11286.
#[derive(Debug, Clone)]
pub struct NormedSgd {
    pub lr: Schedule,
}

impl Rule for NormedSgd {
    const NAME: &'static str = "normed_sgd";
    type Hyperparameters<T> = [T; 1];
    type Streams<T> = [T; 1];
    type Scalars<T> = NormScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 1] {
        [lr(&self.lr)]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("momentum_buffer").starts(Start::FirstGradient)]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("square", Over::Tensor), Sum::new("total", Over::Tensor)]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("mean", Of::Tensor, 0.0), Remembered::new("count", Of::Cohort, 0.5)]
    }

    fn resolve<W: Scalar>(&self, [lr]: [W; 1], step: &mut Step<'_, W>) -> NormScalars<W::Element> {
        let count = step.remembered(1) + W::literal(1.0);
        step.remember(1, count);
        let square = step.sum(0) + W::literal(1e-3) * step.sum(1).abs();
        let mean =
            W::select(step.updates().is(0), square, W::literal(0.75).fma(step.remembered(0), square / W::literal(4.0)));
        step.remember(0, mean);
        NormScalars {
            lr: lr.round(),
            scale: (W::literal(1.0) / (mean.sqrt() + W::literal(1e-6))).round(),
            share: (W::literal(1.0) / count).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, _: &NormScalars<E>, _: E, g: E, [buf]: [E; 1], terms: &mut Terms<E>) {
        terms.add_product(0, g, g);
        terms.add(1, buf - g);
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &NormScalars<E>, p: E, g: E, [buf]: [E; 1]) -> (E, [E; 1]) {
        let buf = (buf + s.share * (g * s.scale - buf)).named("buf");
        ((-s.lr).fma(buf, p), [buf])
    }
}
