//! Rprop.

use super::declare::{declare, declared};
use super::options::sign;
use crate::rule::{Count, Element, Rule, Scalar, Step, Stream};

declare! {
    /// Rprop: a step size for each parameter, which grows while the sign of the gradient stays and shrinks where it changes. For
    /// gradients of the whole data, not of batches.
    ///
    /// The learning rate is the first step size and has no effect after a tensor's first update. An update whose gradient has
    /// changed its sign leaves the parameter where it is. 28 bytes move per f32 parameter; neither state is ever quantized.
    /// Source: Riedmiller and Braun 1993, ICNN, pages 586-591; in the form of Igel and Hüsken 2000, iRprop-. Peer:
    /// `torch.optim.Rprop`.
    Rprop = "rprop", 5 {
        /// Sets the factor of a step size whose gradient has changed its sign, in [0, 1).
        eta_minus: BelowOne = 0.5,
        /// Sets the factor of a step size whose gradient has kept its sign, above 0; 1 or more to be of use.
        eta_plus: Positive = 1.2,
        /// Sets the smallest step size, not negative.
        min_step: NotNegative = 1e-6,
        /// Sets the largest step size, above 0.
        max_step: Positive = 50.0,
    }
}

crate::rule::scalars! {
    /// What elements go by. `keep` and `start` are 0 and the learning rate at a tensor's first update, then 1 and 0.
    pub RpropScalars { keep, start, eta_minus, eta_plus, min_step, max_step }
}

impl Rule for Rprop {
    declared!(5);
    type Streams<T> = [T; 2];
    type Scalars<T> = RpropScalars<T>;

    fn streams(&self) -> [Stream; 2] {
        [Stream::new("prev").exact(), Stream::new("step_size").exact().not_negative()]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> RpropScalars<W::Element> {
        let [lr, eta_minus, eta_plus, min_step, max_step] = given;
        let (first, zero, one) = (step.updates().is(0), W::literal(0.0), W::literal(1.0));
        RpropScalars {
            keep: W::select(first, zero, one).round(),
            start: W::select(first, lr, zero).round(),
            eta_minus: eta_minus.round(),
            eta_plus: eta_plus.round(),
            min_step: min_step.round(),
            max_step: max_step.round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &RpropScalars<E>, p: E, g: E, [prev, size]: [E; 2]) -> (E, [E; 2]) {
        let (zero, one) = (E::literal(0.0), E::literal(1.0));
        let g = self.direction.of(g);
        let agreement = (g * prev).named("agreement");
        let factor = E::select(zero.less(agreement), s.eta_plus, one);
        let factor = E::select(agreement.less(zero), s.eta_minus, factor);
        let size = (s.keep.fma(size, s.start) * factor).max(s.min_step).min(s.max_step).named("size");
        let g = E::select(agreement.less(zero), zero, g).named("kept");
        ((-size).fma(sign(g), p), [g, size])
    }
}
