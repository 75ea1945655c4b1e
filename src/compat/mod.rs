//! The peers' own configurations as schedules and optimizers: the names, defaults and quirks of torch, optax, transformers and others.
//!
//! A [`Configuration`] names a library, one of its schedulers and the arguments, as data. [`Configuration::recipes`] gives
//! one [`Recipe`] for each parameter group, which yields what the peer yields, or an error that says where the peer itself
//! crashes or is not defined. One file per library reads the arguments (`arguments`) and writes schedules of the public
//! language; nothing here may know how a schedule is evaluated. Functions come as Python expressions (`python`).
//!
//! An [`OptimizerConfiguration`] names a class of optimizer instead, with its parameter groups, a scheduler, clipping and
//! loss scaling, and gives a [`Config`](crate::Config) that can be built (`optimizer`).
//!
//! [`read`] takes a file as it is published, whatever else it says, and finds out what it is (`file`).

mod arguments;
mod burn;
mod composer;
mod composer_time;
mod cycles;
mod deepspeed;
mod file;
mod group;
mod keras;
mod megatron;
mod optax;
mod optimizer;
mod plateau;
mod python;
mod shapes;
mod timm;
mod torch;
mod torchtitan;
mod transformers;
mod transformers_wsd;

use serde_json::Value;

use crate::error::{Error, Result};
pub use crate::schedule::Metric;
use crate::schedule::Schedule;
use arguments::Arguments;
pub use file::{Facts, Reading, read};
use group::Group;
pub use optimizer::OptimizerConfiguration;

/// What a peer's scheduler does to one parameter group.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Recipe {
    /// The learning rate, before `metric` acts on it.
    pub lr: Schedule,
    /// The momentum of SGD, where the scheduler moves it.
    pub momentum: Option<Schedule>,
    /// Adam's first beta, where the scheduler moves it.
    pub beta1: Option<Schedule>,
    /// The weight decay, where the scheduler moves it.
    pub weight_decay: Option<Schedule>,
    /// What makes the learning rate depend on observed metrics: its scale multiplies `lr`.
    pub metric: Option<Metric>,
}

impl Recipe {
    fn new(lr: impl Into<Schedule>) -> Recipe {
        Recipe { lr: lr.into(), momentum: None, beta1: None, weight_decay: None, metric: None }
    }

    /// The metric rule that all of `recipes` have: for [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric), as the
    /// peers have one state for all groups. None if bounds differ, which are relative to a group's rate: then each group takes
    /// its own, and all are in the same state, since that does not depend on the bounds.
    pub fn shared_metric(recipes: &[Recipe]) -> Option<Metric> {
        let first = recipes.first()?.metric;
        if recipes.iter().all(|recipe| recipe.metric == first) { first } else { None }
    }

    /// Ends at `horizon` what would grow without bounds, and what the language therefore refuses.
    fn bound(&mut self, horizon: Option<u64>) {
        let Some(horizon) = horizon else { return };
        let schedules = [Some(&mut self.lr), self.momentum.as_mut(), self.beta1.as_mut(), self.weight_decay.as_mut()];
        for schedule in schedules.into_iter().flatten().filter(|schedule| schedule.len().is_err()) {
            *schedule = schedule.clone().over(horizon);
        }
    }

    /// Checks every schedule and rule in it.
    fn check(&self) -> Result<()> {
        self.lr.len().map_err(|e| e.within("lr."))?;
        let others = [("momentum.", &self.momentum), ("beta1.", &self.beta1), ("weight_decay.", &self.weight_decay)];
        for (name, schedule) in others {
            schedule.as_ref().map_or(Ok(None), Schedule::len).map_err(|e| e.within(name))?;
        }
        self.metric.as_ref().map_or(Ok(()), Metric::check)
    }
}

/// A peer's scheduler, in the peer's own words.
///
/// ```
/// use instep::compat::Configuration;
/// use serde_json::json;
/// let configuration = Configuration {
///     library: "torch".into(),
///     api: "torch.optim.lr_scheduler.LambdaLR".into(),
///     params: json!({"lr_lambda": "min(1, (epoch + 1) / 10)"}),
///     optimizer: json!({"class": "SGD", "args": {"lr": 0.5}, "groups": [{}]}),
///     horizon: None,
///     resumed_at: None,
/// };
/// let recipe = &configuration.recipes()?[0];
/// assert_eq!(recipe.lr.at(4)?, 0.25);
/// # Ok::<(), instep::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    /// `torch`, `optax`, `transformers`, `timm`, `deepspeed`, `megatron`, `keras`, `composer`, `torchtitan` or `burn`.
    pub library: String,
    /// The call, e.g. `torch.optim.lr_scheduler.StepLR`. Its last name is what counts.
    pub api: String,
    /// Its arguments by name, as a JSON object. A function is a Python expression of its argument.
    pub params: Value,
    /// `{class, args, groups}`: the optimizer's class, arguments (`lr` among them) and parameter groups. Null for libraries
    /// whose schedules are absolute.
    pub optimizer: Value,
    /// The number of steps that will be taken, for what has no closed form, or no end to its growth: a running product
    /// becomes a table of this length, and either holds its last value after it.
    pub horizon: Option<u64>,
    /// The step at which the peer's run was taken up with the argument `last_epoch`; `last_epoch` + 1 if that is not said.
    /// A run that was taken up with `state_dict` is the uninterrupted one: nothing is said then.
    pub resumed_at: Option<u64>,
}

/// How a run was taken up again: just before step `at`, with a scheduler made anew with `last_epoch`.
#[derive(Debug, Clone, Copy)]
struct Resume {
    at: u64,
    last_epoch: i64,
}

impl Configuration {
    /// One recipe for each parameter group; one, where the library's schedules are absolute.
    ///
    /// # Errors
    /// Names the argument that is missing, unknown or of another type, or that the peer itself refuses or fails on.
    pub fn recipes(&self) -> Result<Vec<Recipe>> {
        let mut recipes = self.translated()?;
        for (i, recipe) in recipes.iter_mut().enumerate() {
            recipe.bound(self.horizon);
            recipe.check().map_err(|e| e.within(&format!("groups[{i}].")))?;
        }
        Ok(recipes)
    }

    fn translated(&self) -> Result<Vec<Recipe>> {
        let mut arguments = Arguments::new("params", &self.params)?;
        let groups = group::read(&self.optimizer)?;
        let absolute = matches!(self.library.as_str(), "optax" | "megatron" | "keras" | "burn");
        if groups.is_empty() && !absolute {
            return Err(Error::argument("optimizer", "null", "must be given: the rates are relative to its own"));
        }
        match self.library.as_str() {
            "torch" => {
                let resume = self.resume(&mut arguments)?;
                torch::recipes(&self.api, arguments, &groups, self.horizon, resume)
            }
            "optax" => optax::recipes(&self.api, arguments),
            "transformers" => {
                let resume = self.resume(&mut arguments)?;
                let recipes = transformers::recipes(&self.api, arguments, &groups, self.horizon)?;
                recipes.iter().try_for_each(|recipe| self.expect_undisturbed(recipe, resume))?;
                Ok(recipes)
            }
            "timm" => timm::recipes(&self.api, arguments, &groups),
            "deepspeed" => deepspeed::recipes(&self.api, arguments, &groups),
            "megatron" => megatron::recipes(&self.api, arguments, &self.optimizer),
            "keras" => keras::recipes(&self.api, arguments),
            "composer" => composer::recipes(&self.api, arguments, &groups),
            "torchtitan" => torchtitan::recipes(&self.api, arguments, &groups),
            "burn" => burn::recipes(&self.api, arguments),
            other => {
                let rule = "must be torch, optax, transformers, timm, deepspeed, megatron, keras, composer, torchtitan or burn";
                Err(Error::argument("library", other, rule))
            }
        }
    }

    /// Takes `last_epoch` out of the arguments; None if the run was never interrupted.
    fn resume(&self, arguments: &mut Arguments) -> Result<Option<Resume>> {
        let last_epoch = arguments.int_or("last_epoch", -1)?;
        let next = u64::try_from(last_epoch.saturating_add(1))
            .map_err(|_| arguments.error("last_epoch", last_epoch, "must be at least -1"))?;
        let resume = Resume { at: self.resumed_at.unwrap_or(next), last_epoch };
        Ok((last_epoch != -1).then_some(resume))
    }

    /// A function of the epoch that was taken up at another epoch than the step is refused, if that shows.
    fn expect_undisturbed(&self, recipe: &Recipe, resume: Option<Resume>) -> Result<()> {
        let Some(Resume { at, last_epoch }) = resume else { return Ok(()) };
        let epoch = last_epoch.unsigned_abs() + 1;
        if epoch == at {
            return Ok(());
        }
        let steps = self.horizon.unwrap_or(at + 1).saturating_sub(at);
        let (ours, theirs) = (recipe.lr.trace(at..at + steps)?, recipe.lr.trace(epoch..epoch + steps)?);
        if ours == theirs {
            return Ok(());
        }
        let rule =
            format!("taken up with it at step {at}, the peer goes on from step {epoch}; hand over the step itself");
        Err(Error::argument("params.last_epoch", last_epoch, rule))
    }
}

/// The last name of a dotted path: `StepLR` of `torch.optim.lr_scheduler.StepLR`.
fn last_name(api: &str) -> &str {
    api.rsplit('.').next().unwrap_or(api)
}

/// No scheduler of that name is known.
fn unknown(api: &str) -> Error {
    Error::argument("api", api, "is not a scheduler that has a translation")
}
