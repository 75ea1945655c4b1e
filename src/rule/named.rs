//! What files say of a rule that they name.

use crate::error::{number, quoted};

/// The options of a rule that files name, those that are not the defaults.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Named {
    pub(crate) options: Vec<(&'static str, RuleOption)>,
    /// Hyperparameters that the rule with these options does not use, and that files leave out.
    pub(crate) without: Vec<&'static str>,
}

/// The value of an option of a rule, as files have it.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(untagged))]
pub enum RuleOption {
    /// `true` or `false`.
    Flag(bool),
    /// A number, which is part of the rule and no hyperparameter.
    Number(f64),
    /// One of several.
    Word(String),
}

impl std::fmt::Display for RuleOption {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RuleOption::Flag(value) => write!(f, "{value}"),
            RuleOption::Number(value) => f.write_str(&number(*value)),
            RuleOption::Word(word) => f.write_str(&quoted(word)),
        }
    }
}

impl From<bool> for RuleOption {
    fn from(value: bool) -> RuleOption {
        RuleOption::Flag(value)
    }
}

impl From<f64> for RuleOption {
    fn from(value: f64) -> RuleOption {
        RuleOption::Number(value)
    }
}

impl From<&str> for RuleOption {
    fn from(word: &str) -> RuleOption {
        RuleOption::Word(word.to_owned())
    }
}

#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for RuleOption {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<RuleOption, D::Error> {
        struct Visitor;

        impl serde::de::Visitor<'_> for Visitor {
            type Value = RuleOption;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an option of an update rule: true, false, a number or a word")
            }

            fn visit_bool<E>(self, value: bool) -> Result<RuleOption, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<RuleOption, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<RuleOption, E> {
                Ok((value as f64).into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<RuleOption, E> {
                Ok((value as f64).into())
            }

            fn visit_str<E>(self, word: &str) -> Result<RuleOption, E> {
                Ok(word.into())
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
