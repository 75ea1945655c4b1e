//! Burn's schedulers, which are absolute, in the form of its `LrSchedulerConfig`: fields by name.
//!
//! `step()` yields the rate of the update that follows, so the first update gets the first value. Start at [`recipes`].

use serde_json::Value;

use super::shapes::wave;
use super::{Arguments, Recipe, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

const SCHEDULERS: [&str; 8] =
    ["Linear", "Cosine", "CosineAnnealing", "Exponential", "Noam", "Step", "Composed", "Sequential"];

/// The one recipe of a scheduler.
pub(super) fn recipes(api: &str, arguments: Arguments) -> Result<Vec<Recipe>> {
    let name = api.rsplit("::").next().unwrap_or(api).trim_end_matches("Config").trim_end_matches("LrScheduler");
    Ok(vec![Recipe::new(schedule(name, arguments)?)])
}

fn schedule(name: &str, mut arguments: Arguments) -> Result<Schedule> {
    let read = &mut arguments;
    let schedule = match name {
        "Linear" => {
            let (init, end) = (initial(read)?, fraction(read, "final_lr")?);
            Schedule::linear(init, end).over(at_least_one(read, "num_iters")?)
        }
        // Nothing stops the cosine: it rises again after `num_iters`.
        "Cosine" | "CosineAnnealing" => {
            let (init, min) = (initial(read)?, read.f64_or("min_lr", 0.0)?);
            if !(0.0..=init).contains(&min) {
                return Err(read.error("min_lr", min, format!("must lie in [0, initial_lr], [0, {init}]")));
            }
            wave(init, min, 0.5, at_least_one(read, "num_iters")?, 0)
        }
        "Exponential" => {
            let (init, gamma) = (initial(read)?, fraction(read, "gamma")?);
            if gamma == 0.0 {
                return Err(read.error("gamma", gamma, "must be above 0"));
            }
            Schedule::exponential_decay(init, gamma)
        }
        "Noam" => noam(read)?,
        "Step" => {
            let (init, gamma) = (read.f64("initial_lr")?, read.f64_or("gamma", 0.1)?);
            Schedule::step_decay(init, gamma, at_least_one(read, "step_size")?)
        }
        "Composed" => composed(read)?,
        "Sequential" => sequential(read)?,
        other => return Err(unknown(other, &SCHEDULERS)),
    };
    arguments.finish()?;
    Ok(schedule)
}

fn fraction(read: &mut Arguments, name: &str) -> Result<f64> {
    match read.f64(name)? {
        value if (0.0..=1.0).contains(&value) => Ok(value),
        value => Err(read.error(name, value, "must lie in [0, 1]")),
    }
}

fn initial(read: &mut Arguments) -> Result<f64> {
    match fraction(read, "initial_lr")? {
        0.0 => Err(read.error("initial_lr", 0, "must be above 0")),
        value => Ok(value),
    }
}

fn at_least_one(read: &mut Arguments, name: &str) -> Result<u64> {
    match read.steps(name)? {
        0 => Err(read.error(name, 0, "must be at least 1")),
        steps => Ok(steps),
    }
}

/// `factor · model_size^-½ · min(s^-½, s · warmup_steps^-1.5)`, where `s` counts from 1.
fn noam(read: &mut Arguments) -> Result<Schedule> {
    let factor = read.f64("factor")?;
    let mut count = |name: &str, default: u64| match read.steps_or(name, default)? {
        0 => Err(read.error(name, 0, "must be at least 1")),
        count => Ok(count as f64),
    };
    let (warmup, size) = (count("warmup_steps", 4_000)?, count("model_size", 512)?);
    let scale = factor / size.sqrt();
    let rise = (step() + 1.0) * (1.0 / (warmup * warmup.sqrt()));
    Ok(scale * rise.min(Schedule::power_law(1.0, -0.5, 1.0)))
}

/// Each of `schedulers`: `{"Linear": {…}}`, or `{"Constant": 0.1}`.
fn children(read: &mut Arguments) -> Result<Vec<Schedule>> {
    let list = read.list("schedulers")?;
    let child = |(i, value): (usize, &Value)| {
        let path = format!("schedulers[{i}]");
        let rule = "must be one scheduler, as an object with its name as the only key";
        let mut named = value.as_object().ok_or_else(|| read.error(&path, value, rule))?.iter();
        match (named.next(), named.next()) {
            (Some((name, fields)), None) if name == "Constant" => {
                let rate = fields.as_f64().ok_or_else(|| read.error(&path, fields, "must be a number"))?;
                Ok(Schedule::constant(rate))
            }
            (Some((name, fields)), None) => schedule(name, Arguments::new(&path, fields)?),
            _ => Err(read.error(&path, value, rule)),
        }
    };
    list.iter().enumerate().map(child).collect()
}

/// The product, sum or mean of schedulers on one clock; of none, the product is 1 and the others are 0.
fn composed(read: &mut Arguments) -> Result<Schedule> {
    let children = children(read)?;
    let share = 1.0 / children.len().max(1) as f64;
    let product = || children.iter().cloned().reduce(|all, next| all * next).unwrap_or(1.0.into());
    let sum = || children.iter().cloned().reduce(|all, next| all + next).unwrap_or(0.0.into());
    let reductions: [(&str, &dyn Fn() -> Schedule); 3] =
        [("Prod", &product), ("Sum", &sum), ("Avg", &|| sum() * share)];
    Ok(read.word_or("reduction", reductions[0].1, &reductions)?())
}

/// One scheduler after the other, each on a clock that starts at its milestone.
fn sequential(read: &mut Arguments) -> Result<Schedule> {
    let (children, milestones) = (children(read)?, read.steps_list("milestones")?);
    if children.len() != milestones.len() + 1 {
        let rule = format!("must be one fewer than schedulers, of which there are {}", children.len());
        return Err(read.fault("milestones", format!("{} steps", milestones.len()), rule));
    }
    if milestones.first() == Some(&0) || !milestones.is_sorted_by(|a, b| a < b) {
        return Err(read.error("milestones", format!("{milestones:?}"), "must be above 0 and strictly rising"));
    }
    Ok(Schedule::join(children, milestones))
}
