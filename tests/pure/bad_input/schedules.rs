//! The language: numbers, the rules of each form, values and boundaries without end.

use instep::{Schedule, Steps, Warmup, knob_steps};

use super::{FINITE, NOT_IN_F32, refused};

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
            assert_eq!(error, [argument, &x.to_string(), FINITE]);
        }
    }
    for x in [f64::NAN, f64::INFINITY, -0.1, 1.000_001] {
        let error = refused(Schedule::multi_step_fractions(1.0, 0.5, 10, [0.5, x]).at(0));
        assert_eq!(error, ["multi_step.milestones[1]", &x.to_string(), "a fraction lies in [0, 1]"]);
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
            Schedule::multi_step_fractions(1.0, 0.5, 10, [0.3, 0.31]),
            "multi_step.milestones[1]",
            "3",
            "must exceed the one before, 3",
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
            "must be nonzero and of the same sign as from, 1, which must not be 0 either",
        ),
        (
            Schedule::exponential(0.0, 1.0).over(2),
            "exponential.to",
            "1",
            "must be nonzero and of the same sign as from, 0, which must not be 0 either",
        ),
        (endless.clone().clamp(2.0, 1.0), "clamp.min", "2", "must not exceed max, 1"),
        (endless.clone().then(short()), "then[0]", "without an end", "only the last piece may be; call .over(steps)"),
        (
            short().then(endless.clone()).then(short()),
            "then[1]",
            "without an end",
            "only the last piece may be; call .over(steps)",
        ),
        (endless.clone().repeat(), "repeat", "without an end", "what repeats needs one; call .over(steps)"),
        (endless.clone().over(0).repeat(), "repeat", "0 steps long", "what repeats takes at least one step"),
        (short().repeat_times(0), "repeat.times", "0", "must be at least 1"),
        (
            short().then(Schedule::linear(1.0, 1e39).over(2)),
            "then[1].linear.to",
            "1000000000000000000000000000000000000000",
            "",
        ),
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
    assert_eq!(argument, "values");
    assert_eq!(rule, "every value must be finite in f32; give it an end with .over(steps) or a .clamp(min, max)");
    assert_eq!(refused(growth().over(10_000).at(0))[0], "values");
    assert_eq!(refused(Schedule::step_decay(1.0, 2.0, 10).at(0))[0], "values");
    assert_eq!(refused((growth() * 0.5).at(0))[0], "product[0]");
    growth().over(1_000).at(0).unwrap();
    growth().clamp(0.0, 2.0).at(0).unwrap();

    // Twelve factors of 3e38 outgrow f64 on the way, and 0 times infinity is no number.
    let huge = (0..12).map(|_| Schedule::linear(0.0, 3e38).over(2)).reduce(Schedule::product).unwrap();
    refused(huge.clone().at(0));
    refused((huge.clone() * 0.0).at(2));
    refused((huge * Schedule::linear(1.0, 0.0).over(2)).clamp(0.0, 1.0).at(2));
}

#[test]
fn boundaries_stay_below_2_64() {
    let rule = "all boundaries must stay below 2^64";
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
    assert_eq!(rule, "9223372036854775808 times 3 steps must stay below 2^64");
}

#[test]
fn a_schedule_nests_at_most_64_levels_and_has_at_most_4096_parts() {
    let nested = |levels| (1..levels).fold(Schedule::constant(1.0), |inner, _| inner.over(5));
    nested(64).at(0).unwrap();
    let [argument, value, rule] = refused(nested(65).at(0));
    assert!(argument.starts_with("over.over.") && argument.ends_with(".nesting"), "{argument}");
    assert_eq!((&*value, &*rule), ("65", "a schedule nests at most 64 levels"));

    // The chain itself is a part, too.
    let chain = |parts| (1..parts).map(|_| Schedule::linear(0.0, 1.0).over(1)).reduce(Schedule::then).unwrap();
    chain(4_096).at(0).unwrap();
    let [argument, value, rule] = refused(chain(4_097).at(0));
    assert!(argument.ends_with("pieces"), "{argument}");
    assert_eq!((&*value, &*rule), ("4097", "a schedule has at most 4096"));
    let milestones: Vec<u64> = (0..4_097).collect();
    assert_eq!(refused(Schedule::multi_step(1.0, 0.5, milestones).at(0))[..2], ["multi_step.milestones", "4097"]);
}
