//! Rates that follow a metric: the state machines run on the device, fed by a metric that never leaves it, and give the
//! CPU backend's bits.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    AdamW, Better, Device, Dtype, Error, Greedy, Improvement, Metric, Observed, Optimizer, OptimizerBuilder, Plateau,
    Schedule, Sgd, Status, Stream,
};

use crate::rig::{Pair, Rig};
use crate::values::Random;

fn rules() -> Vec<Metric> {
    let relative = |better| Improvement::relative(better, 0.01);
    vec![
        Plateau::new().factor(0.5).patience(1).into(),
        Plateau::new().factor(0.3).patience(0).cooldown(2).min_scale(0.05).improvement(relative(Better::Higher)).into(),
        Plateau::new().average(3).patience(1).ignore_first(2).min_change(0.01).into(),
        Plateau::new().patience(0).improvement(Improvement::signed(Better::Lower, 0.1, 0.01)).into(),
        Greedy::new().factor(0.7).patience(1).bounds(0.1, 4.0).into(),
        Greedy::new().factor(0.5).patience(0).pauses(1, 2).smooth(4).reset_after(2).bounds(0.25, 2.0).into(),
        Greedy::new().factor(0.8).patience(0).improvement(relative(Better::Higher)).min_change(1e-3).into(),
    ]
}

/// One group a rule on the device and on the host.
fn twins(rig: &Rig, pairs: &mut [Pair]) -> (Optimizer, Optimizer) {
    let lr = || Schedule::linear(1.0, 0.5).over(50);
    let mut add = |builder: OptimizerBuilder, host: bool| {
        let groups = rules().into_iter().zip(pairs.iter_mut()).enumerate();
        groups.fold(builder, |builder, (i, (rule, pair))| {
            let tensors = [if host { pair.host_tensor() } else { pair.device_tensor() }];
            match i % 2 {
                0 => builder.group(Sgd::new(lr()).metric(rule), &tensors),
                _ => builder.group(AdamW::new(lr()).metric(rule), &tensors),
            }
        })
    };
    let device = add(Optimizer::builder(&rig.device), false).build().unwrap();
    let host = add(Optimizer::builder(&Device::host()), true).build().unwrap();
    (device, host)
}

fn pairs(rig: &Rig) -> Vec<Pair> {
    rules().iter().map(|_| Pair::new(rig, vec![1.0; 3], vec![0.01; 3], (0, 0))).collect()
}

/// Most rules have changed the rate, which is `lr` without them.
fn assert_moved(status: &Status, lr: f32) {
    let moved = (0..rules().len()).filter(|group| status.scalar(*group, "lr") != Some(lr)).count();
    assert!(moved >= 5, "the rules must have acted: {status:?}");
}

#[test]
fn every_metric_rule_gives_the_hosts_bits_observation_by_observation() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let (mut device, mut host) = twins(&rig, &mut pairs);
    let mut random = Random(9);
    for i in 0..120 {
        let metric = match i % 17 {
            16 => f64::NAN,
            7 => f64::NEG_INFINITY,
            11 => f64::INFINITY,
            _ => 1.0 / f64::from(1 + i / 9) + 0.05 * f64::from(random.unit()) - 0.3,
        };
        // SAFETY: values have no address.
        unsafe { device.observe(metric, &rig.stream) }.unwrap();
        // SAFETY: as above.
        unsafe { host.observe(metric, &Stream::host()) }.unwrap();
        if i % 3 != 0 {
            device.step(&rig.stream).unwrap();
            host.step(&Stream::host()).unwrap();
        }
        let (ours, theirs) = (device.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap());
        assert_eq!(ours, theirs, "observation {i}, {metric}");
    }
    rig.finish();
    let status = device.status(&rig.stream).unwrap();
    assert_moved(&status, 0.5);
}

#[test]
fn a_captured_observation_reads_the_metric_of_the_moment() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0], vec![0.0], (0, 0));
    let mut loss = rig.array(&[1.0], 0);
    let rule = Sgd::new(1.0).metric(Plateau::new().factor(0.5).patience(0));
    let mut opt = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]).build().unwrap();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    // SAFETY: `loss` outlives the graph.
    unsafe { opt.observe(Observed::f32(loss.address()), &rig.stream) }.unwrap();
    opt.step(&rig.stream).unwrap();
    // SAFETY: a value has no address.
    let refused = unsafe { opt.observe(0.5, &rig.stream) }.unwrap_err();
    assert!(matches!(&refused, Error::Argument { argument, .. } if argument == "metric"), "{refused}");
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let mut rates = Vec::new();
    for value in [1.0, 0.5, 0.5, 0.6, 0.1] {
        loss.write(&rig, &[value]);
        graph.launch().unwrap();
        rates.push(opt.status(&rig.stream).unwrap().scalar(0, "lr").unwrap());
    }
    assert_eq!(rates, [1.0, 1.0, 0.5, 0.25, 0.25]);
}

/// -2.5 in each type, within one f32 or two (bf16 0xC020, f16 0xC100); the upper halves hold something else.
fn cells_of_minus_2_5() -> [(Dtype, Vec<f32>); 4] {
    let f64_bits = (-2.5f64).to_bits();
    [
        (Dtype::F32, vec![-2.5]),
        (Dtype::Bf16, vec![f32::from_bits(0x7777_C020)]),
        (Dtype::F16, vec![f32::from_bits(0x7777_C100)]),
        (Dtype::F64, vec![f32::from_bits(f64_bits as u32), f32::from_bits((f64_bits >> 32) as u32)]),
    ]
}

#[test]
fn a_metric_of_any_type_is_read_as_it_is() {
    let Some(rig) = Rig::new() else { return };
    for (dtype, cell) in cells_of_minus_2_5() {
        let pair = Pair::new(&rig, vec![1.0], vec![0.0], (0, 0));
        // -2.5 is better than -2 by exactly 0.5, so a threshold on either side tells whether it was read right.
        for (threshold, expected) in [(0.499, 1.0), (0.501, 0.1f32)] {
            let improvement = Improvement::absolute(Better::Lower, threshold);
            let rule = Sgd::new(1.0).metric(Plateau::new().patience(0).improvement(improvement));
            let mut opt = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]).build().unwrap();
            let memory = rig.array(&cell, 0);
            // SAFETY: a value has no address.
            unsafe { opt.observe(-2.0, &rig.stream) }.unwrap();
            // SAFETY: `memory` holds one element of this type and outlives the wait below.
            unsafe { opt.observe(Observed::Device { address: memory.address(), dtype }, &rig.stream) }.unwrap();
            let lr = opt.status(&rig.stream).unwrap().scalar(0, "lr").unwrap();
            assert_eq!(lr, expected, "{dtype:?}, threshold {threshold}");
        }
    }
}

#[test]
fn bad_observations_are_refused() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0], vec![0.0], (0, 0));
    let argument = |error: Error| match error {
        Error::Argument { argument, .. } => argument,
        other => panic!("{other}"),
    };
    let mut without = Optimizer::builder(&rig.device).group(Sgd::new(1.0), &[pair.device_tensor()]).build().unwrap();
    // SAFETY: a value has no address.
    assert_eq!(argument(unsafe { without.observe(1.0, &rig.stream) }.unwrap_err()), "metric");
    let rule = Sgd::new(1.0).metric(Plateau::new());
    let mut opt = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]).build().unwrap();
    for address in [0, 2] {
        // SAFETY: refused before anything is read.
        let error = unsafe { opt.observe(Observed::f32(address), &rig.stream) }.unwrap_err();
        assert_eq!(argument(error), "metric.address");
    }
    // SAFETY: as above.
    assert_eq!(argument(unsafe { opt.observe(1.0, &Stream::host()) }.unwrap_err()), "stream");
    let bad = Sgd::new(1.0).metric(Plateau::new().factor(1.0));
    let error = Optimizer::builder(&rig.device).group(bad, &[pair.device_tensor()]).build().unwrap_err();
    assert_eq!(argument(error), "groups[0].plateau.factor");
}

#[test]
fn a_step_that_observes_by_itself_does_what_an_observation_after_every_nth_update_does() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let (mut found, mut loss) = (rig.array(&[0.0], 0), rig.array(&[0.0], 0));
    let (mut host_found, mut host_loss) = (Box::new(0.0f32), Box::new(0.0f32));
    let add = |builder: OptimizerBuilder, found: u64, tensors: Vec<instep::Tensor>| {
        let groups = rules().into_iter().zip(tensors);
        // SAFETY: the flag outlives the optimizer.
        let builder = unsafe { builder.found_inf(found) };
        groups.fold(builder, |builder, (rule, tensor)| builder.group(Sgd::new(1.0).metric(rule), &[tensor]))
    };
    let host_at = [&raw mut *host_found as u64, &raw mut *host_loss as u64];
    let tensors = || pairs.iter().map(Pair::device_tensor).collect();
    let by_itself = add(Optimizer::builder(&rig.device), found.address(), tensors());
    // SAFETY: the loss outlives the optimizer.
    let mut by_itself = unsafe { by_itself.observe_every(3, Observed::f32(loss.address())) }.build().unwrap();
    let mut by_call = add(Optimizer::builder(&rig.device), found.address(), tensors()).build().unwrap();
    let host = add(Optimizer::builder(&Device::host()), host_at[0], pairs.iter_mut().map(Pair::host_tensor).collect());
    // SAFETY: as above.
    let mut host = unsafe { host.observe_every(3, Observed::f32(host_at[1])) }.build().unwrap();

    let mut random = Random(4);
    for call in 0..60 {
        let skipped = call % 7 == 4;
        let metric = 1.0 / (1 + call / 9) as f32 + 0.05 * random.unit();
        loss.write(&rig, &[metric]);
        found.write(&rig, &[f32::from(u8::from(skipped))]);
        (*host_loss, *host_found) = (metric, f32::from(u8::from(skipped)));
        by_itself.step(&rig.stream).unwrap();
        by_call.step(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
        let t = by_call.status(&rig.stream).unwrap().t;
        if !skipped && t % 3 == 0 {
            // SAFETY: as above.
            unsafe { by_call.observe(Observed::f32(loss.address()), &rig.stream) }.unwrap();
        }
        let status = by_itself.status(&rig.stream).unwrap();
        assert_eq!(status, by_call.status(&rig.stream).unwrap(), "call {call}");
        assert_eq!(status, host.status(&Stream::host()).unwrap(), "call {call}, on the host");
    }
    let status = by_itself.status(&rig.stream).unwrap();
    assert_moved(&status, 1.0);
}

#[test]
fn a_step_that_observes_by_itself_reads_a_metric_of_any_type() {
    let Some(rig) = Rig::new() else { return };
    for (dtype, cell) in cells_of_minus_2_5() {
        let (pair, memory) = (Pair::new(&rig, vec![1.0], vec![0.0], (0, 0)), rig.array(&cell, 0));
        let rule =
            Sgd::new(1.0).metric(Plateau::new().patience(0).improvement(Improvement::absolute(Better::Lower, 0.25)));
        let builder = Optimizer::builder(&rig.device).group(rule, &[pair.device_tensor()]);
        // SAFETY: the metric outlives the optimizer.
        let builder = unsafe { builder.observe_every(1, Observed::Device { address: memory.address(), dtype }) };
        let mut opt = builder.build().unwrap();
        // SAFETY: a value has no address.
        let observe = |metric: f64, opt: &mut Optimizer| unsafe { opt.observe(metric, &rig.stream) }.unwrap();
        observe(-2.24, &mut opt);
        opt.step(&rig.stream).unwrap();
        assert_eq!(opt.status(&rig.stream).unwrap().scalar(0, "lr"), Some(1.0), "{dtype:?}: better by 0.26");
        opt.step(&rig.stream).unwrap();
        assert_eq!(opt.status(&rig.stream).unwrap().scalar(0, "lr"), Some(0.1f64 as f32), "{dtype:?}: not better");
    }
}
