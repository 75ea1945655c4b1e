//! The algebra that a rule is written over. Elements are f32; scalars of the step are f64 and rounded once where they meet
//! elements; counts are u64. Every operation is one operation of IEEE 754, rounded once, to nearest, ties to even: nothing is
//! contracted, simplified or reordered, neither by the CPU's loop nor by the kernel.

use std::ops::{Add, BitAnd, BitOr, Div, Mul, Neg, Not, Sub};

/// What elements and scalars of the step have in common.
pub trait Arithmetic:
    Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self>
{
    /// What a comparison yields. It is no `bool`, so a rule that branches on a value does not compile.
    type Mask: Copy + BitAnd<Output = Self::Mask> + BitOr<Output = Self::Mask> + Not<Output = Self::Mask>;

    /// `self · factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// The smaller one; a NaN stays, whichever side it is on.
    fn min(self, other: Self) -> Self;
    /// The larger one; a NaN stays, whichever side it is on.
    fn max(self, other: Self) -> Self;
    /// e to the power of `self`: for scalars within 1e-14 and the same bits on every machine; of an element computed as that of
    /// a scalar and rounded once.
    fn exp(self) -> Self;
    /// The natural logarithm, as exact as [`Arithmetic::exp`].
    fn ln(self) -> Self;
    /// `self` to the power of `exponent`, as exact as [`Arithmetic::exp`].
    fn pow(self, exponent: Self) -> Self;
    /// `self < other`; false if one of them is a NaN.
    fn less(self, other: Self) -> Self::Mask;
    /// `self <= other`; false if one of them is a NaN.
    fn less_equal(self, other: Self) -> Self::Mask;
    /// `self == other`; false if one of them is a NaN.
    fn equal(self, other: Self) -> Self::Mask;
    /// `yes` where `mask` holds, or else `no`. Both are computed.
    fn select(mask: Self::Mask, yes: Self, no: Self) -> Self;
    /// Names the value in the text of the kernel, which is then easier to read; nothing else.
    #[must_use]
    fn named(self, name: &'static str) -> Self;
}

/// One element of a tensor, in f32 whatever it is stored as, or a scalar of the step that was rounded to f32.
pub trait Element: Arithmetic {
    /// The number itself.
    fn literal(value: f32) -> Self;
}

/// A scalar of the step, in f64: computed once a step for a cohort, a group or a tensor.
pub trait Scalar: Arithmetic {
    /// What it is rounded to.
    type Element: Element;
    /// What it counts with.
    type Count: Count<Scalar = Self, Mask = Self::Mask>;

    /// The number itself.
    fn literal(value: f64) -> Self;
    /// Rounded to f32, to nearest: the only way from a scalar of the step to elements.
    fn round(self) -> Self::Element;
    /// `1 - self^updates` for at least one update, well conditioned; 1 where `self` is 0.
    fn bias_correction(self, updates: Self::Count) -> Self;
    /// What stands for a value that the rule does not have. A rule that asks for it is refused.
    #[doc(hidden)]
    fn missing(what: &'static str, place: usize) -> Self;
}

/// A number of updates: a u64 that no float ever holds as state.
pub trait Count: Copy {
    /// The scalars beside it.
    type Scalar: Scalar;
    /// What a comparison yields.
    type Mask: Copy;

    /// One more.
    #[must_use]
    fn next(self) -> Self;
    /// Whether it is `count`.
    fn is(self, count: u64) -> Self::Mask;
    /// Whether it is less than `count`.
    fn less(self, count: u64) -> Self::Mask;
    /// The same number as a scalar, rounded above 2^53.
    fn scalar(self) -> Self::Scalar;
}
