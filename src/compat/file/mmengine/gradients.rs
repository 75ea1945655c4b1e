//! MMEngine's `optim_wrapper`: clipping, loss scale and accumulation.

use serde_json::{Value, json};

use super::super::super::last_name;
use super::super::super::nearest::unknown_word;
use super::super::Section;
use crate::error::Result;
use crate::gradient::LossScale;

/// What makes an update, and what it has a translation for.
const WRAPPERS: [&str; 2] = ["OptimWrapper", "AmpOptimWrapper"];

/// What is done to gradients before an update.
pub(super) struct Gradients {
    pub clip: Value,
    pub scaler: Value,
    pub loss_scale: Option<LossScale>,
    pub accumulate: Option<u64>,
}

impl Gradients {
    pub fn read(wrapper: &mut Section) -> Result<Gradients> {
        let kind = wrapper.text("type")?.unwrap_or_else(|| "OptimWrapper".into());
        if !WRAPPERS.contains(&last_name(&kind)) {
            return Err(wrapper.error("type", &kind, unknown_word(last_name(&kind), &WRAPPERS)));
        }
        let accumulate = wrapper.count("accumulative_counts")?;
        if accumulate == Some(0) {
            return Err(wrapper.error("accumulative_counts", 0, "must be at least 1"));
        }
        let clip = clip(wrapper)?;
        let (mut scaler, mut loss_scale) = (Value::Null, None);
        if last_name(&kind) == "AmpOptimWrapper" {
            wrapper.notes().left(format!(
                "{}: after a skipped update MMEngine calls the schedulers all the same; here the schedule stays",
                wrapper.place("loss_scale")
            ));
            match wrapper.value("loss_scale")? {
                None => scaler = json!({}),
                Some(Value::String(word)) if word == "dynamic" => scaler = json!({}),
                Some(Value::Object(fields)) => scaler = Value::Object(fields),
                // MMEngine sets it again after each update.
                Some(Value::Number(scale)) if scale.is_f64() => {
                    loss_scale = scale.as_f64().map(LossScale::fixed);
                }
                Some(other) => {
                    let rule = "must be \"dynamic\", a float, or the arguments of torch's GradScaler";
                    return Err(wrapper.error("loss_scale", other, rule));
                }
            }
        }
        Ok(Gradients { clip, scaler, loss_scale, accumulate })
    }
}

/// The arguments of torch's function, with `type` for which one.
fn clip(wrapper: &mut Section) -> Result<Value> {
    let Some(mut clip) = wrapper.section("clip_grad")? else { return Ok(Value::Null) };
    let kind = clip.text("type")?.unwrap_or_else(|| "norm".into());
    let function = match kind.as_str() {
        "norm" => "clip_grad_norm_",
        "value" => "clip_grad_value_",
        _ => return Err(clip.error("type", &kind, unknown_word(&kind, &["norm", "value"]))),
    };
    let mut arguments = clip.fields()?;
    arguments.insert("function".into(), json!(function));
    Ok(Value::Object(arguments))
}
