//! An update in parts is the update as a whole, bit for bit, captured too.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{AdamW, Clip, Dynamic, NAdam, OptimizerBuilder, Schedule, Tensor, TensorId};

use super::world::{Twin, World};
use crate::rig::Rig;
use crate::zero_wait::assert_captures;

const SHAPES: [(usize, usize, usize); 6] =
    [(0, 5_000, 0), (0, 3, 1), (1, 64, 0), (1, 2_049, 2), (0, 0, 0), (1, 900, 3)];

fn build(builder: OptimizerBuilder, norm: u64, tensors: &dyn Fn(usize) -> Vec<Tensor>) -> OptimizerBuilder {
    let lr = Schedule::linear(0.0, 1e-2).over(5).then(Schedule::constant(1e-2));
    let builder = builder.in_parts().dynamic(Dynamic::new()).clip(Clip::torch_norm(1.0));
    let builder = builder.group(AdamW::new(lr), &tensors(0)).group(NAdam::new(1e-3), &tensors(1));
    // SAFETY: the value outlives the optimizers.
    unsafe { builder.norm_square(norm) }
}

fn world<'r>(rig: &'r Rig, norm: &Twin) -> World<'r> {
    let norm = norm.addresses();
    World::new(rig, 5, &SHAPES, SHAPES.len(), |builder, side, tensors| build(builder, norm[side], tensors))
}

#[test]
fn parts_in_any_order_are_the_whole_update() {
    let Some(rig) = Rig::new() else { return };
    let mut norm = Twin::new(&rig, vec![4.0], 0);
    let (mut parts, mut whole) = (world(&rig, &norm), world(&rig, &norm));
    let ids: Vec<[TensorId; 2]> = parts.places.iter().map(|place| place.ids.unwrap()).collect();
    for step in 0..12 {
        if step == 6 {
            norm.set(&rig, &[f32::INFINITY]);
        }
        if step == 7 {
            norm.set(&rig, &[0.25]);
        }
        // One without a gradient need not come.
        let grad = if step % 3 == 1 { None } else { Some(0) };
        for world in [&mut parts, &mut whole] {
            world.places[3].grad = grad;
            world.rebind(&[3]);
        }
        let orders: [&[&[usize]]; 3] =
            [&[&[5, 0], &[2, 1, 4], &[3]], &[&[0], &[5], &[1, 2]], &[&[4, 3, 2, 1, 0], &[5]]];
        for part in orders[step % 3] {
            parts.both(|opt, side, stream| {
                let tensors: Vec<TensorId> = part.iter().map(|place| ids[*place][side]).collect();
                opt.step_part(&tensors, stream)
            });
        }
        parts.both(|opt, _, stream| opt.finish(stream)).expect("all have come");
        whole.step();
        assert_eq!(parts.differing_bits(&format!("in parts, step {step}")), 0);
        assert_eq!(whole.differing_bits(&format!("as a whole, step {step}")), 0);
        for (part, one) in parts.places.iter().zip(&whole.places) {
            assert!(part.param.host == one.param.host || step >= 6, "step {step}: {}", part.name);
        }
    }
}

#[test]
fn captured_parts_go_on_for_ever() {
    let Some(rig) = Rig::new() else { return };
    let norm = Twin::new(&rig, vec![1.0], 0);
    let mut world = world(&rig, &norm);
    let ids: Vec<TensorId> = world.places.iter().map(|place| place.ids.unwrap()[0]).collect();
    // What rests now may come later.
    world.freeze(&[5], true);
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    world.device.step_part(&ids[3..], &rig.stream).unwrap();
    world.device.step_part(&ids[..3], &rig.stream).unwrap();
    world.device.finish(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for step in 0..20 {
        if step == 10 {
            world.freeze(&[0, 2], true);
            world.freeze(&[5], false);
        }
        world.replay(&graph);
        assert_eq!(world.differing_bits(&format!("replay {step}")), 0);
    }
}

#[test]
fn what_is_no_whole_update_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let norm = Twin::new(&rig, vec![1.0], 0);
    let mut world = world(&rig, &norm);
    let ids = world.places[0].ids.unwrap();
    world.both(|opt, side, stream| opt.step_part(&ids[side..=side], stream)).unwrap();
    let says = |error: instep::Error, text: &str| assert!(error.to_string().contains(text), "{error}");
    says(world.device.step_part(&ids[..1], &rig.stream).unwrap_err(), "tensor \"tensor 0\" is given again");
    says(world.device.finish(&rig.stream).unwrap_err(), "tensor \"tensor 1\" is missing");
    says(world.device.step(&rig.stream).unwrap_err(), "tensor \"tensor 0\" has come in an update that is not finished");
    says(world.device.freeze(&ids[..1], &rig.stream).unwrap_err(), "call finish(..) first");
    let rest: Vec<[TensorId; 2]> = world.places[1..].iter().map(|place| place.ids.unwrap()).collect();
    world.both(|opt, side, stream| {
        let rest: Vec<TensorId> = rest.iter().map(|ids| ids[side]).collect();
        opt.step_part(&rest, stream)?;
        opt.finish(stream)
    });
    assert_eq!(world.differing_bits("finished"), 0);
    let all: Vec<TensorId> = world.device.tensor_ids();
    assert_captures(&rig, "a step in parts", || {
        world.device.step_part(&all, &rig.stream).unwrap();
        world.device.finish(&rig.stream).unwrap();
    });
    let own_norm = World::new(&rig, 5, &SHAPES[..1], 1, |builder, _, tensors| {
        builder.in_parts().clip(Clip::torch_norm(1.0)).group(AdamW::new(0.1), &tensors(0))
    });
    let mut opt = own_norm.device;
    let ids = opt.tensor_ids();
    says(opt.step_part(&ids, &rig.stream).unwrap_err(), "hand in what they need, with norm_square");
}
