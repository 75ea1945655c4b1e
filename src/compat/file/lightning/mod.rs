//! PyTorch Lightning, as of 2.6.6 (`trainer/trainer.py`, `core/optimizer.py`, `loops/training_epoch_loop.py`, `cli.py`): the
//! `config.yaml` of its command line, what Hydra's templates make of the same, and the dictionary of `configure_optimizers` as data.
//!
//! A scheduler is called at the end of an epoch unless `interval` is `step`, and then after each update; `frequency` leaves out calls.
//! Lightning counts them in epochs from 0, or in batches from the epoch's first. It calls the scheduler after a skipped update too,
//! where a schedule here stays. Start at [`FORMAT`].

mod scheduler;
mod trainer;

use serde_json::{Map, Value, json};

use super::super::OptimizerConfiguration;
use super::call::Call;
use super::draft::Draft;
use super::section::Left;
use super::{Facts, Format, Section};
use crate::error::Result;
use scheduler::Scheduler;
use trainer::Trainer;

pub(super) const FORMAT: Format =
    Format { name: "Lightning's configuration", library: "lightning", is: is_lightning, read };

/// What a scheduler stands under.
const SCHEDULERS: [&str; 2] = ["lr_scheduler", "scheduler"];

const LEFT: &[Left] = &[
    (&["seed_everything", "seed", "pytorch_lightning_version"], "of the run"),
    (&["data", "datamodule", "dataset"], "of what data is trained on"),
    (
        &["ckpt_path", "callbacks", "logger", "hydra", "paths", "extras", "task_name", "tags"],
        "of what goes on around the run",
    ),
];

/// By Lightning's trainer, by classes with a path, or by a scheduler beside its optimizer.
fn is_lightning(fields: &Map<String, Value>) -> bool {
    let object = |name: &str| fields.get(name).filter(|value| value.is_object());
    let is_path = |value: &Value| value.get("class_path").or(value.get("_target_")).is_some();
    let of_trainer =
        ["max_epochs", "max_steps", "gradient_clip_val", "accumulate_grad_batches", "accelerator", "devices"];
    let has_trainer =
        object("trainer").is_some_and(|trainer| of_trainer.iter().any(|name| trainer.get(name).is_some()));
    let has_path = ["optimizer", "lr_scheduler", "model"].iter().any(|name| object(name).is_some_and(is_path));
    let is_beside = object("lr_scheduler").is_some_and(|it| it.get("scheduler").is_some() || Call::is(it));
    has_trainer || has_path || is_beside && object("optimizer").is_some_and(Call::is)
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    let mut parts = Parts::default();
    parts.take(file)?;
    if let Some(mut model) = file.section("model")? {
        if parts.optimizer.is_none() {
            parts.take(&mut model)?;
        }
        if parts.optimizer.is_none()
            && let Some(mut arguments) = model.section("init_args")?
        {
            parts.take(&mut arguments)?;
            arguments.leave_rest("of the model");
        }
        model.leave_rest("of the model");
    }
    let Parts { optimizer, scheduler, monitor } = parts;
    let Some(optimizer) = optimizer else {
        let rule = "must be given beside trainer or in model, as {class_path, init_args}: what configure_optimizers makes in code \
                    is not in the file";
        return Err(file.error("optimizer", "missing", rule));
    };
    let trainer = Trainer::read(file, facts)?;
    let scheduler = match scheduler {
        Some(scheduler) => Some(Scheduler::read(scheduler, monitor.as_deref(), &trainer, facts)?),
        None => None,
    };
    file.leave(LEFT);
    draft(&Call::read(optimizer)?, scheduler.as_ref(), &trainer)
}

/// The optimizer and its scheduler, where they stand.
#[derive(Default)]
struct Parts<'n> {
    optimizer: Option<Section<'n>>,
    scheduler: Option<Section<'n>>,
    /// Where it stands beside them.
    monitor: Option<String>,
}

impl<'n> Parts<'n> {
    fn take(&mut self, home: &mut Section<'n>) -> Result<()> {
        self.optimizer = named(home, "optimizer")?;
        for name in SCHEDULERS {
            if self.scheduler.is_none() {
                self.scheduler = named(home, name)?;
            }
        }
        self.monitor = home.text("monitor")?;
        Ok(())
    }
}

/// The section `name`; a text alone is a class without arguments.
fn named<'n>(home: &mut Section<'n>, name: &str) -> Result<Option<Section<'n>>> {
    match home.peek(name) {
        Some(Value::Array(all)) => {
            let rule = "must be one: which of them an update is of, code decides";
            Err(home.error(name, format!("{} of them", all.len()), rule))
        }
        Some(Value::String(class)) => {
            let call = json!({"class_path": class});
            home.put(name, call);
            home.section(name)
        }
        _ => home.section(name),
    }
}

fn draft(optimizer: &Call, scheduler: Option<&Scheduler>, trainer: &Trainer) -> Result<Draft> {
    let prefix = &optimizer.prefix;
    let mut draft = Draft::optimizer(OptimizerConfiguration {
        library: optimizer.package().unwrap_or("torch").into(),
        api: optimizer.name().into(),
        params: Value::Object(optimizer.arguments.clone()),
        groups: Value::Null,
        schedule: scheduler.map_or(Ok(Value::Null), Scheduler::schedule)?,
        clip: trainer.clip.clone(),
        scaler: trainer.scaler.clone(),
        horizon: trainer.steps,
    });
    draft.accumulate = trainer.accumulate;
    if let Some(Scheduler { call, .. }) = scheduler {
        draft = draft
            .place("schedule.params.", &*call.prefix)
            .place("schedule.api", &*call.class_place)
            .place("schedule.optimizer.args.", prefix);
    }
    Ok(draft
        .place("params.", prefix)
        .place("api", &*optimizer.class_place)
        .place("library", &*optimizer.class_place)
        .place("groups[0].beta1", format!("{prefix}betas[0]"))
        .place("groups[0].beta2", format!("{prefix}betas[1]"))
        .place("groups[0].", prefix)
        .place("clip", "trainer.gradient_clip_val")
        .place("accumulate", "trainer.accumulate_grad_batches")
        .place("horizon", "facts.steps"))
}
