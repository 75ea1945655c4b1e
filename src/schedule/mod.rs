//! The language: a [`Schedule`] says how a hyperparameter moves with the number of applied updates.
//!
//! A schedule is plain data. Nothing is checked while one is written down; all rules sit in the lowering to a
//! `Program`, which every consumer goes through. Start at [`Schedule::linear`] and [`Schedule::then`].
//!
//! Conventions. `step` 0 is the first update. Each piece of [`Schedule::then`] has its own clock, which starts at 0 at
//! its boundary. Past its end a schedule holds its last value, unless it repeats. A piece of length 0 takes no time.

mod warmup;

pub use warmup::Warmup;

/// How a hyperparameter (a learning rate, a weight decay, a beta) moves with the step.
///
/// Values are f64, unitless, rounded once to f32 where they enter an update; steps are u64. Any number is a constant
/// schedule: `Schedule::from(1e-3)`.
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

/// The ways to form a schedule. Each is lowered in `program::lower`; the match there is exhaustive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    Constant(f64),
    Ramp { shape: Shape, from: f64, to: f64, over: u64 },
    Exponential { init: f64, factor: f64 },
    StepDecay { init: f64, factor: f64, every: u64 },
    MultiStep { init: f64, factor: f64, milestones: Milestones },
    Over { inner: Box<Schedule>, steps: u64 },
    Then(Vec<Schedule>),
    Warmup { inner: Box<Schedule>, form: Warmup, steps: u64 },
    Product(Vec<Schedule>),
    Clamp { inner: Box<Schedule>, min: f64, max: f64 },
    Repeat { inner: Box<Schedule>, times: Option<u64> },
}

/// How a [`Ramp`] gets from its first value to its last.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    Linear,
    Cosine,
    Polynomial { power: f64 },
    Exponential,
}

/// Where a multi-step schedule drops.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Milestones {
    Steps(Vec<u64>),
    Fractions { of: u64, at: Vec<f64> },
}

/// A curve between two values that still needs its length: call [`Ramp::over`].
#[derive(Debug, Clone, Copy, PartialEq)]
#[must_use = "a ramp becomes a schedule with `.over(steps)`"]
pub struct Ramp {
    shape: Shape,
    from: f64,
    to: f64,
}

impl Ramp {
    /// The schedule that takes `steps` steps: the first value at step 0, exactly the last value at step `steps`.
    pub fn over(self, steps: u64) -> Schedule {
        Schedule(Form::Ramp { shape: self.shape, from: self.from, to: self.to, over: steps })
    }
}

impl Schedule {
    /// Always `value`. It has no end; give it one with [`Schedule::over`] to put something after it.
    pub fn constant(value: f64) -> Schedule {
        Schedule(Form::Constant(value))
    }

    /// `from + (to - from) · t / n`. Peers: torch `LinearLR`, optax `linear_schedule`.
    pub fn linear(from: f64, to: f64) -> Ramp {
        Ramp { shape: Shape::Linear, from, to }
    }

    /// Half a cosine: `to + (from - to) · (1 + cos(π t / n)) / 2`.
    /// Source: Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5. Peers: torch `CosineAnnealingLR` (which rises again
    /// after its end; ours holds), optax `cosine_decay_schedule`.
    pub fn cosine(from: f64, to: f64) -> Ramp {
        Ramp { shape: Shape::Cosine, from, to }
    }

    /// `to + (from - to) · (1 - t / n)^power`, with `power` > 0. Peers: torch `PolynomialLR`, optax `polynomial_schedule`.
    pub fn polynomial(from: f64, to: f64, power: f64) -> Ramp {
        Ramp { shape: Shape::Polynomial { power }, from, to }
    }

    /// Geometric: `from · (to / from)^(t / n)`. Both values are nonzero and of one sign.
    pub fn exponential(from: f64, to: f64) -> Ramp {
        Ramp { shape: Shape::Exponential, from, to }
    }

    /// `init · factor^t`, without an end. A factor above 1 needs an end ([`Schedule::over`]) or a [`Schedule::clamp`].
    /// Peer: torch `ExponentialLR`.
    pub fn exponential_decay(init: f64, factor: f64) -> Schedule {
        Schedule(Form::Exponential { init, factor })
    }

    /// `init · factor^⌊t / every⌋`, without an end. Peer: torch `StepLR`.
    pub fn step_decay(init: f64, factor: f64, every: u64) -> Schedule {
        Schedule(Form::StepDecay { init, factor, every })
    }

    /// `init · factor^k`, where `k` counts the milestones at or before `t`. Milestones are steps, in rising order.
    /// Peer: torch `MultiStepLR`.
    pub fn multi_step(init: f64, factor: f64, milestones: impl Into<Vec<u64>>) -> Schedule {
        Schedule(Form::MultiStep { init, factor, milestones: Milestones::Steps(milestones.into()) })
    }

    /// [`Schedule::multi_step`] with milestones as fractions of `total_steps`, each rounded to the nearest step: the
    /// 30/60/90 % of vision training is `&[0.3, 0.6, 0.9]`.
    pub fn multi_step_fractions(init: f64, factor: f64, total_steps: u64, at: impl Into<Vec<f64>>) -> Schedule {
        let milestones = Milestones::Fractions { of: total_steps, at: at.into() };
        Schedule(Form::MultiStep { init, factor, milestones })
    }

    /// The same schedule with an end after `steps` steps, where it holds the value that it has at step `steps`.
    pub fn over(self, steps: u64) -> Schedule {
        Schedule(Form::Over { inner: Box::new(self), steps })
    }

    /// This schedule to its end, then `next` on a clock of its own. The first must have an end.
    /// Peers: torch `SequentialLR`, optax `join_schedules`.
    pub fn then(self, next: Schedule) -> Schedule {
        let mut pieces = match self.0 {
            Form::Then(pieces) => pieces,
            first => vec![Schedule(first)],
        };
        pieces.push(next);
        Schedule(Form::Then(pieces))
    }

    /// [`Warmup::FromZero`] over `steps` steps to this schedule's first value, then this schedule on its own clock.
    pub fn warmup(self, steps: u64) -> Schedule {
        self.warmup_as(Warmup::FromZero, steps)
    }

    /// Warm-up in one of the conventions in use, each with a name of its own.
    pub fn warmup_as(self, form: Warmup, steps: u64) -> Schedule {
        Schedule(Form::Warmup { inner: Box::new(self), form, steps })
    }

    /// The product of two schedules on the same clock, as long as the longer one. Also written `a * b`.
    pub fn product(self, other: Schedule) -> Schedule {
        let mut factors = match self.0 {
            Form::Product(factors) => factors,
            first => vec![Schedule(first)],
        };
        factors.push(other);
        Schedule(Form::Product(factors))
    }

    /// This schedule, no lower than `min` and no higher than `max`.
    pub fn clamp(self, min: f64, max: f64) -> Schedule {
        Schedule(Form::Clamp { inner: Box::new(self), min, max })
    }

    /// This schedule over and over: at its end it starts again. It must have an end, after at least one step.
    pub fn repeat(self) -> Schedule {
        Schedule(Form::Repeat { inner: Box::new(self), times: None })
    }

    /// This schedule `times` times; after that it holds the value at its end.
    pub fn repeat_times(self, times: u64) -> Schedule {
        Schedule(Form::Repeat { inner: Box::new(self), times: Some(times) })
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Schedule {
        Schedule::constant(value)
    }
}

impl std::ops::Mul for Schedule {
    type Output = Schedule;

    fn mul(self, other: Schedule) -> Schedule {
        self.product(other)
    }
}

impl std::ops::Mul<f64> for Schedule {
    type Output = Schedule;

    fn mul(self, factor: f64) -> Schedule {
        self.product(Schedule::constant(factor))
    }
}
