//! Part of a file: what is read is noted as taken, and what nobody reads as left.

use std::cell::RefCell;

use serde_json::{Map, Value};

use super::super::Arguments;
use super::facts::is_auto;
use crate::error::{Error, Result};

/// What was taken from a file, and what was left.
#[derive(Debug, Default)]
pub(super) struct Notes {
    took: RefCell<Vec<String>>,
    left: RefCell<Vec<String>>,
}

impl Notes {
    pub fn said(self) -> (Vec<String>, Vec<String>) {
        (self.took.into_inner(), self.left.into_inner())
    }

    pub fn took(&self, what: impl Into<String>) {
        self.took.borrow_mut().push(what.into());
    }

    pub fn left(&self, what: impl Into<String>) {
        self.left.borrow_mut().push(what.into());
    }
}

/// The fields of an object in a file. Reading one takes it out.
#[derive(Debug)]
pub(super) struct Section<'n> {
    path: String,
    left: Map<String, Value>,
    /// The names that were asked for, given or not.
    asked: Vec<String>,
    notes: &'n Notes,
}

/// What a field of a file is left for.
pub(super) type Left = (&'static [&'static str], &'static str);

impl<'n> Section<'n> {
    pub fn of(fields: Map<String, Value>, notes: &'n Notes) -> Section<'n> {
        Section { path: String::new(), left: fields, asked: Vec::new(), notes }
    }

    pub fn notes(&self) -> &'n Notes {
        self.notes
    }

    /// Where `name` stands in the file.
    pub fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn error(&self, name: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
        Error::argument(self.place(name), value, rule)
    }

    /// Whether `name` is given and not null.
    pub fn has(&self, name: &str) -> bool {
        self.peek(name).is_some()
    }

    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.left.get(name).filter(|value| !value.is_null())
    }

    /// Takes `name` as it is; None if it is missing or null. It is not noted.
    fn take(&mut self, name: &str) -> Option<Value> {
        if !self.asked.iter().any(|asked| asked == name) {
            self.asked.push(name.to_owned());
        }
        self.left.remove(name).filter(|value| !value.is_null())
    }

    /// Takes `name` as it is and notes it; None if it is missing or null.
    ///
    /// # Errors
    /// If it, or something in it, is left to be filled in and no fact says it.
    pub fn value(&mut self, name: &str) -> Result<Option<Value>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let place = self.place(name);
        filled_in(&place, &value)?;
        self.notes.took(format!("{place} = {value}"));
        Ok(Some(value))
    }

    /// Takes `name` if it is `"auto"`, for which the file's library has its own rule.
    pub fn take_auto(&mut self, name: &str) -> bool {
        let auto = self.left.get(name).is_some_and(is_auto);
        if auto {
            self.take(name);
        }
        auto
    }

    fn read<T>(&mut self, name: &str, read: impl Fn(&mut Arguments, &str) -> Result<Option<T>>) -> Result<Option<T>> {
        let Some(value) = self.value(name)? else { return Ok(None) };
        let fields = Map::from_iter([(name.to_owned(), value)]);
        read(&mut Arguments::new(&self.path, &Value::Object(fields))?, name)
    }

    /// A finite number.
    pub fn number(&mut self, name: &str) -> Result<Option<f64>> {
        self.read(name, Arguments::optional_f64)
    }

    /// A count of steps or the like, not negative.
    pub fn count(&mut self, name: &str) -> Result<Option<u64>> {
        self.read(name, Arguments::optional_steps)
    }

    /// An integer.
    pub fn int(&mut self, name: &str) -> Result<Option<i64>> {
        self.read(name, Arguments::optional_int)
    }

    /// True or false.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        self.read(name, |read, name| read.bool_or(name, false).map(Some))
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        self.read(name, Arguments::optional_text)
    }

    /// The fields of the object `name`, of which each is noted when it is read; None if it is missing or null.
    pub fn section(&mut self, name: &str) -> Result<Option<Section<'n>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(left)) => {
                Ok(Some(Section { path: self.place(name), left, asked: Vec::new(), notes: self.notes }))
            }
            Some(other) => Err(self.error(name, other, "must be an object of fields by name")),
        }
    }

    /// [`Section::section`] for each object of the list `name`, or for the one object that stands in place of a list.
    pub fn sections(&mut self, name: &str) -> Result<Vec<Section<'n>>> {
        let list = match self.take(name) {
            None => return Ok(Vec::new()),
            Some(Value::Array(list)) => {
                list.into_iter().enumerate().map(|(i, v)| (format!("{name}[{i}]"), v)).collect()
            }
            Some(one) => vec![(name.to_owned(), one)],
        };
        let section = |(name, value): (String, Value)| match value {
            Value::Object(left) => Ok(Section { path: self.place(&name), left, asked: Vec::new(), notes: self.notes }),
            other => Err(self.error(&name, other, "must be an object of fields by name")),
        };
        list.into_iter().map(section).collect()
    }

    /// All that is left, taken and noted, as the arguments of a call.
    pub fn rest(&mut self) -> Result<Value> {
        let names: Vec<String> = self.left.keys().cloned().collect();
        let mut rest = Map::new();
        for name in names {
            if let Some(value) = self.value(&name)? {
                rest.insert(name, value);
            }
        }
        Ok(Value::Object(rest))
    }

    /// Leaves these fields, which concern something else.
    pub fn leave(&mut self, stated: &[Left]) {
        for (names, why) in stated {
            for name in *names {
                if self.take(name).is_some() {
                    self.notes.left(format!("{}: {why}", self.place(name)));
                }
            }
        }
    }

    /// Leaves what nobody has read, and says so.
    ///
    /// # Errors
    /// A field whose name is nearly one that would have been read: a slip of the pen would go unnoticed.
    pub fn finish(self) -> Result<()> {
        for (name, value) in &self.left {
            let known = self.asked.iter().map(String::as_str);
            if let Some(near) = known.filter(|known| *known != name).find(|known| is_slip(name, known)) {
                return Err(self.error(name, value, format!("is not a field that is known; {near} is")));
            }
            self.notes
                .left(format!("{}: not of an optimizer, a scheduler or what acts on gradients", self.place(name)));
        }
        Ok(())
    }
}

/// Whether `name` is `known` but for a letter or two.
fn is_slip(name: &str, known: &str) -> bool {
    let far = if known.len() < 8 { 1 } else { 2 };
    strsim::damerau_levenshtein(name, known) <= far
}

/// Refuses what is left to be filled in, wherever it stands in `value`.
fn filled_in(place: &str, value: &Value) -> Result<()> {
    match value {
        value if is_auto(value) => {
            let name = place.rsplit('.').next().unwrap_or(place);
            let rule = format!("is for whoever starts the run to fill in: give it as Facts::value({name:?}, …)");
            Err(Error::argument(place, "auto", rule))
        }
        Value::Object(fields) => {
            fields.iter().try_for_each(|(name, value)| filled_in(&format!("{place}.{name}"), value))
        }
        Value::Array(values) => {
            values.iter().enumerate().try_for_each(|(i, value)| filled_in(&format!("{place}[{i}]"), value))
        }
        _ => Ok(()),
    }
}
