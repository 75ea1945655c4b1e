//! Arguments of torch's schedulers, with torch's defaults; what torch refuses, or divides by zero for, is refused here.

use super::super::{Arguments, python, unknown};
use super::replay::MAX_STEPS;
use super::{Anneal, Cycle, Overwrites, Place, Scheduler, bounded, cycle};
use crate::error::{Error, Result};
use crate::schedule::{Schedule, step};

const SCHEDULERS: [&str; 15] = [
    "LambdaLR",
    "MultiplicativeLR",
    "StepLR",
    "MultiStepLR",
    "ConstantLR",
    "LinearLR",
    "ExponentialLR",
    "PolynomialLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "OneCycleLR",
    "SWALR",
    "SequentialLR",
    "ChainedScheduler",
];

/// How deep schedulers may hold schedulers.
const MAX_NESTING: usize = 16;

pub(super) fn scheduler(class: &str, arguments: Arguments, place: Place<'_>) -> Result<Scheduler> {
    nested(class, arguments, place, 0)
}

fn nested(class: &str, mut arguments: Arguments, place: Place<'_>, depth: usize) -> Result<Scheduler> {
    let args = &mut arguments;
    let scheduler = match class {
        "LambdaLR" => Scheduler::Lambda(function(args, place, 0)?),
        "MultiplicativeLR" => match function(&mut args.clone(), place, 0) {
            Ok(factor) => {
                args.value("lr_lambda");
                Scheduler::Multiplicative { factor, from_0: true }
            }
            Err(_) => Scheduler::Multiplicative { factor: function(args, place, 1)?, from_0: false },
        },
        "StepLR" => {
            let size = args.steps("step_size")?;
            if size == 0 {
                return Err(args.error("step_size", size, "must be at least 1: torch divides by it"));
            }
            Scheduler::Step { size, gamma: args.f64_or("gamma", 0.1)? }
        }
        "MultiStepLR" => {
            let mut milestones = args.steps_list("milestones")?;
            milestones.sort_unstable();
            Scheduler::MultiStep { milestones, gamma: args.f64_or("gamma", 0.1)? }
        }
        "ConstantLR" => {
            let factor = within(args, "factor", 1.0 / 3.0)?;
            let total = args.steps_or("total_iters", 5)?;
            if factor == 0.0 && total > 0 {
                return Err(args.error("factor", factor, "must be above 0: torch divides by it at total_iters"));
            }
            Scheduler::Constant { factor, total }
        }
        "LinearLR" => {
            let start = within(args, "start_factor", 1.0 / 3.0)?;
            if start == 0.0 {
                return Err(args.error("start_factor", start, "must be above 0: torch refuses 0"));
            }
            Scheduler::Linear { start, end: within(args, "end_factor", 1.0)?, total: args.steps_or("total_iters", 5)? }
        }
        "ExponentialLR" => Scheduler::Exponential { gamma: args.f64("gamma")? },
        "PolynomialLR" => {
            let (total, power) = (args.steps_or("total_iters", 5)?, args.f64_or("power", 1.0)?);
            if power < 0.0 && total > 0 {
                return Err(args.error("power", power, "must not be negative: torch divides by zero at total_iters"));
            }
            Scheduler::Polynomial { total, power }
        }
        "CosineAnnealingLR" => {
            let t_max = args.steps("T_max")?;
            if t_max == 0 {
                return Err(args.error("T_max", t_max, "must be at least 1: torch divides by it"));
            }
            Scheduler::Cosine { t_max, eta_min: args.f64_or("eta_min", 0.0)? }
        }
        "CosineAnnealingWarmRestarts" => {
            args.expect_integer("T_0")?;
            args.expect_integer("T_mult")?;
            let (t_0, t_mult) = (args.steps("T_0")?, args.steps_or("T_mult", 1)?);
            if let Some((name, value)) = [("T_0", t_0), ("T_mult", t_mult)].into_iter().find(|(_, value)| *value == 0) {
                return Err(args.error(name, value, "must be at least 1"));
            }
            Scheduler::Restarts { t_0, t_mult, eta_min: args.f64_or("eta_min", 0.0)? }
        }
        "CyclicLR" => Scheduler::Cycle(cycle::cyclic(args, place)?),
        "OneCycleLR" => Scheduler::Cycle(cycle::one_cycle(args, place)?),
        "SWALR" => {
            args.expect_integer("anneal_epochs")?;
            let swa_lr = args.numbers_per_group("swa_lr", place.count)?.ok_or_else(|| args.missing("swa_lr"))?;
            let anneal = Anneal::read(args)?;
            Scheduler::Swa { swa_lr: swa_lr[place.index], epochs: args.steps_or("anneal_epochs", 10)?, anneal }
        }
        "SequentialLR" => {
            let members = members(args, place, depth)?;
            let milestones = args.steps_list("milestones")?;
            if milestones.len() + 1 != members.len() {
                let rule = format!("{} schedulers need {} milestones", members.len(), members.len() - 1);
                return Err(args.fault("milestones", format!("{} milestones", milestones.len()), rule));
            }
            if let Some(i) = milestones.windows(2).position(|pair| pair[0] > pair[1]) {
                let rule = "must be in rising order: torch looks them up by bisection";
                return Err(args.error(&format!("milestones[{}]", i + 1), milestones[i + 1], rule));
            }
            if let Some(i) = members.iter().skip(1).position(Scheduler::is_composite) {
                let rule = "must not be Sequential or Chained: torch raises NotImplementedError when its turn comes";
                return Err(args.error(&format!("schedulers[{}]", i + 1), "a composite", rule));
            }
            Scheduler::Sequential { members, milestones }
        }
        "ChainedScheduler" => Scheduler::Chained(members(args, place, depth)?),
        other => return Err(unknown(other, &SCHEDULERS)),
    };
    let last_epoch = arguments.int_or("last_epoch", -1)?;
    if last_epoch != -1 {
        return Err(arguments.error("last_epoch", last_epoch, "must be -1 inside of another scheduler"));
    }
    arguments.finish()?;
    Ok(scheduler)
}

impl Scheduler {
    /// All cycles in it, in the order in which they are made.
    pub(super) fn cycles(&self) -> Vec<&Cycle> {
        match self {
            Scheduler::Cycle(cycle) => vec![cycle],
            Scheduler::Sequential { members, .. } | Scheduler::Chained(members) => {
                members.iter().flat_map(Scheduler::cycles).collect()
            }
            _ => Vec::new(),
        }
    }

    /// How many schedulers a step of it takes, itself if it is a single one.
    pub(super) fn singles(&self) -> u64 {
        match self {
            Scheduler::Sequential { members, .. } | Scheduler::Chained(members) => {
                members.iter().map(Scheduler::singles).sum()
            }
            _ => 1,
        }
    }

    fn is_composite(&self) -> bool {
        matches!(self, Scheduler::Sequential { .. } | Scheduler::Chained(_))
    }
}

fn members(args: &mut Arguments, place: Place<'_>, depth: usize) -> Result<Vec<Scheduler>> {
    if depth >= MAX_NESTING {
        return Err(args.fault("schedulers", "nested", format!("schedulers nest at most {MAX_NESTING} levels")));
    }
    let calls = args.calls("schedulers")?;
    if calls.is_empty() {
        return Err(args.error("schedulers", "empty", "must hold at least one"));
    }
    let member = |mut call: Arguments| {
        let (name, class) = call.class()?;
        if class == "ReduceLROnPlateau" {
            return Err(call.error(name, class, "must not be in a composition: its step needs a metric"));
        }
        nested(&class, call.of_class()?, place, depth + 1)
    };
    let members: Vec<Scheduler> = calls.into_iter().map(member).collect::<Result<_>>()?;
    let mut cycles = members.iter().flat_map(Scheduler::cycles);
    if cycles.any(|cycle| matches!(cycle.overwrites, Overwrites::InitialLr(_))) && cycles.next().is_some() {
        let rule = "must not follow a OneCycleLR: torch lets it overwrite the other's bounds in the parameter group";
        return Err(args.fault("schedulers", "a second cycle", rule));
    }
    Ok(members)
}

/// `lr_lambda`, for this group, from the epoch `first` on: one expression of `epoch` for all groups, or one for each.
///
/// What the language cannot vouch for at every step, but Python computes at each that will be taken, becomes a table.
fn function(args: &mut Arguments, place: Place<'_>, first: u64) -> Result<Schedule> {
    const ARGUMENT: &str = "params.lr_lambda";
    let read = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    let rule = "must be an expression of epoch, as a text";
    let texts = args.per_group("lr_lambda", place.count, read, rule)?.ok_or_else(|| args.missing("lr_lambda"))?;
    let text = &texts[place.index];
    let curve = python::expression(ARGUMENT, text, "epoch", &step()).map(|curve| match first {
        0 => curve,
        // Nobody asks for the epochs before, and some have no value.
        _ => step().less(first as f64).select(1.0, curve),
    });
    let refused = match curve {
        Ok(curve) => match bounded(curve.clone(), place.horizon).len() {
            Ok(_) => return Ok(curve),
            Err(refused) => refused,
        },
        Err(refused) => refused,
    };
    let Some(horizon) = place.horizon.filter(|steps| *steps <= MAX_STEPS) else {
        return Err(match refused {
            Error::Argument { argument, value, rule } if argument != ARGUMENT => {
                // Where in the expression: `pow[0]` is the base of a power.
                let place = argument.strip_prefix("schedule.").unwrap_or(&argument);
                let rule = rule.split("; ").next().unwrap_or_default();
                Error::argument(ARGUMENT, text, format!("{place} is {value} in it, which {rule}"))
            }
            other => other,
        });
    };
    let values = python::values(ARGUMENT, text, "epoch", first..horizon.max(first + 1), place.budget)?;
    let before = (0..first).map(|_| 1.0);
    Ok(Schedule::table(before.chain(values).collect::<Vec<f64>>()))
}

/// A factor in [0, 1].
fn within(args: &mut Arguments, name: &str, default: f64) -> Result<f64, Error> {
    let factor = args.f64_or(name, default)?;
    match (0.0..=1.0).contains(&factor) {
        true => Ok(factor),
        false => Err(args.error(name, factor, "must lie between 0 and 1")),
    }
}
