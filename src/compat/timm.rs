//! timm's schedulers. What timm calls `t`, an epoch or an update, is the step here.
//!
//! Construction leaves the plain base rate (or `warmup_lr_init`), and the formula starts at `t` = 1: where it is not the
//! base rate at 0 (tanh, an early milestone), step 0 is told apart. Noise is refused: it comes from torch's generator.
//! The index of a cycle is computed without timm's float logarithm, which is one too low at exact powers, as at `t` = 363
//! with `t_initial` = `cycle_mul` = 3. Start at [`recipes`].

use super::cycles::{Cycles, Shape};
use super::plateau::{InRates, of_group};
use super::shapes::{drops, whole};
use super::{Arguments, Group, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Better, Improvement, Plateau, Schedule, step};

const SCHEDULERS: [&str; 7] = [
    "CosineLRScheduler",
    "TanhLRScheduler",
    "PolyLRScheduler",
    "StepLRScheduler",
    "MultiStepLRScheduler",
    "WSDLRScheduler",
    "PlateauLRScheduler",
];

/// One recipe for each group; a group's `lr_scale` multiplies what its scheduler gives.
pub(super) fn recipes(api: &str, mut arguments: Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    let read = &mut arguments;
    refuse_noise(read)?;
    let scheduler = last_name(api);
    let recipes = match scheduler {
        "PlateauLRScheduler" => plateau(read, groups)?,
        _ => {
            let warmup = Warmup::read(read, scheduler)?;
            let formula = Formula::read(read, scheduler, api, &warmup)?;
            let recipe = |group: &Group| Ok(Recipe::new(scaled(warmup.before(&formula, group.lr)?, group)));
            groups.iter().map(recipe).collect::<Result<_>>()?
        }
    };
    arguments.finish()?;
    Ok(recipes)
}

/// torch's plateau after a warm-up in which metrics are ignored; that of step `warmup_t` is the first that counts.
fn plateau(read: &mut Arguments, groups: &[Group]) -> Result<Vec<Recipe>> {
    const TORCH_EPS: f64 = 1e-8;
    let better = read.word_or("mode", Better::Higher, &[("min", Better::Lower), ("max", Better::Higher)])?;
    let factor = read.f64_or("decay_rate", 0.1)?;
    let (warmup, init) = (read.steps_or("warmup_t", 0)?, read.f64_or("warmup_lr_init", 0.0)?);
    let rule = Plateau::new()
        .patience(read.steps_or("patience_t", 10)?)
        .improvement(Improvement::signed(better, read.f64_or("threshold", 1e-4)?, 0.0))
        .cooldown(read.steps_or("cooldown_t", 0)?)
        .ignore_first(warmup);
    let min = read.numbers_per_group("lr_min", groups.len())?.unwrap_or_else(|| vec![0.0; groups.len()]);
    let recipe = |(group, min): (&Group, &f64)| {
        let (rate, names) = (group.lr * group.lr_scale.unwrap_or(1.0), ["decay_rate", "lr_min"]);
        let metric = of_group(rule, factor, &InRates { min: *min, eps: TORCH_EPS }, rate, read, names)?;
        let lr = scaled(Schedule::linear(init, group.lr).over(warmup), group);
        Ok(Recipe { metric: Some(metric), ..Recipe::new(lr) })
    };
    groups.iter().zip(&min).map(recipe).collect()
}

fn scaled(lr: Schedule, group: &Group) -> Schedule {
    match group.lr_scale {
        None => lr,
        Some(scale) => lr * scale,
    }
}

/// Reads what schedules of epochs and of updates share, and refuses noise. `noise_std` and the like are then unused.
fn refuse_noise(read: &mut Arguments) -> Result<()> {
    if let Some(range) = read.value("noise_range_t") {
        return Err(read.error("noise_range_t", range, "must be null: the noise comes from torch's random generator"));
    }
    for name in ["noise_pct", "noise_std", "noise_seed", "noise_type"] {
        read.value(name);
    }
    read.bool_or("t_in_epochs", true)?;
    if !read.bool_or("initialize", true)? {
        return Err(read.error("initialize", false, "must be true: the base rates are the groups' own"));
    }
    Ok(())
}

/// A linear rise from `init` over `steps` steps.
struct Warmup {
    steps: u64,
    init: f64,
    clock: Clock,
}

/// What runs during the warm-up: without `warmup_prefix` the formula does, and the rate jumps at the end.
#[derive(PartialEq)]
enum Clock {
    AfterWarmup,
    Running,
}

impl Warmup {
    fn read(read: &mut Arguments, scheduler: &str) -> Result<Warmup> {
        let (steps, init) = (read.steps_or("warmup_t", 0)?, read.f64_or("warmup_lr_init", 0.0)?);
        let prefixed = match scheduler {
            "WSDLRScheduler" => true,
            "StepLRScheduler" | "MultiStepLRScheduler" => read.bool_or("warmup_prefix", true)?,
            _ => read.bool_or("warmup_prefix", false)?,
        };
        if !prefixed {
            read.told_apart("warmup_t", steps)?;
        }
        Ok(Warmup { steps, init, clock: if prefixed { Clock::AfterWarmup } else { Clock::Running } })
    }

    /// The warm-up to `base`, then the formula. Without a warm-up, step 0 keeps the plain base rate.
    fn before(&self, formula: &Formula, base: f64) -> Result<Schedule> {
        let after = formula.schedule(base);
        if self.steps == 0 {
            let starts_elsewhere = at(&after, 0)? != base;
            return Ok(if starts_elsewhere { step().less(1.0).select(base, after) } else { after });
        }
        let running = self.clock == Clock::Running;
        let peak = if running && formula.is_tanh() { at(&after, self.steps)? } else { base };
        let warmup = Schedule::linear(self.init, peak).over(self.steps);
        Ok(if running {
            step().less(self.steps as f64).select(warmup, after)
        } else {
            Schedule::join([warmup, after], [self.steps])
        })
    }
}

/// The value at one step of what may grow without bounds after it.
fn at(schedule: &Schedule, step: u64) -> Result<f64> {
    schedule.clone().over(step).at(step)
}

/// What a scheduler gives from its base rate, without warm-up.
enum Formula {
    Cycles(Cycles),
    Step { every: f64, rate: f64 },
    MultiStep { milestones: Vec<u64>, rate: f64 },
    StableDecay(StableDecay),
}

impl Formula {
    fn read(read: &mut Arguments, scheduler: &str, api: &str, warmup: &Warmup) -> Result<Formula> {
        Ok(match scheduler {
            "CosineLRScheduler" => {
                let k = read.f64_or("k_decay", 1.0)?;
                Formula::Cycles(cycles(read, Shape::Cosine { k })?)
            }
            "TanhLRScheduler" => {
                let (start, end) = (read.f64_or("lb", -7.0)?, read.f64_or("ub", 3.0)?);
                if start >= end {
                    return Err(read.error("lb", start, format!("must be below ub, {end}")));
                }
                if warmup.init < 0.0 {
                    return Err(read.error("warmup_lr_init", warmup.init, "must not be negative"));
                }
                Formula::Cycles(cycles(read, Shape::Tanh { start, end })?)
            }
            "PolyLRScheduler" => {
                let (power, k) = (read.f64_or("power", 0.5)?, read.f64_or("k_decay", 1.0)?);
                Formula::Cycles(cycles(read, Shape::Poly { power, k })?)
            }
            "StepLRScheduler" => {
                let (every, rate) = (read.f64("decay_t")?, read.f64_or("decay_rate", 1.0)?);
                if every <= 0.0 {
                    return Err(read.error("decay_t", every, "must be above 0: timm divides by it"));
                }
                Formula::Step { every, rate }
            }
            "MultiStepLRScheduler" => {
                let (milestones, rate) = (read.steps_list("decay_t")?, read.f64_or("decay_rate", 1.0)?);
                if !milestones.is_sorted() {
                    let rule = "must be in rising order: timm searches them as if they were";
                    return Err(read.error("decay_t", format!("{milestones:?}"), rule));
                }
                Formula::MultiStep { milestones, rate }
            }
            "WSDLRScheduler" => Formula::StableDecay(StableDecay::read(read, warmup.steps)?),
            _ => return Err(unknown(api, &SCHEDULERS)),
        })
    }

    fn is_tanh(&self) -> bool {
        matches!(self, Formula::Cycles(Cycles { shape: Shape::Tanh { .. }, .. }))
    }

    fn schedule(&self, base: f64) -> Schedule {
        match self {
            Formula::Cycles(cycles) => cycles.schedule(base),
            Formula::Step { every, rate } => match whole(*every) {
                Some(every) => Schedule::step_decay(base, *rate, every),
                None => base * Schedule::constant(*rate).pow(step().floor_div(*every)),
            },
            Formula::MultiStep { milestones, rate } => multi_step(base, *rate, milestones),
            Formula::StableDecay(stable_decay) => stable_decay.schedule(base),
        }
    }
}

fn cycles(read: &mut Arguments, shape: Shape) -> Result<Cycles> {
    let (first, end) = (read.steps("t_initial")?, read.f64_or("lr_min", 0.0)?);
    let (length_factor, decay) = (read.f64_or("cycle_mul", 1.0)?, read.f64_or("cycle_decay", 1.0)?);
    let limit = read.int_or("cycle_limit", 1)?.max(0) as u64;
    if first == 0 {
        return Err(read.error("t_initial", first, "must be at least 1"));
    }
    if end < 0.0 {
        return Err(read.error("lr_min", end, "must not be negative"));
    }
    if length_factor < 1.0 {
        let rule =
            "must be at least 1: timm takes the logarithm of a negative number when shrinking cycles are used up";
        return Err(read.error("cycle_mul", length_factor, rule));
    }
    let cycles = Cycles { shape, first, end, length_factor, decay, limit };
    cycles.check().map_err(|rule| read.error("cycle_mul", length_factor, rule))?;
    Ok(cycles)
}

/// A milestone acts at `t` = milestone - 1, one step before torch's, which timm retains on purpose (timm#2745, #2806).
/// Equal milestones each count.
fn multi_step(base: f64, rate: f64, milestones: &[u64]) -> Schedule {
    drops(base, rate, milestones.iter().map(|milestone| milestone.saturating_sub(1)))
}

/// Stable, then a decay to `end` over the last `decay` of `total` steps; both count from the end of the warm-up.
struct StableDecay {
    total: u64,
    decay: u64,
    end: f64,
    stable: Stable,
    fall: Fall,
}

enum Stable {
    Constant,
    Power { timescale: f64, power: f64 },
}

#[derive(Clone, Copy)]
enum Fall {
    Linear,
    OneMinusSqrt,
    Cosine,
    Power(f64),
    Exponential(f64),
}

impl StableDecay {
    fn read(read: &mut Arguments, warmup: u64) -> Result<StableDecay> {
        let (total, decay, end) = (read.steps("t_initial")?, read.steps("decay_t")?, read.f64_or("lr_min", 0.0)?);
        if decay == 0 || decay > total {
            return Err(read.error("decay_t", decay, format!("must lie in 1..=t_initial, {total}")));
        }
        if end < 0.0 {
            return Err(read.error("lr_min", end, "must not be negative"));
        }
        let timescale = read.f64_or("stable_timescale", warmup as f64)?;
        let powers = [("constant", None), ("rsqrt", Some(0.5)), ("power", Some(positive(read, "stable_power", 0.5)?))];
        let stable = match read.word_or("stable_fn", None, &powers)? {
            None => Stable::Constant,
            Some(_) if timescale <= 0.0 => {
                return Err(read.error("stable_timescale", timescale, "must be above 0; left out, it is warmup_t"));
            }
            Some(power) => Stable::Power { timescale, power },
        };
        let ratio = read.f64_or("decay_ratio", 0.1)?;
        let decay_power = positive(read, "decay_power", 0.5)?;
        if !(ratio > 0.0 && ratio < 1.0) {
            return Err(read.error("decay_ratio", ratio, "must lie in (0, 1)"));
        }
        let falls = [
            ("linear", Fall::Linear),
            ("1-sqrt", Fall::OneMinusSqrt),
            ("cosine", Fall::Cosine),
            ("power", Fall::Power(decay_power)),
            ("exp", Fall::Exponential(ratio)),
        ];
        let fall = read.word_or("decay_fn", Fall::OneMinusSqrt, &falls)?;
        Ok(StableDecay { total, decay, end, stable, fall })
    }

    fn schedule(&self, base: f64) -> Schedule {
        let flat = |from: f64, to: f64| {
            Schedule::constant(from).over(self.total - self.decay).then(self.fall.schedule(from, to, self.decay))
        };
        match self.stable {
            Stable::Constant => flat(base.max(self.end), self.end),
            Stable::Power { timescale, power } => {
                let stable = if power == 0.5 {
                    Schedule::inverse_sqrt(base, timescale)
                } else {
                    base * (1.0 + step() / timescale).pow(-power)
                };
                self.end + (stable.max(self.end) - self.end) * flat(1.0, 0.0)
            }
        }
    }
}

impl Fall {
    fn schedule(&self, from: f64, to: f64, steps: u64) -> Schedule {
        match *self {
            Fall::Linear => Schedule::linear(from, to).over(steps),
            Fall::OneMinusSqrt => Schedule::one_minus_sqrt(from, to).over(steps),
            Fall::Cosine => Schedule::cosine(from, to).over(steps),
            Fall::Power(power) => Schedule::power_rise(from, to, power).over(steps),
            Fall::Exponential(ratio) => {
                let left = (Schedule::constant(ratio).pow(step() / steps as f64) - ratio) / (1.0 - ratio);
                Schedule::join([to + (from - to) * left, Schedule::constant(to)], [steps])
            }
        }
    }
}

fn positive(read: &mut Arguments, name: &str, default: f64) -> Result<f64> {
    match read.f64_or(name, default)? {
        value if value > 0.0 => Ok(value),
        value => Err(read.error(name, value, "must be above 0")),
    }
}
