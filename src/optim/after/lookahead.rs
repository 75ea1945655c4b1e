//! Lookahead.

use super::{declare_after, declared_after};
use crate::rule::{Element, Of, Remembered, Rule, Scalar, Start, Step, Stream};

declare_after! {
    /// Lookahead: after every `every` updates, slow parameters go a part `alpha` of the way to the fast ones, which go on from there:
    /// [`GroupRule::then`](crate::GroupRule::then).
    ///
    /// `every` (`lookahead_every` in files) is above 0, `alpha` (`lookahead_alpha`) in [0, 1]. The slow ones are a stream, `slow`, that starts
    /// from the parameters as they are before the first update, as in the paper (timm's are made at the first synchronization, which then
    /// changes nothing). Updates are counted from the first of the optimizer; a skipped one does not
    /// count. 8 bytes more move per f32 parameter. Source: Zhang et al. 2019, arXiv:1907.08610, algorithm 1. Peers:
    /// `timm.optim.Lookahead`, `pytorch_optimizer.Lookahead`.
    Lookahead = "lookahead", 2 {
        every("lookahead_every"): Positive = 6.0,
        alpha("lookahead_alpha"): UpToOne = 0.5,
    }
}

crate::rule::scalars! {
    /// What elements go by. `to_fast` is `alpha` where the slow ones follow, else 0.
    pub LookaheadScalars { follows, to_fast }
}

impl Rule for Lookahead {
    declared_after!("lookahead", 2);
    type Streams<T> = [T; 1];
    type Scalars<T> = LookaheadScalars<T>;

    fn streams(&self) -> [Stream; 1] {
        [Stream::new("slow").starts(Start::Param).exact()]
    }

    fn remember(&self) -> Vec<Remembered> {
        vec![Remembered::new("lookahead_updates", Of::Cohort, 0.0)]
    }

    fn resolve<W: Scalar>(&self, [every, alpha]: [W; 2], step: &mut Step<'_, W>) -> LookaheadScalars<W::Element> {
        let (zero, one) = (W::literal(0.0), W::literal(1.0));
        let updates = step.remembered(0) + one;
        let follows = every.less_equal(updates);
        step.remember(0, W::select(follows, zero, updates));
        LookaheadScalars {
            follows: W::select(follows, one, zero).round(),
            to_fast: W::select(follows, alpha, zero).round(),
        }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &LookaheadScalars<E>, p: E, _: E, [slow]: [E; 1]) -> (E, [E; 1]) {
        let slow = s.to_fast.fma(p - slow, slow).named("new_slow");
        (E::select(E::literal(0.0).less(s.follows), slow, p), [slow])
    }
}
