//! Units of AdamW in other precisions than f32: what the compile tier has bars for.

use instep::{AdamW, Buffer, Momentum, Optimizer, OptimizerBuilder, ParamForm, Precision, Sgd, StateForm, Tensor};

use crate::units::{Unit, builder, unit};

/// A type of elements, as buffers are made of it.
pub(crate) type Of = fn(u64, u64) -> Buffer;

/// All of them.
pub fn all() -> Vec<Unit> {
    sixteen_bits().into_iter().chain([f16(), eight_bit(), eight_bit_and_master()]).collect()
}

/// Those without codes and without f16.
pub fn sixteen_bits() -> Vec<Unit> {
    let [nearest, stochastic] = [all_bf16(ParamForm::Nearest), all_bf16(ParamForm::Stochastic)];
    [master(), remainder(), bf16_states(), bf16_states_and_master(), nearest, stochastic].into()
}

/// bf16 parameters and gradients, f32 masters and states.
pub fn master() -> Unit {
    of("AdamW, bf16 with f32 master", Buffer::bf16, Precision::new)
}

/// The same with remainders instead of masters.
pub fn remainder() -> Unit {
    of("AdamW, bf16 with remainder", Buffer::bf16, || Precision::new().param(ParamForm::Remainder))
}

/// f32 parameters and gradients, states in bf16.
pub fn bf16_states() -> Unit {
    of("AdamW, f32, states in bf16", Buffer::f32, || Precision::new().states(StateForm::Bf16Nearest))
}

/// bf16 parameters, gradients and states, beside f32 masters.
pub fn bf16_states_and_master() -> Unit {
    of("AdamW, bf16 with f32 master, states in bf16", Buffer::bf16, || Precision::new().states(StateForm::Bf16))
}

/// All in bf16, rounded to nearest or stochastically.
pub fn all_bf16(param: ParamForm) -> Unit {
    match param {
        ParamForm::Stochastic => of("AdamW, all bf16, stochastic", Buffer::bf16, || {
            Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16)
        }),
        _ => of("AdamW, all bf16, nearest", Buffer::bf16, || {
            Precision::new().param(ParamForm::Nearest).states(StateForm::Bf16Nearest)
        }),
    }
}

/// All in f16 but for second moments, rounded stochastically: the dearest conversions.
pub fn f16() -> Unit {
    unit("AdamW, all f16, stochastic", || {
        let precision = Precision::new().param(ParamForm::Stochastic).states(StateForm::F16);
        let precision = precision.state("exp_avg_sq", StateForm::Bf16);
        adamw(precision, Buffer::f16).loss_scale(instep::LossScale::fixed(1024.0))
    })
}

/// bf16 parameters, rounded stochastically, and gradients; states in 8 bits.
pub fn eight_bit() -> Unit {
    of("AdamW, bf16, 8-bit states", Buffer::bf16, || {
        Precision::new().param(ParamForm::Stochastic).states(StateForm::EightBit)
    })
}

/// bf16 parameters with f32 masters; states in 8 bits.
pub fn eight_bit_and_master() -> Unit {
    of("AdamW, bf16 with f32 master, 8-bit states", Buffer::bf16, || Precision::new().states(StateForm::EightBit))
}

/// Groups of several rules in several forms.
pub fn mixed() -> OptimizerBuilder {
    let stochastic = || Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16);
    let codes = || Precision::new().states(StateForm::EightBit).quantize_from(0);
    let momentum = || Sgd::new(0.1).momentum(Momentum::Heavy, 0.9);
    let [f32s, bf16s, f16s] = [Buffer::f32 as Of, Buffer::bf16, Buffer::f16].map(|of| move || [tensor(of)]);
    let builder = builder().group(AdamW::new(1e-3), &f32s()).group(AdamW::new(1e-3), &bf16s());
    let builder = builder.group_in(stochastic(), AdamW::new(1e-3), &bf16s()).group_in(codes(), momentum(), &bf16s());
    let remainder = Precision::new().param(ParamForm::Remainder);
    builder
        .group_in(codes(), AdamW::new(1e-3), &f32s())
        .group_in(remainder, momentum(), &bf16s())
        .group(momentum(), &f16s())
}

fn of(name: &'static str, elements: Of, precision: impl Fn() -> Precision) -> Unit {
    unit(name, || adamw(precision(), elements))
}

fn adamw(precision: Precision, elements: Of) -> OptimizerBuilder {
    let builder: OptimizerBuilder = builder();
    builder.group_in(precision.quantize_from(0), AdamW::new(1e-3).weight_decay(0.1), &[tensor(elements)])
}

/// A small tensor of its own that lives as long as the program.
pub(crate) fn tensor(elements: Of) -> Tensor {
    let buffer = || elements(Box::leak(Box::new([0f32; 8])).as_mut_ptr() as u64, 8);
    // SAFETY: the buffers are never freed, and nothing but an optimizer that never steps knows them.
    unsafe { Tensor::new(buffer(), buffer()) }
}

/// Of `optimizer`, what the rule of its first tensor moves.
pub fn bytes(optimizer: &Optimizer) -> Vec<f64> {
    optimizer.tensors().map(|tensor| tensor.bytes_per_param).collect()
}
