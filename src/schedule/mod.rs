//! The language: a [`Schedule`] says how a hyperparameter moves with the number of applied updates.
//!
//! A schedule is plain data (`form`). Nothing is checked while one is written down; all rules sit in the lowering to a
//! `Program`, which every consumer goes through. `curves` and `ramp` make values, `combine` puts schedules together,
//! `expression` is for what no name covers. Start at [`Schedule::linear`] and [`Schedule::then`].
//!
//! Conventions. `step` 0 is the first update. Each piece of [`Schedule::then`] has its own clock, which starts at 0 at
//! its boundary. Past its end a schedule holds its last value, unless it repeats. A piece of length 0 takes no time.

mod arguments;
mod combine;
mod curves;
mod explain;
mod expression;
mod form;
#[cfg(feature = "serde")]
mod format;
mod greedy;
mod improvement;
mod into;
mod metric;
mod number;
mod plateau;
mod ramp;
pub mod recipes;
mod step_list;
mod warmup;

pub(crate) use explain::short;
pub use expression::step;
pub(crate) use form::{Between, Binary, Form, Milestones, Shape, Unary};
pub use greedy::{Greedy, GreedyState};
pub use improvement::{Better, Improvement};
pub use into::IntoSchedule;
pub use metric::Metric;
pub(crate) use metric::MetricState;
pub use number::{Number, Steps, knob, knob_steps, reached};
pub use plateau::{Plateau, PlateauState};
pub use ramp::Ramp;
pub use step_list::StepList;
pub use warmup::Warmup;

/// The most values of one table, however it came to be.
pub(crate) const MAX_TABLE: usize = 1 << 20;

/// How a hyperparameter (a learning rate, a weight decay, a beta) moves with the step.
///
/// Values are f64, unitless, rounded once to f32 where they enter an update; steps are u64. Any number is a constant
/// schedule, and stands where one is wanted ([`IntoSchedule`]): `Schedule::from(1e-3)`.
///
/// ```
/// use instep::Schedule;
/// let lr = Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800));
/// assert_eq!(lr.at(0)?, 0.0);
/// assert_eq!(lr.at(200)?, 3e-4);
/// assert_eq!(lr.at(1_000_000)?, 3e-5); // past its end a schedule holds its last value
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule(pub(crate) Form);
