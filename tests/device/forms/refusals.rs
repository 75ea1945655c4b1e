//! What makes no sense is refused by name before anything is enqueued.

use instep::{
    AdamW, Buffer, Clip, Error, LossScale, Momentum, Optimizer, OptimizerBuilder, ParamForm, Precision, Sgd, StateForm,
    Tensor, Tuning,
};

use crate::rig::{Array, Rig};

struct Refusals<'r> {
    rig: &'r Rig,
    memory: [Array; 3],
}

impl Refusals<'_> {
    fn tensor(&self, of: fn(u64, u64) -> Buffer) -> Tensor {
        // SAFETY: the memory outlives every optimizer of the test.
        unsafe { Tensor::new(of(self.memory[0].address(), 64), of(self.memory[1].address(), 64)) }
    }

    /// Launches, copies and fills so far.
    fn enqueued(&self) -> Option<u64> {
        let calls = ["cuLaunchKernel", "cuMemcpyHtoDAsync_v2", "cuMemsetD8Async", "cuMemAlloc_v2"];
        self.rig.standin.map(|standin| calls.iter().map(|call| standin.calls(call)).sum())
    }

    #[track_caller]
    fn expect(&self, build: impl Fn(OptimizerBuilder) -> OptimizerBuilder, message: &str) {
        let before = self.enqueued();
        let refused = build(Optimizer::builder(&self.rig.device)).build().unwrap_err();
        assert!(matches!(refused, Error::Argument { .. }), "{refused:?}");
        assert_eq!(refused.to_string(), message);
        assert_eq!(before, self.enqueued(), "nothing was enqueued");
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_name() {
    let Some(rig) = Rig::new() else { return };
    let memory = [0, 1, 2].map(|_| rig.array(&[1.0; 64], 0));
    let all = Refusals { rig: &rig, memory };
    let adamw = || AdamW::new(1e-3);
    let [f32, bf16, f16] = [Buffer::f32, Buffer::bf16, Buffer::f16].map(|of| all.tensor(of as fn(u64, u64) -> Buffer));
    let remainder = || Precision::new().param(ParamForm::Remainder);

    all.expect(
        |b| b.group_in(remainder(), adamw(), std::slice::from_ref(&f32)),
        "groups[0].tensors[0].param.dtype is f32, but the precision of its group asks for a remainder, which lies beside a bf16 parameter; give tensors of other types a group of their own, with group_in",
    );
    all.expect(
        |b| b.group_in(remainder(), adamw(), std::slice::from_ref(&f16)),
        "groups[0].tensors[0].param.dtype is f16, but the precision of its group asks for a remainder, which lies beside a bf16 parameter; give tensors of other types a group of their own, with group_in",
    );
    let states = |form| Precision::new().states(form);
    let momentum = || Sgd::new(0.1).momentum(Momentum::Heavy, 0.9);
    all.expect(
        |b| b.precision(states(StateForm::F16)).group(momentum(), std::slice::from_ref(&bf16)),
        "precision.states is \"f16\", but must be \"bf16\" without loss_scale: f16 holds nothing below 6e-8, which gradients that need no loss scale have",
    );
    all.expect(
        |b| {
            let b = b.loss_scale(LossScale::dynamic());
            b.group_in(Precision::new().state("exp_avg_sq", StateForm::F16Nearest), adamw(), std::slice::from_ref(&bf16))
        },
        "groups[0].precision.state.exp_avg_sq is \"f16_nearest\", but must be \"bf16\" or \"8bit\" for exp_avg_sq of the rule adamw, which divides: f16 holds no squares of gradients, nothing below 6e-8",
    );
    all.expect(
        |b| {
            let b = b.precision(Precision::new().state("exp_avgs", StateForm::Bf16));
            b.group(adamw(), std::slice::from_ref(&bf16))
        },
        "precision.state.exp_avgs is \"bf16\", but is not a state of any rule of this optimizer, which keeps exp_avg, exp_avg_sq",
    );
    all.expect(
        |b| b.group_in(Precision::new().state("exp_av", StateForm::Bf16), adamw(), std::slice::from_ref(&f32)),
        "groups[0].precision.state.exp_av is \"bf16\", but is not a state of the rule adamw, which keeps exp_avg, exp_avg_sq",
    );
    all.expect(
        |b| b.group_in(Precision::new().state("exp_avg", StateForm::Bf16), Sgd::new(0.1), std::slice::from_ref(&f32)),
        "groups[0].precision.state.exp_avg is \"bf16\", but is not a state of the rule sgd, which keeps none",
    );
    let given = all.memory[2].address();
    // SAFETY: as in `Refusals::tensor`.
    let with_master = |tensor: &Tensor| unsafe { tensor.clone().master(given) };
    all.expect(
        |b| b.group(adamw(), &[with_master(&f32)]),
        &format!("groups[0].tensors[0].master is {given:#x}, but an f32 parameter is its own master"),
    );
    all.expect(
        |b| b.group_in(Precision::new().param(ParamForm::Stochastic), adamw(), &[with_master(&bf16)]),
        &format!(
            "groups[0].tensors[0].master is {given:#x}, but the precision of its group keeps the parameter as bf16, rounded stochastically, without a master"
        ),
    );
    // SAFETY: as above.
    let on_itself = unsafe { bf16.clone().master(all.memory[0].address()) }.name("w");
    let overlap =
        format!("master of tensor \"w\" is {:#x}, but it overlaps the param of tensor \"w\"", all.memory[0].address());
    let swapped =
        format!("param of tensor \"w\" is {:#x}, but it overlaps the master of tensor \"w\"", all.memory[0].address());
    let refused = Optimizer::builder(&rig.device).group(adamw(), &[on_itself]).build().unwrap_err().to_string();
    assert!([overlap, swapped].contains(&refused), "{refused}");
    let odd = |of: fn(u64, u64) -> Buffer, skew: u64| {
        // SAFETY: as above.
        unsafe { Tensor::new(of(all.memory[0].address() + skew, 8), Buffer::f32(all.memory[1].address(), 8)) }
    };
    all.expect(
        |b| b.group(adamw(), &[odd(Buffer::bf16, 1)]),
        &format!(
            "groups[0].tensors[0].param.address is {:#x}, but bf16 elements are aligned to 2 bytes",
            all.memory[0].address() + 1
        ),
    );
    let second = |number: u32| {
        // SAFETY: as above.
        let other = unsafe { Tensor::new(Buffer::bf16(given, 64), Buffer::bf16(all.memory[1].address(), 64)) };
        [bf16.clone().name("a"), other.name("b").number(number)]
    };
    all.expect(
        |b| b.group(adamw(), &second(0)),
        "number of tensor \"b\" is 0, but tensor \"a\" has that number: one that is not given is its place",
    );
    let tuning = Tuning { vectors: 1, ..Tuning::default() };
    all.expect(
        |b| {
            b.group_in(states(StateForm::EightBit).quantize_from(0), adamw(), std::slice::from_ref(&f32)).tuning(tuning)
        },
        "tuning.vectors is 1, but 8-bit states need 2 at least: a warp of 128 elements is half a block",
    );
    let double = Buffer { dtype: instep::Dtype::F64, ..Buffer::f32(all.memory[0].address(), 16) };
    // SAFETY: as above.
    let double = unsafe { Tensor::new(double, Buffer::f32(all.memory[1].address(), 16)) };
    all.expect(
        |b| b.group(adamw(), std::slice::from_ref(&double)),
        "groups[0].tensors[0].param.dtype is f64, but must be f32, bf16 or f16",
    );
    // With a loss scale, or one of the engine's, f16 states are taken.
    let builder = Optimizer::builder(&rig.device).loss_scale(LossScale::dynamic()).clip(Clip::torch_norm(1.0));
    builder.group_in(states(StateForm::F16), momentum(), &[f16]).build().unwrap();
    rig.finish();
}
