//! `create_scheduler` of timm 1.0.31 (`timm/scheduler/scheduler_factory.py`): the arguments of a scheduler, in epochs or in updates.

use serde_json::{Map, Value, json};

use super::super::super::nearest::unknown_word;
use super::super::{Facts, Section};
use crate::error::{Error, Result};

/// What `sched` may be. Any other is refused.
const SCHEDULERS: [&str; 10] =
    ["cosine", "tanh", "step", "multistep", "constant", "plateau", "poly", "wsd", "rsqrt", "none"];

/// A scheduler of timm, and the updates between two calls of it.
pub(super) struct Scheduler {
    pub class: &'static str,
    pub params: Map<String, Value>,
    pub every: u64,
    /// The arguments of the scheduler, and the fields of the file.
    pub places: &'static [(&'static str, &'static str)],
}

/// Where arguments come from, one that begins as another before it.
const PLACES: &[(&str, &str)] = &[
    ("decay_rate", "decay_rate"),
    ("decay_fn", "lr_decay_fn"),
    ("decay_t", "decay_epochs"),
    ("power", "decay_rate"),
    ("t_initial", "epochs"),
    ("lr_min", "min_lr"),
    ("warmup_lr_init", "warmup_lr"),
    ("warmup_t", "warmup_epochs"),
    ("noise_range_t", "lr_noise"),
    ("cycle_mul", "lr_cycle_mul"),
    ("cycle_decay", "lr_cycle_decay"),
    ("cycle_limit", "lr_cycle_limit"),
    ("k_decay", "lr_k_decay"),
    ("patience_t", "patience_epochs"),
    ("stable_timescale", "lr_stable_timescale"),
];

const PLACES_OF_MILESTONES: &[(&str, &str)] = &[
    ("decay_rate", "decay_rate"),
    ("decay_t", "decay_milestones"),
    ("warmup_lr_init", "warmup_lr"),
    ("warmup_t", "warmup_epochs"),
    ("noise_range_t", "lr_noise"),
];

/// Every field of the schedule, whatever the scheduler, with the defaults of `train.py`.
struct Fields {
    epochs: f64,
    decay_epochs: Option<f64>,
    milestones: Vec<f64>,
    warmup: f64,
    patience: u64,
    decay_rate: f64,
    min_lr: f64,
    warmup_lr: f64,
    warmup_prefix: bool,
    noise: Option<Value>,
    cycle: [(&'static str, Value); 3],
    k_decay: f64,
    decay_fn: Option<String>,
    timescale: Option<f64>,
    mode: &'static str,
}

impl Fields {
    fn read(file: &mut Section) -> Result<Fields> {
        let mut given = |name: &str, default: f64| Ok::<f64, Error>(file.number(name)?.unwrap_or(default));
        let (epochs, warmup) = (given("epochs", 300.0)?, given("warmup_epochs", 5.0)?);
        let (decay_rate, k_decay) = (given("decay_rate", 0.1)?, given("lr_k_decay", 1.0)?);
        let (min_lr, warmup_lr) = (given("min_lr", 0.0)?, given("warmup_lr", 1e-5)?);
        let cycle = [
            ("cycle_mul", number(given("lr_cycle_mul", 1.0)?)),
            ("cycle_decay", number(given("lr_cycle_decay", 0.5)?)),
            ("cycle_limit", json!(file.int("lr_cycle_limit")?.unwrap_or(1))),
        ];
        let metric = file.text("eval_metric")?;
        Ok(Fields {
            epochs,
            decay_epochs: file.number("decay_epochs")?,
            milestones: milestones(file)?,
            warmup,
            patience: file.count("patience_epochs")?.unwrap_or(10),
            decay_rate,
            min_lr,
            warmup_lr,
            warmup_prefix: file.flag("warmup_prefix")?.unwrap_or(false),
            noise: file.value("lr_noise")?,
            cycle,
            k_decay,
            decay_fn: file.text("lr_decay_fn")?,
            timescale: file.number("lr_stable_timescale")?,
            mode: if metric.is_some_and(|metric| metric.contains("loss")) { "min" } else { "max" },
        })
    }
}

/// `decay_milestones`, which a command line may have as one number.
fn milestones(file: &mut Section) -> Result<Vec<f64>> {
    const NAME: &str = "decay_milestones";
    let Some(value) = file.value(NAME)? else { return Ok(vec![90.0, 180.0, 270.0]) };
    let all = match &value {
        Value::Array(all) => all.iter().map(Value::as_f64).collect(),
        one => one.as_f64().map(|one| vec![one]),
    };
    all.ok_or_else(|| file.error(NAME, &value, "must be a list of numbers"))
}

/// The scheduler, if there is one.
pub(super) fn read(file: &mut Section, facts: &Facts) -> Result<Option<Scheduler>> {
    let sched = file.text("sched")?.unwrap_or_else(|| "cosine".into());
    let on_updates = file.flag("sched_on_updates")?.unwrap_or(false);
    let fields = Fields::read(file)?;
    file.leave(&[
        (&["lr_noise_pct", "lr_noise_std"], "of noise, of which there is none"),
        (&["cooldown_epochs"], "of how long the run goes on at min_lr, which the schedule does by itself"),
    ]);
    if !SCHEDULERS.contains(&&*sched) {
        return Err(file.error("sched", &sched, unknown_word(&sched, &SCHEDULERS)));
    }
    if sched == "none" {
        return Ok(None);
    }
    if sched == "plateau" && on_updates {
        return Err(file.error("sched_on_updates", true, "must be false beside plateau, which timm steps by epochs"));
    }
    let per_epoch =
        facts.needed_steps_per_epoch(if on_updates { "sched_on_updates" } else { "sched, which goes by epochs" })?;
    let clock = Clock { unit: if on_updates { per_epoch as f64 } else { 1.0 } };
    let (class, params) = call(file, &sched, fields, &clock)?;
    let places = if sched == "multistep" { PLACES_OF_MILESTONES } else { PLACES };
    Ok(Some(Scheduler { class, params, every: if on_updates { 1 } else { per_epoch }, places }))
}

/// How many of what the scheduler counts are an epoch.
struct Clock {
    unit: f64,
}

impl Clock {
    fn of(&self, epochs: f64) -> f64 {
        epochs * self.unit
    }
}

fn call(file: &Section, sched: &str, fields: Fields, clock: &Clock) -> Result<(&'static str, Map<String, Value>)> {
    let total = clock.of(fields.epochs);
    let warmup = clock.of(fields.warmup);
    let mut params = Map::new();
    let mut put = |name: &str, value: Value| params.insert(name.into(), value);
    put("warmup_t", number(warmup));
    put("warmup_lr_init", number(fields.warmup_lr));
    if let Some(noise) = fields.noise.clone() {
        put("noise_range_t", noise);
    }
    if !matches!(sched, "plateau" | "wsd" | "rsqrt") {
        put("warmup_prefix", json!(fields.warmup_prefix));
    }
    let is_cyclic = matches!(sched, "cosine" | "tanh" | "poly");
    if is_cyclic {
        put("t_initial", number(total));
        fields.cycle.iter().for_each(|(name, value)| drop(put(name, value.clone())));
    }
    if is_cyclic || sched == "plateau" {
        put("lr_min", number(fields.min_lr));
    }
    if matches!(sched, "cosine" | "poly") {
        put("k_decay", number(fields.k_decay));
    }
    let class = match sched {
        "cosine" => "CosineLRScheduler",
        "tanh" => "TanhLRScheduler",
        "poly" => {
            put("power", number(fields.decay_rate));
            "PolyLRScheduler"
        }
        "step" => {
            put("decay_t", number(clock.of(fields.decay_epochs.unwrap_or(90.0))));
            put("decay_rate", number(fields.decay_rate));
            "StepLRScheduler"
        }
        // A schedule of steps that never falls.
        "constant" => {
            put("decay_t", json!(1));
            put("decay_rate", json!(1.0));
            "StepLRScheduler"
        }
        "multistep" => {
            put("decay_t", fields.milestones.iter().map(|epochs| number(clock.of(*epochs))).collect());
            put("decay_rate", number(fields.decay_rate));
            "MultiStepLRScheduler"
        }
        "plateau" => {
            put("decay_rate", number(fields.decay_rate));
            put("patience_t", json!(fields.patience));
            put("cooldown_t", json!(0));
            put("mode", json!(fields.mode));
            "PlateauLRScheduler"
        }
        _ => {
            let is_rsqrt = sched == "rsqrt";
            // The warm-up always comes before the rest, which fits into the epochs with it unless it is said to be a prefix.
            let rest = if fields.warmup_prefix { total } else { total - warmup };
            put("t_initial", number(rest));
            put("decay_t", json!(stable_decay(file, fields.decay_epochs.unwrap_or(0.2), rest, clock)?));
            put("lr_min", number(fields.min_lr));
            put("stable_fn", json!(if is_rsqrt { "rsqrt" } else { "constant" }));
            put(
                "decay_fn",
                json!(fields.decay_fn.unwrap_or_else(|| if is_rsqrt { "linear" } else { "1-sqrt" }.into())),
            );
            if let Some(timescale) = fields.timescale {
                put("stable_timescale", number(clock.of(timescale)));
            }
            "WSDLRScheduler"
        }
    };
    Ok((class, params))
}

/// As it is written: without a fraction, if it has none.
fn number(value: f64) -> Value {
    let whole = value as i64;
    if whole as f64 == value && whole.unsigned_abs() < 1 << 53 { json!(whole) } else { json!(value) }
}

/// The length of the decay at the end of `rest`: a part of it below 1, else epochs. Rounded as Python does, halves to even.
fn stable_decay(file: &Section, decay_epochs: f64, rest: f64, clock: &Clock) -> Result<u64> {
    let is_part = decay_epochs > 0.0 && decay_epochs < 1.0;
    let decay = if is_part { decay_epochs * rest } else { clock.of(decay_epochs) }.round_ties_even();
    if !(decay > 0.0 && decay <= rest) {
        let rule = format!(
            "must lie in (0, {}], the epochs after the warm-up, or be a part of them below 1",
            rest / clock.unit
        );
        return Err(file.error("decay_epochs", decay_epochs, rule));
    }
    Ok(decay as u64)
}
