//! Bounds of the parameters.

use super::{declare_after, declared_after};
use crate::error::{Error, Result, number};
use crate::rule::{Element, Rule, Scalar, Step};
use crate::schedule::{Form, Number};

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

    fn check(&self) -> Result<()> {
        if let (Form::Constant(Number::Literal(min)), Form::Constant(Number::Literal(max))) = (&self.min.0, &self.max.0)
            && min > max
        {
            return Err(Error::argument(
                "clamp_min",
                number(*min),
                format!("must not be above clamp_max, {}", number(*max)),
            ));
        }
        Ok(())
    }

    fn resolve<W: Scalar>(&self, [min, max]: [W; 2], _: &mut Step<'_, W>) -> ClampScalars<W::Element> {
        ClampScalars { least: min.round(), most: max.round() }
    }

    #[inline(always)]
    fn apply<E: Element>(&self, s: &ClampScalars<E>, p: E, _: E, []: [E; 0]) -> (E, [E; 0]) {
        (p.max(s.least).min(s.most), [])
    }
}
