//! Metric rules: the range of every constant, for a group's own rule and for the one that groups share.

use instep::{Better, Greedy, Improvement, Metric, Plateau, Sgd, Tensor};

use super::{builder, refused};

fn empty() -> Tensor {
    // SAFETY: nothing is behind an empty tensor.
    unsafe { Tensor::f32(0, 0, 0) }
}

/// What is refused as a group's own rule is refused as the shared one, with its path.
#[track_caller]
fn refuses(metric: impl Into<Metric>, expected: [&str; 3]) {
    let metric = metric.into();
    let [argument, value, rule] = expected;
    let own = builder().group(Sgd::new(0.1), &[empty()]).group(Sgd::new(0.1).metric(metric), &[empty()]);
    assert_eq!(refused(own.build()), [&format!("groups[1].{argument}"), value, rule]);
    let shared = builder().metric(metric).group(Sgd::new(0.1), &[empty()]);
    assert_eq!(refused(shared.build()), [&format!("metric.{argument}"), value, rule]);
}

#[test]
fn the_constants_of_a_plateau_keep_to_their_ranges() {
    let factor = "must lie in [0, 1)";
    for (value, shown) in [(-0.5, "-0.5"), (1.0, "1"), (2.0, "2"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        refuses(Plateau::new().factor(value), ["plateau.factor", shown, factor]);
    }
    let min_scale = "must lie in [0, 1]: the scale starts at 1 and never rises";
    for (value, shown) in [(2.0, "2"), (1.5, "1.5"), (-1.0, "-1"), (f64::NAN, "NaN")] {
        refuses(Plateau::new().min_scale(value), ["plateau.min_scale", shown, min_scale]);
    }
    for (value, shown) in [(-0.1, "-0.1"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")] {
        let rule = "must be finite and not negative";
        refuses(Plateau::new().min_change(value), ["plateau.min_change", shown, rule]);
    }
    refuses(Plateau::new().average(0), ["plateau.average", "0", "must be at least 1 observation"]);
    let improvement = Improvement::absolute(Better::Lower, -1.0);
    let expected = ["plateau.improvement.absolute", "-1", "must be finite and not negative"];
    refuses(Plateau::new().improvement(improvement), expected);
    let improvement = Improvement::signed(Better::Lower, f64::NAN, 0.0);
    let expected = ["plateau.improvement.relative", "NaN", "must be finite"];
    refuses(Plateau::new().improvement(improvement), expected);
    for legal in [Plateau::new().factor(0.0), Plateau::new().min_scale(1.0), Plateau::new().patience(u64::MAX)] {
        legal.check().unwrap();
    }
}

#[test]
fn the_constants_of_a_greedy_rule_keep_to_their_ranges() {
    for (value, shown) in [(-0.5, "-0.5"), (0.0, "0"), (1.0, "1"), (f64::NAN, "NaN")] {
        refuses(Greedy::new().factor(value), ["greedy.factor", shown, "must be above 0 and below 1"]);
    }
    let finite = "must be finite and not negative";
    refuses(Greedy::new().bounds(-1.0, 1.0), ["greedy.min_scale", "-1", finite]);
    refuses(Greedy::new().bounds(0.5, f64::INFINITY), ["greedy.max_scale", "inf", finite]);
    refuses(Greedy::new().min_change(f64::NAN), ["greedy.min_change", "NaN", finite]);
    let low = "must not exceed 1, the scale at the start";
    refuses(Greedy::new().bounds(2.0, 4.0), ["greedy.min_scale", "2", low]);
    let high = "must be at least 1, the scale at the start";
    refuses(Greedy::new().bounds(0.1, 0.5), ["greedy.max_scale", "0.5", high]);
    let crossed = Greedy::new().bounds(4.0, 2.0).starts_outside();
    refuses(crossed, ["greedy.min_scale", "4", "must not exceed max_scale, 2"]);
    refuses(Greedy::new().smooth(0), ["greedy.smooth", "0", "must be from 1 to 65536 observations"]);
    refuses(Greedy::new().reset_after(0), ["greedy.reset_after", "0", "must be at least 1 decrease"]);
    Greedy::new().bounds(2.0, 4.0).starts_outside().check().unwrap();
}

#[test]
fn a_rule_for_all_groups_that_no_group_would_follow_is_refused() {
    let taken = builder().metric(Plateau::new()).group(Sgd::new(0.1).metric(Greedy::new()), &[empty()]);
    assert_eq!(
        refused(taken.build()),
        ["metric", "set", "must not be set where every group has a metric rule of its own"]
    );
}
