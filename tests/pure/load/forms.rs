//! States in other forms, and masters that come and go.

use half::bf16;
use instep::{
    AdamW, Buffer, Device, LoadOptions, Optimizer, ParamForm, Precision, Schedule, ScheduleFreeAdamW, StateForm,
    Stream, Tensor,
};

use super::{Model, block, bytes_of, f32_of, lines, load, noise, refused};

const LEN: usize = 700;

fn builder(precision: Precision) -> instep::OptimizerBuilder {
    Optimizer::builder(&Device::host()).precision(precision.quantize_from(0))
}

fn of_states(model: &Model, form: StateForm) -> Optimizer {
    builder(Precision::new().states(form)).group(AdamW::new(0.01), &model.tensors(&["a"])).build().unwrap()
}

#[test]
fn states_are_converted_to_nearest_and_back() {
    let mut model = Model::new(&[("a", LEN)]);
    let mut opt = of_states(&model, StateForm::F32);
    model.steps(&mut opt, 0..20);
    let exact = f32_of(&opt, "a", "exp_avg");
    let words = LoadOptions::new().precision();
    for form in [StateForm::Bf16, StateForm::Bf16Nearest] {
        let mut halves = of_states(&model, form);
        load(&mut halves, &block(&opt), words);
        let bits: Vec<u8> = exact.iter().flat_map(|x| bf16::from_f32(*x).to_bits().to_ne_bytes()).collect();
        assert!(bytes_of(&halves, "a", "exp_avg", 2) == bits, "{form}");
        let mut back = of_states(&model, StateForm::F32);
        load(&mut back, &block(&halves), words);
        let wide: Vec<f32> = exact.iter().map(|x| bf16::from_f32(*x).to_f32()).collect();
        assert_eq!(f32_of(&back, "a", "exp_avg"), wide, "{form}");
    }
    let mut codes = of_states(&model, StateForm::EightBit);
    load(&mut codes, &block(&opt), words);
    let mut back = of_states(&model, StateForm::F32);
    load(&mut back, &block(&codes), words);
    for state in ["exp_avg", "exp_avg_sq"] {
        let (exact, back) = (f32_of(&opt, "a", state), f32_of(&back, "a", state));
        // Half of what a code may be off where it is thrown: to nearest.
        let near = |(block, back): (&[f32], &[f32])| {
            let largest = block.iter().fold(0.0f32, |most, x| most.max(x.abs()));
            block.iter().zip(back).all(|(x, y)| (x - y).abs() <= (x.abs() + 2e-5 * largest) / 16.0)
        };
        assert!(exact.chunks(256).zip(back.chunks(256)).all(near), "{state}");
        assert!(exact != back);
    }
}

/// A parameter and a gradient in bf16.
struct Halves {
    param: Vec<u16>,
    grad: Vec<u16>,
}

impl Halves {
    fn new(param: Vec<u16>) -> Halves {
        Halves { grad: vec![0; param.len()], param }
    }

    fn start() -> Halves {
        Halves::new(noise(LEN, 3).iter().map(|x| bf16::from_f32(*x).to_bits()).collect())
    }

    fn build(&mut self, param: ParamForm) -> Optimizer {
        let len = self.param.len() as u64;
        let (at, grad) = (self.param.as_mut_ptr() as u64, self.grad.as_ptr() as u64);
        // SAFETY: tests keep both longer than optimizers.
        let tensor = unsafe { Tensor::new(Buffer::bf16(at, len), Buffer::bf16(grad, len)) }.name("w");
        let rule = AdamW::new(Schedule::constant(1e-3));
        builder(Precision::new().param(param)).seed(3).group(rule, &[tensor]).build().unwrap()
    }

    fn steps(&mut self, opt: &mut Optimizer, calls: std::ops::Range<u64>) {
        for call in calls {
            for (grad, x) in self.grad.iter_mut().zip(noise(LEN, 1_000 + call)) {
                *grad = bf16::from_f32(x).to_bits();
            }
            opt.step(&Stream::host()).unwrap();
        }
    }
}

/// The f32 values that a master or a parameter with its remainder stands for.
fn values(halves: &Halves, opt: &Optimizer) -> Vec<f32> {
    let view = opt.tensors().next().unwrap();
    let Some(beside) = view.beside_param else {
        return halves.param.iter().map(|bits| bf16::from_bits(*bits).to_f32()).collect();
    };
    let element = |i: usize| match view.param_form.to_string().as_str() {
        // SAFETY: the optimizer gave the address of as many live elements, and no step runs.
        "bf16 with an f32 master" => unsafe { *(beside as usize as *const f32).wrapping_add(i) },
        _ => {
            // SAFETY: as above.
            let lower = unsafe { *(beside as usize as *const i16).wrapping_add(i) };
            f32::from_bits((u32::from(halves.param[i]) << 16).wrapping_add(i32::from(lower) as u32))
        }
    };
    (0..halves.param.len()).map(element).collect()
}

#[test]
fn masters_and_remainders_come_go_and_turn_into_each_other() {
    use ParamForm::{Master, Nearest, Remainder, Stochastic};
    let cases = [
        (Master, Remainder, "an f32 master beside it, here a 16-bit remainder beside it; converted"),
        (
            Remainder,
            Master,
            "a 16-bit remainder beside it, here an f32 master beside it; made of the remainder and the parameter",
        ),
        (Master, Nearest, "an f32 master beside it, here nothing beside it; the parameter is its rounding already"),
        (
            Remainder,
            Stochastic,
            "a 16-bit remainder beside it, here nothing beside it; the parameter is its rounding already",
        ),
        (Stochastic, Master, "nothing beside it, here an f32 master beside it; made from the parameter"),
        (Nearest, Remainder, "nothing beside it, here a 16-bit remainder beside it; made from the parameter"),
    ];
    for (from, to, line) in cases {
        let mut first = Halves::start();
        let mut opt = first.build(from);
        first.steps(&mut opt, 0..30);
        let state = block(&opt);
        let mut second = Halves::new(first.param.clone());
        let mut resumed = second.build(to);
        assert!(resumed.load_state(&state, &Stream::host()).is_err(), "{line}");
        let loaded = load(&mut resumed, &state, LoadOptions::new().masters());
        assert_eq!(lines(loaded.changes()), [format!("groups[0].param of \"w\": {line}")]);
        assert!(second.param == first.param, "parameters are the engine's");
        assert_eq!(f32_of(&resumed, "w", "exp_avg"), f32_of(&opt, "w", "exp_avg"));
        let (before, after) = (values(&first, &opt), values(&second, &resumed));
        let is_kept = |form: ParamForm| matches!(form, Master | Remainder);
        if is_kept(from) == is_kept(to) {
            // Nothing is halfway between two parameters here.
            assert_eq!(before, after, "{line}");
        } else {
            let widened: Vec<f32> = first.param.iter().map(|bits| bf16::from_bits(*bits).to_f32()).collect();
            assert_eq!(widened, after, "{line}");
        }
        second.steps(&mut resumed, 30..32);
    }
}

#[test]
fn a_tie_becomes_a_remainder_that_rounds_to_the_parameter_that_is_there() {
    // 1 + 2^-8 lies halfway between 1 and the next bf16: a master rounds to even, which is 1.
    let mut first = Halves::new(vec![0x3f80; 4]);
    let opt = first.build(ParamForm::Master);
    let beside = opt.tensors().next().unwrap().beside_param.unwrap();
    for (i, bits) in [0x3f80_8000u32, 0x3f80_7fff, 0x3f80_0000, 0x7fc0_0001].into_iter().enumerate() {
        // SAFETY: the optimizer gave the address of four live elements, and no step runs.
        unsafe { *(beside as usize as *mut u32).wrapping_add(i) = bits };
    }
    let mut second = Halves::new(vec![0x3f80, 0x3f80, 0x3f80, 0x7fff]);
    let mut resumed = second.build(ParamForm::Remainder);
    load(&mut resumed, &block(&opt), LoadOptions::new().masters());
    let bits: Vec<u32> = values(&second, &resumed).iter().map(|x| x.to_bits()).collect();
    assert_eq!(bits, [0x3f80_7fff, 0x3f80_7fff, 0x3f80_0000, 0x7fff_0000]);
}

#[test]
fn what_is_put_aside_goes_on_in_the_same_form_alone() {
    let build = |halves: &mut Halves, param: ParamForm| {
        let len = halves.param.len() as u64;
        let (at, grad) = (halves.param.as_mut_ptr() as u64, halves.grad.as_ptr() as u64);
        // SAFETY: tests keep both longer than optimizers.
        let tensor = unsafe { Tensor::new(Buffer::bf16(at, len), Buffer::bf16(grad, len)) }.name("w");
        builder(Precision::new().param(param)).group(ScheduleFreeAdamW::new(1e-3), &[tensor]).build().unwrap()
    };
    let mut first = Halves::start();
    let mut opt = build(&mut first, ParamForm::Nearest);
    first.steps(&mut opt, 0..5);
    let training = first.param.clone();
    opt.eval(&Stream::host()).unwrap();
    let state = block(&opt);
    let mut second = Halves::new(first.param.clone());
    let mut masters = build(&mut second, ParamForm::Master);
    let found = refused(&mut masters, &state, LoadOptions::new().masters());
    assert_eq!((found.len(), found[0].word), (1, None));
    assert!(found[0].note.starts_with("parameters for evaluation are shown"), "{found:?}");
    let mut third = Halves::new(first.param.clone());
    let mut same = build(&mut third, ParamForm::Nearest);
    same.load_state(&state, &Stream::host()).unwrap();
    same.train(&Stream::host()).unwrap();
    assert!(third.param == training);
}
