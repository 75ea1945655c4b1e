//! Whether an end that was set can come at all, by the bounds of the schedules.

use super::Plan;

/// Whether the rates of all groups can fall below a floor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Fall {
    /// As far as the bounds tell.
    Possible,
    /// One never does: it is `least` or more.
    Above { group: usize, least: f64 },
    /// One would by its metric rule alone, and nothing is observed.
    Unobserved { group: usize },
    /// All are below always: `most` or less.
    Below { most: f64 },
}

/// The bounds of a group's rate over all steps.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateBounds {
    pub min: f64,
    pub max: f64,
    /// The least and the largest factor that a metric rule may come to; 1 without one.
    pub scales: [f64; 2],
}

impl Plan {
    /// Whether the rate in force can fall below `floor` in every group. `observes`: a metric is observed.
    pub fn fall(&self, floor: f32, observes: bool) -> Fall {
        let below = |rate: f64| (rate as f32) < floor;
        for (group, rate) in self.rates.iter().enumerate() {
            let scaled = rate.min * rate.scales[0];
            if !below(rate.min) && (!below(scaled) || !observes) {
                return match below(scaled) {
                    true => Fall::Unobserved { group },
                    false => Fall::Above { group, least: scaled },
                };
            }
        }
        let most_of = |rate: &RateBounds| if observes { rate.max * rate.scales[1] } else { rate.max };
        let most = self.rates.iter().map(most_of).fold(0.0, f64::max);
        if below(most) { Fall::Below { most } } else { Fall::Possible }
    }
}
