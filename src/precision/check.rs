//! What a precision may ask of the states of a rule.

use super::{Form, Half, Precision, StateForm};
use crate::error::{Error, Result};

/// What is to be known of a state.
#[derive(Debug, Clone, Copy)]
pub(crate) struct State<'a> {
    pub name: &'a str,
    /// Never quantized.
    pub exact: bool,
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
        self.named.get(name).copied().unwrap_or(self.states)
    }

    /// Checks what is asked of the states of the rule `rule`. Errors begin with `precision.`.
    pub(crate) fn check<'a>(
        &self,
        rule: &str,
        states: impl Iterator<Item = State<'a>> + Clone,
        scaled: Scaled,
    ) -> Result<()> {
        if let Some((name, form)) = self.named.iter().find(|(name, _)| states.clone().all(|state| state.name != **name))
        {
            let names: Vec<&str> = states.map(|state| state.name).collect();
            let rule = match names.is_empty() {
                true => format!("the rule {rule} keeps no states"),
                false => format!("the rule {rule} keeps {}", names.join(", ")),
            };
            return Err(Error::argument(format!("precision.state.{name}"), form, rule));
        }
        for State { name, exact } in states {
            let asked = self.of_state(name);
            // As it was written: of this state, or of all.
            let argument = match self.named.contains_key(name) {
                true => format!("precision.state.{name}"),
                false => "precision.states".to_owned(),
            };
            if asked == StateForm::EightBit && exact {
                let rule = format!(
                    "{name} of the rule {rule} is exact: values that differ much would spoil each other in a block; ask for \"f32\" or \"bf16\" for it"
                );
                return Err(Error::argument(argument, asked, rule));
            }
            if matches!(asked.form(false), Form::Half(Half::F16, _)) && scaled == Scaled::No {
                let rule = "f16 holds nothing below 6e-8, which gradients that need no loss scale have: set loss_scale, or ask for \"bf16\"";
                return Err(Error::argument(argument, asked, rule));
            }
        }
        Ok(())
    }
}
