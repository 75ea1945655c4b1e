//! ASGD.

use super::declare::{declare, declared};
use crate::rule::{Count, Element, Of, Remembered, Rule, Scalar, Step, Stream};

declare! {
    /// ASGD: SGD with a decaying step size, beside which the average of the parameters is kept in the state `ax`.
    ///
    /// 20 bytes move per f32 parameter; the average is never quantized. An update takes its step size from the learning rate of the
    /// one before, as in torch: the step sizes are `lr`, then `lr / (1 + lambd · lr · updates)^alpha`. The average is over the
    /// updates from `t0` on; until then it is the parameter. Source: Polyak and Juditsky 1992, doi:10.1137/0330046; in the form of
    /// Xu 2011, arXiv:1107.2490. Peer: `torch.optim.ASGD`.
    Asgd = "asgd", 5 {
        /// Sets the weight decay, an L2 term; not negative.
        weight_decay: NotNegative = 0.0,
        /// Sets the decay of the parameters and of the step size, not negative.
        lambd: NotNegative = 1e-4,
        /// Sets the power of the decay of the step size, not negative.
        alpha: NotNegative = 0.75,
        /// Sets how many updates there are before the average begins, not negative.
        t0: NotNegative = 1e6,
    }
}

crate::rule::scalars! {
    /// What elements go by. `decay` is `lambd` and the weight decay in one.
    pub AsgdScalars { eta, decay, mu, one_minus_mu }
}

impl Rule for Asgd {
    declared!(5);
    type Streams<T> = [T; 1];
    type Scalars<T> = AsgdScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("ax").exact()]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("next_eta", Of::Cohort, -1.0), Remembered::new("next_mu", Of::Cohort, 1.0)]
    }

    fn resolve<W: Scalar>(&self, given: [W; 5], step: &mut Step<'_, W>) -> AsgdScalars<W::Element> {
        let [lr, weight_decay, lambd, alpha, t0] = given;
        let one = W::literal(1.0);
        let updates = step.updates();
        // Below 0 there was no update yet.
        let eta = W::select(step.remembered(0).less(W::literal(0.0)), lr, step.remembered(0));
        let mu = step.remembered(1);
        let count = updates.next().scalar();
        step.remember(0, lr / (one + lambd * lr * count).pow(alpha));
        step.remember(1, one / one.max(count - t0));
        AsgdScalars {
            eta: eta.round(),
            decay: (lambd + weight_decay).round(),
            mu: mu.round(),
            one_minus_mu: (one - mu).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &AsgdScalars<E>, p: E, g: E, [ax]: [E; 1]) -> (E, [E; 1]) {
        let g = s.decay.fma(p, self.direction.of(g)).named("decayed_g");
        let p = (-s.eta).fma(g, p).named("new_p");
        (p, [s.mu.fma(p, s.one_minus_mu * ax)])
    }
}
