//! `reached()`: where it may stand, and what it is. What rounding does to the ends of a ramp.

use approx::abs_diff_eq;

use crate::error::Error;
use crate::schedule::{Schedule, knob_steps, reached, step};

fn ramp() -> Schedule {
    Schedule::linear(reached(), 0.25).over(4)
}

#[test]
fn a_ramp_starts_from_what_the_piece_before_ends_with() {
    let up = || Schedule::linear(0.0, 1.0);
    let cases = [
        (up().over(10).then(ramp()), 10, 1.0),
        (Schedule::constant(0.75).over(knob_steps("n", 5)).then(ramp()), 5, 0.75),
        (Schedule::exponential_decay(1.0, 0.5).over(3).then(ramp()), 3, 0.125),
        (Schedule::join([up().over(10), ramp()], [3u64]), 3, 0.3), // cut before its end
        (up().over(10).then(ramp().then(0.0)), 10, 1.0),
        (up().over(2).then(ramp()).then(Schedule::cosine(reached(), 1.0).over(8)), 6, 0.25),
        (up().over(0).then(ramp()), 0, 1.0),
    ];
    for (schedule, boundary, value) in cases {
        let at = schedule.at(boundary).unwrap();
        assert!(abs_diff_eq!(at, value, epsilon = 1e-15), "{schedule:?}: {at}, not {value}");
    }
}

#[test]
fn reached_is_refused_where_nothing_fixed_comes_before() {
    let after = |schedule: Schedule| Schedule::constant(1.0).over(3).then(schedule);
    let cases = [
        (ramp(), "linear.from"),
        (reached().into(), "constant"),
        (ramp().then(0.5), "then[0].linear.from"),
        (after(Schedule::linear(1.0, reached()).over(4)), "then[1].linear.to"),
        (after(reached().into()), "then[1].constant"),
        (after(Schedule::exponential(reached(), 0.1).over(4)), "then[1].exponential.from"),
        (after(ramp() * 2.0), "then[1].product[0].linear.from"),
        (after(ramp().over(2)), "then[1].over.linear.from"),
        (step().on_progress().clamp(0.0, 1.0).over(5).then(ramp()), "then[1].linear.from"),
        (Schedule::join([0.5.into(), ramp(), ramp()], [2u64, 4]), "join.pieces[2].linear.from"),
    ];
    for (schedule, place) in cases {
        match schedule.at(0) {
            Err(Error::Argument { argument, value, .. }) => {
                assert_eq!((argument.as_str(), value.as_str()), (place, "the value reached"));
            }
            other => panic!("{schedule:?}: {other:?}"),
        }
    }
}

#[test]
fn an_end_that_is_lost_beside_the_other_counts_as_0() {
    let wave = |from: f64| Schedule::cosine_power(from, 3.0, 2.0, 8.0).over(13);
    assert!(wave(1e-3).ln().len().is_ok());
    let error = wave(1e-17).ln().len().unwrap_err().to_string();
    assert!(error.contains("must be of a value above 0 at every step"), "{error}");
    assert!(Schedule::exponential(1e-17, 3.0).over(13).ln().len().is_ok(), "a geometric ramp multiplies");
}
