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
//! [`read`] takes a file as it is published, whatever else it says, and finds out what it is (`file`). What was read of each library
//! stands in `library`. The page below, `docs/compat.md`, is made by `page`.
#![doc = ""]
#![doc = include_str!("../../docs/compat.md")]

mod arguments;
mod burn;
mod composer;
mod composer_time;
mod cycles;
mod deepspeed;
mod file;
mod group;
mod keras;
mod keras_callbacks;
mod library;
mod limits;
mod llm_foundry;
mod megatron;
mod megatron_flags;
mod mmengine;
mod nearest;
mod optax;
mod optimizer;
#[cfg(all(test, feature = "yaml"))]
mod page;
mod plateau;
mod python;
mod shapes;
#[cfg(test)]
mod tests;
mod timm;
mod torch;
mod torchtitan;
mod transformers;
mod transformers_wsd;

use serde_json::{Value, json};

use crate::error::{CURE, Error, Result};
pub use crate::schedule::Metric;
use crate::schedule::{Form, IntoSchedule, MAX_TABLE, Schedule};
use arguments::Arguments;
pub use file::{Facts, Reading, read};
use group::Group;
use library::{LIBRARIES, library};
use nearest::unknown_name;
pub use optimizer::OptimizerConfiguration;

/// What to say where an end is missing, whatever is being read.
const HORIZON: &str =
    "say where the run ends, after which the last value holds: `horizon`, Facts::steps or --total-steps";

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
    /// Adam's second beta, where the scheduler puts another in its place.
    pub beta2: Option<Schedule>,
    /// The weight decay, where the scheduler moves it.
    pub weight_decay: Option<Schedule>,
    /// What makes the learning rate depend on observed metrics: its scale multiplies `lr`.
    pub metric: Option<Metric>,
}

impl Recipe {
    fn new(lr: impl IntoSchedule) -> Recipe {
        Recipe { lr: lr.into(), momentum: None, beta1: None, beta2: None, weight_decay: None, metric: None }
    }

    /// The metric rule that all of `recipes` have: for [`OptimizerBuilder::metric`](crate::OptimizerBuilder::metric), as the
    /// peers have one state for all groups. None if bounds differ, which are relative to a group's rate: then each group takes
    /// its own, and all are in the same state, since that does not depend on the bounds.
    pub fn shared_metric(recipes: &[Recipe]) -> Option<Metric> {
        let first = recipes.first()?.metric;
        if recipes.iter().all(|recipe| recipe.metric == first) { first } else { None }
    }

    /// What moves beside the rate, by the names of hyperparameters.
    pub(crate) fn others(&self) -> impl Iterator<Item = (&'static str, &Schedule)> {
        let others = [
            ("momentum", &self.momentum),
            ("beta1", &self.beta1),
            ("beta2", &self.beta2),
            ("weight_decay", &self.weight_decay),
        ];
        others.into_iter().filter_map(|(name, schedule)| Some((name, schedule.as_ref()?)))
    }

    /// Every schedule in it.
    fn schedules_mut(&mut self) -> impl Iterator<Item = &mut Schedule> {
        let others = [&mut self.momentum, &mut self.beta1, &mut self.beta2, &mut self.weight_decay];
        [Some(&mut self.lr)].into_iter().chain(others.map(Option::as_mut)).flatten()
    }

    /// Ends at `horizon` what would grow without bounds, and what the language therefore refuses.
    fn bound(&mut self, horizon: Option<u64>) {
        let Some(horizon) = horizon else { return };
        for schedule in self.schedules_mut().filter(|schedule| schedule.len().is_err()) {
            *schedule = schedule.clone().over(horizon);
        }
    }

    /// Holds each value for `updates` steps: those of a scheduler that is called once in so many.
    fn every(&mut self, updates: u64) {
        if updates == 1 {
            return;
        }
        self.change_moving(|schedule| schedule.every(updates));
    }

    /// Puts what moves on the progress clock.
    fn on_progress(&mut self) {
        self.change_moving(Schedule::on_progress);
    }

    fn change_moving(&mut self, change: impl Fn(Schedule) -> Schedule) {
        let is_constant = |schedule: &Schedule| matches!(schedule.0, Form::Constant(_));
        for schedule in self.schedules_mut().filter(|schedule| !is_constant(schedule)) {
            *schedule = change(schedule.clone());
        }
    }

    /// Checks every schedule and rule in it.
    fn check(&self) -> Result<()> {
        self.lr.len().map_err(|e| e.within("lr."))?;
        for (name, schedule) in self.others() {
            schedule.len().map_err(|e| e.within(&format!("{name}.")))?;
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
    /// `torch`, `optax`, `transformers`, `timm`, `mmengine`, `deepspeed`, `megatron`, `keras`, `composer`, `torchtitan` or `burn`.
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
        self.checked().map_err(|error| match error {
            // An end is all that is missing, where one step alone has a translation.
            Error::Argument { argument, value, rule }
                if self.horizon.is_none()
                    && value != "missing"
                    && Configuration { horizon: Some(1), ..self.clone() }.checked().is_ok() =>
            {
                // What our own language advises is no word of the peer's.
                Error::argument(argument, value, format!("{}; {HORIZON}", rule.replace(CURE, "")))
            }
            other => other,
        })
    }

    fn checked(&self) -> Result<Vec<Recipe>> {
        let arguments = [("params", &self.params), ("optimizer.args", &self.optimizer["args"])];
        limits::expect_few(("optimizer.groups", &self.optimizer["groups"]), &arguments)?;
        let mut recipes = self.translated()?;
        for (i, recipe) in recipes.iter_mut().enumerate() {
            recipe.bound(self.horizon);
            recipe.check().map_err(|e| e.within(&format!("groups[{i}].")))?;
        }
        Ok(recipes)
    }

    fn translated(&self) -> Result<Vec<Recipe>> {
        let groups = group::read(&self.optimizer)?;
        if self.library == "transformers" && transformers::is_training_arguments(&self.api) {
            return self.of_training_arguments(groups);
        }
        let mut arguments = Arguments::new("params", &self.params)?;
        let is_relative = library(&self.library).is_some_and(|library| !library.absolute);
        if groups.is_empty() && is_relative {
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
            "mmengine" => mmengine::recipes(&self.api, arguments, &groups),
            "deepspeed" => deepspeed::recipes(&self.api, arguments, &groups),
            "megatron" => megatron::recipes(&self.api, arguments, &self.optimizer, self.horizon),
            "keras" => keras::recipes(&self.api, arguments, &groups, self.horizon),
            "composer" => composer::recipes(&self.api, arguments, &groups),
            "torchtitan" => torchtitan::recipes(&self.api, arguments, &groups, self.horizon),
            "burn" => burn::recipes(&self.api, arguments),
            other => {
                let known: Vec<&str> = LIBRARIES.iter().map(|library| library.name).collect();
                Err(Error::argument("library", other, unknown_name("a library that has a translation", other, &known)))
            }
        }
    }

    /// The scheduler that the Trainer of transformers makes, whose `learning_rate` is that of the optimizer.
    fn of_training_arguments(&self, mut groups: Vec<Group>) -> Result<Vec<Recipe>> {
        // The arguments of the scheduler stand among others of the Trainer, which have other names.
        let named = |error: Error| match error {
            Error::Argument { argument, value, rule } => {
                match argument.strip_prefix("params.scheduler_specific_kwargs") {
                    _ if argument == "facts.steps_per_epoch" => {
                        let rule = "must be given, or params.max_steps: the scheduler goes by the steps of the run";
                        Error::argument("horizon", value, rule)
                    }
                    Some(rest) => Error::argument(format!("params.lr_scheduler_kwargs{rest}"), value, rule),
                    None => Error::argument(argument, value, rule),
                }
            }
            other => other,
        };
        let (lr, call) = file::scheduler_of_training_arguments(&self.params, self.horizon).map_err(named)?;
        match groups.iter().find(|group| group.default_lr != lr) {
            Some(other) => {
                let rule = format!("must be params.learning_rate, {lr}: the Trainer makes its optimizer with it");
                return Err(Error::argument("optimizer.args.lr", other.default_lr, rule));
            }
            None if groups.is_empty() => {
                groups = group::read(&json!({"class": "AdamW", "args": {"lr": lr}, "groups": [{}]}))?;
            }
            None => {}
        }
        let arguments = Arguments::new("params", &call)?;
        transformers::recipes("get_scheduler", arguments, &groups, self.horizon).map_err(named)
    }

    /// Takes `last_epoch` out of the arguments; None if the run was never interrupted.
    fn resume(&self, arguments: &mut Arguments) -> Result<Option<Resume>> {
        let last_epoch = arguments.int_or("last_epoch", -1)?;
        let next = u64::try_from(i128::from(last_epoch) + 1)
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
        // Without a horizon, the first step alone.
        let steps = self.horizon.map_or(1, |horizon| horizon.saturating_sub(at));
        if steps > MAX_TABLE as u64 {
            let rule = format!(
                "must be at most {MAX_TABLE} past the step {at} at which the run is taken up: the steps since are compared one by one"
            );
            return Err(Error::argument("horizon", at.saturating_add(steps), rule));
        }
        // Past the last step that there is, nothing is compared.
        let from = |first: u64| recipe.lr.trace(first..first.saturating_add(steps));
        let (ours, theirs) = (from(at)?, from(epoch)?);
        if ours.iter().zip(&theirs).all(|(ours, theirs)| ours == theirs) {
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

/// No scheduler of that name is among `known`.
fn unknown(api: &str, known: &[&str]) -> Error {
    Error::argument("api", api, unknown_name("a scheduler that has a translation", last_name(api), known))
}
