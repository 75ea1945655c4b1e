//! The language: numbers, the rules of each form, values and boundaries without end.

use instep::{Schedule, Steps, Warmup, knob_steps, step};

use super::{FINITE, NOT_IN_F32, refused, written};

/// What cures a schedule that breaks its rule late.
const CURE: &str = ": end it before that with `over`, or bound it with `clamp`";

#[test]
fn no_number_of_a_schedule_is_infinite_or_no_number() {
    type Form = (&'static str, fn(f64) -> Schedule);
    let forms: [Form; 21] = [
        ("constant", Schedule::constant),
        ("linear.from", |x| Schedule::linear(x, 1.0).over(2)),
        ("linear.to", |x| Schedule::linear(1.0, x).over(2)),
        ("cosine.from", |x| Schedule::cosine(x, 1.0).over(2)),
        ("cosine.to", |x| Schedule::cosine(1.0, x).over(2)),
        ("polynomial.from", |x| Schedule::polynomial(x, 1.0, 2.0).over(2)),
        ("polynomial.to", |x| Schedule::polynomial(1.0, x, 2.0).over(2)),
        ("polynomial.power", |x| Schedule::polynomial(1.0, 2.0, x).over(2)),
        ("exponential.from", |x| Schedule::exponential(x, 1.0).over(2)),
        ("exponential.to", |x| Schedule::exponential(1.0, x).over(2)),
        ("exponential_decay.init", |x| Schedule::exponential_decay(x, 0.5)),
        ("exponential_decay.factor", |x| Schedule::exponential_decay(1.0, x)),
        ("step_decay.init", |x| Schedule::step_decay(x, 0.5, 3)),
        ("step_decay.factor", |x| Schedule::step_decay(1.0, x, 3)),
        ("multi_step.init", |x| Schedule::multi_step(x, 0.5, [1])),
        ("multi_step.factor", |x| Schedule::multi_step(1.0, x, [1])),
        ("multi_step.init", |x| Schedule::multi_step_fractions(x, 0.5, 10, [0.1])),
        ("multi_step.factor", |x| Schedule::multi_step_fractions(1.0, x, 10, [0.1])),
        ("clamp.min", |x| Schedule::constant(1.0).clamp(x, 2.0)),
        ("clamp.max", |x| Schedule::constant(1.0).clamp(0.0, x)),
        ("product[1].constant", |x| Schedule::constant(1.0) * x),
    ];
    for (argument, form) in forms {
        for x in NOT_IN_F32 {
            let error = refused(form(x).at(0));
            assert_eq!(error, [argument, written(x), FINITE]);
        }
    }
    for x in [f64::NAN, f64::INFINITY, -0.1, 1.000_001] {
        let error = refused(Schedule::multi_step_fractions(1.0, 0.5, 10, [0.5, x]).at(0));
        assert_eq!(
            error,
            ["multi_step.milestones[1]", &x.to_string(), "must lie in [0, 1], as it is a fraction of total_steps"]
        );
    }
}

#[test]
fn every_form_keeps_its_own_rules() {
    let endless = Schedule::constant(1.0);
    let short = || Schedule::constant(1.0).over(1);
    let cases = [
        (Schedule::multi_step(1.0, 0.5, [3, 2]), "multi_step.milestones[1]", "2", "must exceed the one before, 3"),
        (Schedule::multi_step(1.0, 0.5, [3, 7, 7]), "multi_step.milestones[2]", "7", "must exceed the one before, 7"),
        (
            Schedule::multi_step_fractions(1.0, 0.5, 10, [0.3, 0.3]),
            "multi_step.milestones[1]",
            "0.3",
            "must exceed the one before, 0.3",
        ),
        (
            Schedule::multi_step_fractions(1.0, 0.5, 1, [0.6, 0.3, 0.9]),
            "multi_step.milestones[1]",
            "0.3",
            "must exceed the one before, 0.6",
        ),
        (
            Schedule::multi_step(1.0, 0.5, [3.into(), knob_steps("second", 2)]),
            "multi_step.milestones[1]",
            "2",
            "must exceed the one before, 3",
        ),
        (
            Schedule::multi_step(1.0, 0.5, [Steps::from(3), (-1).into()]),
            "multi_step.milestones[1]",
            "-1",
            "must be a count of steps, from 0 to 2^64 - 1",
        ),
        (
            Schedule::piecewise_linear([knob_steps("a", 5), knob_steps("b", 5)], [1.0, 0.5]),
            "piecewise_linear.steps[1]",
            "5",
            "must exceed the one before, 5",
        ),
        (Schedule::step_decay(1.0, 0.5, 0), "step_decay.every", "0", "must be at least 1"),
        (Schedule::exponential_decay(1.0, -0.5), "exponential_decay.factor", "-0.5", "must not be negative"),
        (Schedule::step_decay(1.0, -0.5, 2), "step_decay.factor", "-0.5", "must not be negative"),
        (Schedule::polynomial(1.0, 2.0, 0.0).over(2), "polynomial.power", "0", "must be above 0"),
        (Schedule::polynomial(1.0, 2.0, -1.0).over(2), "polynomial.power", "-1", "must be above 0"),
        (
            Schedule::exponential(1.0, -1.0).over(2),
            "exponential.to",
            "-1",
            "must be of the same sign as from, 1, and neither may be 0",
        ),
        (
            Schedule::exponential(0.0, 1.0).over(2),
            "exponential.to",
            "1",
            "must be of the same sign as from, 0, and neither may be 0",
        ),
        (endless.clone().clamp(2.0, 1.0), "clamp.min", "2", "must not exceed max, 1"),
        (
            endless.clone().then(short()),
            "then[0]",
            "without an end",
            "must have one, as every piece but the last: give it one with `over`",
        ),
        (
            short().then(endless.clone()).then(short()),
            "then[1]",
            "without an end",
            "must have one, as every piece but the last: give it one with `over`",
        ),
        (
            endless.clone().repeat(),
            "repeat",
            "of a schedule without an end",
            "must have one, to begin again there: give it one with `over`",
        ),
        (endless.clone().over(0).repeat(), "repeat", "of 0 steps", "must be of at least 1"),
        (short().repeat_times(0), "repeat.times", "0", "must be at least 1"),
        (short().then(Schedule::linear(1.0, 1e39).over(2)), "then[1].linear.to", "1e39", ""),
    ];
    for (schedule, argument, value, rule) in cases {
        let error = refused(schedule.at(0));
        assert_eq!(error[..2], [argument, value], "{schedule:?}");
        assert!(rule.is_empty() || error[2] == rule, "{schedule:?}: {}", error[2]);
        assert_eq!(refused(schedule.trace([0])), error, "`trace` checks what `at` checks");
    }
}

#[test]
fn a_schedule_that_could_become_infinite_is_refused_until_it_ends_or_is_clamped() {
    let growth = || Schedule::exponential_decay(1.0, 1.01);
    let [argument, _, rule] = refused(growth().at(0));
    assert_eq!(argument, "schedule");
    assert_eq!(rule, format!("must be finite in f32 at every step{CURE}"));
    let ended = refused(growth().over(10_000).at(0));
    assert!(ended[1].starts_with("1 to 1.63582871118") && ended[1].ends_with("e43"), "{ended:?}");
    assert_eq!([&ended[0], &ended[2]], ["schedule", &rule]);
    assert_eq!(refused(Schedule::step_decay(1.0, 2.0, 10).at(0)), ["schedule", "1 to inf", &rule]);
    let [argument, _, rule] = refused((growth() * 0.5).at(0));
    assert_eq!((&*argument, rule), ("product[0]", format!("must be finite at every step{CURE}")));
    growth().over(1_000).at(0).unwrap();
    growth().clamp(0.0, 2.0).at(0).unwrap();

    // Twelve factors of 3e38 outgrow f64 on the way, and 0 times infinity is no number.
    let huge = (0..12).map(|_| Schedule::linear(0.0, 3e38).over(2)).reduce(Schedule::product).unwrap();
    assert!(!refused(huge.clone().at(0))[2].contains("over"), "an end earlier does not help");
    refused((huge.clone() * 0.0).at(2));
    refused((huge * Schedule::linear(1.0, 0.0).over(2)).clamp(0.0, 1.0).at(2));
}

#[test]
fn an_operand_that_leaves_its_domain_later_is_told_what_to_add() {
    let falling = || 1.0 - step() / 900.0;
    let cases = [
        (falling().pow(0.9), "pow[0]", "must not be negative at any step"),
        ((1.0 - falling()).pow(-0.5), "pow[0]", "must be above 0 at every step, with an exponent of -0.5"),
        (falling().sqrt(), "sqrt", "must not be of a negative value at any step"),
        (falling().ln(), "ln", "must be of a value above 0 at every step"),
        (1.0 / falling(), "div[1]", "must not be 0 at any step, as it divides"),
        (falling().pow_int(-2), "pow_int", "must not be of 0 at any step, with exponent -2"),
    ];
    for (schedule, argument, rule) in cases {
        let [named, _, told] = refused(schedule.clone().at(0));
        let cured = schedule.over(899).at(0).is_ok();
        assert_eq!((&*named, told.starts_with(&format!("{rule}{CURE}"))), (argument, cured), "{told}");
    }
    // What is outside from the first step on has no cure.
    assert_eq!(refused(Schedule::constant(-1.0).sqrt().at(0))[2], "must not be of a negative value at any step");
}

#[test]
fn drops_of_a_short_run_that_come_to_one_step_count_each() {
    let values = |total: u64| -> Vec<f64> {
        let schedule = Schedule::multi_step_fractions(1.0, 0.5, total, [0.3, 0.6, 0.9]);
        (0..=total).map(|step| schedule.at(step).unwrap()).collect()
    };
    assert_eq!(values(10), [1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125]);
    assert_eq!(values(3), [1.0, 0.5, 0.25, 0.125]);
    assert_eq!(values(2), [1.0, 0.25, 0.125]);
    assert_eq!(values(1), [0.5, 0.125]);
    assert_eq!(values(0), [0.125]);
}

#[test]
fn boundaries_stay_below_2_64() {
    let rule = "must leave all boundaries below 2^64";
    let long = || Schedule::constant(1.0).over(u64::MAX);
    let three = || Schedule::constant(1.0).over(3);
    assert_eq!(refused(three().then(long()).then(three()).at(0))[0], "then[1]");
    assert_eq!(refused(three().then(long()).at(0))[2], rule);
    for form in [Warmup::FromZero, Warmup::FromFirst, Warmup::Between, Warmup::ZeroTwice] {
        let [argument, _, broken] = refused(three().warmup_as(form, u64::MAX).at(0));
        assert_eq!((&*argument, &*broken), ("warmup.steps", rule), "{form:?}");
    }
    let [argument, value, rule] = refused(three().repeat_times(1 << 63).at(0));
    assert_eq!((&*argument, &*value), ("repeat.times", "9223372036854775808"));
    assert_eq!(rule, "must stay below 2^64 with 3 steps each time");
}

#[test]
fn a_schedule_nests_at_most_64_levels_and_has_at_most_4096_parts() {
    let nested = |levels| (1..levels).fold(Schedule::constant(1.0), |inner, _| inner.over(5));
    nested(64).at(0).unwrap();
    let error = refused(nested(65).at(0));
    assert_eq!(error, ["schedule", "nested more than 64 levels deep", "must nest at most 64 levels"]);

    // The chain itself is a part, too.
    let chain = |parts| (1..parts).map(|_| Schedule::linear(0.0, 1.0).over(1)).reduce(Schedule::then).unwrap();
    chain(4_096).at(0).unwrap();
    let error = refused(chain(4_097).at(0));
    assert_eq!(error, ["schedule", "made of more than 4096 parts", "must have at most 4096"]);
    let milestones: Vec<u64> = (0..4_097).collect();
    assert_eq!(
        refused(Schedule::multi_step(1.0, 0.5, milestones).at(0))[..2],
        ["multi_step.milestones", "a list of 4097"]
    );
}
