//! Collects groups of rates; all checks are made by [`RatesBuilder::build`].

use super::{RateGroup, Rates};
use crate::backend::Device;
use crate::device::Pack;
use crate::error::{Error, Result, quoted};
use crate::gradient::NonFinite;
use crate::optimizer::{Observed, Optimizer, OptimizerBuilder, PackBuilder};
use crate::plan::Tensor;
use crate::schedule::Metric;
use crate::telemetry::Telemetry;

/// Collects the groups of [`Rates`]. All checks are made by [`RatesBuilder::build`].
#[must_use = "call `build`"]
pub struct RatesBuilder {
    builder: OptimizerBuilder,
    groups: Vec<RateGroup>,
    /// The first thing that is wrong with a group.
    problem: Option<Error>,
    found_inf: bool,
    non_finite: Option<NonFinite>,
}

/// The groups.
impl std::fmt::Debug for RatesBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.groups).finish()
    }
}

impl RatesBuilder {
    pub(super) fn new(device: &Device) -> RatesBuilder {
        RatesBuilder {
            builder: Optimizer::builder(device),
            groups: Vec::new(),
            problem: None,
            found_inf: false,
            non_finite: None,
        }
    }

    fn with(mut self, change: impl FnOnce(OptimizerBuilder) -> OptimizerBuilder) -> RatesBuilder {
        self.builder = change(self.builder);
        self
    }

    /// Adds a group.
    pub fn group(mut self, group: RateGroup) -> RatesBuilder {
        let place = self.groups.len();
        if let Some(name) = group.called().filter(|name| self.groups.iter().any(|other| other.called() == Some(name))) {
            let problem =
                Error::argument(format!("groups[{place}].name"), quoted(name), "must not be that of another group");
            self.problem.get_or_insert(problem);
        }
        match group.lower(place) {
            Ok((rule, outputs)) => {
                let tensor = Tensor::nothing(group.called());
                self.builder = self.builder.group(rule, &[tensor]).outputs(outputs);
            }
            Err(problem) => {
                self.problem.get_or_insert(problem.within(&format!("groups[{place}].")));
            }
        }
        self.groups.push(group);
        self
    }

    /// One metric rule for all groups that have none of their own: [`OptimizerBuilder::metric`].
    pub fn metric(self, metric: impl Into<Metric>) -> RatesBuilder {
        self.with(|builder| builder.metric(metric))
    }

    /// By how much an applied update advances the progress clock: [`OptimizerBuilder::progress_increment`].
    pub fn progress_increment(self, increment: u64) -> RatesBuilder {
        self.with(|builder| builder.progress_increment(increment))
    }

    /// What the clock begins with: [`OptimizerBuilder::start_at`].
    pub fn start_at(self, t: u64) -> RatesBuilder {
        self.with(|builder| builder.start_at(t))
    }

    /// Raises the stop flag after so many updates: [`OptimizerBuilder::stop_at`].
    pub fn stop_at(self, steps: u64) -> RatesBuilder {
        self.with(|builder| builder.stop_at(steps))
    }

    /// Raises the stop flag when `lr` falls below `rate` in every group: [`OptimizerBuilder::stop_below`].
    pub fn stop_below(self, rate: f64) -> RatesBuilder {
        self.with(|builder| builder.stop_below(rate))
    }

    /// Raises the stop flag when every plateau has given up: [`OptimizerBuilder::stop_on_plateau`].
    pub fn stop_on_plateau(self) -> RatesBuilder {
        self.with(OptimizerBuilder::stop_on_plateau)
    }

    /// Records every launch in a ring: [`OptimizerBuilder::telemetry`].
    pub fn telemetry(self, telemetry: Telemetry) -> RatesBuilder {
        self.with(|builder| builder.telemetry(telemetry))
    }

    /// Looks for work that a launch is not ordered after: [`OptimizerBuilder::check_order`].
    pub fn check_order(self) -> RatesBuilder {
        self.with(OptimizerBuilder::check_order)
    }

    /// What follows from many skipped updates in a row, where a `found_inf` is given:
    /// [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise).
    pub fn non_finite(mut self, policy: NonFinite) -> RatesBuilder {
        self.non_finite = Some(policy);
        self.with(|builder| builder.non_finite(policy))
    }

    /// The address of an f32 of the engine's: anything but 0 says that the update in force is not applied, so that the clock stays.
    ///
    /// # Safety
    ///
    /// As for [`OptimizerBuilder::found_inf`].
    #[expect(unsafe_code, reason = "passes a contract on")]
    pub unsafe fn found_inf(mut self, address: u64) -> RatesBuilder {
        self.found_inf = true;
        // SAFETY: the caller's promise is the same.
        self.with(|builder| unsafe { builder.found_inf(address) })
    }

    /// Lets the launch observe a metric by itself after every `updates` updates: [`OptimizerBuilder::observe_every`].
    ///
    /// # Safety
    ///
    /// As for [`OptimizerBuilder::observe_every`].
    #[expect(unsafe_code, reason = "passes a contract on")]
    pub unsafe fn observe_every(self, updates: u64, metric: Observed) -> RatesBuilder {
        // SAFETY: the caller's promise is the same.
        self.with(|builder| unsafe { builder.observe_every(updates, metric) })
    }

    /// Takes the kernel from a pack, and looks for no NVRTC: [`OptimizerBuilder::kernels`].
    pub fn kernels(self, pack: &Pack) -> RatesBuilder {
        self.with(|builder| builder.kernels(pack))
    }

    /// Adds the kernel that these rates need to a pack: [`PackBuilder::add`].
    ///
    /// # Errors
    /// As [`RatesBuilder::build`].
    pub fn add_to(&self, pack: &mut PackBuilder) -> Result<()> {
        self.check()?;
        pack.add(&self.builder)
    }

    fn check(&self) -> Result<()> {
        if let Some(problem) = &self.problem {
            return Err(problem.clone());
        }
        if self.groups.is_empty() {
            return Err(Error::argument("groups", "empty", "rates need at least one group"));
        }
        if self.non_finite.is_some() && !self.found_inf {
            let rule = "must not be set without found_inf(..): rates see no gradient";
            return Err(Error::argument("non_finite", "set", rule));
        }
        Ok(())
    }

    /// Checks everything, compiles and loads the kernel, and evaluates the first update. The last call that may wait:
    /// [`OptimizerBuilder::build`] says more. Fails as that does; an address is called `write[i].address`, counted over all groups.
    pub fn build(self) -> Result<Rates> {
        self.check()?;
        Ok(Rates(self.builder.build()?))
    }
}
