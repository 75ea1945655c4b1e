//! A tape that is interpreted gives the bits of the rule that is compiled.

use instep::rule::{Rule, Tape, TapeRule};
use instep::{
    AdEMAMix, AdaBelief, Adam, AdamW, Adan, AdanWeight, Adopt, AdoptClip, Caution, Device, LaProp, Lamb, Lars, Mars,
    MarsForm, Momentum, NovoGrad, Optimizer, Parity, Rectify, Schedule, Sgd, StableAdamW, Stream, Yogi,
};

use super::lion;
use crate::owned::Pair;

const LENGTHS: std::ops::Range<usize> = 1..600;
const PARITIES: [Parity; 3] = [Parity::Stated, Parity::TorchForLoop, Parity::TorchFused];

/// Ordinary values, with subnormals, huge ones, zeros, infinities and NaNs among them.
fn wild(len: usize, seed: u64) -> Vec<f32> {
    let special = [0.0, -0.0, 1e-45, -3e-39, f32::MIN_POSITIVE, f32::MAX, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let value = |i: u64| {
        let mut z = (seed * 600 + i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z ^= z >> 31;
        match z % 8 {
            0 => special[(z >> 8) as usize % special.len()],
            1 => f32::from_bits((z >> 16) as u32),
            _ => (z >> 40) as f32 / (1u64 << 23) as f32 - 1.0,
        }
    };
    (0..len as u64).map(value).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
}

/// Three steps of `rule` and of its tape, with these hyperparameters, on the same values.
pub fn assert_same<R: Rule>(name: &str, rule: &R, given: &[(&str, Schedule)]) {
    let tape = Tape::parse(&Tape::of(rule).unwrap().to_string()).unwrap();
    let interpreted = given.iter().fold(TapeRule::new(tape), |rule, (name, value)| rule.set(*name, value.clone()));
    let pairs = || LENGTHS.map(|len| Pair::new(&wild(len, len as u64), &wild(len, 7))).collect::<Vec<_>>();
    let mut sides = [pairs(), pairs()];
    let tensors = sides.each_ref().map(|pairs| pairs.iter().map(Pair::tensor).collect::<Vec<_>>());
    let builder = || Optimizer::builder(&Device::host());
    let mut optimizers = [
        builder().group(rule.clone(), &tensors[0]).build().unwrap(),
        builder().group(interpreted, &tensors[1]).build().unwrap(),
    ];
    for step in 0..3 {
        optimizers.iter_mut().for_each(|opt| opt.step(&Stream::host()).unwrap());
        for (ours, theirs) in sides[0].iter().zip(&sides[1]) {
            let (ours, theirs) = (ours.param.read(), theirs.param.read());
            assert!(bits(&ours) == bits(&theirs), "{name}, {} elements, step {step}", ours.len());
        }
        for pair in sides.iter_mut().flatten() {
            let grad = wild(pair.param.read().len(), 1_000 + step);
            pair.grad.write(&grad);
        }
    }
    // Streams and counters too, which a state holds.
    let [compiled, interpreted] = optimizers.map(|opt| {
        let len = |tensor: &instep::TensorView<'_>| tensor.len as usize;
        // SAFETY: the optimizer is alive and at rest, and has as many live values there.
        let read = |(address, len)| bits(unsafe { std::slice::from_raw_parts(address as *const f32, len) });
        let states = opt.tensors().flat_map(|tensor| {
            let len = len(&tensor);
            tensor.states.into_iter().map(move |state| (state.address, len))
        });
        states.map(read).collect::<Vec<_>>()
    });
    assert!(compiled == interpreted, "{name}: streams");
}

/// Each rule, with a weight decay.
macro_rules! same {
    ($($rule:expr),* $(,)?) => {$(
        let given = [("lr", warm()), ("weight_decay", 0.1.into())];
        assert_same(stringify!($rule), &$rule.weight_decay(0.1), &given);
    )*};
}

fn warm() -> Schedule {
    Schedule::linear(0.01, 0.1).over(2)
}

#[test]
fn adam_and_adamw_are_the_same_bits_interpreted() {
    for parity in PARITIES {
        let given = [("lr", warm()), ("weight_decay", 0.1.into()), ("beta1", 0.8.into())];
        let rule = AdamW::new(warm()).weight_decay(0.1).beta1(0.8).parity(parity);
        assert_same(&format!("AdamW, {parity:?}"), &rule, &given);
        let rule = Adam::new(warm()).weight_decay(0.1).beta1(0.8).parity(parity);
        assert_same(&format!("Adam, L2, {parity:?}"), &rule, &given);
    }
}

#[test]
fn sgd_is_the_same_bits_interpreted() {
    assert_same("Sgd, maximize", &Sgd::new(warm()).maximize(), &[("lr", warm())]);
    for parity in PARITIES {
        let given = [("lr", warm()), ("momentum", 0.9.into()), ("weight_decay", 0.1.into())];
        let rule = Sgd::new(warm()).momentum(Momentum::Nesterov, 0.9).weight_decay(0.1).parity(parity);
        assert_same(&format!("Sgd, Nesterov, {parity:?}"), &rule, &given);
    }
}

#[test]
fn rules_of_moments_are_the_same_bits_interpreted() {
    same!(
        Adan::new(warm()),
        Adan::new(warm()).no_prox(true).difference(AdanWeight::OneMinusBeta2).caution(Caution::Mean),
        AdaBelief::new(warm()),
        AdaBelief::new(warm()).rectify(Rectify::Off).amsgrad(true).coupled_weight_decay(true),
        AdaBelief::new(warm()).rectify(Rectify::Wait).maximize(),
        Yogi::new(warm()),
        Yogi::new(warm()).coupled_weight_decay(true),
        LaProp::new(warm()),
        LaProp::new(warm()).caution(Caution::Count),
        Mars::new(warm()),
        Mars::new(warm()).form(MarsForm::Lion).caution(true),
        AdEMAMix::new(warm()),
        AdEMAMix::new(warm()).coupled_weight_decay(true),
        Adopt::new(warm()),
        Adopt::new(warm()).clip(AdoptClip::Off).coupled_weight_decay(true).nesterov(true),
        Adopt::new(warm()).clip(AdoptClip::Present).decay_at_first(true).caution(Caution::Mean),
    );
}

#[test]
fn rules_with_norms_are_the_same_bits_interpreted() {
    same!(
        StableAdamW::new(warm()),
        StableAdamW::new(warm()).coupled_weight_decay(true),
        Lamb::new(warm()),
        Lamb::new(warm()).trust_clip(true).caution(Caution::Mean),
        Lamb::new(warm())
            .decoupled_weight_decay(true)
            .caution(Caution::Mean)
            .grad_averaging(false)
            .bias_correction(false),
        Lars::new(warm()),
        Lars::new(warm()).nesterov(true).trust_clip(true).always_adapt(true),
        Lars::new(warm()).joint_norm(true).lr_in_momentum(true),
        NovoGrad::new(warm()),
        NovoGrad::new(warm()).whole_first(true).grad_averaging(true).amsgrad(true),
        NovoGrad::new(warm()).decoupled_weight_decay(true).maximize(),
    );
}

#[test]
fn a_rule_of_ones_own_is_the_same_bits_interpreted() {
    assert_same("Lion", &lion(), &[("lr", 0.01.into()), ("weight_decay", 0.1.into())]);
}

#[test]
fn a_state_goes_from_the_compiled_rule_to_the_interpreted_one_and_back() {
    let pair = Pair::small();
    let interpreted = TapeRule::new(Tape::of(&lion()).unwrap()).set("lr", 0.01).set("weight_decay", 0.1);
    let builder = || Optimizer::builder(&Device::host());
    let mut compiled = builder().group(lion(), &[pair.tensor()]).build().unwrap();
    compiled.step(&Stream::host()).unwrap();
    let state = compiled.state(&Stream::host()).unwrap();
    let mut interpreted = builder().group(interpreted, &[pair.tensor()]).build().unwrap();
    interpreted.load_state(&state, &Stream::host()).unwrap();
    interpreted.step(&Stream::host()).unwrap();
    compiled.load_state(&interpreted.state(&Stream::host()).unwrap(), &Stream::host()).unwrap();
    assert_eq!(compiled.status(&Stream::host()).unwrap().t, 2);
}
