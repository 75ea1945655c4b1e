//! What stands in place of DeepSpeed's `"auto"`: the rules of transformers 5.23 (`integrations/deepspeed.py`), which fills each in from
//! its own `TrainingArguments`. Their names count in [`Facts::values`] as those of the fields do.

use serde_json::{Value, json};

use super::super::facts::{Facts, is_auto};
use super::super::section::Section;
use crate::error::{Error, Result};

pub(in super::super) struct Auto<'f> {
    pub facts: &'f Facts,
    /// Whether what is given must be what transformers would fill in, as it demands where both are its own.
    pub must_match: bool,
}

impl Auto<'_> {
    fn known(&self, name: &str) -> Option<&Value> {
        self.facts.values.get(name)
    }

    /// Fills in the field `name` from the argument `of_trainer`; the next read refuses what nobody knows.
    pub fn fill(&self, section: &mut Section, name: &str, of_trainer: &str) -> Result<()> {
        match self.known(of_trainer).cloned() {
            Some(value) => self.put(section, name, value, of_trainer),
            None => self.expect_known(section, name, of_trainer),
        }
    }

    /// Fills in both betas, or neither.
    pub fn fill_betas(&self, params: &mut Section) -> Result<()> {
        match (self.known("adam_beta1"), self.known("adam_beta2")) {
            (Some(beta1), Some(beta2)) => self.put(params, "betas", json!([beta1, beta2]), "adam_beta1 and adam_beta2"),
            _ => self.expect_known(params, "betas", "adam_beta1 and adam_beta2"),
        }
    }

    /// The highest rate is the optimizer's.
    pub fn fill_peak(&self, params: &mut Section, lr: Option<&Value>) -> Result<()> {
        match lr.or(self.known("learning_rate")).cloned() {
            Some(lr) if self.must_match => self.put(params, "warmup_max_lr", lr, "learning_rate"),
            Some(lr) => {
                params.fill("warmup_max_lr", lr);
                Ok(())
            }
            None => self.expect_known(params, "warmup_max_lr", "learning_rate"),
        }
    }

    /// The steps of the run, if they are known.
    pub fn fill_total(&self, params: &mut Section) -> Result<Option<u64>> {
        if params.peek("total_num_steps").is_some_and(is_auto) {
            let steps = self.facts.needed_steps(&params.place("total_num_steps"))?;
            params.fill("total_num_steps", steps);
        }
        let given = params.peek("total_num_steps").and_then(Value::as_u64);
        match (self.facts.steps, given) {
            (Some(steps), Some(given)) if self.must_match && steps != given => Err(params.error(
                "total_num_steps",
                given,
                format!("must be the steps of the run, {steps}, or \"auto\""),
            )),
            (steps, given) => Ok(steps.or(given)),
        }
    }

    /// At least one step, since DeepSpeed refuses none: `warmup_steps`, or a part of all `steps`.
    pub fn fill_warmup(&self, params: &mut Section, steps: Option<u64>) -> Result<()> {
        let [count, ratio] = ["warmup_steps", "warmup_ratio"].map(|name| self.known(name).and_then(Value::as_f64));
        let warmup = match (count.filter(|count| *count > 0.0), ratio) {
            (Some(count), _) if count >= 1.0 => Some(count as u64),
            (Some(part), _) | (None, Some(part)) => {
                let auto = params.peek("warmup_num_steps").is_some_and(is_auto);
                let steps = match steps {
                    None if auto => Some(self.facts.needed_steps(&params.place("warmup_num_steps"))?),
                    steps => steps,
                };
                steps.map(|steps| (steps as f64 * part).ceil() as u64)
            }
            (None, None) => count.map(|_| 0),
        };
        match warmup {
            Some(warmup) => self.put(params, "warmup_num_steps", warmup.max(1).into(), "warmup_steps"),
            None => self.expect_known(params, "warmup_num_steps", "warmup_steps"),
        }
    }

    /// Puts `value` in place of an `"auto"`.
    fn put(&self, section: &mut Section, name: &str, value: Value, of_trainer: &str) -> Result<()> {
        match section.peek(name) {
            Some(given) if self.must_match && !is_auto(given) && !are_equal(given, &value) => {
                let rule = format!("must be {value} as the trainer's {of_trainer}, or \"auto\"");
                Err(section.error(name, given, rule))
            }
            _ => {
                section.fill(name, value);
                Ok(())
            }
        }
    }

    /// Refuses an `"auto"` that nobody has filled in.
    pub fn expect_known(&self, section: &Section, name: &str, of_trainer: &str) -> Result<()> {
        match section.peek(name) {
            Some(value) if is_auto(value) => {
                let rule = if name == of_trainer {
                    format!("is for whoever starts the run to fill in: give it as Facts::value({name:?}, …)")
                } else {
                    format!(
                        "is for whoever starts the run to fill in: give it as Facts::value({name:?}, …), or as the trainer's {of_trainer}"
                    )
                };
                Err(Error::argument(section.place(name), "auto", rule))
            }
            _ => Ok(()),
        }
    }
}

/// Whether they are the same number, or the same list of numbers, whatever they are written as.
fn are_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_equal(a, b)),
        (a, b) => a == b,
    }
}
