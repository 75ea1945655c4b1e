//! The arguments of timm's `train.py`, as of 1.0.31: its command line, the `args.yaml` that a run writes, and files for `--config`.
//!
//! A scheduler is called at the end of an epoch, or with `sched_on_updates` after an update, whether that was skipped or not; a
//! schedule here stays then. Biases, what has one dimension and what the model names have no weight decay, so there are two groups.
//! Start at [`FORMAT`].

mod left;
mod names;
mod schedule;

use serde_json::{Map, Value, json};

use super::super::OptimizerConfiguration;
use super::super::nearest::{unknown_name, unknown_word};
use super::draft::Draft;
use super::{Facts, Format, Section};
use crate::error::{Error, Result};
use left::LEFT;
use names::Named;
pub(super) use names::OPTIMIZERS;

pub(super) const FORMAT: Format = Format { name: "timm's training arguments", library: "timm", is: is_timm, read };

/// Another name of an argument of the command line, and the one that counts.
const SHORT: [(&str, &str); 2] = [("dr", "decay_rate"), ("b", "batch_size")];

/// By the optimizer's field and one of the schedule's that no other library's file has.
fn is_timm(fields: &Map<String, Value>) -> bool {
    let of_schedule = [
        "sched",
        "warmup_lr",
        "lr_cycle_mul",
        "lr_cycle_limit",
        "lr_k_decay",
        "cooldown_epochs",
        "patience_epochs",
        "lr_base",
        "lr_base_size",
    ];
    let has = |name: &&str| fields.contains_key(*name);
    let count = of_schedule.iter().filter(|name| has(name)).count();
    fields.get("opt").is_some_and(Value::is_string) && count >= 1 || count >= 2
}

fn read(file: &mut Section, facts: &Facts) -> Result<Draft> {
    SHORT.iter().for_each(|(short, name)| file.rename(short, name));
    let opt = file.text("opt")?.unwrap_or_else(|| "sgd".into());
    let named = named(file, &opt)?;
    let accumulate = file.count("grad_accum_steps")?.map(|calls| calls.max(1));
    let lr = rate(file, &opt, accumulate.unwrap_or(1), facts)?;
    let weight_decay = file.number("weight_decay")?.unwrap_or(2e-5);
    let params = arguments(file, named, lr)?;
    refuse_layer_decay(file)?;
    let clip = clip(file)?;
    let scaler = scaler(file)?;
    let scheduler = schedule::read(file, facts)?;
    file.leave(LEFT);
    let groups = if weight_decay == 0.0 {
        json!([{"options": {"weight_decay": 0.0}}])
    } else {
        let why = "of the group decay; biases, what has one dimension and what the model names are the group no_decay";
        file.notes().took(format!("{}: {why}", file.place("weight_decay")));
        json!([
            {"name": "no_decay", "options": {"weight_decay": 0.0}},
            {"name": "decay", "options": {"weight_decay": weight_decay}}
        ])
    };
    let mut draft = Draft::optimizer(OptimizerConfiguration {
        library: "timm".into(),
        api: named.class.into(),
        params: Value::Object(params),
        groups,
        schedule: scheduler.as_ref().map_or(Value::Null, |scheduler| {
            json!({"library": "timm", "api": scheduler.class, "params": scheduler.params, "every": scheduler.every})
        }),
        clip,
        scaler,
        horizon: facts.steps,
    });
    draft.accumulate = accumulate;
    for (ours, theirs) in scheduler.map_or(&[][..], |scheduler| scheduler.places) {
        draft = draft.place(format!("schedule.params.{ours}"), *theirs);
    }
    for (ours, theirs) in [("eps", "opt_eps"), ("betas", "opt_betas"), ("lr", "lr"), ("momentum", "momentum")] {
        draft = draft.place(format!("params.{ours}"), theirs).place(format!("schedule.optimizer.args.{ours}"), theirs);
    }
    for group in ["groups[0].", "groups[1]."] {
        let betas = [("beta1", "opt_betas[0]"), ("beta2", "opt_betas[1]"), ("beta3", "opt_betas[2]")];
        for (ours, theirs) in betas.into_iter().chain([("options.", ""), ("eps", "opt_eps"), ("", "")]) {
            draft = draft.place(format!("{group}{ours}"), theirs);
        }
    }
    Ok(draft
        .place("params.", "opt_kwargs.")
        .place("api", "opt")
        .place("clip", "clip_grad")
        .place("accumulate", "grad_accum_steps"))
}

fn named(file: &Section, opt: &str) -> Result<&'static Named> {
    let name = opt.to_lowercase();
    if let Some((wrapper, _)) = name.split_once('_').filter(|(wrapper, _)| *wrapper == "lookahead") {
        let rule =
            format!("has no translation with {wrapper}_ before it: leave that out, and let the rule Lookahead follow");
        return Err(file.error("opt", opt, rule));
    }
    // timm looks at the last part of a name alone.
    let last = name.rsplit('_').next().unwrap_or_default();
    OPTIMIZERS.iter().find(|named| named.name == last).ok_or_else(|| {
        let known: Vec<&str> = OPTIMIZERS.iter().map(|named| named.name).collect();
        file.error("opt", opt, unknown_name("an optimizer of timm's that has a translation", last, &known))
    })
}

/// `lr`, or else `lr_base` for `lr_base_size` samples in an update, scaled to those that there are.
fn rate(file: &mut Section, opt: &str, calls: u64, facts: &Facts) -> Result<f64> {
    let lr = file.number("lr")?;
    let (base, size) = (file.number("lr_base")?.unwrap_or(0.1), file.number("lr_base_size")?.unwrap_or(256.0));
    let scale = file.text("lr_base_scale")?.filter(|scale| !scale.is_empty());
    let batch = file.count("batch_size")?.unwrap_or(128);
    let devices = file.count("world_size")?.or(facts.values.get("world_size").and_then(Value::as_u64));
    // As in timm, 0 is no rate.
    if let Some(lr) = lr.filter(|lr| *lr != 0.0) {
        return Ok(lr);
    }
    let samples = facts.samples_per_step.or(devices.and_then(|devices| batch.checked_mul(devices)?.checked_mul(calls)));
    let Some(samples) = samples else {
        let rule = "must be given for lr_base, which is of lr_base_size samples; or the devices as Facts::value(\"world_size\", …)";
        return Err(Error::argument("facts.samples_per_step", "missing", rule));
    };
    if size <= 0.0 {
        return Err(file.error("lr_base_size", size, "must be above 0: timm divides by it"));
    }
    let ratio = samples as f64 / size;
    let is_sqrt = match scale.as_deref() {
        None => ["ada", "lamb"].iter().any(|part| opt.to_lowercase().contains(part)),
        Some("sqrt") => true,
        Some("linear") => false,
        Some(word) => return Err(file.error("lr_base_scale", word, unknown_word(word, &["linear", "sqrt"]))),
    };
    let lr = base * if is_sqrt { ratio.sqrt() } else { ratio };
    file.notes().took(format!("{} = {lr}, of lr_base and {samples} samples in an update", file.place("lr")));
    Ok(lr)
}

/// What the class is called with, beside the weight decay.
fn arguments(file: &mut Section, named: &Named, lr: f64) -> Result<Map<String, Value>> {
    let momentum = json!(file.number("momentum")?.unwrap_or(0.9));
    let (eps, betas) = (file.value("opt_eps")?, file.value("opt_betas")?);
    let mut params = Map::from_iter([("lr".to_owned(), json!(lr))]);
    let given = [("momentum", Some(momentum)), ("eps", eps), ("betas", betas)];
    params.extend(given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    for (name, value) in own(file)? {
        if params.contains_key(&name) || name == "weight_decay" {
            let rule = "is given twice: timm raises, since an argument of its own says it";
            return Err(file.error(&format!("opt_kwargs.{name}"), value, rule));
        }
        // Which parameters are in which group, its maker knows.
        if name != "weight_decay_exclude_1d" && name != "foreach" {
            params.insert(name, value);
        }
    }
    params.retain(|name, _| !named.drops(name));
    for (name, value) in named.defaults() {
        params.entry(name).or_insert(value);
    }
    Ok(params)
}

/// `opt_kwargs`: an object, or the words `name=value` of a command line.
fn own(file: &mut Section) -> Result<Map<String, Value>> {
    const NAME: &str = "opt_kwargs";
    let Some(value) = file.value(NAME)? else { return Ok(Map::new()) };
    let words = match &value {
        Value::Object(fields) => return Ok(fields.clone()),
        Value::Array(words) => words.clone(),
        one => vec![one.clone()],
    };
    let field = |word: &Value| {
        let (name, value) = word.as_str()?.split_once('=')?;
        let value = match value {
            "True" => json!(true),
            "False" => json!(false),
            "None" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        Some((name.to_owned(), value))
    };
    let fields: Option<Map<_, _>> = words.iter().map(field).collect();
    fields.ok_or_else(|| file.error(NAME, &value, "must be an object, or words as name=value"))
}

fn refuse_layer_decay(file: &mut Section) -> Result<()> {
    match file.number("layer_decay")? {
        None | Some(1.0) => Ok(()),
        Some(decay) => {
            let rule =
                "makes a group of each layer, which the model knows: leave it out, and give each group its `lr_scale`";
            Err(file.error("layer_decay", decay, rule))
        }
    }
}

fn clip(file: &mut Section) -> Result<Value> {
    let mode = file.text("clip_mode")?.unwrap_or_else(|| "norm".into());
    let Some(limit) = file.number("clip_grad")? else { return Ok(Value::Null) };
    match mode.as_str() {
        "norm" => Ok(json!({"function": "clip_grad_norm_", "max_norm": limit})),
        "value" => Ok(json!({"function": "clip_grad_value_", "clip_value": limit})),
        "agc" => {
            Err(file.error("clip_mode", mode, "clips by the norm of each unit of a parameter, which is not there yet"))
        }
        _ => Err(file.error("clip_mode", &mode, unknown_word(&mode, &["norm", "value", "agc"]))),
    }
}

/// Automatic mixed precision of 16 bits brings torch's `GradScaler` with torch's defaults.
fn scaler(file: &mut Section) -> Result<Value> {
    let amp = file.flag("amp")?.unwrap_or(false) | file.flag("native_amp")?.unwrap_or(false);
    let form = file.text("amp_dtype")?.unwrap_or_else(|| "float16".into());
    let made_by = file.text("amp_impl")?.unwrap_or_else(|| "native".into());
    if file.flag("apex_amp")?.unwrap_or(false) || amp && made_by == "apex" {
        let name = if amp { "amp_impl" } else { "apex_amp" };
        return Err(file.error(name, "apex", "the loss scale of apex has no translation: torch's own is native"));
    }
    if !amp {
        return Ok(Value::Null);
    }
    match form.as_str() {
        "bfloat16" => Ok(Value::Null),
        "float16" => {
            file.notes()
                .left("amp: after a skipped update timm calls the scheduler all the same; here the schedule stays");
            Ok(json!({}))
        }
        _ => Err(file.error("amp_dtype", &form, unknown_word(&form, &["float16", "bfloat16"]))),
    }
}
