//! What a scheduler makes of the groups of an optimizer, asked of the translation of schedulers.

use serde_json::{Map, Value, json};

use super::super::{Configuration, Recipe};
use super::{Class, Group, OptimizerConfiguration};
use crate::error::{Error, Result};
use crate::schedule::Schedule;

/// A recipe for each group, or one for all; none without a scheduler.
pub(super) fn recipes(
    optimizer: &OptimizerConfiguration,
    class: &Class,
    params: &Value,
    groups: &[Group],
) -> Result<Vec<Recipe>> {
    let (schedule, every) = called_every(&optimizer.schedule)?;
    let Some((library, api, arguments)) = call(&schedule)? else { return Ok(Vec::new()) };
    let (lr_name, default) = class.lr;
    let given = params.get(lr_name).filter(|lr| !lr.is_null()).cloned();
    let lr = given.clone().or(default.map(Value::from));
    let mut args = params.clone();
    if let (Value::Object(args), Some(lr)) = (&mut args, &lr) {
        args.insert("lr".into(), lr.clone());
    }
    let options: Vec<&Value> = groups.iter().map(|group| &group.options).collect();
    // What is in absolute rates looks at no optimizer.
    let absolute = library == "optax";
    let of = json!({"class": optimizer.qualified(), "args": args, "groups": options});
    let configuration = Configuration {
        library,
        api,
        params: arguments,
        optimizer: if absolute { Value::Null } else { of },
        horizon: optimizer.horizon.map(|steps| steps.div_ceil(every)),
        resumed_at: None,
    };
    let mut recipes = configuration.recipes().map_err(|e| e.within("schedule."))?;
    recipes.iter_mut().for_each(|recipe| recipe.every(every));
    if absolute && optimizer.library == "optax" {
        let own = |group: &Group| group.options.get(lr_name).filter(|lr| !lr.is_null()).cloned();
        if recipes.len() == 1 && groups.iter().any(|group| own(group).is_some()) {
            recipes = vec![recipes.remove(0); groups.len()];
        }
        for (i, recipe) in recipes.iter_mut().enumerate() {
            let of_group = groups.get(i).and_then(own);
            let place = match &of_group {
                Some(_) => format!("groups[{i}].options.{lr_name}"),
                None => format!("params.{lr_name}"),
            };
            // A default is none beside a schedule, but what a metric scales.
            let of_optimizer = if recipe.metric.is_some() { &lr } else { &given };
            match (recipe.metric, of_group.as_ref().or(of_optimizer.as_ref())) {
                // `reduce_on_plateau` scales updates, whose rate stands with the optimizer.
                (Some(_), Some(lr)) => recipe.lr = lr.as_f64().unwrap_or(f64::NAN).into(),
                (None, None) => {}
                (Some(_), None) => return Err(Error::argument(place, "missing", "must be given")),
                (None, Some(lr)) => {
                    let rule = "the schedule is the rate in optax: leave one of them out";
                    return Err(Error::argument(place, lr, rule));
                }
            }
        }
    }
    Ok(recipes)
}

/// The schedule of optax that `{function, …}` at `place` is.
pub(super) fn of_optax(place: &str, call_of: &Value) -> Result<Schedule> {
    let wrong = |rule: &str| Error::argument(place, call_of, rule);
    let Some((library, api, params)) = call(call_of)? else { return Err(wrong("must be a number or a schedule")) };
    if library != "optax" {
        return Err(wrong("must be a schedule of optax"));
    }
    let (optimizer, horizon, resumed_at) = (Value::Null, None, None);
    let configuration = Configuration { library, api, params, optimizer, horizon, resumed_at };
    let mut recipes = configuration.recipes().map_err(|e| e.within(&format!("{place}.")))?;
    Ok(recipes.remove(0).lr)
}

/// `schedule` without its `every`, and that: the updates between two calls of the scheduler, 1 if nothing is said.
fn called_every(schedule: &Value) -> Result<(Value, u64)> {
    const EVERY: &str = "every";
    let mut schedule = schedule.clone();
    let every = match schedule.as_object_mut().and_then(|fields| fields.remove(EVERY)) {
        None | Some(Value::Null) => 1,
        Some(every) => match every.as_u64().filter(|updates| *updates > 0) {
            Some(updates) => updates,
            None => {
                let rule = "must be a count of updates between two calls of the scheduler, at least 1";
                return Err(Error::argument(format!("schedule.{EVERY}"), every, rule));
            }
        },
    };
    Ok((schedule, every))
}

/// The library, name and arguments of a scheduler; None for null.
fn call(schedule: &Value) -> Result<Option<(String, String, Value)>> {
    let fields = match schedule {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        other => return Err(Error::argument("schedule", other, "must be an object, or null")),
    };
    let text = |name: &str| match fields.get(name) {
        Some(Value::String(text)) => Ok(Some(text.clone())),
        None => Ok(None),
        Some(other) => Err(Error::argument(format!("schedule.{name}"), other, "must be a text")),
    };
    let without = |name: &str| {
        let left: Map<_, _> =
            fields.iter().filter(|(key, _)| *key != name).map(|(k, v)| (k.clone(), v.clone())).collect();
        Value::Object(left)
    };
    if let (Some(library), Some(api)) = (text("library")?, text("api")?) {
        if let Some(other) = fields.keys().find(|key| !["library", "api", "params"].contains(&key.as_str())) {
            return Err(Error::argument(
                format!("schedule.{other}"),
                &fields[other],
                "beside library and api stand params alone",
            ));
        }
        let params = fields.get("params").cloned().unwrap_or_else(|| json!({}));
        return Ok(Some((library, api, params)));
    }
    if let Some(function) = text("function")? {
        return Ok(Some(("optax".into(), function, without("function"))));
    }
    match text("class")? {
        Some(class) if class == "hf" => {
            Ok(Some(("transformers".into(), "transformers.get_scheduler".into(), without("class"))))
        }
        Some(class) => Ok(Some(("torch".into(), class, schedule.clone()))),
        None => Err(Error::argument("schedule", schedule, "must have a class, a function, or library and api")),
    }
}
