//! Prodigy.

use super::declare::{declare, declared};
use super::estimate::{expect_constant, known, limited, ratio};
use super::options::Decay;
use crate::error::Result;
use crate::rule::{Count, Element, Of, Over, Remembered, Rule, Scalar, Start, Step, Stream, Sum, Terms};

declare! {
    /// Prodigy: Adam that finds its rate from the way the parameters went and the gradients they met.
    ///
    /// The update is Adam's with the rate `d · lr`. `lr` is a schedule around 1, and `d` an estimate of the distance to the
    /// solution that starts at `d0` and grows: it follows from sums over all groups with the same options, weighted by each group's
    /// `lr`, whatever their hyperparameters. Groups then share `d` if their betas, `d0`, `d_coef` and `growth_rate` are the same, and what comes after
    /// the rule.
    ///
    /// No start leads to NaN: while all gradients are 0, or while `lr` is 0 as at the start of a warm-up, `d` stays and nothing moves
    /// a parameter but decoupled decay, which is times `d · lr`. At `lr` 0 the moments go on as Adam's do. (prodigyopt leaves such
    /// steps out, optax divides 0 by 0.) A skipped update leaves `d` as it is.
    ///
    /// 52 bytes move per f32 parameter, 16 of them to measure. `p0` is where the parameter started; in 16 bits its rounding would be taken
    /// for a way. Remembered per group, 0 before the first update: `d`, `d_max`, `d_numerator`. Source: Mishchenko and Defazio 2023,
    /// arXiv:2306.06101. Peers: `prodigyopt.Prodigy`, `optax.contrib.prodigy`.
    Prodigy = "prodigy", 9, lr = 1.0 {
        /// Sets the weight decay, not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay rate of the first moment, in [0, 1).
        beta1: BelowOne = 0.9,
        /// Sets the decay rate of the second moment, in [0, 1).
        beta2: BelowOne = 0.999,
        /// Sets the decay rate of the sums that the estimate follows from, in [0, 1). The default, 0, stands for the root of `beta2`.
        beta3: BelowOne = 0.0,
        /// Sets the term added to the root of the second moment, times `d`: above 0.
        eps: Positive = 1e-8,
        /// Sets the estimate to start from, above 0: a constant.
        d0: Positive = 1e-6,
        /// Sets what estimates are multiplied by, above 0.
        d_coef: Positive = 1.0,
        /// Sets by how much the estimate may grow in one update; what is below 1 counts as 1. The default, 0, sets no limit.
        growth_rate: NotNegative = 0.0,
    }
    options {
        /// Whether the weight decay is decoupled, as by default, or an L2 term in the gradient.
        decouple: bool = true,
        /// Whether the rate is multiplied by Adam's bias correction.
        use_bias_correction: bool = false,
        /// Leaves `lr` out of the sum that divides the estimate, so that a warm-up does not make it large.
        safeguard_warmup: bool = false,
    }
}

crate::rule::scalars! {
    /// What elements go by. `weight` is that of a gradient in the numerator of the estimate, `weight_in_s` that in its denominator.
    pub ProdigyScalars {
        step_size, weight_decay, lr_weight_decay, beta1, d_one_minus_beta1, beta2, d_sq_one_minus_beta2, beta3, weight, weight_in_s,
        d_eps
    }
}

const D: usize = 0;
const D_MAX: usize = 1;
const D_NUMERATOR: usize = 2;

impl Prodigy {
    #[inline(always)]
    fn decay(&self) -> Decay {
        // Groups with and without decay share an estimate: a term that is left out would part them.
        if self.decouple { Decay::Decoupled } else { Decay::Coupled }
    }

    /// The gradient with decay and the new `s`.
    #[inline(always)]
    fn sum<E: Element>(&self, scalars: &ProdigyScalars<E>, p: E, g: E, s: E) -> (E, E) {
        let g = self.decay().gradient(scalars.weight_decay, p, self.direction.of(g));
        (g, scalars.beta3.fma(s, scalars.weight_in_s * g).named("s_now"))
    }
}

impl Rule for Prodigy {
    declared!(9);
    type Streams<T> = [T; 4];
    type Scalars<T> = ProdigyScalars<T>;

    fn streams(&self) -> [Stream; 4] {
        let p0 = Stream::new("p0").starts(Start::Param).read_only().exact();
        [Stream::new("exp_avg"), Stream::new("exp_avg_sq").denominator(), Stream::new("grad_sum"), p0]
    }

    fn sums(&self) -> Vec<Sum> {
        vec![Sum::new("numerator", Over::All), Sum::new("denominator", Over::All)]
    }

    fn check(&self) -> Result<()> {
        expect_constant("d0", &self.d0)
    }

    fn remember(&self) -> Vec<Remembered> {
        ["d", "d_max", "d_numerator"].map(|name| Remembered::new(name, Of::Group, 0.0)).into()
    }

    fn resolve<W: Scalar>(&self, given: [W; 9], step: &mut Step<'_, W>) -> ProdigyScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2, beta3, eps, d0, d_coef, growth_rate] = given;
        let (one, t) = (W::literal(1.0), step.updates().next());
        let beta3 = W::select(beta3.equal(W::literal(0.0)), beta2.sqrt(), beta3);
        let d = known(step, D, d0).named("d");
        let mut rate = d * lr;
        if self.use_bias_correction {
            rate = rate * (beta2.bias_correction(t).sqrt() / beta1.bias_correction(t));
        }
        let scale = d / d0;
        let weight = (scale * rate).named("weight");
        let weight_in_s = if self.safeguard_warmup { scale * d } else { weight };

        let numerator = beta3.fma(step.remembered(D_NUMERATOR), step.sum(0)).named("d_numerator");
        let d_hat = ratio(d_coef * numerator, step.sum(1)).named("d_hat");
        let d_max = step.remembered(D_MAX).max(d).max(d_hat).named("d_max");
        // An estimate that has never grown may grow at once.
        let grown = W::select(d.equal(d0), d.max(d_hat), d);
        let d_now = limited(d_max, grown, growth_rate).named("d_now");
        step.remember(D, d_now);
        step.remember(D_MAX, d_max);
        step.remember(D_NUMERATOR, numerator);
        ProdigyScalars {
            step_size: rate.round(),
            weight_decay: weight_decay.round(),
            lr_weight_decay: (rate * weight_decay).round(),
            beta1: beta1.round(),
            d_one_minus_beta1: (d * (one - beta1)).round(),
            beta2: beta2.round(),
            d_sq_one_minus_beta2: (d * d * (one - beta2)).round(),
            beta3: beta3.round(),
            weight: weight.round(),
            weight_in_s: weight_in_s.round(),
            d_eps: (d_now * eps).round(),
        }
    }

    #[inline(always)]
    fn measure<E: Element>(&self, s: &ProdigyScalars<E>, p: E, g: E, [_, _, sum, p0]: [E; 4], terms: &mut Terms<E>) {
        let (g, sum) = self.sum(s, p, g, sum);
        terms.add_product(0, s.weight * g, p0 - p);
        terms.add(1, sum.abs());
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ProdigyScalars<E>, p: E, g: E, [m, v, sum, p0]: [E; 4]) -> (E, [E; 4]) {
        let (g, sum) = self.sum(s, p, g, sum);
        let m = s.beta1.fma(m, s.d_one_minus_beta1 * g).named("m");
        let v = s.beta2.fma(v, s.d_sq_one_minus_beta2 * (g * g)).named("v");
        let u = m / (v.sqrt() + s.d_eps);
        (self.decay().step(s.lr_weight_decay, s.step_size, u, p), [m, v, sum, p0])
    }
}
