//! What calls cost that change an optimizer while it runs, and what they refuse.

use std::time::{Duration, Instant};

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{AdamW, Dynamic, Optimizer, Sgd, Tensor, TensorId};

use super::world::World;
use crate::rig::Rig;
use crate::zero_wait::assert_calls_only;

/// What a change of gradients may do: it only enqueues, looks at what the thread has at hand, and asks whether a slot is free.
const REBIND: [&str; 6] = [
    "cuCtxGetCurrent",
    "cuThreadExchangeStreamCaptureMode",
    "cuStreamIsCapturing",
    "cuEventQuery",
    "cuEventRecord",
    "cuMemcpyHtoDAsync_v2",
];

/// And of tensors: launches and fills beside; the first one of all allocates its slot.
const CHANGE: [&str; 8] = [
    "cuCtxGetCurrent",
    "cuThreadExchangeStreamCaptureMode",
    "cuStreamIsCapturing",
    "cuEventQuery",
    "cuEventRecord",
    "cuMemcpyHtoDAsync_v2",
    "cuLaunchKernel",
    "cuMemsetD8Async",
];

const SHAPES: [(usize, usize, usize); 5] = [(0, 5_000, 0), (0, 30, 1), (0, 7, 0), (1, 2_100, 0), (1, 50, 0)];

fn world(rig: &Rig) -> World<'_> {
    World::new(rig, 8, &SHAPES, 4, |builder, _, tensors| {
        let dynamic = Dynamic::new().tensors(2).elements(200).groups(1).scales();
        builder.dynamic(dynamic).group(AdamW::new(0.1), &tensors(0)).group(Sgd::new(0.1), &tensors(1))
    })
}

#[test]
fn no_change_waits() {
    let Some(rig) = Rig::new() else { return };
    let mut world = world(&rig);
    let ids: Vec<TensorId> = world.device.tensor_ids();
    let grads: Vec<Option<u64>> = world.places[..4].iter().map(|place| Some(place.grads[1].addresses()[0])).collect();
    let opt = &mut world.device;
    for _ in 0..6 {
        // SAFETY: the memory outlives the optimizer, and everything is ordered on one stream.
        assert_calls_only(&rig, &REBIND, "rebind_all", || unsafe { opt.rebind_all(&grads, &rig.stream) }.unwrap());
        rig.finish();
    }
    // Both slots of such changes are allocated when they are first used.
    opt.freeze(&ids[1..2], &rig.stream).unwrap();
    opt.thaw(&ids[1..2], &rig.stream).unwrap();
    rig.finish();
    assert_calls_only(&rig, &CHANGE, "freeze", || opt.freeze(&ids[..2], &rig.stream).unwrap());
    assert_calls_only(&rig, &CHANGE, "thaw", || opt.thaw(&ids[..2], &rig.stream).unwrap());
    rig.finish();
    // SAFETY: as above.
    let rests = |opt: &mut Optimizer| unsafe { opt.rebind(&[(ids[2], None)], &rig.stream) }.unwrap();
    assert_calls_only(&rig, &CHANGE, "a gradient that goes", || rests(opt));
    assert_calls_only(&rig, &CHANGE, "scales", || opt.set_scales(&[(ids[0], 0.5, 1.0)], &rig.stream).unwrap());
    rig.finish();
    assert_calls_only(&rig, &CHANGE, "remove", || opt.remove(&ids[3..4], &rig.stream).unwrap());
    rig.finish();
    let (param, grad) = (&world.places[4].param, &world.places[4].grads[0]);
    // SAFETY: as above.
    let tensor = unsafe { Tensor::f32(param.addresses()[0], grad.addresses()[0], 50) }.name("late");
    let asks = [&CHANGE[..], &["cuPointerGetAttributes"]].concat();
    assert_calls_only(&rig, &asks, "add", || drop(opt.add(1, std::slice::from_ref(&tensor), &rig.stream).unwrap()));
    rig.finish();
    let (param, grad) = (&world.places[3].param, &world.places[3].grads[0]);
    // SAFETY: as above; the tensor that had this memory was removed.
    let tensor = unsafe { Tensor::f32(param.addresses()[0], grad.addresses()[0], 90) }.name("of another group");
    let group = || Sgd::new(0.2);
    let tensors = [tensor];
    assert_calls_only(&rig, &asks, "add_group", || drop(opt.add_group(group(), &tensors, &rig.stream).unwrap()));
    rig.finish();
}

#[test]
fn ten_thousand_gradients_move_by_one_copy() {
    let Some(rig) = Rig::new() else { return };
    const COUNT: usize = 10_000;
    let (params, grads) = (rig.array(&vec![1.0; 4 * COUNT], 0), rig.array(&vec![0.5; 8 * COUNT], 0));
    let tensors: Vec<Tensor> = (0..COUNT as u64)
        // SAFETY: the arrays outlive the optimizer, and everything is ordered on one stream.
        .map(|i| unsafe { Tensor::f32(params.address() + 16 * i, grads.address() + 16 * i, 4) })
        .collect();
    let builder = Optimizer::builder(&rig.device).dynamic(Dynamic::new().cohorts(4)).group(Sgd::new(0.1), &tensors);
    let mut opt = builder.build().unwrap();
    let sets = [0u64, 1].map(|k| {
        (0..COUNT as u64).map(|i| Some(grads.address() + 16 * (i + k * COUNT as u64))).collect::<Vec<Option<u64>>>()
    });
    let mut least = Duration::MAX;
    for call in 0..40 {
        if let Some(standin) = rig.standin {
            standin.reset_calls();
        }
        let begin = Instant::now();
        // SAFETY: as above.
        unsafe { opt.rebind_all(&sets[call % 2], &rig.stream) }.unwrap();
        least = least.min(begin.elapsed());
        if let Some(standin) = rig.standin {
            let count = |name: &str| standin.calls(name);
            assert_eq!([count("cuMemcpyHtoDAsync_v2"), count("cuEventRecord")], [1, 1]);
            assert!(count("cuEventQuery") <= 1 && count("cuLaunchKernel") == 0);
        }
        rig.finish();
    }
    println!("10,000 gradients moved: at least {least:?} of host time");
    assert!(least < Duration::from_micros(500), "{least:?}");
}

#[test]
fn what_cannot_change_is_refused_by_the_name_of_the_tensor() {
    let Some(rig) = Rig::new() else { return };
    let mut world = world(&rig);
    let ids: Vec<TensorId> = world.device.tensor_ids();
    let addresses = [0, 1].map(|k| world.places[k].grads[1].addresses()[0]);
    let (param, grad) = (world.places[4].param.addresses()[0], world.places[4].grads[0].addresses()[0]);
    let before = world.device.state(&rig.stream).unwrap();
    let opt = &mut world.device;
    let says = |result: instep::Result<()>, text: &str| {
        let error = result.expect_err(text).to_string();
        assert!(error.contains(text), "{error}\n is to say\n{text}");
    };
    // SAFETY: as in the others.
    let rebind = |opt: &mut Optimizer, grads: &[(TensorId, Option<u64>)]| unsafe { opt.rebind(grads, &rig.stream) };
    says(rebind(opt, &[(ids[1], Some(addresses[1] + 2))]), "gradient of tensor \"tensor 1\" is 0x");
    says(
        rebind(opt, &[(ids[1], Some(0))]),
        "gradient of tensor \"tensor 1\" is 0x0, but a gradient that is not there is None",
    );
    says(rebind(opt, &[(ids[1], None), (ids[1], None)]), "tensor \"tensor 1\" is given twice");
    says(opt.freeze(&[ids[2], ids[2]], &rig.stream), "tensor \"tensor 2\" is given twice");
    says(opt.set_scales(&[(ids[3], 1.0, f64::NAN)], &rig.stream), "tensor \"tensor 3\".decay_scale is NaN");
    says(opt.set_scales(&[(ids[0], -1.0, 0.5)], &rig.stream), "rate_scale is -1");
    says(opt.tensor("none").map(drop), "tensor is \"none\"");
    // SAFETY: as above.
    let tensor = |name: &str, len: u64| unsafe { Tensor::f32(param, grad, len) }.name(name);
    // SAFETY: as above.
    let many = unsafe { Tensor::f32(world.places[0].param.addresses()[0], addresses[0], 201) }.name("late");
    let add = |opt: &mut Optimizer, group: usize, tensor: Tensor| opt.add(group, &[tensor], &rig.stream).map(drop);
    says(add(opt, 2, tensor("late", 50)), "group is 2, but the optimizer has 2");
    says(add(opt, 0, tensor("tensor 0", 50)), "tensors[0].name is \"tensor 0\", but another tensor has that name");
    says(add(opt, 0, many), "201 elements more, but 200 elements were reserved");
    // SAFETY: as above.
    says(add(opt, 0, unsafe { Tensor::f32(param, grad, 50) }), "a tensor that comes later needs a name");
    let overlapping = world.places[0].param.addresses()[0];
    // SAFETY: as above.
    says(
        add(opt, 0, unsafe { Tensor::f32(overlapping, grad, 50) }.name("late")),
        "overlaps the param of tensor \"tensor 0\"",
    );
    // SAFETY: as above.
    let half = unsafe { Tensor::new(instep::Buffer::bf16(param, 50), instep::Buffer::f32(grad, 50)) }.name("late");
    says(add(opt, 0, half), "tensor \"late\" is stored as");
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    says(rebind(opt, &[(ids[1], Some(addresses[1]))]), "stream is capturing a graph");
    says(opt.freeze(&ids[..1], &rig.stream), "stream is capturing a graph");
    drop(rig.engine.end_capture(CUgraphInstantiate_flags(0)));
    assert!(before == opt.state(&rig.stream).unwrap(), "a refused call changes nothing");
    opt.remove(&ids[1..2], &rig.stream).unwrap();
    says(opt.freeze(&ids[1..2], &rig.stream), "tensor \"tensor 1\" is removed");
    says(rebind(opt, &[(ids[1], None)]), "tensor \"tensor 1\" is removed");
    let mut fixed = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[tensor("fixed", 50)]).build().unwrap();
    let fixed_ids = fixed.tensor_ids();
    says(
        fixed.freeze(&fixed_ids, &rig.stream),
        "freeze is called, but the optimizer was built without: call dynamic(..)",
    );
}
