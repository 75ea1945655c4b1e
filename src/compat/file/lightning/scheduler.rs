//! A scheduler in Lightning's dictionary: its class, and when it is called.

use serde_json::{Value, json};

use super::super::super::nearest::{unknown_name, unknown_word};
use super::super::call::Call;
use super::super::{Facts, Section};
use super::{Trainer, named};
use crate::error::{Error, Result};

/// The functions of `transformers`, and what `get_scheduler` calls them.
const OF_TRANSFORMERS: [(&str, &str); 9] = [
    ("get_constant_schedule", "constant"),
    ("get_constant_schedule_with_warmup", "constant_with_warmup"),
    ("get_linear_schedule_with_warmup", "linear"),
    ("get_cosine_schedule_with_warmup", "cosine"),
    ("get_cosine_with_hard_restarts_schedule_with_warmup", "cosine_with_restarts"),
    ("get_polynomial_decay_schedule_with_warmup", "polynomial"),
    ("get_inverse_sqrt_schedule", "inverse_sqrt"),
    ("get_cosine_with_min_lr_schedule_with_warmup", "cosine_with_min_lr"),
    ("get_wsd_schedule", "warmup_stable_decay"),
];

/// The scheduler, and the updates between two calls of it.
pub(super) struct Scheduler {
    pub call: Call,
    every: u64,
}

impl Scheduler {
    pub fn read(mut section: Section, monitor: Option<&str>, trainer: &Trainer, facts: &Facts) -> Result<Scheduler> {
        let place = section.place("interval");
        let interval = section.text("interval")?.unwrap_or_else(|| "epoch".into());
        let frequency = section.count("frequency")?.unwrap_or(1);
        let own_monitor = section.text("monitor")?;
        section.leave(&[(&["strict", "reduce_on_plateau"], "of the metric, which is handed over")]);
        if frequency == 0 {
            return Err(section.error("frequency", 0, "must be at least 1: Lightning divides by it"));
        }
        let every = match interval.as_str() {
            "epoch" => {
                let for_what = format!("{place}, an epoch, which is Lightning's if nothing is said");
                facts.needed_steps_per_epoch(&for_what)?.checked_mul(frequency)
            }
            "step" if frequency == 1 => Some(1),
            "step" => Some(in_batches(&section, frequency, trainer, facts)?),
            word => return Err(section.error("interval", word, unknown_word(word, &["step", "epoch"]))),
        };
        let every = every.ok_or_else(|| section.error("frequency", frequency, "is too large"))?;
        let mut call = match section.peek("scheduler").is_some() {
            true => {
                section.leave(&[(&["name"], "what a logger calls the rate")]);
                let inner = named(&mut section, "scheduler")?;
                section.finish()?;
                Call::read(inner.ok_or_else(|| Error::argument(&place, "missing", "must be given"))?)?
            }
            false => Call::read(section)?,
        };
        if call.name() == "ReduceLROnPlateau" {
            // An argument of the class of Lightning's command line.
            let argument = call.arguments.remove("monitor");
            let said = own_monitor.as_deref().or(monitor).or(argument.as_ref().and_then(Value::as_str));
            if said.is_none() {
                let rule = "must be given beside ReduceLROnPlateau: Lightning raises without it";
                return Err(Error::argument(place.replace("interval", "monitor"), "missing", rule));
            }
        }
        Ok(Scheduler { call, every })
    }

    /// `{library, api, params, every}`.
    pub fn schedule(&self) -> Result<Value> {
        let call = &self.call;
        let mut params = call.arguments.clone();
        let (library, api) = match call.package() {
            None | Some("torch" | "lightning" | "pytorch_lightning") => ("torch", call.name()),
            Some("transformers") => {
                let known: Vec<&str> = OF_TRANSFORMERS.iter().map(|(function, _)| *function).collect();
                if let Some((_, name)) = OF_TRANSFORMERS.iter().find(|(function, _)| *function == call.name()) {
                    params.insert("name".into(), json!(name));
                } else if call.name() != "get_scheduler" {
                    let rule = unknown_name("a scheduler of transformers", call.name(), &known);
                    return Err(Error::argument(&call.class_place, &call.class, rule));
                }
                ("transformers", "transformers.get_scheduler")
            }
            Some(_) => {
                let rule =
                    "is of a package whose schedulers have no translation here; there are torch and transformers";
                return Err(Error::argument(&call.class_place, &call.class, rule));
            }
        };
        Ok(json!({"library": library, "api": api, "params": params, "every": self.every}))
    }
}

/// `frequency` of batches in updates: Lightning counts from an epoch's first batch.
fn in_batches(scheduler: &Section, frequency: u64, trainer: &Trainer, facts: &Facts) -> Result<u64> {
    if trainer.accumulate.is_some_and(|calls| calls != 1) {
        let rule = "must be 1 beside accumulate_grad_batches: Lightning counts batches, and those of an update may not divide it";
        return Err(scheduler.error("frequency", frequency, rule));
    }
    let steps = facts.needed_steps_per_epoch(&format!(
        "{}, which counts from an epoch's first batch",
        scheduler.place("frequency")
    ))?;
    if steps % frequency != 0 {
        let rule =
            format!("must divide the updates of an epoch, {steps}: Lightning counts from an epoch's first batch");
        return Err(scheduler.error("frequency", frequency, rule));
    }
    Ok(frequency)
}
