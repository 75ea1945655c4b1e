//! What an optimizer says and keeps of precisions, on the CPU backend.

use half::bf16;
use instep::{
    AdamW, Buffer, Device, Error, Form, Half, Optimizer, OptimizerBuilder, ParamForm, Precision, Rounding, Sgd,
    StateForm, Stream, Tensor,
};

/// bf16 parameters and gradients of one tensor.
struct Halves {
    param: Vec<u16>,
    grad: Vec<u16>,
}

impl Halves {
    fn new(len: usize) -> Halves {
        let of = |x: f32| vec![bf16::from_f32(x).to_bits(); len];
        Halves { param: of(1.0), grad: of(0.01) }
    }

    fn tensor(&mut self) -> Tensor {
        let len = self.param.len() as u64;
        let (param, grad) = (self.param.as_mut_ptr() as u64, self.grad.as_ptr() as u64);
        // SAFETY: tests keep both longer than optimizers.
        unsafe { Tensor::new(Buffer::bf16(param, len), Buffer::bf16(grad, len)) }
    }

    fn first(&self) -> f32 {
        bf16::from_bits(self.param[0]).to_f32()
    }
}

fn builder() -> OptimizerBuilder {
    Optimizer::builder(&Device::host())
}

fn steps(opt: &mut Optimizer, count: usize) {
    (0..count).for_each(|_| opt.step(&Stream::host()).unwrap());
}

#[test]
fn a_parameter_of_16_bits_has_a_master_unless_asked_otherwise_and_moves_by_steps_that_it_could_not_hold() {
    let moved = |param: ParamForm| {
        let mut all = Halves::new(64);
        let precision = Precision::new().param(param);
        let mut opt = builder().precision(precision).group(Sgd::new(1e-2), &[all.tensor()]).build().unwrap();
        // 40 steps of 1e-4, each a fortieth of a unit in the last place below 1.
        steps(&mut opt, 40);
        let form = opt.tensors().next().unwrap().param_form;
        (form, all.param.iter().map(|bits| f64::from(bf16::from_bits(*bits).to_f32())).sum::<f64>() / 64.0)
    };
    let (form, with_master) = moved(ParamForm::default());
    assert_eq!(form, Form::Master(Half::Bf16));
    assert!((with_master - 0.996).abs() < 0.002, "{with_master}");
    assert_eq!(moved(ParamForm::Remainder), (Form::Remainder, with_master));
    assert_eq!(moved(ParamForm::Nearest), (Form::Half(Half::Bf16, Rounding::Nearest), 1.0), "every step is lost");
    let (_, stochastic) = moved(ParamForm::Stochastic);
    assert!((stochastic - 0.996).abs() < 0.002, "{stochastic}");
}

#[test]
fn parameters_that_the_engine_writes_are_overwritten_unless_it_says_so() {
    for param in [ParamForm::Master, ParamForm::Remainder] {
        for told in [false, true] {
            let mut all = Halves::new(8);
            let precision = Precision::new().param(param);
            let mut opt = builder().precision(precision).group(Sgd::new(1e-3), &[all.tensor()]).build().unwrap();
            steps(&mut opt, 1);
            all.param.fill(bf16::from_f32(2.0).to_bits());
            if told {
                opt.parameters_changed(&Stream::host()).unwrap();
            }
            steps(&mut opt, 1);
            // A master goes on from 1; a remainder is the lower half of whatever the parameter is.
            let expected = if told || param == ParamForm::Remainder { 2.0 } else { 1.0 };
            assert_eq!(all.first(), expected, "{param:?}, told: {told}");
        }
    }
}

#[test]
fn a_master_that_the_engine_gives_is_what_is_updated() {
    let (mut all, mut master) = (Halves::new(8), vec![3.0f32; 8]);
    // SAFETY: it outlives the optimizer.
    let tensor = unsafe { all.tensor().master(master.as_mut_ptr() as u64) };
    let mut opt = builder().group(Sgd::new(1.0), &[tensor]).build().unwrap();
    assert_eq!((all.first(), opt.tensors().next().unwrap().beside_param), (1.0, Some(master.as_ptr() as u64)));
    steps(&mut opt, 1);
    assert!((master[0] - 2.99).abs() < 1e-4 && all.first() == bf16::from_f32(master[0]).to_f32(), "{}", master[0]);
    opt.parameters_changed(&Stream::host()).unwrap();
    assert_eq!(master[0], all.first());
}

#[test]
fn tensors_show_how_they_are_stored_and_small_ones_keep_f32_states() {
    let (mut large, mut small) = (Halves::new(4_096), Halves::new(4_095));
    let precision = Precision::new().states(StateForm::EightBit).state("exp_avg", StateForm::Bf16);
    let telemetry = instep::Telemetry::ring(1);
    let tensors = [large.tensor(), small.tensor().number(9)];
    let opt = builder().precision(precision).group(AdamW::new(1e-3), &tensors).telemetry(telemetry).build().unwrap();
    let shown: Vec<Vec<String>> = opt
        .tensors()
        .map(|view| {
            view.states
                .iter()
                .map(|state| format!("{} {} {}", state.name, state.form, state.scales.is_some()))
                .collect()
        })
        .collect();
    assert_eq!(shown[0], ["exp_avg bf16, rounded stochastically false", "exp_avg_sq 8-bit true"]);
    assert_eq!(shown[1], ["exp_avg bf16, rounded stochastically false", "exp_avg_sq f32 false"]);
    let bytes: Vec<f64> = opt.tensors().map(|view| view.bytes_per_param).collect();
    assert_eq!(bytes, [2.0 + 4.0 + 6.0 + 4.0 + 2.0 + 2.0 / 64.0, 2.0 + 4.0 + 6.0 + 4.0 + 8.0]);
    assert_eq!(opt.tensors().map(|view| view.number).collect::<Vec<_>>(), [0, 9]);
    let telemetry = opt.telemetry().unwrap();
    let forms: Vec<String> = telemetry
        .forms()
        .iter()
        .map(|form| format!("{} {} {} {}", form.group, form.stream, form.form, form.tensors))
        .collect();
    let expected = [
        "0 param bf16 with an f32 master 2",
        "0 grad bf16 2",
        "0 exp_avg bf16, rounded stochastically 2",
        "0 exp_avg_sq 8-bit 1",
        "0 exp_avg_sq f32 1",
    ];
    assert_eq!(forms, expected);
}

/// The text of the error with which the state of one optimizer is refused by another.
fn refused(
    of: impl Fn(OptimizerBuilder, Tensor) -> OptimizerBuilder,
    by: impl Fn(OptimizerBuilder, Tensor) -> OptimizerBuilder,
) -> String {
    let (mut first, mut second) = (Halves::new(300), Halves::new(300));
    let mut opt = of(builder(), first.tensor()).build().unwrap();
    steps(&mut opt, 2);
    let state = opt.state(&Stream::host()).unwrap();
    let mut other = by(builder(), second.tensor()).build().unwrap();
    steps(&mut other, 1);
    let before = (second.param.clone(), other.state(&Stream::host()).unwrap());
    let error = other.load_state(&state, &Stream::host()).unwrap_err();
    assert!(matches!(error, Error::Differs { .. }));
    assert!(before == (second.param.clone(), other.state(&Stream::host()).unwrap()), "nothing was changed");
    error.to_string()
}

#[test]
fn a_state_goes_on_in_the_same_forms_alone() {
    let with = |precision: Precision| {
        move |b: OptimizerBuilder, t: Tensor| b.group_in(precision.clone(), AdamW::new(1e-3), &[t])
    };
    let states = |form| with(Precision::new().states(form).quantize_from(0));
    let text = |lines: &[&str]| format!("the state is of another optimizer:\n{}", lines.join("\n"));
    let of_both = |form: &str| {
        let line =
            |state| format!("groups[0].{state} of \"0.0\": f32, here {form} [allowed by LoadOptions::precision()]");
        text(&[&line("exp_avg"), &line("exp_avg_sq")])
    };
    assert_eq!(refused(states(StateForm::F32), states(StateForm::EightBit)), of_both("8-bit"));
    assert_eq!(refused(states(StateForm::F32), states(StateForm::Bf16Nearest)), of_both("bf16"));
    let remainder = "groups[0].param of \"0.0\": an f32 master beside it, here a 16-bit remainder beside it; converted \
                     [allowed by LoadOptions::masters()]";
    assert_eq!(refused(with(Precision::new()), with(Precision::new().param(ParamForm::Remainder))), text(&[remainder]));
    let seeded = |seed| move |b: OptimizerBuilder, t: Tensor| states(StateForm::Bf16)(b.seed(seed), t);
    assert_eq!(refused(seeded(3), seeded(4)), text(&["seed: 3, here 4 [allowed by LoadOptions::precision()]"]));
    let numbered = |number| move |b: OptimizerBuilder, t: Tensor| states(StateForm::Bf16)(b, t.number(number));
    let number = "random bits of \"0.0\": of number 3, here of number 4; Tensor::number sets them \
                  [allowed by LoadOptions::precision()]";
    assert_eq!(refused(numbered(3), numbered(4)), text(&[number]));
}

/// A run with a number of its own goes on the same wherever its tensor stands.
#[test]
fn a_number_keeps_the_random_bits_of_a_tensor_that_is_registered_elsewhere() {
    let run = |first: bool| {
        let (mut all, mut other) = (Halves::new(500), Halves::new(3));
        let (own, other) = (all.tensor().number(77).name("own"), other.tensor().number(78).name("other"));
        let tensors = if first { [own, other] } else { [other, own] };
        let precision = Precision::new().param(ParamForm::Stochastic).states(StateForm::Bf16);
        let mut opt = builder().precision(precision).seed(5).group(AdamW::new(1e-3), &tensors).build().unwrap();
        steps(&mut opt, 20);
        all.param
    };
    assert!(run(true) == run(false));
    assert!(run(true).iter().any(|bits| *bits != run(true)[0]), "elements of one value are rounded apart");
}
