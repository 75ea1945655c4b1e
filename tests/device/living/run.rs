//! A long run in which everything that may change does, drawn from a seed.

use instep::rule::Over;
use instep::{
    AdamW, Clip, Dynamic, Lamb, NAdam, NonFinite, OptimizerBuilder, Precision, Prodigy, Schedule, Sgd, StateForm,
    Tensor,
};

use super::world::{Twin, World};
use crate::measured::rules::{DistanceSgd, NormedSgd};
use crate::rig::Rig;

const STEPS: usize = 2_000;
const SEED: u64 = 14;

/// Group, length, skew: all sizes of walks in each group. The first ones are there at build.
const SHAPES: [(usize, usize, usize); 28] = [
    (0, 2_500, 0),
    (0, 7, 1),
    (0, 64, 0),
    (0, 200, 1),
    (0, 5, 2),
    (0, 31, 0),
    (1, 5_000, 0),
    (1, 130, 2),
    (2, 4_200, 0),
    (2, 1, 0),
    (3, 2_100, 3),
    (3, 1_033, 0),
    (4, 3_000, 0),
    (4, 9, 0),
    (5, 1_200, 0),
    (5, 2_050, 1),
    (6, 4_300, 0),
    (6, 40, 0),
    (0, 0, 0),
    // To come.
    (0, 1_500, 0),
    (0, 12, 0),
    (1, 2_049, 0),
    (2, 90, 0),
    (2, 6_000, 1),
    (3, 1_077, 0),
    (3, 4_097, 0),
    (4, 40, 0),
    (4, 2_600, 0),
];
const AT_BUILD: usize = 19;

/// Rules with every kind of memory: none, of cohorts, of tensors' sums, of groups.
fn build(
    builder: OptimizerBuilder,
    flag: u64,
    states: StateForm,
    tensors: &dyn Fn(usize) -> Vec<Tensor>,
) -> OptimizerBuilder {
    let lr = Schedule::linear(0.0, 1e-2).over(50).then(Schedule::cosine(1e-2, 1e-3).over(1_500));
    let scaled: Vec<Tensor> =
        tensors(0).into_iter().enumerate().map(|(i, t)| t.rate_scale(1.0 - 0.1 * i as f64)).collect();
    let precision = || Precision::new().states(states).quantize_from(1_000);
    // Of one history, which does not begin where the clock does.
    let older: Vec<Tensor> = tensors(1).into_iter().map(|tensor| tensor.updates(3)).collect();
    let builder = builder
        .dynamic(Dynamic::new().tensors(8).elements(15_000))
        .clip(Clip::torch_norm(1.0))
        .non_finite(NonFinite::Skip)
        .group_in(precision(), AdamW::new(lr).weight_decay(0.1), &scaled)
        .group(NAdam::new(1e-3), &older)
        .group_in(precision(), Lamb::new(1e-3).weight_decay(0.01), &tensors(2))
        .group(Prodigy::new(1.0), &tensors(3))
        .group(Sgd::new(0.1), &tensors(4));
    // SAFETY: the flag outlives the optimizers.
    let builder = unsafe { builder.follow(flag) };
    builder
        .group(DistanceSgd { lr: 0.1.into(), over: Over::Group }, &tensors(5))
        .group(NormedSgd { lr: 0.1.into() }, &tensors(6))
}

/// What happened in a run: tensors without a gradient, frozen or thawed, removed, added; flags and scales that changed.
pub type Seen = [usize; 6];

/// Runs `steps` steps, and one in `rate` of them changes the tensors.
pub fn drive(world: &mut World<'_>, flag: &mut Twin, steps: usize, rate: u64) -> Seen {
    let graph = world.capture();
    let mut seen = Seen::default();
    for step in 0..steps {
        let there = world.there();
        let draw = |world: &mut World<'_>| there[world.random.next() as usize % there.len()];
        // New gradients, now and then one that is not finite.
        let bad = world.random.next().is_multiple_of(20);
        for k in 0..3 {
            let place = draw(world);
            let len = world.places[place].param.host.len();
            let mut values = world.random.units(len);
            if let (true, 0, Some(last)) = (bad, k, values.last_mut()) {
                *last = f32::NAN;
            }
            let which = world.random.next() as usize % 2;
            world.places[place].grads[which].set(world.rig, &values);
        }
        // Gradients that move, go and come back.
        let mut some: Vec<usize> = (0..if step % 3 == 0 { 4 } else { 0 }).map(|_| draw(world)).collect();
        some.sort_unstable();
        some.dedup();
        for place in &some {
            world.places[*place].grad = [None, Some(0), Some(1), Some(0)][world.random.next() as usize % 4];
            seen[0] += usize::from(world.places[*place].grad.is_none());
        }
        world.rebind(&some);
        change(world, flag, &there, rate, &mut seen);
        if world.random.next().is_multiple_of(2) {
            world.replay(&graph)
        } else {
            world.step()
        }
        assert_eq!(world.differing_bits(&format!("step {step}")), 0, "elements differ in step {step}, seed {SEED}");
    }
    seen
}

/// Perhaps one change of the tensors that are there.
fn change(world: &mut World<'_>, flag: &mut Twin, there: &[usize], rate: u64, seen: &mut Seen) {
    let place = there[world.random.next() as usize % there.len()];
    match world.random.next() % rate {
        0 | 1 => {
            let frozen = !world.places[place].frozen;
            world.freeze(&[place], frozen);
            seen[1] += 1;
        }
        2 if there.len() > 8 => {
            world.remove(place);
            seen[2] += 1;
        }
        3 | 4 => {
            let absent: Vec<usize> = (0..SHAPES.len()).filter(|place| world.places[*place].ids.is_none()).collect();
            if let Some(place) = absent.get(world.random.next() as usize % absent.len().max(1)).copied() {
                let updates = [0, 3, 1_000][world.random.next() as usize % 3];
                seen[3] += usize::from(world.add(place, |tensor| tensor.updates(updates).rate_scale(0.5)));
            }
        }
        5 => {
            let value = if flag.host[0] == 0.0 { 1.0 } else { 0.0 };
            flag.set(world.rig, &[value]);
            seen[4] += 1;
        }
        6 => {
            let (ids, scale) = (world.places[place].ids.unwrap(), 0.25 * (world.random.next() % 5) as f64);
            world.both(|opt, side, stream| opt.set_scales(&[(ids[side], scale, 1.0)], stream));
            seen[5] += 1;
        }
        _ => {}
    }
}

/// All tensors of a group freeze, or have no gradient, for some steps.
pub fn whole_groups(world: &mut World<'_>) {
    let steps = |world: &mut World<'_>, what: &str| {
        for step in 0..3 {
            world.step();
            assert_eq!(world.differing_bits(&format!("{what}, step {step}")), 0, "elements differ: {what}");
        }
    };
    // Each alone, twice: the second time it has a history of its own already.
    for place in world.there() {
        for grad in [None, Some(0), None, Some(1)] {
            world.places[place].grad = grad;
            world.rebind(&[place]);
            world.step();
            assert_eq!(world.differing_bits(&format!("place {place}")), 0, "elements differ: one alone has {grad:?}");
        }
    }
    for group in [1, 2, 3, 5, 6] {
        let all: Vec<usize> = world.there().into_iter().filter(|place| world.places[*place].group == group).collect();
        let thawed = |world: &World<'_>| all.iter().copied().filter(|place| !world.places[*place].frozen).collect();
        let frozen: Vec<usize> = thawed(world);
        world.freeze(&frozen, true);
        steps(world, "a group is frozen");
        world.freeze(&all, false);
        steps(world, "it is thawed");
        for grad in [None, Some(0)] {
            all.iter().for_each(|place| world.places[*place].grad = grad);
            world.rebind(&all);
            steps(world, "a group has no gradients, and has some");
        }
    }
}

/// A world of all rules, and the flag that its last group follows.
pub fn world(rig: &Rig, states: StateForm) -> (World<'_>, Twin) {
    let flag = Twin::new(rig, vec![1.0], 0);
    let addresses = flag.addresses();
    let build =
        |builder, side: usize, tensors: &dyn Fn(usize) -> Vec<Tensor>| build(builder, addresses[side], states, tensors);
    (World::new(rig, SEED, &SHAPES, AT_BUILD, build), flag)
}

#[test]
fn two_thousand_steps_of_tensors_that_come_go_freeze_and_rest_give_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let (mut world, mut flag) = world(&rig, StateForm::F32);
    let seen = drive(&mut world, &mut flag, STEPS, 40);
    whole_groups(&mut world);
    let status = world.device.status(&rig.stream).unwrap();
    println!("seed {SEED}: absent, frozen, removed, added, flag, scales: {seen:?}");
    println!("living: {STEPS} steps, {} skipped, 0 differing bits", status.skipped);
    assert!(seen.iter().all(|count| *count > 10) && status.skipped > 50, "{seen:?}");
}

#[test]
fn the_same_with_states_of_eight_bits() {
    let Some(rig) = Rig::new() else { return };
    let (mut world, mut flag) = world(&rig, StateForm::EightBit);
    let seen = drive(&mut world, &mut flag, 200, 10);
    assert!(seen.iter().all(|count| *count > 5), "{seen:?}");
    whole_groups(&mut world);
}
