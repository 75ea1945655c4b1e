//! Any schedule that is accepted has a finite value at every step; ranges that are promised at build hold at every step.

use instep::{Device, Optimizer, Schedule, Sgd, Warmup};
use proptest::prelude::*;

use crate::owned::Pair;

/// Any number that f32 holds, with zeros, the largest and the smallest ones among them; of either sign.
fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => -10.0..10.0f64,
        2 => (-37.0..37.0f64).prop_map(|exponent| 10.0f64.powf(exponent)),
        1 => prop::sample::select(vec![0.0, -0.0, f64::from(f32::MAX), f64::from(f32::MIN), 1e-45, 5e-324, 1.0, 1e-300]),
    ]
}

fn length() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..20u64, 2 => 0..1u64 << 40, 1 => prop::sample::select(vec![1, 1 << 53, 1 << 62, u64::MAX])]
}

fn factor() -> impl Strategy<Value = f64> {
    prop_oneof![4 => 0.0..1.0f64, 2 => 0.9..1.1f64, 1 => value().prop_map(f64::abs)]
}

fn step() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0..40u64, 2 => any::<u64>(), 1 => (0..64u32).prop_map(|k| 1 << k), 1 => Just(u64::MAX)]
}

fn leaf() -> impl Strategy<Value = Schedule> {
    let ramp = (0..11, value(), value(), prop_oneof![0.0..4.0f64, value()], length());
    let milestones = prop::collection::btree_set(length(), 0..5);
    prop_oneof![
        value().prop_map(Schedule::constant),
        ramp.prop_map(|(shape, from, to, power, n)| match shape {
            0 => Schedule::linear(from, to).over(n),
            1 => Schedule::cosine(from, to).over(n),
            2 => Schedule::polynomial(from, to, power).over(n),
            3 => Schedule::exponential(from, to).over(n),
            4 => Schedule::cosine_power(from, to, power, 1.5).over(n),
            5 => Schedule::polynomial_k(from, to, 0.9, power).over(n),
            6 => Schedule::power_rise(from, to, power).over(n),
            7 => Schedule::tanh_ramp(from, to, -power, power).over(n),
            8 => Schedule::rex(from, to, power.fract()).over(n),
            9 => Schedule::half_life(from, to).over(n),
            _ => Schedule::log_rise(from, to).over(n),
        }),
        (value(), value()).prop_map(|(init, timescale)| Schedule::inverse_sqrt(init, timescale)),
        (value(), value()).prop_map(|(init, rate)| Schedule::inverse_time(init, rate.abs())),
        (value(), -3.0..3.0f64, value()).prop_map(|(factor, power, shift)| Schedule::power_law(factor, power, shift)),
        (value(), value(), length()).prop_map(|(a, b, n)| Schedule::piecewise_linear([n, n.saturating_add(7)], [a, b])),
        (value(), factor()).prop_map(|(init, factor)| Schedule::exponential_decay(init, factor)),
        (value(), factor(), length()).prop_map(|(init, factor, every)| Schedule::step_decay(init, factor, every)),
        (value(), factor(), milestones).prop_map(|(init, factor, at)| Schedule::multi_step(
            init,
            factor,
            at.into_iter().collect::<Vec<_>>()
        )),
        (value(), factor(), length()).prop_map(|(init, factor, n)| Schedule::multi_step_fractions(
            init,
            factor,
            n,
            [0.3, 0.6, 0.9]
        )),
    ]
}

fn schedule() -> impl Strategy<Value = Schedule> {
    leaf().prop_recursive(4, 12, 3, |inner| {
        let forms = [Warmup::FromZero, Warmup::FromFirst, Warmup::Between, Warmup::ZeroTwice];
        prop_oneof![
            (inner.clone(), length()).prop_map(|(inner, n)| inner.over(n)),
            (inner.clone(), length(), inner.clone()).prop_map(|(first, n, next)| first.over(n).then(next)),
            (inner.clone(), inner.clone()).prop_map(|(first, next)| first.then(next)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| a * b),
            (inner.clone(), value(), value()).prop_map(|(inner, a, b)| inner.clamp(a.min(b), a.max(b))),
            (inner.clone(), prop::sample::select(forms.to_vec()), length())
                .prop_map(|(inner, form, n)| inner.warmup_as(form, n)),
            inner.clone().prop_map(Schedule::repeat),
            (inner, length()).prop_map(|(inner, times)| inner.repeat_times(times)),
        ]
    })
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 4_000, max_global_rejects: 400_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_accepted_schedule_is_finite_in_f32_at_every_step(schedule in schedule(), steps in prop::collection::vec(step(), 8)) {
        prop_assume!(schedule.at(0).is_ok());
        for step in steps {
            let value = schedule.at(step).unwrap();
            prop_assert!((value as f32).is_finite(), "{value:e} at step {step}");
        }
    }

    #[test]
    fn a_hyperparameter_is_in_the_range_that_build_checked_at_every_step(
        schedule in schedule(),
        steps in prop::collection::vec(step(), 8),
    ) {
        let pair = Pair::small();
        let emit = |rule| Optimizer::builder(&Device::host()).group(rule, &[pair.tensor()]).emit();
        let momentum = Sgd::new(0.1).momentum(instep::Momentum::Heavy, schedule.clone());
        let (as_lr, as_momentum) = (emit(Sgd::new(schedule.clone())).is_ok(), emit(momentum).is_ok());
        prop_assume!(as_lr);
        for step in steps {
            let value = schedule.at(step).unwrap();
            prop_assert!(value >= 0.0, "a learning rate of {value:e} at step {step}");
            prop_assert!(!as_momentum || value < 1.0, "a momentum of {value:e} at step {step}");
        }
    }
}
