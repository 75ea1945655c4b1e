//! Edits of knobs: what they change, when, and what they cost; on the device and, bit for bit the same, on the host.

use instep::{
    AdamW, Edit, KnobValue, Momentum, OptimizerBuilder, Schedule, Sgd, Stream, Tensor, knob, knob_steps, reached,
};

use crate::rig::Rig;
use crate::twins::Twins;

/// Warm-up, a stable phase and a cool-down from wherever that ends.
fn wsd(peak: f64, warmup: u64, stable: u64, cooldown: u64) -> Schedule {
    let peak = || knob("peak_lr", peak);
    Schedule::linear(0.0, peak())
        .over(knob_steps("warmup_steps", warmup))
        .then(Schedule::constant(peak()).over(knob_steps("stable_steps", stable)))
        .then(Schedule::cosine(reached(), knob("end_lr", 0.0)).over(knob_steps("cooldown_steps", cooldown)))
}

#[test]
fn an_edit_between_replays_changes_the_next_rate_and_nothing_else() {
    let Some(rig) = Rig::new() else { return };
    let lr = |peak| {
        Schedule::linear(0.0, knob("peak_lr", peak)).over(5).then(Schedule::cosine(knob("peak_lr", peak), 0.0).over(30))
    };
    let mut twins = Twins::new(&rig, &[70, 4_000], |builder, tensors| {
        let rule = AdamW::new(lr(1e-2)).weight_decay(knob("decay", 0.1));
        builder.group(rule, &tensors[..1]).group(Sgd::new(lr(1e-2)).momentum(Momentum::Heavy, 0.9), &tensors[1..])
    });
    let graph = twins.capture();
    for t in 0..20u64 {
        if t == 3 || t == 12 {
            let before: Vec<_> = twins.pairs.iter().map(|pair| pair.param.read(&rig)).collect();
            let old = twins.lr(0);
            let peak = if t == 3 { 3e-2 } else { 5e-3 };
            twins.edit(|edit| edit.set("peak_lr", peak));
            let after: Vec<_> = twins.pairs.iter().map(|pair| pair.param.read(&rig)).collect();
            assert_eq!(before, after, "an edit moves no parameter");
            let status = twins.device.status(&rig.stream).unwrap();
            assert_eq!((status.t, status.skipped, status.progress), (t, 0, t), "nor a clock");
            assert_eq!(status.scalar(0, "lr"), Some(lr(peak).at(t).unwrap() as f32));
            assert_eq!(status.scalar(1, "lr"), status.scalar(0, "lr"), "both groups have the knob");
            assert_eq!(status.scalar(0, "weight_decay"), Some(0.1));
            assert_ne!(twins.lr(0), old);
        }
        graph.launch().unwrap();
        twins.host.step(&Stream::host()).unwrap();
        twins.expect_same(&format!("after replay {t}"));
    }
}

#[test]
fn several_knobs_change_together_and_a_run_can_become_longer() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::sgd(&rig, wsd(0.5, 4, 6, 8));
    twins.expect_rates(&wsd(0.5, 4, 6, 8), 0, 9);
    twins.edit(|edit| edit.set("peak_lr", 0.25).set_steps("stable_steps", 20).set_steps("cooldown_steps", 5));
    twins.expect_rates(&wsd(0.25, 4, 20, 5), 9, 22);
    let values: Vec<_> = twins.device.knobs().map(|(name, value)| (name.to_owned(), value)).collect();
    let expected = [
        ("cooldown_steps", KnobValue::Steps(5)),
        ("end_lr", KnobValue::Number(0.0)),
        ("peak_lr", KnobValue::Number(0.25)),
        ("stable_steps", KnobValue::Steps(20)),
        ("warmup_steps", KnobValue::Steps(4)),
    ];
    assert_eq!(values, expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn an_edit_is_one_launch_and_no_copy() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: driver calls are counted on the stand-in") };
    let mut twins = Twins::sgd(&rig, wsd(0.5, 4, 6, 8));
    rig.finish();
    type Change = fn(Edit<'_>) -> Edit<'_>;
    let changes: [(Change, u64); 5] = [
        (|edit| edit.set("peak_lr", 0.25), 1),
        (|edit| edit.now("stable_steps"), 1),
        (|edit| edit.progress_increment(7), 1),
        (|edit| edit.set("peak_lr", 0.125).set_steps("cooldown_steps", 3).progress_increment(9), 1),
        (|edit| edit.set("peak_lr", 0.125), 0), // it has that value
    ];
    for (change, launches) in changes {
        standin.reset_calls();
        change(twins.device.edit()).apply(&rig.stream).unwrap();
        let log = standin.call_log();
        assert_eq!(standin.calls("cuLaunchKernel"), launches, "{log:?}");
        let allowed = ["cuLaunchKernel", "cuStreamIsCapturing", "cuCtxGetCurrent"];
        assert!(log.keys().all(|name| allowed.contains(&name.as_str())), "{log:?}");
    }
}

#[test]
fn a_cooldown_starts_now_though_the_host_runs_ahead_and_updates_are_skipped() {
    let Some(rig) = Rig::new() else { return };
    for seed in 0..6 {
        if let Some(standin) = rig.standin {
            standin.seed(seed);
        }
        let mut twins = Twins::sgd(&rig, wsd(0.5, 4, 1_000_000, 8));
        // Nothing waits until `expect_rates`: steps are on the stream, and only the device knows which were applied.
        twins.steps(6);
        twins.skipped_step();
        twins.skipped_step();
        twins.steps(3);
        twins.edit(|edit| edit.now("stable_steps"));
        twins.steps(2);
        twins.skipped_step();
        assert_eq!(twins.device.knobs().find(|(name, _)| *name == "stable_steps").unwrap().1, KnobValue::Now);
        twins.expect_rates(&Schedule::cosine(0.5, 0.0).over(8), 2, 9);
        assert_eq!(twins.device.status(&rig.stream).unwrap().t, 6 + 3 + 2 + 9);
    }
}

#[test]
fn a_piece_goes_on_from_the_value_reached() {
    let Some(rig) = Rig::new() else { return };
    for steps in [0, 1, 3, 4, 5, 9, 12, 40] {
        let mut twins = Twins::sgd(&rig, wsd(0.5, 4, 6, 8));
        twins.steps(steps);
        let (before, value) = (twins.lr(0), wsd(0.5, 4, 6, 8).at(steps as u64).unwrap());
        twins.edit(|edit| edit.now("stable_steps").set("end_lr", 0.01));
        assert_eq!(twins.lr(0).to_bits(), before.to_bits(), "after {steps} steps");
        twins.expect_rates(&Schedule::cosine(value, 0.01).over(8), 0, 10);
    }
}

#[test]
fn what_was_resolved_stays_until_its_knob_is_set() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::sgd(&rig, wsd(0.5, 4, 50, 8));
    twins.steps(2);
    twins.edit(|edit| edit.now("stable_steps"));
    // The start of the cool-down and the cut warm-up are the device's; its end and its length are not.
    twins.edit(|edit| edit.set("peak_lr", 0.75).set("end_lr", 0.125).set_steps("cooldown_steps", 4));
    twins.expect_rates(&Schedule::cosine(0.25, 0.125).over(4), 0, 3);
    let refused = twins.refused(|edit| edit.set_steps("warmup_steps", 3));
    assert!(refused.contains("\"stable_steps\" was set to now"), "{refused}");
    twins.expect_rates(&Schedule::cosine(0.25, 0.125).over(4), 3, 1);
    twins.edit(|edit| edit.set_steps("stable_steps", 5));
    let mut whole = wsd(0.75, 4, 5, 4);
    whole = Schedule::join([whole, Schedule::cosine(0.75, 0.125).over(4)], [9u64]);
    twins.expect_rates(&whole, 6, 9);
    // Again, from far past the end: the cool-down starts over.
    twins.edit(|edit| edit.now("stable_steps"));
    twins.expect_rates(&Schedule::constant(0.125), 0, 5);
}

#[test]
fn now_counts_on_the_progress_clock_where_the_schedule_does() {
    let Some(rig) = Rig::new() else { return };
    let tokens =
        Schedule::constant(1.0).over(knob_steps("tokens", 1_000_000)).then(Schedule::linear(reached(), 0.0).over(50));
    let mut twins = Twins::new(&rig, &[9], |builder, tensors| {
        builder.progress_increment(10).group(Sgd::new(tokens.clone().on_progress()), tensors)
    });
    twins.steps(3);
    twins.edit(|edit| edit.progress_increment(5));
    twins.steps(2);
    twins.edit(|edit| edit.now("tokens"));
    twins.steps(4);
    twins.expect_same("after a change of the increment");
    assert_eq!(twins.device.status(&rig.stream).unwrap().progress, 3 * 10 + 6 * 5);
    assert_eq!(twins.lr(0), 1.0 - 4.0 * 5.0 / 50.0);
}

#[test]
fn boundaries_of_a_warmup_and_of_a_join_can_be_now() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::sgd(&rig, Schedule::linear(0.5, 0.0).over(8).warmup(knob_steps("warmup_steps", 20)));
    twins.steps(3);
    twins.edit(|edit| edit.now("warmup_steps"));
    twins.expect_rates(&Schedule::linear(0.5, 0.0).over(8), 0, 9);

    let pieces = [Schedule::linear(0.0, 0.5).over(4), 0.5.into(), Schedule::linear(reached(), 0.0).over(4)];
    let boundaries = [4.into(), knob_steps("end", 1_000)];
    let mut twins = Twins::sgd(&rig, Schedule::join(pieces, boundaries));
    twins.steps(6);
    twins.edit(|edit| edit.now("end"));
    twins.expect_rates(&Schedule::linear(0.5, 0.0).over(4), 0, 6);
}

#[test]
fn a_milestone_moves_between_replays_and_stays_between_its_neighbours() {
    let Some(rig) = Rig::new() else { return };
    let lr = |first, second| {
        let milestones = [knob_steps("decay_at_1", first), knob_steps("decay_at_2", second), 90.into()];
        Schedule::multi_step(0.5, 0.5, milestones)
    };
    let mut twins = Twins::sgd(&rig, lr(30, 60));
    let graph = twins.capture();
    let replay = |twins: &mut Twins<'_>, schedule: &Schedule, steps: std::ops::Range<u64>| {
        for t in steps {
            assert_eq!(twins.lr(0), schedule.at(t).unwrap() as f32, "step {t}");
            graph.launch().unwrap();
            twins.host.step(&Stream::host()).unwrap();
            twins.expect_same(&format!("after replay {t}"));
        }
    };
    replay(&mut twins, &lr(30, 60), 0..2);
    twins.edit(|edit| edit.set_steps("decay_at_1", 4));
    replay(&mut twins, &lr(4, 60), 2..6);
    let falls = twins.refused(|edit| edit.set_steps("decay_at_2", 3));
    let expected =
        "edit(decay_at_2: 3 steps).groups[0].lr.multi_step.milestones[1] is 3, but must exceed the one before, 4";
    assert_eq!(falls, expected);
    let late = twins.refused(|edit| edit.set_steps("decay_at_1", 7).set_steps("decay_at_2", 91));
    assert!(late.ends_with("milestones[2] is 90, but must exceed the one before, 91"), "{late}");
    let now = twins.refused(|edit| edit.now("decay_at_2"));
    assert!(now.starts_with("now(\"decay_at_2\") is refused, but it is a step in a list"), "{now}");
    twins.edit(|edit| edit.set_steps("decay_at_1", 7).set_steps("decay_at_2", 9));
    replay(&mut twins, &lr(7, 9), 6..11);
}

#[test]
fn the_steps_of_given_values_can_be_moved() {
    let Some(rig) = Rig::new() else { return };
    type Form = fn([instep::Steps; 3]) -> Schedule;
    let forms: [Form; 3] = [
        |at| Schedule::piecewise_constant(at, [1.0, 0.5, 0.25, 0.125]),
        |at| Schedule::piecewise_linear(at, [1.0, 0.5, 0.25]),
        |at| Schedule::piecewise_cosine(at, [1.0, 0.5, 0.25]),
    ];
    for form in forms {
        let lr = |turn| form([2.into(), knob_steps("turn", turn), 20.into()]);
        let mut twins = Twins::sgd(&rig, lr(15));
        twins.expect_rates(&lr(15), 0, 3);
        twins.edit(|edit| edit.set_steps("turn", 6));
        twins.expect_rates(&lr(6), 3, 6);
        assert!(twins.refused(|edit| edit.set_steps("turn", 2)).contains(".steps[1] is 2, but must exceed"));
    }
}

#[test]
fn more_writes_than_one_launch_holds_take_several() {
    let Some(rig) = Rig::new() else { return };
    const GROUPS: usize = 600;
    let mut twins = Twins::new(&rig, &[1; GROUPS], |builder, tensors| {
        tensors.iter().enumerate().fold(builder, |builder, (i, tensor)| {
            let rate = Schedule::constant(knob(format!("lr{i}"), 0.5)).over(knob_steps("steps", 9));
            let lr = rate.then(Schedule::linear(reached(), 0.0).over(4));
            builder.group(Sgd::new(lr), std::slice::from_ref(tensor))
        })
    });
    if let Some(standin) = rig.standin {
        rig.finish();
        standin.reset_calls();
    }
    twins.edit(|edit| (0..GROUPS).fold(edit, |edit, i| edit.set(format!("lr{i}"), i as f64)));
    if let Some(standin) = rig.standin {
        // The rate and the start of what follows it, for each but the groups that keep theirs.
        assert_eq!(standin.calls("cuLaunchKernel"), (2 * GROUPS as u64).div_ceil(239));
    }
    for group in 0..GROUPS {
        let status = twins.device.status(&rig.stream).unwrap();
        assert_eq!(status.scalar(group, "lr"), Some(group as f32), "group {group}");
    }
    twins.steps(2);
    twins.expect_same("after two steps");
    twins.edit(|edit| edit.now("steps"));
    twins.steps(2);
    twins.expect_same("in all cool-downs");
    assert_eq!(twins.lr(8), 4.0);
}

#[test]
fn knobs_of_other_names_stay_apart_though_their_values_are_equal() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[5, 6, 7], |builder, tensors| {
        let add = |builder: OptimizerBuilder, (name, tensor): (&str, &Tensor)| {
            builder.group(Sgd::new(Schedule::constant(knob(name, 0.5))), std::slice::from_ref(tensor))
        };
        ["a", "b", "a"].into_iter().zip(tensors).fold(builder, add)
    });
    twins.edit(|edit| edit.set("a", 0.25));
    assert_eq!([twins.lr(0), twins.lr(1), twins.lr(2)], [0.25, 0.5, 0.25]);
    twins.steps(1);
    twins.expect_same("after the edit");
}
