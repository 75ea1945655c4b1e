//! A configuration of MMEngine's `Runner`, as of 0.10.7 (`runner/runner.py`, `optim/optimizer/`), dumped as JSON or YAML: those of
//! OpenMMLab's libraries 3.x.
//!
//! A scheduler is called after an epoch, or after an iteration, which is an update unless gradients are accumulated; a skipped update
//! counts. Start at [`FORMAT`].

mod gradients;

use serde_json::{Map, Value, json};

use super::super::OptimizerConfiguration;
use super::super::last_name;
use super::call::Call;
use super::draft::Draft;
use super::section::Left;
use super::{Facts, Format, Section};
use crate::error::{Error, Result};
use gradients::Gradients;

pub(super) const FORMAT: Format =
    Format { name: "MMEngine's configuration", library: "mmengine", is: is_mmengine, read };

/// Optimizers of other libraries that are registered under their own names.
const OF_LIBRARIES: [(&str, &str); 3] =
    [("DAdaptAdam", "dadaptation"), ("DAdaptSGD", "dadaptation"), ("Lion", "lion-pytorch")];

const LEFT: &[Left] = &[
    (
        &[
            "model",
            "data_preprocessor",
            "num_classes",
            "norm_cfg",
            "pretrained",
            "model_wrapper_cfg",
            "compile",
            "efficient_conv_bn_eval",
        ],
        "of the model",
    ),
    (
        &[
            "train_dataloader",
            "val_dataloader",
            "test_dataloader",
            "train_dataset",
            "dataset_type",
            "data_root",
            "train_pipeline",
            "val_pipeline",
            "test_pipeline",
            "tta_pipeline",
            "tta_model",
            "backend_args",
            "file_client_args",
            "img_norm_cfg",
            "crop_size",
            "img_scale",
            "metainfo",
        ],
        "of what data is trained on",
    ),
    (&["val_cfg", "test_cfg", "val_evaluator", "test_evaluator", "evaluation"], "of validation"),
    (
        &[
            "default_hooks",
            "custom_hooks",
            "visualizer",
            "vis_backends",
            "log_processor",
            "log_level",
            "load_from",
            "resume",
            "work_dir",
            "experiment_name",
            "launcher",
            "env_cfg",
            "randomness",
            "default_scope",
            "custom_imports",
            "runner_type",
        ],
        "of what goes on around the run",
    ),
    (
        &[
            "max_epochs",
            "max_iters",
            "base_lr",
            "num_last_epochs",
            "interval",
            "batch_size",
            "stage2_num_epochs",
            "warmup_iters",
        ],
        "a name of the file's own, whose value stands where it is used",
    ),
];

/// By what makes an update, or by schedulers under their name; and by those of MMCV 1, to say so.
fn is_mmengine(fields: &Map<String, Value>) -> bool {
    let is_old = fields.contains_key("lr_config") && fields.get("optimizer").is_some_and(Call::is);
    fields.get("optim_wrapper").is_some_and(Value::is_object) || fields.contains_key("param_scheduler") || is_old
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    if let Some(old) = file.peek("lr_config") {
        let rule =
            "is of MMCV 1, whose schedules have no translation: MMEngine's is param_scheduler, with optim_wrapper";
        return Err(file.error("lr_config", old, rule));
    }
    let run = Run::read(file, facts)?;
    let Some(mut wrapper) = file.section("optim_wrapper")? else {
        return Err(file.error("optim_wrapper", "missing", "must be given: the rates are relative to its optimizer's"));
    };
    let gradients = Gradients::read(&mut wrapper)?;
    refuse_groups(&mut wrapper)?;
    let Some(optimizer) = wrapper.section("optimizer")? else {
        return Err(wrapper.error("optimizer", "missing", "must be given"));
    };
    let mut optimizer = Call::read(optimizer)?;
    wrapper.leave(&[(&["use_fsdp", "dtype", "_scope_"], "of how it is computed")]);
    wrapper.finish()?;
    optimizer.arguments.remove("_scope_");
    scale_rate(file, &mut optimizer, &gradients, facts)?;
    let schedule = schedule(file, &run, &gradients, facts)?;
    file.leave(LEFT);
    let library = match (OF_LIBRARIES.iter().find(|(name, _)| *name == optimizer.name()), optimizer.package()) {
        (Some((_, library)), _) => library,
        (None, Some("torch") | None) => "torch",
        (None, Some(package)) => package,
    };
    let mut draft = Draft::optimizer(OptimizerConfiguration {
        library: library.into(),
        api: optimizer.name().into(),
        params: Value::Object(optimizer.arguments.clone()),
        groups: Value::Null,
        schedule,
        clip: gradients.clip,
        scaler: gradients.scaler,
        horizon: facts.steps.or(run.steps()),
    });
    draft.accumulate = gradients.accumulate;
    draft.loss_scale = gradients.loss_scale;
    let (prefix, of) = (&optimizer.prefix, "optim_wrapper.");
    if run.is_one_scheduler {
        draft = draft.place("schedule.params.schedulers[0]", "param_scheduler");
    }
    Ok(draft
        .place("schedule.params.schedulers", "param_scheduler")
        .place("schedule.params.epoch_length", "facts.steps_per_epoch")
        .place("schedule.optimizer.args.", prefix)
        .place("params.", prefix)
        .place("api", &*optimizer.class_place)
        .place("library", &*optimizer.class_place)
        .place("groups[0].beta1", format!("{prefix}betas[0]"))
        .place("groups[0].beta2", format!("{prefix}betas[1]"))
        .place("groups[0].", prefix)
        .place("clip", format!("{of}clip_grad"))
        .place("scaler", format!("{of}loss_scale"))
        .place("loss_scale", format!("{of}loss_scale"))
        .place("accumulate", format!("{of}accumulative_counts")))
}

/// How long the run is.
struct Run {
    /// Whether it counts iterations, of which the whole run is one epoch then.
    by_iteration: bool,
    max_epochs: Option<u64>,
    max_iters: Option<u64>,
    epoch_length: Option<u64>,
    /// Whether `param_scheduler` is one and not a list.
    is_one_scheduler: bool,
}

impl Run {
    fn read(file: &mut Section, facts: &Facts) -> Result<Run> {
        let is_one_scheduler = file.peek("param_scheduler").is_some_and(Value::is_object);
        let epoch_length = facts.steps_per_epoch;
        let none = Run { by_iteration: false, max_epochs: None, max_iters: None, epoch_length, is_one_scheduler };
        let Some(mut train) = file.section("train_cfg")? else { return Ok(none) };
        let (kind, by_epoch) = (train.text("type")?, train.flag("by_epoch")?);
        let (max_epochs, max_iters) = (train.count("max_epochs")?, train.count("max_iters")?);
        train.leave(&[(&["val_interval", "val_begin", "dynamic_intervals", "_scope_"], "of validation")]);
        train.finish()?;
        let by_iteration = match kind.as_deref().map(last_name) {
            Some("IterBasedTrainLoop") => true,
            Some("EpochBasedTrainLoop") => false,
            _ => !by_epoch.unwrap_or(max_iters.is_none()),
        };
        let of_epochs = max_epochs.zip(epoch_length).and_then(|(epochs, length)| epochs.checked_mul(length));
        let max_iters = if by_iteration { max_iters } else { of_epochs };
        Ok(Run { by_iteration, max_epochs: max_epochs.filter(|_| !by_iteration), max_iters, ..none })
    }

    fn steps(&self) -> Option<u64> {
        self.max_iters
    }
}

/// Refuses what makes groups of the model's parameters, unless it changes nothing.
fn refuse_groups(wrapper: &mut Section) -> Result<()> {
    const MAKER: &str = "DefaultOptimWrapperConstructor";
    if let Some(maker) = wrapper.text("constructor")?.filter(|maker| last_name(maker) != MAKER) {
        let rule = "makes groups of the model's layers, which are not in the file: leave it out, and set the rates of the groups";
        return Err(wrapper.error("constructor", maker, rule));
    }
    let Some(mut options) = wrapper.section("paramwise_cfg")? else { return Ok(()) };
    options.leave(&[(&["bypass_duplicate"], "of parameters that stand in the model twice")]);
    for (name, value) in options.fields()? {
        let is_nothing = value.as_f64() == Some(1.0) || value.as_object().is_some_and(Map::is_empty);
        if !is_nothing {
            let rule = "makes groups of the model's parameters, which are not in the file: leave it out, and set the options of the groups";
            return Err(options.error(&name, value, rule));
        }
    }
    Ok(())
}

/// The rate, in proportion to the samples of a call, where `auto_scale_lr` is enabled.
fn scale_rate(file: &mut Section, optimizer: &mut Call, gradients: &Gradients, facts: &Facts) -> Result<()> {
    let Some(mut scaling) = file.section("auto_scale_lr")? else { return Ok(()) };
    let (enabled, base) = (scaling.flag("enable")?.unwrap_or(false), scaling.number("base_batch_size")?);
    let place = scaling.place("base_batch_size");
    scaling.finish()?;
    if !enabled {
        return Ok(());
    }
    let base = match base {
        Some(base) if base > 0.0 => base,
        Some(base) => return Err(Error::argument(place, base, "must be above 0: MMEngine divides by it")),
        None => return Err(Error::argument(place, "missing", "must be given where auto_scale_lr is enabled")),
    };
    let Some(samples) = facts.samples_per_step else {
        return Err(Error::argument("facts.samples_per_step", "missing", format!("must be given for {place}")));
    };
    let lr_place = format!("{}lr", optimizer.prefix);
    let Some(lr) = optimizer.arguments.get("lr").and_then(Value::as_f64) else {
        return Err(Error::argument(lr_place, "missing", "must be given where auto_scale_lr is enabled"));
    };
    // Calls that are accumulated do not count.
    let scaled = lr * (samples as f64 / gradients.accumulate.unwrap_or(1) as f64 / base);
    file.notes().took(format!("{lr_place} = {scaled}, of {place} and {samples} samples in an update"));
    optimizer.arguments.insert("lr".into(), json!(scaled));
    Ok(())
}

/// `{library, api, params}` of all schedulers, or null.
fn schedule(file: &mut Section, run: &Run, gradients: &Gradients, facts: &Facts) -> Result<Value> {
    const NAME: &str = "param_scheduler";
    let list = match file.value(NAME)? {
        None => return Ok(Value::Null),
        Some(Value::Array(list)) if list.is_empty() => return Ok(Value::Null),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let accumulates = gradients.accumulate.is_some_and(|calls| calls != 1);
    for (i, scheduler) in list.iter().enumerate() {
        let place = if run.is_one_scheduler { NAME.to_owned() } else { format!("{NAME}[{i}]") };
        let flag = |name: &str, default: bool| scheduler.get(name).and_then(Value::as_bool).unwrap_or(default);
        let (by_epoch, converted) = (flag("by_epoch", true), flag("convert_to_iter_based", false));
        if by_epoch && !converted && run.by_iteration {
            let rule = "must be false in a loop of iterations, which is one epoch to MMEngine";
            return Err(Error::argument(format!("{place}.by_epoch"), true, rule));
        }
        if accumulates && (converted || !by_epoch) {
            let rule = "must be 1 beside a scheduler of iterations, which it counts before they make an update";
            let place = "optim_wrapper.accumulative_counts";
            return Err(Error::argument(place, gradients.accumulate.unwrap_or(1), rule));
        }
        if by_epoch {
            facts.needed_steps_per_epoch(&format!("{place}, which counts epochs"))?;
        }
    }
    let loop_of = [("epoch_length", run.epoch_length), ("max_epochs", run.max_epochs), ("max_iters", run.max_iters)];
    let mut params = Map::from_iter([("schedulers".to_owned(), Value::Array(list))]);
    params.extend(loop_of.iter().filter_map(|(name, count)| Some(((*name).to_owned(), json!((*count)?)))));
    Ok(json!({"library": "mmengine", "api": NAME, "params": params}))
}
