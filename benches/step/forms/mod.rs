//! AdamW with its parameters, gradients and states kept in every form: the rows `AdamW in FORM`. [`bars`](crate::bars) names the
//! forms and what they have to reach, [`ALL`] says what each asks of the library.

mod answers;
mod model;
mod rows;

use instep::{ParamForm, Precision, StateForm};

use crate::bars::{FORMS, KEPT};
use crate::noise::Type;
use crate::way::Mode;

pub use answers::check;
pub use rows::{of_gpt2, of_llama};

/// One form.
#[derive(Clone, Copy)]
pub struct Form {
    pub name: &'static str,
    /// Bytes that a step moves per parameter, and that lie in memory.
    pub moved: f64,
    pub held: f64,
    /// Of parameters and gradients.
    element: Type,
    param: ParamForm,
    states: StateForm,
}

const fn form(place: usize, held: f64, element: Type, param: ParamForm, states: StateForm) -> Form {
    let (name, moved) = FORMS[place];
    Form { name, moved, held, element, param, states }
}

/// In the order of [`FORMS`].
pub const ALL: [Form; FORMS.len()] = [
    form(0, 16.0, Type::F32, ParamForm::Master, StateForm::F32),
    form(1, 16.0, Type::Bf16, ParamForm::Master, StateForm::F32),
    form(2, 14.0, Type::Bf16, ParamForm::Remainder, StateForm::F32),
    form(3, 12.0, Type::F32, ParamForm::Master, StateForm::Bf16),
    form(4, 12.0, Type::Bf16, ParamForm::Master, StateForm::Bf16),
    form(5, 8.0, Type::Bf16, ParamForm::Nearest, StateForm::Bf16Nearest),
    form(6, 8.0, Type::Bf16, ParamForm::Stochastic, StateForm::Bf16),
    form(7, 6.03125, Type::Bf16, ParamForm::Stochastic, StateForm::EightBit),
    form(8, 10.03125, Type::Bf16, ParamForm::Master, StateForm::EightBit),
];

impl Form {
    fn precision(&self) -> Precision {
        Precision::new().param(self.param).states(self.states)
    }

    /// The name of a row.
    pub fn row(&self, mode: Mode) -> String {
        format!("{KEPT}{}, {}", self.name, mode.name())
    }

    /// Replays of one-step graphs; all bf16 eagerly too, as PyTorch is asked.
    pub fn modes(&self) -> &'static [Mode] {
        let all_bf16 = matches!(self.states, StateForm::Bf16Nearest | StateForm::Bf16);
        if all_bf16 { &[Mode::Replay, Mode::Eager] } else { &[Mode::Replay] }
    }
}
