//! Schedules of every constructor, with values that need not make sense: all of them can be written and read.

use instep::{Number, Schedule, Steps, Warmup, knob, knob_steps, reached, step};
use proptest::collection::vec;
use proptest::prelude::*;

fn real() -> impl Strategy<Value = f64> {
    let any = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |value| value.is_finite());
    prop_oneof![2 => any, 2 => -10.0..10.0f64, 1 => prop::sample::select(vec![0.0, -0.0, 1.0, 5e-324, f64::MAX, 3e-4])]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_]{1,8}", ".{0,4}"]
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![
        6 => real().prop_map(Number::from),
        1 => (name(), real()).prop_map(|(name, value)| knob(name, value)),
        1 => Just(reached()),
    ]
}

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![2 => 0..1_000u64, 1 => any::<u64>(), 1 => Just(u64::MAX)]
}

fn steps() -> impl Strategy<Value = Steps> {
    prop_oneof![
        8 => part(),
        1 => (name(), count(), part(), 0..1_000u64).prop_map(|(name, value, a, b)| knob_steps(name, value) - a + b),
    ]
}

fn part() -> impl Strategy<Value = Steps> {
    prop_oneof![
        6 => count().prop_map(Steps::from),
        1 => (-9..0i32).prop_map(Steps::from),
        1 => (name(), count()).prop_map(|(name, value)| knob_steps(name, value)),
    ]
}

fn ramp() -> impl Strategy<Value = Schedule> {
    (0..12, number(), number(), number(), number(), steps()).prop_map(|(shape, from, to, a, b, over)| {
        match shape {
            0 => Schedule::linear(from, to),
            1 => Schedule::cosine(from, to),
            2 => Schedule::cosine_power(from, to, a, b),
            3 => Schedule::polynomial(from, to, a),
            4 => Schedule::polynomial_k(from, to, a, b),
            5 => Schedule::power_rise(from, to, a),
            6 => Schedule::one_minus_sqrt(from, to),
            7 => Schedule::exponential(from, to),
            8 => Schedule::tanh_ramp(from, to, a, b),
            9 => Schedule::rex(from, to, a),
            10 => Schedule::half_life(from, to),
            _ => Schedule::log_rise(from, to),
        }
        .over(over)
    })
}

fn endless() -> impl Strategy<Value = Schedule> {
    (0..5, number(), number(), number(), steps()).prop_map(|(form, a, b, c, every)| match form {
        0 => Schedule::exponential_decay(a, b),
        1 => Schedule::step_decay(a, b, every),
        2 => Schedule::inverse_sqrt(a, b),
        3 => Schedule::inverse_time(a, b),
        _ => Schedule::power_law(a, b, c),
    })
}

/// Steps of a list, some with names.
fn listed() -> impl Strategy<Value = Vec<Steps>> {
    vec(steps(), 0..4)
}

fn given() -> impl Strategy<Value = Schedule> {
    prop_oneof![
        (number(), number(), listed()).prop_map(|(init, factor, at)| Schedule::multi_step(init, factor, at)),
        (number(), number(), steps(), vec(real(), 0..4))
            .prop_map(|(init, factor, of, at)| Schedule::multi_step_fractions(init, factor, of, at)),
        (listed(), vec(real(), 0..4)).prop_map(|(at, values)| Schedule::piecewise_constant(at, values)),
        (listed(), vec(real(), 0..4)).prop_map(|(at, values)| Schedule::piecewise_linear(at, values)),
        (vec(count(), 0..4), vec(real(), 0..4)).prop_map(|(at, values)| Schedule::piecewise_cosine(at, values)),
        vec(real(), 0..4).prop_map(Schedule::table),
    ]
}

fn wrapped(inner: impl Strategy<Value = Schedule>) -> impl Strategy<Value = Schedule> {
    let convention =
        prop::sample::select(vec![Warmup::FromZero, Warmup::FromFirst, Warmup::Between, Warmup::ZeroTwice]);
    (0..9, inner, steps(), number(), number(), count(), any::<i32>(), convention).prop_map(
        |(form, inner, steps, min, max, times, exponent, convention)| match form {
            0 => inner.over(steps),
            1 => inner.delay(steps),
            2 => inner.every(steps),
            3 => inner.warmup_as(convention, steps),
            4 => inner.clamp(min, max),
            5 => inner.repeat(),
            6 => inner.repeat_times(times),
            7 => inner.pow_int(exponent),
            _ => inner.on_progress(),
        },
    )
}

fn unary(inner: impl Strategy<Value = Schedule>) -> impl Strategy<Value = Schedule> {
    (0..9, inner).prop_map(|(op, of)| match op {
        0 => -of,
        1 => of.abs(),
        2 => of.floor(),
        3 => of.sqrt(),
        4 => of.exp(),
        5 => of.ln(),
        6 => of.sin(),
        7 => of.cos(),
        _ => of.tanh(),
    })
}

fn combined(inner: impl Strategy<Value = Schedule> + Clone) -> impl Strategy<Value = Schedule> {
    (0..15, inner.clone(), inner.clone(), inner, steps()).prop_map(|(op, a, b, c, boundary)| match op {
        0 => a + b,
        1 => a - b,
        2 => a * b,
        3 => a / b,
        4 => a.floor_div(b),
        5 => a.modulo(b),
        6 => a.pow(b),
        7 => a.min(b),
        8 => a.max(b),
        9 => a.less(b),
        10 => a.less_equal(b),
        11 => a.equal(b),
        12 => a.select(b, c),
        13 => a.then(b).then(c),
        _ => Schedule::join([a, b], [boundary]),
    })
}

pub fn schedule() -> impl Strategy<Value = Schedule> {
    let leaf = prop_oneof![
        2 => number().prop_map(Schedule::constant),
        1 => Just(step()),
        6 => ramp(),
        3 => endless(),
        3 => given(),
    ];
    leaf.prop_recursive(
        5,
        16,
        3,
        |inner| prop_oneof![2 => wrapped(inner.clone()), 1 => unary(inner.clone()), 2 => combined(inner)],
    )
}
