//! The stop flag as the condition of a WHILE node: a whole training in one graph launch. On a GPU it needs a driver since
//! CUDA 12.3.

use instep::{
    AdamW, Clip, Device, Error, LossScale, NonFinite, Optimizer, OptimizerBuilder, Schedule, Sgd, StopCondition,
    Stream, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};
use crate::while_loop::{self, WhileLoop};
use crate::zero_wait::assert_enqueues_only;

/// The rig, unless the driver has no conditional nodes, after saying so.
fn rig() -> Option<Rig> {
    let rig = Rig::new()?;
    match while_loop::unavailable() {
        None => Some(rig),
        Some(why) => {
            assert!(rig.standin.is_none(), "the stand-in has them: {why}");
            println!("skipped: {why}");
            None
        }
    }
}

fn pairs(rig: &Rig) -> Vec<Pair> {
    let mut random = Random(17);
    let lengths = [5, 2_050, 300].into_iter();
    lengths.map(|len| Pair::new(rig, random.units(len), random.units(len), (0, 1))).collect()
}

fn device_tensors(pairs: &[Pair]) -> Vec<Tensor> {
    pairs.iter().map(Pair::device_tensor).collect()
}

/// Two groups, two rules, a rate that moves, a norm: all that makes one step differ from the next.
fn build(builder: OptimizerBuilder, tensors: &[Tensor], steps: u64) -> Optimizer {
    let lr = || Schedule::linear(1e-3, 1e-1).over(3).then(Schedule::cosine(1e-1, 1e-3).over(9));
    let builder = builder.group(AdamW::new(lr()).weight_decay(0.1), &tensors[..2]).group(Sgd::new(lr()), &tensors[2..]);
    builder.clip(Clip::torch_norm(1.0)).stop_at(steps).build().unwrap()
}

/// `steps` updates on the host of the same tensors.
fn on_the_host(pairs: &mut [Pair], stop_at: u64, steps: u64) -> Optimizer {
    let tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let mut host = build(Optimizer::builder(&Device::host()), &tensors, stop_at);
    for _ in 0..steps {
        host.step(&Stream::host()).unwrap();
    }
    host
}

fn assert_equal(rig: &Rig, pairs: &[Pair], (opt, host): (&Optimizer, &Optimizer), what: &str) {
    rig.finish();
    for (i, pair) in pairs.iter().enumerate() {
        assert_same_bits(&pair.param.read(rig), &pair.host_param, &format!("{what}, tensor {i}"));
    }
    assert_eq!(opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap(), "{what}");
}

/// Steps for as long as `condition` says, with no launch of it before the node.
fn steps_until(rig: &Rig, opt: &mut Optimizer, condition: &StopCondition) -> WhileLoop {
    rig.finish();
    let body = |handle| {
        opt.step(&rig.stream)?;
        // SAFETY: captured into the graph of the handle; the tests keep the condition until the graph has ended.
        Ok(unsafe { condition.set(handle, &rig.stream) }?)
    };
    WhileLoop::capture(&rig.engine, |_| Ok(()), body).unwrap()
}

#[test]
fn one_graph_launch_applies_all_steps_and_none_after_the_end() {
    let Some(rig) = rig() else { return };
    for steps in [1, 2, 37] {
        let mut pairs = pairs(&rig);
        let mut opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), steps);
        let condition = opt.stop_condition().unwrap();
        rig.finish();
        let set = |handle| {
            // SAFETY: captured into the graph of the handle; the condition outlives the graph.
            unsafe { condition.set(handle, &rig.stream) }
        };
        let whole = WhileLoop::capture(
            &rig.engine,
            |handle| Ok(set(handle)?),
            |handle| {
                opt.step(&rig.stream)?;
                Ok(set(handle)?)
            },
        )
        .unwrap();
        assert_eq!(opt.status(&rig.stream).unwrap().t, 0, "a capture runs nothing");

        whole.launch().unwrap();
        let host = on_the_host(&mut pairs, steps, steps);
        assert_equal(&rig, &pairs, (&opt, &host), &format!("{steps} steps"));
        assert_eq!(opt.status(&rig.stream).map(|status| (status.t, status.stop)), Ok((steps, true)));

        // The flag stays set: the launch before the node keeps the body from running.
        whole.launch().unwrap();
        assert_equal(&rig, &pairs, (&opt, &host), &format!("{steps} steps, launched again"));
    }
}

#[test]
fn without_a_launch_before_the_node_each_graph_launch_after_the_end_applies_one_update() {
    let Some(rig) = rig() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 4);
    let condition = opt.stop_condition().unwrap();
    let whole = steps_until(&rig, &mut opt, &condition);
    for _ in 0..3 {
        whole.launch().unwrap();
    }
    let host = on_the_host(&mut pairs, 4, 4 + 2);
    assert_equal(&rig, &pairs, (&opt, &host), "4 steps, then one for each of two launches");
}

#[test]
fn a_loop_begun_by_single_steps_goes_on_to_the_same_end() {
    let Some(rig) = rig() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 9);
    let condition = opt.stop_condition().unwrap();
    for _ in 0..5 {
        opt.step(&rig.stream).unwrap();
    }
    let whole = steps_until(&rig, &mut opt, &condition);
    whole.launch().unwrap();
    let host = on_the_host(&mut pairs, 9, 9);
    assert_equal(&rig, &pairs, (&opt, &host), "5 steps, then 4 in the loop");
}

#[test]
fn a_loop_whose_gradients_stay_infinite_ends_when_the_flag_is_raised() {
    let Some(rig) = rig() else { return };
    let pair = Pair::new(&rig, vec![1.0; 40], vec![f32::INFINITY; 40], (0, 0));
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[pair.device_tensor()]);
    let mut opt = builder.non_finite(NonFinite::SkipAndRaise(3)).stop_at(10).build().unwrap();
    let condition = opt.stop_condition().unwrap();
    let whole = steps_until(&rig, &mut opt, &condition);
    whole.launch().unwrap();
    rig.finish();
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.skipped, status.raised, status.stop), (0, 3, true, false));
}

#[test]
fn a_loop_ends_when_the_rate_falls_below_the_floor() {
    let Some(rig) = rig() else { return };
    let pair = Pair::new(&rig, vec![1.0; 40], vec![0.5; 40], (0, 0));
    let rule = Sgd::new(Schedule::linear(0.0, 1.0).over(4).then(Schedule::linear(1.0, 0.0).over(8)));
    let builder = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]);
    let mut opt = builder.stop_below(0.5).build().unwrap();
    let condition = opt.stop_condition().unwrap();
    steps_until(&rig, &mut opt, &condition).launch().unwrap();
    rig.finish();
    let status = opt.status(&rig.stream).unwrap();
    // Update 8 has the rate 0.5, update 9 would have less.
    assert_eq!((status.t, status.scalar(0, "lr"), status.stop), (9, Some(0.375), true));
}

#[test]
fn a_condition_outlives_its_optimizer_with_all_that_the_graph_needs() {
    let Some(rig) = rig() else { return };
    let mut pairs = pairs(&rig);
    let mut opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 6);
    let condition = opt.stop_condition().unwrap();
    let whole = steps_until(&rig, &mut opt, &condition);
    drop(opt);
    whole.launch().unwrap();
    rig.finish();
    on_the_host(&mut pairs, 6, 6);
    for pair in &pairs {
        assert_same_bits(&pair.param.read(&rig), &pair.host_param, "the optimizer was dropped before the launch");
    }
    drop(whole);
    drop(condition);
}

#[test]
fn setting_a_condition_is_one_launch_and_two_driver_calls() {
    let Some(rig) = rig() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: driver calls are counted on the stand-in") };
    let pairs = pairs(&rig);
    let opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 6);
    let condition = opt.stop_condition().unwrap();
    standin.reset_calls();
    let again = opt.stop_condition().unwrap();
    assert_eq!(standin.total_calls(), 0, "the kernel is loaded once: {:?}", standin.call_log());
    let first = |handle| {
        assert_enqueues_only(&rig, "a condition", || {
            // SAFETY: as above.
            unsafe { again.set(handle, &rig.stream) }.unwrap();
        });
        assert_eq!((standin.calls("cuLaunchKernel"), standin.total_calls()), (1, 2), "{:?}", standin.call_log());
        Ok(())
    };
    WhileLoop::capture(&rig.engine, first, |handle| {
        // SAFETY: as above.
        Ok(unsafe { condition.set(handle, &rig.stream) }?)
    })
    .unwrap();
}

#[test]
fn a_kernel_that_does_not_load_is_an_error_and_loads_when_it_is_asked_for_again() {
    let Some(rig) = rig() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: failures are injected on the stand-in") };
    let pairs = pairs(&rig);
    let opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 6);
    for call in ["cuModuleLoadData", "cuModuleGetFunction", "cuFuncLoad"] {
        standin.inject(call, 209, 0).unwrap();
        match opt.stop_condition() {
            Err(Error::Driver { call: failed, code: 209, .. }) => assert_eq!(failed, call),
            other => panic!("{call}: {other:?}"),
        }
    }
    opt.stop_condition().unwrap();
}

#[test]
fn a_condition_outside_of_its_graph_is_a_fault_with_a_report() {
    let Some(rig) = rig() else { return };
    let Some(standin) = rig.standin else {
        return println!("skipped: on a GPU the value of a stray handle is undefined");
    };
    let pairs = pairs(&rig);
    let opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 6);
    let condition = opt.stop_condition().unwrap();
    // SAFETY: breaks the contract: this is no capture, and 7 no handle. The stand-in finds it out.
    unsafe { condition.set(7, &rig.stream) }.unwrap();
    assert!(rig.stream.synchronize().is_err());
    let report = standin.take_report().unwrap();
    assert!(report.contains("set_condition") && report.contains("handle 7"), "{report}");
    standin.reset();
}

fn argument<T: std::fmt::Debug>(outcome: Result<T, Error>) -> (String, String) {
    match outcome {
        Err(Error::Argument { argument, value, .. }) => (argument, value),
        other => panic!("not an argument's error: {other:?}"),
    }
}

#[test]
fn a_condition_refuses_the_host_an_endless_loop_another_context_and_no_handle() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let host = on_the_host(&mut pairs, 3, 0);
    assert_eq!(argument(host.stop_condition()), ("device".to_owned(), "the host".to_owned()));

    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &device_tensors(&pairs));
    let endless = builder.build().unwrap();
    assert_eq!(argument(endless.stop_condition()).0, "stop_condition");
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &device_tensors(&pairs)).stop_at(3);
    let skips = builder.loss_scale(LossScale::dynamic()).build().unwrap();
    assert!(argument(skips.stop_condition()).1.contains("skips"));
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &device_tensors(&pairs)).stop_at(3);
    let raises = builder.loss_scale(LossScale::dynamic()).non_finite(NonFinite::SkipAndRaise(9)).build().unwrap();
    assert!(raises.stop_condition().is_ok());

    let opt = build(Optimizer::builder(&rig.device), &device_tensors(&pairs), 3);
    let condition = opt.stop_condition().unwrap();
    // SAFETY: refused before anything is enqueued.
    let (on_host, no_handle) = (unsafe { condition.set(1, &Stream::host()) }, unsafe { condition.set(0, &rig.stream) });
    assert_eq!(argument(on_host).0, "stream");
    assert_eq!(argument(no_handle), ("handle".to_owned(), "0".to_owned()));
}
