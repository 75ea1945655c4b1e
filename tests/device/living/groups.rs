//! Groups that come while an optimizer runs.

use instep::{
    AdamW, Clip, Dtype, Dynamic, Lion, Momentum, NAdam, OptimizerBuilder, Prodigy, Schedule, Sgd, Tensor, TensorId,
    knob,
};

use super::world::World;
use crate::rig::Rig;

/// The last ones are to come.
const SHAPES: [(usize, usize, usize); 9] = [
    (0, 5_000, 0),
    (0, 30, 1),
    (1, 2_100, 0),
    (2, 700, 0),
    (3, 3_000, 0),
    (3, 17, 0),
    (4, 4_200, 2),
    (5, 90, 0),
    (6, 250, 0),
];
const AT_BUILD: usize = 4;

fn cosine(peak: f64, over: u64) -> Schedule {
    Schedule::linear(0.0, peak).over(5).then(Schedule::cosine(peak, 1e-4).over(over))
}

fn build(builder: OptimizerBuilder, tensors: &dyn Fn(usize) -> Vec<Tensor>) -> OptimizerBuilder {
    builder
        .dynamic(Dynamic::new().tensors(6).elements(10_000).groups(4))
        .clip(Clip::torch_norm(1.0))
        .group(AdamW::new(cosine(1e-2, 50)).weight_decay(0.1), &tensors(0))
        .group(NAdam::new(1e-3), &tensors(1))
        .group(Prodigy::new(1.0), &tensors(2))
        .declare(Sgd::new(knob("head_lr", 0.1)).momentum(Momentum::Heavy, 0.9), Dtype::F32, Dtype::F32)
}

/// Adds the places of `group` with a rule, on both sides.
fn add(world: &mut World<'_>, group: usize, rule: impl instep::GroupRule + Clone) {
    let places: Vec<usize> = (0..world.places.len()).filter(|place| world.places[*place].group == group).collect();
    let tensors = world.tensors();
    let added = world.both(|opt, side, stream| {
        let own: Vec<Tensor> = places.iter().map(|place| tensors[side][*place].clone()).collect();
        opt.add_group(rule.clone(), &own, stream)
    });
    let [(at, device), (_, host)] = added.expect("it is compiled");
    assert_eq!(at, group);
    for (place, ids) in places.iter().zip(device.into_iter().zip(host)) {
        world.places[*place].ids = Some([ids.0, ids.1]);
    }
}

#[test]
fn groups_come_while_a_captured_step_is_replayed() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 9, &SHAPES, AT_BUILD, |builder, _, tensors| build(builder, tensors));
    let graph = world.capture();
    let run = |world: &mut World<'_>, what: &str| {
        for step in 0..4 {
            world.replay(&graph);
            assert_eq!(world.differing_bits(&format!("{what}, step {step}")), 0);
        }
    };
    run(&mut world, "at build");
    add(&mut world, 3, AdamW::new(cosine(3e-2, 9)).weight_decay(0.01));
    run(&mut world, "a schedule of a known structure");
    add(&mut world, 4, NAdam::new(2e-3));
    run(&mut world, "a rule that remembers of its cohort");
    add(&mut world, 5, Prodigy::new(0.5));
    run(&mut world, "a rule that remembers of its group");
    add(&mut world, 6, Sgd::new(knob("head_lr", 0.1)).momentum(Momentum::Heavy, 0.9));
    run(&mut world, "what was declared");
    world.both(|opt, _, stream| opt.edit().set("head_lr", 0.25).apply(stream)).unwrap();
    run(&mut world, "a knob of the new group");
    let status = world.device.status(&rig.stream).unwrap();
    assert_eq!((status.scalar(6, "lr"), status.scalar(3, "weight_decay")), (Some(0.25), Some(0.01)));
    // A state goes on in an optimizer that has all groups at build, in the words of nobody.
    let state = world.device.state(&rig.stream).unwrap();
    assert!(state == world.host.state(&instep::Stream::host()).unwrap());
    let ids: Vec<[TensorId; 2]> = world.places[4..6].iter().map(|place| place.ids.unwrap()).collect();
    world.both(|opt, side, stream| opt.remove(&ids.iter().map(|ids| ids[side]).collect::<Vec<_>>(), stream)).unwrap();
    world.places[4..6].iter_mut().for_each(|place| place.ids = None);
    run(&mut world, "a group that is left without tensors");
}

#[test]
fn what_was_not_compiled_is_named() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 9, &SHAPES, AT_BUILD, |builder, _, tensors| build(builder, tensors));
    let tensors = world.tensors()[0][6..7].to_vec();
    let before = world.device.state(&rig.stream).unwrap();
    let says = |result: instep::Result<(usize, Vec<TensorId>)>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(text), "{error}\nis to say\n{text}");
    };
    let opt = &mut world.device;
    says(opt.add_group(Lion::new(1e-4), &tensors, &rig.stream), "rule is lion, but no kernel for it was compiled");
    let linear = Schedule::linear(0.1, 0.0).over(7);
    says(
        opt.add_group(AdamW::new(linear), &tensors, &rig.stream),
        "lr is linear from 0.1 to 0 over 7 steps, but no kernel",
    );
    says(opt.add_group(Prodigy::new(1.0), &[], &rig.stream), "tensors is empty");
    let metric = NAdam::new(1e-3).metric(instep::Plateau::new());
    says(opt.add_group(metric, &tensors, &rig.stream), "metric is given");
    assert!(before == opt.state(&rig.stream).unwrap());
    let mut none =
        World::new(&rig, 9, &SHAPES, AT_BUILD, |builder, _, tensors| build(builder, tensors).dynamic(Dynamic::new()));
    says(none.device.add_group(NAdam::new(1e-3), &tensors, &rig.stream), "0 were reserved");
}
