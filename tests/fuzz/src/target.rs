//! Reads an input with what it is for, and holds what comes of it to what is promised: values are finite, what is written can be
//! read. A promise that is not kept is a panic.

use std::time::{Duration, Instant};

use instep::compat::{Configuration, Facts, Metric, OptimizerConfiguration, Recipe, read};
use instep::{Config, Device, Error, Schedule, Tensor};
use serde_json::{Map, Value};

use crate::input::{Input, Target};

#[path = "../../../src/bin/instep/steps.rs"]
#[allow(dead_code, missing_docs)]
mod steps;

/// What came of an input that broke nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was read: the name of what it is.
    Accepted(String),
    /// It was refused: the rule, without the values.
    Refused(String),
}

/// Steps at which types end and at which every f64 is a whole number.
const STEPS: [u64; 8] = [0, 1, 2, 1 << 32, (1 << 53) - 1, (1 << 53) + 1, u64::MAX - 1, u64::MAX];

/// What is fed to what follows metrics.
const METRICS: [f64; 8] = [1.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, 0.0, 0.0];

/// Emitting CUDA text takes far longer than reading: one in so many.
const EMITTED: usize = 8;

/// What was read, and its name.
enum Read {
    Recipes(String, Vec<Recipe>, Option<u64>),
    Config(String, Box<Config>),
    Steps,
}

/// Reads `input`; how long the reading took, without what is asked of the outcome.
///
/// # Panics
/// If a promise is not kept.
pub fn run(input: &Input) -> (Outcome, Duration) {
    let start = Instant::now();
    let outcome = read_by(input);
    let took = start.elapsed();
    let outcome = match outcome {
        Ok(Read::Recipes(name, recipes, horizon)) => {
            recipes.iter().for_each(|recipe| check_recipe(recipe, horizon));
            Outcome::Accepted(name)
        }
        Ok(Read::Config(name, config)) => {
            check_config(&config, input.text.len());
            Outcome::Accepted(name)
        }
        Ok(Read::Steps) => Outcome::Accepted("steps".into()),
        Err(rule) => Outcome::Refused(rule),
    };
    (outcome, took)
}

/// What is read, or the rule that it breaks.
fn read_by(input: &Input) -> Result<Read, String> {
    let config = |name: &str, config: Config| Read::Config(name.to_owned(), Box::new(config));
    let read = match input.target {
        Target::Scheduler => scheduler(&input.text),
        Target::Optimizer => optimizer(&input.text),
        Target::File => read(&input.text, &facts(&input.facts)).map(|reading| config(reading.format, reading.config)),
        Target::Json => Config::from_json(&input.text).map(|read| config("a configuration", read)),
        Target::Toml => Config::from_toml(&input.text).map(|read| config("a configuration", read)),
        Target::Steps => {
            return input.text.parse::<steps::Selection>().map(|_| Read::Steps).map_err(|rule| plain(&rule));
        }
    };
    read.map_err(|error| rule(&error))
}

fn scheduler(text: &str) -> Result<Read, Error> {
    let fields: Value = serde_json::from_str(text).map_err(format)?;
    let text = |name: &str| fields[name].as_str().unwrap_or_default().to_owned();
    let configuration = Configuration {
        library: text("library"),
        api: text("api"),
        params: fields["params"].clone(),
        optimizer: fields["optimizer"].clone(),
        horizon: fields["horizon"].as_u64(),
        resumed_at: fields["resumed_at"].as_u64(),
    };
    let recipes = configuration.recipes()?;
    Ok(Read::Recipes(configuration.library, recipes, configuration.horizon))
}

fn optimizer(text: &str) -> Result<Read, Error> {
    let configuration: OptimizerConfiguration = serde_json::from_str(text).map_err(format)?;
    let config = configuration.config()?;
    Ok(Read::Config(configuration.library, Box::new(config)))
}

fn check_recipe(recipe: &Recipe, horizon: Option<u64>) {
    let Recipe { lr, momentum, beta1, beta2, weight_decay, metric, .. } = recipe;
    let schedules = [Some(lr), momentum.as_ref(), beta1.as_ref(), beta2.as_ref(), weight_decay.as_ref()];
    schedules.into_iter().flatten().for_each(|schedule| check_schedule(schedule, horizon));
    metric.iter().for_each(check_metric);
}

/// What the command-line tool does with a configuration that was read.
fn check_config(config: &Config, length: usize) {
    for group in &config.groups {
        group.hyperparameters().for_each(|(_, schedule)| check_schedule(schedule, None));
        group.metric.iter().for_each(check_metric);
    }
    config.metric.iter().for_each(check_metric);
    let text = config.to_json().expect("what was read is written");
    let again = Config::from_json(&text).unwrap_or_else(|error| panic!("{error} in what was written: {text}"));
    assert_eq!(&again, config, "{text}");
    if length.is_multiple_of(EMITTED) && config.groups.iter().all(|group| group.rule.is_some()) {
        let no_tensors: Vec<&[Tensor]> = config.groups.iter().map(|_| &[][..]).collect();
        // It may be refused: some options need addresses that a file cannot have.
        let _ = config.builder(&Device::host(), &no_tensors).and_then(|builder| builder.emit());
    }
}

/// An accepted schedule has a finite value at every step, and can be explained.
fn check_schedule(schedule: &Schedule, horizon: Option<u64>) {
    let len = schedule.len().unwrap_or_else(|error| panic!("accepted, and then refused: {error}"));
    let near = |step: u64| [step.saturating_sub(1), step, step.saturating_add(1)];
    let steps: Vec<u64> = [len, horizon].into_iter().flatten().flat_map(near).chain(STEPS).collect();
    let values = schedule.trace(steps.iter().copied()).unwrap_or_else(|error| panic!("accepted, and then: {error}"));
    for (step, value) in steps.iter().zip(&values) {
        assert!((*value as f32).is_finite(), "{value} at step {step}");
    }
    schedule.explain().unwrap_or_else(|error| panic!("accepted, and not explained: {error}"));
}

/// A scale of the learning rate is a number whatever is observed.
fn check_metric(metric: &Metric) {
    let check = |scale: f64| assert!(scale.is_finite(), "a scale of {scale} by {metric:?}");
    match metric {
        Metric::Plateau(rule) => {
            METRICS.iter().fold(rule.start(), |state, metric| {
                check(state.scale);
                rule.observe(state, *metric)
            });
        }
        Metric::Greedy(rule) => {
            let mut window = vec![0.0; rule.window_len()];
            METRICS.iter().fold(rule.start(), |state, metric| {
                check(state.scale);
                rule.observe(state, &mut window, *metric)
            });
        }
    }
}

fn facts(fields: &Value) -> Facts {
    let count = |name: &str| fields[name].as_u64();
    let mut facts = Facts {
        library: fields["library"].as_str().map(str::to_owned),
        steps: count("steps"),
        steps_per_epoch: count("steps_per_epoch"),
        samples_per_step: count("samples_per_step"),
        tokens_per_step: count("tokens_per_step"),
        ..Facts::default()
    };
    let values = fields["values"].as_object();
    facts.values.extend(values.unwrap_or(&Map::new()).iter().map(|(name, value)| (name.clone(), value.clone())));
    facts
}

fn format(detail: serde_json::Error) -> Error {
    Error::Format { place: "the input".into(), detail: detail.to_string() }
}

/// What an error says, the same for all values.
fn rule(error: &Error) -> String {
    match error {
        Error::Argument { argument, rule, .. } => format!("{} {}", plain(argument), plain(rule)),
        Error::Format { detail, .. } => plain(detail),
        other => plain(&other.to_string()),
    }
}

/// The first words, without numbers and what stands in quotes or lists.
fn plain(text: &str) -> String {
    let text = text.split(['`', '"', '\'', ';', '[']).next().unwrap_or_default();
    text.chars().filter(|c| !c.is_ascii_digit()).take(64).collect()
}
