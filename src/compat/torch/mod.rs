//! torch's `lr_scheduler` and `swa_utils.SWALR`, as of torch 2.15.
//!
//! `read` turns arguments into a [`Scheduler`] for one parameter group, `cycle` does it for `CyclicLR` and `OneCycleLR`,
//! `closed` writes it as curves of the language. Torch computes most rates from the rate before, so compositions whose
//! members disturb one another have no closed form: `replay` goes through torch's own recursion and makes a table of it.

mod closed;
mod cycle;
mod read;
mod replay;
#[cfg(test)]
mod tests;

use super::limits::Budget;
use super::plateau::{InRates, of_group};
use super::{Arguments, Group, Recipe, Resume, last_name};
use crate::error::{Error, Result};
use crate::schedule::{Better, Improvement, Plateau, Schedule};
use replay::Trace;

/// Where a scheduler stands: its parameter group, which one it is of how many, and how many steps will be taken.
#[derive(Debug, Clone, Copy)]
struct Place<'g> {
    group: &'g Group,
    index: usize,
    count: usize,
    horizon: Option<u64>,
    budget: &'g Budget,
}

/// A scheduler for one parameter group, its arguments checked.
#[derive(Debug, Clone)]
enum Scheduler {
    /// The factor on the initial rate, by epoch.
    Lambda(Schedule),
    /// The factor on the rate before, by epoch; `from_0` says whether there is one for epoch 0, which only a composition
    /// asks for.
    Multiplicative {
        factor: Schedule,
        from_0: bool,
    },
    Step {
        size: u64,
        gamma: f64,
    },
    /// In rising order, repeated ones too.
    MultiStep {
        milestones: Vec<u64>,
        gamma: f64,
    },
    Constant {
        factor: f64,
        total: u64,
    },
    Linear {
        start: f64,
        end: f64,
        total: u64,
    },
    Exponential {
        gamma: f64,
    },
    Polynomial {
        total: u64,
        power: f64,
    },
    Cosine {
        t_max: u64,
        eta_min: f64,
    },
    Restarts {
        t_0: u64,
        t_mult: u64,
        eta_min: f64,
    },
    Cycle(Cycle),
    Swa {
        swa_lr: f64,
        epochs: u64,
        anneal: Anneal,
    },
    Sequential {
        members: Vec<Scheduler>,
        milestones: Vec<u64>,
    },
    Chained(Vec<Scheduler>),
}

/// `CyclicLR` or `OneCycleLR`: rates of its own, whatever the optimizer's.
#[derive(Debug, Clone)]
struct Cycle {
    lr: Schedule,
    /// The momentum, or the first beta.
    cycled: Option<Schedule>,
    overwrites: Overwrites,
}

/// What a cycle puts into the parameter group before its first step.
#[derive(Debug, Clone, Copy)]
enum Overwrites {
    Lr(f64),
    InitialLr(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Anneal {
    Cosine,
    Linear,
}

impl Anneal {
    fn read(args: &mut Arguments) -> Result<Anneal> {
        args.word_or("anneal_strategy", Anneal::Cosine, &[("cos", Anneal::Cosine), ("linear", Anneal::Linear)])
    }
}

/// One recipe for each group.
///
/// Quirks that are kept: `CosineAnnealingLR` rises again past `T_max` (issue 17913 and others want a clamp), `ConstantLR`,
/// `LinearLR` and `PolynomialLR` with `total_iters` 0 never move, `ChainedScheduler` lets each member work on the rate that
/// the one before it left (issue 129565), a nested `SequentialLR` comes one step early, `OneCycleLR` in a later slot moves
/// everyone's initial rate, relative thresholds of `ReduceLROnPlateau` are wrong for negative metrics (issue 47513). Refused
/// is what raises or divides by zero, `OneCycleLR` past its end, and a run taken up with `last_epoch` where that changes it.
pub(super) fn recipes(
    api: &str,
    mut arguments: Arguments,
    groups: &[Group],
    horizon: Option<u64>,
    resume: Option<Resume>,
) -> Result<Vec<Recipe>> {
    let class = arguments.clone().text_or("class", last_name(api))?;
    if class == "ReduceLROnPlateau" {
        arguments.value("class");
        return plateau(arguments, groups);
    }
    let (count, budget) = (groups.len(), &Budget::new());
    let place = |(index, group)| Place { group, index, count, horizon, budget };
    groups.iter().enumerate().map(place).map(|place| recipe(api, arguments.clone(), place, resume)).collect()
}

fn recipe(api: &str, mut arguments: Arguments, place: Place<'_>, resume: Option<Resume>) -> Result<Recipe> {
    let base = place.group.lr;
    if arguments.has("swa_start") {
        return Ok(Recipe::new(hand_over(arguments, place)?));
    }
    let class = arguments.text_or("class", last_name(api))?;
    let scheduler = read::scheduler(&class, arguments, place)?;
    if let Some(resume) = resume {
        expect_undisturbed(&scheduler, place, resume)?;
    }
    let (lr, cycled) = match (scheduler.closed(base, place.horizon), &scheduler) {
        (Some(lr), Scheduler::Cycle(cycle)) => (lr, cycle.cycled.clone()),
        (Some(lr), _) => (lr, None),
        (None, _) => {
            let steps = horizon(place)?;
            place.budget.spend(steps, scheduler.singles())?;
            let trace = Trace::of(&scheduler, place.group, steps)?;
            (table(trace.lr), trace.cycled.map(table))
        }
    };
    let mut recipe = Recipe::new(bounded(lr, place.horizon));
    let cycled = cycled.map(|cycled| bounded(cycled, place.horizon));
    match place.group.betas {
        Some(_) => recipe.beta1 = cycled,
        None => recipe.momentum = cycled,
    }
    Ok(recipe)
}

/// A run that was taken up with `last_epoch` goes on as if nothing had happened, or is refused.
///
/// With `last_epoch` one below the step, a decay that falls on that step is put on twice; with `last_epoch` equal to the
/// step, a step is left out. `state_dict` does neither (issues 65342, 60265).
fn expect_undisturbed(scheduler: &Scheduler, place: Place<'_>, resume: Resume) -> Result<()> {
    let steps = horizon(place)?;
    place.budget.spend(steps, 2 * scheduler.singles())?;
    let whole = Trace::of(scheduler, place.group, steps)?;
    let taken_up = Trace::taken_up(scheduler, place.group, steps, resume)?;
    let scale = whole.lr.iter().fold(0.0, |largest: f64, lr| largest.max(lr.abs()));
    let differs = |(a, b): (&f64, &f64)| (a - b).abs() > 1e-12 * scale;
    match whole.lr.iter().zip(&taken_up.lr).position(differs) {
        None => Ok(()),
        Some(step) => {
            let rule = format!(
                "taken up with it at step {}, torch gives another rate than the whole run from step {step} on; go on with \
                 the step count, as state_dict does",
                resume.at
            );
            Err(Error::argument("params.last_epoch", resume.last_epoch, rule))
        }
    }
}

/// The pattern of the documentation of `SWALR`: `before` up to the step after `swa_start`, then `SWALR` from the rate there.
fn hand_over(mut arguments: Arguments, place: Place<'_>) -> Result<Schedule> {
    let (mut before, mut after) = (arguments.call("before")?, arguments.call("after")?);
    let swa_start = arguments.steps("swa_start")?;
    // Says in words what this function does.
    arguments.optional_text("protocol")?;
    arguments.finish()?;
    let ((_, class), (name, swa)) = (before.class()?, after.class()?);
    let wrong = after.error(name, &swa, "must be SWALR that anneals over at least 1 epoch");
    let before = read::scheduler(&class, before.of_class()?, place)?;
    let Scheduler::Swa { swa_lr, epochs: epochs @ 1.., anneal } = read::scheduler(&swa, after.of_class()?, place)?
    else {
        return Err(wrong);
    };
    let begin = swa_start + 1;
    let lr = match before.closed(place.group.lr, place.horizon) {
        Some(lr) => bounded(lr, place.horizon),
        None => {
            let steps = begin + 1;
            let spent = place.budget.spend(steps, before.singles());
            let trace = spent.and_then(|()| Trace::of(&before, place.group, steps));
            table(trace.map_err(|e| e.about("horizon", "params.swa_start", swa_start))?.lr)
        }
    };
    let from = lr.at(begin)?;
    Ok(Schedule::join([lr, closed::annealed(from, swa_lr, epochs, anneal)], [begin]))
}

/// `ReduceLROnPlateau` on every group, with bounds in units of the group's rate.
pub(super) fn plateau(mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let args = &mut arguments;
    let better = args.word_or("mode", Better::Lower, &[("min", Better::Lower), ("max", Better::Higher)])?;
    let threshold = args.f64_or("threshold", 1e-4)?;
    let relative = Improvement::signed(better, threshold, 0.0);
    let absolute = Improvement::signed(better, 0.0, threshold);
    let improvement = args.word_or("threshold_mode", relative, &[("rel", relative), ("abs", absolute)])?;
    let factor = args.f64_or("factor", 0.1)?;
    let rule = Plateau::new()
        .patience(args.steps_or("patience", 10)?)
        .improvement(improvement)
        .cooldown(args.steps_or("cooldown", 0)?);
    let min_lr = args.numbers_per_group("min_lr", groups.len())?.unwrap_or(vec![0.0; groups.len()]);
    let eps = args.f64_or("eps", 1e-8)?;
    let recipe = |(group, min): (&Group, f64)| {
        let names = ["factor", "min_lr"];
        let metric = of_group(rule, factor, &InRates { min, eps }, group.lr, &arguments, names)?;
        Ok(Recipe { metric: Some(metric), ..Recipe::new(group.lr) })
    };
    let recipes = groups.iter().zip(min_lr).map(recipe).collect::<Result<_>>()?;
    arguments.finish()?;
    Ok(recipes)
}

fn horizon(place: Place<'_>) -> Result<u64> {
    let rule = "must be given: this scheduler has no closed form, and becomes a table of that many steps";
    match place.horizon {
        None => Err(Error::argument("horizon", "missing", rule)),
        Some(0) => Err(Error::argument("horizon", 0, "must be at least 1 step")),
        Some(steps) => Ok(steps),
    }
}

/// `values`, without those at the end that repeat.
fn table(mut values: Vec<f64>) -> Schedule {
    let repeats = values.iter().rev().zip(values.iter().rev().skip(1)).take_while(|(a, b)| a == b).count();
    values.truncate(values.len() - repeats);
    Schedule::table(values)
}

/// `schedule`, cut after the steps that will be taken if it would not stay finite for ever.
fn bounded(schedule: Schedule, horizon: Option<u64>) -> Schedule {
    match horizon {
        Some(steps) if schedule.len().is_err() => schedule.over(steps),
        _ => schedule,
    }
}
