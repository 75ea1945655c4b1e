//! Observations and the end of training: `kernels/metric.cuh` and `kernels/end.cuh`.

use super::resolve::Half;
use super::{Engine, memory};
use crate::plan::layout::Control;
use crate::plan::{Dtype, Scalar, metrics, state};
use crate::program::Clocks;

/// Bits of `Control::end`: all rates are below the floor.
pub(super) const BELOW: u64 = 1;
/// Every plateau wanted to lower its scale once more and could not.
const GIVEN_UP: u64 = 2;

impl Engine {
    /// Feeds a metric to the state machines of the half that the current step reads, and evaluates it anew.
    pub fn observe(&mut self, metric: f64) {
        let (t, before) = (self.control.t, self.end_in_force());
        self.observe_all(t, metric);
        self.evaluate(Clocks { t, progress: self.control.progress }, Half::InForce);
        self.stop_if_end(t, before);
    }

    /// Feeds `metric` to all machines, in the half of update `t`.
    fn observe_all(&mut self, t: u64, metric: f64) {
        let count = self.plan.metrics.len();
        let half = (t & 1) as usize;
        let states = &mut self.metric_states[half * count..][..count];
        let windows = self.windows.len() / 2;
        let mut windows = &mut self.windows[half * windows..][..windows];
        for (rule, state) in self.plan.metrics.iter().zip(states) {
            let (window, rest) = windows.split_at_mut(rule.window_len());
            *state = metrics::observe(rule, *state, window, metric);
            windows = rest;
        }
    }

    /// The step's own observation, in the half of update `t` that comes next.
    pub(super) fn observe_in_step(&mut self, t: u64) {
        let Some((Scalar(address), dtype)) = self.handed_in.metric else { return };
        if t.is_multiple_of(self.plan.settings.observe_every) {
            self.observe_all(t, memory::read_element(address, dtype));
        }
    }

    /// [`Engine::observe`] with the element at `address`, which the caller of `Optimizer::observe` vouches for.
    pub fn observe_at(&mut self, address: u64, dtype: Dtype) {
        self.observe(memory::read_element(address, dtype));
    }

    /// What depends on metrics goes on to the next step as it is: only an observation changes it.
    pub(super) fn carry_metrics(&mut self, t: u64) {
        let half = (t & 1) as usize;
        let (states, windows) = (self.metric_states.len() / 2, self.windows.len() / 2);
        self.metric_states.copy_within(half * states..(half + 1) * states, (1 - half) * states);
        self.windows.copy_within(half * windows..(half + 1) * windows, (1 - half) * windows);
    }

    /// Notes what holds for half `t & 1`, and returns it.
    pub(super) fn look_for_end(&mut self, t: u64) -> u64 {
        let (plan, half) = (&self.plan, (t & 1) as usize);
        let settings = &plan.settings;
        let mut end = 0;
        // The first of a record is the rate.
        let mut rates = state::half(&self.records, t).iter().step_by(plan.widths().record).take(plan.cohorts.len());
        if settings.stop_below > 0.0 && rates.all(|rate| *rate < settings.stop_below) {
            end |= BELOW;
        }
        let states = &self.metric_states[half * plan.metrics.len()..];
        let rules = plan.metrics.iter().zip(states);
        let mut given_up = rules.filter_map(|(metric, state)| metrics::has_given_up(metric, state));
        if settings.stop_on_plateau != 0 && given_up.all(|given_up| given_up) {
            end |= GIVEN_UP;
        }
        self.control.end[half] = end;
        end
    }

    /// Between two updates: the half in force was evaluated anew. `before`: what held for it.
    pub(super) fn stop_if_end(&mut self, t: u64, before: u64) {
        if self.plan.features.stops && is_end(before, self.look_for_end(t)) {
            self.control.stop = 1;
        }
    }

    /// What holds for the half in force.
    pub(super) fn end_in_force(&self) -> u64 {
        self.control.end[(self.control.t & 1) as usize]
    }

    /// Whether update `t` was the last one.
    pub(super) fn commit_end(&mut self) {
        let Control { t, end, stop, .. } = &mut *self.control;
        let half = (*t & 1) as usize;
        *stop |= u32::from(is_end(end[half], end[1 - half]));
    }
}

/// From one half to the next, or from what a half was to what it is: a rate that was below the floor does not fall below it.
fn is_end(before: u64, after: u64) -> bool {
    after & GIVEN_UP != 0 || (before & BELOW == 0 && after & BELOW != 0)
}
