//! Keras' schedules, which are absolute, as of 3.15.1 (`keras/src/optimizers/schedules/learning_rate_schedule.py`); callbacks, which
//! act on an optimizer's rate, are in `keras_callbacks`.
//!
//! A schedule's clock counts updates, from 0. It comes by its class, or as `serialize` gives it: by `class_name` and `config`, alone or
//! as the `learning_rate` of an optimizer.
//!
//! Keras computes in float32 unless told otherwise; these are the values of float64. `CosineDecay` does not count the
//! warm-up in `decay_steps`, where optax does.

use super::cycles::{Cycles, FOR_EVER, Shape};
use super::keras_callbacks::{self, CALLBACKS};
use super::nearest::unknown_name;
use super::shapes::geometric;
use super::{Arguments, Group, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

const SCHEDULES: [&str; 6] = [
    "ExponentialDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "InverseTimeDecay",
    "CosineDecay",
    "CosineDecayRestarts",
];

/// What holds a serialized object: `keras.optimizers.schedules.serialize` and `keras.optimizers.serialize`.
const MODULES: [&str; 2] = ["schedules", "optimizers"];

/// What a serialized object has beside its class and its configuration.
const BESIDE: [&str; 4] = ["module", "registered_name", "build_config", "name"];

/// Whether it is a schedule.
pub(super) fn is_schedule(class: &str) -> bool {
    SCHEDULES.contains(&class)
}

/// The one recipe of a schedule; of a callback one for each of `groups`.
pub(super) fn recipes(
    api: &str,
    mut arguments: Arguments,
    groups: &[Group],
    horizon: Option<u64>,
) -> Result<Vec<Recipe>> {
    let name = last_name(api);
    if arguments.has("class_name") && MODULES.contains(&name) {
        return serialized(arguments, groups, horizon);
    }
    if CALLBACKS.contains(&name) {
        return keras_callbacks::recipes(name, arguments, groups, horizon);
    }
    let read = &mut arguments;
    read.optional_text("name")?;
    let lr = match name {
        "ExponentialDecay" => exponential(read)?,
        "PiecewiseConstantDecay" => piecewise_constant(read)?,
        "PolynomialDecay" => polynomial(read)?,
        "InverseTimeDecay" => inverse_time(read)?,
        "CosineDecay" => cosine(read)?,
        "CosineDecayRestarts" => cosine_restarts(read)?,
        _ => return Err(unknown(api, &[&SCHEDULES[..], &CALLBACKS[..]].concat())),
    };
    arguments.finish()?;
    Ok(vec![Recipe::new(lr)])
}

/// What `serialize` gives of a schedule, or of an optimizer: its `learning_rate`, a number or a schedule.
fn serialized(mut arguments: Arguments, groups: &[Group], horizon: Option<u64>) -> Result<Vec<Recipe>> {
    let class = arguments.text("class_name")?;
    let mut config = arguments.call("config")?;
    for name in BESIDE {
        arguments.value(name);
    }
    if SCHEDULES.contains(&class.as_str()) {
        arguments.finish()?;
        return recipes(&class, config, groups, horizon);
    }
    let Some(lr) = config.value("learning_rate") else {
        let known = [&SCHEDULES[..], &["an optimizer with a learning_rate"][..]].concat();
        return Err(arguments.fault("class_name", &class, unknown_name("a schedule", &class, &known)));
    };
    arguments.finish()?;
    match lr.as_f64() {
        Some(lr) => Ok(vec![Recipe::new(lr)]),
        None => serialized(Arguments::new("params.config.learning_rate", &lr)?, groups, horizon),
    }
}

fn length(read: &mut Arguments, name: &str) -> Result<u64> {
    match read.steps(name)? {
        0 => Err(read.error(name, 0, "must be above 0")),
        steps => Ok(steps),
    }
}

fn not_below_zero(read: &mut Arguments, name: &str, why: &str) -> Result<f64> {
    match read.f64(name)? {
        value if value < 0.0 => Err(read.error(name, value, format!("must not be negative: {why}"))),
        value => Ok(value),
    }
}

fn exponential(read: &mut Arguments) -> Result<Schedule> {
    let (init, steps) = (read.f64("initial_learning_rate")?, length(read, "decay_steps")?);
    let rate = not_below_zero(read, "decay_rate", "Keras yields NaN between whole periods")?;
    Ok(geometric(init, rate, steps, read.bool_or("staircase", false)?))
}

/// `values[i]` up to and including `boundaries[i]`: one step longer than in optax. Without boundaries Keras fails at the
/// first step.
fn piecewise_constant(read: &mut Arguments) -> Result<Schedule> {
    let boundaries = read.steps_list("boundaries")?;
    let values = read.optional_numbers("values")?.ok_or_else(|| read.missing("values"))?;
    if values.len() != boundaries.len() + 1 {
        let rule = format!("must be one more than boundaries, of which there are {}", boundaries.len());
        return Err(read.fault("values", format!("{} values", values.len()), rule));
    }
    if boundaries.is_empty() || !boundaries.is_sorted() {
        let rule = "must hold at least one step, in rising order: Keras adds up what overlaps";
        return Err(read.error("boundaries", format!("{boundaries:?}"), rule));
    }
    let (mut starts, mut levels) = (Vec::new(), vec![values[0]]);
    for (boundary, value) in boundaries.iter().zip(&values[1..]) {
        let start = boundary + 1;
        if starts.last() == Some(&start) {
            levels.pop();
        } else {
            starts.push(start);
        }
        levels.push(*value);
    }
    Ok(Schedule::piecewise_constant(starts, levels))
}

/// `(init - end) · (1 - t / steps)^power + end`. With `cycle`, `steps` is the next whole multiple of itself at or after `t`
/// (itself at 0), so that the value comes down to `end` again and again, from lower and lower.
fn polynomial(read: &mut Arguments) -> Result<Schedule> {
    let (init, steps) = (read.f64("initial_learning_rate")?, length(read, "decay_steps")?);
    let (end, power) = (read.f64_or("end_learning_rate", 1e-4)?, read.f64_or("power", 1.0)?);
    if power < 0.0 {
        return Err(read.error("power", power, "must not be negative: Keras divides by 0 at the end"));
    }
    let cycle = read.bool_or("cycle", false)?;
    if power == 0.0 {
        return Ok(Schedule::constant(init));
    }
    if !cycle {
        return Ok(Schedule::polynomial(init, end, power).over(steps));
    }
    let left = (-step()).modulo(steps as f64);
    let share = left.clone() / (step() + left);
    let falling = end + (init - end) * if power == 1.0 { share } else { share.pow(power) };
    Ok(step().less(1.0).select(init, falling))
}

fn inverse_time(read: &mut Arguments) -> Result<Schedule> {
    let (init, steps) = (read.f64("initial_learning_rate")?, length(read, "decay_steps")?);
    let rate = not_below_zero(read, "decay_rate", "Keras divides by 0 on the way")?;
    Ok(if read.bool_or("staircase", false)? {
        Schedule::inverse_time(init, rate).every(steps)
    } else {
        Schedule::inverse_time(init, rate / steps as f64)
    })
}

/// Half a cosine from the rate, or after a warm-up from `warmup_target`, to `alpha` of it. Without `warmup_target` there is
/// no warm-up, whatever `warmup_steps` says.
fn cosine(read: &mut Arguments) -> Result<Schedule> {
    let (init, steps) = (read.f64("initial_learning_rate")?, length(read, "decay_steps")?);
    let (alpha, warmup) = (read.f64_or("alpha", 0.0)?, read.steps_or("warmup_steps", 0)?);
    Ok(match read.optional_f64("warmup_target")? {
        None => Schedule::cosine(init, init * alpha).over(steps),
        Some(peak) => {
            let decay = Schedule::cosine(peak, peak * alpha).over(steps);
            Schedule::join([Schedule::linear(init, peak).over(warmup), decay], [warmup])
        }
    })
}

/// Half cosines to `alpha` of the rate, each `t_mul` as long and `m_mul` as high, for ever.
fn cosine_restarts(read: &mut Arguments) -> Result<Schedule> {
    let (init, first) = (read.f64("initial_learning_rate")?, length(read, "first_decay_steps")?);
    let (longer, alpha) = (read.f64_or("t_mul", 2.0)?, read.f64_or("alpha", 0.0)?);
    let decay = read.f64_or("m_mul", 1.0)?;
    if longer < 1.0 {
        let rule = "must be at least 1: Keras yields NaN once the shrinking cycles are used up";
        return Err(read.error("t_mul", longer, rule));
    }
    let shape = Shape::Cosine { k: 1.0 };
    let cycles = Cycles { shape, first, end: 0.0, length_factor: longer, decay, limit: FOR_EVER };
    cycles.check().map_err(|rule| read.error("t_mul", longer, rule))?;
    Ok(init * alpha + cycles.schedule(init * (1.0 - alpha)))
}
