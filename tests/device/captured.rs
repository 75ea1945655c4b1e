//! `Optimizer::capture`: one step, several, and all until the end, captured with what an engine launches around them.

use std::cell::Cell;

use cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{
    AdamW, Buffer, Capture, Clip, Device, Dtype, Error, LoopBody, Observed, Optimizer, OptimizerBuilder, Schedule, Sgd,
    Source, Stream, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};
use crate::while_loop;
use crate::zero_wait::assert_calls_only;

fn pairs(rig: &Rig) -> Vec<Pair> {
    let mut random = Random(23);
    let lengths = [7, 2_049, 300].into_iter();
    lengths.map(|len| Pair::new(rig, random.units(len), random.units(len), (0, 1))).collect()
}

/// Two rules, a rate that moves, a norm: all that makes one step differ from the next.
fn build(builder: OptimizerBuilder, tensors: &[Tensor], stop_at: u64) -> Optimizer {
    let lr = || Schedule::linear(1e-3, 1e-1).over(3).then(Schedule::cosine(1e-1, 1e-3).over(9));
    let builder = builder.group(AdamW::new(lr()).betas(0.8, 0.9), &tensors[..2]).group(Sgd::new(lr()), &tensors[2..]);
    builder.clip(Clip::torch_norm(1.0)).stop_at(stop_at).build().unwrap()
}

fn on_the_device(rig: &Rig, pairs: &[Pair], stop_at: u64) -> Optimizer {
    let tensors: Vec<Tensor> = pairs.iter().map(Pair::device_tensor).collect();
    let opt = build(Optimizer::builder(&rig.device), &tensors, stop_at);
    rig.finish();
    opt
}

/// The tensors have the bits of `steps` updates on the host.
#[track_caller]
fn assert_steps(rig: &Rig, pairs: &mut [Pair], steps: u64) {
    rig.finish();
    let tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let mut host = build(Optimizer::builder(&Device::host()), &tensors, 1_000);
    for _ in 0..steps {
        host.step(&Stream::host()).unwrap();
    }
    for (i, pair) in pairs.iter().enumerate() {
        assert_same_bits(&pair.param.read(rig), &pair.host_param, &format!("{steps} steps, tensor {i}"));
    }
}

#[track_caller]
fn argument<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (String, String) {
    match outcome {
        Err(Error::Argument { argument, value, .. }) => (argument, value),
        other => panic!("not an argument's error: {other:?}"),
    }
}

#[test]
fn a_captured_step_is_launched_again_and_again() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let graph = opt.capture(&rig.stream, |opt, stream| opt.step(stream)).unwrap();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 0, "a capture runs nothing");
    assert_calls_only(&rig, &["cuGraphLaunch", "cuCtxGetCurrent"], "a launch of a captured step", || {
        for _ in 0..5 {
            graph.launch(&rig.stream).unwrap();
        }
    });
    assert_steps(&rig, &mut pairs, 5);
}

#[test]
fn several_captured_steps_are_one_launch_with_the_engines_own_work_among_them() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    // The engine's own work, in the same graph: it counts.
    let mut counts = rig.engine.alloc_zeros::<u32>(4).unwrap();
    rig.finish();
    let calls = Cell::new(0usize);
    let graph = opt
        .capture_as(Capture::times(4), &rig.stream, |opt, stream| {
            let call = calls.replace(calls.get() + 1);
            rig.engine.memset_zeros(&mut counts.slice_mut(call..=call))?;
            opt.step(stream)
        })
        .unwrap();
    assert_eq!(calls.get(), 4);
    rig.engine.memcpy_htod(&[1u32; 4], &mut counts).unwrap();
    if let Some(standin) = rig.standin {
        standin.reset_calls();
    }
    for _ in 0..3 {
        graph.launch(&rig.stream).unwrap();
    }
    if let Some(standin) = rig.standin {
        let calls = (standin.calls("cuGraphLaunch"), standin.total_calls());
        assert_eq!(calls, (3, 6), "{:?}", standin.call_log());
    }
    assert_steps(&rig, &mut pairs, 12);
    assert_eq!(rig.engine.clone_dtoh(&counts).unwrap(), [0; 4], "each copy of the work is in the graph");
}

#[test]
fn a_graph_until_the_stop_is_a_whole_training_and_does_nothing_after_it() {
    let Some(rig) = Rig::new() else { return };
    if let Some(why) = while_loop::unavailable() {
        return println!("skipped: {why}");
    }
    for steps in [1, 2, 37] {
        let mut pairs = pairs(&rig);
        let mut opt = on_the_device(&rig, &pairs, steps);
        let graph = opt.capture_as(Capture::until_stop(), &rig.stream, |opt, stream| opt.step(stream)).unwrap();
        for _ in 0..2 {
            graph.launch(&rig.stream).unwrap();
            assert_steps_of(&rig, &opt, steps);
        }
        assert_steps(&rig, &mut pairs, steps);
    }
}

fn assert_steps_of(rig: &Rig, opt: &Optimizer, steps: u64) {
    rig.finish();
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.stop), (steps, true));
}

#[test]
fn a_graph_of_several_steps_a_round_ends_within_a_round_of_its_end() {
    let Some(rig) = Rig::new() else { return };
    if while_loop::unavailable().is_some() {
        return;
    }
    let pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let bounded = Capture::until_stop_of(LoopBody::new().at_most(5)).thread_local();
    let graph = opt
        .capture_as(bounded, &rig.stream, |opt, stream| {
            opt.step(stream)?;
            opt.step(stream)
        })
        .unwrap();
    graph.launch(&rig.stream).unwrap();
    rig.finish();
    let status = opt.status(&rig.stream).unwrap();
    // The launch before the node is the first of the five.
    assert_eq!((status.t, status.exhausted), (8, true));
}

#[test]
fn work_that_fails_is_thrown_away_and_its_error_is_the_one_returned() {
    #[derive(Debug)]
    enum Own {
        OutOfData,
        Instep(#[allow(dead_code, reason = "printed")] Error),
    }
    impl From<Error> for Own {
        fn from(error: Error) -> Own {
            Own::Instep(error)
        }
    }
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let mut forms = vec![Capture::once(), Capture::times(3), Capture::once().thread_local()];
    if while_loop::unavailable().is_none() {
        forms.push(Capture::until_stop());
    }
    for form in forms {
        let failed = opt.capture_as(form, &rig.stream, |opt, stream| {
            opt.step(stream)?;
            Err(Own::OutOfData)
        });
        assert!(matches!(failed, Err(Own::OutOfData)), "{form:?}: {failed:?}");
        rig.finish();
    }
    // A panic is no other case.
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        opt.capture::<Error>(&rig.stream, |opt, stream| {
            opt.step(stream)?;
            panic!("the work")
        })
    }));
    assert!(panicked.is_err());
    // Nothing of it has run, and the stream is as before.
    opt.step(&rig.stream).unwrap();
    opt.capture(&rig.stream, |opt, stream| opt.step(stream)).unwrap().launch(&rig.stream).unwrap();
    assert_steps(&rig, &mut pairs, 2);
}

#[test]
fn a_capture_that_the_engine_breaks_says_so() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let broken = opt.capture(&rig.stream, |opt, stream| {
        opt.step(stream)?;
        // An allocation through the driver itself, whose error the engine does not look at.
        // SAFETY: nothing comes of it.
        let _ = unsafe { cudarc::driver::result::malloc_sync(64) };
        Ok(())
    });
    match broken {
        Err(error @ Error::Capture { code: 901, name: "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" }) => {
            let text = error.to_string();
            assert!(text.starts_with("the capture was broken, and its graph is lost: CUDA_ERROR_STREAM"), "{text}");
        }
        other => panic!("{other:?}"),
    }
    // One that ends it.
    let ended = opt.capture(&rig.stream, |opt, stream| {
        opt.step(stream)?;
        // SAFETY: a live stream.
        let graph = unsafe { cudarc::driver::result::stream::end_capture(rig.engine.cu_stream()) }?;
        // SAFETY: nobody else has it.
        Ok(unsafe { cudarc::driver::result::graph::destroy(graph) }?)
    });
    assert!(matches!(ended, Err(Error::Capture { code: 401, .. })), "{ended:?}");
    // The engine's error, where it does look.
    let refused: Result<_, Error> = opt.capture(&rig.stream, |opt, stream| {
        opt.step(stream)?;
        rig.engine.synchronize()?;
        Ok(())
    });
    match refused {
        Err(Error::Driver { call: "a call through cudarc", code: 900, .. }) => {}
        other => panic!("{other:?}"),
    }
    opt.step(&rig.stream).unwrap();
    assert_steps(&rig, &mut pairs, 1);
}

#[test]
fn a_graph_outlives_its_optimizer() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 6);
    let step = opt.capture(&rig.stream, |opt, stream| opt.step(stream)).unwrap();
    let whole = match while_loop::unavailable() {
        None => Some(opt.capture_as(Capture::until_stop(), &rig.stream, |opt, stream| opt.step(stream)).unwrap()),
        Some(_) => None,
    };
    drop(opt);
    step.launch(&rig.stream).unwrap();
    match whole {
        Some(whole) => whole.launch(&rig.stream).unwrap(),
        None => (0..5).for_each(|_| step.launch(&rig.stream).unwrap()),
    }
    assert_steps(&rig, &mut pairs, 6);
}

#[test]
fn the_work_may_put_another_optimizer_in_its_place() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let mut other = Some(on_the_device(&rig, &pairs, 1_000));
    let graph = opt
        .capture(&rig.stream, |opt, stream| {
            opt.step(stream)?;
            *opt = other.take().unwrap();
            Ok::<_, Error>(())
        })
        .unwrap();
    drop(opt);
    graph.launch(&rig.stream).unwrap();
    assert_steps(&rig, &mut pairs, 1);
}

#[test]
fn a_graph_is_launched_on_another_stream_and_from_another_thread() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let graph = opt.capture(&rig.stream, |opt, stream| opt.step(stream)).unwrap();
    let other = rig.device.new_stream().unwrap();
    let graph = std::thread::spawn(move || {
        graph.launch(&other).unwrap();
        other.synchronize().unwrap();
        graph
    })
    .join()
    .unwrap();
    graph.launch(&rig.stream).unwrap();
    assert_steps(&rig, &mut pairs, 2);
    assert_eq!(argument(graph.launch(&Stream::host())).0, "stream");
}

#[test]
fn a_capture_refuses_what_it_cannot_capture() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let step = |opt: &mut Optimizer, stream: &Stream| opt.step(stream);
    assert_eq!(argument(opt.capture_as(Capture::times(0), &rig.stream, step)), ("capture.times".into(), "0".into()));
    let nothing = opt.capture(&rig.stream, |_, _| Ok::<_, Error>(()));
    assert_eq!(argument(nothing), ("work".into(), "empty".into()));
    if while_loop::unavailable().is_none() {
        let nothing = opt.capture_as(Capture::until_stop(), &rig.stream, |_, _| Ok::<_, Error>(()));
        assert_eq!(argument(nothing), ("work".into(), "empty".into()));
        let tensors: Vec<_> = pairs.iter().map(Pair::device_tensor).collect();
        let mut endless = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &tensors).build().unwrap();
        assert_eq!(argument(endless.capture_as(Capture::until_stop(), &rig.stream, step)).0, "stop_condition");
    }

    // SAFETY: the legacy default stream.
    let legacy = unsafe { rig.device.stream_from_raw(std::ptr::null_mut()) }.unwrap();
    assert_eq!(argument(opt.capture(&legacy, step)), ("stream".into(), "the legacy default stream".into()));
    assert_eq!(argument(opt.capture(&Stream::host(), step)).0, "stream");
    // In a capture there is no other, and the one that is open goes on.
    let nested = opt.capture(&rig.stream, |opt, stream| {
        let inner = opt.capture(stream, step);
        assert_eq!(argument(inner), ("stream".into(), "capturing a graph".into()));
        opt.step(stream)
    });
    nested.unwrap().launch(&rig.stream).unwrap();
    assert_steps(&rig, &mut pairs, 1);

    let tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let mut host = build(Optimizer::builder(&Device::host()), &tensors, 5);
    assert_eq!(argument(host.capture(&Stream::host(), step)), ("device".into(), "the host".into()));
}

#[test]
fn slices_of_cudarc_are_tensors_and_metrics() {
    let Some(rig) = Rig::new() else { return };
    let values: Vec<f32> = (0..300).map(|i| i as f32).collect();
    let (flat, grad) = (rig.engine.clone_htod(&values).unwrap(), rig.engine.clone_htod(&values).unwrap());
    let loss = rig.engine.clone_htod(&[2.0f32]).unwrap();
    rig.finish();
    // SAFETY: the slices outlive the optimizer; all is on one stream.
    let tensor = |a: std::ops::Range<usize>, b| unsafe { Tensor::from_cudarc(&flat.slice(a), &grad.slice(b)) };
    let tensors = [tensor(0..100, 0..100), tensor(100..300, 100..300)];
    let builder = || Optimizer::builder(&rig.device);
    let rule = || Sgd::new(1).metric(instep::Plateau::new());
    let mut opt = builder().group(rule(), &tensors).build().unwrap();
    opt.step(&rig.stream).unwrap();
    // SAFETY: the loss outlives the call.
    unsafe { opt.observe(Observed::from_cudarc(&loss), &rig.stream) }.unwrap();
    rig.finish();
    assert_eq!(rig.engine.clone_dtoh(&flat).unwrap(), vec![0.0; 300]);
    let odd = builder().group(rule(), &[tensor(0..100, 0..99)]).build();
    let text = odd.unwrap_err().to_string();
    assert_eq!(text, "groups[0].tensors[0].grad.len is 99, but param has 100 elements");
    let none = rig.engine.alloc_zeros::<f32>(1).unwrap();
    // SAFETY: refused.
    let refused = unsafe { opt.observe(Observed::from_cudarc(&none.slice(..0)), &rig.stream) };
    assert_eq!(argument(refused).0, "metric.address");
}

#[test]
fn a_kernel_of_the_engines_is_loaded_before_its_first_launch_is_captured() {
    let Some(rig) = Rig::new() else { return };
    let text = "extern \"C\" __global__ void halve(float* value) { *value *= 0.5f; }";
    let image = rig.device.compile(&Source { name: "halve.cu", text, headers: &[] }).unwrap();
    let module = rig.context.load_module(Ptx::from_binary(image.to_vec())).unwrap();
    let halve = rig.device.load_function(&module, "halve").unwrap();
    let missing = rig.device.load_function(&module, "double").map(drop);
    assert_eq!(argument(missing), ("name".into(), "\"double\"".into()));
    assert_eq!(argument(Device::host().load_function(&module, "halve").map(drop)).0, "device");

    let pairs = pairs(&rig);
    let mut opt = on_the_device(&rig, &pairs, 1_000);
    let mut value = rig.engine.clone_htod(&[1.0f32]).unwrap();
    rig.finish();
    let one = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
    let graph = opt.capture(&rig.stream, |opt, stream| {
        // SAFETY: the kernel's one parameter.
        unsafe { rig.engine.launch_builder(&halve).arg(&mut value).launch(one) }?;
        opt.step(stream)
    });
    (0..3).for_each(|_| graph.as_ref().unwrap().launch(&rig.stream).unwrap());
    rig.finish();
    assert_eq!(rig.engine.clone_dtoh(&value).unwrap(), [0.125]);
}

#[test]
fn halves_in_cudarcs_memory_are_buffers_of_their_type() {
    let Some(rig) = Rig::new() else { return };
    let bits = rig.engine.alloc_zeros::<u16>(6).unwrap();
    let address = Buffer::from_cudarc(&rig.engine.alloc_zeros::<f32>(1).unwrap());
    assert_eq!((address.len, address.dtype), (1, Dtype::F32));
    // SAFETY: 16 bits are 16 bits.
    let bf16 = unsafe { bits.transmute::<half::bf16>(6) }.unwrap();
    // SAFETY: as above.
    let f16 = unsafe { bits.transmute::<half::f16>(4) }.unwrap();
    let at = bits.device_ptr(&rig.engine).0;
    assert_eq!(Buffer::from_cudarc(&bf16), Buffer::bf16(at, 6));
    assert_eq!(Buffer::from_cudarc(&f16), Buffer::f16(at, 4));
}
