//! Lion as a rule of one's own: what it is given, what it keeps, and its arithmetic. Tests of the library use it too.
//! Source: Chen et al. 2023, arXiv:2302.06675, algorithm 2.

use instep::rule::{Element, Hyperparameter, Range, Rule, Scalar, Step, Stream};
use instep::{Schedule, scalars};

/// Any hyperparameter is a number or a schedule. 20 bytes move per f32 parameter, 28 with AdamW.
#[derive(Debug, Clone)]
pub struct Lion {
    pub lr: Schedule,
    pub weight_decay: Schedule,
    pub beta1: Schedule,
    pub beta2: Schedule,
}

scalars! { pub LionScalars { lr, keep, beta1, one_minus_beta1, beta2, one_minus_beta2 } }

impl Rule for Lion {
    const NAME: &'static str = "lion";
    type Hyperparameters<T> = [T; 4];
    type Streams<T> = [T; 1];
    type Scalars<T> = LionScalars<T>;

    fn hyperparameters(&self) -> [Hyperparameter; 4] {
        [
            Hyperparameter::new("lr", &self.lr, Range::NotNegative),
            Hyperparameter::new("weight_decay", &self.weight_decay, Range::NotNegative).default(0.0),
            Hyperparameter::new("beta1", &self.beta1, Range::BelowOne).default(0.9),
            Hyperparameter::new("beta2", &self.beta2, Range::BelowOne).default(0.99),
        ]
    }

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("exp_avg")]
    }

    /// Once a step, in f64; each scalar is rounded once.
    fn resolve<W: Scalar>(&self, given: [W; 4], _: &mut Step<'_, W>) -> LionScalars<W::Element> {
        let [lr, weight_decay, beta1, beta2] = given;
        let one = W::literal(1.0);
        LionScalars {
            lr: lr.round(),
            keep: (one - lr * weight_decay).round(),
            beta1: beta1.round(),
            one_minus_beta1: (one - beta1).round(),
            beta2: beta2.round(),
            one_minus_beta2: (one - beta2).round(),
        }
    }

    /// For every element, in f32. A gradient that is NaN gives a NaN.
    #[inline(always)]
    fn apply<E: Element>(&self, s: &LionScalars<E>, p: E, g: E, [m]: [E; 1]) -> (E, [E; 1]) {
        let c = s.beta1.fma(m, s.one_minus_beta1 * g).named("c");
        let (zero, one) = (E::literal(0.0), E::literal(1.0));
        let sign = E::select(zero.less(c), one, E::select(c.less(zero), -one, c)).named("sign");
        ((-s.lr).fma(sign, p * s.keep), [s.beta2.fma(m, s.one_minus_beta2 * g)])
    }
}
