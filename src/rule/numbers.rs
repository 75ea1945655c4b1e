//! The algebra over numbers: what the CPU backend computes with.

use super::algebra::{Arithmetic, Count, Element, Scalar};
use crate::program::math;

macro_rules! arithmetic {
    ($number:ty) => {
        impl Arithmetic for $number {
            type Mask = bool;

            #[inline(always)]
            fn fma(self, factor: Self, addend: Self) -> Self {
                self.mul_add(factor, addend)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$number>::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$number>::abs(self)
            }
            #[inline(always)]
            fn min(self, other: Self) -> Self {
                if self <= other || self.is_nan() { self } else { other }
            }
            #[inline(always)]
            fn max(self, other: Self) -> Self {
                if other <= self || self.is_nan() { self } else { other }
            }
            #[inline(always)]
            fn exp(self) -> Self {
                math::exp(f64::from(self)) as $number
            }
            #[inline(always)]
            fn ln(self) -> Self {
                math::ln(f64::from(self)) as $number
            }
            #[inline(always)]
            fn pow(self, exponent: Self) -> Self {
                math::pow(f64::from(self), f64::from(exponent)) as $number
            }
            #[inline(always)]
            fn less(self, other: Self) -> bool {
                self < other
            }
            #[inline(always)]
            fn less_equal(self, other: Self) -> bool {
                self <= other
            }
            #[inline(always)]
            fn equal(self, other: Self) -> bool {
                self == other
            }
            #[inline(always)]
            fn select(mask: bool, yes: Self, no: Self) -> Self {
                if mask { yes } else { no }
            }
            #[inline(always)]
            fn named(self, _: &'static str) -> Self {
                self
            }
        }
    };
}

arithmetic!(f32);
arithmetic!(f64);

impl Element for f32 {
    #[inline(always)]
    fn literal(value: f32) -> f32 {
        value
    }
}

impl Scalar for f64 {
    type Element = f32;
    type Count = u64;

    #[inline(always)]
    fn literal(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn round(self) -> f32 {
        self as f32
    }
    fn bias_correction(self, updates: u64) -> f64 {
        math::bias_correction(self, updates)
    }
    fn missing(_: &'static str, _: usize) -> f64 {
        f64::NAN
    }
}

impl Count for u64 {
    type Scalar = f64;
    type Mask = bool;

    fn next(self) -> u64 {
        self.wrapping_add(1)
    }
    fn is(self, count: u64) -> bool {
        self == count
    }
    fn less(self, count: u64) -> bool {
        self < count
    }
    fn scalar(self) -> f64 {
        self as f64
    }
}
