//! What a step does beside its updates: it may observe a metric by itself, look for the end of training, and record its
//! calls. `kernels/metric.cuh`, `end.cuh` and `telemetry.cuh` do it. Start at [`FeatureOptions::lower`].

use crate::error::{Error, Result, number};
use crate::schedule::Metric;
use crate::settings::Settings;
use crate::telemetry::Telemetry;

/// All that is said of it, unchecked.
#[derive(Debug, Clone, Default)]
pub(crate) struct FeatureOptions {
    /// The metric rule of all groups that have none of their own.
    pub metric: Option<Metric>,
    /// After how many updates the step observes.
    pub observe_every: Option<u64>,
    pub stop_at: Option<u64>,
    pub stop_below: Option<f64>,
    pub stop_on_plateau: bool,
    pub telemetry: Option<Telemetry>,
}

/// What is compiled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    pub observes: bool,
    pub stops: bool,
    pub telemetry: bool,
}

impl FeatureOptions {
    /// Checks what can be checked without tables, for an optimizer with these metric rules, and fills its part of `settings`.
    pub fn lower(&self, metrics: &[Metric], settings: &mut Settings) -> Result<Features> {
        if self.stop_at == Some(0) {
            return Err(Error::argument("stop_at", 0, "must be at least 1"));
        }
        if let Some(rate) = self.stop_below
            && !(rate as f32 > 0.0 && (rate as f32).is_finite())
        {
            return Err(Error::argument("stop_below", number(rate), "must be above 0 and finite in f32"));
        }
        if self.stop_on_plateau && !metrics.iter().any(|metric| matches!(metric, Metric::Plateau(_))) {
            let rule = "must not be set where no group has a plateau: give one as `metric`, to all or to a group";
            return Err(Error::argument("stop_on_plateau", true, rule));
        }
        if self.observe_every == Some(0) {
            return Err(Error::argument("observe_every.updates", 0, "must be at least 1"));
        }
        if let (Some(updates), true) = (self.observe_every, metrics.is_empty()) {
            let rule = "must not be set where no group has a metric rule: give one as `metric`, to all or to a group";
            return Err(Error::argument("observe_every.updates", updates, rule));
        }
        settings.stop_at = self.stop_at.unwrap_or(0);
        settings.stop_below = self.stop_below.unwrap_or(0.0) as f32;
        settings.stop_on_plateau = u32::from(self.stop_on_plateau);
        settings.observe_every = self.observe_every.unwrap_or(0);
        Ok(Features {
            observes: self.observe_every.is_some(),
            stops: self.stop_below.is_some() || self.stop_on_plateau,
            telemetry: self.telemetry.is_some(),
        })
    }
}

impl Features {
    /// The type in `generated.cuh`.
    pub fn cuda_type(self) -> String {
        let Features { observes, stops, telemetry } = self;
        format!(
            "struct Features {{ static constexpr bool OBSERVES = {observes}, STOPS = {stops}, TELEMETRY = {telemetry}; }};"
        )
    }
}
