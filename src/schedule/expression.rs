//! Expressions over the step, for what no name covers: `let t = step(); (t / 100.0).min(1.0) * 3e-4`.
//!
//! A schedule is a value, so all schedules can be added, multiplied and compared, on the same clock. A combination is as
//! long as the longer of its parts.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::form::{Binary, Form, Unary};
use super::{IntoSchedule, Schedule};

/// The step itself, as a value: 0, 1, 2, … on the clock of where it stands.
///
/// ```
/// use instep::step;
/// let lr = (step() / 100.0).min(1.0) * 3e-4;
/// assert_eq!(lr.at(50)?, 1.5e-4);
/// # Ok::<(), instep::Error>(())
/// ```
pub fn step() -> Schedule {
    Schedule(Form::Step)
}

/// Operations on values. Those that are not defined everywhere are refused where a step could reach such a place.
impl Schedule {
    fn unary(self, op: Unary) -> Schedule {
        Schedule(Form::Unary { op, of: Box::new(self) })
    }

    fn binary(self, op: Binary, right: impl IntoSchedule) -> Schedule {
        Schedule(Form::Binary { op, left: Box::new(self), right: Box::new(right.into()) })
    }

    /// The smaller of two values.
    pub fn min(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Min, other)
    }

    /// The larger of two values.
    pub fn max(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Max, other)
    }

    /// The product of two schedules. Also written `a * b`.
    pub fn product(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Mul, other)
    }

    /// `self^exponent`, for a base that is not negative.
    pub fn pow(self, exponent: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Pow, exponent)
    }

    /// `self^exponent` by repeated multiplication, for any base (not 0, if the exponent is negative).
    pub fn pow_int(self, exponent: i32) -> Schedule {
        Schedule(Form::PowInt { base: Box::new(self), exponent })
    }

    /// `⌊self / divisor⌋`, exact where the quotient is below 2^53.
    pub fn floor_div(self, divisor: impl IntoSchedule) -> Schedule {
        self.binary(Binary::FloorDiv, divisor)
    }

    /// `self - divisor · ⌊self / divisor⌋`, which has the sign of the divisor.
    pub fn modulo(self, divisor: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Mod, divisor)
    }

    /// 1 where `self < other`, else 0.
    pub fn less(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Less, other)
    }

    /// 1 where `self <= other`, else 0.
    pub fn less_equal(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::LessEqual, other)
    }

    /// 1 where `self == other`, else 0.
    pub fn equal(self, other: impl IntoSchedule) -> Schedule {
        self.binary(Binary::Equal, other)
    }

    /// `then` where this is not 0, else `otherwise`. Only the one that is chosen is computed.
    pub fn select(self, then: impl IntoSchedule, otherwise: impl IntoSchedule) -> Schedule {
        let (condition, then, otherwise) = (Box::new(self), Box::new(then.into()), Box::new(otherwise.into()));
        Schedule(Form::Select { condition, then, otherwise })
    }

    /// The absolute value.
    pub fn abs(self) -> Schedule {
        self.unary(Unary::Abs)
    }

    /// The largest integer that is not above the value.
    pub fn floor(self) -> Schedule {
        self.unary(Unary::Floor)
    }

    /// The square root of a value that is not negative.
    pub fn sqrt(self) -> Schedule {
        self.unary(Unary::Sqrt)
    }

    /// e to the value.
    pub fn exp(self) -> Schedule {
        self.unary(Unary::Exp)
    }

    /// The natural logarithm of a value above 0.
    pub fn ln(self) -> Schedule {
        self.unary(Unary::Ln)
    }

    /// The sine of an angle in radians; accurate for angles up to 2^40.
    pub fn sin(self) -> Schedule {
        self.unary(Unary::Sin)
    }

    /// The cosine of an angle in radians; accurate for angles up to 2^40.
    pub fn cos(self) -> Schedule {
        self.unary(Unary::Cos)
    }

    /// The hyperbolic tangent.
    pub fn tanh(self) -> Schedule {
        self.unary(Unary::Tanh)
    }
}

impl Neg for Schedule {
    type Output = Schedule;

    fn neg(self) -> Schedule {
        self.unary(Unary::Neg)
    }
}

/// Implements an operator with a number on the left: one type of each kind of literal. With a second one `(1.0 - step()).max(0.0)` would
/// not compile, since the type of `1.0` must be known before a method is called.
macro_rules! left {
    ($trait:ident $method:ident: $($number:ty),*) => {$(
        impl $trait<Schedule> for $number {
            type Output = Schedule;

            fn $method(self, right: Schedule) -> Schedule {
                Schedule::constant(self).binary(Binary::$trait, right)
            }
        }
    )*};
}

/// Implements an operator between schedules, and with a number on either side: any on the right, f64 and i32 on the left.
macro_rules! operator {
    ($($trait:ident $method:ident),*) => {$(
        impl<S: IntoSchedule> $trait<S> for Schedule {
            type Output = Schedule;

            fn $method(self, right: S) -> Schedule {
                self.binary(Binary::$trait, right)
            }
        }

        left!($trait $method: f64, i32);
    )*};
}

operator!(Add add, Sub sub, Mul mul, Div div);
