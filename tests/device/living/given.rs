//! State memory that the engine gives, a clock that begins elsewhere, and graphs that outlive their optimizer.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    AdamW, Device, Optimizer, OptimizerBuilder, Precision, Schedule, StateContents, StateForm, Stream, Tensor,
};

use crate::rig::{Array, Pair, Rig};
use crate::values::{Random, assert_same_bits};

fn rule() -> AdamW {
    AdamW::new(Schedule::linear(0.0, 1e-2).over(10).then(Schedule::constant(1e-2))).weight_decay(0.1)
}

fn pair(rig: &Rig) -> Pair {
    let mut random = Random(2);
    Pair::new(rig, random.units(5_000), random.units(5_000), (0, 0))
}

/// The same optimizer over state memory that begins at `address`.
fn given(builder: OptimizerBuilder, address: u64, bytes: u64, contents: StateContents) -> OptimizerBuilder {
    // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
    unsafe { builder.state_memory(address, bytes, contents) }
}

#[test]
fn a_run_goes_on_in_the_engines_memory_from_another_ones_states() {
    let Some(rig) = Rig::new() else { return };
    let mut pair = pair(&rig);
    let tensor = pair.device_tensor().name("weight");
    let mut whole =
        Optimizer::builder(&Device::host()).group(rule(), &[pair.host_tensor().name("weight")]).build().unwrap();
    let builder = |rig: &Rig| Optimizer::builder(&rig.device).group(rule(), std::slice::from_ref(&tensor));
    let layout = builder(&rig).state_layout().unwrap();
    let names: Vec<(&str, &str, u64)> =
        layout.pieces.iter().map(|piece| (&*piece.tensor, &*piece.name, piece.offset)).collect();
    assert_eq!(names, [("weight", "exp_avg", 0), ("weight", "exp_avg_sq", 20_096)]);
    assert_eq!((layout.bytes, layout.alignment), (40_192, 128));

    // NaN at first, so that it shows who writes what.
    let slab = rig.array(&vec![f32::NAN; layout.bytes as usize / 4], 0);
    let mut first = given(builder(&rig), slab.address(), layout.bytes, StateContents::Start).build().unwrap();
    for _ in 0..5 {
        first.step(&rig.stream).unwrap();
        whole.step(&Stream::host()).unwrap();
    }
    rig.finish();
    assert_eq!(first.tensors().next().unwrap().states[1].address, slab.address() + 20_096);
    drop(first);
    // The states are there, and so is the clock: a run that is imported.
    let second = given(builder(&rig).start_at(5), slab.address(), layout.bytes, StateContents::Values);
    let mut second = second.build().unwrap();
    for _ in 0..7 {
        second.step(&rig.stream).unwrap();
        whole.step(&Stream::host()).unwrap();
    }
    rig.finish();
    assert_same_bits(&pair.param.read(&rig), &pair.host_param, "param");
    let (ours, theirs) = (second.status(&rig.stream).unwrap(), whole.status(&Stream::host()).unwrap());
    assert_eq!((ours.t, ours.progress, ours.calls), (12, 12, 7));
    assert_eq!(ours.scalars(0).unwrap(), theirs.scalars(0).unwrap());
}

#[test]
fn the_same_on_the_host_with_masters_and_codes() {
    let mut random = Random(4);
    let (params, grads) = (random.units(4_100), random.units(4_100));
    let halves = |values: &[f32]| values.iter().map(|x| half::bf16::from_f32(*x)).collect::<Vec<half::bf16>>();
    let (mut param, grad) = (halves(&params), halves(&grads));
    let mut other = param.clone();
    let precision = || Precision::new().states(StateForm::EightBit);
    let build = |param: &mut [half::bf16]| {
        let buffer = |address: u64| instep::Buffer::bf16(address, 4_100);
        // SAFETY: all outlive the optimizers.
        let tensor = unsafe { Tensor::new(buffer(param.as_mut_ptr() as u64), buffer(grad.as_ptr() as u64)) };
        Optimizer::builder(&Device::host()).precision(precision()).group(rule(), &[tensor.name("weight")])
    };
    let layout = build(&mut param).state_layout().unwrap();
    let names: Vec<&str> = layout.pieces.iter().map(|piece| &*piece.name).collect();
    assert_eq!(names, ["exp_avg", "exp_avg_sq", "param"]);
    // One more, for the alignment.
    let mut slab = vec![[u128::MAX; 8]; layout.bytes.div_ceil(128) as usize + 1];
    let address = (slab.as_mut_ptr() as u64).next_multiple_of(128);
    let mut whole = build(&mut other).build().unwrap();
    let mut first = given(build(&mut param), address, layout.bytes, StateContents::Start).build().unwrap();
    let stream = Stream::host();
    (0..4).for_each(|_| first.step(&stream).and(whole.step(&stream)).unwrap());
    drop(first);
    let second = given(build(&mut param).start_at(4), address, layout.bytes, StateContents::Values);
    let mut second = second.build().unwrap();
    (0..4).for_each(|_| second.step(&stream).and(whole.step(&stream)).unwrap());
    assert!(param == other);
}

#[test]
fn memory_that_does_not_fit_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let pair = pair(&rig);
    let slab = rig.array(&vec![0.0; 40_192 / 4], 0);
    let says = |address: u64, bytes: u64, text: &str| {
        let builder = Optimizer::builder(&rig.device).group(rule(), &[pair.device_tensor()]);
        let error = given(builder, address, bytes, StateContents::Start).build().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    says(slab.address(), 40_191, "state_memory.bytes is 40191, but this optimizer takes 40192");
    says(slab.address() + 4, 40_192, "must be a multiple of 128");
    says(pair.param.address() & !127, 40_192, "overlaps the param of tensor \"0.0\"");
}

#[test]
fn a_captured_graph_outlives_its_optimizer() {
    let Some(rig) = Rig::new() else { return };
    let mut pair = pair(&rig);
    let mut whole = Optimizer::builder(&Device::host()).group(rule(), &[pair.host_tensor()]).build().unwrap();
    let mut opt = Optimizer::builder(&rig.device).group(rule(), &[pair.device_tensor()]).build().unwrap();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let keep = opt.keep_alive();
    drop(opt);
    // What was freed would be used again here.
    let others: Vec<Array> = (0..4).map(|_| rig.array(&vec![f32::NAN; 20_000], 0)).collect();
    for _ in 0..20 {
        graph.launch().unwrap();
        whole.step(&Stream::host()).unwrap();
    }
    rig.finish();
    assert_same_bits(&pair.param.read(&rig), &pair.host_param, "param");
    drop((graph, keep, others));
}
