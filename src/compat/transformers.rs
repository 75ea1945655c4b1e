//! Schedulers of transformers (`optimization.py` and `trainer_utils.py` of 5.23.0): multipliers of each group's rate.
//!
//! One is named to `get_scheduler`, as a text or by its constant in `SchedulerType`, or called by its own function; what
//! `get_scheduler` hands on stands beside its arguments or in `scheduler_specific_kwargs`. The clock counts updates. A warm-up is
//! `t / max(1, num_warmup_steps)`, so that the first update gets 0. After the end `cosine` rises again where `linear` and
//! `polynomial` hold. Start at [`recipes`].

use std::f64::consts::FRAC_PI_2;

use super::nearest::unknown_name;
use super::shapes::{not_negative, wave, whole};
use super::transformers_wsd::StableDecay;
use super::{Arguments, Group, Metric, Recipe, last_name, torch};
use crate::error::{Error, Result};
use crate::schedule::{Better, Greedy, Improvement, Schedule, step};

/// What a scheduler is called: its name, its constant in `SchedulerType`, and its function.
const SCHEDULERS: [[&str; 3]; 12] = [
    ["linear", "LINEAR", "get_linear_schedule_with_warmup"],
    ["cosine", "COSINE", "get_cosine_schedule_with_warmup"],
    ["cosine_with_restarts", "COSINE_WITH_RESTARTS", "get_cosine_with_hard_restarts_schedule_with_warmup"],
    ["polynomial", "POLYNOMIAL", "get_polynomial_decay_schedule_with_warmup"],
    ["constant", "CONSTANT", "get_constant_schedule"],
    ["constant_with_warmup", "CONSTANT_WITH_WARMUP", "get_constant_schedule_with_warmup"],
    ["inverse_sqrt", "INVERSE_SQRT", "get_inverse_sqrt_schedule"],
    ["reduce_lr_on_plateau", "REDUCE_ON_PLATEAU", "get_reduce_on_plateau_schedule"],
    ["cosine_with_min_lr", "COSINE_WITH_MIN_LR", "get_cosine_with_min_lr_schedule_with_warmup"],
    ["cosine_warmup_with_min_lr", "COSINE_WARMUP_WITH_MIN_LR", "get_cosine_with_min_lr_schedule_with_warmup_lr_rate"],
    ["warmup_stable_decay", "WARMUP_STABLE_DECAY", "get_wsd_schedule"],
    ["greedy", "GREEDY", "get_greedy_schedule"],
];

/// The function that makes one of any name.
const OF_ANY: &str = "get_scheduler";

/// The name of the scheduler that `word` is a name, a constant or a function of, dotted or not; None if it is none.
pub(super) fn scheduler_name(word: &str) -> Option<&'static str> {
    let [name, ..] = SCHEDULERS.iter().find(|called| called.contains(&last_name(word)))?;
    Some(name)
}

/// The names of all.
pub(super) fn scheduler_names() -> Vec<&'static str> {
    SCHEDULERS.iter().map(|[name, ..]| *name).collect()
}

/// Whether `api` is the class of the Trainer's arguments, which name a scheduler among others.
pub(super) fn is_training_arguments(api: &str) -> bool {
    ["TrainingArguments", "Seq2SeqTrainingArguments"].contains(&last_name(api))
}

/// One recipe for each group of the optimizer.
pub(super) fn recipes(
    api: &str,
    mut arguments: Arguments,
    groups: &[Group],
    horizon: Option<u64>,
) -> Result<Vec<Recipe>> {
    let read = &mut arguments;
    read.spread("scheduler_specific_kwargs")?;
    // `get_scheduler('cosine')`, as a call is written.
    let (callee, called_with) = api.split_once('(').map_or((api, None), |(callee, rest)| (callee, Some(rest)));
    let name = if last_name(callee) == OF_ANY {
        let written = called_with.map(|rest| rest.trim_end_matches(')').trim_matches(['\'', '"']));
        let name = match (read.optional_text("name")?, written) {
            (Some(name), _) => name,
            (None, Some(written)) if !written.is_empty() => written.to_owned(),
            (None, _) => return Err(read.missing("name")),
        };
        let unknown = || unknown_name("the name of a scheduler", &name, &scheduler_names());
        scheduler_name(&name).ok_or_else(|| read.error("name", &name, unknown()))?
    } else {
        let functions = SCHEDULERS.map(|[_, _, function]| function);
        let known: Vec<&str> = ["TrainingArguments", OF_ANY].into_iter().chain(functions).collect();
        let unknown = || unknown_name("a scheduler that has a translation", last_name(callee), &known);
        scheduler_name(callee).ok_or_else(|| Error::argument("api", api, unknown()))?
    };
    match name {
        "reduce_lr_on_plateau" | "greedy" => {
            // get_scheduler takes both counts for them too, and passes none on.
            read.optional_steps("num_warmup_steps")?;
            read.optional_steps("num_training_steps")?;
            if name == "greedy" { greedy(arguments, groups, horizon) } else { torch::plateau(arguments, groups) }
        }
        _ => {
            let scheduler = Scheduler::read(name, read)?;
            let recipe = |group: &Group| Ok(Recipe::new(scheduler.schedule(read, group)?));
            let recipes = groups.iter().map(recipe).collect::<Result<_>>()?;
            arguments.finish()?;
            Ok(recipes)
        }
    }
}

/// What multiplies a group's rate.
enum Scheduler {
    Constant,
    WarmConstant { warmup: u64 },
    Linear { warmup: u64, total: u64 },
    Cosine { warmup: u64, total: u64, waves: f64, min: Minimum },
    CosineRestarts { warmup: u64, total: u64, cycles: f64 },
    CosineFromFirst { warmup: u64, total: u64, waves: f64, min: Minimum, first: Option<f64> },
    Polynomial { warmup: u64, total: u64, end: f64, power: f64 },
    InverseSqrt { warmup: u64, timescale: f64 },
    StableDecay(StableDecay),
}

/// The lowest rate of a cosine, of which exactly one form must be given.
#[derive(Clone, Copy)]
enum Minimum {
    Rate(f64),
    /// Divided by the optimizer's own rate and multiplied by the group's: other groups end elsewhere.
    Absolute(f64),
}

impl Minimum {
    fn read(read: &mut Arguments) -> Result<Minimum> {
        match (read.optional_f64("min_lr")?, read.optional_f64("min_lr_rate")?) {
            (Some(lr), None) => Ok(Minimum::Absolute(lr)),
            (None, Some(rate)) => Ok(Minimum::Rate(rate)),
            (Some(lr), Some(_)) => Err(read.error("min_lr", lr, "must not be given together with min_lr_rate")),
            (None, None) => Err(read.missing_unless("min_lr", "must be given, or else min_lr_rate")),
        }
    }

    fn of(self, group: &Group) -> f64 {
        match self {
            Minimum::Rate(rate) => group.lr * rate,
            Minimum::Absolute(lr) if group.lr == group.default_lr => lr,
            Minimum::Absolute(lr) => group.lr * (lr / group.default_lr),
        }
    }
}

impl Scheduler {
    fn read(name: &str, read: &mut Arguments) -> Result<Scheduler> {
        if name == "constant" {
            // get_scheduler takes both counts for it too, and passes none on.
            read.optional_steps("num_warmup_steps")?;
            read.optional_steps("num_training_steps")?;
            return Ok(Scheduler::Constant);
        }
        let warmup = read.steps("num_warmup_steps")?;
        match name {
            "constant_with_warmup" => {
                read.optional_steps("num_training_steps")?;
                return Ok(Scheduler::WarmConstant { warmup });
            }
            "inverse_sqrt" => {
                read.optional_steps("num_training_steps")?;
                let default = if warmup == 0 { 10_000.0 } else { warmup as f64 };
                let timescale = read.f64_or("timescale", default)?;
                if timescale <= 0.0 {
                    return Err(read.error("timescale", timescale, "must be above 0: transformers divides by it"));
                }
                return Ok(Scheduler::InverseSqrt { warmup, timescale });
            }
            "warmup_stable_decay" => return Ok(Scheduler::StableDecay(StableDecay::read(read, warmup)?)),
            _ => {}
        }
        let total = read.steps("num_training_steps")?;
        Ok(match name {
            "linear" => Scheduler::Linear { warmup, total },
            "cosine" => {
                let waves = read.f64_or("num_cycles", 0.5)?;
                Scheduler::Cosine { warmup, total, waves, min: Minimum::Rate(0.0) }
            }
            "cosine_with_restarts" => {
                let cycles = read.f64_or("num_cycles", 1.0)?;
                if cycles < 0.0 {
                    return Err(read.error("num_cycles", cycles, "must not be negative"));
                }
                Scheduler::CosineRestarts { warmup, total, cycles }
            }
            "cosine_with_min_lr" => {
                let waves = read.f64_or("num_cycles", 0.5)?;
                Scheduler::Cosine { warmup, total, waves, min: Minimum::read(read)? }
            }
            "cosine_warmup_with_min_lr" => {
                let (waves, min) = (read.f64_or("num_cycles", 0.5)?, Minimum::read(read)?);
                let first = read.optional_f64("warmup_lr_rate")?;
                Scheduler::CosineFromFirst { warmup, total, waves, min, first }
            }
            "polynomial" => {
                let (end, power) = (read.f64_or("lr_end", 1e-7)?, read.f64_or("power", 1.0)?);
                if warmup == total {
                    let rule = "must not equal num_warmup_steps: transformers divides by their difference";
                    return Err(read.error("num_training_steps", total, rule));
                }
                if power <= 0.0 {
                    return Err(read.error("power", power, "must be above 0"));
                }
                Scheduler::Polynomial { warmup, total, end, power }
            }
            other => {
                return Err(read.error(
                    "name",
                    other,
                    unknown_name("the name of a scheduler", other, &scheduler_names()),
                ));
            }
        })
    }

    fn schedule(&self, read: &Arguments, group: &Group) -> Result<Schedule> {
        let lr = group.lr;
        let warm =
            |warmup: u64, after: Schedule| Schedule::join([Schedule::linear(0.0, lr).over(warmup), after], [warmup]);
        Ok(match self {
            Scheduler::Constant => Schedule::constant(lr),
            Scheduler::WarmConstant { warmup } => Schedule::linear(0.0, lr).over(*warmup),
            Scheduler::Linear { warmup, total } => {
                warm(*warmup, Schedule::linear(lr, 0.0).over(total.saturating_sub(*warmup)))
            }
            // With num_training_steps at or below num_warmup_steps it flips between its extremes every step.
            Scheduler::Cosine { warmup, total, waves, min } => {
                let low = min.of(group);
                let steps = total.saturating_sub(*warmup).max(1);
                warm(*warmup, not_negative(wave(lr, low, *waves, steps, 0), low))
            }
            Scheduler::CosineRestarts { warmup, total, cycles } => {
                warm(*warmup, restarts(lr, *cycles, total.saturating_sub(*warmup).max(1)))
            }
            Scheduler::CosineFromFirst { warmup, total, waves, min, first } => {
                let low = min.of(group);
                let steps = total.saturating_sub(*warmup).max(1);
                let after = not_negative(wave(lr, low, *waves, steps, 1), low);
                Schedule::join([warmup_from_first(lr, *warmup, *first), after], [*warmup])
            }
            Scheduler::Polynomial { warmup, total, end, power } => {
                let default = group.default_lr;
                if default <= *end {
                    let rule = format!("must be below the optimizer's lr, {default}");
                    return Err(read.error("lr_end", end, rule));
                }
                // As for `Minimum::Absolute`: the end is the optimizer's, scaled to the group.
                let end = if lr == default { *end } else { lr * (end / default) };
                let ramp = Schedule::polynomial(lr, end, *power);
                warm(*warmup, ramp.over(total.saturating_sub(*warmup)))
            }
            Scheduler::InverseSqrt { warmup, timescale } => warm(*warmup, Schedule::inverse_sqrt(lr, *timescale)),
            Scheduler::StableDecay(stable_decay) => stable_decay.schedule(lr),
        })
    }
}

/// `(t + 1) / warmup` of `lr`, or a line from the fraction `first` that reaches `lr` at the last warm-up step. A warm-up of
/// a single step with `first` is that fraction alone: the peak is skipped.
fn warmup_from_first(lr: f64, warmup: u64, first: Option<f64>) -> Schedule {
    match first {
        Some(first) if warmup <= 1 => Schedule::constant(lr * first),
        Some(first) => Schedule::linear(lr * first, lr).over(warmup - 1),
        None => Schedule::linear(lr / warmup.max(1) as f64, lr).over(warmup.saturating_sub(1)),
    }
}

/// `cycles` half cosines in `steps` steps, each from `lr` to 0, and 0 after. The cycle follows from integers: transformers'
/// float remainder can end a cycle one step late, as for 49 cycles in 49 steps.
fn restarts(lr: f64, cycles: f64, steps: u64) -> Schedule {
    let (length, total) = (steps as f64 / cycles, steps as f64);
    let falls = match whole(length) {
        Some(length) => Schedule::cosine(lr, 0.0).over(length).repeat(),
        None => {
            let left = total - (step() * cycles).modulo(total);
            lr * (left * (FRAC_PI_2 / total)).sin().pow_int(2)
        }
    };
    Schedule::join([falls, Schedule::constant(0.0)], [steps])
}

/// `GreedyLR`, whose bounds are rates: with a base below the default `min_lr` of 1e-3 it never reduces.
/// It starts anew only when all groups are at their lowest: groups that get there at different times are refused, unless
/// `horizon` ends before any could.
fn greedy(mut read: Arguments, groups: &[Group], horizon: Option<u64>) -> Result<Vec<Recipe>> {
    let better = read.word_or("mode", Better::Lower, &[("min", Better::Lower), ("max", Better::Higher)])?;
    let threshold = read.f64_or("threshold", 1e-6)?;
    let relative = Improvement::signed(better, threshold, 0.0);
    let absolute = Improvement::signed(better, 0.0, threshold);
    let improvement = read.word_or("threshold_mode", absolute, &[("rel", relative), ("abs", absolute)])?;
    let (factor, eps) = (read.f64_or("factor", 0.95)?, read.f64_or("eps", 1e-8)?);
    let min = read.numbers_per_group("min_lr", groups.len())?.unwrap_or_else(|| vec![1e-3; groups.len()]);
    let max = read.numbers_per_group("max_lr", groups.len())?.unwrap_or_else(|| vec![1.0; groups.len()]);
    let window = read.steps_or("window_size", 50)?;
    let window = if read.bool_or("smooth", false)? { window } else { 1 };
    let (patience, reset_start) = (read.steps_or("patience", 10)?, read.steps_or("reset_start", 500)?);
    for (i, (min, max)) in min.iter().zip(&max).enumerate() {
        if *min < 0.0 || max < min {
            return Err(read.error("min_lr", min, format!("must lie between 0 and max_lr, {max}, in group {i}")));
        }
    }
    if eps < 0.0 {
        return Err(read.error("eps", eps, "must not be negative"));
    }
    let share = |i: usize| [min[i], max[i], eps].map(|bound| bound / groups[i].lr);
    let first_reset = reset_start.max(1).saturating_mul(patience.saturating_add(1));
    if (1..groups.len()).any(|i| share(i) != share(0)) && horizon.is_none_or(|steps| steps > first_reset) {
        let rule = "may be reached, and groups with other bounds, relative to their rates, are reset only together";
        return Err(read.error("reset_start", reset_start, rule));
    }
    let rule = Greedy::new()
        .factor(factor)
        .patience(patience)
        .improvement(improvement)
        .pauses(read.steps_or("cooldown", 0)?, read.steps_or("warmup", 0)?)
        .smooth(usize::try_from(window).unwrap_or(usize::MAX))
        .reset_after(reset_start.max(1))
        .starts_outside();
    read.bool_or("verbose", false)?;
    let recipe = |(group, (min, max)): (&Group, (&f64, &f64))| {
        if group.lr <= 0.0 {
            return Err(read.error(
                "min_lr",
                min,
                format!("is a fraction of the rate, {}, which must be above 0", group.lr),
            ));
        }
        let greedy = rule.bounds(min / group.lr, max / group.lr).min_change(eps / group.lr);
        let named =
            |e: Error| e.renamed("greedy.factor", "params.factor").renamed("greedy.smooth", "params.window_size");
        greedy.check().map_err(named)?;
        Ok(Recipe { metric: Some(Metric::Greedy(greedy)), ..Recipe::new(group.lr) })
    };
    let recipes = groups.iter().zip(min.iter().zip(&max)).map(recipe).collect::<Result<_>>()?;
    read.finish()?;
    Ok(recipes)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::Configuration;
    use super::*;

    fn greedy(mut params: Value) -> Result<Greedy> {
        params["name"] = "greedy".into();
        let configuration = Configuration {
            library: "transformers".into(),
            api: "transformers.get_scheduler".into(),
            params,
            optimizer: json!({"class": "AdamW", "args": {"lr": 0.25}, "groups": [{}]}),
            horizon: None,
            resumed_at: None,
        };
        match configuration.recipes()?[0].metric {
            Some(Metric::Greedy(greedy)) => Ok(greedy),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_greedy_rate_below_its_lower_bound_is_taken_as_the_peer_takes_it() {
        let rule = greedy(json!({"min_lr": 0.75, "max_lr": 4, "factor": 0.5, "patience": 0})).unwrap();
        let mut state = rule.start();
        let rates = [3.0, 3.0, 2.0, 2.0].map(|metric| {
            state = rule.observe(state, &mut [], metric);
            0.25 * state.scale
        });
        // It rises, does not fall while it is below 0.75, and no lower than that afterwards.
        assert_eq!(rates, [0.5, 0.5, 1.0, 0.75]);
    }

    #[test]
    fn what_a_greedy_rule_refuses_is_named_as_the_peer_names_it() {
        let cases = [
            (json!({"factor": 1}), "params.factor is 1, but must be above 0 and below 1"),
            (json!({"min_lr": -1}), "params.min_lr is -1, but must lie between 0 and max_lr, 1, in group 0"),
            (
                json!({"smooth": true, "window_size": 0}),
                "params.window_size is 0, but must be from 1 to 65536 observations",
            ),
            (json!({"eps": -1}), "params.eps is -1, but must not be negative"),
        ];
        for (params, expected) in cases {
            assert_eq!(greedy(params).unwrap_err().to_string(), expected);
        }
    }
}
