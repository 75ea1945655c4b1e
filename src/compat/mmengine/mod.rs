//! MMEngine's schedulers of the learning rate, as of 0.10.7 (`optim/scheduler/param_scheduler.py`, `registry/build_functions.py`).
//!
//! Each changes the rate that it finds, from its `begin` to before its `end`, and leaves it there. Most put a factor on it, so that
//! those which overlap multiply; the others fall from what they find towards `eta_min`, and must be alone meanwhile. One `by_epoch` is
//! called after an epoch, any other after an iteration, which is a step here. Beside the arguments stand the loop's: `epoch_length`
//! (iterations in an epoch), `max_epochs` and `max_iters`. Start at [`recipes`].

mod read;

use super::{Arguments, Group, Recipe, last_name};
use crate::error::Result;
use crate::schedule::Schedule;
use read::Run;

/// What a list of schedulers is called, in whose arguments `schedulers` is that list.
const LIST: &str = "param_scheduler";

const SCHEDULERS: [&str; 11] = [
    LIST,
    "ConstantLR",
    "LinearLR",
    "StepLR",
    "MultiStepLR",
    "ExponentialLR",
    "CosineAnnealingLR",
    "CosineRestartLR",
    "PolyLR",
    "OneCycleLR",
    "ReduceOnPlateauLR",
];

/// One recipe for each group.
pub(super) fn recipes(api: &str, mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let run = Run {
        epoch_length: arguments.optional_steps("epoch_length")?,
        max_epochs: arguments.optional_steps("max_epochs")?,
        max_iters: arguments.optional_steps("max_iters")?,
    };
    let members = if last_name(api) == LIST {
        let calls = arguments.calls("schedulers")?;
        arguments.finish()?;
        let member = |mut call: Arguments| {
            let (name, class) = call.class()?;
            Member::read(name, &class, call, &run, groups)
        };
        calls.into_iter().map(member).collect::<Result<Vec<_>>>()?
    } else {
        vec![Member::read("api", last_name(api), arguments, &run, groups)?]
    };
    refuse_company(&members)?;
    let recipe = |(i, group): (usize, &Group)| {
        let mut recipe = Recipe::new(lr(&members, group.lr, i)?);
        let plateau = members.iter().find_map(|member| match &member.kind {
            Kind::Plateau(recipes) => Some(recipes),
            _ => None,
        });
        recipe.metric = plateau.and_then(|recipes| recipes[i].metric);
        Ok(recipe)
    };
    groups.iter().enumerate().map(recipe).collect()
}

struct Member {
    /// For errors: its arguments, and which of them is its class.
    arguments: Arguments,
    class: String,
    /// In the counts that it is called in.
    begin: u64,
    /// None for never.
    len: Option<u64>,
    /// Iterations between two calls.
    unit: u64,
    kind: Kind,
}

/// What it makes of the rate, by its count from `begin` on.
enum Kind {
    Factor(Schedule),
    /// From the rate that it finds to `low` over so many counts, and up again if it is not over then.
    Fall {
        fall: Fall,
        counts: u64,
        low: Low,
    },
    Restarts {
        periods: Vec<u64>,
        weights: Vec<f64>,
        low: Low,
    },
    /// Rates of its own, one for each group.
    Absolute(Vec<Schedule>),
    Plateau(Vec<Recipe>),
}

#[derive(Clone, Copy)]
enum Fall {
    Cosine,
    Poly(f64),
}

/// The lower end: a rate, or a part of the group's own.
#[derive(Clone, Copy)]
enum Low {
    Rate(f64),
    Part(f64),
}

impl Low {
    fn of(self, base: f64) -> f64 {
        match self {
            Low::Rate(rate) => rate,
            Low::Part(part) => part * base,
        }
    }

    fn is_zero(self) -> bool {
        matches!(self, Low::Rate(0.0) | Low::Part(0.0))
    }
}

impl Member {
    /// The first iteration that it changes, and the first after the last.
    fn span(&self) -> (u64, u64) {
        let end = self.len.map_or(u64::MAX, |len| self.begin.saturating_add(len).saturating_mul(self.unit));
        (self.begin.saturating_mul(self.unit), end)
    }

    fn overlaps(&self, other: &Member) -> bool {
        let ((begin, end), (other_begin, other_end)) = (self.span(), other.span());
        begin < other_end && other_begin < end
    }

    /// `before`, and from `begin` on `inner`, which is in this one's counts and stays where it is at the end.
    fn after(&self, before: Schedule, inner: Schedule) -> Schedule {
        let inner = match self.len {
            None => inner,
            Some(len) => inner.over(len - 1),
        };
        let inner = if self.unit == 1 { inner } else { inner.every(self.unit) };
        match self.span().0 {
            0 => inner,
            begin => Schedule::join([before, inner], [begin]),
        }
    }

    /// Whether it rises again before it ends.
    fn turns(&self, counts: u64) -> bool {
        self.len.is_none_or(|len| len - 1 > counts)
    }
}

/// Refuses two whose effects are not a product.
fn refuse_company(members: &[Member]) -> Result<()> {
    for (i, member) in members.iter().enumerate() {
        let Some(other) =
            members.iter().enumerate().find_map(|(j, other)| (i != j && member.overlaps(other)).then_some(other))
        else {
            continue;
        };
        let refused = |name: &str, value: &str, rule: String| Err(member.arguments.fault(name, value, rule));
        match &member.kind {
            Kind::Factor(_) => {}
            Kind::Fall { counts, low, .. } if low.is_zero() && !member.turns(*counts) => {}
            Kind::Fall { .. } | Kind::Restarts { .. } => {
                let rule = format!(
                    "overlaps {}, and a fall to another rate than 0 is no factor: that is not there yet",
                    other.class
                );
                return refused("begin", &member.begin.to_string(), rule);
            }
            Kind::Absolute(_) => {
                let rule =
                    format!("overlaps {}: rates of its own beside another scheduler are not there yet", other.class);
                return refused("begin", &member.begin.to_string(), rule);
            }
            Kind::Plateau(_) if matches!(other.class.as_str(), "LinearLR" | "ConstantLR") => {}
            Kind::Plateau(_) => {
                let rule =
                    format!("overlaps {}: beside it may stand a warm-up, LinearLR or ConstantLR, alone", other.class);
                return refused("monitor", "given", rule);
            }
        }
    }
    Ok(())
}

/// What all make of the rate `base`, in the order in which they begin.
fn lr(members: &[Member], base: f64, group: usize) -> Result<Schedule> {
    let mut order: Vec<&Member> = members.iter().collect();
    order.sort_by_key(|member| member.span().0);
    let mut lr = Schedule::constant(base);
    for member in order {
        let alone = !members.iter().any(|other| !std::ptr::eq(other, member) && other.overlaps(member));
        let found = match member.span().0 {
            0 => base,
            begin => at(&lr, begin - 1)?,
        };
        lr = match &member.kind {
            Kind::Plateau(_) => lr,
            Kind::Factor(factor) => product(lr, member.after(1.0.into(), factor.clone())),
            Kind::Fall { fall, counts, .. } if !alone => {
                product(lr, member.after(1.0.into(), fall.schedule(1.0, 0.0, *counts)))
            }
            Kind::Fall { fall, counts, low } => {
                let low = low.of(base);
                let first = fall.schedule(found, low, *counts);
                let inner = if member.turns(*counts) && matches!(fall, Fall::Cosine) {
                    // It rises again to the group's own rate, whatever it has fallen from.
                    let [up, down] = [(low, base), (base, low)].map(|(from, to)| fall.schedule(from, to, *counts));
                    first.then(up.then(down).repeat())
                } else {
                    first
                };
                member.after(lr, inner)
            }
            Kind::Restarts { periods, weights, low } => {
                let low = low.of(base);
                let period = |(counts, weight): (&u64, &f64)| Schedule::cosine(base * weight, low).over(*counts);
                let last = periods.len() - 1;
                let mut pieces: Vec<Schedule> = periods.iter().zip(weights).map(period).collect();
                // The rate stays where the last period leaves it, before its end.
                pieces[last] = pieces[last].clone().over(periods[last] - 1);
                let starts = periods[..last].iter().scan(0, |sum, period| {
                    *sum += period;
                    Some(*sum)
                });
                let inner = Schedule::join(pieces, starts.collect::<Vec<u64>>());
                member.after(lr, inner)
            }
            Kind::Absolute(rates) => member.after(lr, rates[group].clone()),
        };
    }
    Ok(lr)
}

impl Fall {
    fn schedule(self, from: f64, to: f64, counts: u64) -> Schedule {
        match self {
            Fall::Cosine => Schedule::cosine(from, to).over(counts),
            Fall::Poly(power) => Schedule::polynomial(from, to, power).over(counts),
        }
    }
}

fn product(lr: Schedule, factor: Schedule) -> Schedule {
    lr.product(factor)
}

/// The value at one step of what may grow without bounds after it.
fn at(schedule: &Schedule, step: u64) -> Result<f64> {
    schedule.clone().over(step).at(step)
}
