//! optax's schedules, which are absolute: no optimizer gives them a base.
//!
//! optax counts in int32 and computes in float32, so that its own values repeat and jump past 2^24 updates; these are what
//! it yields with 64-bit arithmetic. Start at [`schedule`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::shapes::geometric;
use super::{Arguments, Metric, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Better, Improvement, Plateau, Schedule};

const SCHEDULES: [&str; 15] = [
    "constant_schedule",
    "linear_schedule",
    "polynomial_schedule",
    "piecewise_constant_schedule",
    "piecewise_interpolate_schedule",
    "exponential_decay",
    "cosine_decay_schedule",
    "linear_onecycle_schedule",
    "cosine_onecycle_schedule",
    "warmup_constant_schedule",
    "warmup_cosine_decay_schedule",
    "warmup_exponential_decay_schedule",
    "sgdr_schedule",
    "join_schedules",
    "reduce_on_plateau",
];

/// The one recipe of an optax schedule or of `reduce_on_plateau`.
pub(super) fn recipes(api: &str, arguments: Arguments) -> Result<Vec<Recipe>> {
    let recipe = match last_name(api) {
        "reduce_on_plateau" => reduce_on_plateau(arguments)?,
        name => Recipe::new(schedule(name, arguments)?),
    };
    Ok(vec![recipe])
}

/// A scale on the updates. optax reduces with the `patience`-th value in a row that is not better, one before torch, and
/// its relative threshold is wrong for negative values (optax#1767).
fn reduce_on_plateau(mut read: Arguments) -> Result<Recipe> {
    let (factor, patience) = (read.f64_or("factor", 0.1)?, read.steps_or("patience", 10)?);
    let (rtol, atol) = (read.f64_or("rtol", 1e-4)?, read.f64_or("atol", 0.0)?);
    let min_scale = read.f64_or("min_scale", 0.0)?;
    let (cooldown, size) = (read.steps_or("cooldown", 0)?, read.steps_or("accumulation_size", 1)?);
    if factor <= 0.0 || factor >= 1.0 {
        return Err(read.error("factor", factor, "must lie in (0, 1)"));
    }
    if !(0.0..=1.0).contains(&rtol) {
        return Err(read.error("rtol", rtol, "must lie in [0, 1]"));
    }
    if atol < 0.0 || (atol == 0.0 && rtol == 0.0) {
        return Err(read.error("atol", atol, "must not be negative, and above 0 if rtol is 0"));
    }
    if min_scale > 1.0 {
        return Err(read.error("min_scale", min_scale, "must not exceed 1: optax would raise the scale to it"));
    }
    let Some(bad) = patience.checked_sub(1) else {
        return Err(read.error("patience", 0, "must be at least 1: with 0 optax reduces whenever the value is better"));
    };
    read.finish()?;
    let improvement = Improvement::signed(Better::Lower, rtol, atol);
    let plateau = Plateau::new().factor(factor).patience(bad).improvement(improvement).cooldown(cooldown);
    let plateau = plateau.min_scale(min_scale.max(0.0)).average(size);
    plateau.check().map_err(|e| e.renamed("plateau.average", "params.accumulation_size"))?;
    Ok(Recipe { metric: Some(Metric::Plateau(plateau)), ..Recipe::new(1.0) })
}

fn schedule(name: &str, mut arguments: Arguments) -> Result<Schedule> {
    let read = &mut arguments;
    let schedule = match name {
        "constant_schedule" => Schedule::constant(read.f64("value")?),
        "linear_schedule" => linear(read)?,
        "polynomial_schedule" => polynomial(read)?,
        "piecewise_constant_schedule" => piecewise_constant(read)?,
        "piecewise_interpolate_schedule" => piecewise_interpolate(read)?,
        "exponential_decay" => {
            let init = read.f64("init_value")?;
            exponential(read, init)?
        }
        "cosine_decay_schedule" => cosine(read)?,
        "linear_onecycle_schedule" | "cosine_onecycle_schedule" => onecycle(name, read)?,
        "warmup_constant_schedule" => warmup_constant(read)?,
        "warmup_cosine_decay_schedule" => warmup_cosine(read)?,
        "warmup_exponential_decay_schedule" => warmup_exponential(read)?,
        "sgdr_schedule" => sgdr(read)?,
        "join_schedules" => join(read)?,
        other => return Err(unknown(other, &SCHEDULES)),
    };
    arguments.finish()?;
    Ok(schedule)
}

/// `(init - end) · (1 - (t - begin) / steps)^power + end` within the transition. optax takes `transition_steps` of 0 or
/// less for "never": the value stays at `init_value`, not at `end_value`. A negative `transition_begin` counts as 0.
fn transition(init: f64, end: f64, power: f64, steps: i64, begin: i64) -> Schedule {
    let Ok(steps @ 1..) = u64::try_from(steps) else { return Schedule::constant(init) };
    let ramp = match power {
        0.0 => return Schedule::constant(init),
        1.0 => Schedule::linear(init, end),
        _ => Schedule::polynomial(init, end, power),
    };
    ramp.over(steps).delay(begin.max(0) as u64)
}

fn linear(read: &mut Arguments) -> Result<Schedule> {
    let (init, end) = (read.f64("init_value")?, read.f64("end_value")?);
    Ok(transition(init, end, 1.0, read.int("transition_steps")?, read.int_or("transition_begin", 0)?))
}

fn polynomial(read: &mut Arguments) -> Result<Schedule> {
    let (init, end, power) = (read.f64("init_value")?, read.f64("end_value")?, read.f64("power")?);
    if power < 0.0 {
        return Err(read.error(
            "power",
            power,
            "must not be negative: optax divides by 0 at the end of the transition",
        ));
    }
    Ok(transition(init, end, power, read.int("transition_steps")?, read.int_or("transition_begin", 0)?))
}

/// `{step: scale}` as pairs, in rising order. As in a Python dictionary, the last of equal steps counts.
fn scales(read: &mut Arguments) -> Result<BTreeMap<u64, f64>> {
    const NAME: &str = "boundaries_and_scales";
    if !read.has(NAME) {
        read.value(NAME);
        return Ok(BTreeMap::new());
    }
    let pair = |pair: &Value| Some((pair.get(0)?.as_u64()?, pair.get(1)?.as_f64()?));
    let mut scales = BTreeMap::new();
    for value in read.list(NAME)? {
        match pair(&value) {
            Some((step, scale)) if scale >= 0.0 => scales.insert(step, scale),
            _ => {
                return Err(read.error(NAME, value, "must hold pairs of a step and a scale, neither of them negative"));
            }
        };
    }
    Ok(scales)
}

fn piecewise_constant(read: &mut Arguments) -> Result<Schedule> {
    let mut value = read.f64("init_value")?;
    let (mut boundaries, mut values) = (Vec::new(), vec![value]);
    for (boundary, scale) in scales(read)? {
        value *= scale;
        boundaries.push(boundary);
        values.push(value);
    }
    if boundaries.first() == Some(&0) {
        boundaries.remove(0);
        values.remove(0);
    }
    Ok(Schedule::piecewise_constant(boundaries, values))
}

fn piecewise_interpolate(read: &mut Arguments) -> Result<Schedule> {
    let points: [(&str, Points); 2] = [("linear", Schedule::piecewise_linear), ("cosine", Schedule::piecewise_cosine)];
    let (through, init) = (read.word("interpolate_type", &points)?, read.f64("init_value")?);
    Ok(interpolate(through, init, scales(read)?))
}

/// Values at steps, joined by straight lines or half cosines.
type Points = fn(Vec<u64>, Vec<f64>) -> Schedule;

/// From `init` at step 0 to the running product of scales at each step.
fn interpolate(through: Points, init: f64, scales: BTreeMap<u64, f64>) -> Schedule {
    let mut points = BTreeMap::from([(0, init)]);
    let mut value = init;
    for (boundary, scale) in scales {
        value *= scale;
        points.insert(boundary, value);
    }
    let (steps, values): (Vec<u64>, Vec<f64>) = points.into_iter().unzip();
    through(steps, values)
}

/// `init · rate^((t - begin) / steps)`, clipped at `end_value`. With `transition_steps` of 0 or less, or a rate of 0, optax
/// stays at the first value, and does not clip it either.
fn exponential(read: &mut Arguments, init: f64) -> Result<Schedule> {
    let (steps, rate) = (read.int("transition_steps")?, read.f64("decay_rate")?);
    let begin = read.int_or("transition_begin", 0)?.max(0) as u64;
    let (staircase, end) = (read.bool_or("staircase", false)?, read.optional_f64("end_value")?);
    let Ok(steps @ 1..) = u64::try_from(steps) else { return Ok(Schedule::constant(init)) };
    if rate == 0.0 {
        return Ok(Schedule::constant(init));
    }
    if rate < 0.0 {
        return Err(read.error("decay_rate", rate, "must not be negative: optax yields NaN between whole periods"));
    }
    let mut decay = geometric(init, rate, steps, staircase);
    if let (true, Some(end)) = (rate > 1.0 && init > 0.0, end) {
        // Growth is cut where the clip has taken over, since without an end it would be infinite. Below 0 the clip never does.
        // An end past 2^64 periods is never come to.
        let periods = ((end / init).ln() / rate.ln()).max(0.0).ceil() + 1.0;
        decay = decay.over((periods * steps as f64) as u64);
    }
    let decay = decay.delay(begin);
    Ok(match end {
        None => decay,
        Some(end) if rate < 1.0 => decay.max(end),
        Some(end) => decay.min(end),
    })
}

/// `init · ((1 - alpha) · (½ (1 + cos(π t / steps)))^exponent + alpha)`: `alpha` is a fraction of `init`.
fn cosine(read: &mut Arguments) -> Result<Schedule> {
    let (init, steps) = (read.f64("init_value")?, read.int("decay_steps")?);
    let (alpha, exponent) = (read.f64_or("alpha", 0.0)?, read.f64_or("exponent", 1.0)?);
    cosine_to(read, init, init * alpha, steps, exponent)
}

fn cosine_to(read: &Arguments, init: f64, end: f64, steps: i64, exponent: f64) -> Result<Schedule> {
    let Ok(steps @ 1..) = u64::try_from(steps) else {
        return Err(read.error("decay_steps", steps, "must leave the cosine at least one step"));
    };
    Ok(match exponent {
        0.0 => Schedule::constant(init),
        1.0 => Schedule::cosine(init, end).over(steps),
        _ => Schedule::cosine_power(init, end, exponent, 1.0).over(steps),
    })
}

/// Up, down and further down, at `int(pct · steps)`: the docstring of `linear_onecycle_schedule` names another last value
/// than its code, which divides the first value by `final_div_factor`.
fn onecycle(name: &str, read: &mut Arguments) -> Result<Schedule> {
    let (steps, peak) = (read.int("transition_steps")?, read.f64("peak_value")?);
    let Ok(total @ 1..) = u64::try_from(steps) else {
        return Err(read.error("transition_steps", steps, "must be at least 1"));
    };
    let start = read.f64_or("pct_start", 0.3)?;
    let fraction = |read: &Arguments, argument: &str, pct: f64| match pct {
        0.0..=1.0 => Ok((pct * total as f64) as u64),
        _ => Err(read.error(argument, pct, "must lie in [0, 1]")),
    };
    let mut scales = BTreeMap::new();
    let peak_at = fraction(read, "pct_start", start)?;
    let linear = name == "linear_onecycle_schedule";
    let end_at = if linear {
        let pct = read.f64_or("pct_final", 0.85)?;
        Some(fraction(read, "pct_final", pct)?)
    } else {
        None
    };
    let (div, last) = (read.f64_or("div_factor", 25.0)?, read.f64_or("final_div_factor", 1e4)?);
    for (argument, factor) in [("div_factor", div), ("final_div_factor", last)] {
        if factor <= 0.0 {
            return Err(read.error(argument, factor, "must be above 0"));
        }
    }
    scales.insert(peak_at, div);
    match end_at {
        Some(end_at) => {
            scales.insert(end_at, 1.0 / div);
            scales.insert(total, 1.0 / last);
        }
        None => {
            scales.insert(total, 1.0 / (div * last));
        }
    }
    let through: Points = if linear { Schedule::piecewise_linear } else { Schedule::piecewise_cosine };
    Ok(interpolate(through, peak / div, scales))
}

/// A warm-up that holds. With `warmup_steps` of 0 it never leaves `init_value`, see [`transition`].
fn warmup_constant(read: &mut Arguments) -> Result<Schedule> {
    let (init, peak) = (read.f64("init_value")?, read.f64("peak_value")?);
    Ok(transition(init, peak, 1.0, read.int("warmup_steps")?, 0))
}

/// `decay_steps` includes the warm-up; equal to it, optax refuses. A peak of 0 stays 0, whatever `end_value` says.
fn warmup_cosine(read: &mut Arguments) -> Result<Schedule> {
    let (init, peak) = (read.f64("init_value")?, read.f64("peak_value")?);
    let (warmup, steps) = (read.steps("warmup_steps")?, read.steps("decay_steps")?);
    let (end, exponent) = (read.f64_or("end_value", 0.0)?, read.f64_or("exponent", 1.0)?);
    let end = if peak == 0.0 { 0.0 } else { end };
    // Counts are below 2^63.
    let after = i64::try_from(steps.saturating_sub(warmup)).unwrap_or(i64::MAX);
    let decay = cosine_to(read, peak, end, after, exponent)?;
    Ok(Schedule::join([Schedule::linear(init, peak).over(warmup), decay], [warmup]))
}

fn warmup_exponential(read: &mut Arguments) -> Result<Schedule> {
    let (init, peak) = (read.f64("init_value")?, read.f64("peak_value")?);
    let warmup = read.steps("warmup_steps")?;
    let decay = exponential(read, peak)?;
    Ok(Schedule::join([Schedule::linear(init, peak).over(warmup), decay], [warmup]))
}

/// One `warmup_cosine_decay_schedule` after the other, each over its `decay_steps`.
fn sgdr(read: &mut Arguments) -> Result<Schedule> {
    let (mut pieces, mut boundaries, mut end) = (Vec::new(), Vec::new(), 0u64);
    for mut call in read.calls("cosine_kwargs")? {
        let steps = call.clone().steps("decay_steps")?;
        let before_end_of_time =
            call.error("decay_steps", steps, "must end, with the cycles before it, before step 2^64");
        pieces.push(warmup_cosine(&mut call)?);
        call.finish()?;
        end = end.checked_add(steps).ok_or(before_end_of_time)?;
        boundaries.push(end);
    }
    if pieces.is_empty() {
        return Err(read.error("cosine_kwargs", "empty", "must hold at least one cycle"));
    }
    boundaries.pop();
    Ok(Schedule::join(pieces, boundaries))
}

/// Each schedule from its boundary on, on a clock that starts there. Later boundaries win: what would begin after them
/// never shows. optax does not look at the lengths of the lists and drops what has no partner; that is refused here.
fn join(read: &mut Arguments) -> Result<Schedule> {
    let mut pieces = Vec::new();
    for mut call in read.calls("schedules")? {
        let name = call.text("function")?;
        pieces.push(schedule(&name, call)?);
    }
    let boundaries = read.steps_list("boundaries")?;
    if pieces.len() != boundaries.len() + 1 {
        let rule = format!("must be one fewer than schedules, of which there are {}", pieces.len());
        return Err(read.fault("boundaries", format!("{} steps", boundaries.len()), rule));
    }
    let starts: Vec<u64> = std::iter::once(0).chain(boundaries).collect();
    let (mut shown, mut next) = (Vec::new(), u64::MAX);
    for (piece, start) in pieces.into_iter().zip(starts).rev() {
        if start < next {
            shown.push((piece, start));
            next = start;
        }
    }
    let (pieces, starts): (Vec<Schedule>, Vec<u64>) = shown.into_iter().rev().unzip();
    Ok(Schedule::join(pieces, starts.into_iter().skip(1)))
}
