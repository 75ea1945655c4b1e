//! Bounds of the parameters.

use super::{declare_after, declared_after};
use crate::rule::{Element, Rule, Scalar, Step};

declare_after! {
    /// Keeps every parameter in `[min, max]`: [`GroupRule::then`](crate::GroupRule::then). A NaN stays.
    ///
    /// `min` and `max` are `clamp_min` and `clamp_max` in files. No byte more moves. Sources: Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1;
    /// `optax.keep_params_nonnegative`.
    Clamp = "clamp", 2 {
        min("clamp_min"): Any,
        max("clamp_max"): Any,
    }
}

crate::rule::scalars! {
    /// What elements go by.
    pub ClampScalars { least, most }
}

impl Rule for Clamp {
    declared_after!("clamp", 2);
    type Streams<T> = [T; 0];
    type Scalars<T> = ClampScalars<T>;

    fn streams(&self) -> [crate::rule::Stream; 0] {
        []
    }

    fn resolve<W: Scalar>(&self, [min, max]: [W; 2], _: &mut Step<'_, W>) -> ClampScalars<W::Element> {
        ClampScalars { least: min.round(), most: max.round() }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ClampScalars<E>, p: E, _: E, []: [E; 0]) -> (E, [E; 0]) {
        (p.max(s.least).min(s.most), [])
    }
}
