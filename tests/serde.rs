//! Schedules and configurations as data: what is written comes back bit for bit, what people write by hand is understood,
//! and what is wrong is an error that names the place.
#![cfg(feature = "serde")]

#[path = "serde/any_schedule.rs"]
mod any_schedule;
#[path = "serde/config.rs"]
mod config;
#[path = "serde/keras.rs"]
mod keras;

use instep::compat::Metric;
use instep::{
    Better, Config, Error, Greedy, GroupConfig, Improvement, Plateau, Schedule, Warmup, knob, knob_steps, reached, step,
};
use proptest::prelude::*;

/// Debug shows every bit of a number but a NaN's, and tells -0 from 0, which `==` does not.
fn shown(schedule: &Schedule) -> String {
    format!("{schedule:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_schedule_comes_back_from_json_and_toml_bit_for_bit(schedule in any_schedule::schedule()) {
        let json = serde_json::to_string(&schedule).unwrap();
        let back: Schedule = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{e} in {json}"));
        prop_assert_eq!(shown(&back), shown(&schedule), "{}", json);

        let config = Config::new([GroupConfig::new(schedule.clone())]);
        let toml = config.to_toml().unwrap();
        let back: Config = toml::from_str(&toml).unwrap_or_else(|e| panic!("{e} in {toml}"));
        prop_assert_eq!(shown(back.groups[0].lr()), shown(&schedule), "{}", toml);
    }
}

#[test]
fn a_configuration_comes_back_whole() {
    let decay = GroupConfig::new(Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200));
    let mut decay = decay.with("weight_decay", Schedule::linear(0.0, 0.1).over(100));
    decay.name = Some("decay".to_owned());
    for (name, value) in [("beta1", 0.9), ("beta2", 0.95), ("eps", 1e-8)] {
        decay.set(name, value);
    }
    let plain = GroupConfig::new(knob("peak_lr", 0.1)).with("momentum", Schedule::linear(0.85, 0.95).over(7));
    let mut plain = plain.with("dampening", 0.5);
    plain.metric = Some(Metric::Plateau(Plateau::new().factor(0.5).patience(3)));
    let improvement = Improvement::absolute(Better::Higher, 0.01);
    let mut greedy = GroupConfig::new(0.1);
    greedy.metric =
        Some(Metric::Greedy(Greedy::new().smooth(4).reset_after(2).starts_outside().improvement(improvement)));
    let mut config = Config::new([decay, plain, greedy]);
    config.metric = Some(Metric::Plateau(Plateau::new().min_scale(0.5)));
    assert_eq!(Config::from_json(&config.to_json().unwrap()).unwrap(), config);
    assert_eq!(Config::from_toml(&config.to_toml().unwrap()).unwrap(), config);
}

#[test]
fn what_people_write_by_hand_is_understood() {
    let peak = || knob("peak_lr", 3e-4);
    let cases = [
        ("3e-4", Schedule::constant(3e-4)),
        ("0", Schedule::constant(0.0)),
        (r#"{"constant": 1}"#, Schedule::constant(1.0)),
        (r#"{"knob": "peak_lr", "value": 3e-4}"#, Schedule::constant(peak())),
        (r#"{"value": 3e-4, "knob": "peak_lr"}"#, Schedule::constant(peak())),
        (r#""step""#, step()),
        (r#"{"linear": {"from": 0, "to": 3e-4, "over": 200}}"#, Schedule::linear(0.0, 3e-4).over(200)),
        (r#"{"linear": {"over": 1e5, "to": 1, "from": 0}}"#, Schedule::linear(0.0, 1.0).over(100_000)),
        (
            r#"{"then": [{"linear": {"from": 0, "to": {"knob": "peak_lr", "value": 3e-4}, "over": 200}},
                {"cosine": {"from": "reached", "to": 0, "over": {"knob": "decay_steps", "value": 1800}}}]}"#,
            Schedule::linear(0.0, peak())
                .over(200)
                .then(Schedule::cosine(reached(), 0.0).over(knob_steps("decay_steps", 1_800))),
        ),
        (
            r#"{"warmup": {"steps": 5, "rex": {"from": 1, "to": 0, "d": 0.5, "over": 10}}}"#,
            Schedule::rex(1.0, 0.0, 0.5).over(10).warmup(5),
        ),
        (
            r#"{"warmup": {"as": "zero_twice", "constant": 2, "steps": 5}}"#,
            Schedule::constant(2.0).warmup_as(Warmup::ZeroTwice, 5),
        ),
        (
            r#"{"repeat": {"over": {"steps": 7, "exponential_decay": {"init": 1, "factor": 0.9}}}}"#,
            Schedule::exponential_decay(1.0, 0.9).over(7).repeat(),
        ),
        (r#"{"repeat": {"times": 3, "over": {"steps": 7, "step": {}}}}"#, step().over(7).repeat_times(3)),
        (
            r#"{"multi_step": {"init": 0.1, "factor": 0.1, "milestones": [30, 60]}}"#,
            Schedule::multi_step(0.1, 0.1, [30, 60]),
        ),
        (
            r#"{"multi_step": {"init": 0.1, "factor": 0.1, "milestones": [{"knob": "decay_at_1", "value": 30}, 60]}}"#,
            Schedule::multi_step(0.1, 0.1, [knob_steps("decay_at_1", 30), 60.into()]),
        ),
        (
            r#"{"piecewise_linear": {"steps": [0, {"value": 9, "knob": "turn"}], "values": [0, 1]}}"#,
            Schedule::piecewise_linear([0.into(), knob_steps("turn", 9)], [0.0, 1.0]),
        ),
        (
            r#"{"multi_step": {"init": 0.1, "factor": 0.1, "milestones": [0.3, 1], "total_steps": 90}}"#,
            Schedule::multi_step_fractions(0.1, 0.1, 90, [0.3, 1.0]),
        ),
        (r#"{"product": [{"min": [{"div": ["step", 100]}, 1]}, 3e-4]}"#, (step() / 100.0).min(1.0) * 3e-4),
        (r#"{"clamp": {"min": 0, "max": 1, "sqrt": "step"}}"#, step().sqrt().clamp(0.0, 1.0)),
    ];
    for (text, expected) in cases {
        let read: Schedule = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e} in {text}"));
        assert_eq!(shown(&read), shown(&expected), "{text}");
    }
}

#[test]
fn the_written_form_is_short() {
    let lr = Schedule::linear(0.0, 3e-4).over(200).then(Schedule::cosine(3e-4, 3e-5).over(1_800)).clamp(1e-6, 1.0);
    let text = r#"{"clamp":{"min":1e-6,"max":1.0,"then":[{"linear":{"from":0.0,"to":0.0003,"over":200}},{"cosine":{"from":0.0003,"to":0.00003,"over":1800}}]}}"#;
    assert_eq!(serde_json::to_string(&lr).unwrap(), text);
    let config = Config::new([GroupConfig::new(Schedule::constant(0.1).warmup(5))]);
    let text = "version = 1\n\n[[groups]]\n\n[groups.lr.warmup]\nsteps = 5\nconstant = 0.1\n";
    assert_eq!(config.to_toml().unwrap(), text);
}

/// The error for a first group whose `lr` is fine and a second one whose fields are `fields`.
fn refused(fields: &str) -> Error {
    let text = format!(r#"{{"version": 1, "groups": [{{"lr": 0.1}}, {{{fields}}}]}}"#);
    Config::from_json(&text).unwrap_err()
}

#[test]
fn what_is_not_in_the_format_is_an_error_that_names_the_place() {
    let cases = [
        (r#""lr": 0.1, "nmae": "all""#, "groups[1].nmae", "nmae is not a key of a group; the nearest is name"),
        (r#""lr": 0.1, "ema": "all""#, "groups[1].ema", "\"all\" is not a schedule: a number"),
        (r#""lr": 0.1, "lr": 0.2"#, "groups[1]", "lr is given twice"),
        (r#""lr": 0.1, "beta1": 0.2, "beta1": 0.2"#, "groups[1]", "beta1 is given twice"),
        (r#""weight_decay": 0.1"#, "groups[1]", "lr is missing"),
        (r#""lr": "fast""#, "groups[1].lr", "\"fast\" is not a schedule: a number"),
        (r#""lr": {}"#, "groups[1].lr", "an empty object is not a schedule"),
        (r#""lr": null"#, "groups[1].lr", "null is not a schedule"),
        (
            r#""lr": {"lineer": {}}"#,
            "groups[1].lr",
            "lineer is not a schedule; the nearest is linear; the documentation of instep::Schedule has all",
        ),
        (
            r#""lr": {"linear": {"from": 0, "too": 1, "over": 5}}"#,
            "groups[1].lr.linear.too",
            "too is not a key here; the nearest is to; there are from, to, over",
        ),
        (r#""lr": {"linear": {"from": 0, "to": 1}}"#, "groups[1].lr.linear", "over is missing"),
        (
            r#""lr": {"then": [{"linear": {"from": 0, "to": 1, "over": "five"}}, 1]}"#,
            "groups[1].lr.then[0].linear.over",
            "\"five\" is not a count of steps",
        ),
        (
            r#""lr": {"linear": {"from": 0, "to": 1, "over": 2.5}}"#,
            "groups[1].lr.linear.over",
            "2.5 is not a count of steps",
        ),
        (r#""lr": {"then": []}"#, "groups[1].lr.then", "a list of 0 is not a list of one schedule or more"),
        (r#""lr": {"step": {}, "sqrt": 1}"#, "groups[1].lr", "this one has `step` and `sqrt`"),
        (r#""lr": {"warmup": {"steps": 5}}"#, "groups[1].lr.warmup", "it lacks its schedule"),
        (r#""lr": {"warmup": {"constant": 1}}"#, "groups[1].lr.warmup", "steps is missing"),
        (
            r#""lr": {"warmup": {"steps": 5, "constant": 1, "sqrt": 2}}"#,
            "groups[1].lr.warmup",
            "`sqrt` is neither a field (`steps`, `as`) nor may it follow `constant`",
        ),
        (
            r#""lr": {"warmup": {"steps": 5, "as": "cold", "constant": 1}}"#,
            "groups[1].lr.warmup.as",
            "cold is not known",
        ),
        (r#""lr": {"knob": "x"}"#, "groups[1].lr", "value is missing"),
        (
            r#""lr": {"linear": {"from": 0, "to": {"knob": "x", "value": "y"}, "over": 5}}"#,
            "groups[1].lr.linear.to.value",
            "\"y\" is not a number",
        ),
        (
            r#""lr": {"multi_step": {"init": 1, "factor": 0.1, "milestones": [0.3]}}"#,
            "groups[1].lr.multi_step",
            "milestones[0] is 0.3, but must be a step; fractions need total_steps beside them",
        ),
        (
            r#""lr": {"multi_step": {"init": 1, "factor": 0.1, "total_steps": 9, "milestones": [{"knob": "x", "value": 3}]}}"#,
            "groups[1].lr.multi_step",
            "milestones[0] is the knob \"x\", but fractions of total_steps must be numbers",
        ),
        (
            r#""lr": {"multi_step": {"init": 1, "factor": 0.1, "milestones": [{"knob": "x"}]}}"#,
            "groups[1].lr.multi_step.milestones[0]",
            "value is missing",
        ),
        (r#""lr": {"product": [1]}"#, "groups[1].lr.product", "a list of 1 is not"),
        (
            r#""lr": 1, "metric": {"plateau": {"pace": 2}}"#,
            "groups[1].metric.plateau.pace",
            "pace is not a key here; there are factor, patience",
        ),
        (r#""lr": 9007199254740993"#, "groups[1].lr", "f64 does not hold the integer 9007199254740993"),
    ];
    for (fields, expected_place, expected_detail) in cases {
        match refused(fields) {
            Error::Format { place, detail } => {
                assert_eq!(place, expected_place, "{fields}: {detail}");
                assert!(detail.contains(expected_detail), "{fields}: {detail}");
            }
            other => panic!("{fields}: {other:?}"),
        }
    }
}

#[test]
fn a_value_that_a_schedule_refuses_is_an_error_with_the_same_path() {
    let cases = [
        (
            r#""lr": {"then": [{"linear": {"from": 0, "to": 1, "over": -5}}, 1]}"#,
            "groups[1].lr.then[0].linear.over is -5, but must be a count of steps, from 0 to 2^64 - 1",
        ),
        (
            r#""lr": 1, "beta1": {"rex": {"from": 1, "to": 0, "d": 1, "over": 9}}"#,
            "groups[1].beta1.rex.d is 1, but must lie in [0, 1)",
        ),
        (
            r#""lr": {"join": {"pieces": [1, {"rex": {"from": 1, "to": 0, "d": 1, "over": 9}}], "boundaries": [4]}}"#,
            "groups[1].lr.join.pieces[1].rex.d is 1, but must lie in [0, 1)",
        ),
        (
            r#""lr": {"repeat": {"times": 2, "warmup": {"steps": 1, "step_decay": {"init": 1, "factor": 0.5, "every": 0}}}}"#,
            "groups[1].lr.repeat.warmup.step_decay.every is 0, but must be at least 1",
        ),
        (
            r#""lr": {"then": [0.1, 0.2]}"#,
            "groups[1].lr.then[0] is without an end, but must have one, as every piece but the last: give it one with `over`",
        ),
        (
            r#""lr": {"multi_step": {"init": 1, "factor": 0.1, "milestones": [0.3, 1.5], "total_steps": 9}}"#,
            "groups[1].lr.multi_step.milestones[1] is 1.5, but must lie in [0, 1], as it is a fraction of total_steps",
        ),
        (
            r#""lr": 1, "metric": {"plateau": {"factor": 2}}"#,
            "groups[1].metric.plateau.factor is 2, but must lie in [0, 1)",
        ),
        (
            r#""lr": 1, "metric": {"greedy": {"improvement": {"better": "lower", "relative": 1}}}"#,
            "groups[1].metric.greedy.improvement.relative is 1, but must be a fraction, at least 0 and below 1",
        ),
        (r#""lr": -0.1"#, "groups[1].lr is -0.1, but must not be negative at any step"),
        (
            r#""lr": {"linear": {"from": 0.1, "to": -0.1, "over": 9}}"#,
            "groups[1].lr is -0.1 to 0.1, but must not be negative at any step",
        ),
        (r#""lr": 1, "beta1": 1.5"#, "groups[1].beta1 is 1.5, but must lie in [0, 1) at every step"),
        (r#""lr": 1, "momentum": 1"#, "groups[1].momentum is 1, but must lie in [0, 1) at every step"),
        (r#""lr": 1, "eps": 0"#, "groups[1].eps is 0, but must be above 0 and finite in f32 at every step"),
        (
            r#""lr": 0.1, "wd": 0.1"#,
            "groups[1].wd is set, but is not a hyperparameter of any update rule; docs/rules.md has all",
        ),
        (
            r#""lr": 1, "beta2": 0.9, "momentum": 0.9"#,
            "groups[1].momentum is set, but must not be set beside beta2: no update rule has both",
        ),
        (
            r#""lr": 1, "dampening": 0.1"#,
            "groups[1].dampening is set, but must not be set without momentum, which is what it dampens",
        ),
        (
            r#""lr": 1, "metric": {"plateau": {"min_scale": 2}}"#,
            "groups[1].metric.plateau.min_scale is 2, but must lie in [0, 1]: the scale starts at 1 and never rises",
        ),
        (r#""lr": 1e39"#, "groups[1].lr is 1e39, but must be finite in f32, into which every value is rounded"),
    ];
    for (fields, expected) in cases {
        let error = refused(fields);
        assert!(matches!(error, Error::Argument { .. }), "{fields}: {error:?}");
        assert_eq!(error.to_string(), expected, "{fields}");
    }
}

#[test]
fn the_drops_of_a_short_run_may_come_to_one_step() {
    let text = "version = 1\n[[groups]]\n\
                lr.multi_step = { init = 0.1, factor = 0.1, milestones = [0.3, 0.6, 0.9], total_steps = 2 }\n";
    let config = Config::from_toml(text).unwrap();
    let lr = config.groups[0].get("lr").unwrap();
    assert_eq!([0, 1, 2].map(|step| lr.at(step).unwrap() as f32), [0.1, 0.001, 0.0001]);
    let error = Config::from_toml(&text.replace("0.6", "0.3")).unwrap_err().to_string();
    assert_eq!(error, "groups[0].lr.multi_step.milestones[1] is 0.3, but must exceed the one before, 0.3");
}

#[test]
fn a_metric_rule_for_all_groups_stands_at_the_top_and_is_checked_there() {
    let read = |metric: &str, group: &str| {
        Config::from_json(&format!(r#"{{"version": 1, "metric": {metric}, "groups": [{{"lr": 1 {group}}}]}}"#))
    };
    let plateau = Plateau::new().factor(0.5);
    assert_eq!(read(r#"{"plateau": {"factor": 0.5}}"#, "").unwrap().metric, Some(Metric::Plateau(plateau)));
    let error = read(r#"{"plateau": {"factor": -0.5}}"#, "").unwrap_err().to_string();
    assert_eq!(error, "metric.plateau.factor is -0.5, but must lie in [0, 1)");
    let error = read(r#"{"plateau": {}}"#, r#", "metric": {"greedy": {}}"#).unwrap_err().to_string();
    assert_eq!(error, "metric is set, but must not be set where every group has a metric rule of its own");
}

#[test]
fn one_knob_has_one_value_in_all_groups_of_a_configuration() {
    let groups = [0.1, 0.2].map(|peak| GroupConfig::new(knob("peak_lr", peak)));
    let error = Config::new(groups).check().unwrap_err().to_string();
    assert_eq!(error, "groups[1].knob \"peak_lr\" is 0.2, but must be 0.1, as elsewhere");
}

#[test]
fn another_version_is_an_error_before_anything_else_is_looked_at() {
    for text in [r#"{"version": 2, "layers": []}"#, r#"{"layers": [], "version": 2}"#] {
        let error = Config::from_json(text).unwrap_err();
        assert_eq!(error.to_string(), "version is 2, but this build reads version 1");
    }
    let error = Config::from_toml("version = 2\n[layers]").unwrap_err();
    assert_eq!(error.to_string(), "version is 2, but this build reads version 1");
    assert!(Config::from_json("{}").unwrap_err().to_string().contains("version is missing"));
}

#[test]
fn a_configuration_has_a_group_and_nothing_after_its_end() {
    let empty = Config::from_json(r#"{"version": 1, "groups": []}"#).unwrap_err();
    assert_eq!(empty.to_string(), "groups is empty, but must hold at least one group");
    let more = Config::from_json(r#"{"version": 1, "groups": [{"lr": 1}]} {}"#).unwrap_err();
    assert!(more.to_string().contains("trailing characters"), "{more}");
}

#[test]
fn a_constant_that_no_text_can_hold_is_refused_when_it_is_written() {
    for value in [f64::NAN, f64::INFINITY] {
        for schedule in [Schedule::constant(value), Schedule::constant(knob("x", value)), Schedule::table([0.0, value])]
        {
            let config = Config::new([GroupConfig::new(schedule)]);
            assert!(config.to_json().is_err() && config.to_toml().is_err(), "{config:?}");
        }
    }
}
