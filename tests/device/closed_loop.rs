//! Clipping, loss scaling, skipped steps, accumulation, zeroing: decided on the device, equal to the CPU backend's bits.

use std::collections::BTreeMap;

use approx::assert_abs_diff_eq;
use cuda_on_cpu::Direction;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{
    Accumulate, AdamW, Clip, Device, Error, LossScale, Momentum, NonFinite, Norm, Optimizer, OptimizerBuilder,
    Schedule, Sgd, Stream,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

const LENGTHS: [usize; 7] = [1, 5, 64, 2_049, 4_096, 4_100, 20_001];

/// The same optimizer on the device and on the host, over the same tensors.
struct Twins {
    pairs: Vec<Pair>,
    device: Optimizer,
    host: Optimizer,
    random: Random,
}

impl Twins {
    fn new(rig: &Rig, options: impl Fn(OptimizerBuilder) -> OptimizerBuilder) -> Twins {
        let mut random = Random(5);
        let mut pairs: Vec<Pair> = LENGTHS
            .into_iter()
            .enumerate()
            .map(|(i, len)| Pair::new(rig, random.units(len), random.units(len), (i % 4, (i / 2) % 4)))
            .collect();
        let lr = || Schedule::linear(1e-2, 1e-3).over(20);
        let groups = |builder: OptimizerBuilder, tensors: Vec<_>| {
            let builder = builder.group(AdamW::new(lr()), &tensors[..4]);
            options(builder.group(Sgd::new(lr()).momentum(Momentum::Heavy, 0.9), &tensors[4..])).build().unwrap()
        };
        let device = groups(Optimizer::builder(&rig.device), pairs.iter().map(Pair::device_tensor).collect());
        let host = groups(Optimizer::builder(&Device::host()), pairs.iter_mut().map(Pair::host_tensor).collect());
        Twins { pairs, device, host, random }
    }

    /// New gradients on both sides, `scale` times something in [-1, 1); `bad` puts a value that is not finite into one.
    fn gradients(&mut self, rig: &Rig, scale: f32, bad: Option<f32>) {
        for (i, pair) in self.pairs.iter_mut().enumerate() {
            let mut grad: Vec<f32> = self.random.units(pair.param.len).into_iter().map(|g| g * scale).collect();
            if let (Some(bad), 3) = (bad, i) {
                grad[1_000] = bad;
            }
            pair.set_grad(rig, &grad);
        }
    }

    fn step(&mut self, rig: &Rig) {
        self.device.step(&rig.stream).unwrap();
        self.host.step(&Stream::host()).unwrap();
    }

    fn assert_equal(&self, rig: &Rig, what: &str) {
        for (i, pair) in self.pairs.iter().enumerate() {
            assert_same_bits(&pair.param.read(rig), &pair.host_param, &format!("{what}, tensor {i}"));
            assert_same_bits(&pair.grad.read(rig), &pair.host_grad, &format!("{what}, gradient {i}"));
        }
        let (device, host) = (self.device.status(&rig.stream).unwrap(), self.host.status(&Stream::host()).unwrap());
        assert_eq!(format!("{device:?}"), format!("{host:?}"), "{what}");
    }
}

/// A name, and what is asked of the builder.
type Case = (&'static str, fn(OptimizerBuilder) -> OptimizerBuilder);

/// Every form of clipping, scaling and skipping that compiles to different kernels.
fn options() -> Vec<Case> {
    vec![
        ("torch clip", |b| b.clip(Clip::torch_norm(1.0))),
        ("optax clip, 1-norm", |b| b.clip(Clip::optax_norm(3.0).by(Norm::One))),
        ("torch clip, maximum norm", |b| b.clip(Clip::torch_norm(0.5).by(Norm::Max))),
        ("clip by value", |b| b.clip(Clip::value(0.25))),
        ("fixed scale", |b| b.loss_scale(LossScale::fixed(8.0))),
        ("dynamic scale", |b| b.loss_scale(LossScale::dynamic().init(16.0).interval(3))),
        ("dynamic scale and clip", |b| {
            b.clip(Clip::torch_norm(1.0)).loss_scale(LossScale::dynamic().init(4.0).interval(2).limits(2.0, 8.0))
        }),
        ("skip, raise after 2", |b| b.non_finite(NonFinite::SkipAndRaise(2))),
        ("skip and clip", |b| b.non_finite(NonFinite::Skip).clip(Clip::optax_norm(0.1))),
        ("mean of 3, clip, zero", |b| b.accumulate(Accumulate::mean(3)).clip(Clip::torch_norm(0.1)).zero_gradients()),
        ("sum of 2, skip, zero", |b| b.accumulate(Accumulate::sum(2)).non_finite(NonFinite::Skip).zero_gradients()),
        ("zero, stop", |b| b.zero_gradients().stop_at(4)),
    ]
}

#[test]
fn every_decision_about_gradients_gives_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    for (name, options) in options() {
        let mut twins = Twins::new(&rig, options);
        for call in 0..8 {
            let bad =
                [None, None, Some(f32::INFINITY), Some(f32::NAN), None, None, Some(f32::NEG_INFINITY), None][call];
            twins.gradients(&rig, [1.0, 0.01, 1.0, 1.0, 100.0, 0.0, 1.0, 1.0][call], bad);
            twins.step(&rig);
            twins.assert_equal(&rig, &format!("{name}, call {call}"));
        }
    }
}

#[test]
fn the_norm_is_the_norm_and_the_clip_factor_is_torchs() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, |b| b.clip(Clip::torch_norm(1.0)));
    twins.gradients(&rig, 1.0, None);
    let squares = twins.pairs.iter().flat_map(|pair| pair.host_grad.iter()).map(|g| f64::from(*g) * f64::from(*g));
    let norm = squares.sum::<f64>().sqrt();
    twins.step(&rig);
    let status = twins.device.status(&rig.stream).unwrap();
    assert_abs_diff_eq!(status.norm, norm, epsilon = 1e-12 * norm);
    assert_abs_diff_eq!(f64::from(status.clip_factor), 1.0 / (norm + 1e-6), epsilon = 1e-7);
}

#[test]
fn a_skipped_step_changes_nothing_and_the_loss_scale_backs_off_and_grows() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, |b| b.loss_scale(LossScale::dynamic().init(64.0).interval(2)));
    let mut seen = Vec::new();
    for bad in [None, Some(f32::NAN), Some(f32::INFINITY), None, None, None, None] {
        twins.gradients(&rig, 64.0, bad);
        let before: Vec<_> = twins.pairs.iter().map(|pair| pair.param.read(&rig)).collect();
        twins.step(&rig);
        let same = twins.pairs.iter().zip(before).all(|(pair, before)| pair.param.read(&rig) == before);
        assert_eq!(same, bad.is_some());
        let status = twins.device.status(&rig.stream).unwrap();
        seen.push((status.t, status.skipped, status.loss_scale));
    }
    // One good, two skipped (each halves), then growth after every second good one in a row.
    assert_eq!(seen, [(1, 0, 64.), (1, 1, 32.), (1, 2, 16.), (2, 2, 16.), (3, 2, 32.), (4, 2, 32.), (5, 2, 64.)]);
}

#[test]
fn what_the_engine_hands_in_is_used_and_saves_the_norm_launch() {
    let Some(rig) = Rig::new() else { return };
    let mut inv_scale = rig.array(&[1.0], 0);
    let mut norm_square = rig.array(&[1.0], 0);
    let (mut host_inv_scale, mut host_norm_square) = (Box::new(1.0f32), Box::new(1.0f32));
    let pairs = std::cell::RefCell::new(0);
    let addresses = [
        [inv_scale.address(), norm_square.address()],
        [&raw mut *host_inv_scale as u64, &raw mut *host_norm_square as u64],
    ];
    let mut twins = Twins::new(&rig, |b| {
        let side = addresses[*pairs.borrow()];
        *pairs.borrow_mut() += 1;
        // SAFETY: the arrays and boxes outlive the optimizers.
        let b = unsafe { b.inv_scale(side[0]) };
        // SAFETY: as above.
        unsafe { b.norm_square(side[1]) }.clip(Clip::torch_norm(0.5))
    });
    for (scale, square) in [(1.0, 4.0), (0.125, 0.01), (0.5, 1e6)] {
        inv_scale.write(&rig, &[scale]);
        norm_square.write(&rig, &[square]);
        (*host_inv_scale, *host_norm_square) = (scale, square);
        twins.gradients(&rig, 1.0, None);
        rig.finish();
        if let Some(standin) = rig.standin {
            standin.reset_calls();
        }
        twins.device.step(&rig.stream).unwrap();
        if let Some(standin) = rig.standin {
            assert_eq!(standin.calls("cuLaunchKernel"), 1, "nothing has to be known of all gradients");
        }
        twins.host.step(&Stream::host()).unwrap();
        twins.assert_equal(&rig, &format!("inverse scale {scale}, norm² {square}"));
    }
}

#[test]
fn a_step_with_a_norm_is_two_launches_and_three_driver_calls_and_is_captured() {
    let Some(rig) = Rig::new() else { return };
    let mut twins = Twins::new(&rig, |b| b.clip(Clip::torch_norm(1.0)).loss_scale(LossScale::dynamic()));
    rig.finish();
    if let Some(standin) = rig.standin {
        standin.reset_calls();
        twins.step(&rig);
        let log: BTreeMap<_, _> = standin.call_log();
        assert_eq!(log, BTreeMap::from([("cuCtxGetCurrent".to_owned(), 1), ("cuLaunchKernel".to_owned(), 2)]));
        rig.finish();
    } else {
        twins.step(&rig);
    }
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    twins.device.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for replay in 0..50 {
        let bad = (replay % 7 == 5).then_some(f32::NAN);
        twins.gradients(&rig, 1.0 + replay as f32, bad);
        graph.launch().unwrap();
        twins.host.step(&Stream::host()).unwrap();
    }
    twins.assert_equal(&rig, "after 50 replays");
}

#[test]
fn calls_per_update_are_edited_and_a_mean_is_over_the_calls_that_were_made() {
    let Some(rig) = Rig::new() else { return };
    for clip in [None, Some(Clip::value(100.0)), Some(Clip::optax_norm(1e6))] {
        let mut pair = Pair::new(&rig, vec![0.0], vec![6.0], (0, 0));
        let build = |device: &Device, tensor| {
            let builder = Optimizer::builder(device).group(Sgd::new(1.0), &[tensor]).accumulate(Accumulate::mean(4));
            match clip {
                Some(clip) => builder.clip(clip),
                None => builder,
            }
            .build()
            .unwrap()
        };
        let mut device = build(&rig.device, pair.device_tensor());
        let mut host = build(&Device::host(), pair.host_tensor());
        rig.finish();
        rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        device.step(&rig.stream).unwrap();
        let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();

        // After three calls an update takes two: the fourth call, the next, updates with the mean over four. The gradients
        // stay what they are, as if every call but the first of an update had added nothing.
        let (mut seen, edits) = (Vec::new(), [(3, 2), (6, 3), (9, 1)]);
        for call in 0..11 {
            if let Some((_, calls)) = edits.iter().find(|(at, _)| *at == call) {
                device.edit().accumulate(*calls).apply(&rig.stream).unwrap();
                host.edit().accumulate(*calls).apply(&Stream::host()).unwrap();
            }
            graph.launch().unwrap();
            host.step(&Stream::host()).unwrap();
            let param = pair.param.read(&rig);
            assert_same_bits(&param, &pair.host_param, &format!("call {call}"));
            seen.push(param[0]);
        }
        let expected = [0.0, 0.0, 0.0, -1.5, -1.5, -4.5, -4.5, -4.5, -6.5, -12.5, -18.5];
        assert_eq!(seen, expected, "{clip:?}");
        assert_eq!(device.status(&rig.stream).unwrap().t, 5);
    }
}

#[test]
fn calls_per_update_that_cannot_be_are_refused() {
    let Some(rig) = Rig::new() else { return };
    let mut pair = Pair::new(&rig, vec![0.0], vec![6.0], (0, 0));
    let mut build = |on_device: bool, accumulate: bool| {
        let (device, tensor) =
            if on_device { (&rig.device, pair.device_tensor()) } else { (&Device::host(), pair.host_tensor()) };
        let builder = Optimizer::builder(device).group(Sgd::new(1.0), &[tensor]);
        if accumulate { builder.accumulate(Accumulate::sum(2)) } else { builder }.build().unwrap()
    };
    for accumulates in [true, false] {
        let (mut device, mut host) = (build(true, accumulates), build(false, accumulates));
        for calls in [0, 3] {
            let ours = device.edit().accumulate(calls).apply(&rig.stream);
            assert_eq!(ours, host.edit().accumulate(calls).apply(&Stream::host()));
            match (calls, accumulates) {
                (3, true) => assert_eq!(ours, Ok(())),
                _ => assert!(
                    matches!(&ours, Err(Error::Argument { argument, .. }) if argument == "accumulate.calls"),
                    "{ours:?}"
                ),
            }
        }
    }
}

#[test]
fn a_nan_stays_in_every_norm() {
    let Some(rig) = Rig::new() else { return };
    for norm in [Norm::Two, Norm::One, Norm::Max] {
        let mut twins = Twins::new(&rig, |b| b.clip(Clip::torch_norm(0.5).by(norm)));
        twins.gradients(&rig, 1.0, Some(f32::NAN));
        twins.step(&rig);
        let status = twins.device.status(&rig.stream).unwrap();
        assert!(status.norm.is_nan() && status.clip_factor.is_nan(), "{norm:?}: {status:?}");
        twins.assert_equal(&rig, &format!("{norm:?}"));
    }
}

#[test]
fn with_the_policy_to_skip_what_is_seen_and_what_is_handed_in_both_count() {
    let Some(rig) = Rig::new() else { return };
    let mut handed = rig.array(&[0.0], 0);
    let mut host_handed = Box::new(0.0f32);
    let addresses = [handed.address(), &raw mut *host_handed as u64];
    let side = std::cell::Cell::new(0);
    let mut next = || {
        side.set(side.get() + 1);
        addresses[(side.get() - 1) % 2]
    };
    // A found_inf of 0 does not hide an infinity that the norm launch sees.
    let address = std::cell::RefCell::new(&mut next);
    let mut twins = Twins::new(&rig, |b| {
        // SAFETY: the array and the box outlive the optimizers.
        unsafe { b.found_inf((address.borrow_mut())()) }.clip(Clip::torch_norm(1.0)).non_finite(NonFinite::Skip)
    });
    twins.gradients(&rig, 1.0, Some(f32::INFINITY));
    twins.step(&rig);
    twins.assert_equal(&rig, "an infinity, found_inf 0");
    assert_eq!(twins.device.status(&rig.stream).unwrap().skipped, 1);

    // A norm of all ranks that is not finite skips, though this rank's gradients are.
    let mut twins = Twins::new(&rig, |b| {
        // SAFETY: as above.
        unsafe { b.norm_square((address.borrow_mut())()) }.clip(Clip::torch_norm(1.0)).non_finite(NonFinite::Skip)
    });
    handed.write(&rig, &[f32::INFINITY]);
    *host_handed = f32::INFINITY;
    twins.gradients(&rig, 1.0, None);
    twins.step(&rig);
    twins.assert_equal(&rig, "an infinite norm");
    assert_eq!(twins.device.status(&rig.stream).unwrap().skipped, 1);
}

#[test]
fn what_is_handed_in_may_not_lie_where_the_update_writes() {
    let (mut param, mut grad) = (vec![1.0f32; 8], vec![0.0f32; 8]);
    let (param, grad) = (param.as_mut_ptr() as u64, grad.as_mut_ptr() as u64);
    let builder = || {
        // SAFETY: both vectors outlive the optimizers, which never step.
        let tensor = unsafe { instep::Tensor::f32(param, grad, 8) };
        Optimizer::builder(&Device::host()).group(Sgd::new(0.1), &[tensor])
    };
    // SAFETY: as above.
    let inside = unsafe { builder().found_inf(param + 28) }.build().unwrap_err();
    assert!(inside.to_string().contains("the update writes there"), "{inside}");
    // SAFETY: as above.
    unsafe { builder().found_inf(grad) }.build().unwrap();
    // SAFETY: as above.
    unsafe { builder().found_inf(grad) }.zero_gradients().build().unwrap_err();
}

#[test]
fn a_norm_adds_4_bytes_per_parameter_and_zeroing_4_more() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: bytes are counted on the stand-in") };
    const LEN: usize = 1 << 16;
    let pair = Pair::new(&rig, vec![1.0; LEN], vec![0.5; LEN], (0, 0));
    let bytes = |options: fn(OptimizerBuilder) -> OptimizerBuilder| {
        let builder = Optimizer::builder(&rig.device).group(AdamW::new(1e-3), &[pair.device_tensor()]);
        let mut opt = options(builder).build().unwrap();
        rig.finish();
        standin.reset_traffic();
        opt.step(&rig.stream).unwrap();
        rig.finish();
        (standin.traffic(Direction::Load, 16) + standin.traffic(Direction::Store, 16)) as f64 / LEN as f64
    };
    let plain = bytes(|b| b);
    // Partials and rows of the norm's own stay below a byte per parameter.
    let norm = bytes(|b| b.clip(Clip::torch_norm(1.0))) - plain;
    assert!((4.0..5.0).contains(&norm), "a norm adds {norm} B per parameter");
    let zeroed = bytes(|b| b.zero_gradients()) - plain;
    assert!((4.0..4.1).contains(&zeroed), "zeroing adds {zeroed} B per parameter");
}
