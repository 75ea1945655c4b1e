//! Schedules in words: every accepted schedule has some, and their steps follow each other without a gap.

#[path = "serde/any_schedule.rs"]
mod any_schedule;

use instep::{Schedule, Warmup, knob_steps, reached, recipes};
use proptest::prelude::*;

/// The steps that a line is about: the first, and the last if there is one.
fn span(line: &str) -> (u64, Option<u64>) {
    let words: Vec<&str> = line.split(':').next().unwrap().split(' ').collect();
    match words[..] {
        ["step", at] => (at.parse().unwrap(), Some(at.parse().unwrap())),
        ["steps", from, "to", to] => (from.parse().unwrap(), Some(to.parse().unwrap())),
        ["from", "step", at, "on"] => (at.parse().unwrap(), None),
        _ => panic!("{line}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, max_global_rejects: 400_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_schedule_is_explained_from_its_first_step_to_for_ever(schedule in any_schedule::schedule()) {
        prop_assume!(schedule.len().is_ok());
        let text = schedule.explain().unwrap();
        let spans: Vec<_> = text.lines().map(span).collect();
        prop_assert_eq!(spans[0].0, 0, "{}", text);
        for pair in spans.windows(2) {
            prop_assert_eq!(pair[0].1.and_then(|last| last.checked_add(1)), Some(pair[1].0), "{}", text);
        }
        prop_assert!([None, Some(u64::MAX)].contains(&spans.last().unwrap().1), "{}", text);
    }
}

#[test]
fn each_piece_has_its_steps_its_words_and_its_values() {
    let lr = Schedule::linear(0.0, 1.0)
        .over(4)
        .then(Schedule::constant(1.0).over(1))
        .then(Schedule::cosine(reached(), 0.0).over(0))
        .then(Schedule::step_decay(1.0, 0.5, 2));
    let text = "steps 0 to 3: linear from 0 to 1 (0 to 0.75)\n\
                step 4: constant 1\n\
                from step 5 on: 1, times 0.5 every 2 steps (starts at 1)\n";
    assert_eq!(lr.explain().unwrap(), text);

    let late = Schedule::constant(2.0).over(3).warmup_as(Warmup::ZeroTwice, 4);
    let text = "steps 0 to 4: 0 twice, then linear warm-up (0 to 1.5)\n\
                steps 5 to 7: constant 2\n\
                from step 8 on: 2\n";
    assert_eq!(late.explain().unwrap(), text);
    assert!(Schedule::constant(1.0).then(Schedule::constant(2.0)).explain().is_err());
}

#[test]
fn a_milestone_that_is_a_knob_is_shown_with_its_name() {
    let steps = Schedule::multi_step(1.0, 0.5, [knob_steps("decay_at_1", 30), 60.into()]);
    let text = "from step 0 on: 1, times 0.5 at each of [decay_at_1 (now 30), 60] (starts at 1)\n";
    assert_eq!(steps.explain().unwrap(), text);
    let lines = Schedule::piecewise_linear([0.into(), knob_steps("turn", 9), 20.into()], [1.0, 0.5, 0.0]);
    let text =
        "from step 0 on: 3 given values, the last at 20, straight lines between, with turn (now 9) (starts at 1)\n";
    assert_eq!(lines.explain().unwrap(), text);
}

#[test]
fn lengths_that_follow_from_knobs_are_shown_as_they_are_now() {
    let lr = recipes::warmup_cosine(1.0, 0.5, knob_steps("warmup", 10), knob_steps("total", 40));
    assert_eq!(lr.explain().unwrap(), recipes::warmup_cosine(1.0, 0.5, 10, 40).explain().unwrap());
    let lr = Schedule::step_decay(1.0, 0.5, knob_steps("epoch", 10) - 3 + 5u64);
    assert_eq!(
        lr.explain().unwrap(),
        "from step 0 on: 1, times 0.5 every epoch (now 10) + 5 - 3 steps (starts at 1)\n"
    );
}
