//! A last, partial accumulation: an update of the calls that were made, though they are fewer than an update takes.

use instep::{
    Accumulate, AdamW, Clip, Device, Error, LossScale, NonFinite, Norm, Optimizer, OptimizerBuilder, Sgd, Stream,
    Tensor,
};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};
use crate::zero_wait::assert_captures;

/// A name, and what is asked of the builder.
type Case = (&'static str, fn(OptimizerBuilder) -> OptimizerBuilder);

/// Every place that a factor comes from.
const CASES: [Case; 6] = [
    ("sum", |b| b.accumulate(Accumulate::sum(4))),
    ("mean", |b| b.accumulate(Accumulate::mean(4))),
    ("mean, fixed scale", |b| b.accumulate(Accumulate::mean(4)).loss_scale(LossScale::fixed(8.0))),
    ("mean, clip by norm", |b| b.accumulate(Accumulate::mean(4)).clip(Clip::torch_norm(0.1))),
    ("mean, dynamic scale, zero", |b| {
        b.accumulate(Accumulate::mean(4)).loss_scale(LossScale::dynamic().init(4.0)).zero_gradients()
    }),
    ("sum, clip by value, norm", |b| b.accumulate(Accumulate::sum(4)).clip(Clip::value(0.5)).norm(Norm::One)),
];

fn build(device: &Device, tensors: &[Tensor], options: impl Fn(OptimizerBuilder) -> OptimizerBuilder) -> Optimizer {
    options(Optimizer::builder(device).group(AdamW::new(1e-2).weight_decay(0.1), tensors)).build().unwrap()
}

#[test]
fn a_flush_updates_with_the_calls_that_were_made_and_gives_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    for (name, options) in CASES {
        let mut random = Random(23);
        let mut pairs: Vec<Pair> = [(5, 0), (2_050, 1), (9_000, 0)]
            .into_iter()
            .map(|(len, skew)| Pair::new(&rig, random.units(len), random.units(len), (0, skew)))
            .collect();
        let tensors: Vec<_> = pairs.iter().map(Pair::device_tensor).collect();
        let mut device = build(&rig.device, &tensors, options);
        let tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
        let mut host = build(&Device::host(), &tensors, options);
        let mut updates = 0;
        // Calls between two flushes, and how many updates they bring with the flush.
        for (calls, brings) in [(0, 0), (1, 1), (3, 1), (4, 1), (6, 2), (0, 0), (2, 1)] {
            for _ in 0..calls {
                device.step(&rig.stream).unwrap();
                host.step(&Stream::host()).unwrap();
            }
            device.flush(&rig.stream).unwrap();
            host.flush(&Stream::host()).unwrap();
            updates += brings;
            let what = format!("{name}: {calls} calls and a flush");
            let status = device.status(&rig.stream).unwrap();
            assert_eq!(status, host.status(&Stream::host()).unwrap(), "{what}");
            assert_eq!((status.t, status.micro_step), (updates, 0), "{what}");
            for (i, pair) in pairs.iter().enumerate() {
                assert_same_bits(&pair.param.read(&rig), &pair.host_param, &format!("{what}, tensor {i}"));
            }
        }
    }
}

#[test]
fn a_flushed_mean_divides_by_the_calls_that_were_made() {
    let Some(rig) = Rig::new() else { return };
    for clip in [None, Some(Clip::optax_norm(1e6))] {
        let pair = Pair::new(&rig, vec![0.0], vec![6.0], (0, 0));
        let options = |builder: OptimizerBuilder| {
            let builder = builder.group(Sgd::new(1.0), &[pair.device_tensor()]).accumulate(Accumulate::mean(4));
            if let Some(clip) = clip { builder.clip(clip) } else { builder }
        };
        let mut opt = options(Optimizer::builder(&rig.device)).build().unwrap();
        for _ in 0..3 {
            opt.step(&rig.stream).unwrap();
        }
        opt.flush(&rig.stream).unwrap();
        assert_eq!(pair.param.read(&rig), [-2.0], "6 over three calls, {clip:?}");
        opt.flush(&rig.stream).unwrap();
        assert_eq!(pair.param.read(&rig), [-2.0], "nothing is left to flush, {clip:?}");
    }
}

#[test]
fn a_flush_only_enqueues_and_is_captured_and_needs_accumulation() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![0.0; 9], vec![1.0; 9], (0, 0));
    let builder = || Optimizer::builder(&rig.device).group(Sgd::new(1.0), &[pair.device_tensor()]);
    let builder = |skip| if skip { builder().non_finite(NonFinite::Skip) } else { builder() };
    for skip in [false, true] {
        let mut opt = builder(skip).accumulate(Accumulate::sum(2)).build().unwrap();
        opt.step(&rig.stream).unwrap();
        assert_captures(&rig, "a flush", || opt.flush(&rig.stream).unwrap());
        rig.finish();
        assert_eq!(opt.status(&rig.stream).unwrap().t, 1, "the capture ran nothing");
    }
    let error = builder(false).build().unwrap().flush(&rig.stream).unwrap_err();
    let text = "flush is of accumulated gradients, but the optimizer was built without: call accumulate(..) on its builder";
    assert!(matches!(error, Error::Argument { .. }) && error.to_string() == text, "{error}");
}
