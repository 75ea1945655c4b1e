//! One-cycle, which moves the momentum (or Adam's beta1) against the rate.

use crate::schedule::{Schedule, Steps};

/// How many phases a [`OneCycle`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phases {
    /// Up, then down to `end_lr`: fastai's, and torch's default.
    Two,
    /// Up, down as long to `init_lr`, then to `end_lr`: the paper's.
    Three,
}

/// How a [`OneCycle`] gets from one value to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anneal {
    /// Half a cosine.
    Cosine,
    /// A straight line.
    Linear,
}

/// One cycle: the rate rises to its peak and falls far below its start, while the momentum falls and rises.
///
/// Sources: Smith and Topin 2018, arXiv:1708.07120; Smith 2018, arXiv:1803.09820, section 4. Peer: torch `OneCycleLR`, which
/// ends one step earlier and takes the rise as a fraction.
///
/// ```
/// use instep::recipes::OneCycle;
/// use instep::{Momentum, Sgd};
/// let cycle = OneCycle::new(0.1, 300, 1_000);
/// let rule = Sgd::new(cycle.lr()).momentum(Momentum::Heavy, cycle.momentum());
/// # let _ = rule;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct OneCycle {
    peak_lr: f64,
    init_lr: f64,
    end_lr: f64,
    rise_steps: Steps,
    total_steps: Steps,
    low_momentum: f64,
    high_momentum: f64,
    phases: Phases,
    anneal: Anneal,
}

impl OneCycle {
    /// Two phases of cosines: `peak_lr` at `rise_steps`, the end at `total_steps`. By default the rate starts at a 25th of
    /// the peak and ends at a 10,000th of that, and the momentum goes from 0.95 to 0.85 and back.
    pub fn new(peak_lr: f64, rise_steps: impl Into<Steps>, total_steps: impl Into<Steps>) -> OneCycle {
        let init_lr = peak_lr / 25.0;
        OneCycle {
            peak_lr,
            init_lr,
            end_lr: init_lr / 1e4,
            rise_steps: rise_steps.into(),
            total_steps: total_steps.into(),
            low_momentum: 0.85,
            high_momentum: 0.95,
            phases: Phases::Two,
            anneal: Anneal::Cosine,
        }
    }

    /// Sets the first rate.
    pub fn init_lr(mut self, init_lr: f64) -> OneCycle {
        self.init_lr = init_lr;
        self
    }

    /// Sets the last rate.
    pub fn end_lr(mut self, end_lr: f64) -> OneCycle {
        self.end_lr = end_lr;
        self
    }

    /// Sets the momentum at the peak of the rate, and that at both ends.
    pub fn momentum_range(mut self, low: f64, high: f64) -> OneCycle {
        (self.low_momentum, self.high_momentum) = (low, high);
        self
    }

    /// Sets the number of phases.
    pub fn phases(mut self, phases: Phases) -> OneCycle {
        self.phases = phases;
        self
    }

    /// Sets how values change within a phase.
    pub fn anneal(mut self, anneal: Anneal) -> OneCycle {
        self.anneal = anneal;
        self
    }

    /// The learning rate.
    pub fn lr(&self) -> Schedule {
        self.through(self.init_lr, self.peak_lr, self.end_lr)
    }

    /// The momentum of SGD, or Adam's beta1.
    pub fn momentum(&self) -> Schedule {
        self.through(self.high_momentum, self.low_momentum, self.high_momentum)
    }

    fn through(&self, start: f64, peak: f64, end: f64) -> Schedule {
        let rise_steps = || self.rise_steps.clone();
        let rise = self.ramp(start, peak, rise_steps());
        let rest = self.total_steps.clone() - rise_steps();
        match self.phases {
            Phases::Two => rise.then(self.ramp(peak, end, rest)),
            Phases::Three => {
                rise.then(self.ramp(peak, start, rise_steps())).then(self.ramp(start, end, rest - rise_steps()))
            }
        }
    }

    fn ramp(&self, from: f64, to: f64, over: Steps) -> Schedule {
        match self.anneal {
            Anneal::Cosine => Schedule::cosine(from, to).over(over),
            Anneal::Linear => Schedule::linear(from, to).over(over),
        }
    }
}
