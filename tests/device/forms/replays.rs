//! A captured step replayed a thousand times with skips in between, and a run that goes on from another's state, in every form.

use instep::{NonFinite, OptimizerBuilder, Stream};

use super::sides::{Group, Sides};
use super::{kinds, rule, scaled};
use crate::rig::Rig;
use crate::values::Random;

/// Small tensors of every form: packs, a tail, whole blocks.
fn groups() -> Vec<Group> {
    let kinds = kinds().into_iter().enumerate();
    kinds.map(|(i, kind)| (rule(i, &kind), kind, vec![(5, (i % 4, 0)), (256, (0, 0)), (70, (0, i % 4))])).collect()
}

fn options(builder: OptimizerBuilder, _: u64) -> OptimizerBuilder {
    scaled(builder).non_finite(NonFinite::Skip)
}

/// In the middle each side goes on from the other's state.
#[test]
fn a_thousand_replays_with_skips_and_a_resume_have_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let mut sides = Sides::new(&rig, Random::units, &groups(), options);
    sides.step();
    let step = sides.capture();
    let mut skipped = 0;
    for replay in 0..1_000 {
        if replay % 50 == 0 {
            let bad = replay % 100 == 50;
            skipped += if bad { 50 } else { 0 };
            sides.renew(bad.then_some(f32::NAN));
        }
        sides.replay(&step);
        if replay % 250 == 0 {
            sides.assert_equal(&format!("replay {replay}"));
        }
        if replay == 500 {
            let states = [sides.device.state(&rig.stream).unwrap(), sides.host.state(&Stream::host()).unwrap()];
            assert!(states[0] == states[1], "the states of both sides are one");
            sides.device.load_state(&states[1], &rig.stream).unwrap();
            sides.host.load_state(&states[0], &Stream::host()).unwrap();
        }
    }
    sides.assert_equal("the end");
    assert_eq!(sides.device.status(&rig.stream).unwrap().skipped, skipped);
}

/// Another optimizer, whose own masters, remainders and states are wiped by those of the block.
#[test]
fn a_new_optimizer_goes_on_from_a_state_to_the_bit() {
    let Some(rig) = Rig::new() else { return };
    // Masters that the engine gave are its own to keep.
    let own = || groups().into_iter().filter(|(_, kind, _)| !kind.masters).collect::<Vec<_>>();
    let (mut first, mut second) =
        (Sides::new(&rig, Random::units, &own(), options), Sides::new(&rig, Random::units, &own(), options));
    for _ in 0..7 {
        first.step();
        first.renew(None);
    }
    let state = first.host.state(&Stream::host()).unwrap();
    for _ in 0..3 {
        second.step();
        second.renew(None);
    }
    second.take_memory(&first);
    second.device.load_state(&state, &rig.stream).unwrap();
    second.host.load_state(&state, &Stream::host()).unwrap();
    for call in 0..3 {
        first.step();
        second.step();
        second.assert_equal(&format!("call {call} after the resume"));
        assert!(first.params.bytes() == second.params.bytes(), "call {call}: as the run that was not stopped");
    }
}
