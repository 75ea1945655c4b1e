//! What Keras 3.15.1 serializes: a schedule, an optimizer (`keras.optimizers.serialize`, or its `get_config`), and the `compile_config`
//! of a saved model (`keras/src/optimizers`, `keras/src/saving/serialization_lib.py`); with `callbacks`, as experiments list them.
//!
//! A schedule's clock counts calls of the optimizer; with `gradient_accumulation_steps` that is not updates, and a schedule is refused
//! beside it. A callback's clock counts epochs. `LossScaleOptimizer` is an optimizer around another. Start at [`FORMAT`].

mod callback;

use serde_json::{Map, Value, json};

use super::super::keras::is_schedule;
use super::super::keras_callbacks::CALLBACKS;
use super::super::nearest::unknown_name;
use super::super::optimizer::of_keras;
use super::super::{Configuration, OptimizerConfiguration};
use super::draft::Draft;
use super::section::Left;
use super::{Facts, Format, Section};
use crate::error::{Error, Result};
use crate::gradient::LossScale;
use callback::{Callback, callback};

pub(super) const FORMAT: Format =
    Format { name: "an object that Keras serialized", library: "keras", is: is_keras, read };

/// An optimizer around another.
const LOSS_SCALE: &str = "LossScaleOptimizer";

/// Where a saved model has its optimizer.
const COMPILED: [&str; 2] = ["compile_config", "training_config"];

/// What an optimizer is called beside a loss: by all, and in a `training_config`.
const OPTIMIZER: [&str; 2] = ["optimizer", "optimizer_config"];

const LEFT_OF_AN_OBJECT: &[Left] =
    &[(&["module", "registered_name", "build_config", "shared_object_id"], "of where the class is found")];

const LEFT_OF_A_MODEL: &[Left] = &[(
    &["module", "class_name", "config", "registered_name", "build_config", "name", "model", "keras_version", "backend"],
    "of the model",
)];

const LEFT_OF_A_COMPILATION: &[Left] = &[
    (
        &["loss", "loss_weights", "metrics", "weighted_metrics", "auto_scale_loss", "sample_weight_mode"],
        "of what is measured",
    ),
    (&["run_eagerly", "steps_per_execution", "jit_compile"], "of how the model runs"),
];

fn is_keras(fields: &Map<String, Value>) -> bool {
    let is_object =
        |of: &Map<String, Value>| of.get("class_name").is_some_and(Value::is_string) && of.contains_key("config");
    let compiled = |of: &Map<String, Value>| {
        let named = OPTIMIZER.iter().filter_map(|name| of.get(*name)?.as_object());
        named.into_iter().any(|it| is_object(it) || is_config(it))
    };
    let in_model = || COMPILED.iter().any(|name| fields.get(*name).is_some_and(Value::is_object));
    is_object(fields) || is_config(fields) || compiled(fields) || in_model() || sets_rate(fields)
}

/// Whether an optimizer, maybe by its name alone, stands beside a callback of Keras that sets its rate.
fn sets_rate(fields: &Map<String, Value>) -> bool {
    let callbacks = fields.get("callbacks").and_then(Value::as_array).into_iter().flatten();
    let mut classes = callbacks.filter_map(|callback| callback.get("class_name")?.as_str());
    fields.contains_key("optimizer") && classes.any(|class| CALLBACKS.contains(&class))
}

/// Whether it is what `get_config` gives of an optimizer.
fn is_config(fields: &Map<String, Value>) -> bool {
    ["learning_rate", "clipnorm", "global_clipnorm", "use_ema"].iter().all(|name| fields.contains_key(*name))
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    if let Some(name) = COMPILED.into_iter().find(|name| file.has(name)) {
        let Some(mut compiled) = file.section(name)? else { return Err(file.error(name, "missing", "must be given")) };
        file.leave(LEFT_OF_A_MODEL);
        return compilation(&mut compiled, facts);
    }
    if OPTIMIZER.iter().any(|name| file.has(name)) {
        file.leave(LEFT_OF_A_MODEL);
        return compilation(file, facts);
    }
    let object = Object::read(file)?;
    if is_schedule(&object.class) {
        return object.schedule(facts);
    }
    object.optimizer(None, facts)
}

/// An optimizer beside a loss, and callbacks.
fn compilation(section: &mut Section, facts: &Facts) -> Result<Draft> {
    let Some(name) = OPTIMIZER.into_iter().find(|name| section.has(name)) else {
        return Err(section.error("optimizer", "missing", "must be given: a model that was not compiled has none"));
    };
    // A class by its name alone has its defaults.
    let object = match section.peek(name).and_then(Value::as_str).map(str::to_owned) {
        Some(class) => {
            section.value(name)?;
            let known = known(&class).map_err(|rule| section.error(name, &class, rule))?;
            Object { class: known, class_place: section.place(name), place: section.place(name), config: None }
        }
        None => match section.section(name)? {
            Some(mut of) => Object::read(&mut of)?,
            None => return Err(section.error(name, "missing", "must be given")),
        },
    };
    let callback = callback(section)?;
    section.leave(LEFT_OF_A_COMPILATION);
    object.optimizer(callback, facts)
}

/// A class and its configuration.
struct Object<'n> {
    class: String,
    /// Where that is said.
    class_place: String,
    /// Where the configuration stands; empty for the file itself.
    place: String,
    /// None where only the class is given.
    config: Option<Section<'n>>,
}

impl<'n> Object<'n> {
    /// Of `{class_name, config}`, or of a configuration that says its class by its `name`.
    fn read(section: &mut Section<'n>) -> Result<Object<'n>> {
        let Some(class) = section.text("class_name")? else {
            let place = section.place("");
            let name = section.text("name")?.unwrap_or_default();
            // Keras numbers names: adam, adam_1.
            let class = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('_');
            let class = known(&class.replace('_', "")).map_err(|_| {
                section.error("name", &name, "does not say which class this is: put it as {class_name, config}")
            })?;
            let class_place = section.place("name");
            let place = place.trim_end_matches('.').to_owned();
            return Ok(Object { class, class_place, place, config: Some(section.all()) });
        };
        let custom = |module: &&str| !["keras", "tf_keras", "tensorflow"].iter().any(|own| module.starts_with(own));
        if let Some(module) = section.peek("module").and_then(Value::as_str).filter(custom) {
            let rule = "must be Keras' own: what a class of one's own does is not in the file";
            return Err(section.error("module", module, rule));
        }
        let class = if is_schedule(&class) || class == LOSS_SCALE {
            class
        } else {
            known(&class).map_err(|rule| section.error("class_name", &class, rule))?
        };
        let (class_place, place) = (section.place("class_name"), section.place("config"));
        let config = section.section("config")?;
        section.leave(LEFT_OF_AN_OBJECT);
        Ok(Object { class, class_place, place, config })
    }

    /// A schedule alone.
    fn schedule(self, facts: &Facts) -> Result<Draft> {
        let draft = Draft::schedules(Configuration {
            library: "keras".into(),
            api: self.class,
            params: self.config.map_or(Ok(json!({})), |mut config| config.rest())?,
            optimizer: Value::Null,
            horizon: facts.steps,
            resumed_at: None,
        });
        Ok(draft.place("params.", format!("{}.", self.place)).place("api", self.class_place))
    }

    fn optimizer(self, callback: Option<Callback>, facts: &Facts) -> Result<Draft> {
        let Object { class, class_place, place, config } = self;
        let Some(mut config) = config else {
            let draft = draft(&class, &place, json!({}), Value::Null, callback, facts)?;
            return Ok(draft.place("api", class_place));
        };
        if class == LOSS_SCALE {
            return loss_scaled(config, callback, facts);
        }
        let schedule = match config.peek("learning_rate") {
            Some(Value::Object(_)) => config.section("learning_rate")?,
            _ => None,
        };
        let mut schedule_place = None;
        let schedule = match schedule {
            None => Value::Null,
            Some(mut section) => {
                let Object { class, class_place, place, config } = Object::read(&mut section)?;
                if !is_schedule(&class) {
                    return Err(section.error("class_name", class, "must be a schedule"));
                }
                section.refuse_rest()?;
                schedule_place = Some((place, class_place));
                json!({"library": "keras", "api": class, "params": config.map_or(Ok(json!({})), |mut config| config.rest())?})
            }
        };
        if let Some(callback) = callback.as_ref().filter(|_| !schedule.is_null()) {
            let rule =
                format!("must be a number beside {}: Keras cannot set a rate that is a schedule", callback.class);
            return Err(config.error("learning_rate", "a schedule", rule));
        }
        let accumulate = config.count("gradient_accumulation_steps")?;
        match accumulate {
            Some(0 | 1) => {
                let rule = "must be at least 2, or null: Keras raises";
                return Err(config.error("gradient_accumulation_steps", accumulate.unwrap_or(0), rule));
            }
            Some(calls) if !schedule.is_null() => {
                let rule = "beside a schedule, which Keras asks at each call and not at each update, is not there: \
                            leave it out here, write the schedule's lengths in updates, and give the builder what accumulates";
                return Err(config.error("gradient_accumulation_steps", calls, rule));
            }
            Some(calls) if config.peek("use_ema").and_then(Value::as_bool) == Some(true) => {
                let rule = "beside use_ema, which Keras does at each call and not at each update, is not there";
                return Err(config.error("gradient_accumulation_steps", calls, rule));
            }
            _ => {}
        }
        let fixed = config.number("loss_scale_factor")?.map(LossScale::fixed);
        let calls_place = config.place("gradient_accumulation_steps");
        let scale_place = config.place("loss_scale_factor");
        let mut draft = draft(&class, &place, config.rest()?, schedule, callback, facts)?;
        (draft.accumulate, draft.loss_scale) = (accumulate, fixed);
        if let Some((of_params, of_class)) = schedule_place {
            draft.places.insert(0, ("schedule.params.".into(), format!("{of_params}.")));
            draft.places.insert(1, ("schedule.api".into(), of_class));
        }
        Ok(draft.place("api", class_place).place("accumulate", calls_place).place("loss_scale", scale_place))
    }
}

/// An optimizer whose loss scale doubles after so many updates in a row and halves when one is skipped.
fn loss_scaled(mut config: Section, callback: Option<Callback>, facts: &Facts) -> Result<Draft> {
    let Some(mut inner) = config.section("inner_optimizer")? else {
        return Err(config.error("inner_optimizer", "missing", "must be given"));
    };
    let object = Object::read(&mut inner)?;
    inner.refuse_rest()?;
    if object.class == LOSS_SCALE {
        return Err(inner.error("class_name", LOSS_SCALE, "must be another optimizer"));
    }
    let init = config.number("initial_scale")?.unwrap_or(32_768.0);
    let interval = config.count("dynamic_growth_steps")?.unwrap_or(2_000);
    let interval = u32::try_from(interval)
        .map_err(|_| config.error("dynamic_growth_steps", interval, "must be a count of updates, below 2^32"))?;
    let places = [("loss_scale.init", "initial_scale"), ("loss_scale.interval", "dynamic_growth_steps")]
        .map(|(ours, theirs)| (ours.to_owned(), config.place(theirs)));
    config.leave(&[(&["name"], "a name")]);
    for name in ["weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "gradient_accumulation_steps"] {
        if let Some(value) = config.peek(name) {
            return Err(config.error(name, value.clone(), "must be null: Keras reads it of the inner optimizer"));
        }
    }
    config.leave(&[(
        &["use_ema", "ema_momentum", "ema_overwrite_frequency", "loss_scale_factor", "dynamic"],
        "of the inner optimizer",
    )]);
    config.refuse_rest()?;
    let inner_place = object.place.clone();
    let mut draft = object.optimizer(callback, facts)?;
    if let Some(calls) = draft.accumulate {
        let rule = "beside LossScaleOptimizer, which leaves out each call whose gradients are not finite, is not there";
        return Err(Error::argument(format!("{inner_place}.gradient_accumulation_steps"), calls, rule));
    }
    // It takes the inner optimizer's own away.
    draft.loss_scale = Some(LossScale::dynamic().init(init).interval(interval));
    draft.places = places.into_iter().chain(draft.places).collect();
    Ok(draft)
}

fn draft(
    class: &str,
    place: &str,
    params: Value,
    schedule: Value,
    callback: Option<Callback>,
    facts: &Facts,
) -> Result<Draft> {
    let mut places = Vec::new();
    let schedule = match callback {
        None => schedule,
        Some(Callback { class, place, params }) => {
            places.push(("schedule.params.".to_owned(), format!("{place}.")));
            let every = match class.as_str() {
                "LearningRateScheduler" => {
                    facts.needed_steps_per_epoch("LearningRateScheduler, which acts once an epoch")?
                }
                // It acts on what is observed.
                _ => 1,
            };
            json!({"library": "keras", "api": class, "params": params, "every": every})
        }
    };
    let of = if place.is_empty() { String::new() } else { format!("{place}.") };
    let own = [("beta1", "beta_1"), ("beta2", "beta_2"), ("eps", "epsilon"), ("alpha", "rho"), ("lr", "learning_rate")];
    places.extend(own.map(|(ours, theirs)| (format!("groups[0].{ours}"), format!("{of}{theirs}"))));
    for ours in ["params.", "groups[0].", "schedule.optimizer.args."] {
        places.push((ours.to_owned(), of.clone()));
    }
    places.push(("clip.optax_norm".to_owned(), format!("{of}global_clipnorm")));
    places.push(("clip.value".to_owned(), format!("{of}clipvalue")));
    let draft = Draft::optimizer(OptimizerConfiguration {
        library: "keras".into(),
        api: class.to_owned(),
        params,
        groups: Value::Null,
        schedule,
        clip: Value::Null,
        scaler: Value::Null,
        horizon: facts.steps,
    });
    Ok(places.into_iter().fold(draft, |draft, (ours, theirs)| draft.place(ours, theirs)))
}

/// The class that `name` is, whatever its case, as Keras has it.
fn known(name: &str) -> std::result::Result<String, String> {
    let found = of_keras().find(|class| class.eq_ignore_ascii_case(name));
    found.map(str::to_owned).ok_or_else(|| {
        let known: Vec<&str> = of_keras().chain([LOSS_SCALE]).collect();
        unknown_name("an optimizer or a schedule of Keras that has a translation", name, &known)
    })
}

#[cfg(test)]
#[path = "tests/keras.rs"]
mod tests;
