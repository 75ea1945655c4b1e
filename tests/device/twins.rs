//! An optimizer on the device and its twin on the host: the same steps and edits, and results to be the same bit for bit.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Device, Edit, Error, Optimizer, OptimizerBuilder, Schedule, Sgd, Stream, Tensor};

use crate::rig::{Array, Pair, Rig};
use crate::values::{Random, assert_same_bits};

/// One optimizer on the device and the same on the host, with a flag that skips updates.
pub struct Twins<'r> {
    rig: &'r Rig,
    pub device: Optimizer,
    pub host: Optimizer,
    pub pairs: Vec<Pair>,
    found: Array,
    host_found: Box<f32>,
}

impl<'r> Twins<'r> {
    /// `add` adds the groups, one tensor for each of `lengths`.
    pub fn new(
        rig: &'r Rig,
        lengths: &[usize],
        add: impl Fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder,
    ) -> Twins<'r> {
        let mut random = Random(5);
        let mut pairs: Vec<Pair> =
            lengths.iter().map(|len| Pair::new(rig, random.units(*len), random.units(*len), (0, 0))).collect();
        let (found, mut host_found) = (rig.array(&[0.0], 0), Box::new(0.0f32));
        // SAFETY: both flags live as long as the optimizers.
        let on_device = unsafe { Optimizer::builder(&rig.device).found_inf(found.address()) };
        // SAFETY: as above; a box does not move.
        let on_host = unsafe { Optimizer::builder(&Device::host()).found_inf(&raw mut *host_found as u64) };
        let device = add(on_device, &pairs.iter().map(Pair::device_tensor).collect::<Vec<_>>()).build().unwrap();
        let host = add(on_host, &pairs.iter_mut().map(Pair::host_tensor).collect::<Vec<_>>()).build().unwrap();
        Twins { rig, device, host, pairs, found, host_found }
    }

    /// One tensor, SGD with the rate `lr`.
    pub fn sgd(rig: &'r Rig, lr: Schedule) -> Twins<'r> {
        Twins::new(rig, &[70], |builder, tensors| builder.group(Sgd::new(lr.clone()), tensors))
    }

    pub fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.device.step(&self.rig.stream).unwrap();
            self.host.step(&Stream::host()).unwrap();
        }
    }

    /// Enqueues an update that the device will skip.
    pub fn skipped_step(&mut self) {
        self.found.write(self.rig, &[1.0]);
        *self.host_found = 1.0;
        self.steps(1);
        self.found.write(self.rig, &[0.0]);
        *self.host_found = 0.0;
    }

    /// Enqueues an observation of a value.
    pub fn observe(&mut self, metric: f64) {
        // SAFETY: a value has no address.
        unsafe { self.device.observe(metric, &self.rig.stream) }.unwrap();
        // SAFETY: as above.
        unsafe { self.host.observe(metric, &Stream::host()) }.unwrap();
    }

    pub fn edit(&mut self, edit: impl Fn(Edit<'_>) -> Edit<'_>) {
        edit(self.device.edit()).apply(&self.rig.stream).unwrap();
        edit(self.host.edit()).apply(&Stream::host()).unwrap();
        assert!(self.device.knobs().eq(self.host.knobs()));
    }

    /// The argument and the rule of the error that both sides give.
    pub fn refused(&mut self, edit: impl Fn(Edit<'_>) -> Edit<'_>) -> String {
        let error = edit(self.device.edit()).apply(&self.rig.stream).unwrap_err();
        assert_eq!(error, edit(self.host.edit()).apply(&Stream::host()).unwrap_err());
        assert!(matches!(error, Error::Argument { .. }), "{error}");
        error.to_string()
    }

    pub fn capture(&mut self) -> CudaGraph {
        self.rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        self.device.step(&self.rig.stream).unwrap();
        self.rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap()
    }

    pub fn expect_same(&self, what: &str) {
        self.rig.finish();
        let status = self.device.status(&self.rig.stream).unwrap();
        assert_eq!(status, self.host.status(&Stream::host()).unwrap(), "{what}");
        for pair in &self.pairs {
            assert_same_bits(&pair.param.read(self.rig), &pair.host_param, what);
        }
    }

    /// The rate of group `group`'s next update.
    pub fn lr(&self, group: usize) -> f32 {
        self.rig.finish();
        self.device.status(&self.rig.stream).unwrap().scalar(group, "lr").unwrap()
    }

    /// The next `count` rates are those of `schedule` from its step `first` on.
    pub fn expect_rates(&mut self, schedule: &Schedule, first: u64, count: u64) {
        for t in first..first + count {
            let expected = schedule.at(t).unwrap() as f32;
            assert_eq!(self.lr(0).to_bits(), expected.to_bits(), "step {t}: {:e}, not {expected:e}", self.lr(0));
            self.steps(1);
            self.expect_same(&format!("after step {t}"));
        }
    }
}
