//! The sections `fp16`, `bf16` and `torch_autocast`: the loss scale, and what is done about gradients that are not finite.
//!
//! With ZeRO a loss scale has a hysteresis and ends the run at its least value (`DynamicLossScaler`); without, neither
//! (`LossScaleConfig`). Both grow it after `loss_scale_window` clean updates in a row, and the first time after a skipped one, or after the
//! start, one update later, which [`LossScale`] does not.

use serde_json::{Value, json};

use super::super::facts::is_auto;
use super::super::section::Section;
use super::auto::Auto;
use crate::error::Result;
use crate::gradient::{LossScale, NonFinite};

#[derive(Default)]
pub(super) struct Precision {
    /// The arguments of torch's `GradScaler`, where that is used.
    pub scaler: Value,
    pub loss_scale: Option<LossScale>,
    pub non_finite: Option<NonFinite>,
}

const OF_KERNELS: &str = "of the types that tensors and states have";

impl Precision {
    pub fn read(file: &mut Section, auto: &Auto) -> Result<Precision> {
        let stage = zero_stage(file)?;
        let of_bf16 = if file.has("bf16") { "bf16" } else { "bfloat16" };
        let (fp16, bf16) = (file.section("fp16")?, file.section(of_bf16)?);
        let bf16_said = bf16.as_ref().is_some_and(|bf16| bf16.peek("enabled") == Some(&Value::Bool(true)))
            || ["bf16", "bf16_full_eval"].iter().any(|name| auto.facts.values.get(*name) == Some(&Value::Bool(true)));
        let (mut fp16, fp16_enabled) = enabled(fp16, auto, ["fp16", "fp16_full_eval"], bf16_said)?;
        let (mut bf16, bf16_enabled) = enabled(bf16, auto, ["bf16", "bf16_full_eval"], fp16_enabled)?;
        if let Some(section) = fp16.as_ref().filter(|_| fp16_enabled && bf16_enabled) {
            return Err(section.error("enabled", true, format!("must be false where {of_bf16} is enabled")));
        }
        let loss_scale = match &mut fp16 {
            Some(section) if fp16_enabled => Some(loss_scale(section, stage)?),
            _ => None,
        };
        let looks = match &mut bf16 {
            Some(section) if bf16_enabled => section.flag("check_grad_overflow")?.unwrap_or(true) || stage == 0,
            _ => fp16_enabled || stage > 0,
        };
        for (section, enabled) in [(fp16, fp16_enabled), (bf16, bf16_enabled)] {
            let Some(mut section) = section else { continue };
            if enabled {
                section.leave(&[(OF_FP16, OF_KERNELS), (OF_BF16, OF_KERNELS)]);
                section.finish()?;
            } else {
                section.leave_rest("it is not enabled");
            }
        }
        let scaler = autocast(file, stage)?;
        Ok(Precision { scaler, loss_scale, non_finite: looks.then_some(NonFinite::Skip) })
    }
}

const OF_FP16: &[&str] = &["auto_cast", "fp16_master_weights_and_grads", "opt_level"];
const OF_BF16: &[&str] = &["immediate_grad_update", "bf16_master_weights_and_grads", "bf16_optimizer_states"];

/// Whether a section says `enabled`. Of `fp16` and `bf16` one at most is; `names` are what the trainer calls it.
fn enabled<'n>(
    section: Option<Section<'n>>,
    auto: &Auto,
    names: [&str; 2],
    other_is: bool,
) -> Result<(Option<Section<'n>>, bool)> {
    let Some(mut section) = section else { return Ok((None, false)) };
    if section.peek("enabled").is_some_and(is_auto) {
        let known = names.map(|name| auto.facts.values.get(name).and_then(Value::as_bool));
        match known {
            [None, None] if other_is => section.fill("enabled", false),
            [None, None] => auto.expect_known(&section, "enabled", names[0])?,
            [train, evaluate] => section.fill("enabled", train == Some(true) || evaluate == Some(true)),
        }
    }
    let enabled = section.flag("enabled")?.unwrap_or(false);
    Ok((Some(section), enabled))
}

/// What divides the state: 0 for nothing. A boolean is the form of old files.
fn zero_stage(file: &mut Section) -> Result<u64> {
    if let Some(Value::Bool(divided)) = file.peek("zero_optimization") {
        let stage = u64::from(*divided);
        file.leave(&[(&["zero_optimization"], "of how state is divided and kept")]);
        return Ok(stage);
    }
    let Some(mut section) = file.section("zero_optimization")? else { return Ok(0) };
    let stage = section.count("stage")?.unwrap_or(0);
    if stage > 3 {
        return Err(section.error("stage", stage, "must be 0, 1, 2 or 3"));
    }
    section.leave_rest("of how state is divided and kept");
    Ok(stage)
}

fn loss_scale(section: &mut Section, stage: u64) -> Result<LossScale> {
    let fixed = section.number("loss_scale")?.unwrap_or(0.0);
    let not_dynamic = "the loss scale is a fixed one";
    const DYNAMIC: &[&str] =
        &["initial_scale_power", "loss_scale_window", "hysteresis", "consecutive_hysteresis", "min_loss_scale"];
    if fixed < 0.0 {
        return Err(section.error("loss_scale", fixed, "must not be negative; 0 is a dynamic one"));
    }
    if fixed > 0.0 {
        section.leave(&[(DYNAMIC, not_dynamic)]);
        return Ok(LossScale::fixed(fixed));
    }
    let power = section.int("initial_scale_power")?.unwrap_or(16);
    if !(-126..=127).contains(&power) {
        return Err(section.error("initial_scale_power", power, "must be from -126 to 127: the scale is an f32"));
    }
    let window = at_least_1(section, "loss_scale_window", 1_000)?;
    let least = at_least_1(section, "min_loss_scale", 1)?;
    section.notes().left(format!(
        "{}: DeepSpeed grows the scale one update later than this, the first time after the start and after a skipped update",
        section.place("loss_scale_window")
    ));
    let scale = LossScale::dynamic().init(2f64.powi(power as i32)).interval(window);
    let scale = scale.limits(least.into(), 2f64.powi(127));
    if stage == 0 {
        section.leave(&[(&["hysteresis", "consecutive_hysteresis"], "DeepSpeed has none without ZeRO")]);
        return Ok(scale);
    }
    let scale = scale.hysteresis(at_least_1(section, "hysteresis", 2)?).stop_at_min();
    Ok(if section.flag("consecutive_hysteresis")?.unwrap_or(false) { scale.consecutive_hysteresis() } else { scale })
}

fn at_least_1(section: &mut Section, name: &str, default: u32) -> Result<u32> {
    let count = section.count(name)?.unwrap_or(default.into());
    match u32::try_from(count) {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(section.error(name, count, "must be at least 1, and below 2^32")),
    }
}

/// torch's autocast, which has torch's loss scale where it casts to fp16.
fn autocast(file: &mut Section, stage: u64) -> Result<Value> {
    if file.peek("amp").and_then(|amp| amp.get("enabled")) == Some(&Value::Bool(true)) {
        return Err(file.error("amp.enabled", true, "the loss scale of apex.amp is not there yet"));
    }
    file.leave(&[(&["amp"], "it is not enabled")]);
    let Some(mut section) = file.section("torch_autocast")? else { return Ok(Value::Null) };
    let (enabled, dtype) = (section.flag("enabled")?.unwrap_or(false), section.text("dtype")?);
    let is_fp16 = matches!(dtype.as_deref(), Some("fp16" | "float16" | "half" | "torch.float16"));
    let scaler = match (enabled && is_fp16, stage) {
        (false, _) => Value::Null,
        (true, 0) => json!({}),
        (true, _) => {
            let rule =
                "with ZeRO, clipping acts on scaled gradients there, which is not there yet; fp16 scales and clips";
            return Err(section.error("dtype", dtype.unwrap_or_default(), rule));
        }
    };
    section.leave_rest("of the types that tensors have");
    Ok(scaler)
}
