//! Named constants: which there are, and their present values. A changed value is lowered anew; the structure stays, so
//! only constants differ.

use std::collections::BTreeMap;

use crate::error::{Error, Result, number, quoted};

/// The value of a knob.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Knob {
    Real(f64),
    Count(u64),
}

/// Names and values.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Knobs(BTreeMap<String, Declared>);

/// A knob with the value that schedules give it and the one in force.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Declared {
    default: Knob,
    value: Knob,
}

impl Knobs {
    /// The value of the knob `name`, declared here with `default`. Two declarations must agree.
    pub fn declare(&mut self, name: &str, default: Knob) -> Result<Knob> {
        let known = self.0.entry(name.to_owned()).or_insert(Declared { default, value: default });
        if known.default != default {
            let rule = format!("must be {}, as elsewhere", known.default);
            return Err(Error::argument(format!("knob {}", quoted(name)), default, rule));
        }
        Ok(known.value)
    }

    /// The value in force of the knob `name`. If there is none, the error lists those that there are.
    pub fn get(&self, name: &str) -> Result<Knob> {
        match self.0.get(name) {
            Some(known) => Ok(known.value),
            None => {
                let names: Vec<String> = self.0.keys().map(|name| quoted(name)).collect();
                let rule = match names.is_empty() {
                    true => "no schedule has a knob".to_owned(),
                    false => format!("the knobs are {}", names.join(", ")),
                };
                Err(Error::argument(format!("knob {}", quoted(name)), "not there", rule))
            }
        }
    }

    /// Gives the knob `name` another value, of the kind that it was declared with.
    pub fn set(&mut self, name: &str, value: Knob) -> Result<()> {
        let rule = match (self.get(name)?, value) {
            (Knob::Real(_), Knob::Real(_)) | (Knob::Count(_), Knob::Count(_)) => None,
            (Knob::Real(_), Knob::Count(_)) => Some("it is a number: use `set`"),
            (Knob::Count(_), Knob::Real(_)) => Some("it is a count of steps: use `set_steps`"),
        };
        if let Some(rule) = rule {
            return Err(Error::argument(format!("knob {}", quoted(name)), value, rule));
        }
        if let Some(known) = self.0.get_mut(name) {
            known.value = value;
        }
        Ok(())
    }

    /// Names and the values that schedules give.
    pub fn defaults(&self) -> impl Iterator<Item = (&str, Knob)> {
        self.0.iter().map(|(name, declared)| (name.as_str(), declared.default))
    }

    /// Names and values in force.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Knob)> {
        self.0.iter().map(|(name, declared)| (name.as_str(), declared.value))
    }
}

impl std::fmt::Display for Knob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Knob::Real(value) => f.write_str(&number(*value)),
            Knob::Count(steps) => write!(f, "{steps} steps"),
        }
    }
}
