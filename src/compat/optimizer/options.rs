//! The options of one parameter group: its own before those of the class, and what a scheduler moves before both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{Arguments, Recipe};
use crate::config::RuleConfig;
use crate::error::{Error, Result};
use crate::gradient::Clip;
use crate::precision::StateForm;
use crate::schedule::{Form, Schedule};

/// What computes the same in another way.
const OTHER_WAYS: [&str; 3] = ["foreach", "fused", "capturable"];

pub(super) struct Options<'a> {
    own: Arguments,
    class: Arguments,
    lr: (&'static str, Option<f64>),
    recipe: Option<&'a Recipe>,
    /// How many dimensions the group's parameters have, if that is said: 1, or 2 and more.
    pub ndim: Option<i64>,
    /// The clipping that the class does itself.
    pub clip: Option<Clip>,
    /// What all groups must be alike in, by the peer's names.
    pub alike: &'static [&'static str],
    /// Numbers and flags that were read, defaults among them; null for one that has none.
    pub read: BTreeMap<String, Value>,
}

impl<'a> Options<'a> {
    pub fn new(own: Arguments, class: Arguments, lr: (&'static str, Option<f64>), recipe: Option<&'a Recipe>) -> Self {
        Options { own, class, lr, recipe, ndim: None, clip: None, alike: &[], read: BTreeMap::new() }
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

    /// What is given as `name`, taken out.
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
        let number = self.optional_number(name)?.unwrap_or(default);
        self.note(name, number);
        Ok(number)
    }

    pub fn optional_number(&mut self, name: &str) -> Result<Option<f64>> {
        let of_class = self.class.optional_f64(name)?;
        let number = self.own.optional_f64(name)?.or(of_class);
        self.note(name, number);
        Ok(number)
    }

    /// A number, or `default` where it is left out; None where it is null.
    pub fn nullable(&mut self, name: &str, default: f64) -> Result<Option<f64>> {
        let is_null = self.names_null(name);
        let number = self.number(name, default)?;
        Ok((!is_null).then_some(number))
    }

    /// Whether `name` is given, and null.
    pub fn names_null(&self, name: &str) -> bool {
        let says = if self.own.names(name) { &self.own } else { &self.class };
        says.names(name) && !says.has(name)
    }

    /// A text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        let of_class = self.class.optional_text(name)?;
        Ok(self.own.optional_text(name)?.or(of_class))
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
        let word = |value: Option<&Value>| matches!(value.and_then(Value::as_str), Some("inf" | "Infinity"));
        let infinite = word(self.peek(name));
        if word(self.class.peek(name)) {
            // A number of the group's goes before it.
            self.class.value(name);
        }
        if infinite {
            self.value(name);
        }
        infinite
    }

    fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.read.insert(name.into(), value.into());
    }

    /// Refuses a number or null of the group's that is another than the class's, which alone counts; `default` is the class's.
    pub fn only_of_class(&mut self, name: &str, default: f64, rule: &str) -> Result<()> {
        let said = |by: &Arguments| by.names(name).then(|| by.peek(name).cloned());
        let number = |value: &Option<Value>| value.as_ref().map(Value::as_f64);
        let of_class = said(&self.class).unwrap_or(Some(default.into()));
        if let Some(own) = said(&self.own).filter(|own| number(own) != number(&of_class)) {
            return Err(self.own.error(name, own.unwrap_or_default(), rule));
        }
        self.own.value(name);
        Ok(())
    }

    /// Takes what changes nothing.
    pub fn ignore(&mut self, name: &str) {
        self.value(name);
    }

    /// True or false, or `default`.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        let of_class = self.class.bool_or(name, default)?;
        let flag = self.own.bool_or(name, of_class)?;
        self.note(name, flag);
        Ok(flag)
    }

    /// Two numbers, or `default`.
    pub fn pair(&mut self, name: &str, default: [f64; 2]) -> Result<[f64; 2]> {
        self.numbers(name, default, "must be two numbers")
    }

    /// Three numbers, or `default`.
    pub fn triple(&mut self, name: &str, default: [f64; 3]) -> Result<[f64; 3]> {
        self.numbers(name, default, "must be three numbers")
    }

    fn numbers<const N: usize>(&mut self, name: &str, default: [f64; N], rule: &str) -> Result<[f64; N]> {
        let place = self.error(name, self.peek(name).unwrap_or(&Value::Null), rule);
        let of_class = self.class.optional_numbers(name)?;
        let values = match self.own.optional_numbers(name)?.or(of_class) {
            None => default,
            Some(values) => <[f64; N]>::try_from(values).map_err(|_| place)?,
        };
        self.note(name, values.to_vec());
        Ok(values)
    }

    /// `rule` with those of these options that are true and that it has by the same names.
    pub fn passed(&mut self, rule: RuleConfig, names: &[&str]) -> Result<RuleConfig> {
        names
            .iter()
            .try_fold(rule, |rule, name| Ok(if self.flag(name, false)? { rule.with(*name, true) } else { rule }))
    }

    /// `rule` with the caution `option`, if the peer's flag `name` says so.
    pub fn caution(&mut self, rule: RuleConfig, name: &str, option: &str) -> Result<RuleConfig> {
        Ok(if self.flag(name, false)? { rule.with("caution", option) } else { rule })
    }

    /// `rule`, ADOPT, with the clipping that the function `name` gives: the peers' default, a power of 0.25 of what `counted` says
    /// if it is not ours, or none where it is null.
    pub fn power(&mut self, name: &str, rule: RuleConfig, counted: Option<&str>) -> Result<RuleConfig> {
        const POWERS: [&str; 5] =
            ["math.pow(step, 0.25)", "step**0.25", "x**0.25", "count**0.25", "count**0.25, count from 0"];
        if self.names_null(name) {
            self.value(name);
            return Ok(rule.with("clip", "off"));
        }
        match self.text(name)? {
            Some(other) if !POWERS.contains(&&*other) => {
                let rule = "a function other than the default, a power of 0.25, is not there yet";
                Err(self.error(name, other, rule))
            }
            _ => Ok(match counted {
                Some(counted) => rule.with("clip", counted),
                None => rule,
            }),
        }
    }

    /// The learning rate that the optimizer itself was made with, before it is read.
    pub fn made_with(&self) -> Option<f64> {
        let (name, default) = self.lr;
        self.class.peek(name).and_then(Value::as_f64).or(default)
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
        self.note(name, own);
        match (self.recipe, own) {
            (Some(recipe), _) => Ok(recipe.lr.clone()),
            (None, Some(lr)) => Ok(lr.into()),
            (None, None) => Err(self.class.missing(name)),
        }
    }

    /// Whether a scheduler makes the learning rate another at some step or after some metric.
    pub fn rate_moves(&self) -> bool {
        let moves = |recipe: &Recipe| recipe.metric.is_some() || !matches!(recipe.lr.0, Form::Constant(_));
        self.recipe.is_some_and(moves)
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

    /// Whether the scheduler moves the weight decay.
    pub fn is_decay_scheduled(&self) -> bool {
        self.recipe.is_some_and(|recipe| recipe.weight_decay.is_some())
    }

    /// The weight decay, or `default`.
    pub fn weight_decay(&mut self, default: f64) -> Result<Schedule> {
        let own = self.number("weight_decay", default)?;
        Ok(self.recipe.and_then(|recipe| recipe.weight_decay.clone()).unwrap_or(own.into()))
    }

    /// The learning rate, and the weight decay, or `default`; where `corrected_weight_decay` is true and the decay is decoupled, it is
    /// multiplied by the rate over the one that the class was given.
    pub fn lr_and_corrected_decay(&mut self, default: f64, decoupled: bool) -> Result<(Schedule, Schedule)> {
        let made_with = self.made_with();
        let largest = self.optional_number("max_lr_snapshot")?.or(made_with);
        let (lr, decay) = (self.lr()?, self.weight_decay(default)?);
        if !self.flag("corrected_weight_decay", false)? || !decoupled || decay == Schedule::constant(0.0) {
            return Ok((lr, decay));
        }
        let refused = |rule: &str| Err(self.error("corrected_weight_decay", true, rule));
        match largest {
            _ if self.recipe.is_some_and(|recipe| recipe.metric.is_some()) => {
                refused("a weight decay that follows a rate that follows a metric is not there yet")
            }
            Some(largest) if largest > 0.0 => Ok((lr.clone(), decay * lr / largest)),
            _ => refused("the decay is divided by the rate that the class was given, which must be above 0"),
        }
    }

    /// The second beta, which is `own` unless the scheduler puts another in its place.
    pub fn beta2(&self, own: f64) -> Schedule {
        self.recipe.and_then(|recipe| recipe.beta2.clone()).unwrap_or(own.into())
    }

    /// The first beta, which is `own` unless the scheduler moves it.
    pub fn beta1(&self, own: f64) -> Schedule {
        self.recipe.and_then(|recipe| recipe.beta1.clone()).unwrap_or(own.into())
    }
}
