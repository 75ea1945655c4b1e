//! torch's schedulers as curves of the language, where they have a closed form.

use super::super::shapes::endless_cosine;
use super::{Anneal, Scheduler};
use crate::schedule::{Form, Number, Schedule, step};

/// More pieces than any run of 2^64 steps could see of restarts that at least double.
const MAX_RESTARTS: usize = 64;
/// The most factors that are multiplied as schedules: each is a level of nesting, of which a schedule has 64.
const MAX_FACTORS: usize = 32;

impl Scheduler {
    /// The rates from the initial rate `base`; None where torch's recursion has no closed form. `horizon`, the steps that
    /// will be taken, decides only whether such a place is ever reached.
    pub fn closed(&self, base: f64, horizon: Option<u64>) -> Option<Schedule> {
        let schedule = match self {
            Scheduler::Lambda(factor) => factor.clone() * base,
            Scheduler::Multiplicative { factor, .. } => match factor.0 {
                Form::Constant(Number::Literal(factor)) => decay(base, factor),
                _ => return None,
            },
            Scheduler::Step { size, gamma } => decay(base, *gamma).every(*size),
            Scheduler::MultiStep { milestones, gamma } => multi_step(base, *gamma, milestones),
            // With `total_iters` 0 the first factor is put on and never taken off.
            Scheduler::Constant { factor, total: 0 } => Schedule::constant(base * factor),
            Scheduler::Constant { factor, total } => Schedule::piecewise_constant([*total], [base * factor, base]),
            Scheduler::Linear { start, total: 0, .. } => Schedule::constant(base * start),
            Scheduler::Linear { start, end, total } => Schedule::linear(base * start, base * end).over(*total),
            Scheduler::Exponential { gamma } => decay(base, *gamma),
            Scheduler::Polynomial { total, power } if *total == 0 || *power == 0.0 => Schedule::constant(base),
            Scheduler::Polynomial { total, power } => Schedule::polynomial(base, 0.0, *power).over(*total),
            Scheduler::Cosine { t_max, eta_min } => {
                let fall = Schedule::cosine(base, *eta_min).over(*t_max);
                fall.then(Schedule::cosine(*eta_min, base).over(*t_max)).repeat()
            }
            Scheduler::Restarts { t_0, t_mult, eta_min } => restarts(base, *t_0, *t_mult, *eta_min),
            Scheduler::Cycle(cycle) => cycle.lr.clone(),
            Scheduler::Swa { swa_lr, epochs, anneal } => annealed(base, *swa_lr, *epochs, *anneal),
            Scheduler::Sequential { members, milestones } => {
                let starts_anew = |member: &Scheduler| member.starts_anew();
                if !members.iter().all(starts_anew) {
                    return None;
                }
                let pieces: Option<Vec<_>> = members.iter().map(|member| member.closed(base, horizon)).collect();
                Schedule::join(pieces?, milestones.iter().copied())
            }
            Scheduler::Chained(members) => {
                // The last one hides the others if it looks at the initial rate alone, which only cycles move.
                if let Some(last @ (Scheduler::Lambda(_) | Scheduler::Restarts { .. })) = members.last()
                    && members.iter().all(|member| member.cycles().is_empty())
                {
                    return last.closed(base, horizon);
                }
                if members.len() > MAX_FACTORS || !members.iter().all(|member| member.is_factor(horizon)) {
                    return None;
                }
                let factors: Option<Vec<_>> = members.iter().map(|member| member.closed(1.0, horizon)).collect();
                factors?.into_iter().fold(Schedule::constant(base), Schedule::product)
            }
        };
        Some(schedule)
    }

    /// Whether a sequence may begin it at any step, from the initial rate, as if nothing had been before.
    fn starts_anew(&self) -> bool {
        match self {
            Scheduler::Constant { total, .. }
            | Scheduler::Linear { total, .. }
            | Scheduler::Polynomial { total, .. } => *total > 0,
            Scheduler::Lambda(_)
            | Scheduler::Step { .. }
            | Scheduler::MultiStep { .. }
            | Scheduler::Exponential { .. }
            | Scheduler::Cosine { .. }
            | Scheduler::Restarts { .. } => true,
            Scheduler::Multiplicative { .. }
            | Scheduler::Cycle(_)
            | Scheduler::Swa { .. }
            | Scheduler::Sequential { .. }
            | Scheduler::Chained(_) => false,
        }
    }

    /// Whether each of its steps multiplies the present rate, whatever that is, and by the same as when alone.
    fn is_factor(&self, horizon: Option<u64>) -> bool {
        match self {
            Scheduler::Multiplicative { .. }
            | Scheduler::Step { .. }
            | Scheduler::MultiStep { .. }
            | Scheduler::Constant { .. }
            | Scheduler::Linear { .. }
            | Scheduler::Exponential { .. }
            | Scheduler::Polynomial { .. } => true,
            // Past `T_max` it rises again from its own initial rate, not from the product.
            Scheduler::Cosine { t_max, eta_min } => {
                *eta_min == 0.0 && horizon.is_some_and(|steps| steps <= t_max.saturating_add(1))
            }
            Scheduler::Lambda(_)
            | Scheduler::Restarts { .. }
            | Scheduler::Cycle(_)
            | Scheduler::Swa { .. }
            | Scheduler::Sequential { .. }
            | Scheduler::Chained(_) => false,
        }
    }
}

/// From `from` to `swa_lr` over `epochs`; at once, if that is 0.
pub(super) fn annealed(from: f64, swa_lr: f64, epochs: u64, anneal: Anneal) -> Schedule {
    match anneal {
        Anneal::Cosine => Schedule::cosine(from, swa_lr).over(epochs),
        Anneal::Linear => Schedule::linear(from, swa_lr).over(epochs),
    }
}

/// `base · factor^t`, where torch takes factors below 0 too.
fn decay(base: f64, factor: f64) -> Schedule {
    if factor >= 0.0 {
        return Schedule::exponential_decay(base, factor);
    }
    let sign = 1.0 - step().modulo(2.0) * 2.0;
    Schedule::exponential_decay(base, -factor) * sign
}

/// A milestone that is listed twice decays twice.
fn multi_step(base: f64, gamma: f64, milestones: &[u64]) -> Schedule {
    let mut steps = milestones.to_vec();
    steps.dedup();
    if steps.len() == milestones.len() && gamma >= 0.0 {
        return Schedule::multi_step(base, gamma, steps);
    }
    let passed = |step: &u64| milestones.partition_point(|milestone| milestone <= step);
    let power = |count: usize| i32::try_from(count).unwrap_or(i32::MAX); // far more than a list may have
    let values = steps.iter().map(|step| base * gamma.powi(power(passed(step))));
    let values: Vec<f64> = std::iter::once(base).chain(values).collect();
    Schedule::piecewise_constant(steps, values)
}

/// The restart index is a matter of integers here; torch's, through a logarithm, is wrong at exact powers of `T_mult`, but
/// only where `step` is given an epoch.
fn restarts(base: f64, t_0: u64, t_mult: u64, eta_min: f64) -> Schedule {
    let period = |steps: u64| Schedule::cosine(base, eta_min).over(steps);
    if t_mult == 1 {
        return period(t_0).repeat();
    }
    let (mut all, mut len, mut end) = (period(t_0), t_0, t_0);
    for _ in 1..MAX_RESTARTS {
        let next = len.checked_mul(t_mult).and_then(|next| Some((next, end.checked_add(next)?)));
        let Some((next, next_end)) = next else {
            // The next one ends after the last step that there is.
            return all.then(endless_cosine(base, eta_min, len as f64 * t_mult as f64));
        };
        (len, end) = (next, next_end);
        all = all.then(period(len));
    }
    all
}
