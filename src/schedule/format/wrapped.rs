//! What wraps one schedule: `{"over": {"steps": 100, "exponential_decay": {…}}}`. The fields of the wrapper and the key of
//! the schedule stand side by side, in any order. A schedule may also stand under the key `of`, and does where its own key
//! could be taken for a field: `{"clamp": {"min": 0, "max": 1, "of": {"min": […]}}}`.

use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::entry::Entry;
use super::keyed::Keyed;
use crate::schedule::form::{Binary, Form};
use crate::schedule::number::{Number, Steps};
use crate::schedule::{Schedule, Warmup};

/// The key under which any schedule may stand.
const OF: &str = "of";

/// A schedule with the fields of what wraps it.
pub(super) struct Wrapped<F> {
    pub fields: F,
    pub inner: Box<Schedule>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct InSteps {
    pub steps: Steps,
}

#[derive(Serialize, Deserialize)]
pub(super) struct WarmUp {
    pub steps: Steps,
    #[serde(rename = "as", default = "from_zero", skip_serializing_if = "is_from_zero")]
    pub form: Warmup,
}

fn from_zero() -> Warmup {
    Warmup::FromZero
}

fn is_from_zero(form: &Warmup) -> bool {
    *form == from_zero()
}

#[derive(Serialize, Deserialize)]
pub(super) struct Range {
    pub min: Number,
    pub max: Number,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Times {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ToPower {
    pub exponent: i32,
}

impl<F: Serialize> Serialize for Wrapped<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Flat<'a, F> {
            #[serde(flatten)]
            fields: &'a F,
            #[serde(flatten)]
            inner: Entry,
        }
        #[derive(Serialize)]
        struct Under<'a, F> {
            #[serde(flatten)]
            fields: &'a F,
            of: &'a Schedule,
        }
        let fields = &self.fields;
        match &self.inner.0 {
            Form::Binary { op: Binary::Min | Binary::Max, .. } => {
                Under { fields, of: &self.inner }.serialize(serializer)
            }
            form => Flat { fields, inner: form.clone().into() }.serialize(serializer),
        }
    }
}

impl<'de, F: Deserialize<'de>> Deserialize<'de> for Wrapped<F> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WrappedVisitor(PhantomData))
    }
}

struct WrappedVisitor<F>(PhantomData<F>);

impl<'de, F: Deserialize<'de>> Visitor<'de> for WrappedVisitor<F> {
    type Value = Wrapped<F>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with the key of a schedule and fields beside it")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Wrapped<F>, A::Error> {
        let mut inner = None;
        let fields = F::deserialize(Beside { map, inner: &mut inner })?;
        match inner {
            Some((_, schedule)) => Ok(Wrapped { fields, inner: Box::new(schedule) }),
            None => Err(A::Error::custom("it lacks its schedule, such as \"linear\": {…}")),
        }
    }
}

/// A map as seen by a struct that is not alone in it: the entry that is none of its fields goes to `inner`.
struct Beside<'a, A> {
    map: A,
    inner: &'a mut Option<(String, Schedule)>,
}

impl<'de, A: MapAccess<'de>> Deserializer<'de> for Beside<'_, A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        visitor.visit_map(BesideAccess { beside: self, fields })
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct BesideAccess<'a, A> {
    beside: Beside<'a, A>,
    fields: &'static [&'static str],
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for BesideAccess<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        let Beside { map, inner } = &mut self.beside;
        while let Some(key) = map.next_key::<String>()? {
            if self.fields.contains(&key.as_str()) {
                return seed.deserialize(key.into_deserializer()).map(Some);
            }
            if let Some((first, _)) = inner {
                let fields = self.fields.join("`, `");
                return Err(A::Error::custom(format!(
                    "`{key}` is neither a field (`{fields}`) nor may it follow `{first}`"
                )));
            }
            let schedule = match key.as_str() {
                OF => map.next_value()?,
                _ => Schedule(Entry::deserialize(Keyed { key: &key, map })?.into()),
            };
            **inner = Some((key, schedule));
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.beside.map.next_value_seed(seed)
    }
}
