//! Constants and counts of steps: plain numbers, or `{"knob": name, "value": number}`. A count may be `{"plus": [..], "minus": [..]}` of
//! counts too. A constant may be `"reached"`, or an
//! integer that f64 holds exactly; a count may be a whole float, `1e5`, up to 2^53.

use std::marker::PhantomData;

use serde::de::{Error, IgnoredAny, MapAccess, Unexpected, Visitor};
use serde::ser::{Error as _, SerializeStruct};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schedule::StepList;
use crate::schedule::number::{Number, Steps};

pub(super) const REACHED: &str = "reached";

/// Beyond this, f64 does not hold every integer.
const EXACT: i128 = 1 << 53;

/// An integer as a real constant.
pub(super) fn from_integer<E: Error>(value: i128) -> Result<f64, E> {
    if value as f64 as i128 == value {
        return Ok(value as f64);
    }
    Err(E::custom(format!("f64 does not hold the integer {value}; write it as a float")))
}

/// What [`Number`] and [`Steps`] share: a plain value, or a name with a value.
pub(super) trait Constant: Sized {
    type Value: for<'de> Deserialize<'de>;
    const EXPECTED: &'static str;

    fn word(word: &str) -> Option<Self>;
    fn integer<E: Error>(value: i128) -> Result<Self, E>;
    fn float<E: Error>(value: f64) -> Result<Self, E>;
    fn knob(name: String, value: Self::Value) -> Self;

    /// What a map is whose first key is `key`, and no knob.
    fn other<'de, A: MapAccess<'de>>(key: &str, _map: &mut A) -> Result<Self, A::Error> {
        Err(A::Error::unknown_field(key, &["knob", "value"]))
    }
}

impl Constant for Number {
    type Value = f64;
    const EXPECTED: &'static str = "a number, {\"knob\": name, \"value\": number}, or \"reached\"";

    fn word(word: &str) -> Option<Self> {
        (word == REACHED).then_some(Number::Reached)
    }

    fn integer<E: Error>(value: i128) -> Result<Self, E> {
        from_integer(value).map(Number::Literal)
    }

    fn float<E: Error>(value: f64) -> Result<Self, E> {
        Ok(Number::Literal(value))
    }

    fn knob(name: String, value: f64) -> Self {
        Number::Knob { name, value }
    }
}

impl Constant for Steps {
    type Value = u64;
    const EXPECTED: &'static str =
        "a count of steps, {\"knob\": name, \"value\": count}, or {\"plus\": counts, \"minus\": counts}";

    fn word(_word: &str) -> Option<Self> {
        None
    }

    fn integer<E: Error>(value: i128) -> Result<Self, E> {
        Ok(Steps::Literal(value))
    }

    fn float<E: Error>(value: f64) -> Result<Self, E> {
        if value.fract() == 0.0 && value.abs() <= EXACT as f64 {
            return Ok(Steps::Literal(value as i128));
        }
        Err(E::invalid_value(Unexpected::Float(value), &Self::EXPECTED))
    }

    fn knob(name: String, value: u64) -> Self {
        Steps::Knob { name, value }
    }

    fn other<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<Self, A::Error> {
        let (mut plus, mut minus) = (None, None);
        let mut key = Some(key.to_owned());
        while let Some(name) = key {
            let (place, name) = match &*name {
                "plus" => (&mut plus, "plus"),
                "minus" => (&mut minus, "minus"),
                other => return Err(A::Error::unknown_field(other, &["knob", "value", "plus", "minus"])),
            };
            if place.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(name));
            }
            key = map.next_key()?;
        }
        Ok(Steps::Sum(Box::new((plus.unwrap_or_default(), minus.unwrap_or_default()))))
    }
}

/// The knob whose key `knob` was read last.
pub(super) fn knob_after_its_name<'de, C: Constant, A: MapAccess<'de>>(map: &mut A) -> Result<C, A::Error> {
    let name = map.next_value()?;
    expect_key(map, "value")?;
    let value = map.next_value()?;
    expect_end(map)?;
    Ok(C::knob(name, value))
}

/// The knob whose key `value` was read last.
pub(super) fn knob_after_its_value<'de, C: Constant, A: MapAccess<'de>>(map: &mut A) -> Result<C, A::Error> {
    let value = map.next_value()?;
    expect_key(map, "knob")?;
    let name = map.next_value()?;
    expect_end(map)?;
    Ok(C::knob(name, value))
}

fn expect_key<'de, A: MapAccess<'de>>(map: &mut A, key: &'static str) -> Result<(), A::Error> {
    match map.next_key::<String>()? {
        Some(found) if found == key => Ok(()),
        Some(found) => Err(A::Error::unknown_field(&found, &["knob", "value"])),
        None => Err(A::Error::missing_field(key)),
    }
}

fn expect_end<'de, A: MapAccess<'de>>(map: &mut A) -> Result<(), A::Error> {
    match map.next_key::<String>()? {
        None => Ok(()),
        Some(found) => {
            map.next_value::<IgnoredAny>()?;
            Err(A::Error::unknown_field(&found, &["knob", "value"]))
        }
    }
}

struct ConstantVisitor<C>(PhantomData<C>);

impl<'de, C: Constant> Visitor<'de> for ConstantVisitor<C> {
    type Value = C;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(C::EXPECTED)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<C, E> {
        C::word(value).ok_or_else(|| E::invalid_value(Unexpected::Str(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<C, E> {
        C::integer(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<C, E> {
        C::integer(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<C, E> {
        C::float(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<C, A::Error> {
        match map.next_key::<String>()?.as_deref() {
            Some("knob") => knob_after_its_name(&mut map),
            Some("value") => knob_after_its_value(&mut map),
            Some(other) => C::other(other, &mut map),
            None => Err(A::Error::missing_field("knob")),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConstantVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Steps {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ConstantVisitor(PhantomData))
    }
}

impl<'de> Deserialize<'de> for StepList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<Steps>::deserialize(deserializer).map(StepList::from)
    }
}

impl Serialize for StepList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Literal(value) => finite(*value)?.serialize(serializer),
            Number::Knob { name, value } => knob(name, &finite(*value)?, serializer),
            Number::Reached => serializer.serialize_str(REACHED),
        }
    }
}

impl Serialize for Steps {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Steps::Literal(value) => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(count), _) => count.serialize(serializer),
                (_, Ok(negative)) => negative.serialize(serializer),
                _ => Err(S::Error::custom(format!("a count of steps is {value}, but must stay below 2^64"))),
            },
            Steps::Knob { name, value } => knob(name, value, serializer),
            Steps::Sum(parts) => {
                let mut sum = serializer.serialize_struct("Sum", 2)?;
                sum.serialize_field("plus", &parts.0)?;
                sum.serialize_field("minus", &parts.1)?;
                sum.end()
            }
        }
    }
}

/// JSON would write `null` for what is not finite, which does not come back.
fn finite<E: serde::ser::Error>(value: f64) -> Result<f64, E> {
    if value.is_finite() { Ok(value) } else { Err(E::custom(format!("a constant is {value}, but must be finite"))) }
}

/// The values of a table.
pub(super) fn finite_values<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
    values.iter().try_for_each(|value| finite(*value).map(drop))?;
    values.serialize(serializer)
}

fn knob<S: Serializer>(name: &str, value: &impl Serialize, serializer: S) -> Result<S::Ok, S::Error> {
    let mut knob = serializer.serialize_struct("Knob", 2)?;
    knob.serialize_field("knob", name)?;
    knob.serialize_field("value", value)?;
    knob.end()
}
