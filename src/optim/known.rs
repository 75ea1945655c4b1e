//! Rules by their names, with options as words: what files say. Start at [`Known`].

use std::collections::BTreeMap;

use super::options::{Direction, Parity};
use crate::error::{Error, Result};
use crate::nearest::{nearest, unknown};
use crate::rule::{Fields, Rule, RuleOption};
use crate::schedule::Schedule;

/// Where all rules stand, with what each takes.
pub(super) const LIST: &str = "docs/rules.md has all";

/// What is said of a rule: its options, and the hyperparameters that are given.
pub(crate) struct Said<'a> {
    pub rule: &'static str,
    pub options: &'a BTreeMap<String, RuleOption>,
    pub hyperparameters: &'a [(&'a str, &'a Schedule)],
}

impl Said<'_> {
    /// An error about option `option`.
    pub fn refused(&self, option: &str, value: impl std::fmt::Display, rule: impl Into<String>) -> Error {
        Error::argument(format!("rule.{}.{option}", self.rule), value, rule)
    }

    /// A hyperparameter that is given.
    pub fn given(&self, name: &str) -> Option<&Schedule> {
        self.hyperparameters.iter().find(|(known, _)| *known == name).map(|(_, schedule)| *schedule)
    }

    /// An option that is there or not; not by default.
    pub fn flag(&self, option: &str) -> Result<bool> {
        Ok(self.optional_flag(option)?.unwrap_or(false))
    }

    /// The same; None where it is not said.
    pub fn optional_flag(&self, option: &str) -> Result<Option<bool>> {
        match self.options.get(option) {
            None => Ok(None),
            Some(RuleOption::Flag(value)) => Ok(Some(*value)),
            Some(other) => Err(self.refused(option, other, "must be true or false")),
        }
    }

    /// An option that is a number; None where it is not said.
    pub fn number(&self, option: &str) -> Result<Option<f64>> {
        match self.options.get(option) {
            None => Ok(None),
            Some(RuleOption::Number(value)) => Ok(Some(*value)),
            Some(other) => Err(self.refused(option, other, "must be a number")),
        }
    }

    /// An option that is one of these words; None where it is not said.
    pub fn word<T: Copy>(&self, option: &str, words: &[(&'static str, T)]) -> Result<Option<T>> {
        let Some(said) = self.options.get(option) else { return Ok(None) };
        if let RuleOption::Word(word) = said
            && let Some((_, value)) = words.iter().find(|(known, _)| known == word)
        {
            return Ok(Some(*value));
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let hint = match said {
            RuleOption::Word(word) => nearest(word, known.iter().copied()),
            RuleOption::Flag(_) | RuleOption::Number(_) => None,
        };
        let hint = hint.map_or_else(String::new, |word| format!("; the nearest is {word}"));
        Err(self.refused(option, said, format!("must be one of {}{hint}", known.join(", "))))
    }

    /// `maximize`, which every rule has.
    pub fn direction(&self) -> Result<Direction> {
        Ok(if self.flag("maximize")? { Direction::Maximize } else { Direction::Minimize })
    }

    /// `parity`, of the rules that have it.
    pub fn parity(&self) -> Result<Parity> {
        Ok(self.word("parity", &Parity::WORDS)?.unwrap_or_default())
    }
}

/// A rule that files name.
pub(crate) trait Known: Rule {
    /// The names of its options.
    const OPTIONS: &'static [&'static str];

    /// The rule with these options; its hyperparameters are set after this.
    fn with_options(said: &Said<'_>) -> Result<Self>;

    /// The schedules of its hyperparameters, in their order.
    fn schedules(&mut self) -> Self::Hyperparameters<&mut Schedule>;
}

/// Does something with a rule, whichever it is.
pub(crate) trait Visit: Copy {
    type Out;
    fn visit<R: Rule>(self, rule: R) -> Result<Self::Out>;
    /// With what it made of a rule and of one that comes after that.
    fn then(self, first: Self::Out, second: Self::Out) -> Result<Self::Out>;
}

/// The rule that is said.
pub(super) fn made<R: Known>(said: &Said<'_>) -> Result<R> {
    if let Some((option, value)) = said.options.iter().find(|(option, _)| !R::OPTIONS.contains(&&***option)) {
        let what = format!("an option of {}", said.rule);
        return Err(said.refused(option, value, unknown(&what, option, R::OPTIONS, LIST)));
    }
    let mut rule = R::with_options(said)?;
    let names: Vec<String> = rule.hyperparameters().as_slice().iter().map(|known| known.name().to_owned()).collect();
    let mut schedules = rule.schedules().into_vec();
    for (name, schedule) in said.hyperparameters {
        let Some(place) = names.iter().position(|known| known == name) else {
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let rule = unknown(&format!("a hyperparameter of {}", said.rule), name, &known, LIST);
            return Err(Error::argument(*name, "set", rule));
        };
        *schedules[place] = (*schedule).clone();
    }
    drop(schedules);
    Ok(rule)
}

/// The options that are not hyperparameters too.
pub(super) fn options_alone<R: Known>(rule: &R) -> Vec<&'static str> {
    let hyperparameters = rule.hyperparameters();
    let is_one = |option: &str| hyperparameters.as_slice().iter().any(|known| known.name() == option);
    R::OPTIONS.iter().copied().filter(|option| !is_one(option)).collect()
}

/// An error about one of `options`, with its place in a file.
pub(super) fn with_its_place(error: Error, rule: &str, options: &[&str]) -> Error {
    let about = |option: &&&str| matches!(&error, Error::Argument { argument, .. } if argument == **option);
    match options.iter().find(about) {
        Some(option) => error.renamed(option, &format!("rule.{rule}.{option}")),
        None => error,
    }
}

/// The rules that files name, and those that come after others.
macro_rules! known {
    ([$($first:ty),* $(,)?], [$($after:ty),* $(,)?]) => {
        /// The names of the rules.
        #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "files name rules"))]
        pub(crate) const NAMES: &[&str] = &[$(<$first as crate::rule::Rule>::NAME),*];
        /// All of them.
        #[cfg_attr(not(feature = "serde"), expect(dead_code, reason = "files name rules"))]
        pub(crate) const ALL_NAMES: &[&str] =
            &[$(<$first as crate::rule::Rule>::NAME,)* $(<$after as crate::rule::Rule>::NAME,)*];

        known::visits!($($first,)* $($after,)*);
    };
}

macro_rules! visits {
    ($($rule:ty,)*) => {

        /// Lets `visit` have the rule `name` with these options and hyperparameters.
        #[cfg(feature = "serde")]
        pub(crate) fn visit_known<V: known::Visit>(
            name: &str,
            options: &std::collections::BTreeMap<String, RuleOption>,
            hyperparameters: &[(&str, &crate::schedule::Schedule)],
            visit: V,
        ) -> crate::Result<V::Out> {
            $(
                let rule = <$rule as crate::rule::Rule>::NAME;
                if rule == name {
                    let made = known::made::<$rule>(&known::Said { rule, options, hyperparameters })?;
                    let options = known::options_alone(&made);
                    return visit.visit(made).map_err(|e| known::with_its_place(e, rule, &options));
                }
            )*
            let rule = crate::nearest::unknown("an update rule", name, ALL_NAMES, known::LIST);
            Err(crate::Error::argument("rule", crate::error::quoted(name), rule))
        }
    };
}

pub(super) use {known, visits};
