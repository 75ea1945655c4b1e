//! What the language promises: the clock, the ends of every piece, the warm-up conventions, the closed forms.

use approx::abs_diff_eq;
use instep::{Schedule, Warmup};

/// The values of `schedule` at `steps`.
#[track_caller]
fn values<const N: usize>(schedule: &Schedule, steps: [u64; N]) -> [f64; N] {
    steps.map(|step| schedule.at(step).unwrap())
}

/// Ramps of every shape from `from` to `to`.
fn ramps(from: f64, to: f64) -> Vec<instep::Ramp> {
    let mut ramps = vec![Schedule::linear(from, to), Schedule::cosine(from, to)];
    ramps.extend([0.5, 1.0, 2.0].map(|power| Schedule::polynomial(from, to, power)));
    if from * to > 0.0 {
        ramps.push(Schedule::exponential(from, to));
    }
    ramps
}

const ENDS: [(f64, f64); 6] = [(0.0, 3e-4), (3e-4, 0.0), (0.1, 0.3), (0.3, 0.1), (-2.0, 5.0), (1.0, 1.0)];

#[test]
fn a_ramp_is_its_first_value_at_0_and_exactly_its_last_at_its_end_and_after() {
    for (from, to) in ENDS {
        for ramp in ramps(from, to) {
            for n in [1, 2, 3, 7, 1_000, 1 << 24, (1 << 53) + 1, u64::MAX] {
                let schedule = ramp.clone().over(n);
                assert_eq!(
                    values(&schedule, [0, n, n.saturating_add(1), u64::MAX]),
                    [from, to, to, to],
                    "{schedule:?}"
                );
            }
        }
    }
}

#[test]
fn a_last_piece_of_length_zero_holds_its_end_value() {
    for ramp in ramps(0.1, 0.3) {
        assert_eq!(values(&ramp.clone().over(0), [0, 1, u64::MAX]), [0.3; 3], "{ramp:?}");
        let after = Schedule::constant(7.0).over(2).then(ramp.clone().over(0));
        assert_eq!(values(&after, [0, 1, 2, 3, u64::MAX]), [7.0, 7.0, 0.3, 0.3, 0.3], "{after:?}");
    }
}

#[test]
fn a_piece_of_length_zero_takes_no_time() {
    let next = Schedule::linear(2.0, 1.0).over(4);
    let plain = next.trace(0..8).unwrap();
    for ramp in ramps(8.0, 9.0) {
        assert_eq!(ramp.clone().over(0).then(next.clone()).trace(0..8).unwrap(), plain, "{ramp:?}");
        let among = Schedule::constant(5.0).over(1).then(ramp.clone().over(0)).then(next.clone());
        assert_eq!(among.trace(1..9).unwrap(), plain, "{ramp:?}");
    }
    assert_eq!(Schedule::constant(5.0).over(0).then(next).trace(0..8).unwrap(), plain);
}

#[test]
fn every_piece_has_a_clock_of_its_own_that_starts_at_its_boundary() {
    let pieces = [
        (Schedule::linear(0.0, 1.0).over(5), 5),
        (Schedule::cosine(1.0, 0.5).over(7), 7),
        (Schedule::step_decay(0.5, 0.5, 2).over(6), 6),
        (Schedule::linear(1.0, 2.0).over(3).repeat_times(2), 6),
        (Schedule::multi_step(0.1, 0.1, [2, 4]).warmup(3).over(9), 9),
        (Schedule::exponential_decay(0.3, 0.9), 20),
    ];
    let chain = pieces.iter().map(|(piece, _)| piece.clone()).reduce(Schedule::then).unwrap();
    let mut boundary = 0;
    for (piece, len) in pieces {
        for t in 0..len {
            let (ours, alone) = (chain.at(boundary + t).unwrap(), piece.at(t).unwrap());
            assert_eq!(ours.to_bits(), alone.to_bits(), "step {t} of {piece:?}");
        }
        boundary += len;
    }
}

#[test]
fn the_end_of_a_piece_belongs_to_the_next_one() {
    let chain = Schedule::linear(0.0, 1.0).over(2).then(Schedule::constant(9.0));
    assert_eq!(values(&chain, [0, 1, 2]), [0.0, 0.5, 9.0]);
}

#[test]
fn over_holds_the_value_at_its_end() {
    let schedule = Schedule::exponential_decay(1.0, 0.5).over(3);
    assert_eq!(values(&schedule, [0, 1, 2, 3, 4, u64::MAX]), [1.0, 0.5, 0.25, 0.125, 0.125, 0.125]);
    let longer_than_its_inner = Schedule::linear(0.0, 1.0).over(2).over(4).then(Schedule::constant(5.0));
    assert_eq!(values(&longer_than_its_inner, [0, 1, 2, 3, 4]), [0.0, 0.5, 1.0, 1.0, 5.0]);
}

#[test]
fn each_warm_up_convention_is_exact_at_both_of_its_ends() {
    let after = |peak: f64| Schedule::linear(peak, 0.0).over(10);
    for peak in [0.3, 1e-4, 6e-4] {
        for n in [1u64, 2, 3, 10, 1_000] {
            let warm = |form| after(peak).warmup_as(form, n);
            let zero = warm(Warmup::FromZero);
            assert_eq!(values(&zero, [0, n]), [0.0, peak], "t / n, n = {n}");
            assert_eq!(zero, after(peak).warmup(n), "`warmup` is FromZero");

            let first = warm(Warmup::FromFirst);
            assert_eq!(values(&first, [0, n - 1, n]), [peak / n as f64, peak, peak], "(t + 1) / n, n = {n}");

            let between = warm(Warmup::Between);
            assert_eq!(values(&between, [0, n]), [peak / (n + 1) as f64, peak], "(t + 1) / (n + 1), n = {n}");
            assert!(between.at(n - 1).unwrap() < peak, "the peak comes after the warm-up");

            let twice = warm(Warmup::ZeroTwice);
            assert_eq!(values(&twice, [0, 1, n + 1]), [0.0, 0.0, peak], "0 twice, n = {n}");
        }
    }
}

#[test]
fn each_warm_up_convention_follows_its_formula_and_then_starts_the_schedule() {
    type Formula = fn(f64, f64) -> f64;
    let conventions: [(Warmup, u64, Formula); 4] = [
        (Warmup::FromZero, 0, |t, n| t / n),
        (Warmup::FromFirst, 0, |t, n| (t + 1.0) / n),
        (Warmup::Between, 0, |t, n| (t + 1.0) / (n + 1.0)),
        (Warmup::ZeroTwice, 1, |t, n| (t - 1.0).max(0.0) / n),
    ];
    let (peak, n) = (0.7, 9);
    let after = Schedule::cosine(peak, 0.1).over(6);
    for (form, late, formula) in conventions {
        let warm = after.clone().warmup_as(form, n);
        for t in 0..n + late {
            let (ours, expected) = (warm.at(t).unwrap(), peak * formula(t as f64, n as f64));
            assert!(
                abs_diff_eq!(ours, expected, epsilon = 4.0 * f64::EPSILON * peak),
                "{form:?} at {t}: {ours}, expected {expected}"
            );
        }
        assert_eq!(warm.trace(n + late..n + late + 9).unwrap(), after.trace(0..9).unwrap(), "{form:?}");
        assert_eq!(after.clone().warmup_as(form, 0).trace(0..9).unwrap(), after.trace(0..9).unwrap(), "{form:?}");
    }
}

#[test]
fn a_warmed_up_piece_is_longer_by_its_warm_up() {
    for (form, len) in [(Warmup::FromZero, 7), (Warmup::FromFirst, 7), (Warmup::Between, 7), (Warmup::ZeroTwice, 8)] {
        let chain = Schedule::constant(1.0).over(3).warmup_as(form, 4).then(Schedule::constant(5.0));
        assert_eq!(values(&chain, [len - 1, len]), [1.0, 5.0], "{form:?}");
    }
}

#[test]
fn decays_drop_at_their_boundaries_and_hold_between_them() {
    let every = Schedule::step_decay(1.0, 0.5, 3);
    assert_eq!(every.trace(0..10).unwrap(), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125]);
    let steps = Schedule::multi_step(1.0, 0.5, [0, 2, 3]);
    assert_eq!(values(&steps, [0, 1, 2, 3, 4, u64::MAX]), [0.5, 0.5, 0.25, 0.125, 0.125, 0.125]);
    let fractions = Schedule::multi_step_fractions(1.0, 0.5, 90, [0.3, 0.6, 0.9]);
    assert_eq!(values(&fractions, [26, 27, 53, 54, 80, 81]), [1.0, 0.5, 0.5, 0.25, 0.25, 0.125]);
    let none = Schedule::multi_step(0.25, 0.5, Vec::<u64>::new());
    assert_eq!(values(&none, [0, u64::MAX]), [0.25, 0.25]);
    let to_zero = Schedule::exponential_decay(0.25, 0.0);
    assert_eq!(values(&to_zero, [0, 1, u64::MAX]), [0.25, 0.0, 0.0]);
}

#[test]
fn a_product_runs_its_factors_on_one_clock_as_long_as_the_longer_one() {
    let (a, b) = (Schedule::linear(1.0, 3.0).over(2), Schedule::step_decay(1.0, 0.5, 1).over(4));
    let product = a * b;
    assert_eq!(values(&product, [0, 1, 2, 3, 4, 9]), [1.0, 1.0, 0.75, 0.375, 0.1875, 0.1875]);
    let chain = product.then(Schedule::constant(8.0));
    assert_eq!(values(&chain, [3, 4]), [0.375, 8.0]);
    let scaled = Schedule::linear(0.0, 2.0).over(2) * 0.5;
    assert_eq!(values(&scaled, [0, 1, 2]), [0.0, 0.5, 1.0]);
    let zero = Schedule::exponential_decay(0.0, 2.0).over(5_000) * 1.0;
    assert_eq!(values(&zero, [0, 4_000]), [0.0, 0.0]);
}

#[test]
fn clamp_keeps_to_its_bounds_and_changes_nothing_within() {
    let inner = Schedule::linear(0.0, 1.0).over(10);
    let clamped = inner.clone().clamp(0.25, 0.75);
    for t in 0..12 {
        assert_eq!(clamped.at(t).unwrap(), inner.at(t).unwrap().clamp(0.25, 0.75), "step {t}");
    }
    let growth = Schedule::exponential_decay(1.0, 2.0).clamp(1.5, 4.0);
    assert_eq!(values(&growth, [0, 1, 2, 3, 5_000, u64::MAX]), [1.5, 2.0, 4.0, 4.0, 4.0, 4.0]);
}

#[test]
fn repeat_starts_again_at_its_end_and_repeat_times_holds_there() {
    let saw = Schedule::linear(1.0, 4.0).over(3);
    let forever = saw.clone().repeat();
    for t in [0u64, 1, 2, 3, 4, 5, 3_000_001, (1 << 63) + 1] {
        assert_eq!(forever.at(t).unwrap(), saw.at(t % 3).unwrap(), "step {t}");
    }
    let twice = saw.repeat_times(2);
    assert_eq!(values(&twice, [0, 2, 3, 5, 6, 7, u64::MAX]), [1.0, 3.0, 1.0, 3.0, 4.0, 4.0, 4.0]);
    let chain = twice.then(Schedule::constant(9.0));
    assert_eq!(values(&chain, [5, 6]), [3.0, 9.0]);
}

#[test]
fn a_schedule_is_as_exact_after_2_53_steps_as_at_its_start() {
    let far = 1u64 << 53;
    // Steps that f64 cannot tell apart are told apart.
    let late = Schedule::constant(0.0).over(far).then(Schedule::linear(0.0, 4.0).over(4));
    assert_eq!(values(&late, [far, far + 1, far + 2, far + 3, far + 4]), [0.0, 1.0, 2.0, 3.0, 4.0]);
    let drop = Schedule::multi_step(1.0, 0.5, [far + 1, far + 3]);
    assert_eq!(values(&drop, [far, far + 1, far + 2, far + 3]), [1.0, 0.5, 0.5, 0.25]);
    let cycle = Schedule::linear(0.0, 3.0).over(3).repeat();
    let phase = far % 3;
    assert_eq!(values(&cycle, [far, far + 1, far + 2]), [phase, (phase + 1) % 3, (phase + 2) % 3].map(|t| t as f64));
    let near_its_end = Schedule::linear(1.0, 0.0).over(far + 2);
    assert_eq!(near_its_end.at(far + 1).unwrap(), 1.0 / (far + 2) as f64);
    assert_eq!(Schedule::linear(0.0, 1.0).over(1u64 << 63).at(1 << 62).unwrap(), 0.5);
}

#[test]
fn ramps_never_turn_back() {
    for (from, to) in ENDS {
        for ramp in ramps(from, to) {
            for n in [10u64, 1_001, 1 << 40] {
                let schedule = ramp.clone().over(n);
                let steps = (0..=1_000).map(|i| (u128::from(n) * i / 1_000) as u64);
                let trace = schedule.trace(steps).unwrap();
                // Neighbours may differ by rounding, in the last digits of the larger end.
                let slack = 4.0 * f64::EPSILON * from.abs().max(to.abs());
                let back = trace.windows(2).find(|pair| (pair[1] - pair[0]) * (to - from).signum() < -slack);
                assert_eq!(back, None, "{schedule:?}");
            }
        }
    }
}

#[test]
fn trace_is_at_for_every_step() {
    let schedule = Schedule::cosine(3e-4, 3e-5).over(50).warmup(7).clamp(1e-5, 2e-4).repeat_times(3);
    let steps = (0..300).chain([1 << 24, 1 << 53, u64::MAX]);
    let one_by_one: Vec<f64> = steps.clone().map(|step| schedule.at(step).unwrap()).collect();
    assert_eq!(schedule.trace(steps).unwrap(), one_by_one);
}

#[test]
fn a_chain_may_have_thousands_of_pieces() {
    let pieces = (0..2_000u32).map(|i| Schedule::constant(f64::from(i)).over(2));
    let chain = pieces.reduce(Schedule::then).unwrap();
    assert_eq!(values(&chain, [0, 1, 2, 2_001, 3_999, 4_000]), [0.0, 0.0, 1.0, 1_000.0, 1_999.0, 1_999.0]);
}
