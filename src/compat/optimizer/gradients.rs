//! Clipping and loss scaling of the peers.

use serde_json::Value;

use super::super::nearest::unknown_name;
use super::super::{Arguments, last_name};
use crate::error::Result;
use crate::gradient::{Clip, LossScale, Norm};

const CLIPS: [&str; 4] = ["clip_grad_norm_", "clip_grad_value_", "clip_by_global_norm", "clip"];

/// The clipping of a call `{function, …}`; None for null.
pub(super) fn clip(call: &Value) -> Result<Option<Clip>> {
    if call.is_null() {
        return Ok(None);
    }
    let mut read = Arguments::new("clip", call)?;
    let function = read.text("function")?;
    let clip = match last_name(&function) {
        "clip_grad_norm_" => {
            let clip = Clip::torch_norm(read.f64("max_norm")?);
            if read.bool_or("error_if_nonfinite", false)? {
                let rule =
                    "no error can be raised from the device; a policy for such gradients is one of the builder's";
                return Err(read.error("error_if_nonfinite", true, rule));
            }
            read.value("foreach");
            match norm(&mut read)? {
                Norm::Two => clip,
                other => clip.by(other),
            }
        }
        "clip_grad_value_" => {
            read.value("foreach");
            Clip::value(read.f64("clip_value")?)
        }
        "clip_by_global_norm" => Clip::optax_norm(read.f64("max_norm")?),
        "clip" => Clip::value(read.f64("max_delta")?),
        name => {
            return Err(read.error(
                "function",
                &function,
                unknown_name("a clipping that has a translation", name, &CLIPS),
            ));
        }
    };
    read.finish()?;
    Ok(Some(clip))
}

/// `norm_type`: a number, or infinity as a text.
fn norm(read: &mut Arguments) -> Result<Norm> {
    let Some(value) = read.value("norm_type") else { return Ok(Norm::Two) };
    match (value.as_f64(), value.as_str()) {
        (Some(2.0), _) => Ok(Norm::Two),
        (Some(1.0), _) => Ok(Norm::One),
        (_, Some("inf" | "Infinity")) => Ok(Norm::Max),
        _ => Err(read.error("norm_type", value, "that norm is not there yet; there are 1, 2 and inf")),
    }
}

/// The loss scale of the arguments of a `torch.amp.GradScaler`; None for null, and for one that is not enabled.
pub(super) fn loss_scale(arguments: &Value) -> Result<Option<LossScale>> {
    if arguments.is_null() {
        return Ok(None);
    }
    let mut read = Arguments::new("scaler", arguments)?;
    let class = read.text_or("class", "torch.amp.GradScaler")?;
    if last_name(&class) != "GradScaler" {
        return Err(read.error("class", &class, "must be GradScaler: other loss scaling has no translation"));
    }
    read.value("device");
    let enabled = read.bool_or("enabled", true)?;
    let interval = read.int_or("growth_interval", 2_000)?;
    let interval = u32::try_from(interval)
        .map_err(|_| read.error("growth_interval", interval, "must be a count of updates, below 2^32"))?;
    // A skipped step moves no schedule here, as with a scheduler that is not stepped then.
    let on_skip = read.text_or("scheduler_on_skip", "not advanced")?;
    if on_skip != "not advanced" {
        let rule = "a schedule that moves on with a skipped step is not there yet";
        return Err(read.error("scheduler_on_skip", on_skip, rule));
    }
    let scale = LossScale::dynamic()
        .init(read.f64_or("init_scale", 65_536.0)?)
        .growth(read.f64_or("growth_factor", 2.0)?)
        .backoff(read.f64_or("backoff_factor", 0.5)?)
        .interval(interval);
    read.finish()?;
    Ok(enabled.then_some(scale))
}
