//! How long the run and its warm-up are, and the scheduler that follows.

use serde_json::{Map, Value, json};

use super::super::super::nearest::unknown_name;
use super::super::super::transformers::{scheduler_name, scheduler_names};
use super::super::{Facts, Section};
use crate::error::{Error, Result};

pub(super) struct Run {
    /// Updates, where the file or the facts say how many.
    pub total: Option<u64>,
    /// As the file has them: a count, or a part of the run below 1.
    pub warmup_steps: f64,
    /// What counts where that is 0; gone in 5.
    pub warmup_ratio: f64,
}

impl Run {
    pub fn read(file: &mut Section, facts: &Facts) -> Result<Run> {
        let epochs = file.number("num_train_epochs")?;
        let max_steps = file.int("max_steps")?.unwrap_or(-1);
        let total = match (u64::try_from(max_steps), facts.steps, facts.steps_per_epoch) {
            (Ok(0), ..) => return Err(file.error("max_steps", 0, "must be at least 1, or -1 for num_train_epochs")),
            (Ok(steps), ..) => Some(steps),
            (Err(_), Some(steps), _) => Some(steps),
            (Err(_), None, Some(per_epoch)) => {
                let epochs = epochs.unwrap_or(3.0);
                let steps = (epochs * per_epoch as f64).ceil();
                if epochs <= 0.0 || steps >= 2f64.powi(53) {
                    return Err(file.error(
                        "num_train_epochs",
                        epochs,
                        "must be above 0, and give less than 2^53 steps",
                    ));
                }
                Some((steps as u64).max(1))
            }
            (Err(_), None, None) => None,
        };
        let warmup_steps = file.number("warmup_steps")?.unwrap_or(0.0);
        if warmup_steps < 0.0 {
            return Err(file.error("warmup_steps", warmup_steps, "must not be negative"));
        }
        let warmup_ratio = file.number("warmup_ratio")?.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&warmup_ratio) {
            return Err(file.error("warmup_ratio", warmup_ratio, "must be from 0 to 1"));
        }
        Ok(Run { total, warmup_steps, warmup_ratio })
    }

    fn needed_total(&self, what: &str) -> Result<u64> {
        self.total.ok_or_else(|| {
            let rule =
                format!("must be given, or steps, or max_steps in the file: {what} follows from the steps of the run");
            Error::argument("facts.steps_per_epoch", "missing", rule)
        })
    }

    fn warmup(&self) -> Result<u64> {
        let part_of = |part: f64, what: &str| Ok((self.needed_total(what)? as f64 * part).ceil() as u64);
        match (self.warmup_steps, self.warmup_ratio) {
            (steps, _) if steps >= 1.0 => Ok(steps as u64),
            (part, _) if part > 0.0 => part_of(part, "warmup_steps below 1"),
            (_, ratio) if ratio > 0.0 => part_of(ratio, "warmup_ratio"),
            _ => Ok(0),
        }
    }

    /// The arguments of `get_scheduler`, and `warmup_steps` as what schedules by itself is told them.
    pub fn schedule(&self, file: &mut Section) -> Result<(Value, f64)> {
        let word = file.text("lr_scheduler_type")?.unwrap_or_else(|| "linear".into());
        let Some(name) = scheduler_name(&word) else {
            let rule = unknown_name("the name of a scheduler", &word, &scheduler_names());
            return Err(file.error("lr_scheduler_type", word, rule));
        };
        let mut kwargs = kwargs(file)?;
        if ["constant", "constant_with_warmup"].contains(&name) && !kwargs.is_empty() {
            file.notes().left(format!("lr_scheduler_kwargs: {name} takes none"));
            kwargs.clear();
        }
        let mut call = json!({"name": name});
        let by_metric = ["reduce_lr_on_plateau", "greedy"].contains(&name);
        if by_metric {
            let what = "the metric of lr_scheduler_type: give each observation after an evaluation, of which the Trainer takes metric_for_best_model";
            file.notes().left(what);
        }
        if by_metric || name == "constant" {
            if self.warmup_steps > 0.0 || self.warmup_ratio > 0.0 {
                file.notes().left(format!("warm-up: {name} has none"));
            }
        } else {
            call["num_warmup_steps"] = self.warmup()?.into();
            let by_warmup_alone = ["constant_with_warmup", "inverse_sqrt"].contains(&name);
            let in_phases = name == "warmup_stable_decay" && kwargs.contains_key("num_stable_steps");
            match self.total {
                Some(total) => call["num_training_steps"] = total.into(),
                None if by_warmup_alone || in_phases => {}
                None => call["num_training_steps"] = self.needed_total(&format!("lr_scheduler_type {name}"))?.into(),
            }
        }
        if !kwargs.is_empty() {
            call["scheduler_specific_kwargs"] = Value::Object(kwargs);
        }
        Ok((call, self.warmup_steps))
    }
}

/// An object, or its JSON as a text, as on a command line.
fn kwargs(file: &mut Section) -> Result<Map<String, Value>> {
    const NAME: &str = "lr_scheduler_kwargs";
    let rule = "must be an object of arguments by name";
    match file.value(NAME)? {
        None => Ok(Map::new()),
        Some(Value::Object(kwargs)) => Ok(kwargs),
        Some(Value::String(text)) => serde_json::from_str(&text).map_err(|_| file.error(NAME, text, rule)),
        Some(other) => Err(file.error(NAME, other, rule)),
    }
}
