//! Clipping, loss scaling and accumulation as data, each with the names of its constructors.
//!
//! `{"torch_norm": 1.0, "by": "max"}`; a number for a fixed loss scale and an object of settings for a dynamic one, whose
//! absent ones are the defaults; `{"mean": 4}`.

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Accumulate, Clip, ClipForm, Dynamic, LossScale, Norm};

/// A [`Clip`]: one of the forms, and the norm if it is not the 2-norm.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClipFields {
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "finite_if_some")]
    torch_norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "finite_if_some")]
    optax_norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none", serialize_with = "finite_if_some")]
    value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by: Option<Norm>,
}

impl TryFrom<ClipFields> for Clip {
    type Error = String;

    fn try_from(ClipFields { torch_norm, optax_norm, value, by: norm }: ClipFields) -> Result<Clip, String> {
        let forms = [(ClipForm::Torch, torch_norm), (ClipForm::Optax, optax_norm), (ClipForm::Value, value)];
        let given: Vec<_> = forms.into_iter().filter_map(|(form, limit)| Some((form, limit?))).collect();
        match given[..] {
            [(form, limit)] => Ok(Clip { form, norm, limit }),
            _ => Err(format!("it has {} of `torch_norm`, `optax_norm` and `value`, but must have one", given.len())),
        }
    }
}

impl From<Clip> for ClipFields {
    fn from(Clip { form, norm: by, limit }: Clip) -> ClipFields {
        let if_form = |wanted: ClipForm| (form == wanted).then_some(limit);
        ClipFields {
            torch_norm: if_form(ClipForm::Torch),
            optax_norm: if_form(ClipForm::Optax),
            value: if_form(ClipForm::Value),
            by,
        }
    }
}

impl Clip {
    /// The key of its limit.
    pub(crate) fn key(self) -> &'static str {
        match self.form {
            ClipForm::Torch => "torch_norm",
            ClipForm::Optax => "optax_norm",
            ClipForm::Value => "value",
        }
    }
}

/// A dynamic [`LossScale`].
#[derive(Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DynamicFields {
    #[serde(serialize_with = "finite")]
    init: f64,
    #[serde(serialize_with = "finite")]
    growth: f64,
    #[serde(serialize_with = "finite")]
    backoff: f64,
    interval: u32,
    #[serde(serialize_with = "finite")]
    min: f64,
    #[serde(serialize_with = "finite")]
    max: f64,
    hysteresis: u32,
    consecutive_hysteresis: bool,
    stop_at_min: bool,
}

impl DynamicFields {
    fn new(init: f64, dynamic: Dynamic) -> DynamicFields {
        let Dynamic { growth, backoff, interval, min, max, hysteresis, consecutive_hysteresis, stop_at_min } = dynamic;
        DynamicFields { init, growth, backoff, interval, min, max, hysteresis, consecutive_hysteresis, stop_at_min }
    }
}

impl Default for DynamicFields {
    fn default() -> DynamicFields {
        let LossScale { init, dynamic } = LossScale::dynamic();
        DynamicFields::new(init, dynamic.expect("a dynamic scale"))
    }
}

impl From<DynamicFields> for LossScale {
    fn from(fields: DynamicFields) -> LossScale {
        let DynamicFields {
            init,
            growth,
            backoff,
            interval,
            min,
            max,
            hysteresis,
            consecutive_hysteresis,
            stop_at_min,
        } = fields;
        let dynamic = Dynamic { growth, backoff, interval, min, max, hysteresis, consecutive_hysteresis, stop_at_min };
        LossScale { init, dynamic: Some(dynamic) }
    }
}

impl LossScale {
    /// Whether it is written as settings.
    pub(crate) fn is_dynamic(self) -> bool {
        self.dynamic.is_some()
    }
}

impl Serialize for LossScale {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let LossScale { init, dynamic } = *self;
        match dynamic {
            None => finite(&init, serializer),
            Some(dynamic) => DynamicFields::new(init, dynamic).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LossScale {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LossScale, D::Error> {
        deserializer.deserialize_any(LossScaleVisitor)
    }
}

struct LossScaleVisitor;

impl<'de> Visitor<'de> for LossScaleVisitor {
    type Value = LossScale;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a fixed loss scale, or an object of a dynamic one's settings")
    }

    fn visit_f64<E>(self, value: f64) -> Result<LossScale, E> {
        Ok(LossScale::fixed(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<LossScale, E> {
        Ok(LossScale::fixed(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<LossScale, E> {
        Ok(LossScale::fixed(value as f64))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LossScale, A::Error> {
        DynamicFields::deserialize(MapAccessDeserializer::new(map)).map(LossScale::from)
    }
}

/// An [`Accumulate`].
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Calls {
    Sum(u32),
    Mean(u32),
}

impl From<Calls> for Accumulate {
    fn from(calls: Calls) -> Accumulate {
        match calls {
            Calls::Sum(calls) => Accumulate::sum(calls),
            Calls::Mean(calls) => Accumulate::mean(calls),
        }
    }
}

impl From<Accumulate> for Calls {
    fn from(Accumulate { calls, mean }: Accumulate) -> Calls {
        if mean { Calls::Mean(calls) } else { Calls::Sum(calls) }
    }
}

impl Accumulate {
    /// The key of its calls.
    pub(crate) fn key(self) -> &'static str {
        if self.mean { "mean" } else { "sum" }
    }
}

/// JSON would write `null` for what is not finite, which does not come back.
fn finite<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match value.is_finite() {
        true => serializer.serialize_f64(*value),
        false => Err(serde::ser::Error::custom(format!("a number is {value}, but must be finite"))),
    }
}

/// The same of a number that may be absent.
pub(crate) fn finite_if_some<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    match value {
        None => serializer.serialize_none(),
        Some(value) => finite(value, serializer),
    }
}
