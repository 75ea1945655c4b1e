//! What a precision may ask of the states of rules.

use super::{Form, Half, Precision, StateForm};
use crate::error::{Error, Result};

/// What is to be known of a state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State<'a> {
    pub name: &'a str,
    /// Never quantized.
    pub exact: bool,
    /// It divides.
    pub denominator: bool,
}

/// Whether gradients come scaled, by a loss scale of ours or of the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scaled {
    Yes,
    No,
}

impl Precision {
    /// How a state is to be stored.
    pub(crate) fn of_state(&self, name: &str) -> StateForm {
        self.named.get(name).copied().or(self.states).unwrap_or_default()
    }

    /// Checks that each state that is named is one of these. `whose`: the rules that keep them, in errors.
    pub(crate) fn check_names(&self, whose: &str, states: &[&str]) -> Result<()> {
        let Some((name, form)) = self.named.iter().find(|(name, _)| !states.contains(&name.as_str())) else {
            return Ok(());
        };
        let rule = match states.is_empty() {
            true => format!("is not a state of {whose}, which keeps none"),
            false => format!("is not a state of {whose}, which keeps {}", states.join(", ")),
        };
        Err(Error::argument(format!("precision.state.{name}"), form, rule))
    }

    /// Checks what is asked of the states of the rule `rule`. Errors begin with `precision.`.
    pub(crate) fn check_states<'a>(
        &self,
        rule: &str,
        states: impl Iterator<Item = State<'a>>,
        scaled: Scaled,
    ) -> Result<()> {
        for State { name, exact, denominator } in states {
            let asked = self.of_state(name);
            // As it was written: of this state, or of all.
            let argument = match self.named.contains_key(name) {
                true => format!("precision.state.{name}"),
                false => "precision.states".to_owned(),
            };
            let half = matches!(asked.form(), Form::Half(Half::F16, _));
            let why = match asked {
                StateForm::EightBit if exact => format!(
                    "must be \"f32\" or \"bf16\" for {name} of the rule {rule}, which is exact: values that differ much would spoil each other in a block"
                ),
                _ if half && denominator => format!(
                    "must be \"bf16\" or \"8bit\" for {name} of the rule {rule}, which divides: f16 holds no squares of gradients, nothing below 6e-8"
                ),
                _ if half && scaled == Scaled::No => {
                    "must be \"bf16\" without loss_scale: f16 holds nothing below 6e-8, which gradients that need no loss scale have".to_owned()
                }
                _ => continue,
            };
            return Err(Error::argument(argument, asked, why));
        }
        Ok(())
    }
}
