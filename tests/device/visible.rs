//! What decides can be seen: in a report, on the device, in the record of a call, and on the host without a wait.

use approx::abs_diff_eq;
use instep::{
    Accumulate, Adam, Device, Greedy, NonFinite, Norm, Observed, Optimizer, OptimizerBuilder, Plateau, Sgd, Stream,
    Telemetry, Tensor,
};

use crate::rig::{Pair, Rig};
use crate::twins::Twins;
use crate::values::Random;

#[test]
fn a_norm_is_computed_without_clipping_and_changes_nothing() {
    let Some(rig) = Rig::new() else { return };
    for norm in [Norm::Two, Norm::One, Norm::Max] {
        let (mut plain, mut seen) = (
            Twins::new(&rig, &[70, 5_000], |b, t| b.group(Adam::new(1e-2), t)),
            Twins::new(&rig, &[70, 5_000], |b, t| b.group(Adam::new(1e-2), t).norm(norm)),
        );
        plain.steps(3);
        seen.steps(3);
        seen.expect_same(&format!("{norm:?}"));
        for (plain, seen) in plain.pairs.iter().zip(&seen.pairs) {
            assert_eq!(plain.param.read(&rig), seen.param.read(&rig), "{norm:?}");
        }
        let all = seen.pairs.iter().flat_map(|pair| pair.host_grad.iter().map(|g| f64::from(g.abs())));
        let expected = match norm {
            Norm::Two => all.map(|g| g * g).sum::<f64>().sqrt(),
            Norm::One => all.sum(),
            Norm::Max => all.fold(0.0, f64::max),
        };
        let status = seen.device.status(&rig.stream).unwrap();
        let close = abs_diff_eq!(status.norm, expected, epsilon = 1e-12 * expected);
        assert!(close, "{norm:?}: {} is not {expected}", status.norm);
        assert_eq!(status.clip_factor, 1.0);
    }
}

#[test]
fn what_a_metric_rule_has_come_to_is_in_the_report_on_the_device_and_in_the_record() {
    let Some(rig) = Rig::new() else { return };
    let add = |b: OptimizerBuilder, t: &[Tensor]| {
        let plateau = Sgd::new(0.5).metric(Plateau::new().factor(0.5).patience(0));
        let greedy = Sgd::new(0.25).metric(Greedy::new().factor(0.5).patience(0));
        let b = b.group(plateau, &t[..1]).group(Sgd::new(0.125), &t[1..2]).group(greedy, &t[2..]);
        b.telemetry(Telemetry::ring(64))
    };
    let mut twins = Twins::new(&rig, &[5, 6, 7], add);
    let (mut records, mut host_records) = (twins.device.telemetry().unwrap(), twins.host.telemetry().unwrap());
    for metric in [3.0, 2.0, 4.0, 5.0, 1.0] {
        twins.observe(metric);
        twins.steps(1);
    }
    twins.expect_same("after five observations");
    let status = twins.device.status(&rig.stream).unwrap();
    let plateau = status.metric(0).unwrap();
    assert_eq!((plateau.scale, plateau.best, plateau.bad, plateau.at_min), (0.25, 1.0, 0, 0));
    assert_eq!((status.metric(1), status.metric(3)), (None, None));
    assert_eq!(status.metric(2).unwrap().best, 1.0);

    let view = twins.device.device_view();
    assert_eq!((view.metric_scale(1), view.metric_scale(9)), (None, None));
    let address = view.metric_scale(0).unwrap()[(status.t & 1) as usize];
    let bits = rig.read(address, 2).into_iter().rev().fold(0u64, |bits, word| bits << 32 | u64::from(word.to_bits()));
    assert_eq!(f64::from_bits(bits), 0.25);

    let records = records.finish(&rig.stream).unwrap();
    assert_eq!(records, host_records.finish(&Stream::host()).unwrap());
    let of = |name| records.iter().map(|record| record.scalar(0, name).unwrap()).collect::<Vec<_>>();
    assert_eq!(of("metric_scale"), [1.0, 1.0, 0.5, 0.25, 0.25]);
    assert_eq!(of("metric_best"), [3.0, 2.0, 2.0, 2.0, 1.0]);
    assert_eq!(records[0].scalar(1, "metric_scale"), None);
}

#[test]
fn counters_of_calls_and_micro_steps_are_in_the_report_and_on_the_device() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, &[9], |b, t| b.group(Sgd::new(0.5), t).accumulate(Accumulate::sum(3)));
    for (calls, expected) in [(1, (1, 0, 1)), (1, (2, 0, 2)), (1, (3, 1, 0)), (2, (5, 1, 2))] {
        twins.steps(calls);
        twins.expect_same("calls");
        let status = twins.device.status(&rig.stream).unwrap();
        assert_eq!((status.calls, status.t, status.micro_step), expected);
        let view = twins.device.device_view();
        assert_eq!(rig.read(view.calls, 1)[0].to_bits(), status.calls as u32);
        assert_eq!(rig.read(view.micro_step, 1)[0].to_bits(), status.micro_step);
    }
}

#[test]
fn the_engines_loss_is_in_the_record_of_the_call() {
    let Some(rig) = Rig::new() else { return };
    let mut pair = Pair::new(&rig, vec![1.0; 5], vec![1.0; 5], (0, 0));
    let (mut loss, mut host_loss) = (rig.array(&[0.0], 0), Box::new(0.0f32));
    let build = |device: &Device, tensor: Tensor, loss: u64| {
        // SAFETY: the losses outlive the optimizers.
        let builder = unsafe { Optimizer::builder(device).record_loss(Observed::f32(loss)) };
        builder.group(Sgd::new(0.5), &[tensor]).telemetry(Telemetry::ring(8)).build().unwrap()
    };
    let mut device = build(&rig.device, pair.device_tensor(), loss.address());
    let mut host = build(&Device::host(), pair.host_tensor(), &raw mut *host_loss as u64);
    let (mut records, mut host_records) = (device.telemetry().unwrap(), host.telemetry().unwrap());
    let losses = [2.5, f32::INFINITY, 0.25];
    for value in losses {
        loss.write(&rig, &[value]);
        *host_loss = value;
        device.step(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
        rig.finish();
    }
    let records = records.finish(&rig.stream).unwrap();
    assert_eq!(records, host_records.finish(&Stream::host()).unwrap());
    assert_eq!(records.iter().map(|record| record.loss).collect::<Vec<_>>(), losses);

    // SAFETY: refused before it is read.
    let builder = unsafe { Optimizer::builder(&rig.device).record_loss(Observed::f32(loss.address())) };
    let error = builder.group(Sgd::new(0.5), &[pair.device_tensor()]).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "record_loss.loss is given, but no record shows it: call telemetry(..) on the builder"
    );
}

#[test]
fn the_host_learns_of_the_flags_without_a_driver_call() {
    let Some(rig) = Rig::new() else { return };
    let mut random = Random(3);
    let mut pair = Pair::new(&rig, random.units(70), random.units(70), (0, 0));
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.5), &[pair.device_tensor()]);
    let mut opt = builder.stop_at(3).non_finite(NonFinite::SkipAndRaise(2)).build().unwrap();
    let mut seen = Vec::new();
    for call in 0..6 {
        let grad: Vec<f32> = if call < 2 { vec![f32::NAN; 70] } else { random.units(70) };
        pair.set_grad(&rig, &grad);
        opt.step(&rig.stream).unwrap();
        rig.finish();
        if let Some(standin) = rig.standin {
            standin.reset_calls();
        }
        seen.push((opt.stopped(), opt.raised()));
        assert_eq!(rig.standin.map_or(0, |standin| standin.total_calls()), 0);
        let status = opt.status(&rig.stream).unwrap();
        assert_eq!((status.stop, status.raised), seen[call]);
    }
    let expected = [(false, false), (false, true), (false, true), (false, true), (true, true), (true, true)];
    assert_eq!(seen, expected);
    opt.edit().lower_flags().apply(&rig.stream).unwrap();
    rig.finish();
    assert_eq!((opt.stopped(), opt.raised()), (false, false));
}
