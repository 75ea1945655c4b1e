//! The options of one parameter group: its own before those of the class, and what a scheduler moves before both.

use serde_json::Value;

use super::super::{Arguments, Recipe};
use crate::error::{Error, Result};
use crate::precision::StateForm;
use crate::schedule::Schedule;

/// What computes the same in another way.
const OTHER_WAYS: [&str; 3] = ["foreach", "fused", "capturable"];

pub(super) struct Options<'a> {
    own: Arguments,
    class: Arguments,
    lr: (&'static str, Option<f64>),
    recipe: Option<&'a Recipe>,
}

impl<'a> Options<'a> {
    pub fn new(own: Arguments, class: Arguments, lr: (&'static str, Option<f64>), recipe: Option<&'a Recipe>) -> Self {
        Options { own, class, lr, recipe }
    }

    /// Takes what computes the same in another way, and refuses what nobody asked for.
    pub fn finish(mut self) -> Result<()> {
        for name in OTHER_WAYS {
            self.ignore(name);
        }
        self.off("differentiable", "a step that gradients flow through")?;
        self.own.finish()?;
        self.class.finish()
    }

    /// An option, left where it is: what a group says counts, whatever the class says.
    pub fn peek(&self, name: &str) -> Option<&Value> {
        self.own.peek(name).or(self.class.peek(name))
    }

    /// An option as it is; None if it is missing or null.
    pub fn value(&mut self, name: &str) -> Option<Value> {
        let of_class = self.class.value(name);
        self.own.value(name).or(of_class)
    }

    /// An error about `name`, where it stands.
    pub fn error(&self, name: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
        if self.own.has(name) { self.own.error(name, value, rule) } else { self.class.error(name, value, rule) }
    }

    /// A number, or `default`.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64> {
        Ok(self.optional_number(name)?.unwrap_or(default))
    }

    pub fn optional_number(&mut self, name: &str) -> Result<Option<f64>> {
        let of_class = self.class.optional_f64(name)?;
        Ok(self.own.optional_f64(name)?.or(of_class))
    }

    /// A number that must keep `rule`, if it is said.
    pub fn number_where(&mut self, name: &str, holds: impl Fn(f64) -> bool, rule: &str) -> Result<Option<f64>> {
        let place = self.error(name, "", rule);
        match (self.optional_number(name)?, place) {
            (Some(value), Error::Argument { argument, rule, .. }) if !holds(value) => {
                Err(Error::argument(argument, value, rule))
            }
            (value, _) => Ok(value),
        }
    }

    /// Whether it is infinite, which JSON can only say as a word; it is taken then.
    pub fn infinite(&mut self, name: &str) -> bool {
        let infinite = self.peek(name).and_then(Value::as_str).is_some_and(|word| ["inf", "Infinity"].contains(&word));
        infinite && self.value(name).is_some()
    }

    /// Takes what changes nothing.
    pub fn ignore(&mut self, name: &str) {
        self.value(name);
    }

    /// True or false, or `default`.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        let of_class = self.class.bool_or(name, default)?;
        self.own.bool_or(name, of_class)
    }

    /// Two numbers, or `default`.
    pub fn pair(&mut self, name: &str, default: [f64; 2]) -> Result<[f64; 2]> {
        let place = self.error(name, "a list", "must be two numbers");
        let of_class = self.class.optional_numbers(name)?;
        match self.own.optional_numbers(name)?.or(of_class) {
            None => Ok(default),
            Some(values) => <[f64; 2]>::try_from(values).map_err(|_| place),
        }
    }

    /// Refuses `name` unless it is false or null: `what` is not there yet.
    pub fn off(&mut self, name: &str, what: &str) -> Result<()> {
        let error = |value: &Value| self.error(name, value, format!("{what} is not there yet"));
        if let Some(value) = self.peek(name).filter(|value| **value != Value::Bool(false)) {
            return Err(error(value));
        }
        self.value(name);
        Ok(())
    }

    /// A type of a state, if one is said: the peer rounds it to nearest.
    pub fn state_form(&mut self, name: &str) -> Result<Option<StateForm>> {
        let rule = "must be float32, bfloat16 or float16, or null for the parameter's";
        let error = |value: &Value| self.error(name, value, rule);
        let form = match self.peek(name) {
            None => None,
            Some(Value::String(name)) if name == "float32" => Some(StateForm::F32),
            Some(Value::String(name)) if name == "bfloat16" => Some(StateForm::Bf16Nearest),
            Some(Value::String(name)) if name == "float16" => Some(StateForm::F16Nearest),
            Some(value) => return Err(error(value)),
        };
        self.value(name);
        Ok(form)
    }

    /// Refuses `name` unless it is 0 or null: `what` is not there yet.
    pub fn zero(&mut self, name: &str, what: &str) -> Result<()> {
        self.number_where(name, |value| value == 0.0, &format!("{what} is not there yet")).map(|_| ())
    }

    /// The learning rate: what the scheduler makes of it.
    pub fn lr(&mut self) -> Result<Schedule> {
        let (name, default) = self.lr;
        let own = self.optional_number(name)?.or(default);
        match (self.recipe, own) {
            (Some(recipe), _) => Ok(recipe.lr.clone()),
            (None, Some(lr)) => Ok(lr.into()),
            (None, None) => Err(self.class.missing(name)),
        }
    }

    /// Refuses a scheduler, for this reason.
    pub fn no_schedule(&self, rule: &str) -> Result<()> {
        match self.recipe {
            None => Ok(()),
            Some(_) => Err(Error::argument("schedule", "given", rule)),
        }
    }

    /// The momentum, if there is one; torch has none where it is 0.
    pub fn momentum(&mut self, name: &str) -> Result<Option<Schedule>> {
        let own = self.number(name, 0.0)?;
        let moved = self.recipe.and_then(|recipe| recipe.momentum.clone());
        Ok(moved.or((own != 0.0).then(|| own.into())))
    }

    /// The weight decay, or `default`.
    pub fn weight_decay(&mut self, default: f64) -> Result<Schedule> {
        let own = self.number("weight_decay", default)?;
        Ok(self.recipe.and_then(|recipe| recipe.weight_decay.clone()).unwrap_or(own.into()))
    }

    /// The learning rate, and the weight decay, or `default`; where `corrected_weight_decay` is true, the decay is multiplied by the rate
    /// over the one that the class was given.
    pub fn lr_and_corrected_decay(&mut self, default: f64) -> Result<(Schedule, Schedule)> {
        let (name, usual) = self.lr;
        let first = self.class.peek(name).and_then(Value::as_f64).or(usual);
        let (lr, decay) = (self.lr()?, self.weight_decay(default)?);
        if !self.flag("corrected_weight_decay", false)? || decay == Schedule::constant(0.0) {
            return Ok((lr, decay));
        }
        let refused = |rule: &str| Err(self.error("corrected_weight_decay", true, rule));
        match first {
            _ if self.recipe.is_some_and(|recipe| recipe.metric.is_some()) => {
                refused("a weight decay that follows a rate that follows a metric is not there yet")
            }
            Some(first) if first > 0.0 => Ok((lr.clone(), decay * lr / first)),
            _ => refused("the decay is divided by the rate that the class was given, which must be above 0"),
        }
    }

    /// The first beta, which is `own` unless the scheduler moves it.
    pub fn beta1(&self, own: f64) -> Schedule {
        self.recipe.and_then(|recipe| recipe.beta1.clone()).unwrap_or(own.into())
    }
}
