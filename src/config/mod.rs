//! A training recipe as data: all that an [`OptimizerBuilder`](crate::OptimizerBuilder) is told, but for addresses.
//!
//! `group` is a parameter group, `rule` its update rule, `file` reads and writes JSON and TOML, `spoken` says what is wrong
//! with a text, `check` holds what was read to the ranges of a build. Schedules, clipping and the like are written where they
//! are defined. Whoever adds an option to the builder adds a field here: the conversions, [`Config::builder`] and back, name
//! every field. Start at [`Config`].

mod check;
mod file;
mod group;
mod rule;
mod spoken;

use serde::{Deserialize, Serialize};

use crate::dynamic::Dynamic;
use crate::features::FeatureOptions;
use crate::gradient::{Accumulate, Clip, GradientOptions, LossScale, NonFinite, Norm, finite_if_some};
use crate::precision::Precision;
use crate::schedule::Metric;
use crate::telemetry::Telemetry;
use file::Version;
pub use group::GroupConfig;
pub use rule::RuleConfig;

/// A training recipe: the parameter groups, each with its update rule and the [`Schedule`](crate::Schedule)s of its
/// hyperparameters, and all other options of an [`OptimizerBuilder`](crate::OptimizerBuilder) that are no addresses.
///
/// ```
/// use instep::{Config, Device};
/// let config = Config::from_toml(r#"
///     version = 1
///     clip.torch_norm = 1.0
///     [[groups]]
///     name = "all"
///     rule = "adamw"
///     weight_decay = 0.1
///     lr.warmup = { steps = 200, cosine = { from = 3e-4, to = 3e-5, over = 1800 } }
/// "#)?;
/// assert_eq!(config.groups[0].lr().at(200)?, 3e-4);
/// assert_eq!(Config::from_json(&config.to_json()?)?, config);
/// let opt = config.builder(&Device::host(), &[&[/* tensors of group 0 */]])?;
/// # let _ = opt;
/// # Ok::<(), instep::Error>(())
/// ```
///
/// # Format
///
/// | key | value |
/// |---|---|
/// | `version` | `1` |
/// | `clip` | `{ torch_norm = 1.0 }`, `{ optax_norm = 1.0, by = "max" }` or `{ value = 1.0 }` |
/// | `norm` | `"two"`, `"one"` or `"max"` |
/// | `loss_scale` | a number, or `{ init = 65536, growth = 2, backoff = 0.5, interval = 2000, … }`: [`LossScale`] |
/// | `non_finite` | `"propagate"`, `"skip"` or `{ skip_and_raise = 3 }` |
/// | `accumulate` | `{ sum = 4 }` or `{ mean = 4 }` |
/// | `zero_gradients`, `stop_on_plateau`, `check_order`, `in_parts` | `true` |
/// | `stop_at`, `stop_below`, `observe_every`, `progress_increment` | a number |
/// | `telemetry` | `{ ring = 1000, groups = [0], mapped = true }` |
/// | `precision` | `{ param = "remainder", states = "bf16", state = { exp_avg_sq = "8bit" } }`: [`Precision`] |
/// | `seed`, `start_at` | a number |
/// | `dynamic` | `{ tensors = 8, elements = 100_000, cohorts = 20, scales = true, slots = 4, when_busy = "refuse" }`, all as wanted: [`Dynamic`] |
/// | `metric` | `{ plateau = { factor = 0.5, patience = 3 } }` or `{ greedy = { … } }` |
/// | `groups` | a list of groups |
///
/// A parameter of sixteen bits is kept as `"master"`, `"remainder"`, `"nearest"` or `"stochastic"`; a state is stored as `"f32"`,
/// `"bf16"`, `"f16"` (each with `_nearest` or `_stochastic` too) or `"8bit"`, from `quantize_from` elements on.
///
/// A group has a `name`, a `rule`, a `precision` and a `metric` of its own, if wanted, and its hyperparameters as further keys, each a
/// schedule; `lr` is always among them. A rule is a name, such as `"adamw"`, `"lion"` or `"prodigy"` (the page `docs/rules.md` has all, with
/// their hyperparameters and options), or an object of one name with the rule's options: `{ adamw = { maximize = true } }`, `{ sgd = { momentum = "nesterov" } }`,
/// `{ adamw = { parity = "torch_for_loop" } }`. A rule of one's own is the text of its tape ([`Tape`](crate::rule::Tape)):
/// `{ tape = "tape 1\nrule mine\n…" }`. A list of rules is one after the other in the same update: `["adamw", "ema"]`, with
/// `ema_decay` beside `lr`. Without a rule a group is schedules for whoever reads them, and cannot be built.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    version: Version,
    /// What scales the learning rates of all groups that have no `metric` of their own:
    /// [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<Metric>,
    /// [`OptimizerBuilder::clip`](crate::OptimizerBuilder::clip).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// [`OptimizerBuilder::norm`](crate::OptimizerBuilder::norm).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm: Option<Norm>,
    /// [`OptimizerBuilder::loss_scale`](crate::OptimizerBuilder::loss_scale).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_scale: Option<LossScale>,
    /// [`OptimizerBuilder::non_finite`](crate::OptimizerBuilder::non_finite).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub non_finite: Option<NonFinite>,
    /// [`OptimizerBuilder::accumulate`](crate::OptimizerBuilder::accumulate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accumulate: Option<Accumulate>,
    /// [`OptimizerBuilder::zero_gradients`](crate::OptimizerBuilder::zero_gradients).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub zero_gradients: bool,
    /// [`OptimizerBuilder::stop_at`](crate::OptimizerBuilder::stop_at).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_at: Option<u64>,
    /// [`OptimizerBuilder::stop_below`](crate::OptimizerBuilder::stop_below).
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "finite_if_some")]
    pub stop_below: Option<f64>,
    /// [`OptimizerBuilder::stop_on_plateau`](crate::OptimizerBuilder::stop_on_plateau).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_on_plateau: bool,
    /// After how many updates the step observes a metric. Where that lies the engine says:
    /// [`OptimizerBuilder::observe_every`](crate::OptimizerBuilder::observe_every).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe_every: Option<u64>,
    /// [`OptimizerBuilder::telemetry`](crate::OptimizerBuilder::telemetry).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
    /// [`OptimizerBuilder::progress_increment`](crate::OptimizerBuilder::progress_increment).
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub progress_increment: u64,
    /// [`OptimizerBuilder::check_order`](crate::OptimizerBuilder::check_order).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub check_order: bool,
    /// In what precision the parameters and states of all groups are stored that do not say it themselves:
    /// [`OptimizerBuilder::precision`](crate::OptimizerBuilder::precision).
    #[serde(default, skip_serializing_if = "is_default")]
    pub precision: Precision,
    /// [`OptimizerBuilder::seed`](crate::OptimizerBuilder::seed).
    #[serde(default, skip_serializing_if = "is_default")]
    pub seed: u64,
    /// [`OptimizerBuilder::start_at`](crate::OptimizerBuilder::start_at).
    #[serde(default, skip_serializing_if = "is_default")]
    pub start_at: u64,
    /// [`OptimizerBuilder::dynamic`](crate::OptimizerBuilder::dynamic).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dynamic: Option<Dynamic>,
    /// [`OptimizerBuilder::in_parts`](crate::OptimizerBuilder::in_parts).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub in_parts: bool,
    /// The parameter groups, in the order of the optimizer's.
    pub groups: Vec<GroupConfig>,
}

fn one() -> u64 {
    1
}

fn is_one(value: &u64) -> bool {
    *value == one()
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Without a group, which cannot be read back or built.
impl Default for Config {
    fn default() -> Config {
        Config::new([])
    }
}

impl Config {
    /// A configuration of these groups.
    pub fn new(groups: impl Into<Vec<GroupConfig>>) -> Config {
        let options = (GradientOptions::default(), FeatureOptions::default());
        Config::of(groups.into(), options, one(), false)
    }

    /// All that a builder was told. Addresses are left out.
    pub(crate) fn of(
        groups: Vec<GroupConfig>,
        (gradients, features): (GradientOptions, FeatureOptions),
        progress_increment: u64,
        check_order: bool,
    ) -> Config {
        let GradientOptions {
            clip,
            loss_scale,
            non_finite,
            norm,
            accumulate,
            zero: zero_gradients,
            found_inf: _,
            inv_scale: _,
            norm_square: _,
        } = gradients;
        let FeatureOptions { metric, observe_every, stop_at, stop_below, stop_on_plateau, telemetry } = features;
        Config {
            version: Version,
            metric,
            clip,
            norm,
            loss_scale,
            non_finite,
            accumulate,
            zero_gradients,
            stop_at,
            stop_below,
            stop_on_plateau,
            observe_every,
            telemetry,
            progress_increment,
            check_order,
            precision: Precision::new(),
            seed: 0,
            start_at: 0,
            dynamic: None,
            in_parts: false,
            groups,
        }
    }

    /// What is said of gradients.
    pub(crate) fn gradient_options(&self) -> GradientOptions {
        GradientOptions {
            clip: self.clip,
            loss_scale: self.loss_scale,
            non_finite: self.non_finite,
            norm: self.norm,
            accumulate: self.accumulate,
            zero: self.zero_gradients,
            found_inf: false,
            inv_scale: false,
            norm_square: false,
        }
    }

    /// What is said of features.
    pub(crate) fn feature_options(&self) -> FeatureOptions {
        FeatureOptions {
            metric: self.metric,
            observe_every: self.observe_every,
            stop_at: self.stop_at,
            stop_below: self.stop_below,
            stop_on_plateau: self.stop_on_plateau,
            telemetry: self.telemetry.clone(),
        }
    }
}
