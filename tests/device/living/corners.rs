//! Corners of what may change: tables at their bounds, packs with one tensor left, memory that goes from one to another.

use instep::{
    AdamW, Buffer, Clip, Device, Dynamic, LaProp, LoadOptions, Optimizer, Precision, Schedule, ScheduleFreeSgd, Sgd,
    StateForm, Stream, Telemetry, Tensor, TensorId, Tuning,
};

use super::world::{Twin, World};
use crate::rig::Rig;
use crate::values::Random;

fn ids(world: &World<'_>) -> Vec<[TensorId; 2]> {
    world.places.iter().filter_map(|place| place.ids).collect()
}

fn steps(world: &mut World<'_>, what: &str) {
    for step in 0..3 {
        world.step();
        assert_eq!(world.differing_bits(&format!("{what}, step {step}")), 0);
    }
}

#[test]
fn the_norm_is_that_of_the_one_tensor_that_is_left() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 1, &[(0, 40, 0), (0, 30, 0)], 2, |builder, _, tensors| {
        builder.dynamic(Dynamic::new()).clip(Clip::torch_norm(0.01)).group(Sgd::new(0.1), &tensors(0))
    });
    steps(&mut world, "both");
    world.remove(1);
    steps(&mut world, "one is left");
    assert!(world.device.status(&rig.stream).unwrap().norm > 1.0);
}

#[test]
fn every_tensor_may_have_scales_and_a_history_of_its_own() {
    let Some(rig) = Rig::new() else { return };
    let shapes = [(0, 40, 0), (0, 30, 0), (0, 20, 0), (0, 10, 0), (1, 50, 0)];
    let mut world = World::new(&rig, 1, &shapes, 4, |builder, _, tensors| {
        let dynamic = Dynamic::new().scales().tensors(1).elements(64).groups(1);
        let scaled = tensors(0).into_iter().enumerate().map(|(i, tensor)| tensor.rate_scale(1.0 - 0.1 * i as f64));
        builder.dynamic(dynamic).group(AdamW::new(0.1), &scaled.collect::<Vec<_>>())
    });
    for place in 1..4 {
        world.freeze(&[place], true);
        steps(&mut world, "one more is frozen");
    }
    let all = ids(&world);
    for k in 1..6 {
        for ids in &all {
            let scale = 1.0 / (f64::from(k) + 0.5);
            world.both(|opt, side, stream| opt.set_scales(&[(ids[side], scale, 1.0)], stream)).expect("there is room");
        }
        steps(&mut world, "other scales");
        world.freeze(&[0], k % 2 == 1);
    }
    let new = world.tensors().map(|tensors| tensors[4].clone());
    world.both(|opt, side, stream| opt.add_group(AdamW::new(0.2), &new[side..=side], stream)).expect("there is room");
    steps(&mut world, "a group more");
}

#[test]
fn what_was_removed_is_the_engines_alone() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 1, &[(0, 64, 0), (0, 32, 0), (0, 16, 0)], 2, |builder, _, tensors| {
        builder.dynamic(Dynamic::new().tensors(1).elements(64)).group(ScheduleFreeSgd::new(0.1), &tensors(0))
    });
    steps(&mut world, "both");
    world.remove(1);
    let own = vec![7.0; 32];
    world.places[1].param.set(&rig, &own);
    world.both(|opt, _, stream| opt.eval(stream)).unwrap();
    let tensor = world.tensors()[0][2].clone();
    let error = world.device.add(0, &[tensor], &rig.stream).unwrap_err().to_string();
    assert!(error.contains("parameters for evaluation are shown"), "{error}");
    world.both(|opt, _, stream| opt.train(stream)).unwrap();
    assert_eq!(world.differing_bits("shown and put back"), 0);
    assert_eq!(world.places[1].param.device.read(&rig), own);
    assert!(world.add(2, |tensor| tensor));
    steps(&mut world, "another one came");
}

#[test]
fn a_state_goes_on_whatever_histories_are_in_it() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 1, &[(0, 64, 0), (0, 32, 0), (0, 8, 0)], 3, |builder, _, tensors| {
        let rule = LaProp::new(Schedule::linear(0.0, 0.1).over(20));
        builder.dynamic(Dynamic::new()).group(rule, &tensors(0))
    });
    // Equal counts, which came about at other rates.
    for place in [0, 1] {
        world.freeze(&[place], true);
        world.step();
        world.freeze(&[place], false);
    }
    steps(&mut world, "before");
    let block = world.device.state(&rig.stream).unwrap();
    steps(&mut world, "on");
    world.both(|opt, _, stream| opt.load_state(&block, stream)).expect("its own");
    assert!(block == world.device.state(&rig.stream).unwrap());
    assert!(block == world.host.state(&Stream::host()).unwrap());
    steps(&mut world, "after");
}

#[test]
fn counts_of_a_state_find_room_in_tables_of_a_plain_optimizer() {
    let Some(rig) = Rig::new() else { return };
    let shapes: Vec<(usize, usize, usize)> = (0..48).map(|i| (i / 12, 8, 0)).collect();
    let build = |counts: fn(usize) -> u64| {
        World::new(&rig, 1, &shapes, 48, move |builder, _, tensors| {
            let tuned = builder.tuning(Tuning { wave: Some(3), ..Tuning::default() });
            (0..4).fold(tuned, |builder, group| {
                let (beta1, beta2) = if group < 2 { (0.9, 0.99) } else { (0.5, 0.95) };
                let counted = tensors(group).into_iter().enumerate().map(|(i, tensor)| tensor.updates(counts(i)));
                builder.group(AdamW::new(0.1).beta1(beta1).beta2(beta2), &counted.collect::<Vec<_>>())
            })
        })
    };
    let from = build(|i| (i % 3) as u64);
    let mut to = build(|_| 0);
    let block = from.host.state(&Stream::host()).unwrap();
    to.both(|opt, _, stream| opt.load_state(&block, stream)).expect("there is room");
    steps(&mut to, "three counts in each group");
    let many = build(|i| i as u64);
    let block = many.host.state(&Stream::host()).unwrap();
    let error = to.device.load_state(&block, &rig.stream).unwrap_err().to_string();
    assert!(error.contains("count of tensor"), "{error}");
    steps(&mut to, "as it was");
}

#[test]
fn tensors_join_an_optimizer_without_elements() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 1, &[(0, 0, 0), (0, 32, 0)], 1, |builder, _, tensors| {
        builder.dynamic(Dynamic::new().tensors(1).elements(64)).group(Sgd::new(0.1), &tensors(0))
    });
    let before = world.places[1].param.host.to_vec();
    assert!(world.add(1, |tensor| tensor));
    steps(&mut world, "with elements");
    assert_ne!(before, world.places[1].param.host.to_vec());
}

#[test]
fn identifiers_are_those_of_one_optimizer_and_one_tensor() {
    let Some(rig) = Rig::new() else { return };
    let shapes = [(0, 64, 0), (0, 32, 0), (0, 16, 0)];
    let build = |builder: instep::OptimizerBuilder, tensors: &[Tensor]| {
        builder.dynamic(Dynamic::new().tensors(1).elements(64)).group(Sgd::new(0.1), tensors)
    };
    let mut world = World::new(&rig, 1, &shapes, 1, |builder, _, tensors| build(builder, &tensors(0)));
    world.add(1, |tensor| tensor);
    let stale = world.places[1].ids.unwrap();
    world.remove(1);
    world.add(2, |tensor| tensor);
    let stream = Stream::host();
    let error = world.host.freeze(&stale[1..], &stream).unwrap_err().to_string();
    assert!(error.contains("another one has its place"), "{error}");
    let ids = ids(&world);
    let tensors = world.tensors()[1].clone();
    let next = build(Optimizer::builder(&Device::host()), &[tensors[2].clone(), tensors[0].clone()]);
    world.host.rebuild(next, LoadOptions::new(), &stream).unwrap();
    let error = world.host.freeze(&ids[0][1..], &stream).unwrap_err().to_string();
    assert!(error.contains("tensor is of another optimizer"), "{error}");
}

#[test]
fn records_of_a_run_that_begins_elsewhere_are_read() {
    let Some(rig) = Rig::new() else { return };
    let mut world = World::new(&rig, 1, &[(0, 64, 0)], 1, |builder, _, tensors| {
        builder.start_at(10).telemetry(Telemetry::ring(64)).group(Sgd::new(0.1), &tensors(0))
    });
    let mut readers = [world.device.telemetry().unwrap(), world.host.telemetry().unwrap()];
    steps(&mut world, "from 10 on");
    let records = [readers[0].finish(&rig.stream).unwrap(), readers[1].finish(&Stream::host()).unwrap()];
    assert_eq!(records.map(|records| records.iter().map(|record| record.t).collect::<Vec<u64>>()), [[10, 11, 12]; 2]);
}

/// bf16 values, two in each f32.
fn halves(random: &mut Random, len: usize) -> Vec<f32> {
    let pair =
        |random: &mut Random| f32::from_bits(random.unit().to_bits() >> 16 | random.unit().to_bits() & 0xffff_0000);
    (0..len.div_ceil(2)).map(|_| pair(random)).collect()
}

#[test]
fn masters_and_codes_come_and_go_with_their_tensors() {
    const LENS: [usize; 6] = [6_000, 64, 5_000, 12, 3_000, 700];
    let Some(rig) = Rig::new() else { return };
    let mut random = Random(3);
    let params = LENS.map(|len| Twin::new(&rig, halves(&mut random, len), 0));
    let mut grads = LENS.map(|len| Twin::new(&rig, halves(&mut random, len), 0));
    let places: Vec<[[u64; 2]; 2]> =
        params.iter().zip(&grads).map(|(param, grad)| [param.addresses(), grad.addresses()]).collect();
    let tensor = |i: usize, side: usize| {
        let [param, grad] = places[i].map(|addresses| Buffer::bf16(addresses[side], LENS[i] as u64));
        // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
        unsafe { Tensor::new(param, grad) }.name(format!("tensor {i}"))
    };
    let host = Stream::host();
    let (devices, streams) = ([rig.device.clone(), Device::host()], [&rig.stream, &host]);
    let mut opts = [0, 1].map(|side| {
        Optimizer::builder(&devices[side])
            .dynamic(Dynamic::new().tensors(3).elements(20_000))
            .clip(Clip::torch_norm(0.5))
            .precision(Precision::new().states(StateForm::EightBit).quantize_from(0))
            .group(AdamW::new(1e-3), &[tensor(0, side), tensor(1, side)])
            .group(AdamW::new(1e-4), &[tensor(2, side)])
            .build()
            .unwrap()
    });
    let mut seen = [0; 4];
    for step in 0..80 {
        let (i, what) = (random.next() as usize % LENS.len(), random.next() % 6);
        let done = [0, 1].map(|side| {
            let (opt, stream) = (&mut opts[side], streams[side]);
            let known = opt.tensor(&format!("tensor {i}")).ok();
            match (what, known) {
                (0 | 1, Some(id)) => opt.remove(&[id], stream).map(|()| 0),
                (0..=2, None) => opt.add(i % 2, &[tensor(i, side)], stream).map(|_| 1),
                (3, Some(id)) if step % 2 == 0 => opt.freeze(&[id], stream).map(|()| 2),
                (3, Some(id)) => opt.thaw(&[id], stream).map(|()| 2),
                (4, _) => opt.parameters_changed(stream).map(|()| 3),
                _ => Ok(4),
            }
            .map_err(|error| error.to_string())
        });
        assert_eq!(done[0], done[1], "step {step}");
        if let Ok(kind @ 0..4) = done[0] {
            seen[kind] += 1;
        }
        opts.iter_mut().zip(streams).for_each(|(opt, stream)| opt.step(stream).unwrap());
        rig.finish();
        let states = [0, 1].map(|side| opts[side].state(streams[side]).unwrap());
        assert!(states[0] == states[1], "step {step}, {what} of tensor {i}");
        grads.iter_mut().zip(LENS).for_each(|(grad, len)| grad.set(&rig, &halves(&mut random, len)));
    }
    assert!(seen.iter().all(|count| *count > 2), "{seen:?}");
}
