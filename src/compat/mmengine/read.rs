//! Arguments of MMEngine's schedulers, with its defaults; what it refuses, or divides by zero for, is refused here.

use serde_json::{Value, json};

use super::super::shapes::drops;
use super::super::{Arguments, Group, torch, unknown};
use super::{Fall, Kind, Low, Member, SCHEDULERS};
use crate::error::{Error, Result};
use crate::schedule::Schedule;

/// What MMEngine takes for no end.
const NO_END: f64 = 1e9;

/// The loop that calls the schedulers.
pub(super) struct Run {
    pub epoch_length: Option<u64>,
    pub max_epochs: Option<u64>,
    pub max_iters: Option<u64>,
}

impl Low {
    fn read(read: &mut Arguments, default: Option<f64>) -> Result<Low> {
        match (read.optional_f64("eta_min")?, read.optional_f64("eta_min_ratio")?) {
            (Some(rate), None) => Ok(Low::Rate(rate)),
            (None, Some(part)) => Ok(Low::Part(part)),
            (None, None) => {
                default.map(Low::Rate).ok_or_else(|| read.missing_unless("eta_min", "must be given, or eta_min_ratio"))
            }
            (Some(rate), Some(_)) => Err(read.error("eta_min", rate, "must be left out beside eta_min_ratio")),
        }
    }
}

impl Member {
    pub fn read(name: &str, class: &str, mut arguments: Arguments, run: &Run, groups: &[Group]) -> Result<Member> {
        let whole = arguments.clone();
        let read = &mut arguments;
        let class = of_rates(name, class, read)?;
        let by_epoch = read.bool_or("by_epoch", true)?;
        let converted = read.bool_or("convert_to_iter_based", false)?;
        if converted && !by_epoch {
            return Err(read.error("convert_to_iter_based", true, "must be false where by_epoch is"));
        }
        let epoch = if by_epoch { epoch_length(read, run)? } else { 1 };
        let clock = Clock { scale: if converted { epoch } else { 1 }, unit: if converted { 1 } else { epoch } };
        let (begin, end) = clock.span(read, run, by_epoch)?;
        let last_step = read.int_or("last_step", -1)?;
        if last_step != -1 {
            return Err(read.error("last_step", last_step, "must be -1: a run that goes on has the step itself"));
        }
        read.value("verbose");
        read.value("_scope_");
        let len = end.map(|end| end - begin);
        let kind = match class.as_str() {
            "ReduceOnPlateauLR" => plateau(read, begin, end, run, groups)?,
            "OneCycleLR" => one_cycle(read, &clock, len, groups)?,
            _ => kind(read, name, &class, &clock, len)?,
        };
        arguments.finish()?;
        Ok(Member { arguments: whole, class, begin, len, unit: clock.unit, kind })
    }
}

/// The class as one of the learning rate's.
fn of_rates(name: &str, class: &str, read: &mut Arguments) -> Result<String> {
    if let Some(moves) = class.strip_suffix("Momentum").filter(|moves| !moves.is_empty()) {
        let rule = format!("moves the momentum, which is not there yet; {moves}LR moves the rate");
        return Err(read.error(name, class, rule));
    }
    match class.strip_suffix("ParamScheduler") {
        None => Ok(class.into()),
        Some(kind) => {
            read.word("param_name", &[("lr", ())])?;
            Ok(format!("{kind}LR"))
        }
    }
}

fn epoch_length(read: &Arguments, run: &Run) -> Result<u64> {
    match run.epoch_length {
        Some(0) => Err(Error::argument("params.epoch_length", 0, "must be at least 1")),
        Some(length) => Ok(length),
        None => Err(read.fault("by_epoch", true, "needs epoch_length, the iterations in an epoch")),
    }
}

/// What counts become: `scale` times as many where epochs are converted to iterations; each then takes `unit` iterations.
struct Clock {
    scale: u64,
    unit: u64,
}

impl Clock {
    /// `begin`, and `end` if there is one.
    fn span(&self, read: &mut Arguments, run: &Run, by_epoch: bool) -> Result<(u64, Option<u64>)> {
        let mut place = |name: &str, default: Option<u64>| -> Result<f64> {
            let given = read.optional_f64(name)?.or(default.map(|count| count as f64));
            let count = given.ok_or_else(|| {
                read.missing_unless(
                    name,
                    "must be given where the length of the run is not: it is that if nothing is said",
                )
            })?;
            // Only what is converted may be a part of an epoch, and is cut to iterations.
            if count < 0.0 || self.scale == 1 && count.fract() != 0.0 {
                return Err(read.error(name, count, "must be a count, not negative"));
            }
            Ok(count)
        };
        let begin = place("begin", Some(0))?;
        let end = place("end", if by_epoch { run.max_epochs } else { run.max_iters })?;
        if end <= begin {
            return Err(read.error("end", end, format!("must be above begin, {begin}")));
        }
        let scaled = |count: f64| (count * self.scale as f64) as u64;
        let end = (end < NO_END).then_some(scaled(end));
        if end == Some(scaled(begin)) {
            return Err(read.error("begin", begin, "must be at least an iteration before end"));
        }
        Ok((scaled(begin), end))
    }

    fn counts(&self, read: &mut Arguments, name: &str) -> Result<Option<u64>> {
        match read.optional_steps(name)? {
            Some(0) => Err(read.error(name, 0, "must be at least 1")),
            counts => Ok(counts.map(|counts| counts.saturating_mul(self.scale))),
        }
    }
}

fn kind(read: &mut Arguments, name: &str, class: &str, clock: &Clock, len: Option<u64>) -> Result<Kind> {
    // The last count, by which some have come to their end.
    let last = len.map_or(NO_END as u64, |len| len - 1);
    Ok(match class {
        "ConstantLR" => {
            let factor = within(read, "factor", 1.0 / 3.0)?;
            if factor == 0.0 && last > 0 && len.is_some() {
                return Err(read.error("factor", factor, "must be above 0: MMEngine divides by it at the end"));
            }
            Kind::Factor(if last == 0 { factor.into() } else { Schedule::piecewise_constant([last], [factor, 1.0]) })
        }
        "LinearLR" => {
            let (start, end) = (within(read, "start_factor", 1.0 / 3.0)?, within(read, "end_factor", 1.0)?);
            if start == 0.0 && last > 0 {
                return Err(read.error("start_factor", start, "must be above 0: MMEngine divides by it"));
            }
            Kind::Factor(if last == 0 { start.into() } else { Schedule::linear(start, end).over(last) })
        }
        "StepLR" => {
            let size = clock.counts(read, "step_size")?.ok_or_else(|| read.missing("step_size"))?;
            Kind::Factor(Schedule::step_decay(1.0, read.f64_or("gamma", 0.1)?, size))
        }
        "MultiStepLR" => {
            let mut milestones = read.steps_list("milestones")?;
            milestones.sort_unstable();
            let milestones = milestones.into_iter().map(|count| count.saturating_mul(clock.scale));
            Kind::Factor(drops(1.0, read.f64_or("gamma", 0.1)?, milestones))
        }
        "ExponentialLR" => Kind::Factor(Schedule::exponential_decay(1.0, read.f64("gamma")?)),
        "CosineAnnealingLR" => {
            let low = Low::read(read, Some(0.0))?;
            let given = match read.peek("T_max").and_then(Value::as_f64) {
                // As if it were not given.
                Some(0.0) => {
                    read.value("T_max");
                    None
                }
                _ => clock.counts(read, "T_max")?,
            };
            let counts = given.or(len).unwrap_or(NO_END as u64);
            Kind::Fall { fall: Fall::Cosine, counts, low }
        }
        "PolyLR" => {
            let (low, power) = (Low::Rate(read.f64_or("eta_min", 0.0)?), read.f64_or("power", 1.0)?);
            if power < 0.0 {
                return Err(read.error("power", power, "must not be negative: MMEngine divides by zero at the end"));
            }
            if power == 0.0 || last == 0 {
                return Ok(Kind::Factor(1.0.into()));
            }
            Kind::Fall { fall: Fall::Poly(power), counts: last, low }
        }
        "CosineRestartLR" => {
            let periods = read.steps_list("periods")?;
            let weights = read.optional_numbers("restart_weights")?.unwrap_or_else(|| vec![1.0]);
            if periods.len() != weights.len() {
                let rule = format!("must be as many as periods, {}", periods.len());
                return Err(read.fault("restart_weights", format!("{} weights", weights.len()), rule));
            }
            if let Some(i) = periods.iter().position(|period| *period == 0) {
                return Err(read.error(&format!("periods[{i}]"), 0, "must be at least 1"));
            }
            let periods = periods.into_iter().map(|period| period.saturating_mul(clock.scale)).collect();
            Kind::Restarts { periods, weights, low: Low::read(read, None)? }
        }
        _ => return Err(unknown_class(read, name, class)),
    })
}

fn unknown_class(read: &Arguments, name: &str, class: &str) -> Error {
    match (name, unknown(class, &SCHEDULERS)) {
        ("api", error) => error,
        (_, Error::Argument { rule, .. }) => read.error(name, class, rule),
        (_, error) => error,
    }
}

/// A factor in [0, 1].
fn within(read: &mut Arguments, name: &str, default: f64) -> Result<f64> {
    let factor = read.f64_or(name, default)?;
    match (0.0..=1.0).contains(&factor) {
        true => Ok(factor),
        false => Err(read.error(name, factor, "must lie between 0 and 1")),
    }
}

/// torch's `OneCycleLR` under MMEngine's names, without the momentum.
fn one_cycle(read: &mut Arguments, clock: &Clock, len: Option<u64>, groups: &[Group]) -> Result<Kind> {
    let total = clock.counts(read, "total_steps")?.or(len).ok_or_else(|| read.missing("total_steps"))?;
    if len.is_none_or(|len| len > total + 1) {
        return Err(read.error("total_steps", total, "must reach the end: MMEngine raises at a step after it"));
    }
    let mut params =
        json!({"total_steps": total, "cycle_momentum": false, "max_lr": read.value("eta_max").unwrap_or(json!(0))});
    for name in ["pct_start", "anneal_strategy", "div_factor", "final_div_factor", "three_phase"] {
        if let Some(value) = read.value(name) {
            params[name] = value;
        }
    }
    let recipes = torch::recipes("OneCycleLR", read.others(&params)?, groups, Some(total), None)
        .map_err(|error| renamed(error, &[("eta_max", "max_lr")]))?;
    Ok(Kind::Absolute(recipes.into_iter().map(|recipe| recipe.lr).collect()))
}

/// torch's plateau under MMEngine's names.
fn plateau(read: &mut Arguments, begin: u64, end: Option<u64>, run: &Run, groups: &[Group]) -> Result<Kind> {
    if begin != 0 {
        return Err(read.error("begin", begin, "must be 0: metrics that do not count are not there yet"));
    }
    if let Some(end) = end.filter(|end| run.max_epochs.is_none_or(|epochs| *end < epochs)) {
        return Err(read.error(
            "end",
            end,
            "must be the epochs of the run: metrics that do not count are not there yet",
        ));
    }
    read.value("monitor");
    let mode = read.word_or("rule", "min", &[("less", "min"), ("greater", "max")])?;
    let mut params = json!({"mode": mode});
    let names = [
        ("factor", "factor"),
        ("patience", "patience"),
        ("threshold", "threshold"),
        ("threshold_rule", "threshold_mode"),
        ("cooldown", "cooldown"),
        ("min_value", "min_lr"),
        ("eps", "eps"),
    ];
    for (name, of_torch) in names {
        if let Some(value) = read.value(name) {
            params[of_torch] = value;
        }
    }
    let recipes = torch::plateau(read.others(&params)?, groups).map_err(|error| renamed(error, &names))?;
    Ok(Kind::Plateau(recipes))
}

/// An error about an argument of torch's, under MMEngine's name: `names` has both, MMEngine's first.
fn renamed(error: Error, names: &[(&str, &str)]) -> Error {
    match error {
        Error::Argument { argument, value, rule } => {
            let (path, name) = argument.rsplit_once('.').unwrap_or(("", &argument));
            let own = names.iter().find_map(|(own, of_torch)| (*of_torch == name).then_some(*own)).unwrap_or(name);
            Error::argument(format!("{path}.{own}"), value, rule)
        }
        other => other,
    }
}
