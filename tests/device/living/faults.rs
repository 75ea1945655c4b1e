//! Planted faults of what may change while an optimizer runs.

use super::run::{drive, whole_groups, world};
use super::world::World;
use crate::faults::{assert_caught, plant};
use crate::planted::Fault;
use crate::rig::Rig;
use instep::{Dynamic, Sgd, StateForm, WhenBusy};

const FAULTS: &[Fault] = &[
    ("a tensor at rest is in the norm", "if (tensor.slot != NO_SLOT) after_tensor(tensor);", ""),
    ("a frozen tensor is in the norm", "if (grad == 0) return true;", "if (grad == 0 && tensor.len != 9) return true;"),
    ("a late tensor has t's count", "write.bits - t);", "write.bits);"),
    ("a tensor of its own history has no count", "load_row(age_at(step, t, (u32)write.bits))", "(u64)0"),
    ("a tensor that rests is counted", "age_rests(step, age) ? base - 1 : base", "false ? base - 1 : base"),
    (
        "a skipped update counts for those that rest",
        "store_row(step.ages + (t & 1) * step.age_capacity + i",
        "store_row(step.ages + (~t & 1) * step.age_capacity + i",
    ),
    ("what cohorts remember goes on at rest", "cohort_rests(step, i / WIDTH) ? 0 : 1", "1"),
    ("a flag is not looked at", "return load_row(flag) == 0.0f;", "return false;"),
    ("a tile goes by a former cohort", "if (tensor.cohort == cohort) return;", "return;"),
    ("a new cohort remembers nothing", "copy_of_cohort<COHORT_MEMORY>(step, t, (u32)write.bits, write.place);", ""),
    ("what groups remember is not levelled", "if (edit.flags & Edit::level_memory)", "if (false)"),
    ("a tensor scales nothing", "in[0] = in[0] * at.scales.rate;", ""),
    ("a group at rest goes on", "const bool resting = MAY_REST &&", "const bool resting = false &&"),
    ("a cohort is in no list", "cohort != NO_COHORT; cohort = next)", "cohort == group.first_cohort; cohort = next)"),
];

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    plant(rig.standin.expect("faults are planted on the stand-in"));
    let (mut world, mut flag) = world(&rig, StateForm::F32);
    drive(&mut world, &mut flag, 120, 10);
    whole_groups(&mut world);
}

#[test]
fn every_planted_fault_of_changes_is_caught() {
    assert_caught("living::faults::scenario", FAULTS);
}

/// One tensor whose gradient moves twice before any work has run.
fn moves_twice(world: &mut World<'_>) -> usize {
    for grad in [1, 0, 1] {
        world.step();
        world.places[0].grad = Some(grad);
        world.rebind(&[0]);
    }
    world.step();
    world.differing_bits("after two moves")
}

fn of_one_slot<'r>(rig: &'r Rig, when_busy: WhenBusy) -> World<'r> {
    World::new(rig, 3, &[(0, 5_000, 0)], 1, |builder, _, tensors| {
        builder.dynamic(Dynamic::new().slots(1).when_busy(when_busy)).group(Sgd::new(0.1), &tensors(0))
    })
}

#[test]
fn a_slot_is_not_touched_while_its_copy_is_in_flight() {
    let Some(rig) = Rig::new() else { return };
    assert_eq!(moves_twice(&mut of_one_slot(&rig, WhenBusy::Wait)), 0);
    let Some(standin) = rig.standin else { return println!("skipped: faults are planted on the stand-in") };
    // The planted fault: the driver says that a copy is done which is not.
    standin.let_events_lie(true);
    // Work runs later than it is enqueued, by chance: not in each try.
    let tries = (0..50).map(|_| moves_twice(&mut of_one_slot(&rig, WhenBusy::Wait)));
    let differing = tries.into_iter().find(|differing| *differing > 0);
    standin.let_events_lie(false);
    let differing = differing.expect("a slot that is reused too early is caught");
    println!("a slot reused while its copy is in flight: {differing} elements differ");
}

#[test]
fn with_all_slots_in_flight_a_call_is_refused_if_it_must_not_wait() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: whether a copy is in flight is for the stand-in to say");
    }
    let mut world = of_one_slot(&rig, WhenBusy::Refuse);
    let id = world.places[0].ids.unwrap()[0];
    let addresses = [0, 1].map(|k| world.places[0].grads[k].addresses()[0]);
    // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
    let mut rebind = |k: usize| unsafe { world.device.rebind(&[(id, Some(addresses[k]))], &rig.stream) };
    let refused = (0..100).find_map(|call| rebind(call % 2).err());
    let error = refused.expect("some call comes before the copy of the one before has run");
    assert_eq!(error, instep::Error::Busy { slots: 1 });
    assert!(error.to_string().contains("all 1 slots are in flight"), "{error}");
    rig.finish();
    rebind(0).unwrap();
}
