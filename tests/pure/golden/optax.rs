//! `optax.schedules` in our language.

use instep::Schedule;
use serde_json::Value;

use super::{chain, count, real};

pub(super) fn schedule(function: &str, p: &Value) -> Option<Schedule> {
    Some(match function {
        "constant_schedule" => Schedule::constant(real(p, "value")),
        "linear_schedule" => {
            let ramp = Schedule::linear(real(p, "init_value"), real(p, "end_value"));
            delayed(p, ramp.over(count(p, "transition_steps")))
        }
        "polynomial_schedule" => {
            let ramp = Schedule::polynomial(real(p, "init_value"), real(p, "end_value"), real(p, "power"));
            delayed(p, ramp.over(count(p, "transition_steps")))
        }
        "piecewise_constant_schedule" => {
            let drops = scales(p).into_iter().map(|(step, scale)| Schedule::multi_step(1.0, scale, [step]));
            drops.fold(Schedule::constant(real(p, "init_value")), Schedule::product)
        }
        "piecewise_interpolate_schedule" => {
            let cosine = p["interpolate_type"] == "cosine";
            interpolate(real(p, "init_value"), &scales(p), if cosine { Schedule::cosine } else { Schedule::linear })
        }
        "exponential_decay" => delayed(p, exponential(p, real(p, "init_value"))),
        "cosine_decay_schedule" if real(p, "exponent") == 1.0 => {
            let init = real(p, "init_value");
            Schedule::cosine(init, init * real(p, "alpha")).over(count(p, "decay_steps"))
        }
        "cosine_onecycle_schedule" => {
            let steps = count(p, "transition_steps");
            let (div, last) = (real(p, "div_factor"), real(p, "final_div_factor"));
            let scales = [((real(p, "pct_start") * steps as f64) as u64, div), (steps, 1.0 / (div * last))];
            interpolate(real(p, "peak_value") / div, &scales, Schedule::cosine)
        }
        "linear_onecycle_schedule" => {
            let steps = count(p, "transition_steps");
            let at = |name| (real(p, name) * steps as f64) as u64;
            let (div, last) = (real(p, "div_factor"), real(p, "final_div_factor"));
            let scales = [(at("pct_start"), div), (at("pct_final"), 1.0 / div), (steps, 1.0 / last)];
            interpolate(real(p, "peak_value") / div, &scales, Schedule::linear)
        }
        "warmup_constant_schedule" => warmup(p),
        "warmup_cosine_decay_schedule" => warmup_cosine(p)?,
        "warmup_exponential_decay_schedule" => warmup(p).then(delayed_by(
            count(p, "transition_begin"),
            real(p, "peak_value"),
            exponential(p, real(p, "peak_value")),
        )),
        "sgdr_schedule" => {
            let cycles = p["cosine_kwargs"].as_array()?.iter();
            chain(cycles.map(warmup_cosine).collect::<Option<Vec<_>>>()?)
        }
        "join_schedules" => {
            let mut begin = 0;
            let mut ends = p["boundaries"].as_array()?.iter().map(|end| end.as_u64().expect("a count"));
            let pieces = p["schedules"].as_array()?.iter().map(|piece| {
                let piece = schedule(piece["function"].as_str()?, piece)?;
                Some(match ends.next() {
                    Some(end) => piece.over(end - std::mem::replace(&mut begin, end)),
                    None => piece,
                })
            });
            chain(pieces.collect::<Option<Vec<_>>>()?)
        }
        _ => return None,
    })
}

/// After `transition_begin` steps at the first value.
fn delayed(p: &Value, schedule: Schedule) -> Schedule {
    delayed_by(count(p, "transition_begin"), real(p, "init_value"), schedule)
}

fn delayed_by(steps: u64, init: f64, schedule: Schedule) -> Schedule {
    Schedule::constant(init).over(steps).then(schedule)
}

/// `[[step, scale], …]`.
fn scales(p: &Value) -> Vec<(u64, f64)> {
    let pairs = p["boundaries_and_scales"].as_array().expect("a list").iter();
    pairs.map(|pair| (pair[0].as_u64().expect("a count"), pair[1].as_f64().expect("a number"))).collect()
}

fn interpolate(init: f64, scales: &[(u64, f64)], ramp: impl Fn(f64, f64) -> instep::Ramp) -> Schedule {
    let (mut begin, mut from) = (0, init);
    chain(scales.iter().map(|(end, scale)| {
        let to = from * scale;
        ramp(std::mem::replace(&mut from, to), to).over(end - std::mem::replace(&mut begin, *end))
    }))
}

fn exponential(p: &Value, init: f64) -> Schedule {
    let (rate, steps) = (real(p, "decay_rate"), count(p, "transition_steps"));
    let decay = match p["staircase"] == true {
        true => Schedule::step_decay(init, rate, steps),
        false => Schedule::exponential_decay(init, rate.powf(1.0 / steps as f64)),
    };
    match p["end_value"].as_f64() {
        Some(end) => decay.clamp(init.min(end), init.max(end)),
        None => decay,
    }
}

fn warmup(p: &Value) -> Schedule {
    Schedule::linear(real(p, "init_value"), real(p, "peak_value")).over(count(p, "warmup_steps"))
}

fn warmup_cosine(p: &Value) -> Option<Schedule> {
    if p["exponent"].as_f64().is_some_and(|exponent| exponent != 1.0) {
        return None;
    }
    let rest = count(p, "decay_steps") - count(p, "warmup_steps");
    Some(warmup(p).then(Schedule::cosine(real(p, "peak_value"), real(p, "end_value")).over(rest)))
}
