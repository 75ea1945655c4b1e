//! Reads named arguments out of JSON: what is missing, unknown or of another type is an error that names it.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// The arguments of one call. Reading one takes it out, so that [`Arguments::finish`] knows what nobody asked for.
#[derive(Debug, Clone)]
pub(super) struct Arguments {
    path: String,
    left: Map<String, Value>,
}

impl Arguments {
    /// The arguments in `object`, which stand at `path` of the configuration.
    pub fn new(path: &str, object: &Value) -> Result<Arguments> {
        match object {
            Value::Object(left) => Ok(Arguments { path: path.into(), left: left.clone() }),
            other => Err(Error::argument(path, other, "must be an object of arguments by name")),
        }
    }

    /// Refuses arguments that nothing has read.
    pub fn finish(self) -> Result<()> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, value)) => Err(self.error(name, value, "is not an argument of this call")),
        }
    }

    /// Whether `name` is given and not null.
    pub fn has(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    /// Whether `name` is given, as null too.
    pub fn names(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// `name` as it is, left where it is; None if it is missing or null.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.left.get(name).filter(|value| !value.is_null())
    }

    /// An error about the argument `name`.
    pub fn error(&self, name: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
        let place = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        Error::argument(place, value, rule)
    }

    /// The error that `name` is missing.
    pub fn missing(&self, name: &str) -> Error {
        self.error(name, "missing", "must be given")
    }

    /// Takes `name` as it is; None if it is missing or null.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Refuses `name` if it is a float: the peer wants an integer as one.
    pub fn expect_integer(&self, name: &str) -> Result<()> {
        match self.left.get(name) {
            Some(value) if value.is_f64() => Err(self.error(name, value, "must be an integer, not a float")),
            _ => Ok(()),
        }
    }

    /// Refuses `name` if it is an integer: the peer wants a float as one.
    pub fn expect_float(&self, name: &str) -> Result<()> {
        match self.left.get(name) {
            Some(value) if value.is_i64() || value.is_u64() => {
                Err(self.error(name, value, "must be a float, not an integer"))
            }
            _ => Ok(()),
        }
    }

    fn optional<T>(&mut self, name: &str, rule: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| self.error(name, &value, rule)),
        }
    }

    fn required<T>(&self, name: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.missing(name))
    }

    /// A finite number.
    pub fn optional_f64(&mut self, name: &str) -> Result<Option<f64>> {
        self.optional(name, "must be a number", Value::as_f64)
    }

    /// A finite number that must be given.
    pub fn f64(&mut self, name: &str) -> Result<f64> {
        let value = self.optional_f64(name)?;
        self.required(name, value)
    }

    /// A finite number, or `default`.
    pub fn f64_or(&mut self, name: &str, default: f64) -> Result<f64> {
        Ok(self.optional_f64(name)?.unwrap_or(default))
    }

    /// An integer, which may be written as a float without a fraction.
    pub fn optional_int(&mut self, name: &str) -> Result<Option<i64>> {
        self.optional(name, "must be an integer", as_int)
    }

    /// An integer that must be given.
    pub fn int(&mut self, name: &str) -> Result<i64> {
        let value = self.optional_int(name)?;
        self.required(name, value)
    }

    /// An integer, or `default`.
    pub fn int_or(&mut self, name: &str, default: i64) -> Result<i64> {
        Ok(self.optional_int(name)?.unwrap_or(default))
    }

    /// A count of steps: an integer that is not negative.
    pub fn optional_steps(&mut self, name: &str) -> Result<Option<u64>> {
        self.optional(name, "must be a count of steps, not negative", as_steps)
    }

    /// A count of steps that must be given.
    pub fn steps(&mut self, name: &str) -> Result<u64> {
        let value = self.optional_steps(name)?;
        self.required(name, value)
    }

    /// A count of steps, or `default`.
    pub fn steps_or(&mut self, name: &str, default: u64) -> Result<u64> {
        Ok(self.optional_steps(name)?.unwrap_or(default))
    }

    /// True or false, or `default`.
    pub fn bool_or(&mut self, name: &str, default: bool) -> Result<bool> {
        Ok(self.optional(name, "must be true or false", Value::as_bool)?.unwrap_or(default))
    }

    /// A text.
    pub fn optional_text(&mut self, name: &str) -> Result<Option<String>> {
        self.optional(name, "must be a text", |value| value.as_str().map(str::to_owned))
    }

    /// A text that must be given.
    pub fn text(&mut self, name: &str) -> Result<String> {
        let value = self.optional_text(name)?;
        self.required(name, value)
    }

    /// A text, or `default`.
    pub fn text_or(&mut self, name: &str, default: &str) -> Result<String> {
        Ok(self.optional_text(name)?.unwrap_or_else(|| default.into()))
    }

    /// Numbers in a list.
    pub fn optional_numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>> {
        self.optional(name, "must be a list of numbers", |value| value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// Counts of steps in a list, which must be given.
    pub fn steps_list(&mut self, name: &str) -> Result<Vec<u64>> {
        let rule = "must be a list of counts of steps, none negative";
        let value = self.optional(name, rule, |value| value.as_array()?.iter().map(as_steps).collect())?;
        self.required(name, value)
    }

    /// Anything in a list, which must be given.
    pub fn list(&mut self, name: &str) -> Result<Vec<Value>> {
        let value = self.optional(name, "must be a list", |value| value.as_array().cloned())?;
        self.required(name, value)
    }

    /// One value for each of `groups` groups: `read` of a single value for all, or of a list with one for each.
    pub fn per_group<T: Clone>(
        &mut self,
        name: &str,
        groups: usize,
        read: impl Fn(&Value) -> Option<T>,
        rule: &str,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let values: Option<Vec<T>> = match &value {
            Value::Array(list) if list.len() == groups => list.iter().map(read).collect(),
            Value::Array(list) => {
                let rule = format!("must be one for all groups, or one for each of the {groups}");
                return Err(self.error(name, format!("{} values", list.len()), rule));
            }
            one => read(one).map(|one| vec![one; groups]),
        };
        values.map(Some).ok_or_else(|| self.error(name, &value, rule))
    }

    /// Numbers, one for each group.
    pub fn numbers_per_group(&mut self, name: &str, groups: usize) -> Result<Option<Vec<f64>>> {
        self.per_group(name, groups, Value::as_f64, "must be a number")
    }

    /// The arguments of a call that is itself the argument `name`.
    pub fn call(&mut self, name: &str) -> Result<Arguments> {
        let value = self.value(name).ok_or_else(|| self.missing(name))?;
        Arguments::new(&format!("{}.{name}", self.path), &value)
    }

    /// The arguments of each call in the list `name`.
    pub fn calls(&mut self, name: &str) -> Result<Vec<Arguments>> {
        let list = self.list(name)?;
        let call = |(i, value): (usize, &Value)| Arguments::new(&format!("{}.{name}[{i}]", self.path), value);
        list.iter().enumerate().map(call).collect()
    }
}

fn as_int(value: &Value) -> Option<i64> {
    let whole = |x: f64| (x.fract() == 0.0 && x.abs() < 2f64.powi(53)).then_some(x as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

fn as_steps(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| as_int(value).and_then(|x| u64::try_from(x).ok()))
}
