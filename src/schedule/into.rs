//! What stands where a schedule is wanted: schedules, numbers, knobs.

use super::{Number, Schedule};

/// What becomes a [`Schedule`]: itself, any number, a [`knob`](crate::knob). Whatever is `Into<Schedule>` has it.
///
/// ```
/// use instep::{AdamW, Schedule, step};
/// let rule = AdamW::new(1e-3f32).betas(0.9, Schedule::linear(0.95, 0.99).over(100)).weight_decay(0);
/// let lr = 2 * Schedule::constant(0.25) * 3u64;
/// assert_eq!(lr.at(7)?, 1.5);
/// # let _ = rule;
/// # Ok::<(), instep::Error>(())
/// ```
///
/// A ramp is none: it needs its length first.
///
/// ```compile_fail,E0277
/// use instep::{AdamW, Schedule};
/// let rule = AdamW::new(Schedule::cosine(1e-3, 0.0)); // `.over(1_000)` is missing
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a schedule",
    label = "a schedule is wanted here",
    note = "a ramp, such as `Schedule::linear(1e-3, 0.0)`, becomes one with its length in steps: `.over(1_000)`"
)]
pub trait IntoSchedule: Into<Schedule> {}

#[diagnostic::do_not_recommend]
impl<T: Into<Schedule>> IntoSchedule for T {}

impl From<Number> for Schedule {
    fn from(value: Number) -> Schedule {
        Schedule::constant(value)
    }
}

/// Numbers as constants. An f32 is taken for exactly what it is, so `0.1f32` is not `0.1`; integers above 2^53 are rounded to f64.
macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl From<$number> for Number {
            fn from(value: $number) -> Number {
                Number::Literal(value as f64)
            }
        }

        impl From<$number> for Schedule {
            fn from(value: $number) -> Schedule {
                Schedule::constant(value)
            }
        }
    )*};
}

numbers!(f64, f32, i32, u32, i64, u64, usize);
