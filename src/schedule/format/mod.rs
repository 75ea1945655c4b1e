//! A schedule as data, in any format that serde knows; JSON and TOML are tested. Values are checked by the lowering, as
//! those of a schedule written in Rust, so what is read here is well-formed, and no more.
//!
//! **The format.** A number is a constant, and every other schedule is an object with one key, the name of its
//! constructor: `{"linear": {"from": 0, "to": 3e-4, "over": 200}}`. What wraps one schedule has it beside its own fields:
//! `{"repeat": {"times": 3, "cosine": {…}}}`. So an error's path reads the same in a file and in a message of the
//! lowering. A named constant is `{"knob": "peak_lr", "value": 3e-4}`. The step itself is `"step"`.
//!
//! `entry` lists the keys, `wrapped` is for those that wrap one schedule, `number` for constants.

mod entry;
mod keyed;
mod multi_step;
mod number;
mod wrapped;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::entry::Entry;
use self::keyed::Keyed;
use super::Schedule;
use super::form::Form;
use super::number::Number;

const EXPECTED: &str = "a schedule: a number, \"step\", or an object with one key, such as {\"linear\": {\"from\": 0, \
                        \"to\": 3e-4, \"over\": 200}}";

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Constant(value) => value.serialize(serializer),
            Form::Step => serializer.serialize_str("step"),
            form => Entry::from(form.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScheduleVisitor)
    }
}

struct ScheduleVisitor;

impl<'de> Visitor<'de> for ScheduleVisitor {
    type Value = Schedule;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Schedule, E> {
        Ok(Schedule::constant(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Schedule, E> {
        Ok(Schedule::constant(number::from_integer(value.into())?))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Schedule, E> {
        Ok(Schedule::constant(number::from_integer(value.into())?))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Schedule, E> {
        match value {
            "step" => Ok(super::step()),
            number::REACHED => Ok(Schedule::constant(Number::Reached)),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Schedule, A::Error> {
        let Some(key) = map.next_key::<String>()? else {
            return Err(A::Error::custom(format!("an empty object is not {EXPECTED}")));
        };
        let schedule = match key.as_str() {
            "knob" => return Ok(Schedule::constant(number::knob_after_its_name::<Number, A>(&mut map)?)),
            "value" => return Ok(Schedule::constant(number::knob_after_its_value::<Number, A>(&mut map)?)),
            _ => Schedule(Entry::deserialize(Keyed { key: &key, map: &mut map })?.into()),
        };
        match map.next_key::<String>()? {
            None => Ok(schedule),
            Some(other) => {
                map.next_value::<IgnoredAny>()?;
                Err(A::Error::custom(format!("a schedule has one key, but this one has `{key}` and `{other}`")))
            }
        }
    }
}
