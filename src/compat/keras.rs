//! Keras' schedules, which are absolute.
//!
//! Keras computes in float32 unless told otherwise; these are the values of float64. `CosineDecay` does not count the
//! warm-up in `decay_steps`, where optax does.

use super::cycles::{Cycles, Shape};
use super::shapes::geometric;
use super::{Arguments, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// The one recipe of a schedule.
pub(super) fn recipes(api: &str, mut arguments: Arguments) -> Result<Vec<Recipe>> {
    let read = &mut arguments;
    read.optional_text("name")?;
    let lr = match last_name(api) {
        "ExponentialDecay" => exponential(read)?,
        "PiecewiseConstantDecay" => piecewise_constant(read)?,
        "PolynomialDecay" => polynomial(read)?,
        "InverseTimeDecay" => inverse_time(read)?,
        "CosineDecay" => cosine(read)?,
        "CosineDecayRestarts" => cosine_restarts(read)?,
        _ => return Err(unknown(api)),
    };
    arguments.finish()?;
    Ok(vec![Recipe::new(lr)])
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
        return Err(read.error("values", format!("{} values", values.len()), rule));
    }
    if boundaries.is_empty() || !boundaries.is_sorted() {
        let rule = "must hold at least one step, in rising order: Keras adds up what overlaps";
        return Err(read.error("boundaries", format!("{boundaries:?}"), rule));
    }
    let (mut starts, mut levels) = (Vec::new(), vec![values[0]]);
    for (boundary, value) in boundaries.iter().zip(&values[1..]) {
        let start = boundary.saturating_add(1);
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
    let cycles = Cycles { shape, first, end: 0.0, length_factor: longer, decay, limit: u64::MAX };
    cycles.check().map_err(|rule| read.error("t_mul", longer, rule))?;
    Ok(init * alpha + cycles.schedule(init * (1.0 - alpha)))
}
