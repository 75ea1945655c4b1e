//! `torch.optim.lr_scheduler` in our language.

use instep::Schedule;
use serde_json::Value;

use super::{Claim, chain, count, real, reals, whole};

/// The claims for a group with rate `base`, the `group`-th, over `steps` steps.
pub(super) fn claims(params: &Value, base: f64, group: usize, steps: u64) -> Option<Vec<Claim>> {
    match params["class"].as_str()? {
        "CyclicLR" => cyclic(params, group, steps),
        "OneCycleLR" => one_cycle(params, group),
        _ => schedule(params, base, steps).map(Claim::lr),
    }
}

fn schedule(params: &Value, base: f64, steps: u64) -> Option<Schedule> {
    Some(match params["class"].as_str()? {
        "StepLR" => Schedule::step_decay(base, real(params, "gamma"), count(params, "step_size")),
        "MultiStepLR" => multi_step(params, base),
        "ConstantLR" => {
            let first = Schedule::constant(base * real(params, "factor"));
            first.over(count(params, "total_iters")).then(Schedule::constant(base))
        }
        "LinearLR" => {
            let (start, end) = (real(params, "start_factor"), real(params, "end_factor"));
            Schedule::linear(base * start, base * end).over(count(params, "total_iters"))
        }
        "ExponentialLR" => Schedule::exponential_decay(base, real(params, "gamma")),
        "MultiplicativeLR" => Schedule::exponential_decay(base, params["lr_lambda"].as_str()?.parse::<f64>().ok()?),
        "PolynomialLR" => Schedule::polynomial(base, 0.0, real(params, "power")).over(count(params, "total_iters")),
        "CosineAnnealingLR" => {
            // It rises again past T_max, with period 2 T_max.
            let (end, n) = (real(params, "eta_min"), count(params, "T_max"));
            Schedule::cosine(base, end).over(n).then(Schedule::cosine(end, base).over(n)).repeat()
        }
        "CosineAnnealingWarmRestarts" => {
            let (end, mult) = (real(params, "eta_min"), count(params, "T_mult"));
            let lengths = std::iter::successors(Some(count(params, "T_0")), |n| Some(n * mult));
            let cycles = lengths.scan(0, |begin, n| {
                let cycle = (*begin < steps).then(|| Schedule::cosine(base, end).over(n));
                *begin += n;
                cycle
            });
            chain(cycles)
        }
        "SWALR" => {
            let (end, n) = (real(params, "swa_lr"), count(params, "anneal_epochs"));
            match params["anneal_strategy"].as_str()? {
                "cos" => Schedule::cosine(base, end).over(n),
                _ => Schedule::linear(base, end).over(n),
            }
        }
        "SequentialLR" => {
            let (mut begin, mut ends) = (0, reals(&params["milestones"]).into_iter().map(|end| end as u64));
            let pieces = params["schedulers"].as_array()?.iter().map(|piece| {
                let piece = schedule(piece, base, steps)?;
                Some(match ends.next() {
                    Some(end) => piece.over(end - std::mem::replace(&mut begin, end)),
                    None => piece,
                })
            });
            chain(pieces.collect::<Option<Vec<_>>>()?)
        }
        "ChainedScheduler" => {
            // A product where every member only multiplies.
            let members = params["schedulers"].as_array()?;
            if members.iter().any(|member| member["class"] == "CosineAnnealingLR") {
                return None;
            }
            let factors: Option<Vec<_>> = members.iter().map(|member| schedule(member, 1.0, steps)).collect();
            factors?.into_iter().fold(Schedule::constant(base), Schedule::product)
        }
        _ => return None,
    })
}

/// A milestone that is listed twice decays twice, so each listing gets a factor of its own.
fn multi_step(params: &Value, base: f64) -> Schedule {
    let gamma = real(params, "gamma");
    let mut rest: Vec<u64> = reals(&params["milestones"]).into_iter().map(|step| step as u64).collect();
    let mut schedule = Schedule::constant(base);
    while !rest.is_empty() {
        let mut once = rest.clone();
        once.dedup();
        schedule = schedule * Schedule::multi_step(1.0, gamma, once.clone());
        for step in once {
            rest.remove(rest.iter().position(|listed| *listed == step).expect("taken from it"));
        }
    }
    schedule
}

/// A number, or one a group.
fn per_group(params: &Value, name: &str, group: usize) -> f64 {
    match &params[name] {
        Value::Array(all) => all[group].as_f64().expect("a number"),
        one => one.as_f64().expect("a number"),
    }
}

fn cyclic(params: &Value, group: usize, steps: u64) -> Option<Vec<Claim>> {
    let up = count(params, "step_size_up");
    let down = params["step_size_down"].as_u64().unwrap_or(up);
    if !params["scale_fn"].is_null() || params["mode"] == "exp_range" {
        return None; // a sum with a decaying amplitude
    }
    let amplitude = if params["mode"] == "triangular2" { 0.5 } else { 1.0f64 };
    // Cycle i goes from `from` to `from + (to - from) · amplitude^i` and back.
    let cycles = |from: f64, to: f64| {
        let cycles = (0..steps.div_ceil(up + down)).map(|i| {
            let peak = from + (to - from) * amplitude.powi(i as i32);
            Schedule::linear(from, peak).over(up).then(Schedule::linear(peak, from).over(down))
        });
        chain(cycles)
    };
    let at = |name| per_group(params, name, group);
    let mut claims = Claim::lr(cycles(at("base_lr"), at("max_lr")));
    if params["cycle_momentum"] == true && params["base_momentum"].is_number() {
        claims.extend(momentum(cycles(at("max_momentum"), at("base_momentum"))));
    }
    Some(claims)
}

/// SGD's momentum is what is cycled, or Adam's beta1: whichever the case lists.
fn momentum(schedule: Schedule) -> [Claim; 2] {
    ["momentum", "beta1"].map(|quantity| Claim { quantity, schedule: schedule.clone() })
}

fn one_cycle(params: &Value, group: usize) -> Option<Vec<Claim>> {
    let total = match (params["total_steps"].as_f64(), params["epochs"].as_f64()) {
        (Some(total), _) => total,
        (None, Some(epochs)) => epochs * real(params, "steps_per_epoch"),
        (None, None) => return None,
    };
    let warm = real(params, "pct_start") * total;
    let ends = match params["three_phase"] == true {
        true => vec![warm - 1.0, 2.0 * warm - 2.0, total - 1.0],
        false => vec![warm - 1.0, total - 1.0],
    };
    // Phases may end between two steps, which our boundaries cannot.
    let ends: Vec<u64> = ends.into_iter().map(whole).collect::<Option<_>>()?;
    let phases = |values: &[f64]| {
        let begins = std::iter::once(0).chain(ends.iter().copied());
        let lengths = ends.iter().zip(begins).map(|(end, begin)| end - begin);
        chain(values.windows(2).zip(lengths).map(|(pair, n)| match params["anneal_strategy"] == "cos" {
            true => Schedule::cosine(pair[0], pair[1]).over(n),
            false => Schedule::linear(pair[0], pair[1]).over(n),
        }))
    };
    let at = |name| per_group(params, name, group);
    let (peak, init) = (at("max_lr"), at("max_lr") / at("div_factor"));
    let (low, high, end) = (at("base_momentum"), at("max_momentum"), init / at("final_div_factor"));
    let (rates, momenta) = match params["three_phase"] == true {
        true => (vec![init, peak, init, end], vec![high, low, high, high]),
        false => (vec![init, peak, end], vec![high, low, high]),
    };
    let mut claims = Claim::lr(phases(&rates));
    if params["cycle_momentum"] == true {
        claims.extend(momentum(phases(&momenta)));
    }
    Some(claims)
}
