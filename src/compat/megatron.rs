//! Megatron-LM's `OptimizerParamScheduler`: learning rate and weight decay of each parameter group.
//!
//! What it counts is the sum of the increments that it is given, as a rule samples. So do these schedules: on the step as
//! they are, for an increment of 1, or else with [`Schedule::on_progress`].

use serde_json::Value;

use super::{Arguments, Recipe, last_name, unknown};
use crate::error::Result;
use crate::schedule::{Schedule, step};

/// One recipe for each group of `optimizer`, with the group's own `max_lr`, `min_lr`, `start_wd`, `end_wd` and `wd_mult`;
/// a single one without an optimizer.
pub(super) fn recipes(api: &str, mut arguments: Arguments, optimizer: &Value) -> Result<Vec<Recipe>> {
    if last_name(api) != "OptimizerParamScheduler" {
        return Err(unknown(api));
    }
    let scheduler = Scheduler::read(&mut arguments)?;
    arguments.finish()?;
    if optimizer.is_null() {
        return Ok(vec![scheduler.recipe(&mut Arguments::new("optimizer", &Value::Object(Default::default()))?)?]);
    }
    Arguments::new("optimizer", optimizer)?.calls("groups")?.iter_mut().map(|group| scheduler.recipe(group)).collect()
}

struct Scheduler {
    init: f64,
    max: f64,
    min: f64,
    warmup: u64,
    total: u64,
    style: Style,
    weight_decay: WeightDecay,
}

enum Style {
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
enum Fall {
    Linear,
    Cosine,
    Exponential,
    MinusSqrt,
}

struct WeightDecay {
    start: f64,
    end: f64,
    steps: u64,
    style: String,
}

impl Scheduler {
    fn read(read: &mut Arguments) -> Result<Scheduler> {
        let (init, max, min) = (read.f64("init_lr")?, read.f64("max_lr")?, read.f64("min_lr")?);
        if min < 0.0 || min > max {
            return Err(read.error("min_lr", min, format!("must lie in [0, max_lr], [0, {max}]")));
        }
        if init > max {
            return Err(read.error("init_lr", init, format!("must not exceed max_lr, {max}")));
        }
        let (warmup, total) = (read.steps("lr_warmup_steps")?, read.steps("lr_decay_steps")?);
        if warmup >= total {
            return Err(read.error("lr_warmup_steps", warmup, format!("must be below lr_decay_steps, {total}")));
        }
        let style = Style::read(read, total)?;
        let weight_decay = WeightDecay {
            start: read.f64("start_wd")?,
            end: read.f64("end_wd")?,
            steps: read.steps("wd_incr_steps")?,
            style: read.text("wd_incr_style")?,
        };
        weight_decay.check(read)?;
        let from_checkpoint = read.bool_or("use_checkpoint_opt_param_scheduler", true)?;
        if read.bool_or("override_opt_param_scheduler", false)? && from_checkpoint {
            let rule = "must not be set together with use_checkpoint_opt_param_scheduler";
            return Err(read.error("override_opt_param_scheduler", true, rule));
        }
        Ok(Scheduler { init, max, min, warmup, total, style, weight_decay })
    }

    fn recipe(&self, group: &mut Arguments) -> Result<Recipe> {
        let (max, min) = (group.f64_or("max_lr", self.max)?, group.f64_or("min_lr", self.min)?);
        let weight_decay = self.weight_decay.schedule(group)?;
        Ok(Recipe { weight_decay: Some(weight_decay), ..Recipe::new(self.lr(max, min)) })
    }

    /// A linear warm-up, which the step `lr_warmup_steps` still belongs to, the style, and `min` past `lr_decay_steps`.
    fn lr(&self, max: f64, min: f64) -> Schedule {
        let warm = |after: Schedule| {
            Schedule::join([Schedule::linear(self.init, max).over(self.warmup), after], [self.warmup])
        };
        let rest = self.total - self.warmup;
        match self.style {
            Style::Constant => warm(max.into()),
            Style::Linear => warm(Schedule::linear(max, min).over(rest)),
            Style::Cosine => warm(Schedule::cosine(max, min).over(rest)),
            // Drops to `min` at once past the end, wherever it has come to.
            Style::InverseSqrt => {
                let decay = match self.warmup {
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
                let warmup = Schedule::linear(self.init, max).over(self.warmup);
                step().less_equal(self.warmup as f64).select(warmup, decay)
            }
        }
    }
}

impl Style {
    fn read(read: &mut Arguments, total: u64) -> Result<Style> {
        let steps = read.optional_steps("wsd_decay_steps")?;
        let fall = read.optional_text("lr_wsd_decay_style")?;
        match read.text("lr_decay_style")?.as_str() {
            "constant" => Ok(Style::Constant),
            "linear" => Ok(Style::Linear),
            "cosine" => Ok(Style::Cosine),
            "inverse-square-root" => Ok(Style::InverseSqrt),
            "WSD" => {
                let steps = steps.ok_or_else(|| read.missing("wsd_decay_steps"))?;
                if steps > total {
                    return Err(read.error(
                        "wsd_decay_steps",
                        steps,
                        format!("must not exceed lr_decay_steps, {total}"),
                    ));
                }
                let fall = match fall.as_deref() {
                    Some("linear") => Fall::Linear,
                    Some("cosine") => Fall::Cosine,
                    Some("exponential") => Fall::Exponential,
                    Some("minus_sqrt") => Fall::MinusSqrt,
                    other => {
                        let rule =
                            "must be linear, cosine, exponential or minus_sqrt: Megatron fails when the decay starts";
                        return Err(read.error("lr_wsd_decay_style", other.unwrap_or("missing"), rule));
                    }
                };
                Ok(Style::StableDecay { steps, fall })
            }
            other => {
                let rule = "must be constant, linear, cosine, inverse-square-root or WSD";
                Err(read.error("lr_decay_style", other, rule))
            }
        }
    }
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
    fn check(&self, read: &Arguments) -> Result<()> {
        let (start, end) = (self.start, self.end);
        if start < 0.0 || end < start {
            return Err(read.error("start_wd", start, format!("must lie in [0, end_wd], [0, {end}]")));
        }
        match self.style.as_str() {
            "constant" => Ok(()),
            "linear" | "cosine" if self.steps == 0 => {
                Err(read.error("wd_incr_steps", 0, "must be at least 1: Megatron divides by it"))
            }
            "linear" | "cosine" => Ok(()),
            other => Err(read.error("wd_incr_style", other, "must be constant, linear or cosine")),
        }
    }

    fn schedule(&self, group: &mut Arguments) -> Result<Schedule> {
        let (start, end) = (group.f64_or("start_wd", self.start)?, group.f64_or("end_wd", self.end)?);
        let factor = group.f64_or("wd_mult", 1.0)?;
        let (start_scaled, end_scaled) = (start * factor, end * factor);
        match self.style.as_str() {
            "linear" => Ok(Schedule::linear(start_scaled, end_scaled).over(self.steps)),
            "cosine" => Ok(Schedule::cosine(start_scaled, end_scaled).over(self.steps)),
            _ if start == end => Ok(Schedule::constant(end_scaled)),
            _ => Err(group.error(
                "end_wd",
                end,
                format!("must equal start_wd, {start}, where wd_incr_style is constant"),
            )),
        }
    }
}
