//! Reads named arguments out of JSON: what is missing, unknown or of another type is an error that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde_json::{Map, Value};

use super::last_name;
use super::limits::MAX_EXACT;
use super::nearest::{nearest, unknown_argument, unknown_word};
use crate::error::{Error, Result};

/// What the class of a call within another may stand under: what torch's users, Lightning's command line and Hydra write.
pub(super) const CLASS_NAMES: [&str; 5] = ["class", "class_path", "_target_", "name", "type"];
/// What the arguments of such a call stand under, where they do not stand beside the class.
pub(super) const ARGUMENT_NAMES: [&str; 4] = ["args", "init_args", "params", "kwargs"];
/// How Hydra makes the call, which changes nothing here.
pub(super) const HYDRA_NAMES: [&str; 3] = ["_partial_", "_convert_", "_recursive_"];

/// The arguments of one call. Reading one takes it out, so that [`Arguments::finish`] knows what nobody asked for.
#[derive(Debug, Clone)]
pub(super) struct Arguments {
    path: String,
    /// As the user wrote them: what errors show.
    given: Map<String, Value>,
    left: Map<String, Value>,
    /// The names that were read, given or not.
    asked: BTreeSet<String>,
    /// In which argument those stand that came out of another.
    inside: BTreeMap<String, String>,
}

impl Arguments {
    /// The arguments in `object`, which stand at `path` of the configuration.
    pub fn new(path: &str, object: &Value) -> Result<Arguments> {
        match object {
            Value::Object(given) => {
                let (given, left) = (given.clone(), given.clone());
                Ok(Arguments { path: path.into(), given, left, asked: BTreeSet::new(), inside: BTreeMap::new() })
            }
            other => Err(Error::argument(path, other, "must be an object of arguments by name")),
        }
    }

    /// Where they stand, and all of them that nothing has read.
    pub fn into_fields(self) -> (String, Map<String, Value>) {
        (self.path, self.left)
    }

    /// Other arguments in place of these, as another class calls them.
    pub fn others(&self, object: &Value) -> Result<Arguments> {
        Arguments::new(&self.path, object)
    }

    /// Refuses arguments that nothing has read.
    pub fn finish(self) -> Result<()> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, value)) => {
                let asked: Vec<&str> = self.asked.iter().map(String::as_str).collect();
                Err(self.fault(name, value, unknown_argument(name, &asked)))
            }
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

    /// An error about the argument `name`, which shows it as it was written; `value` is what it is where it was left out, or
    /// what an item of it is.
    pub fn error(&self, name: &str, value: impl Display, rule: impl Into<String>) -> Error {
        match self.given.get(name) {
            None | Some(Value::Null) => self.fault(name, value, rule),
            Some(Value::String(text)) => self.fault(name, text, rule),
            Some(given) => self.fault(name, given, rule),
        }
    }

    /// An error about the argument `name` that shows `what`, such as how many there are of it.
    pub fn fault(&self, name: &str, what: impl Display, rule: impl Into<String>) -> Error {
        let name = match self.inside.get(name) {
            Some(outer) => format!("{outer}.{name}"),
            None => name.to_owned(),
        };
        let place = if self.path.is_empty() { name } else { format!("{}.{name}", self.path) };
        Error::argument(place, what, rule)
    }

    /// The error that `name` is missing.
    pub fn missing(&self, name: &str) -> Error {
        self.missing_unless(name, "must be given")
    }

    /// The error that `name` is missing, by `rule`; what stands there under another name that is near is said.
    pub fn missing_unless(&self, name: &str, rule: &str) -> Error {
        match nearest(name, self.left.keys().map(String::as_str)) {
            Some(near) if !self.asked.contains(near) => {
                self.fault(name, "missing", format!("{rule}; {near}, which is given, is not its name"))
            }
            _ => self.fault(name, "missing", rule),
        }
    }

    /// Puts what is in the argument `name` beside it, as a call that hands it on does.
    pub fn spread(&mut self, name: &str) -> Result<()> {
        let Some(value) = self.value(name) else { return Ok(()) };
        let Value::Object(inner) = value else {
            return Err(self.fault(name, value, "must be an object of arguments by name"));
        };
        for (key, value) in inner {
            if self.given.contains_key(&key) {
                let rule = format!("must not be given both here and in {name}");
                return Err(self.error(&key, "given", rule));
            }
            self.inside.insert(key.clone(), name.to_owned());
            self.given.insert(key.clone(), value.clone());
            self.left.insert(key, value);
        }
        Ok(())
    }

    /// Takes `name` as it is; None if it is missing or null.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        self.asked.insert(name.to_owned());
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Refuses `name` if it is a float: the peer wants an integer as one.
    pub fn expect_integer(&self, name: &str) -> Result<()> {
        match self.left.get(name) {
            Some(value) if value.is_f64() => Err(self.fault(name, value, "must be an integer, not a float")),
            _ => Ok(()),
        }
    }

    /// Refuses `name` if it is an integer: the peer wants a float as one.
    pub fn expect_float(&self, name: &str) -> Result<()> {
        match self.left.get(name) {
            Some(value) if value.is_i64() || value.is_u64() => {
                Err(self.fault(name, value, "must be a float, not an integer"))
            }
            _ => Ok(()),
        }
    }

    fn optional<T>(&mut self, name: &str, rule: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Option<T>> {
        match self.value(name) {
            None => Ok(None),
            Some(value) => read(&value).map(Some).ok_or_else(|| self.fault(name, &value, rule)),
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

    /// A count of steps: an integer that is not negative, and below 2^63 so that two can be added.
    pub fn optional_steps(&mut self, name: &str) -> Result<Option<u64>> {
        self.optional(name, "must be a count of steps, from 0 to 2^63 - 1", as_steps)
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

    /// `steps`, the argument `name`, as what the step is compared with as an f64.
    pub fn told_apart(&self, name: &str, steps: u64) -> Result<f64> {
        if steps > MAX_EXACT {
            return Err(self.error(
                name,
                steps,
                "must be at most 2^53, up to which an f64 tells every step from the next",
            ));
        }
        Ok(steps as f64)
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

    /// What the word stands for that `name` is, or `default`; any other word is refused.
    pub fn word_or<T: Clone>(&mut self, name: &str, default: T, words: &[(&str, T)]) -> Result<T> {
        Ok(self.optional_word(name, words)?.unwrap_or(default))
    }

    /// What the word stands for that `name` is, if it is given.
    pub fn optional_word<T: Clone>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        match found {
            Some((_, meaning)) => Ok(Some(meaning.clone())),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(self.error(name, &value, unknown_word(value.as_str().unwrap_or_default(), &known)))
            }
        }
    }

    /// What the word stands for that `name` is, which must be given.
    pub fn word<T: Clone>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T> {
        let value = self.optional_word(name, words)?;
        self.required(name, value)
    }

    /// Numbers in a list.
    pub fn optional_numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>> {
        self.optional(name, "must be a list of numbers", |value| value.as_array()?.iter().map(Value::as_f64).collect())
    }

    /// Counts of steps in a list, which must be given.
    pub fn steps_list(&mut self, name: &str) -> Result<Vec<u64>> {
        let rule = "must be a list of counts of steps, from 0 to 2^63 - 1";
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
                return Err(self.fault(name, format!("{} values", list.len()), rule));
            }
            one => read(one).map(|one| vec![one; groups]),
        };
        values.map(Some).ok_or_else(|| self.fault(name, &value, rule))
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

    /// Takes the class of this call, a text that must be given, and what it stands under: one of [`CLASS_NAMES`]. Of a dotted
    /// class the last name counts.
    pub fn class(&mut self) -> Result<(&'static str, String)> {
        let name = CLASS_NAMES.into_iter().find(|name| self.has(name)).unwrap_or(CLASS_NAMES[0]);
        let class = self.text(name)?;
        self.left.retain(|name, _| !HYDRA_NAMES.contains(&&**name));
        Ok((name, last_name(&class).to_owned()))
    }

    /// The arguments of a call whose class is taken: those under one of [`ARGUMENT_NAMES`], or else those beside it.
    pub fn of_class(mut self) -> Result<Arguments> {
        let Some(name) = ARGUMENT_NAMES.into_iter().find(|name| self.names(name)) else { return Ok(self) };
        let value = self.value(name).unwrap_or_else(|| Value::Object(Map::new()));
        let inner = Arguments::new(&format!("{}.{name}", self.path), &value)?;
        self.finish()?;
        Ok(inner)
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
    as_int(value).and_then(|x| u64::try_from(x).ok())
}
