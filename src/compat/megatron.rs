//! Megatron-LM's `OptimizerParamScheduler`: learning rate and weight decay of each parameter group.
//!
//! As in `megatron/core/optimizer_param_scheduler.py` of megatron-core 0.16.1; a step whose gradients overflow is none. A command line is
//! read in [`megatron_flags`].
//!
//! What it counts is the sum of the increments that it is given, as a rule samples. So do these schedules: on the step as
//! they are, for an increment of 1, or else with [`Schedule::on_progress`].

use std::f64::consts::PI;

use serde_json::Value;

use super::limits::MAX_EXACT;
use super::{Arguments, Recipe, last_name, megatron_flags, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// One recipe for each group of `optimizer`, with the group's own `max_lr`, `min_lr`, `start_wd`, `end_wd` and `wd_mult`;
/// a single one without an optimizer. A training script takes the flags of a command line.
pub(super) fn recipes(api: &str, arguments: Arguments, optimizer: &Value, horizon: Option<u64>) -> Result<Vec<Recipe>> {
    let (scheduler, counts) = match last_name(api) {
        "OptimizerParamScheduler" => (Scheduler::read(arguments)?, Counts::Steps),
        name if megatron_flags::is_script(name) => megatron_flags::scheduler(arguments, horizon)?,
        _ => return Err(unknown(api, &["OptimizerParamScheduler", "pretrain_gpt"])),
    };
    let mut recipes = match optimizer {
        Value::Null => vec![scheduler.recipe(&mut Arguments::new("optimizer", &Value::Object(Default::default()))?)?],
        _ => {
            let groups = Arguments::new("optimizer", optimizer)?.calls("groups")?;
            groups.into_iter().map(|mut group| scheduler.recipe(&mut group)).collect::<Result<_>>()?
        }
    };
    if counts == Counts::Samples {
        recipes.iter_mut().for_each(Recipe::on_progress);
    }
    Ok(recipes)
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counts {
    Steps,
    Samples,
}

pub(super) struct Scheduler {
    init: f64,
    max: f64,
    min: f64,
    /// A fraction of the whole may end between two steps.
    warmup: f64,
    total: u64,
    style: Style,
    weight_decay: WeightDecay,
}

/// What the scheduler's arguments are called where they are given.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub init: &'static str,
    pub max: &'static str,
    pub warmup: &'static str,
    pub total: &'static str,
    pub wsd_steps: &'static str,
    pub start_wd: &'static str,
    pub end_wd: &'static str,
    pub wd_steps: &'static str,
    pub wd_style: &'static str,
}

/// Those of the class itself.
const NAMES: Names = Names {
    init: "init_lr",
    max: "max_lr",
    warmup: "lr_warmup_steps",
    total: "lr_decay_steps",
    wsd_steps: "wsd_decay_steps",
    start_wd: "start_wd",
    end_wd: "end_wd",
    wd_steps: "wd_incr_steps",
    wd_style: "wd_incr_style",
};

/// The scheduler's numbers.
pub(super) struct Numbers {
    pub init: f64,
    pub max: f64,
    pub min: f64,
    pub warmup: f64,
    pub total: u64,
    pub wsd_steps: Option<u64>,
    pub start_wd: f64,
    pub end_wd: f64,
    pub wd_steps: u64,
}

/// How it falls, by name.
pub(super) const STYLES: &[(&str, Option<Style>)] = &[
    ("constant", Some(Style::Constant)),
    ("linear", Some(Style::Linear)),
    ("cosine", Some(Style::Cosine)),
    ("inverse-square-root", Some(Style::InverseSqrt)),
    ("WSD", None),
];

/// How WSD falls, by name.
pub(super) const FALLS: &[(&str, Fall)] = &[
    ("linear", Fall::Linear),
    ("cosine", Fall::Cosine),
    ("exponential", Fall::Exponential),
    ("minus_sqrt", Fall::MinusSqrt),
];

/// How the weight decay grows, by name.
pub(super) const INCREASES: &[(&str, Increase)] =
    &[("constant", Increase::Constant), ("linear", Increase::Linear), ("cosine", Increase::Cosine)];

#[derive(Clone, Copy)]
pub(super) enum Style {
    Constant,
    Linear,
    Cosine,
    InverseSqrt,
    /// Constant until the last `steps` steps.
    StableDecay {
        steps: u64,
        fall: Fall,
    },
}

#[derive(Clone, Copy)]
pub(super) enum Fall {
    Linear,
    Cosine,
    Exponential,
    MinusSqrt,
}

struct WeightDecay {
    start: f64,
    end: f64,
    steps: u64,
    style: Increase,
    /// What `style` is called where it is given.
    style_name: &'static str,
}

#[derive(Clone, Copy)]
pub(super) enum Increase {
    Constant,
    Linear,
    Cosine,
}

impl Scheduler {
    fn read(mut arguments: Arguments) -> Result<Scheduler> {
        let read = &mut arguments;
        let numbers = Numbers {
            init: read.f64("init_lr")?,
            max: read.f64("max_lr")?,
            min: read.f64("min_lr")?,
            warmup: read.steps("lr_warmup_steps")? as f64,
            total: read.steps("lr_decay_steps")?,
            wsd_steps: read.optional_steps("wsd_decay_steps")?,
            start_wd: read.f64("start_wd")?,
            end_wd: read.f64("end_wd")?,
            wd_steps: read.steps("wd_incr_steps")?,
        };
        let fall = read.optional_word("lr_wsd_decay_style", FALLS)?;
        let style = read.word("lr_decay_style", STYLES)?;
        let increase = read.word("wd_incr_style", INCREASES)?;
        if read.bool_or("use_checkpoint_opt_param_scheduler", true)? {
            expect_no_override(read)?;
        } else {
            read.bool_or("override_opt_param_scheduler", false)?;
        }
        let scheduler = Scheduler::new(read, NAMES, &numbers, style, fall, increase)?;
        arguments.finish()?;
        Ok(scheduler)
    }

    /// Checks `numbers` as the class does. `style` is None for WSD.
    pub(super) fn new(
        read: &Arguments,
        names: Names,
        numbers: &Numbers,
        style: Option<Style>,
        fall: Option<Fall>,
        increase: Increase,
    ) -> Result<Scheduler> {
        let Numbers { init, max, min, warmup, total, wsd_steps, start_wd, end_wd, wd_steps } = *numbers;
        if min < 0.0 || min > max {
            return Err(read.error("min_lr", min, format!("must lie in [0, {}], [0, {max}]", names.max)));
        }
        if init > max {
            return Err(read.error(names.init, init, format!("must not exceed {}, {max}", names.max)));
        }
        if !(warmup >= 0.0 && warmup < total as f64) {
            return Err(read.error(names.warmup, warmup, format!("must be below {}, {total}", names.total)));
        }
        let style = match style {
            Some(style) => style,
            None => {
                let steps = wsd_steps.ok_or_else(|| read.missing(names.wsd_steps))?;
                if steps > total {
                    let rule = format!("must not exceed {}, {total}", names.total);
                    return Err(read.error(names.wsd_steps, steps, rule));
                }
                let rule = "must be given with WSD: Megatron fails when the decay starts";
                let fall = fall.ok_or_else(|| read.missing_unless("lr_wsd_decay_style", rule))?;
                Style::StableDecay { steps, fall }
            }
        };
        if start_wd < 0.0 || end_wd < start_wd {
            let rule = format!("must lie in [0, {}], [0, {end_wd}]", names.end_wd);
            return Err(read.error(names.start_wd, start_wd, rule));
        }
        if matches!(style, Style::StableDecay { steps, .. } if steps as f64 > total as f64 - warmup)
            && warmup > MAX_EXACT as f64
        {
            let rule = "must be at most 2^53, up to which an f64 tells every step from the next";
            return Err(read.error(names.warmup, warmup, rule));
        }
        if wd_steps == 0 && !matches!(increase, Increase::Constant) {
            return Err(read.error(names.wd_steps, 0, "must be at least 1: Megatron divides by it"));
        }
        let weight_decay =
            WeightDecay { start: start_wd, end: end_wd, steps: wd_steps, style: increase, style_name: names.wd_style };
        Ok(Scheduler { init, max, min, warmup, total, style, weight_decay })
    }

    fn recipe(&self, group: &mut Arguments) -> Result<Recipe> {
        let (max, min) = (group.f64_or("max_lr", self.max)?, group.f64_or("min_lr", self.min)?);
        let weight_decay = self.weight_decay.schedule(group)?;
        Ok(Recipe { weight_decay: Some(weight_decay), ..Recipe::new(self.lr(max, min)) })
    }

    /// A linear warm-up, which the step `lr_warmup_steps` still belongs to, the style, and `min` past `lr_decay_steps`.
    fn lr(&self, max: f64, min: f64) -> Schedule {
        if self.warmup.fract() != 0.0 {
            return self.lr_between_steps(max, min);
        }
        let warmup = self.warmup as u64;
        let warm = |after: Schedule| Schedule::join([Schedule::linear(self.init, max).over(warmup), after], [warmup]);
        let rest = self.total - warmup;
        match self.style {
            Style::Constant => warm(max.into()),
            Style::Linear => warm(Schedule::linear(max, min).over(rest)),
            Style::Cosine => warm(Schedule::cosine(max, min).over(rest)),
            // Drops to `min` at once past the end, wherever it has come to.
            Style::InverseSqrt => {
                let decay = match warmup {
                    0 => Schedule::inverse_sqrt(max, 1.0).delay(1u64),
                    warmup => Schedule::inverse_sqrt(max, warmup as f64),
                };
                warm(Schedule::join([decay.max(min), min.into()], [rest + 1]))
            }
            // Without steps to decay over, the step `lr_decay_steps` still has the full rate.
            Style::StableDecay { steps: 0, .. } => warm(Schedule::join([max.into(), min.into()], [rest + 1])),
            Style::StableDecay { steps, fall } if steps <= rest => {
                warm(fall.between(max, min, steps).delay(rest - steps))
            }
            // More steps to decay over than the warm-up leaves: the rate jumps into their midst right after it.
            Style::StableDecay { steps, fall } => {
                let decay = fall.between(max, min, steps).delay(self.total - steps);
                let rise = Schedule::linear(self.init, max).over(warmup);
                step().less_equal(warmup as f64).select(rise, decay)
            }
        }
    }

    /// [`Scheduler::lr`] whose warm-up ends between two steps.
    fn lr_between_steps(&self, max: f64, min: f64) -> Schedule {
        let (warmup, total) = (self.warmup, self.total as f64);
        let rise = self.init + (step() / warmup) * (max - self.init);
        let done = (step() - warmup) / (total - warmup);
        let fall = match self.style {
            Style::Constant => max.into(),
            Style::Linear => max - done * (max - min),
            Style::Cosine => min + ((done * PI).cos() + 1.0) * (0.5 * (max - min)),
            // The first step is the earliest after any warm-up.
            Style::InverseSqrt => (max * warmup.max(1.0).sqrt() / step().max(1.0).sqrt()).max(min),
            Style::StableDecay { steps: 0, .. } => max.into(),
            Style::StableDecay { steps, fall } => fall.between(max, min, steps).delay(self.total - steps),
        };
        let after = match self.style {
            Style::Constant => fall,
            _ => step().less_equal(total).select(fall, min),
        };
        step().less_equal(warmup).select(rise, after)
    }
}

/// Refuses `override_opt_param_scheduler`, which Megatron does beside `use_checkpoint_opt_param_scheduler`.
pub(super) fn expect_no_override(read: &mut Arguments) -> Result<()> {
    if read.bool_or("override_opt_param_scheduler", false)? {
        let rule = "must not be set together with use_checkpoint_opt_param_scheduler";
        return Err(read.error("override_opt_param_scheduler", true, rule));
    }
    Ok(())
}

impl Fall {
    fn between(self, from: f64, to: f64, steps: u64) -> Schedule {
        match self {
            Fall::Linear => Schedule::linear(from, to),
            Fall::Cosine => Schedule::cosine(from, to),
            Fall::Exponential => Schedule::half_life(from, to),
            Fall::MinusSqrt => Schedule::one_minus_sqrt(from, to),
        }
        .over(steps)
    }
}

impl WeightDecay {
    fn schedule(&self, group: &mut Arguments) -> Result<Schedule> {
        let (start, end) = (group.f64_or("start_wd", self.start)?, group.f64_or("end_wd", self.end)?);
        let factor = group.f64_or("wd_mult", 1.0)?;
        let (start_scaled, end_scaled) = (start * factor, end * factor);
        match self.style {
            Increase::Linear => Ok(Schedule::linear(start_scaled, end_scaled).over(self.steps)),
            Increase::Cosine => Ok(Schedule::cosine(start_scaled, end_scaled).over(self.steps)),
            Increase::Constant if start == end => Ok(Schedule::constant(end_scaled)),
            Increase::Constant => Err(group.error(
                "end_wd",
                end,
                format!("must equal start_wd, {start}, where {} is constant", self.style_name),
            )),
        }
    }
}
