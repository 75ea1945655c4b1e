//! Files that say by themselves what they are: a configuration of this crate, and another library's scheduler or optimizer as a
//! [`Configuration`] or an [`OptimizerConfiguration`].

use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::composer::counted;
use super::super::composer_time::Unit;
use super::super::keras_callbacks::acts_once_an_epoch;
use super::super::megatron_flags::{counts_samples, plain};
use super::super::transformers::is_training_arguments;
use super::super::{Configuration, OptimizerConfiguration};
use super::composer;
use super::draft::{Draft, Of};
use super::text::Syntax;
use super::{Facts, Format, Section, transformers};
use crate::config::Config;
use crate::error::{Error, Result};

pub(super) const CONFIG: Format = Format {
    name: "a configuration of instep",
    library: "instep",
    is: |fields| fields.contains_key("version") && fields.contains_key("groups"),
    read: |file, _| Ok(Draft::new(Of::Config(Box::new(Config::from_json(&file.rest()?.to_string())?)))),
};

pub(super) const OPTIMIZER: Format = Format {
    name: "a library's optimizer",
    library: "instep",
    is: |fields| is_call(fields) && OF_OPTIMIZERS.iter().any(|name| fields.contains_key(*name)),
    read: optimizer,
};

pub(super) const SCHEDULER: Format =
    Format { name: "a library's scheduler", library: "instep", is: is_call, read: scheduler };

/// Fields that only an optimizer has.
const OF_OPTIMIZERS: [&str; 4] = ["groups", "schedule", "clip", "scaler"];

fn is_call(fields: &Map<String, Value>) -> bool {
    fields.contains_key("library") && fields.contains_key("api")
}

/// A configuration of this crate, from the text itself.
pub(super) fn config(text: &str, syntax: Syntax, fields: &mut Section) -> Result<Config> {
    fields.rest()?;
    match syntax {
        Syntax::Toml => Config::from_toml(text),
        _ => Config::from_json(text),
    }
}

fn optimizer(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let optimizer = OptimizerConfiguration::deserialize(file.rest()?);
    let mut optimizer =
        optimizer.map_err(|detail| Error::Format { place: "the file".into(), detail: detail.to_string() })?;
    optimizer.horizon = optimizer.horizon.or(facts.steps);
    let progress_increment = match optimizer.schedule.get("library").and_then(Value::as_str) {
        Some("composer") => composer::of_unit(facts, composer::counted(&optimizer.schedule), None, None)?,
        _ => None,
    };
    Ok(Draft { progress_increment, ..Draft::optimizer(optimizer) })
}

fn scheduler(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let text = |file: &mut Section, name| file.text(name)?.ok_or_else(|| file.error(name, "missing", "must be given"));
    let (library, api) = (text(file, "library")?, text(file, "api")?);
    let every = match file.count("every")? {
        Some(0) => {
            return Err(file.error("every", 0, "must be a count of updates between two calls, at least 1"));
        }
        Some(every) => every,
        None if acts_once_an_epoch(&library, &api) => facts.needed_steps_per_epoch(&api)?,
        None => 1,
    };
    let params = file.value("params")?.unwrap_or_else(|| Value::Object(Map::new()));
    let of_trainer = library == "transformers" && is_training_arguments(&api);
    let steps = if of_trainer { transformers::steps(&params, facts) } else { facts.steps };
    let configuration = Configuration {
        library,
        api,
        params,
        optimizer: file.value("optimizer")?.unwrap_or_default(),
        // It counts calls.
        horizon: file.count("horizon")?.or(steps).map(|steps| steps.div_ceil(every)),
        resumed_at: file.count("resumed_at")?,
    };
    file.refuse_rest()?;
    let progress_increment = match &*configuration.library {
        "composer" => {
            let counted = counted(&configuration.api, &configuration.params);
            composer::of_unit(facts, counted, None, None)?
        }
        "megatron" if counts_samples(&configuration.params) => {
            let batch = |(name, size): (&String, &Value)| size.as_u64().filter(|_| plain(name) == "global_batch_size");
            let batch = configuration.params.as_object().and_then(|flags| flags.iter().find_map(batch));
            composer::of_unit(facts, Some(Unit::Samples), batch, None)?
        }
        _ => None,
    };
    Ok(Draft { every, progress_increment, ..Draft::schedules(configuration) })
}

#[cfg(test)]
mod tests {
    use super::super::{Facts, read};

    #[test]
    fn a_scheduler_may_be_called_once_in_many_updates() {
        let file = |every: u64| {
            format!(
                r#"{{"library": "torch", "api": "StepLR", "params": {{"step_size": 3, "gamma": 0.5}}, "every": {every},
                     "optimizer": {{"class": "SGD", "args": {{"lr": 1.0}}, "groups": [{{}}]}}}}"#
            )
        };
        let reading = read(&file(10), &Facts::default()).unwrap();
        let rates = reading.config.groups[0].lr().trace([0, 29, 30, 59, 60]).unwrap();
        assert_eq!(rates, [1.0, 1.0, 0.5, 0.5, 0.25]);
        let error = read(&file(0), &Facts::default()).unwrap_err().to_string();
        assert_eq!(error, "every is 0, but must be a count of updates between two calls, at least 1");
    }
}
