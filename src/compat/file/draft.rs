//! What a file says of an optimizer, in its library's words.

use super::super::{Configuration, OptimizerConfiguration, Recipe};
use crate::config::{Config, GroupConfig};
use crate::error::{Error, Result};
use crate::gradient::{Accumulate, LossScale, NonFinite};

/// What a file says, not yet translated.
pub(super) struct Draft {
    pub of: Of,
    /// Updates between two calls of the scheduler, for schedules without an optimizer; beside one
    /// [`OptimizerConfiguration::schedule`] says it.
    pub every: u64,
    /// Calls whose mean gradient makes an update.
    pub accumulate: Option<u64>,
    /// Where it is not torch's `GradScaler`, which [`OptimizerConfiguration::scaler`] takes.
    pub loss_scale: Option<LossScale>,
    /// What is done about gradients that are not finite, where the loss scale does not say it.
    pub non_finite: Option<NonFinite>,
    /// By how much [progress](crate::Schedule::on_progress) moves with an update, where schedules count something else than steps.
    pub progress_increment: Option<u64>,
    /// How paths begin in `of`, and how the same begin in the file. The first that fits counts.
    pub places: Vec<(String, String)>,
}

pub(super) enum Of {
    Optimizer(Box<OptimizerConfiguration>),
    /// Without an optimizer that has a rule.
    Schedules(Box<Configuration>),
    /// In our own words already.
    Config(Box<Config>),
}

impl Draft {
    pub fn new(of: Of) -> Draft {
        Draft {
            of,
            every: 1,
            accumulate: None,
            loss_scale: None,
            non_finite: None,
            progress_increment: None,
            places: Vec::new(),
        }
    }

    pub fn optimizer(optimizer: OptimizerConfiguration) -> Draft {
        Draft::new(Of::Optimizer(Box::new(optimizer)))
    }

    pub fn schedules(scheduler: Configuration) -> Draft {
        Draft::new(Of::Schedules(Box::new(scheduler)))
    }

    /// Errors about what begins with `ours` are about what begins with `theirs` in the file.
    pub fn place(mut self, ours: impl Into<String>, theirs: impl Into<String>) -> Draft {
        self.places.push((ours.into(), theirs.into()));
        self
    }

    pub fn config(self) -> Result<Config> {
        let Draft { of, every, accumulate, loss_scale, non_finite, progress_increment, places } = self;
        let config = match of {
            Of::Optimizer(optimizer) => optimizer.config(),
            Of::Schedules(scheduler) => scheduler.recipes().and_then(|recipes| of_recipes(recipes, every)),
            Of::Config(config) => Ok(*config),
        };
        let mut config = config.map_err(|error| in_file(error, &places))?;
        if let Some(calls) = accumulate.filter(|calls| *calls != 1) {
            let calls = u32::try_from(calls).map_err(|_| Error::argument("accumulate", calls, "must be below 2^32"));
            config.accumulate = Some(Accumulate::mean(calls.map_err(|error| in_file(error, &places))?));
        }
        config.loss_scale = loss_scale.or(config.loss_scale);
        config.non_finite = non_finite.or(config.non_finite);
        config.progress_increment = progress_increment.unwrap_or(config.progress_increment);
        config.check().map_err(|error| in_file(error, &places))?;
        Ok(config)
    }
}

/// Groups with schedules alone, of a scheduler that is called once in `every` updates.
fn of_recipes(mut recipes: Vec<Recipe>, every: u64) -> Result<Config> {
    recipes.iter_mut().for_each(|recipe| recipe.every(every));
    let shared = if recipes.len() > 1 { Recipe::shared_metric(&recipes) } else { None };
    let group = |recipe: Recipe| {
        let mut group = GroupConfig::new(recipe.lr.clone());
        recipe.others().for_each(|(name, schedule)| group.set(name, schedule.clone()));
        group.metric = if shared.is_some() { None } else { recipe.metric };
        group
    };
    let mut config = Config::new(recipes.into_iter().map(group).collect::<Vec<_>>());
    config.metric = shared;
    Ok(config)
}

/// `error` with the place where the file has what it is about.
fn in_file(error: Error, places: &[(String, String)]) -> Error {
    match error {
        Error::Argument { argument, value, rule } => {
            let found = places.iter().find_map(|(ours, theirs)| Some((ours, theirs, rest_of(&argument, ours)?)));
            let argument = match found {
                None => argument,
                // What our own words say below these is one field of the file.
                Some((ours, theirs, _)) if ["clip", "accumulate", "loss_scale"].contains(&ours.as_str()) => {
                    theirs.clone()
                }
                Some((_, theirs, rest)) => format!("{theirs}{rest}"),
            };
            Error::argument(argument, value, rule)
        }
        other => other,
    }
}

/// What of `argument` follows `ours`, if names end there.
fn rest_of<'a>(argument: &'a str, ours: &str) -> Option<&'a str> {
    let rest = argument.strip_prefix(ours)?;
    (rest.is_empty() || rest.starts_with(['.', '[']) || ours.is_empty() || ours.ends_with(['.', '['])).then_some(rest)
}
