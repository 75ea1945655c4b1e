//! In what precision parameters, gradients and states are stored. A rule computes in f32 and knows nothing of this: loading widens,
//! storing rounds. A precision knows nothing of rules.
//!
//! `check` says what may be asked for, `form` is how one stream is stored, `round` and `codes` are the arithmetic (the same as in `kernels/`), `random` the bits that
//! stochastic rounding throws, `store` applies them to slices, `convert` stores anew what was stored in another way. Start at [`Precision`].

mod check;
mod codes;
mod convert;
mod form;
mod random;
mod round;
mod store;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use crate::error::quoted;

pub(crate) use check::{Scaled, State};
pub(crate) use convert::{Beside, BytesMut, convert, fill};
pub(crate) use form::{CODES_BLOCK, Storage, Values};
pub use form::{Form, Half};
pub(crate) use random::{Dice, Throws};
pub(crate) use store::{Constant, Stored, StoredMut};

/// How f32 becomes sixteen bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rounding {
    /// To nearest, ties to even.
    Nearest,
    /// Up or down, so that the mean is the value: by Philox 4x32-10, from the optimizer's seed, the update, the tensor's number, the
    /// stream and the element, so that a run repeats to the bit on every device.
    Stochastic,
}

/// How a parameter of sixteen bits is kept. An f32 parameter is kept as it is, and refused beside [`ParamForm::Remainder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ParamForm {
    /// Beside an f32 master, of the optimizer's or of the engine's ([`Tensor::master`](crate::Tensor::master)): the master is
    /// updated, the parameter is its rounding. 28 bytes a parameter for AdamW with bf16 parameters and gradients.
    #[default]
    Master,
    /// A bf16 parameter beside the 16 bits that are left of an f32 value: the same values as with a master, but for ties, in two bytes
    /// less. The parameter is rounded to nearest with ties away from zero.
    Remainder,
    /// Alone, rounded to nearest: an update smaller than half a unit in the last place is lost, and with a small rate that is most of
    /// them. For comparison with libraries that do so.
    Nearest,
    /// Alone, rounded stochastically.
    Stochastic,
}

/// How a state is stored. Sixteen bits are rounded stochastically unless the name says otherwise: to nearest, a state that moves by less
/// than a part in 256 a step stands still, as second moments do where beta2 is 0.998 or more, and momentum falls short of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum StateForm {
    /// IEEE binary32.
    #[default]
    F32,
    /// bfloat16, rounded stochastically.
    Bf16,
    /// bfloat16, rounded to nearest, as other libraries do.
    Bf16Nearest,
    /// IEEE binary16, rounded stochastically. For what is as large as gradients are, which then need a loss scale, of this crate's or
    /// of the engine's; not for second moments, whose squares it does not hold.
    F16,
    /// IEEE binary16, rounded to nearest.
    F16Nearest,
    /// 8-bit codes in blocks of 256 elements with an f32 scale each, rounded stochastically: 1.016 bytes an element. The error
    /// of an element is less than an eighth of it and of 2e-5 of the largest in its block together (3e-10 for states that are never
    /// negative), but for blocks below 1e-28; on average it is 0. A block with an infinity or a NaN becomes NaN.
    #[cfg_attr(feature = "serde", serde(rename = "8bit"))]
    EightBit,
}

impl StateForm {
    /// The words of configurations.
    pub(crate) const WORDS: [(&'static str, StateForm); 6] = [
        ("f32", StateForm::F32),
        ("bf16", StateForm::Bf16),
        ("bf16_nearest", StateForm::Bf16Nearest),
        ("f16", StateForm::F16),
        ("f16_nearest", StateForm::F16Nearest),
        ("8bit", StateForm::EightBit),
    ];

    /// As files have it.
    fn word(self) -> &'static str {
        StateForm::WORDS.iter().find(|(_, form)| *form == self).map_or("?", |(word, _)| word)
    }

    pub(crate) fn form(self) -> Form {
        match self {
            StateForm::F32 => Form::F32,
            StateForm::Bf16 => Form::Half(Half::Bf16, Rounding::Stochastic),
            StateForm::Bf16Nearest => Form::Half(Half::Bf16, Rounding::Nearest),
            StateForm::F16 => Form::Half(Half::F16, Rounding::Stochastic),
            StateForm::F16Nearest => Form::Half(Half::F16, Rounding::Nearest),
            StateForm::EightBit => Form::EightBit,
        }
    }
}

/// As in configurations.
impl fmt::Display for StateForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.word()))
    }
}

impl ParamForm {
    /// As files have it.
    fn word(self) -> &'static str {
        match self {
            ParamForm::Master => "master",
            ParamForm::Remainder => "remainder",
            ParamForm::Nearest => "nearest",
            ParamForm::Stochastic => "stochastic",
        }
    }
}

/// In what precision the parameters and states of a group are stored; of gradients the engine's buffers say it. What is not said
/// is f32, and a master beside each parameter of sixteen bits.
///
/// ```
/// use instep::{AdamW, Buffer, Device, Optimizer, ParamForm, Precision, StateForm, Stream, Tensor};
/// let (mut param, grad) = (vec![0x3f80u16; 8_192], vec![0x3c00u16; 8_192]); // 1.0 and 0.0078 in bf16
/// let (param_at, grad_at) = (param.as_mut_ptr() as u64, grad.as_ptr() as u64);
/// // SAFETY: both vectors outlive the optimizer, and nothing else touches them while a step runs.
/// let weight = unsafe { Tensor::new(Buffer::bf16(param_at, 8_192), Buffer::bf16(grad_at, 8_192)) };
///
/// let precision = Precision::new().param(ParamForm::Stochastic).states(StateForm::EightBit);
/// let builder = Optimizer::builder(&Device::host()).precision(precision).seed(7);
/// let mut opt = builder.group(AdamW::new(1e-3), &[weight]).build()?;
/// opt.step(&Stream::host())?;
/// let view = opt.tensors().next().unwrap();
/// assert_eq!((view.param_form.to_string(), view.states[1].form.to_string()),
///            ("bf16, rounded stochastically".to_owned(), "8-bit".to_owned()));
/// assert_eq!(view.bytes_per_param, 10.0625);
/// # Ok::<(), instep::Error>(())
/// ```
///
/// In a [`Config`](crate::Config) it is `precision = { param = "stochastic", states = "8bit", state = { exp_avg_sq = "bf16" } }`, of all
/// groups or of one.
/// What a group's own says stands before what is said for all; what neither says is the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default, deny_unknown_fields))]
pub struct Precision {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) param: Option<ParamForm>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) states: Option<StateForm>,
    /// Of single states.
    #[cfg_attr(feature = "serde", serde(rename = "state", skip_serializing_if = "BTreeMap::is_empty"))]
    pub(crate) named: BTreeMap<String, StateForm>,
    /// The fewest elements of a tensor whose states become codes.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "Option::is_none"))]
    pub(crate) quantize_from: Option<u64>,
}

impl Precision {
    /// States in f32, and a master beside each parameter of sixteen bits.
    pub fn new() -> Precision {
        Precision::default()
    }

    /// Sets how parameters of sixteen bits are kept.
    #[must_use]
    pub fn param(mut self, form: ParamForm) -> Precision {
        self.param = Some(form);
        self
    }

    /// Sets how states are stored.
    #[must_use]
    pub fn states(mut self, form: StateForm) -> Precision {
        self.states = Some(form);
        self
    }

    /// Sets how one state is stored, e.g. `exp_avg_sq`.
    #[must_use]
    pub fn state(mut self, name: impl Into<String>, form: StateForm) -> Precision {
        self.named.insert(name.into(), form);
        self
    }

    /// Sets from how many elements on the states of a tensor become 8-bit codes where those are asked for; else they stay f32. 4,096
    /// by default: small tensors (norms, biases) are sensitive, and save nothing.
    #[must_use]
    pub fn quantize_from(mut self, elements: u64) -> Precision {
        self.quantize_from = Some(elements);
        self
    }

    /// All that it says, as files have it.
    pub(crate) fn words(&self) -> String {
        let word = |form: &StateForm| form.word();
        let param = self.param.map(|form| format!("param {}", form.word()));
        let states = self.states.as_ref().map(|form| format!("states {}", word(form)));
        let named = self.named.iter().map(|(name, form)| format!("{name} {}", word(form)));
        let from = self.quantize_from.map(|from| format!("quantize_from {from}"));
        let all: Vec<String> = param.into_iter().chain(states).chain(named).chain(from).collect();
        all.join(", ")
    }

    /// This, and what it does not say as `all` says it.
    pub(crate) fn over(&self, all: &Precision) -> Precision {
        // A form for all states of the group stands before one for a single state of all groups.
        let inherited = all.named.iter().filter(|_| self.states.is_none());
        let own = self.named.iter();
        Precision {
            param: self.param.or(all.param),
            states: self.states.or(all.states),
            named: inherited.chain(own).map(|(name, form)| (name.clone(), *form)).collect(),
            quantize_from: self.quantize_from.or(all.quantize_from),
        }
    }
}
