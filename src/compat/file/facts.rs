//! What a file does not say: how long the run is, how much a step takes, and what is to be filled in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What whoever starts a run knows, and its configuration does not say. All may be left out; what is missing and needed is an error
/// that names it.
///
/// ```
/// use instep::compat::Facts;
/// let facts = Facts { steps_per_epoch: Some(1_250), ..Facts::default() }.value("warmup_num_steps", 100);
/// # let _ = facts;
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts {
    /// Whose file it is, where its fields do not show it: `deepspeed`, `transformers`, `megatron`, `composer`, `keras`, `torchtitan`,
    /// `lightning`, `mmengine`, `timm` or `instep`.
    pub library: Option<String>,
    /// Updates in the whole run.
    pub steps: Option<u64>,
    /// Updates in an epoch.
    pub steps_per_epoch: Option<u64>,
    /// Samples in an update, over all devices and accumulated calls.
    pub samples_per_step: Option<u64>,
    /// Tokens in an update, over all devices and accumulated calls.
    pub tokens_per_step: Option<u64>,
    /// What stands in place of `"auto"`, by the field's name or its whole path.
    pub values: BTreeMap<String, Value>,
}

impl Facts {
    /// With `value` in place of an `"auto"` of the field `name`: its last name, or its path from the file's root.
    pub fn value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Facts {
        self.values.insert(name.into(), value.into());
        self
    }

    /// `fields` with what is known in place of each `"auto"`.
    pub(super) fn filled_in(&self, fields: Map<String, Value>) -> Map<String, Value> {
        let mut fields = Value::Object(fields);
        self.fill_in(&mut fields, "");
        match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        }
    }

    fn fill_in(&self, value: &mut Value, path: &str) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    if is_auto(value)
                        && let Some(known) = self.values.get(&path).or(self.values.get(name))
                    {
                        *value = known.clone();
                    }
                    self.fill_in(value, &path);
                }
            }
            Value::Array(values) => {
                for (i, value) in values.iter_mut().enumerate() {
                    self.fill_in(value, &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    /// Updates in the whole run, which `for_what` needs.
    pub(super) fn needed_steps(&self, for_what: &str) -> Result<u64> {
        needed("steps", self.steps, for_what)
    }

    /// Updates in an epoch, which `for_what` needs.
    pub(super) fn needed_steps_per_epoch(&self, for_what: &str) -> Result<u64> {
        needed("steps_per_epoch", self.steps_per_epoch, for_what)
    }
}

/// Whether it is for whoever starts the run to fill in.
pub(super) fn is_auto(value: &Value) -> bool {
    value.as_str() == Some("auto")
}

fn needed(name: &str, value: Option<u64>, for_what: &str) -> Result<u64> {
    match value {
        Some(0) => Err(Error::argument(format!("facts.{name}"), 0, "must be at least 1")),
        Some(value) => Ok(value),
        None => Err(Error::argument(format!("facts.{name}"), "missing", format!("must be given for {for_what}"))),
    }
}
