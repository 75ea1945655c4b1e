//! Curves between two values, which need a length.

use super::Schedule;
use super::form::{Form, Shape};
use super::number::{Number, Steps};

/// A curve between two values that still needs its length: call [`Ramp::over`].
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a ramp becomes a schedule with `.over(steps)`"]
pub struct Ramp {
    shape: Shape,
    from: Number,
    to: Number,
}

impl Ramp {
    fn new(shape: Shape, from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp { shape, from: from.into(), to: to.into() }
    }

    /// The schedule that takes `steps` steps: the first value at step 0, exactly the last value at step `steps`.
    pub fn over(self, steps: impl Into<Steps>) -> Schedule {
        Schedule(Form::Ramp { shape: self.shape, from: self.from, to: self.to, over: steps.into() })
    }
}

/// Ramps. `n` is the length given to [`Ramp::over`]; each starts at `from` and is exactly `to` from step `n` on.
impl Schedule {
    /// `from + (to - from) · t / n`. Peers: torch `LinearLR`, optax `linear_schedule`.
    pub fn linear(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::Linear, from, to)
    }

    /// Half a cosine: `to + (from - to) · (1 + cos(π t / n)) / 2`.
    /// Source: Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5. Peers: torch `CosineAnnealingLR` (which rises again
    /// after its end; ours holds), optax `cosine_decay_schedule`.
    pub fn cosine(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::Cosine, from, to)
    }

    /// `to + (from - to) · ((1 + cos(π (t / n)^k)) / 2)^exponent`, with `exponent` and `k` above 0.
    /// Sources: optax `cosine_decay_schedule` (exponent); Zhang and Li 2020, arXiv:2004.05909 (k-decay), as in timm.
    pub fn cosine_power(
        from: impl Into<Number>,
        to: impl Into<Number>,
        exponent: impl Into<Number>,
        k: impl Into<Number>,
    ) -> Ramp {
        Ramp::new(Shape::CosinePower { exponent: exponent.into(), k: k.into() }, from, to)
    }

    /// `to + (from - to) · (1 - t / n)^power`, with `power` above 0. Peers: torch `PolynomialLR`, optax
    /// `polynomial_schedule`.
    pub fn polynomial(from: impl Into<Number>, to: impl Into<Number>, power: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::Polynomial { power: power.into() }, from, to)
    }

    /// `to + (from - to) · (1 - (t / n)^k)^power`, with `power` and `k` above 0.
    /// Source: Zhang and Li 2020, arXiv:2004.05909 (k-decay). Peer: timm `PolyLRScheduler`.
    pub fn polynomial_k(
        from: impl Into<Number>,
        to: impl Into<Number>,
        power: impl Into<Number>,
        k: impl Into<Number>,
    ) -> Ramp {
        Ramp::new(Shape::PolynomialK { power: power.into(), k: k.into() }, from, to)
    }

    /// `from + (to - from) · (t / n)^power`, with `power` above 0.
    pub fn power_rise(from: impl Into<Number>, to: impl Into<Number>, power: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::PowerRise { power: power.into() }, from, to)
    }

    /// `to + (from - to) · (1 - √(t / n))`, the cool-down of choice after a constant phase.
    /// Source: Hägele et al. 2024, arXiv:2405.18392. Peers: transformers `1-sqrt`, Megatron `minus_sqrt`.
    pub fn one_minus_sqrt(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Schedule::power_rise(from, to, 0.5)
    }

    /// Geometric: `from · (to / from)^(t / n)`. Both values are nonzero and of one sign.
    pub fn exponential(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::Exponential, from, to)
    }

    /// `to + (from - to) · (1 - tanh(start + (end - start) · t / n)) / 2`. At step 0 it is not quite `from`.
    /// Source: Hsueh et al. 2018, arXiv:1806.01593. Peer: timm `TanhLRScheduler`, whose `lb` and `ub` are -7 and 3.
    pub fn tanh_ramp(
        from: impl Into<Number>,
        to: impl Into<Number>,
        start: impl Into<Number>,
        end: impl Into<Number>,
    ) -> Ramp {
        Ramp::new(Shape::Tanh { start: start.into(), end: end.into() }, from, to)
    }

    /// Reflected exponential: `to + (from - to) · z / (1 - d + d z)` with `z = 1 - t / n` and `d` in [0, 1); the paper's is
    /// `d` = 0.5. Source: Chen et al. 2021, arXiv:2107.04197.
    pub fn rex(from: impl Into<Number>, to: impl Into<Number>, d: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::Rex { d: d.into() }, from, to)
    }

    /// `to + (from - to) · (2 · 2^(-t / n) - 1)`. Peer: Megatron's `exponential` WSD decay.
    pub fn half_life(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::HalfLife, from, to)
    }

    /// `from + (to - from) · ln(t + 1) / ln(n + 1)`. Peer: DeepSpeed's `log` warm-up.
    pub fn log_rise(from: impl Into<Number>, to: impl Into<Number>) -> Ramp {
        Ramp::new(Shape::LogRise, from, to)
    }
}
