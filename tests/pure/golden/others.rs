//! The schedulers of transformers, timm and DeepSpeed in our language.

use instep::Schedule;
use serde_json::Value;

use super::{chain, count, real, reals, whole};

/// `transformers.get_scheduler(name, …)`.
pub(super) fn transformers(p: &Value, base: f64) -> Option<Schedule> {
    let warmup = p["num_warmup_steps"].as_u64().unwrap_or(0);
    let rest = p["num_training_steps"].as_u64().map(|total| total - warmup);
    let schedule = match p["name"].as_str()? {
        "constant" | "constant_with_warmup" => Schedule::constant(base),
        "linear" => Schedule::linear(base, 0.0).over(rest?),
        "cosine" => waves(base, 0.0, rest?, real(p, "num_cycles"))?,
        "cosine_with_restarts" => {
            let cycles = count(p, "num_cycles");
            let cycle = whole(rest? as f64 / cycles as f64)?;
            Schedule::cosine(base, 0.0).over(cycle).repeat_times(cycles)
        }
        "polynomial" => Schedule::polynomial(base, real(p, "lr_end"), real(p, "power")).over(rest?),
        "cosine_with_min_lr" => {
            let end = p["min_lr"].as_f64().unwrap_or_else(|| base * real(p, "min_lr_rate"));
            waves(base, end, rest?, real(p, "num_cycles"))?
        }
        "warmup_stable_decay" => return warmup_stable_decay(p, base),
        _ => return None,
    };
    Some(schedule.warmup(warmup))
}

/// Half waves of a cosine, `2 · cycles` of them in `steps`, that go on for ever.
fn waves(from: f64, to: f64, steps: u64, cycles: f64) -> Option<Schedule> {
    let half = whole(steps as f64 / (2.0 * cycles))?;
    Some(Schedule::cosine(from, to).over(half).then(Schedule::cosine(to, from).over(half)).repeat())
}

fn warmup_stable_decay(p: &Value, base: f64) -> Option<Schedule> {
    let (warmup, decay) = (count(p, "num_warmup_steps"), count(p, "num_decay_steps"));
    let stable = match p["num_stable_steps"].as_u64() {
        Some(stable) => stable,
        None => count(p, "num_training_steps") - warmup - decay,
    };
    let low = base * real(p, "min_lr_ratio");
    let ramp = |kind: &Value, from: f64, to: f64| match kind.as_str()? {
        "linear" => Some(Schedule::linear(from, to)),
        "cosine" => Some(Schedule::cosine(from, to)),
        _ => None,
    };
    let up = ramp(&p["warmup_type"], low, base)?.over(warmup);
    let down = ramp(&p["decay_type"], base, low)?.over(decay);
    Some(up.then(Schedule::constant(base).over(stable)).then(down))
}

/// `timm.scheduler`, where the schedule itself starts after the warm-up (`warmup_prefix`) or there is none.
pub(super) fn timm(api: &str, p: &Value, base: f64) -> Option<Schedule> {
    let warmup = count(p, "warmup_t");
    if warmup > 0 && p["warmup_prefix"] != true {
        return None;
    }
    let schedule = match api.rsplit('.').next()? {
        "CosineLRScheduler" if p["k_decay"] == 1.0 => cycles(p, base, Schedule::cosine)?,
        "PolyLRScheduler" if p["k_decay"] == 1.0 => {
            let power = real(p, "power");
            cycles(p, base, |from, to| Schedule::polynomial(from, to, power))?
        }
        "StepLRScheduler" => Schedule::step_decay(base, real(p, "decay_rate"), count(p, "decay_t")),
        "MultiStepLRScheduler" => {
            // A milestone acts one step before the step that it names.
            let milestones: Vec<u64> = reals(&p["decay_t"]).into_iter().map(|step| step as u64 - 1).collect();
            Schedule::multi_step(base, real(p, "decay_rate"), milestones)
        }
        "WSDLRScheduler" if p["stable_fn"] == "constant" && p["decay_fn"] == "cosine" => {
            let decay = count(p, "decay_t");
            let stable = Schedule::constant(base).over(count(p, "t_initial") - decay);
            stable.then(Schedule::cosine(base, real(p, "lr_min")).over(decay))
        }
        _ => return None,
    };
    Some(match warmup {
        0 => schedule,
        _ => Schedule::linear(real(p, "warmup_lr_init"), base).over(warmup).then(schedule),
    })
}

/// `cycle_limit` ramps down to `lr_min`, each `cycle_mul` times as long and from `cycle_decay` times the rate before.
fn cycles(p: &Value, base: f64, ramp: impl Fn(f64, f64) -> instep::Ramp) -> Option<Schedule> {
    let (low, decay, mul) = (real(p, "lr_min"), real(p, "cycle_decay"), real(p, "cycle_mul"));
    let cycles = (0..count(p, "cycle_limit") as i32).map(|i| {
        let n = whole(real(p, "t_initial") * mul.powi(i))?;
        Some(ramp(base * decay.powi(i), low).over(n))
    });
    Some(chain(cycles.collect::<Option<Vec<_>>>()?))
}

/// `deepspeed.runtime.lr_schedules`, whose counter starts at -1: everything comes one step late.
pub(super) fn deepspeed(api: &str, p: &Value) -> Option<Schedule> {
    if p["warmup_type"] != "linear" {
        return None;
    }
    let (low, high, warmup) = (p["warmup_min_lr"].as_f64()?, real(p, "warmup_max_lr"), count(p, "warmup_num_steps"));
    let up = Schedule::constant(low).over(1).then(Schedule::linear(low, high).over(warmup));
    match api.rsplit('.').next()? {
        "WarmupLR" => Some(up),
        "WarmupDecayLR" => Some(up.then(Schedule::linear(high, low).over(count(p, "total_num_steps") - warmup))),
        _ => None,
    }
}
