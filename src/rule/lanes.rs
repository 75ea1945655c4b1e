//! The algebra over a few elements side by side: what the CPU backend's loops compute with, one operation for all of them at
//! once. Options of a rule are then looked at once for so many, and the loop is a vector loop whatever the rule does.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::algebra::{Arithmetic, Element};

/// Elements side by side: a register of AVX2.
pub(crate) const WIDTH: usize = 8;

/// Elements side by side.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wide(pub [f32; WIDTH]);

/// Whether something holds, of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WideMask([bool; WIDTH]);

impl Wide {
    /// Those of `from`, which may be fewer.
    #[inline(always)]
    pub fn load(from: &[f32]) -> Wide {
        match from.try_into() {
            Ok(all) => Wide(all),
            Err(_) => Wide(std::array::from_fn(|i| from.get(i).copied().unwrap_or(0.0))),
        }
    }

    /// As many as `to` takes.
    #[inline(always)]
    pub fn store(self, to: &mut [f32]) {
        match <&mut [f32; WIDTH]>::try_from(&mut *to) {
            Ok(all) => *all = self.0,
            Err(_) => to.iter_mut().zip(self.0).for_each(|(to, x)| *to = x),
        }
    }

    #[inline(always)]
    fn map(self, f: impl Fn(f32) -> f32) -> Wide {
        Wide(std::array::from_fn(|i| f(self.0[i])))
    }

    #[inline(always)]
    fn with(self, other: Wide, f: impl Fn(f32, f32) -> f32) -> Wide {
        Wide(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    #[inline(always)]
    fn compare(self, other: Wide, f: impl Fn(f32, f32) -> bool) -> WideMask {
        WideMask(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident),*) => {
        $(impl $trait for Wide {
            type Output = Wide;
            #[inline(always)]
            fn $method(self, other: Wide) -> Wide {
                self.with(other, f32::$method)
            }
        })*
    };
}

operators!(Add add, Sub sub, Mul mul, Div div);

impl Neg for Wide {
    type Output = Wide;
    #[inline(always)]
    fn neg(self) -> Wide {
        self.map(f32::neg)
    }
}

impl std::ops::BitAnd for WideMask {
    type Output = WideMask;
    #[inline(always)]
    fn bitand(self, other: WideMask) -> WideMask {
        WideMask(std::array::from_fn(|i| self.0[i] & other.0[i]))
    }
}

impl std::ops::BitOr for WideMask {
    type Output = WideMask;
    #[inline(always)]
    fn bitor(self, other: WideMask) -> WideMask {
        WideMask(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }
}

impl std::ops::Not for WideMask {
    type Output = WideMask;
    #[inline(always)]
    fn not(self) -> WideMask {
        WideMask(self.0.map(|holds| !holds))
    }
}

impl Arithmetic for Wide {
    type Mask = WideMask;

    #[inline(always)]
    fn fma(self, factor: Wide, addend: Wide) -> Wide {
        Wide(std::array::from_fn(|i| self.0[i].mul_add(factor.0[i], addend.0[i])))
    }
    #[inline(always)]
    fn sqrt(self) -> Wide {
        self.map(f32::sqrt)
    }
    #[inline(always)]
    fn abs(self) -> Wide {
        self.map(f32::abs)
    }
    #[inline(always)]
    fn min(self, other: Wide) -> Wide {
        self.with(other, Arithmetic::min)
    }
    #[inline(always)]
    fn max(self, other: Wide) -> Wide {
        self.with(other, Arithmetic::max)
    }
    #[inline(always)]
    fn exp(self) -> Wide {
        self.map(Arithmetic::exp)
    }
    #[inline(always)]
    fn ln(self) -> Wide {
        self.map(Arithmetic::ln)
    }
    #[inline(always)]
    fn pow(self, exponent: Wide) -> Wide {
        self.with(exponent, Arithmetic::pow)
    }
    #[inline(always)]
    fn less(self, other: Wide) -> WideMask {
        self.compare(other, |x, y| x < y)
    }
    #[inline(always)]
    fn less_equal(self, other: Wide) -> WideMask {
        self.compare(other, |x, y| x <= y)
    }
    #[inline(always)]
    fn equal(self, other: Wide) -> WideMask {
        self.compare(other, |x, y| x == y)
    }
    #[inline(always)]
    fn select(mask: WideMask, yes: Wide, no: Wide) -> Wide {
        Wide(std::array::from_fn(|i| if mask.0[i] { yes.0[i] } else { no.0[i] }))
    }
    #[inline(always)]
    fn named(self, _: &'static str) -> Wide {
        self
    }
}

impl Element for Wide {
    #[inline(always)]
    fn literal(value: f32) -> Wide {
        Wide([value; WIDTH])
    }
}
