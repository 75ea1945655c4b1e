//! The CPU backend: results do not depend on threads or addresses; what a step leaves alone, and what it refuses.

use approx::abs_diff_eq;
use instep::{
    Adam, AdamW, Device, Error, Momentum, Optimizer, OptimizerBuilder, Schedule, Sgd, Status, Stream, Tensor,
};

use crate::owned::{Pair, Values, tensor};

/// Reproducible values of all magnitudes: a linear congruential generator, constants of Knuth's MMIX.
fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|i| if i % 17 == 0 { next() * 1e-40 } else { next() * 8.0 }).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// How a rule is added to a builder.
type Add = fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder;

const RULES: [(&str, Add); 4] = [
    ("AdamW", |b, t| b.group(AdamW::new(Schedule::linear(1e-3, 1e-2).over(5)).weight_decay(0.1), t)),
    ("Adam, L2, maximize", |b, t| b.group(Adam::new(1e-2).weight_decay(0.1).maximize(), t)),
    ("SGD", |b, t| b.group(Sgd::new(0.1).weight_decay(0.01), t)),
    ("SGD, Nesterov", |b, t| b.group(Sgd::new(0.1).momentum(Momentum::Nesterov, 0.9), t)),
];

/// Four steps of `add` on parameters of `lengths`, `skew` elements past a 16-byte boundary: the bits of all parameters.
fn run(add: Add, lengths: &[usize], skews: (usize, usize)) -> Vec<Vec<u32>> {
    let mut pairs: Vec<Pair> = lengths
        .iter()
        .zip(1u64..)
        .map(|(len, seed)| Pair {
            param: Values::new(&numbers(seed, *len), skews.0),
            grad: Values::new(&vec![0.0; *len], skews.1),
        })
        .collect();
    let tensors: Vec<Tensor> = pairs.iter().map(Pair::tensor).collect();
    let mut opt = add(Optimizer::builder(&Device::host()), &tensors).build().unwrap();
    for step in 0..4 {
        for (pair, len) in pairs.iter_mut().zip(lengths) {
            pair.grad.write(&numbers(1_000 + step, *len));
        }
        opt.step(&Stream::host()).unwrap();
    }
    pairs.iter().map(|pair| bits(&pair.param.read())).collect()
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let lengths = [100_000, 1, 2_049, 0, 5];
    for (name, add) in RULES {
        let results = [1, 2, 7].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| run(add, &lengths, (0, 0)))
        });
        assert!(results[0] == results[1] && results[1] == results[2], "{name}");
        assert_eq!(results[0][0].len(), 100_000);
    }
}

#[test]
fn results_do_not_depend_on_the_address() {
    let lengths = [1, 3, 4, 5, 2_047, 2_048, 5_000];
    for (name, add) in RULES {
        let aligned = run(add, &lengths, (0, 0));
        for skews in [(1, 1), (2, 2), (3, 3), (0, 1), (3, 2)] {
            assert!(run(add, &lengths, skews) == aligned, "{name}, skews {skews:?}");
        }
    }
}

#[test]
fn a_step_changes_parameters_and_nothing_around_them() {
    let memory = Values::new(&[7.0; 40], 0);
    let grad = Values::new(&[1.0; 40], 0);
    let inner = tensor(memory.address() + 4 * 9, grad.address() + 4 * 9, 13);
    let mut opt = Optimizer::builder(&Device::host()).group(AdamW::new(0.5), &[inner]).build().unwrap();
    opt.step(&Stream::host()).unwrap();
    for (i, value) in memory.read().into_iter().enumerate() {
        assert_eq!(value == 7.0, !(9..22).contains(&i), "element {i} is {value}");
    }
    assert_eq!(grad.read(), [1.0; 40]);
}

#[test]
fn sgd_without_momentum_is_the_textbook_step_with_the_scheduled_rate() {
    let pair = Pair::new(&[1.0, -2.0], &[0.5, 4.0]);
    let lr = Schedule::linear(0.5, 0.0).over(4);
    let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(lr), &[pair.tensor()]).build().unwrap();
    // lr: 0.5, 0.375, 0.25, 0.125, then 0 for ever.
    for expected in [[0.75, -4.0], [0.5625, -5.5], [0.4375, -6.5], [0.375, -7.0], [0.375, -7.0]] {
        opt.step(&Stream::host()).unwrap();
        assert_eq!(pair.param.read(), expected);
    }
}

fn status(opt: &Optimizer) -> Status {
    opt.status(&Stream::host()).unwrap()
}

#[test]
fn the_first_update_uses_step_0_and_status_shows_what_the_next_one_uses() {
    let pair = Pair::small();
    let lr = Schedule::linear(1.0, 0.0).over(10);
    let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(lr.clone()), &[pair.tensor()]).build().unwrap();
    for t in 0..12u64 {
        let now = status(&opt);
        assert_eq!((now.t, now.skipped), (t, 0));
        assert_eq!(now.scalar(0, "lr"), Some(lr.at(t).unwrap() as f32), "step {t}");
        opt.step(&Stream::host()).unwrap();
    }
    assert_eq!((status(&opt).scalar(0, "beta1"), status(&opt).scalar(1, "lr")), (None, None));
}

#[test]
fn a_constant_gradient_moves_adam_by_its_rate_at_any_number_of_earlier_updates() {
    // Bias correction makes the very first update lr · sign(g); with a past but no state it is larger for `m` alone.
    let pairs: Vec<Pair> = (0..3).map(|_| Pair::new(&[0.0; 3], &[2.0; 3])).collect();
    let past = [0u64, 10, 1 << 62];
    let tensors: Vec<Tensor> = pairs.iter().zip(past).map(|(pair, past)| pair.tensor().updates(past)).collect();
    let rule = || AdamW::new(0.25).eps(1e-30).weight_decay(0.0);
    let mut opt = Optimizer::builder(&Device::host()).group(rule(), &tensors).build().unwrap();
    opt.step(&Stream::host()).unwrap();
    for (pair, past) in pairs.iter().zip(past) {
        let n = past as f64 + 1.0;
        let (correction1, correction2) = (1.0 - 0.9f64.powf(n), 1.0 - 0.999f64.powf(n));
        let (m, v) = (0.1 * 2.0 / correction1, 0.001 * 4.0 / correction2);
        let expected = -0.25 * m / v.sqrt();
        for value in pair.param.read() {
            assert!(
                abs_diff_eq!(f64::from(value), expected, epsilon = 1e-6 * expected.abs()),
                "after {past}: {value}, not {expected}"
            );
        }
    }
}

#[test]
fn found_inf_skips_the_update_leaves_everything_and_counts_it() {
    let pair = Pair::new(&[1.0; 5], &[1.0; 5]);
    let mut flag = Values::new(&[0.0], 0);
    // SAFETY: the flag outlives the optimizer.
    let builder = unsafe { Optimizer::builder(&Device::host()).found_inf(flag.address()) };
    let lr = Schedule::linear(1.0, 0.0).over(8);
    let rule = Sgd::new(lr).momentum(Momentum::Heavy, 0.5);
    let mut opt = builder.group(rule, &[pair.tensor()]).build().unwrap();
    let (mut applied, mut skipped) = (0, 0);
    for found in [0.0, 1.0, f32::NAN, -0.0, f32::INFINITY, -1.0, 1e-45, 0.0] {
        flag.write(&[found]);
        let (param, before) = (pair.param.read(), status(&opt));
        opt.step(&Stream::host()).unwrap();
        let after = status(&opt);
        if found == 0.0 {
            applied += 1;
            assert_ne!(pair.param.read(), param, "found_inf {found}");
        } else {
            skipped += 1;
            assert_eq!(pair.param.read(), param, "found_inf {found}");
            assert_eq!(after.scalars(0), before.scalars(0), "found_inf {found}");
        }
        assert_eq!((after.t, after.skipped), (applied, skipped), "found_inf {found}");
    }
}

#[test]
fn empty_tensors_need_no_memory_and_still_count() {
    let empty = tensor(0, 0, 0);
    let pair = Pair::small();
    let groups = |b: OptimizerBuilder| b.group(AdamW::new(0.1), &[empty.clone(), pair.tensor()]);
    let mut opt = groups(Optimizer::builder(&Device::host())).build().unwrap();
    let mut alone =
        Optimizer::builder(&Device::host()).group(Sgd::new(0.1), std::slice::from_ref(&empty)).build().unwrap();
    for _ in 0..3 {
        opt.step(&Stream::host()).unwrap();
        alone.step(&Stream::host()).unwrap();
    }
    assert_eq!((status(&opt).t, status(&alone).t), (3, 3));
    assert_ne!(pair.param.read(), [1.0; 4]);
}

#[test]
fn tensors_are_shown_with_names_states_and_bytes_per_parameter() {
    let pairs: Vec<Pair> = (0..4).map(|_| Pair::small()).collect();
    let opt = Optimizer::builder(&Device::host())
        .group(AdamW::new(0.1), &[pairs[0].tensor().name("weight"), pairs[1].tensor()])
        .group(Sgd::new(0.1), &[pairs[2].tensor()])
        .group(Sgd::new(0.1).momentum(Momentum::Heavy, 0.9), &[pairs[3].tensor()])
        .build()
        .unwrap();
    let views: Vec<_> = opt.tensors().collect();
    assert_eq!(views.iter().map(|view| view.name).collect::<Vec<_>>(), ["weight", "0.1", "1.0", "2.0"]);
    assert_eq!(views.iter().map(|view| view.bytes_per_param).collect::<Vec<_>>(), [28.0, 28.0, 12.0, 20.0]);
    let states: Vec<Vec<&str>> = views.iter().map(|v| v.states.iter().map(|state| state.name).collect()).collect();
    let adam = vec!["exp_avg", "exp_avg_sq"];
    assert_eq!(states, [adam.clone(), adam, vec![], vec!["momentum_buffer"]]);
    assert!(views.iter().zip(&pairs).all(|(view, pair)| (view.param, view.len) == (pair.param.address(), 4)));
}

/// Runs `work` while this thread's floating-point unit has the bits `flags` of MXCSR set.
#[cfg(target_arch = "x86_64")]
fn with_mxcsr<T>(flags: u32, work: impl FnOnce() -> T) -> T {
    fn load(value: u32) {
        // SAFETY: reads four bytes of this frame; Rust code that runs meanwhile computes with subnormals flushed.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &value, options(nostack, readonly)) };
    }
    let mut before = 0u32;
    // SAFETY: writes four bytes of this frame.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut before, options(nostack)) };
    load(before | flags);
    let result = work();
    load(before);
    result
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_thread_that_flushes_subnormals_is_refused_and_nothing_is_changed() {
    const FTZ: u32 = 1 << 15;
    const DAZ: u32 = 1 << 6;
    let pair = Pair::small();
    let groups = || Optimizer::builder(&Device::host()).group(Sgd::new(0.1), &[pair.tensor()]);
    let mut opt = groups().build().unwrap();
    for flags in [FTZ, DAZ, FTZ | DAZ] {
        assert!(matches!(with_mxcsr(flags, || groups().build()), Err(Error::FlushedSubnormals)), "build, {flags:#x}");
        assert_eq!(with_mxcsr(flags, || opt.step(&Stream::host())), Err(Error::FlushedSubnormals), "step, {flags:#x}");
        assert_eq!((pair.param.read(), status(&opt).t), (vec![1.0; 4], 0));
    }
    opt.step(&Stream::host()).unwrap();
    assert_eq!(status(&opt).t, 1);
}

#[test]
fn subnormal_parameters_and_gradients_are_kept() {
    let tiny = f32::from_bits(3);
    let pair = Pair::new(&[tiny, 0.0], &[0.0, tiny]);
    let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(1.0), &[pair.tensor()]).build().unwrap();
    opt.step(&Stream::host()).unwrap();
    assert_eq!(pair.param.read(), [tiny, -tiny]);
}
