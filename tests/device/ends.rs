//! The stop flag: raised by the device when the end comes, at the same call as on the host, and never lowered.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Clip, Greedy, Observed, OptimizerBuilder, Plateau, Schedule, Sgd, Stream, Tensor, Tuning, knob};

use crate::rig::Rig;
use crate::twins::Twins;

impl Twins<'_> {
    /// One more step on both sides; the flag, which must be the same.
    fn stops(&mut self, rig: &Rig) -> bool {
        self.steps(1);
        self.flag(rig)
    }

    fn flag(&self, rig: &Rig) -> bool {
        rig.finish();
        let status = self.device.status(&rig.stream).unwrap();
        assert_eq!(status, self.host.status(&Stream::host()).unwrap());
        status.stop
    }
}

/// Up to 1 in steps of 0.25, then down to 0.
fn there_and_back() -> Schedule {
    Schedule::linear(0.0, 1.0).over(4).then(Schedule::linear(1.0, 0.0).over(4))
}

#[test]
fn the_end_by_rate_comes_before_the_first_update_below_it_and_not_in_the_warm_up() {
    let Some(rig) = Rig::new() else { return };
    // Rates: 0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25.
    let mut twins =
        Twins::new(&rig, &[70], |builder, tensors| builder.group(Sgd::new(there_and_back()), tensors).stop_below(0.6));
    let stops: Vec<bool> = (0..9).map(|_| twins.stops(&rig)).collect();
    // Update 6 would have the rate 0.5; updates 0 to 5 were made.
    assert_eq!(stops, [false, false, false, false, false, true, true, true, true]);
}

#[test]
fn the_end_is_seen_by_whichever_block_commits() {
    let Some(rig) = Rig::new() else { return };
    for seed in 0..6 {
        // Enough tiles that block 0, which looks for the end, is not the last one.
        let tuning = Tuning { vectors: 1, ..Tuning::default() };
        let mut twins = Twins::new(&rig, &[100_000], |builder, tensors| {
            let builder = builder.clip(Clip::torch_norm(1.0)).tuning(tuning);
            builder.group(Sgd::new(there_and_back()), tensors).stop_below(0.6)
        });
        if let Some(standin) = rig.standin {
            standin.seed(seed);
        }
        let stops: Vec<bool> = (0..8).map(|_| twins.stops(&rig)).collect();
        assert_eq!(stops, [false, false, false, false, false, true, true, true], "seed {seed}");
    }
}

#[test]
fn the_end_by_rate_waits_for_the_last_group() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[70, 8], |builder, tensors| {
        let slow = Schedule::linear(1.0, 0.0).over(10);
        let builder = builder.group(Sgd::new(there_and_back()), &tensors[..1]).group(Sgd::new(slow), &tensors[1..]);
        builder.stop_below(0.45)
    });
    let stops: Vec<bool> = (0..7).map(|_| twins.stops(&rig)).collect();
    // At 6 the first group has 0.5; at 7 it has 0.25 and the second one 0.3.
    assert_eq!(stops, [false, false, false, false, false, false, true]);
}

#[test]
fn a_skipped_update_ends_nothing() {
    let Some(rig) = Rig::new() else { return };
    let lr = Schedule::linear(1.0, 0.0).over(4);
    let mut twins =
        Twins::new(&rig, &[70], |builder, tensors| builder.group(Sgd::new(lr.clone()), tensors).stop_below(0.8));
    twins.skipped_step();
    assert!(!twins.flag(&rig), "the next update still has the rate 1");
    assert!(twins.stops(&rig));
}

#[test]
fn an_observation_or_an_edit_that_lowers_the_rate_ends_at_once() {
    let Some(rig) = Rig::new() else { return };
    let lr = || Schedule::constant(knob("lr", 1.0));
    let rule = || Sgd::new(lr()).metric(Plateau::new().factor(0.5).patience(0));
    let build = |builder: OptimizerBuilder, tensors: &[Tensor]| builder.group(rule(), tensors).stop_below(0.6);

    let mut twins = Twins::new(&rig, &[70], build);
    twins.observe(1.0);
    assert!(!twins.stops(&rig));
    twins.observe(1.0);
    assert!(twins.flag(&rig), "no step is needed to see it");

    let mut twins = Twins::new(&rig, &[70], build);
    twins.edit(|edit| edit.set("lr", 0.7));
    assert!(!twins.stops(&rig));
    twins.edit(|edit| edit.set("lr", 0.5));
    assert!(twins.flag(&rig));
    twins.edit(|edit| edit.set("lr", 0.9));
    assert!(twins.stops(&rig), "the flag stays");
}

#[test]
fn a_rate_that_begins_below_the_floor_has_to_rise_before_it_falls() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[70], |builder, tensors| {
        builder.group(Sgd::new(Schedule::constant(knob("lr", 0.1))), tensors).stop_below(0.5)
    });
    let rates = [0.2, 0.05, 0.6, 0.5, 0.4];
    let stops: Vec<bool> = rates
        .into_iter()
        .map(|rate| {
            twins.edit(|edit| edit.set("lr", rate));
            twins.stops(&rig)
        })
        .collect();
    assert_eq!(stops, [false, false, false, false, true]);
}

#[test]
fn the_end_comes_when_every_plateau_has_given_up() {
    let Some(rig) = Rig::new() else { return };
    let plateau = |patience| Plateau::new().factor(0.5).patience(patience).min_scale(0.5);
    let mut twins = Twins::new(&rig, &[70, 8, 8], |builder, tensors| {
        builder
            .group(Sgd::new(1.0).metric(plateau(0)), &tensors[..1])
            .group(Sgd::new(1.0).metric(plateau(2)), &tensors[1..2])
            // One that is greedy never gives up, and is not waited for.
            .group(Sgd::new(1.0).metric(Greedy::new()), &tensors[2..])
            .stop_on_plateau()
    });
    let mut stops = Vec::new();
    for _ in 0..8 {
        twins.observe(1.0);
        stops.push(twins.stops(&rig));
    }
    // The first observation is the best. Patience 0 reduces at the 2nd and gives up at the 3rd, patience 2 at the 4th and 7th.
    assert_eq!(stops, [false, false, false, false, false, false, true, true]);
}

#[test]
fn a_captured_step_that_observes_by_itself_raises_the_flag() {
    let Some(rig) = Rig::new() else { return };
    let (loss, mut host_loss) = (rig.array(&[1.0], 0), Box::new(1.0f32));
    let host_loss_at = &raw mut *host_loss as u64;
    let addresses = std::cell::RefCell::new(vec![host_loss_at, loss.address()]);
    let mut twins = Twins::new(&rig, &[70], |builder, tensors| {
        let address = addresses.borrow_mut().pop().expect("the device is built first");
        let rule = Sgd::new(1.0).metric(Plateau::new().factor(0.5).patience(0).min_scale(0.25));
        // SAFETY: both losses outlive the optimizers.
        unsafe { builder.group(rule, tensors).stop_on_plateau().observe_every(2, Observed::f32(address)) }
    });
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    twins.device.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let mut stops = Vec::new();
    for _ in 0..9 {
        graph.launch().unwrap();
        twins.host.step(&Stream::host()).unwrap();
        stops.push(twins.flag(&rig));
    }
    // Updates 1, 3, 5 and 7 observe: the best, to 0.5, to 0.25, given up.
    assert_eq!(stops, [false, false, false, false, false, false, false, true, true]);
}
