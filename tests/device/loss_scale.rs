//! The hysteresis of a dynamic loss scale, and its end at the least value, against DeepSpeed's own rule.

use instep::{Device, LossScale, NonFinite, Norm, Optimizer, OptimizerBuilder, Sgd, Stream, Tensor};

use crate::rig::{Pair, Rig};

/// DeepSpeed's `DynamicLossScaler.update_scale`, in its own words.
struct DeepSpeed {
    cur_scale: f64,
    cur_iter: i64,
    last_overflow_iter: i64,
    scale_factor: f64,
    scale_window: i64,
    min_scale: f64,
    delayed_shift: u32,
    cur_hysteresis: u32,
    consecutive_hysteresis: bool,
}

impl DeepSpeed {
    fn update_scale(&mut self, overflow: bool) {
        if overflow {
            if self.delayed_shift == 1 || self.cur_hysteresis == 1 {
                self.cur_scale = (self.cur_scale / self.scale_factor).max(self.min_scale);
            } else {
                self.cur_hysteresis -= 1;
            }
            self.last_overflow_iter = self.cur_iter;
        } else {
            if self.consecutive_hysteresis {
                self.cur_hysteresis = self.delayed_shift;
            }
            if (self.cur_iter - self.last_overflow_iter) % self.scale_window == 0 {
                if !self.consecutive_hysteresis {
                    self.cur_hysteresis = self.delayed_shift;
                }
                self.cur_scale *= self.scale_factor;
            }
        }
        self.cur_iter += 1;
    }
}

/// The same optimizer on both sides over one parameter.
fn both(rig: &Rig, pair: &mut Pair, options: impl Fn(OptimizerBuilder) -> OptimizerBuilder) -> (Optimizer, Optimizer) {
    let build = |device: &Device, tensor: Tensor| {
        options(Optimizer::builder(device).group(Sgd::new(1e-3), &[tensor])).build().unwrap()
    };
    (build(&rig.device, pair.device_tensor()), build(&Device::host(), pair.host_tensor()))
}

#[test]
fn hysteresis_is_deepspeeds_update_by_update() {
    let Some(rig) = Rig::new() else { return };
    for (hysteresis, consecutive) in [(1, false), (2, false), (2, true), (3, false), (3, true)] {
        let mut pair = Pair::new(&rig, vec![1.0; 3], vec![1.0; 3], (0, 0));
        let scale = LossScale::dynamic().init(64.0).interval(4).limits(2.0, 1e6).hysteresis(hysteresis);
        let scale = if consecutive { scale.consecutive_hysteresis() } else { scale };
        let (mut device, mut host) = both(&rig, &mut pair, |builder| builder.loss_scale(scale));
        let mut peer = DeepSpeed {
            cur_scale: 64.0,
            cur_iter: 0,
            last_overflow_iter: -1,
            scale_factor: 2.0,
            scale_window: 4,
            min_scale: 2.0,
            delayed_shift: hysteresis,
            cur_hysteresis: hysteresis,
            consecutive_hysteresis: consecutive,
        };
        // Overflows at 1, alone and in rows, with pauses shorter and longer than the window.
        for (i, overflow) in "0010000101100000000111101110000010111111111100".chars().map(|c| c == '1').enumerate() {
            let grad = if overflow { f32::INFINITY } else { 0.5 };
            pair.set_grad(&rig, &[grad, 0.5, 0.5]);
            device.step(&rig.stream).unwrap();
            host.step(&Stream::host()).unwrap();
            peer.update_scale(overflow);
            let status = device.status(&rig.stream).unwrap();
            assert_eq!(status, host.status(&Stream::host()).unwrap(), "update {i}, hysteresis {hysteresis}");
            let ours = (f64::from(status.loss_scale), status.hysteresis);
            let theirs = (peer.cur_scale, peer.cur_hysteresis);
            assert_eq!(ours, theirs, "update {i}, hysteresis {hysteresis}, consecutive {consecutive}");
        }
    }
}

#[test]
fn a_scale_that_cannot_back_off_any_more_raises_the_stop_flag() {
    let Some(rig) = Rig::new() else { return };
    for (ends, expected) in [(true, [false, false, false, true]), (false, [false; 4])] {
        let mut pair = Pair::new(&rig, vec![1.0; 3], vec![f32::INFINITY; 3], (0, 0));
        let scale = LossScale::dynamic().init(4.0).limits(1.0, 8.0).hysteresis(2);
        let scale = if ends { scale.stop_at_min() } else { scale };
        let (mut device, mut host) = both(&rig, &mut pair, |builder| builder.loss_scale(scale));
        let mut seen = Vec::new();
        // The first skip uses the hysteresis up, then 4, 2 and 1.
        for _ in 0..4 {
            device.step(&rig.stream).unwrap();
            host.step(&Stream::host()).unwrap();
            let status = device.status(&rig.stream).unwrap();
            assert_eq!(status, host.status(&Stream::host()).unwrap());
            assert_eq!((device.stopped(), host.stopped()), (status.stop, status.stop));
            seen.push(status.stop);
        }
        assert_eq!(seen, expected, "scale {}", device.status(&rig.stream).unwrap().loss_scale);
    }
}

#[test]
fn a_least_scale_that_f32_rounds_up_is_reached_and_ends_training() {
    let Some(rig) = Rig::new() else { return };
    // 0.1 as an f32 is above 0.1.
    let scale = LossScale::dynamic().init(0.2).limits(0.1, 65_536.0).stop_at_min();
    let mut pair = Pair::new(&rig, vec![1.0; 3], vec![f32::INFINITY; 3], (0, 0));
    let (mut device, mut host) = both(&rig, &mut pair, |builder| builder.loss_scale(scale));
    for skips in 1..4 {
        device.step(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
        let status = device.status(&rig.stream).unwrap();
        assert_eq!(status, host.status(&Stream::host()).unwrap());
        assert_eq!((status.loss_scale, status.stop), (0.1, skips > 1), "after {skips} skips");
    }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0; 3], vec![1.0; 3], (0, 0));
    let refused = |options: fn(OptimizerBuilder) -> OptimizerBuilder| {
        let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[pair.device_tensor()]);
        options(builder).build().unwrap_err().to_string()
    };
    assert_eq!(
        refused(|b| b.loss_scale(LossScale::dynamic()).non_finite(NonFinite::Propagate)),
        "non_finite is propagate, but must not be set beside a dynamic loss scale, which looks for gradients that are not \
         finite and skips those updates"
    );
    assert_eq!(
        refused(|b| b.loss_scale(LossScale::dynamic().backoff(0.99999999))),
        "loss_scale.backoff is 0.99999999, but must lie in (0, 1), by 2^-24 below 1 at least: the scale is an f32, which less \
         would not move"
    );
    assert_eq!(
        refused(|b| b.clip(instep::Clip::torch_norm(1.0)).norm(Norm::Max)),
        "norm is max, but must be two, by which gradients are clipped: one norm is computed"
    );
    assert_eq!(
        refused(|b| b.loss_scale(LossScale::dynamic().hysteresis(0))),
        "loss_scale.hysteresis is 0, but must be at least 1"
    );
}
