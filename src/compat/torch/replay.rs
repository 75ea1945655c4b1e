//! torch's recursion, step by step: what each scheduler writes into the parameter group, and what it finds there.
//!
//! The order is torch's own: a scheduler acts when it is made (its *initial* step), a sequence then undoes that of its
//! members and makes the first of them act again, a chain lets all of them act on every step.

use super::super::{Group, Resume};
use super::{Anneal, Cycle, Overwrites, Scheduler, bounded};
use crate::error::{Error, Result};
use crate::schedule::{MAX_TABLE, Schedule};
use std::f64::consts::PI;

/// The longest replay: as long as the longest table.
pub(super) const MAX_STEPS: u64 = MAX_TABLE as u64;

/// What a run gave.
pub(super) struct Trace {
    pub lr: Vec<f64>,
    /// The momentum or first beta, where a member cycles it.
    pub cycled: Option<Vec<f64>>,
}

impl Trace {
    /// The first `steps` steps of `scheduler` on `group`.
    pub fn of(scheduler: &Scheduler, group: &Group, steps: u64) -> Result<Trace> {
        let mut slot = Slot { lr: group.lr, initial_lr: None, cycled: None };
        let mut member = Member::made(scheduler, &mut slot, -1, check(steps)?)?;
        let mut trace = Recording::default();
        for _ in 0..steps {
            trace.note(&slot)?;
            member.step(&mut slot, false)?;
        }
        Ok(trace.end())
    }

    /// The same, with the scheduler made anew just before step `resume.at`, with that `last_epoch`.
    pub fn taken_up(scheduler: &Scheduler, group: &Group, steps: u64, resume: Resume) -> Result<Trace> {
        if matches!(scheduler, Scheduler::Sequential { .. } | Scheduler::Chained(_)) {
            let rule = "cannot take up a composition of schedulers; go on with the step count, as state_dict does";
            return Err(Error::argument("params.last_epoch", resume.last_epoch, rule));
        }
        let mut slot = Slot { lr: group.lr, initial_lr: None, cycled: None };
        let mut member = Member::made(scheduler, &mut slot, -1, check(steps)?)?;
        let mut trace = Recording::default();
        for step in 0..steps {
            if step == resume.at {
                member = Member::made(scheduler, &mut slot, resume.last_epoch, steps)?;
            }
            trace.note(&slot)?;
            member.step(&mut slot, false)?;
        }
        Ok(trace.end())
    }
}

fn check(steps: u64) -> Result<u64> {
    match steps <= MAX_STEPS {
        true => Ok(steps),
        false => {
            Err(Error::argument("horizon", steps, format!("must be at most {MAX_STEPS} steps without a closed form")))
        }
    }
}

#[derive(Default)]
struct Recording {
    lr: Vec<f64>,
    cycled: Vec<f64>,
}

impl Recording {
    /// Errors name the step at which torch itself gets an infinity or a NaN.
    fn note(&mut self, slot: &Slot) -> Result<()> {
        let broken = [Some(("lr", slot.lr)), slot.cycled.map(|cycled| ("the momentum", cycled))];
        if let Some((name, value)) = broken.into_iter().flatten().find(|(_, value)| !value.is_finite()) {
            return Err(Error::argument(format!("{name} at step {}", self.lr.len()), value, "must be finite"));
        }
        self.lr.push(slot.lr);
        self.cycled.extend(slot.cycled);
        Ok(())
    }

    fn end(self) -> Trace {
        // What is cycled is so from the start, because a cycle acts when it is made.
        let whole = !self.lr.is_empty() && self.cycled.len() == self.lr.len();
        Trace { lr: self.lr, cycled: whole.then_some(self.cycled) }
    }
}

/// What torch keeps in the parameter group.
struct Slot {
    lr: f64,
    initial_lr: Option<f64>,
    cycled: Option<f64>,
}

/// A scheduler that was made, with its state.
enum Member<'s> {
    One(One<'s>),
    Sequential { members: Vec<Member<'s>>, milestones: &'s [u64], last_epoch: u64 },
    Chained(Vec<Member<'s>>),
}

struct One<'s> {
    rule: &'s Scheduler,
    base: f64,
    /// Wider than what is given: it goes on from there.
    last_epoch: i128,
    /// Calls of `step` since the last initial one.
    calls: u64,
    /// The place in the present period of restarts, and its length.
    period: (u64, u64),
    /// What the rule's own schedules give from the epoch `first` on: the rate or factor, and the momentum.
    first: u64,
    values: Vec<f64>,
    cycled: Vec<f64>,
}

impl<'s> Member<'s> {
    /// Makes `scheduler`, which acts on `slot`, for a run of `steps` steps.
    fn made(scheduler: &'s Scheduler, slot: &mut Slot, last_epoch: i64, steps: u64) -> Result<Member<'s>> {
        let all = |members: &'s [Scheduler], slot: &mut Slot| -> Result<Vec<Member<'s>>> {
            members.iter().map(|member| Member::made(member, slot, -1, steps)).collect()
        };
        match scheduler {
            Scheduler::Sequential { members, milestones } => {
                let mut members = all(members, slot)?;
                slot.lr = slot.initial_lr.unwrap_or(slot.lr);
                members.iter_mut().for_each(Member::undo);
                let first = milestones.partition_point(|milestone| *milestone == 0);
                members[first].initial(slot)?;
                Ok(Member::Sequential { members, milestones, last_epoch: 0 })
            }
            Scheduler::Chained(members) => Ok(Member::Chained(all(members, slot)?)),
            rule => {
                let mut one = One::new(rule, slot, last_epoch, steps)?;
                let base = one.base;
                one.step(slot, true)?;
                // `CyclicLR` takes over its own base only after this step.
                if matches!(rule, Scheduler::Cycle(Cycle { overwrites: Overwrites::Lr(_), .. })) && last_epoch == -1 {
                    slot.lr = base;
                }
                Ok(Member::One(one))
            }
        }
    }

    /// Takes back the count, not the effect, of a step.
    fn undo(&mut self) {
        match self {
            Member::One(one) => one.last_epoch -= 1,
            Member::Sequential { members, .. } | Member::Chained(members) => members.iter_mut().for_each(Member::undo),
        }
    }

    /// A step that each single scheduler knows to be its first; what is inside of a composition does not know.
    fn initial(&mut self, slot: &mut Slot) -> Result<()> {
        if let Member::One(one) = self {
            one.calls = 0;
        }
        self.step(slot, true)
    }

    fn step(&mut self, slot: &mut Slot, initial: bool) -> Result<()> {
        match self {
            Member::One(one) => one.step(slot, initial),
            Member::Chained(members) => members.iter_mut().try_for_each(|member| member.step(slot, false)),
            Member::Sequential { members, milestones, last_epoch } => {
                *last_epoch += 1;
                let turn = milestones.partition_point(|milestone| *milestone <= *last_epoch);
                match &mut members[turn] {
                    Member::One(one) if turn > 0 && milestones[turn - 1] == *last_epoch => one.enter(slot),
                    member => member.step(slot, false),
                }
            }
        }
    }
}

impl<'s> One<'s> {
    fn new(rule: &'s Scheduler, slot: &mut Slot, last_epoch: i64, steps: u64) -> Result<One<'s>> {
        // One step more than the run takes, and one more where it was taken up a step too far. Both are far below 2^63.
        let first = u64::try_from(last_epoch).unwrap_or(0);
        let end = first + steps + 2;
        let trace = |schedule: &Schedule| bounded(schedule.clone(), Some(end)).trace(first..=end);
        let (values, cycled) = match rule {
            Scheduler::Lambda(factor) | Scheduler::Multiplicative { factor, .. } => (trace(factor)?, Vec::new()),
            Scheduler::Cycle(Cycle { lr, cycled, overwrites }) => {
                if last_epoch == -1 {
                    match overwrites {
                        Overwrites::Lr(lr) => slot.lr = *lr,
                        Overwrites::InitialLr(lr) => slot.initial_lr = Some(*lr),
                    }
                }
                (trace(lr)?, cycled.as_ref().map_or(Ok(Vec::new()), trace)?)
            }
            _ => (Vec::new(), Vec::new()),
        };
        let period = match rule {
            Scheduler::Restarts { t_0, .. } => (first, *t_0),
            _ => (0, 0),
        };
        let base = *slot.initial_lr.get_or_insert(slot.lr);
        Ok(One { rule, base, last_epoch: last_epoch.into(), calls: 0, period, first, values, cycled })
    }

    fn step(&mut self, slot: &mut Slot, initial: bool) -> Result<()> {
        self.calls += 1;
        if let Scheduler::Restarts { t_0, t_mult, .. } = self.rule {
            // Below 0 the scheduler takes itself for new, however far it was undone.
            if self.last_epoch < 0 {
                (self.last_epoch, self.period) = (-1, (0, *t_0));
            } else {
                self.period.0 += 1;
                if self.period.0 >= self.period.1 {
                    // One of 2^64 - 1 steps is as flat as a longer one over what a replay sees of it.
                    self.period = (self.period.0 % self.period.1, self.period.1.saturating_mul(*t_mult));
                }
            }
        }
        self.last_epoch += 1;
        let epoch = u64::try_from(self.last_epoch)
            .map_err(|_| Error::argument("schedulers", "nested", "torch would look up an epoch below 0"))?;
        self.expect_factor(epoch, initial)?;
        slot.lr = self.next(slot, epoch, initial)?;
        if !self.cycled.is_empty() {
            slot.cycled = Some(self.own(&self.cycled, epoch)?);
        }
        Ok(())
    }

    /// The turn of this member of a sequence: the closed form at 0 where the class has one, else an ordinary step there.
    fn enter(&mut self, slot: &mut Slot) -> Result<()> {
        self.last_epoch = 0;
        let base = self.base;
        slot.lr = match self.rule {
            Scheduler::Linear { total: 0, .. } | Scheduler::Polynomial { total: 0, .. } => {
                let rule = "must be at least 1 in a later slot of a sequence: torch divides by it";
                return Err(Error::argument("schedulers.total_iters", 0, rule));
            }
            Scheduler::MultiStep { milestones, gamma } => {
                base * gamma.powi(power(milestones.partition_point(|milestone| *milestone == 0)))
            }
            Scheduler::Constant { factor, total } => base * if *total == 0 { 1.0 } else { *factor },
            Scheduler::Linear { start, .. } => base * start,
            Scheduler::Step { .. }
            | Scheduler::Exponential { .. }
            | Scheduler::Polynomial { .. }
            | Scheduler::Cosine { .. } => base,
            _ => {
                self.expect_factor(0, false)?;
                self.next(slot, 0, false)?
            }
        };
        if !self.cycled.is_empty() {
            slot.cycled = Some(self.own(&self.cycled, 0)?);
        }
        Ok(())
    }

    fn expect_factor(&self, epoch: u64, initial: bool) -> Result<()> {
        match self.rule {
            Scheduler::Multiplicative { from_0: false, .. } if epoch == 0 && !initial => {
                let rule = "must have a value at epoch 0, where a composition asks for it";
                Err(Error::argument("params.lr_lambda", "undefined", rule))
            }
            _ => Ok(()),
        }
    }

    /// The rate at `epoch`, from the rate in the slot.
    fn next(&self, slot: &Slot, epoch: u64, initial: bool) -> Result<f64> {
        let (lr, t) = (slot.lr, epoch as f64);
        Ok(match self.rule {
            Scheduler::Lambda(_) => self.base * self.value(epoch)?,
            Scheduler::Cycle(_) => self.value(epoch)?,
            Scheduler::Multiplicative { .. } => {
                if initial {
                    lr
                } else {
                    lr * self.value(epoch)?
                }
            }
            Scheduler::Step { size, gamma } => {
                if epoch > 0 && epoch.is_multiple_of(*size) {
                    lr * gamma
                } else {
                    lr
                }
            }
            Scheduler::MultiStep { milestones, gamma } => {
                let count = milestones.iter().filter(|milestone| **milestone == epoch).count();
                if count == 0 { lr } else { lr * gamma.powi(power(count)) }
            }
            Scheduler::Constant { factor, .. } if epoch == 0 => lr * factor,
            Scheduler::Constant { factor, total } => {
                if epoch == *total {
                    lr * (1.0 / factor)
                } else {
                    lr
                }
            }
            Scheduler::Linear { start, .. } if epoch == 0 => lr * start,
            Scheduler::Linear { total, .. } | Scheduler::Polynomial { total, .. } if initial || epoch > *total => lr,
            Scheduler::Linear { start, end, total } => {
                lr * (1.0 + (end - start) / (*total as f64 * start + (t - 1.0) * (end - start)))
            }
            Scheduler::Polynomial { total, power } => {
                let n = *total as f64;
                lr * ((1.0 - t / n) / (1.0 - (t - 1.0) / n)).powf(*power)
            }
            Scheduler::Exponential { gamma } => {
                if initial {
                    lr
                } else {
                    lr * gamma
                }
            }
            Scheduler::Cosine { .. } if initial => lr,
            Scheduler::Cosine { t_max, eta_min } => {
                let n = *t_max as f64;
                if (i128::from(epoch) - 1 - i128::from(*t_max)).rem_euclid(2 * i128::from(*t_max)) == 0 {
                    return Ok(lr + (self.base - eta_min) * (1.0 - (PI / n).cos()) / 2.0);
                }
                (1.0 + (PI * t / n).cos()) / (1.0 + (PI * (t - 1.0) / n).cos()) * (lr - eta_min) + eta_min
            }
            Scheduler::Restarts { eta_min, .. } => {
                let (done, len) = self.period;
                eta_min + (self.base - eta_min) * (1.0 + (PI * done as f64 / len as f64).cos()) / 2.0
            }
            Scheduler::Swa { swa_lr, epochs, anneal } => {
                let step = self.calls as f64 - 1.0;
                let step = if *epochs == 0 { step.max(1.0) } else { step };
                let weight = |step: f64| anneal.weight((step / (*epochs).max(1) as f64).clamp(0.0, 1.0));
                let before = weight(step - 1.0);
                let from = if before == 1.0 { *swa_lr } else { (lr - before * swa_lr) / (1.0 - before) };
                swa_lr * weight(step) + from * (1.0 - weight(step))
            }
            // A composition is no single scheduler: its members act.
            Scheduler::Sequential { .. } | Scheduler::Chained(_) => lr,
        })
    }

    fn value(&self, epoch: u64) -> Result<f64> {
        self.own(&self.values, epoch)
    }

    /// One of the rule's own values, which were computed ahead for the epochs that a run can come to.
    fn own(&self, values: &[f64], epoch: u64) -> Result<f64> {
        let place = epoch.checked_sub(self.first).and_then(|place| usize::try_from(place).ok());
        place.and_then(|place| values.get(place)).copied().ok_or_else(|| {
            Error::argument("params.last_epoch", self.last_epoch, "is an epoch at which torch's own value is not known")
        })
    }
}

/// How often a factor is put on. A list of 2^31 milestones is far longer than a table may be.
fn power(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

impl Anneal {
    fn weight(self, share: f64) -> f64 {
        match self {
            Anneal::Cosine => (1.0 - (PI * share).cos()) / 2.0,
            Anneal::Linear => share,
        }
    }
}
