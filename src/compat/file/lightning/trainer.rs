//! Lightning's `trainer`: clipping, precision, accumulation and the length of the run.

use serde_json::{Value, json};

use super::super::super::last_name;
use super::super::super::nearest::unknown_word;
use super::super::section::Left;
use super::super::{Facts, Section};
use crate::error::{Error, Result};

/// Callbacks that move a rate, or what an update is, by a plan of their own.
const MOVERS: [(&str, &str); 4] = [
    ("StochasticWeightAveraging", "it puts SWALR in place of the scheduler from an epoch on"),
    ("GradientAccumulationScheduler", "it changes the calls of an update from epoch to epoch"),
    ("LearningRateFinder", "it sets the rate from a trial run"),
    ("BackboneFinetuning", "it adds parameter groups in the middle of a run"),
];

const LEFT_OF_TRAINER: &[Left] = &[
    (
        &["accelerator", "strategy", "devices", "num_nodes", "sync_batchnorm", "use_distributed_sampler"],
        "of where it runs",
    ),
    (
        &[
            "logger",
            "log_every_n_steps",
            "enable_progress_bar",
            "enable_model_summary",
            "profiler",
            "enable_autolog_hparams",
        ],
        "of what is measured and printed",
    ),
    (&["enable_checkpointing", "default_root_dir", "weights_save_path", "resume_from_checkpoint"], "of checkpoints"),
    (
        &[
            "min_epochs",
            "min_steps",
            "max_time",
            "limit_train_batches",
            "limit_val_batches",
            "limit_test_batches",
            "limit_predict_batches",
            "overfit_batches",
            "fast_dev_run",
            "reload_dataloaders_every_n_epochs",
        ],
        "of how much is run",
    ),
    (
        &["val_check_interval", "check_val_every_n_epoch", "num_sanity_val_steps", "inference_mode", "barebones"],
        "of validation",
    ),
    (
        &["deterministic", "benchmark", "detect_anomaly", "plugins", "model_registry", "_target_"],
        "of how it is computed",
    ),
];

/// What of the trainer acts on gradients, or says how long the run is.
#[derive(Default)]
pub(super) struct Trainer {
    pub clip: Value,
    pub scaler: Value,
    pub accumulate: Option<u64>,
    pub steps: Option<u64>,
}

impl Trainer {
    pub fn read(file: &mut Section, facts: &Facts) -> Result<Trainer> {
        let Some(mut trainer) = file.section("trainer")? else {
            return Ok(Trainer { steps: facts.steps, ..Trainer::default() });
        };
        let clip = clip(&mut trainer)?;
        let scaler = scaler(&mut trainer)?;
        let accumulate = accumulate(&mut trainer)?;
        let max = |trainer: &mut Section, name| Ok::<_, Error>(trainer.int(name)?.and_then(|n| u64::try_from(n).ok()));
        let (steps, epochs) = (max(&mut trainer, "max_steps")?, max(&mut trainer, "max_epochs")?);
        let of_epochs = epochs.zip(facts.steps_per_epoch).and_then(|(epochs, steps)| epochs.checked_mul(steps));
        // Whichever comes first ends the run.
        let said = [steps, of_epochs].into_iter().flatten().min();
        callbacks(&mut trainer)?;
        trainer.leave(LEFT_OF_TRAINER);
        trainer.finish()?;
        Ok(Trainer { clip, scaler, accumulate, steps: facts.steps.or(said) })
    }
}

fn clip(trainer: &mut Section) -> Result<Value> {
    const WORDS: [&str; 2] = ["norm", "value"];
    let algorithm = trainer.text("gradient_clip_algorithm")?.unwrap_or_else(|| "norm".into());
    let limit = trainer.number("gradient_clip_val")?.unwrap_or(0.0);
    Ok(match algorithm.to_lowercase().as_str() {
        // Lightning clips nothing then.
        "norm" | "value" if limit <= 0.0 => Value::Null,
        "norm" => json!({"function": "clip_grad_norm_", "max_norm": limit}),
        "value" => json!({"function": "clip_grad_value_", "clip_value": limit}),
        _ => return Err(trainer.error("gradient_clip_algorithm", &algorithm, unknown_word(&algorithm, &WORDS))),
    })
}

/// Mixed precision of 16 bits brings torch's `GradScaler` with torch's defaults.
fn scaler(trainer: &mut Section) -> Result<Value> {
    const WORDS: [&str; 9] = [
        "16-mixed",
        "bf16-mixed",
        "32-true",
        "16-true",
        "bf16-true",
        "64-true",
        "transformer-engine",
        "transformer-engine-float16",
        "bf16",
    ];
    let Some(precision) = trainer.value("precision")? else { return Ok(Value::Null) };
    let word = precision.as_str().map_or_else(|| precision.to_string(), str::to_owned);
    match word.as_str() {
        "16" | "16-mixed" => {
            trainer.notes().left(
                "trainer.precision: after a skipped update Lightning calls the scheduler all the same; here the schedule stays",
            );
            Ok(json!({}))
        }
        "32" | "64" => Ok(Value::Null),
        word if WORDS.contains(&word) => Ok(Value::Null),
        word => Err(trainer.error("precision", word, unknown_word(word, &WORDS))),
    }
}

fn accumulate(trainer: &mut Section) -> Result<Option<u64>> {
    const NAME: &str = "accumulate_grad_batches";
    if let Some(plan @ Value::Object(_)) = trainer.peek(NAME) {
        let rule = "must be a count: another one from epoch to epoch is not there yet";
        return Err(trainer.error(NAME, plan, rule));
    }
    match trainer.count(NAME)? {
        Some(0) => Err(trainer.error(NAME, 0, "must be at least 1")),
        calls => Ok(calls),
    }
}

/// Refuses those that move what is translated here.
fn callbacks(trainer: &mut Section) -> Result<()> {
    let all = match trainer.peek("callbacks") {
        Some(Value::Array(all)) => all.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    for callback in &all {
        let class = callback.get("class_path").or(callback.get("_target_")).or(Some(callback)).and_then(Value::as_str);
        let name = class.map_or("", last_name);
        if let Some((name, why)) = MOVERS.iter().find(|(mover, _)| *mover == name) {
            return Err(trainer.error("callbacks", name, format!("has no translation: {why}")));
        }
    }
    trainer.leave(&[(&["callbacks"], "of what goes on around the run")]);
    Ok(())
}
