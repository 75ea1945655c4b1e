//! What a file does not say: how long the run is, how much a step takes, and what is to be filled in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::section::{Notes, is_slip};
use crate::error::{Error, Result};

/// What rules of some library ask for by these names, besides each `"auto"`.
const ASKED_FOR: [&str; 23] = [
    "world_size",
    "lr",
    "learning_rate",
    "optimizer.params.lr",
    "optimizer.type",
    // The Trainer's, which fill in DeepSpeed's.
    "adam_beta1",
    "adam_beta2",
    "adam_epsilon",
    "weight_decay",
    "warmup_steps",
    "warmup_ratio",
    "max_grad_norm",
    "gradient_accumulation_steps",
    "per_device_train_batch_size",
    "train_batch_size",
    "fp16",
    "bf16",
    "fp16_full_eval",
    "bf16_full_eval",
    "fp16_opt_level",
    "fp16_backend",
    "max_steps",
    "num_train_epochs",
];

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
    /// What stands in place of `"auto"`, by the field's name or its whole path. Some rules ask for more where a file leaves it open: the
    /// number of processes as `world_size`; the rate of an optimizer that code makes as `lr` or `learning_rate`, and its class as
    /// `optimizer.type`; the arguments of transformers' Trainer, by their names, for a file of DeepSpeed. Any other name is left, and
    /// is an error if it is nearly that of an `"auto"`.
    pub values: BTreeMap<String, Value>,
}

impl Facts {
    /// With `value` in place of an `"auto"` of the field `name`: its last name, or its path from the file's root.
    pub fn value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Facts {
        self.values.insert(name.into(), value.into());
        self
    }

    /// `fields` with what is known in place of each `"auto"`. A value that stands for nothing is left.
    ///
    /// # Errors
    /// A value whose name is nearly that of an `"auto"` that is left open.
    pub(super) fn filled_in(&self, mut fields: Map<String, Value>, notes: &Notes) -> Result<Map<String, Value>> {
        let mut autos = BTreeSet::new();
        for (name, value) in &mut fields {
            self.fill_in(value, name, name, &mut autos);
        }
        let is_read = |name: &str| autos.contains(name) || ASKED_FOR.contains(&name);
        for (name, value) in self.values.iter().filter(|(name, _)| !is_read(name)) {
            let place = format!("facts.values.{name}");
            let mut open = autos.iter().filter(|auto| !self.values.contains_key(*auto));
            if let Some(near) = open.find(|auto| is_slip(name, auto)) {
                let rule = format!("is no name of an \"auto\"; {near} is, and is not given");
                return Err(Error::argument(place, value, rule));
            }
            notes.left(format!("{place} = {value}: no field of that name is \"auto\", and no rule asks for it"));
        }
        Ok(fields)
    }

    /// Fills in `value`, which stands at `path` under `name`; both are noted of each `"auto"`.
    fn fill_in(&self, value: &mut Value, path: &str, name: &str, autos: &mut BTreeSet<String>) {
        match value {
            value if is_auto(value) => {
                if let Some(known) = self.values.get(path).or(self.values.get(name)) {
                    *value = known.clone();
                }
                autos.extend([path.to_owned(), name.to_owned()]);
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    self.fill_in(value, &format!("{path}.{name}"), name, autos);
                }
            }
            Value::Array(values) => {
                for (i, value) in values.iter_mut().enumerate() {
                    self.fill_in(value, &format!("{path}[{i}]"), &format!("{name}[{i}]"), autos);
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

    /// Samples in an update, which `for_what` needs; `said` is what the file says of them.
    pub(super) fn needed_samples_per_step(&self, said: Option<u64>, for_what: &str) -> Result<u64> {
        needed("samples_per_step", self.samples_per_step.or(said), for_what)
    }

    /// Tokens in an update, which `for_what` needs; `said` is what the file says of them.
    pub(super) fn needed_tokens_per_step(&self, said: Option<u64>, for_what: &str) -> Result<u64> {
        needed("tokens_per_step", self.tokens_per_step.or(said), for_what)
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
