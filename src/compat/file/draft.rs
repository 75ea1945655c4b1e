//! What a file says of an optimizer, in its library's words.

use super::super::{Configuration, OptimizerConfiguration, Recipe};
use crate::config::{Config, GroupConfig};
use crate::error::{Error, Result};
use crate::gradient::{Accumulate, LossScale};

/// What a file says, not yet translated.
pub(super) struct Draft {
    pub of: Of,
    /// Calls whose mean gradient makes an update.
    pub accumulate: Option<u64>,
    /// Where it is not torch's `GradScaler`, which [`OptimizerConfiguration::scaler`] takes.
    pub loss_scale: Option<LossScale>,
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
        Draft { of, accumulate: None, loss_scale: None, progress_increment: None, places: Vec::new() }
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
        let Draft { of, accumulate, loss_scale, progress_increment, places } = self;
        let config = match of {
            Of::Optimizer(optimizer) => optimizer.config(),
            Of::Schedules(scheduler) => scheduler.recipes().and_then(of_recipes),
            Of::Config(config) => Ok(*config),
        };
        let mut config = config.map_err(|error| in_file(error, &places))?;
        if let Some(calls) = accumulate.filter(|calls| *calls != 1) {
            let calls = u32::try_from(calls).map_err(|_| Error::argument("accumulate", calls, "must be below 2^32"));
            config.accumulate = Some(Accumulate::mean(calls.map_err(|error| in_file(error, &places))?));
        }
        config.loss_scale = loss_scale.or(config.loss_scale);
        config.progress_increment = progress_increment.unwrap_or(config.progress_increment);
        config.check().map_err(|error| in_file(error, &places))?;
        Ok(config)
    }
}

/// Groups with schedules alone.
fn of_recipes(recipes: Vec<Recipe>) -> Result<Config> {
    let shared = if recipes.len() > 1 { Recipe::shared_metric(&recipes) } else { None };
    let group = |recipe: Recipe| {
        let mut group = GroupConfig::new(recipe.lr);
        let others = [("momentum", recipe.momentum), ("beta1", recipe.beta1), ("weight_decay", recipe.weight_decay)];
        for (name, schedule) in others {
            if let Some(schedule) = schedule {
                group.set(name, schedule);
            }
        }
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
            let found = places.iter().find_map(|(ours, theirs)| Some((theirs, argument.strip_prefix(ours.as_str())?)));
            let argument = found.map_or(argument.clone(), |(theirs, rest)| format!("{theirs}{rest}"));
            Error::argument(argument, value, rule)
        }
        other => other,
    }
}
