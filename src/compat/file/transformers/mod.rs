//! `TrainingArguments` of transformers, as of 5.23.0 (`training_args.py`, `trainer.py`), with what 4.46 had beside them
//! (`warmup_ratio`, `adafactor`, `fp16_backend`). Files of programs that take them among fields of their own are read too.
//!
//! The clock of the scheduler counts updates; one that the loss scale skips is not counted. The number of updates in the run is
//! `max_steps`, or else [`Facts::steps`], or else `ceil(num_train_epochs * steps_per_epoch)`, where
//! [`Facts::steps_per_epoch`] is `ceil(batches / gradient_accumulation_steps)`. The Trainer makes two parameter groups, of which
//! biases and norms decay by nothing; which tensors those are is not in the file, so one group is given. A configuration of DeepSpeed
//! that stands inside has its own optimizer, scheduler, clipping and loss scale go first. Start at [`FORMAT`].

mod left;
mod optim;
mod run;

use serde_json::{Map, Value, json};

use super::super::OptimizerConfiguration;
use super::deepspeed::{self, Auto, Made, Parts};
use super::draft::Draft;
use super::section::Notes;
use super::{Facts, Format, Section};
use crate::error::{Error, Result};
use left::LEFT;
use optim::Adam;
use run::Run;

pub(super) const FORMAT: Format =
    Format { name: "TrainingArguments of transformers", library: "transformers", is: is_arguments, read };

/// Fields that no other library's file has.
const TELLING: [&str; 7] = [
    "lr_scheduler_type",
    "per_device_train_batch_size",
    "per_gpu_train_batch_size",
    "num_train_epochs",
    "adam_epsilon",
    "optim_args",
    "fp16_full_eval",
];

/// Fields of other programs that would decide what these arguments decide, and which these are.
const OF_OTHERS: [(&str, &str); 10] = [
    ("lr", "learning_rate"),
    ("optimizer", "optim"),
    ("optimizer_type", "optim"),
    ("scheduler", "lr_scheduler_type"),
    ("lr_scheduler", "lr_scheduler_type"),
    ("scheduler_type", "lr_scheduler_type"),
    ("lr_warmup_steps", "warmup_steps"),
    ("num_warmup_steps", "warmup_steps"),
    ("num_epochs", "num_train_epochs"),
    ("max_train_steps", "max_steps"),
];

/// How paths begin that errors of an optimizer name, and how the same begin in the file.
const PLACES: &[(&str, &str)] = &[
    ("params.lr", "learning_rate"),
    ("params.weight_decay", "weight_decay"),
    ("params.eps", "adam_epsilon"),
    ("params.", "optim_args."),
    ("library", "optim"),
    ("api", "optim"),
    ("schedule.params.name", "lr_scheduler_type"),
    ("schedule.params.num_training_steps", "max_steps"),
    ("schedule.params.num_warmup_steps", "warmup_steps"),
    ("schedule.params.scheduler_specific_kwargs", "lr_scheduler_kwargs"),
    ("schedule.params.", "lr_scheduler_kwargs."),
    ("schedule.optimizer.args.lr", "learning_rate"),
    ("groups[0].lr", "learning_rate"),
    ("groups[0].beta1", "adam_beta1"),
    ("groups[0].beta2", "adam_beta2"),
    ("groups[0].eps", "adam_epsilon"),
    ("groups[0].weight_decay", "weight_decay"),
    ("clip", "max_grad_norm"),
    ("accumulate", "gradient_accumulation_steps"),
];

fn is_arguments(fields: &Map<String, Value>) -> bool {
    TELLING.iter().any(|name| fields.contains_key(*name))
}

/// What `get_scheduler` is called with for the arguments `params`, and the rate that the optimizer is made with.
pub(in super::super) fn scheduler(params: &Value, horizon: Option<u64>) -> Result<(f64, Value)> {
    let Value::Object(fields) = params else {
        return Err(Error::argument("params", params, "must be an object of arguments by name"));
    };
    let facts = Facts { steps: horizon, ..Facts::default() };
    let notes = Notes::default();
    let mut section = Section::at("params", facts.filled_in(fields.clone(), &notes)?, &notes);
    let arguments = Arguments::read(&mut section, &facts)?;
    section.leave(LEFT);
    section.finish()?;
    Ok((arguments.lr, arguments.schedule))
}

/// Updates in the run of the arguments `params`, if they or the facts say how many.
pub(super) fn steps(params: &Value, facts: &Facts) -> Option<u64> {
    let notes = Notes::default();
    let mut section = Section::at("params", params.as_object()?.clone(), &notes);
    Run::read(&mut section, facts).ok()?.total
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let arguments = Arguments::read(file, facts)?;
    let inside = inside(file, facts, &arguments)?;
    file.leave(LEFT);
    Ok(arguments.draft(inside, facts))
}

/// What concerns an optimizer, each with the Trainer's own default.
struct Arguments {
    lr: f64,
    adam: Adam,
    weight_decay: f64,
    max_norm: f64,
    made: Made,
    /// The arguments of `get_scheduler`.
    schedule: Value,
    run: Run,
    accumulate: u64,
    fp16: bool,
    bf16: bool,
}

impl Arguments {
    fn read(file: &mut Section, facts: &Facts) -> Result<Arguments> {
        for (other, ours) in OF_OTHERS {
            if let Some(value) = file.peek(other) {
                return Err(file.error(other, value, format!("is not one of TrainingArguments; {ours} is")));
            }
        }
        let lr = file.number("learning_rate")?.unwrap_or(5e-5);
        let weight_decay = file.number("weight_decay")?.unwrap_or(0.0);
        if weight_decay != 0.0 {
            let what = "no decay of biases and norms: which tensors those are is not in the file; give them a group of their own";
            file.notes().left(what);
        }
        let adam = Adam {
            betas: [file.number("adam_beta1")?.unwrap_or(0.9), file.number("adam_beta2")?.unwrap_or(0.999)],
            eps: file.number("adam_epsilon")?.unwrap_or(1e-8),
        };
        let max_norm = file.number("max_grad_norm")?.unwrap_or(1.0);
        let accumulate = file.count("gradient_accumulation_steps")?.unwrap_or(1);
        if accumulate == 0 {
            return Err(file.error("gradient_accumulation_steps", 0, "must be at least 1"));
        }
        let run = Run::read(file, facts)?;
        let (schedule, warmup) = run.schedule(file)?;
        let made = optim::read(file, lr, weight_decay, &adam, warmup)?;
        let [fp16, bf16] = ["fp16", "bf16"].map(|name| file.flag(name));
        let (fp16, bf16) = (fp16?.unwrap_or(false), bf16?.unwrap_or(false));
        if fp16 && bf16 {
            return Err(file.error("fp16", true, "must be false where bf16 is true"));
        }
        for name in ["half_precision_backend", "fp16_backend"] {
            if !file.take_auto(name) && file.text(name)?.as_deref() == Some("apex") && fp16 {
                return Err(file.error(name, "apex", "the loss scale of apex.amp is not there yet"));
            }
        }
        Ok(Arguments { lr, adam, weight_decay, max_norm, made, schedule, run, accumulate, fp16, bf16 })
    }

    /// What the Trainer fills in where a configuration of DeepSpeed says `"auto"`, by its own names.
    fn facts(&self, file: &Section, facts: &Facts) -> Facts {
        let known = [
            ("learning_rate", json!(self.lr)),
            ("adam_beta1", json!(self.adam.betas[0])),
            ("adam_beta2", json!(self.adam.betas[1])),
            ("adam_epsilon", json!(self.adam.eps)),
            ("weight_decay", json!(self.weight_decay)),
            ("max_grad_norm", json!(self.max_norm)),
            ("gradient_accumulation_steps", json!(self.accumulate)),
            ("warmup_steps", json!(self.run.warmup_steps)),
            ("warmup_ratio", json!(self.run.warmup_ratio)),
            ("fp16", json!(self.fp16)),
            ("bf16", json!(self.bf16)),
        ];
        let mut facts = Facts { steps: self.run.total, ..facts.clone() };
        for (name, value) in known {
            facts.values.insert(name.into(), value);
        }
        for name in ["fp16_full_eval", "bf16_full_eval"] {
            facts.values.insert(name.into(), file.peek(name).cloned().unwrap_or(json!(false)));
        }
        facts
    }

    fn draft(self, inside: Option<Parts>, facts: &Facts) -> Draft {
        let mut places: Vec<(String, String)> = Vec::new();
        let mut place = |of: &[(&str, &str)], before: &str| {
            places.extend(of.iter().map(|(ours, theirs)| ((*ours).to_owned(), format!("{before}{theirs}"))));
        };
        let clip = match self.max_norm {
            norm if norm > 0.0 => json!({"function": "clip_grad_norm_", "max_norm": norm}),
            _ => Value::Null,
        };
        let of_trainer =
            json!({"library": "transformers", "api": "transformers.get_scheduler", "params": self.schedule});
        // With a constant rate there is nothing to schedule, which what schedules by itself would refuse.
        let of_trainer = if self.schedule["name"] == "constant" { Value::Null } else { of_trainer };
        let mut optimizer = OptimizerConfiguration {
            library: String::new(),
            api: String::new(),
            params: Value::Null,
            groups: Value::Null,
            schedule: of_trainer,
            clip,
            scaler: if self.fp16 { json!({}) } else { Value::Null },
            horizon: self.run.total.or(facts.steps),
        };
        let (mut loss_scale, mut non_finite, mut accumulate) = (None, None, self.accumulate);
        let mut made = self.made;
        if let Some(parts) = inside {
            let (has_optimizer, has_schedule) = (parts.optimizer.is_some(), parts.schedule.is_some());
            let fits = |ours: &str| match ours.split(['.', '[']).next() {
                Some("schedule") => has_schedule,
                Some("clip" | "loss_scale") => true,
                Some("accumulate") => parts.accumulate.is_some(),
                _ => has_optimizer,
            };
            let theirs: Vec<_> = deepspeed::PLACES.iter().copied().filter(|(ours, _)| fits(ours)).collect();
            place(&theirs, "deepspeed.");
            (optimizer.clip, optimizer.scaler) = (parts.clip, parts.scaler);
            (loss_scale, non_finite) = (parts.loss_scale, parts.non_finite);
            accumulate = parts.accumulate.unwrap_or(accumulate);
            optimizer.schedule = parts.schedule.unwrap_or(optimizer.schedule);
            made = parts.optimizer.unwrap_or(made);
        }
        place(PLACES, "");
        (optimizer.library, optimizer.api, optimizer.params) = (made.library.into(), made.api, made.params);
        let draft = Draft::optimizer(optimizer);
        Draft { loss_scale, non_finite, accumulate: Some(accumulate), places, ..draft }
    }
}

/// The configuration of DeepSpeed that stands in the file, which must agree with the arguments.
fn inside(file: &mut Section, facts: &Facts, arguments: &Arguments) -> Result<Option<Parts>> {
    if let Some(Value::String(path)) = file.peek("deepspeed") {
        let what = format!(
            "deepspeed: {path} is another file, whose optimizer and scheduler go first if it has them: read it with what the Trainer \
             fills in as Facts::value"
        );
        file.notes().left(what);
        file.leave(&[(&["deepspeed"], "another file")]);
        return Ok(None);
    }
    let known = arguments.facts(file, facts);
    let Some(mut section) = file.section("deepspeed")? else { return Ok(None) };
    let parts = Parts::read(&mut section, &Auto { facts: &known, must_match: true })?;
    section.leave(deepspeed::LEFT);
    section.finish()?;
    Ok(Some(parts))
}

#[cfg(test)]
#[path = "../tests/transformers.rs"]
mod tests;
