//! Every recipe against values computed from its source's formula.

use std::f64::consts::PI;

use approx::abs_diff_eq;
use instep::recipes::*;
use instep::{Device, Momentum, Optimizer, Schedule, Sgd, Stream, Tensor, knob_steps};

/// Relative to the largest value: near zeros the formulas below lose digits, ours do not.
const TOLERANCE: f64 = 1e-13;

#[track_caller]
fn follows(schedule: &Schedule, steps: impl IntoIterator<Item = u64>, formula: impl Fn(f64) -> f64) {
    let steps: Vec<u64> = steps.into_iter().collect();
    let expected: Vec<f64> = steps.iter().map(|step| formula(*step as f64)).collect();
    let largest = expected.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
    for ((step, ours), expected) in steps.iter().zip(schedule.trace(steps.iter().copied()).unwrap()).zip(expected) {
        assert!(
            abs_diff_eq!(ours, expected, epsilon = TOLERANCE * largest),
            "step {step}: {ours}, expected {expected}; {schedule:?}"
        );
    }
}

/// `end + (peak - end) · (1 + cos(π x)) / 2`.
fn half_cosine(peak: f64, end: f64, x: f64) -> f64 {
    end + (peak - end) * (1.0 + (PI * x).cos()) / 2.0
}

#[test]
fn warm_up_then_cosine_linear_or_rex() {
    follows(&warmup_cosine(3e-4, 3e-5, 20, 100), 0..120, |t| match t {
        t if t < 20.0 => 3e-4 * t / 20.0,
        t => half_cosine(3e-4, 3e-5, ((t - 20.0) / 80.0).min(1.0)),
    });
    follows(&linear_to_zero(3e-4, 20, 100), 0..120, |t| match t {
        t if t < 20.0 => 3e-4 * t / 20.0,
        t => 3e-4 * (100.0 - t).max(0.0) / 80.0,
    });
    follows(&rex(0.1, 0.01, 20, 100), 0..120, |t| match t {
        t if t < 20.0 => 0.1 * t / 20.0,
        t => {
            let z = ((100.0 - t) / 80.0).max(0.0);
            0.01 + 0.09 * z / (0.5 + 0.5 * z)
        }
    });
}

#[test]
fn warmup_stable_decay_with_every_shape() {
    type Shape = fn(f64) -> f64;
    let shapes: [(Decay, Shape); 5] = [
        (Decay::Linear, |x| 1.0 - x),
        (Decay::Cosine, |x| (1.0 + (PI * x).cos()) / 2.0),
        (Decay::OneMinusSqrt, |x| 1.0 - x.sqrt()),
        (Decay::HalfLife, |x| 2.0 * 0.5f64.powf(x) - 1.0),
        (Decay::Polynomial(3.0), |x| (1.0 - x).powi(3)),
    ];
    let rest = |t: f64, decayed: &dyn Fn(f64) -> f64| match t {
        t if t < 10.0 => 0.2 * t / 10.0,
        t if t < 80.0 => 0.2,
        t => decayed(((t - 80.0) / 20.0).min(1.0)),
    };
    for (decay, shape) in shapes {
        let decayed = |x: f64| 0.02 + 0.18 * shape(x);
        follows(&wsd(0.2, 0.02, 10, 20, 100, decay), 0..110, |t| rest(t, &decayed));
    }
    let geometric = |x: f64| 0.2 * 0.1f64.powf(x);
    follows(&wsd(0.2, 0.02, 10, 20, 100, Decay::Exponential), 0..110, |t| rest(t, &geometric));
    follows(&trapezoid(0.2, 10, 20, 100), 0..110, |t| rest(t, &|x| 0.2 * (1.0 - x)));
}

#[test]
fn one_cycle_moves_the_rate_up_and_the_momentum_down() {
    let cosine = OneCycle::new(0.1, 30, 100);
    follows(&cosine.lr(), 0..110, |t| match t {
        t if t < 30.0 => half_cosine(0.1 / 25.0, 0.1, t / 30.0),
        t => half_cosine(0.1, 0.1 / 25.0 / 1e4, ((t - 30.0) / 70.0).min(1.0)),
    });
    follows(&cosine.momentum(), 0..110, |t| match t {
        t if t < 30.0 => half_cosine(0.95, 0.85, t / 30.0),
        t => half_cosine(0.85, 0.95, ((t - 30.0) / 70.0).min(1.0)),
    });
    let linear = OneCycle::new(0.1, 30, 100).phases(Phases::Three).anneal(Anneal::Linear);
    let linear = linear.init_lr(0.01).end_lr(0.001).momentum_range(0.8, 0.9);
    follows(&linear.lr(), 0..110, |t| match t {
        t if t < 30.0 => 0.01 + 0.09 * t / 30.0,
        t if t < 60.0 => 0.1 - 0.09 * (t - 30.0) / 30.0,
        t => 0.01 - 0.009 * ((t - 60.0) / 40.0).min(1.0),
    });
    follows(&linear.momentum(), 0..110, |t| match t {
        t if t < 30.0 => 0.9 - 0.1 * t / 30.0,
        t if t < 60.0 => 0.8 + 0.1 * (t - 30.0) / 30.0,
        _ => 0.9,
    });
    let _usable = Sgd::new(linear.lr()).momentum(Momentum::Heavy, linear.momentum());
}

#[test]
fn sgdr_restarts_with_longer_periods_and_lower_peaks() {
    let cycle = |t: f64, from: f64, len: f64, peak: f64| half_cosine(peak, 0.01, ((t - from) / len).min(1.0));
    follows(&sgdr(0.1, 0.01, 10, 2, 0.5, 3), 0..80, |t| match t {
        t if t < 10.0 => cycle(t, 0.0, 10.0, 0.1),
        t if t < 30.0 => cycle(t, 10.0, 20.0, 0.05),
        t => cycle(t, 30.0, 40.0, 0.025),
    });
    follows(&sgdr(0.1, 0.01, 10, 1, 1.0, 3), 0..40, |t| match t {
        t if t < 30.0 => half_cosine(0.1, 0.01, t % 10.0 / 10.0),
        _ => 0.01,
    });
}

#[test]
fn cyclic_triangles_keep_halve_or_shrink_their_height() {
    let triangle = |t: f64| {
        let phase = t % 10.0;
        if phase < 4.0 { phase / 4.0 } else { (10.0 - phase) / 6.0 }
    };
    follows(&cyclic(0.1, 0.5, 4, 6, Cyclic::Triangular), 0..45, |t| 0.1 + 0.4 * triangle(t));
    let halved = |t: f64| 0.1 + 0.4 * triangle(t) * 0.5f64.powf((t / 10.0).floor());
    follows(&cyclic(0.1, 0.5, 4, 6, Cyclic::Triangular2), 0..45, halved);
    follows(&cyclic(0.1, 0.5, 4, 6, Cyclic::ExpRange(0.99)), 0..45, |t| 0.1 + 0.4 * triangle(t) * 0.99f64.powf(t));
}

#[test]
fn infinite_cools_down_stays_and_anneals() {
    let phases = InfinitePhases { warmup_steps: 10, cooldown_steps: 20, constant_steps: 30, anneal_steps: 40 };
    follows(&infinite(0.1, 0.05, 0.001, phases), 0..120, |t| match t {
        t if t < 10.0 => 0.1 * t / 10.0,
        t if t < 30.0 => half_cosine(0.1, 0.05, (t - 10.0) / 20.0),
        t if t < 60.0 => 0.05,
        t => 0.05 * 0.02f64.powf(((t - 60.0) / 40.0).min(1.0)),
    });
}

#[test]
fn power_is_capped_at_its_peak_and_falls_with_the_tokens() {
    // The progress clock advances by 1 with each step where nothing else is said.
    follows(&power(0.02, 0.005, -0.5, 8.0, 2), 0..500, |t| {
        (t / 2.0).min(1.0) * f64::min(0.02, 8.0 * 0.005 * (t + 1.0).powf(-0.5))
    });
}

#[test]
fn a_range_test_grows_by_equal_amounts_or_equal_factors() {
    let linear = lr_range_test(1e-5, 1.0, 100, Growth::Linear);
    follows(&linear, 0..110, |t| 1e-5 + (1.0 - 1e-5) * (t / 100.0).min(1.0));
    let exponential = lr_range_test(1e-5, 1.0, 100, Growth::Exponential);
    follows(&exponential, 0..110, |t| 1e-5 * 1e5f64.powf((t / 100.0).min(1.0)));
}

#[test]
fn vision_training_drops_at_30_60_and_90_percent() {
    let steps = step_30_60_90(0.1, 90);
    let found: Vec<f64> = steps.trace([0, 26, 27, 53, 54, 80, 81, 1_000]).unwrap();
    let expected = [0.1, 0.1, 1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4];
    for (ours, expected) in found.iter().zip(expected) {
        assert!(abs_diff_eq!(ours / expected, 1.0, epsilon = TOLERANCE), "{ours}, expected {expected}");
    }
}

#[test]
fn swa_anneals_from_where_training_stopped() {
    let training = Schedule::linear(0.1, 0.0).over(100);
    follows(&swa(training, 0.02, 75, 10), 0..100, |t| match t {
        t if t < 75.0 => 0.1 * (100.0 - t) / 100.0,
        t => half_cosine(0.025, 0.02, ((t - 75.0) / 10.0).min(1.0)),
    });
}

#[test]
fn noam_and_inverse_sqrt_rise_and_then_fall_with_the_root() {
    follows(&noam(2.0, 512, 40), 0..500, |t| {
        let s = t + 1.0;
        2.0 * 512f64.powf(-0.5) * f64::min(s.powf(-0.5), s * 40f64.powf(-1.5))
    });
    follows(&inverse_sqrt(0.01, 40), 0..500, |t| if t < 40.0 { 0.01 * t / 40.0 } else { 0.01 * (40.0 / t).sqrt() });
}

#[test]
fn counts_that_do_not_fit_are_refused_and_never_repaired() {
    let refused = [
        (warmup_cosine(1.0, 0.0, 101, 100), "warmup.cosine.over is -1"),
        (linear_to_zero(1.0, 101, 100), "warmup.linear.over is -1"),
        (rex(1.0, 0.0, 101, 100), "warmup.rex.over is -1"),
        (trapezoid(1.0, 60, 50, 100), "then[0].warmup.over.steps is -10"),
        (OneCycle::new(1.0, 51, 100).phases(Phases::Three).lr(), "then[2].cosine.over is -2"),
        (wsd(1.0, 0.0, 0, 10, 20, Decay::Exponential), "then[1].exponential.to is 0"),
        (cyclic(0.1, 0.5, 0, 0, Cyclic::Triangular), "repeat is of 0 steps"),
        (inverse_sqrt(1.0, 0), "inverse_sqrt.timescale is 0"),
        (noam(1.0, 512, 0), "inf"),
    ];
    for (schedule, expected) in refused {
        let error = schedule.len().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}; expected {expected}");
    }
}

#[test]
fn lengths_that_are_knobs_give_the_values_of_plain_ones_and_move_with_an_edit() {
    let (rise, fall, total) = (|| knob_steps("rise", 20), || knob_steps("fall", 30), || knob_steps("total", 100));
    let three = |cycle: OneCycle| cycle.phases(Phases::Three).lr();
    let pairs = [
        (warmup_cosine(3e-4, 3e-5, rise(), total()), warmup_cosine(3e-4, 3e-5, 20, 100)),
        (linear_to_zero(3e-4, rise(), total()), linear_to_zero(3e-4, 20, 100)),
        (rex(3e-4, 3e-5, rise(), total()), rex(3e-4, 3e-5, 20, 100)),
        (wsd(0.2, 0.02, rise(), fall(), total(), Decay::Cosine), wsd(0.2, 0.02, 20, 30, 100, Decay::Cosine)),
        (trapezoid(0.2, rise(), 30, total()), trapezoid(0.2, 20, 30, 100)),
        (cyclic(0.1, 0.5, rise(), fall(), Cyclic::Triangular2), cyclic(0.1, 0.5, 20, 30, Cyclic::Triangular2)),
        (three(OneCycle::new(0.1, rise(), total())), three(OneCycle::new(0.1, 20, 100))),
        (OneCycle::new(0.1, rise(), total()).momentum(), OneCycle::new(0.1, 20, 100).momentum()),
        (lr_range_test(1e-5, 0.1, total(), Growth::Exponential), lr_range_test(1e-5, 0.1, 100, Growth::Exponential)),
        (step_30_60_90(0.1, total()), step_30_60_90(0.1, 100)),
        (swa(0.1.into(), 0.01, rise(), fall()), swa(0.1.into(), 0.01, 20, 30)),
    ];
    for (named, plain) in pairs {
        assert_eq!(named.trace(0..130).unwrap(), plain.trace(0..130).unwrap(), "{plain:?}");
    }

    let (mut param, grad) = ([1.0f32; 4], [0.5f32; 4]);
    // SAFETY: the arrays outlive the optimizer, and nothing else touches them.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
    let rule = Sgd::new(warmup_cosine(3e-4, 3e-5, rise(), total()));
    let mut opt = Optimizer::builder(&Device::host()).group(rule, &[tensor]).build().unwrap();
    let stream = Stream::host();
    for _ in 0..40 {
        opt.step(&stream).unwrap();
    }
    opt.edit().set_steps("total", 60).apply(&stream).unwrap();
    let lr = opt.status(&stream).unwrap().scalar(0, "lr").unwrap();
    assert_eq!(lr, warmup_cosine(3e-4, 3e-5, 20, 60).at(40).unwrap() as f32, "the rest is shorter");
    let refused = opt.edit().set_steps("total", 10).apply(&stream).unwrap_err().to_string();
    assert!(refused.contains("-10") && refused.contains("must be a count of steps"), "{refused}");
}

#[test]
fn a_boundary_that_is_a_difference_of_counts_is_set_to_now_where_that_is_the_step_it_names() {
    let build = |lr: Schedule, (param, grad): (&mut [f32; 4], &[f32; 4])| {
        // SAFETY: the arrays outlive the optimizer, and nothing else touches them.
        let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
        let mut opt = Optimizer::builder(&Device::host()).group(Sgd::new(lr), &[tensor]).build().unwrap();
        (0..20).for_each(|_| opt.step(&Stream::host()).unwrap());
        opt
    };
    let (mut param, grad) = ([1.0f32; 4], [0.5f32; 4]);
    let stable = Schedule::constant(0.2).over(knob_steps("end", 40) - 10);
    let lr = Schedule::constant(0.1).over(10).then(stable).then(0.3);
    let mut opt = build(lr, (&mut param, &grad));
    opt.edit().now("end").apply(&Stream::host()).unwrap();
    assert_eq!(opt.status(&Stream::host()).unwrap().scalar(0, "lr"), Some(0.3));

    // The stable phase ends 30 steps before the end of all: that is not where `total` is.
    let mut opt = build(wsd(0.2, 0.02, 5, 30, knob_steps("total", 100), Decay::Linear), (&mut param, &grad));
    let refused = opt.edit().now("total").apply(&Stream::host()).unwrap_err().to_string();
    assert!(refused.contains("other constants are computed from it"), "{refused}");
}

#[test]
fn a_difference_of_counts_below_0_is_refused() {
    let (warmup, total) = (knob_steps("warmup", 20), knob_steps("total", 10));
    let error = Schedule::cosine(0.1, 0.0).over(total - warmup - 5).at(0).unwrap_err().to_string();
    assert_eq!(error, "cosine.over is -15, but must be a count of steps, from 0 to 2^64 - 1");
}
