//! Part of a file: what is read is noted as taken, and what nobody reads as left.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::super::Arguments;
use super::facts::is_auto;
use super::interpolation;
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
    asked: BTreeSet<String>,
    notes: &'n Notes,
}

/// How an infinite number is written as a word.
pub(super) const INFINITE: [&str; 2] = ["inf", "Infinity"];

/// What a field of a file is left for.
pub(super) type Left = (&'static [&'static str], &'static str);

impl<'n> Section<'n> {
    pub fn of(fields: Map<String, Value>, notes: &'n Notes) -> Section<'n> {
        Section::at("", fields, notes)
    }

    /// The fields that stand at `path`.
    pub fn at(path: &str, fields: Map<String, Value>, notes: &'n Notes) -> Section<'n> {
        Section { path: path.into(), left: fields, asked: BTreeSet::new(), notes }
    }

    pub fn notes(&self) -> &'n Notes {
        self.notes
    }

    /// What is left, as it is.
    pub fn unread(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.left.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Gives each field another name.
    pub fn rename_all(&mut self, name: impl Fn(&str) -> String) {
        self.left = std::mem::take(&mut self.left).into_iter().map(|(field, value)| (name(&field), value)).collect();
    }

    /// Where `name` stands in the file.
    pub fn place(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    pub fn error(&self, name: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
        Error::argument(self.place(name), value, rule)
    }

    /// The error that `name` is missing, by `rule`; what stands there under a name that is nearly it is said.
    pub fn missing(&self, name: &str, rule: &str) -> Error {
        match self.unread().find(|(given, _)| is_slip(given, name)) {
            Some((near, _)) => self.error(name, "missing", format!("{rule}; {near}, which is given, is not its name")),
            None => self.error(name, "missing", rule),
        }
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
        self.asked.insert(name.to_owned());
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

    /// Puts `value` in place of an `"auto"` of the field `name`.
    pub fn fill(&mut self, name: &str, value: impl Into<Value>) {
        if let Some(auto) = self.left.get_mut(name).filter(|value| is_auto(value)) {
            *auto = value.into();
        }
    }

    /// Writes `value` in place of what `name` is.
    pub fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.left.insert(name.to_owned(), value.into());
    }

    /// Reads what stands under `short` as `name`, where that is another name for it.
    pub fn rename(&mut self, short: &str, name: &str) {
        if let Some(value) = self.take(short) {
            self.put(name, value);
        }
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

    /// Whether `name` is infinite, which a file of JSON or our text of another can only say as a word; it is taken then.
    pub fn infinite(&mut self, name: &str) -> Result<bool> {
        let infinite = self.peek(name).and_then(Value::as_str).is_some_and(|word| INFINITE.contains(&word));
        if infinite {
            self.value(name)?;
        }
        Ok(infinite)
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

    /// What the word stands for that `name` is; any other is refused.
    pub fn word<T: Clone>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>> {
        self.read(name, |read, name| read.optional_word(name, words))
    }

    /// The fields of the object `name`, of which each is noted when it is read; None if it is missing or null.
    pub fn section(&mut self, name: &str) -> Result<Option<Section<'n>>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Object(left)) => {
                Ok(Some(Section { path: self.place(name), left, asked: BTreeSet::new(), notes: self.notes }))
            }
            Some(other) => Err(self.error(name, other, "must be an object of fields by name")),
        }
    }

    /// All that is left, at the same place.
    pub fn all(&mut self) -> Section<'n> {
        let left = std::mem::take(&mut self.left);
        Section { path: self.path.clone(), left, asked: BTreeSet::new(), notes: self.notes }
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
            Value::Object(left) => {
                Ok(Section { path: self.place(&name), left, asked: BTreeSet::new(), notes: self.notes })
            }
            other => Err(self.error(&name, other, "must be an object of fields by name")),
        };
        list.into_iter().map(section).collect()
    }

    /// All that is left, taken and noted, as the arguments of a call.
    pub fn rest(&mut self) -> Result<Value> {
        self.fields().map(Value::Object)
    }

    /// [`Section::rest`] by name.
    pub fn fields(&mut self) -> Result<Map<String, Value>> {
        let names: Vec<String> = self.left.keys().cloned().collect();
        let mut rest = Map::new();
        for name in names {
            if let Some(value) = self.value(&name)? {
                rest.insert(name, value);
            }
        }
        Ok(rest)
    }

    /// Leaves all that nobody has read, in one note.
    pub fn leave_rest(self, why: &str) {
        if !self.left.is_empty() {
            let names: Vec<&str> = self.left.keys().map(String::as_str).collect();
            self.notes.left(format!("{} of {}: {why}", names.join(", "), self.path));
        }
    }

    /// Leaves these fields, which concern something else.
    pub fn leave(&mut self, stated: &[Left]) {
        for (names, why) in stated {
            for name in *names {
                // It is not asked for: what is nearly its name may be anything.
                if self.left.remove(*name).is_some_and(|value| !value.is_null()) {
                    self.notes.left(format!("{}: {why}", self.place(name)));
                }
            }
        }
    }

    /// Refuses what nobody has read, where a file is of one purpose.
    pub fn refuse_rest(&self) -> Result<()> {
        match self.left.iter().next() {
            None => Ok(()),
            Some((name, value)) => Err(self.error(
                name,
                value,
                format!(
                    "is not a field; there are {}",
                    Vec::from_iter(self.asked.iter().map(String::as_str)).join(", ")
                ),
            )),
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
            let why = match sounds_of_training(name) {
                true => "not known, though it sounds like an optimizer's or a schedule's: see whether it changes them",
                false => "not of an optimizer, a scheduler or what acts on gradients",
            };
            self.notes.left(format!("{}: {why}", self.place(name)));
        }
        Ok(())
    }
}

/// Whether a part of `name` is a word of what this crate does.
fn sounds_of_training(name: &str) -> bool {
    const WORDS: [&str; 22] = [
        "lr",
        "learning",
        "rate",
        "grad",
        "grads",
        "gradient",
        "gradients",
        "clip",
        "clipping",
        "decay",
        "wd",
        "momentum",
        "beta",
        "betas",
        "eps",
        "epsilon",
        "optim",
        "optimizer",
        "scheduler",
        "warmup",
        "accumulate",
        "accumulation",
    ];
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    words.any(|word| WORDS.contains(&word.to_lowercase().as_str()))
}

/// Whether `name` is `known` but for a letter or two.
pub(super) fn is_slip(name: &str, known: &str) -> bool {
    let far: usize = match known.len() {
        // Every short flag is a letter away from another.
        0..3 => 0,
        3..8 => 1,
        _ => 2,
    };
    name.len().abs_diff(known.len()) <= 4 * far && strsim::damerau_levenshtein(name, known) <= far
}

/// Refuses what is left to be filled in, wherever it stands in `value`.
fn filled_in(place: &str, value: &Value) -> Result<()> {
    match value {
        value if is_auto(value) => {
            let name = place.rsplit('.').next().unwrap_or(place);
            let rule = format!("is for whoever starts the run to fill in: give it as Facts::value({name:?}, …)");
            Err(Error::argument(place, "auto", rule))
        }
        Value::String(text) if interpolation::is_open(text) => {
            Err(Error::argument(place, text, "is not known: what it refers to is not in the file"))
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
