//! Rates that follow a metric: the state machines run on the device, fed by a metric that never leaves it, and give the
//! CPU backend's bits.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    AdamW, Better, Device, Dtype, Error, Greedy, Improvement, Metric, Observed, Optimizer, OptimizerBuilder, Plateau,
    Schedule, Sgd, Stream,
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

#[test]
fn every_metric_rule_gives_the_hosts_bits_observation_by_observation() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig);
    let (mut device, mut host) = twins(&rig, &mut pairs);
    let mut random = Random(9);
    for i in 0..120 {
        let metric = match i % 17 {
            16 => f64::NAN,
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
    let moved = (0..pairs.len()).filter(|group| status.scalar(*group, "lr") != Some(0.5)).count();
    assert!(moved >= 5, "the rules must have acted: {status:?}");
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

#[test]
fn a_metric_of_any_type_is_read_as_it_is() {
    let Some(rig) = Rig::new() else { return };
    // -2.5 in each type, within one f32 or two: bf16 0xC020, f16 0xC100 (upper halves hold something else).
    let f64_bits = (-2.5f64).to_bits();
    let cells = [
        (Dtype::F32, vec![-2.5f32]),
        (Dtype::Bf16, vec![f32::from_bits(0x7777_C020)]),
        (Dtype::F16, vec![f32::from_bits(0x7777_C100)]),
        (Dtype::F64, vec![f32::from_bits(f64_bits as u32), f32::from_bits((f64_bits >> 32) as u32)]),
    ];
    for (dtype, cell) in cells {
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
