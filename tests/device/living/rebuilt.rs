//! Another optimizer takes the place of one that runs: graphs of the former one do nothing, and say so.

use cudarc::driver::CudaGraph;
use instep::{AdamW, Clip, LoadOptions, OptimizerBuilder, Schedule, Tensor};

use super::world::World;
use crate::faults::{assert_caught, plant};
use crate::planted::Fault;
use crate::rig::Rig;

const SHAPES: [(usize, usize, usize); 4] = [(0, 5_000, 0), (0, 30, 1), (0, 7, 0), (0, 2_100, 0)];

fn build(builder: OptimizerBuilder, tensors: &[Tensor]) -> OptimizerBuilder {
    let lr = Schedule::linear(0.0, 1e-2).over(20).then(Schedule::constant(1e-2));
    builder.clip(Clip::torch_norm(1.0)).group(AdamW::new(lr), tensors)
}

/// An optimizer of the first two tensors, the captured step of it, and then one of all in its place.
fn rebuilt(rig: &Rig) -> (World<'_>, CudaGraph) {
    let mut world = World::new(rig, 6, &SHAPES, 2, |builder, _, tensors| build(builder, &tensors(0)));
    let graph = world.capture();
    for _ in 0..5 {
        world.replay(&graph);
    }
    assert_eq!(world.differing_bits("before"), 0);
    let tensors = world.tensors();
    let device = rig.device.clone();
    world.both(|opt, side, stream| {
        let device = [device.clone(), instep::Device::host()][side].clone();
        let next = build(instep::Optimizer::builder(&device), &tensors[side]);
        let loaded = opt.rebuild(next, LoadOptions::new().tensors(), stream)?;
        assert_eq!((loaded.t(), loaded.changes().len()), (5, 1), "{loaded}");
        Ok(())
    });
    (world, graph)
}

#[test]
#[ignore = "a process of its own, for the test below"]
fn scenario() {
    let Some(rig) = Rig::new() else { return };
    plant(rig.standin.expect("faults are planted on the stand-in"));
    former_graphs_do_nothing(&rig);
}

fn former_graphs_do_nothing(rig: &Rig) {
    let (mut world, former) = rebuilt(rig);
    let graph = world.capture();
    for step in 0..6 {
        world.replay(&graph);
        assert_eq!(world.differing_bits(&format!("step {step}")), 0, "elements differ");
    }
    assert!(!world.device.called_after_rebuild());
    former.launch().unwrap();
    former.launch().unwrap();
    rig.finish();
    assert_eq!(
        [world.device.called_after_rebuild(), world.device.status(&rig.stream).unwrap().called_after_rebuild],
        [true; 2]
    );
    world.both(|opt, _, stream| opt.edit().lower_flags().apply(stream));
    assert!(!world.device.called_after_rebuild());
    world.replay(&graph);
    assert_eq!(world.differing_bits("after graphs of the former one"), 0, "elements differ");
    // A third one takes the place of the second.
    let tensors = world.tensors();
    let next = build(instep::Optimizer::builder(&rig.device), &tensors[0]);
    world.device.rebuild(next, LoadOptions::new(), &rig.stream).unwrap();
    former.launch().unwrap();
    graph.launch().unwrap();
    rig.finish();
    assert!(world.device.called_after_rebuild());
    world.both(|opt, _, stream| opt.edit().lower_flags().apply(stream));
    world.step();
    assert_eq!(world.differing_bits("after all of them"), 0, "elements differ");
}

#[test]
fn a_graph_of_a_former_optimizer_does_nothing_and_says_so() {
    let Some(rig) = Rig::new() else { return };
    former_graphs_do_nothing(&rig);
}

const FAULTS: &[Fault] = &[
    ("a former graph goes on", "    if (edit.flags & Edit::retire) retire(edit.step);\n", ""),
    ("a former graph finds tiles", "store_row((Counts*)step.counts, Counts{});", ""),
    ("a former graph says nothing", "store_word(step.host_flags + 2, 1);", ";"),
];

#[test]
fn every_planted_fault_of_a_rebuild_is_caught() {
    assert_caught("living::rebuilt::scenario", FAULTS);
}

#[test]
fn what_cannot_be_rebuilt_leaves_the_optimizer_as_it_was() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 6, &SHAPES, 2, |builder, _, tensors| build(builder, &tensors(0)));
    world.step();
    let tensors = world.tensors();
    let says = |result: instep::Result<instep::Loaded>, text: &str| {
        let error = result.map(|loaded| loaded.to_string()).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let more = build(instep::Optimizer::builder(&rig.device), &tensors[0]);
    says(world.device.rebuild(more, LoadOptions::new(), &rig.stream), "tensor 2");
    let elsewhere = build(instep::Optimizer::builder(&instep::Device::host()), &tensors[1]);
    says(world.device.rebuild(elsewhere, LoadOptions::new().tensors(), &rig.stream), "builder is of another device");
    world.step();
    assert_eq!(world.differing_bits("as it was"), 0);
}
