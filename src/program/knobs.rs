//! Named constants: which there are, and their present values. A changed value is lowered anew; the structure stays, so
//! only constants differ.

use std::collections::BTreeMap;

use crate::error::{Error, Result};

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
            let rule = format!("elsewhere it is {}", known.default);
            return Err(Error::argument(format!("knob {name:?}"), default, rule));
        }
        Ok(known.value)
    }

    /// Gives the knob `name` another value, of the kind that it was declared with.
    pub fn set(&mut self, name: &str, value: Knob) -> Result<()> {
        let argument = || format!("knob {name:?}");
        let Some(known) = self.0.get_mut(name) else {
            let names: Vec<&String> = self.0.keys().collect();
            return Err(Error::argument(argument(), "not there", format!("the knobs are {names:?}")));
        };
        if std::mem::discriminant(&known.value) != std::mem::discriminant(&value) {
            return Err(Error::argument(argument(), value, format!("its kind is that of {}", known.value)));
        }
        known.value = value;
        Ok(())
    }

    /// Names and present values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Knob)> {
        self.0.iter().map(|(name, declared)| (name.as_str(), declared.value))
    }
}

impl std::fmt::Display for Knob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Knob::Real(value) => write!(f, "{value}"),
            Knob::Count(steps) => write!(f, "{steps} steps"),
        }
    }
}
