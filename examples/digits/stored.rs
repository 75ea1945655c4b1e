//! How the parameters begin, and how they, their gradients and the optimizer's states are stored. The network computes in
//! f32 from what is stored: loading widens, storing rounds.

use half::bf16;
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use instep::{Buffer, Optimizer, ParamForm, Precision, StateForm};

use crate::network;

/// What the user may choose. In all but the first, parameters and gradients are bf16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Everything.
    F32,
    /// f32 masters beside the parameters, f32 states.
    Master,
    /// The 16 bits that are left of an f32 value beside the parameters, f32 states.
    Remainder,
    /// Parameters alone, and bf16 states, all rounded stochastically.
    Stochastic,
    /// f32 masters beside the parameters, states as 8-bit codes.
    EightBit,
    /// Parameters alone, and bf16 states, all rounded to nearest: for comparison, since small updates are lost.
    Nearest,
}

impl Form {
    pub const WORDS: [(&str, Form); 6] = [
        ("f32", Form::F32),
        ("master", Form::Master),
        ("remainder", Form::Remainder),
        ("stochastic", Form::Stochastic),
        ("8bit", Form::EightBit),
        ("nearest", Form::Nearest),
    ];

    pub fn precision(self) -> Precision {
        match self {
            Form::F32 | Form::Master => Precision::new(),
            Form::Remainder => Precision::new().param(ParamForm::Remainder),
            Form::Stochastic => Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16),
            // Of all tensors, though most are small: to see that it does no harm.
            Form::EightBit => Precision::new().states(StateForm::EightBit).quantize_from(0),
            Form::Nearest => Precision::new().param(ParamForm::Nearest).states(StateForm::Bf16Nearest),
        }
    }

    /// `len` parameters or gradients, from the one at `offset` of those at `address` on.
    pub fn buffer(self, address: u64, offset: usize, len: usize) -> Buffer {
        let (address, len) = (address + (offset * self.bytes()) as u64, len as u64);
        if self == Form::F32 { Buffer::f32(address, len) } else { Buffer::bf16(address, len) }
    }

    /// Of one parameter or gradient.
    pub fn bytes(self) -> usize {
        if self == Form::F32 { 4 } else { 2 }
    }
}

/// What a run is given beside its recipe.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    pub form: Form,
    /// Of the first parameters, and of stochastic rounding.
    pub seed: u64,
}

impl Start {
    pub fn params(self) -> Stored {
        Stored::new(self.form, &network::initial_params(self.seed))
    }
}

/// Parameters or gradients as they lie in memory.
pub enum Stored {
    F32(Vec<f32>),
    /// The bits of bf16.
    Bf16(Vec<u16>),
}

impl Stored {
    pub fn new(form: Form, values: &[f32]) -> Self {
        let mut stored =
            if form == Form::F32 { Self::F32(vec![0.0; values.len()]) } else { Self::Bf16(vec![0; values.len()]) };
        stored.store(values);
        stored
    }

    /// Rounds to nearest, ties to even, as `store` of `digits.cu` does.
    pub fn store(&mut self, values: &[f32]) {
        match self {
            Self::F32(stored) => stored.copy_from_slice(values),
            Self::Bf16(stored) => stored.reinterpret_cast_mut::<bf16>().convert_from_f32_slice(values),
        }
    }

    /// `widened` of `digits.cu`.
    pub fn load(&self, values: &mut [f32]) {
        match self {
            Self::F32(stored) => values.copy_from_slice(stored),
            Self::Bf16(stored) => stored.reinterpret_cast::<bf16>().convert_to_f32_slice(values),
        }
    }

    /// Stays the same for the value's life, moved or not.
    pub fn address(&mut self) -> u64 {
        let address = match self {
            Self::F32(stored) => stored.as_mut_ptr().expose_provenance(),
            Self::Bf16(stored) => stored.as_mut_ptr().expose_provenance(),
        };
        address as u64
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::F32(stored) => bytemuck::cast_slice(stored),
            Self::Bf16(stored) => bytemuck::cast_slice(stored),
        }
    }
}

/// What the optimizer says of its first tensor. All are stored alike.
pub fn told(optimizer: &Optimizer) -> Option<String> {
    let tensor = optimizer.tensors().next()?;
    let states = tensor.states.iter().map(|state| format!(", {} {}", state.name, state.form));
    let (param, grad, states) = (tensor.param_form, tensor.grad_form, states.collect::<String>());
    Some(format!("parameters {param}, gradients {grad}{states}: {} bytes each", tensor.bytes_per_param))
}
