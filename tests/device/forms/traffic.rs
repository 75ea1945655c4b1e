//! Bytes per parameter, counted on the stand-in, are those that each form states.

use cuda_on_cpu::Direction;
use instep::{AdamW, Dtype, ParamForm, Precision, StateForm};

use super::memory::Memory;
use super::sides::Kind;
use crate::rig::Rig;

/// Whole tiles, so that no table row hides an element.
const LEN: usize = 1 << 16;

#[test]
fn a_step_moves_the_bytes_per_parameter_that_its_forms_state() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return };
    use Dtype::{Bf16, F32};
    let of = |param, states| Precision::new().param(param).states(states);
    for (kind, stated) in [
        (Kind::new(F32, F32, Precision::new()), 28.0),
        (Kind::new(Bf16, Bf16, Precision::new()), 28.0),
        (Kind::new(Bf16, Bf16, of(ParamForm::Remainder, StateForm::F32)), 26.0),
        (Kind::new(F32, F32, Precision::new().states(StateForm::Bf16Nearest)), 20.0),
        (Kind::new(Bf16, Bf16, Precision::new().states(StateForm::Bf16)), 20.0),
        (Kind::new(Bf16, Bf16, of(ParamForm::Nearest, StateForm::Bf16Nearest)), 14.0),
        (Kind::new(Bf16, Bf16, of(ParamForm::Stochastic, StateForm::Bf16)), 14.0),
        (Kind::new(Bf16, Bf16, of(ParamForm::Stochastic, StateForm::EightBit)), 10.0625),
        (Kind::new(Bf16, Bf16, Precision::new().states(StateForm::EightBit)), 16.0625),
    ] {
        let memory = |dtype| Memory::new(&rig, std::iter::once((LEN, dtype, 0)), |len| vec![0.5; len]);
        let (param, grad) = (memory(kind.param), memory(kind.grad));
        // SAFETY: the memory outlives the optimizer.
        let tensor = unsafe {
            instep::Tensor::new(
                param.places[0].buffer(param.device.address()),
                grad.places[0].buffer(grad.device.address()),
            )
        };
        let builder = instep::Optimizer::builder(&rig.device);
        let mut opt = builder.group_in(kind.precision.clone(), AdamW::new(1e-3), &[tensor]).build().unwrap();
        assert_eq!(opt.tensors().next().unwrap().bytes_per_param, stated, "{:?}", kind.precision);
        rig.finish();
        standin.reset_traffic();
        opt.step(&rig.stream).unwrap();
        rig.finish();
        let widths = [4u32, 8, 16];
        let moved: u64 = [Direction::Load, Direction::Store]
            .into_iter()
            .flat_map(|direction| widths.map(|width| standin.traffic(direction, width)))
            .sum();
        let elements = (stated * LEN as f64) as u64;
        // Rows of tables, scalars and the clock, some hundred bytes a tile.
        let beside = moved - elements;
        assert!(beside < LEN as u64 / 2_048 * 512 + 4_096, "{:?}: {beside} B beside {elements}", kind.precision);
    }
}
