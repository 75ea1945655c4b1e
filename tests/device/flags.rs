//! Flags that stay up: launches that overlapped, ends that came. They are lowered, and ends are moved, by an edit.

use instep::{Accumulate, AdamW, Clip, NonFinite, OptimizerBuilder, Schedule, Sgd, Telemetry, Tensor, knob};

use crate::rig::Rig;
use crate::twins::Twins;

/// Leaves in the ticket of the update, which follows the control block, what a launch that still runs would have: `arrivals`
/// blocks that began with call `call`.
fn leave_in_the_ticket(rig: &Rig, control: u64, arrivals: u32, call: u32) {
    rig.finish();
    rig.context.bind_to_thread().unwrap();
    // SAFETY: the ticket is 8 bytes of a live allocation, and nothing runs.
    unsafe { cudarc::driver::result::memcpy_htod_sync(control + 128, &[arrivals, call.wrapping_mul(arrivals)]) }
        .unwrap();
}

#[test]
fn blocks_of_another_call_among_those_of_this_one_are_seen_and_the_flag_stays() {
    let Some(rig) = Rig::new() else { return };
    let add = |b: OptimizerBuilder, t: &[Tensor]| {
        b.group(AdamW::new(1e-2), t).accumulate(Accumulate::sum(1)).telemetry(Telemetry::ring(16))
    };
    let mut twins = Twins::new(&rig, &[70, 5_000], add);
    let mut records = twins.device.telemetry().unwrap();
    twins.steps(3);
    twins.expect_same("nothing overlaps");
    assert!(!twins.device.status(&rig.stream).unwrap().overlapped);
    // One that looks ahead, a pack, three tiles. As many blocks of a launch that began a call ago have taken their tickets.
    let blocks = 1 + 1 + 3;
    leave_in_the_ticket(&rig, twins.device.device_view().t, blocks, 2);
    twins.device.step(&rig.stream).unwrap();
    let status = twins.device.status(&rig.stream).unwrap();
    assert!(status.overlapped && status.calls == 4, "{status:?}");
    twins.device.step(&rig.stream).unwrap();
    let status = twins.device.status(&rig.stream).unwrap();
    assert!(status.overlapped && status.calls == 5, "it stays up, and calls are committed: {status:?}");
    let flags: Vec<bool> = records.finish(&rig.stream).unwrap().iter().map(|record| record.overlapped).collect();
    assert_eq!(flags, [false, false, false, false, true]);

    twins.device.edit().lower_flags().apply(&rig.stream).unwrap();
    twins.device.step(&rig.stream).unwrap();
    assert!(!twins.device.status(&rig.stream).unwrap().overlapped);
}

#[test]
fn no_launch_waits_for_ever_after_others_overlapped() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_some() {
        // There it is a race, and reported as one.
        return println!("skipped: a commit comes too early, which only a GPU lets pass");
    }
    let mut twins = Twins::new(&rig, &[70, 5_000], |b, t| b.group(Sgd::new(1e-2), t).stop_at(5));
    twins.steps(1);
    // As if all blocks of two launches had taken their tickets before either committed.
    for arrivals in [1, 4, 9] {
        leave_in_the_ticket(&rig, twins.device.device_view().t, arrivals, 1);
        let before = twins.device.status(&rig.stream).unwrap().calls;
        for _ in 0..3 {
            twins.device.step(&rig.stream).unwrap();
        }
        let status = twins.device.status(&rig.stream).unwrap();
        assert!(status.overlapped && status.calls >= before + 2, "{arrivals} arrivals: {status:?}");
        twins.device.edit().lower_flags().apply(&rig.stream).unwrap();
    }
    assert!(twins.device.status(&rig.stream).unwrap().t >= 5);
}

/// Two streams that nothing orders, on a GPU, where launches do run at the same time.
#[test]
fn steps_on_two_streams_at_once_are_seen() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_some() {
        return println!("skipped: kernels run one after the other there");
    }
    let twins = Twins::new(&rig, &[70, 3_000_000], |b, t| b.group(Sgd::new(1e-2), t).clip(Clip::torch_norm(1.0)));
    let (mut opt, other) = (twins.device, rig.device.new_stream().unwrap());
    rig.finish();
    for _ in 0..200 {
        opt.step(&rig.stream).unwrap();
        opt.step(&other).unwrap();
    }
    other.synchronize().unwrap();
    let status = opt.status(&rig.stream).unwrap();
    assert!(status.overlapped, "{status:?}");
    assert!(status.calls > 0, "no commit waits for ever: {status:?}");
}

#[test]
fn a_rate_that_still_is_below_its_floor_ends_again_at_once_unless_the_edit_lifts_it() {
    let Some(rig) = Rig::new() else { return };
    let lr = || Schedule::linear(1.0, knob("end", 0.0)).over(8);
    let mut twins = Twins::new(&rig, &[70], |b, t| b.group(Sgd::new(lr()), t).stop_below(0.5));
    let stop = |twins: &Twins<'_>| twins.device.status(&rig.stream).unwrap().stop;
    twins.steps(6);
    assert!(stop(&twins));
    twins.edit(|edit| edit.lower_flags());
    twins.expect_same("the rate still is below");
    assert!(stop(&twins));
    twins.edit(|edit| edit.lower_flags().set("end", 0.75));
    twins.expect_same("the rate is above");
    assert!(!stop(&twins));
    twins.edit(|edit| edit.set("end", 0.0));
    twins.expect_same("it fell");
    assert!(stop(&twins));

    // In a warm-up nothing has ended that could end again.
    let warm =
        |b: OptimizerBuilder, t: &[Tensor]| b.group(Sgd::new(Schedule::linear(0.0, 1.0).over(8)), t).stop_below(0.5);
    let mut twins = Twins::new(&rig, &[70], warm);
    twins.steps(2);
    twins.edit(|edit| edit.lower_flags());
    twins.expect_same("warming up");
    assert!(!stop(&twins));
}

#[test]
fn flags_are_lowered_and_the_end_is_moved_by_an_edit() {
    let Some(rig) = Rig::new() else { return };
    let mut twins =
        Twins::new(&rig, &[70], |b, t| b.group(Sgd::new(0.5), t).stop_at(2).non_finite(NonFinite::SkipAndRaise(2)));
    let stop = |twins: &Twins<'_>| {
        let status = twins.device.status(&rig.stream).unwrap();
        (status.stop, status.raised)
    };
    twins.steps(2);
    twins.skipped_step();
    twins.skipped_step();
    twins.expect_same("both flags are up");
    assert_eq!(stop(&twins), (true, true));

    twins.edit(|edit| edit.lower_flags());
    twins.expect_same("both are down");
    assert_eq!(stop(&twins), (false, false));
    assert_eq!(twins.device.status(&rig.stream).unwrap().skipped_in_a_row, 0);
    twins.skipped_step();
    assert_eq!(stop(&twins), (false, false), "one skip in a row since then");
    twins.steps(1);
    twins.expect_same("the end still holds");
    assert_eq!(stop(&twins), (true, false));

    twins.edit(|edit| edit.lower_flags().stop_at(5));
    twins.steps(1);
    assert_eq!(stop(&twins), (false, false));
    twins.steps(1);
    twins.expect_same("the end has moved");
    assert_eq!(stop(&twins), (true, false));
    assert_eq!(twins.refused(|edit| edit.stop_at(0)), "stop_at is 0, but must be at least 1");
}
