//! Collects groups and checks everything at [`OptimizerBuilder::build`].

use super::{Engine, Observed, Optimizer, addresses, cuda};
use crate::backend::{Backend, Device};
use crate::error::{Error, Result};
use crate::features::FeatureOptions;
use crate::gradient::{Accumulate, Clip, GradientOptions, LossScale, NonFinite};
use crate::host;
use crate::kernels::Unit;
use crate::optim::{Description, Rule};
use crate::plan::{Dtype, HandedIn, Plan, Purpose, Scalar, Tensor, TensorRow, Tuning};
use crate::telemetry::Telemetry;

/// Collects the groups of an [`Optimizer`]. All checks are made by [`OptimizerBuilder::build`].
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct OptimizerBuilder {
    device: Device,
    groups: Vec<(Result<Description>, Vec<Tensor>)>,
    handed_in: HandedIn,
    options: GradientOptions,
    features: FeatureOptions,
    observed: Option<Observed>,
    increment: u64,
    tuning: Tuning,
    check_order: bool,
}

impl OptimizerBuilder {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            groups: Vec::new(),
            handed_in: HandedIn::default(),
            options: GradientOptions::default(),
            features: FeatureOptions::default(),
            observed: None,
            increment: 1,
            tuning: Tuning::default(),
            check_order: is_set("INSTEP_CHECK"),
        }
    }

    /// Adds a parameter group: a rule with its hyperparameters, and the tensors that it updates. Groups of one optimizer
    /// may have different rules; all are updated in one launch.
    pub fn group(mut self, rule: impl Rule, tensors: &[Tensor]) -> Self {
        self.groups.push((rule.describe(), tensors.to_vec()));
        self
    }

    /// Sets by how much each applied update advances the progress clock, on which parts of schedules may run
    /// ([`Schedule::on_progress`](crate::Schedule::on_progress)): samples or tokens of a batch. 1 by default.
    pub fn progress_increment(mut self, increment: u64) -> Self {
        self.increment = increment;
        self
    }

    /// Clips all gradients of all groups together. By norm it takes one launch more per step.
    pub fn clip(mut self, clip: Clip) -> Self {
        self.options.clip = Some(clip);
        self
    }

    /// Divides gradients by a loss scale, whose value is device state. A dynamic one skips updates with gradients that are
    /// not finite, and takes one launch more per step to find them (none if the engine hands in `found_inf`).
    pub fn loss_scale(mut self, scale: LossScale) -> Self {
        self.options.loss_scale = Some(scale);
        self
    }

    /// Says what to do when a gradient is not finite. To skip takes one launch more per step (none if the engine hands in
    /// `found_inf`).
    pub fn non_finite(mut self, policy: NonFinite) -> Self {
        self.options.non_finite = policy;
        self
    }

    /// Lets gradients accumulate: only every n-th call of a step updates; the kernels of the others return at once. What the
    /// engine hands in is read at the n-th call alone.
    pub fn accumulate(mut self, accumulate: Accumulate) -> Self {
        self.options.accumulate = Some(accumulate);
        self
    }

    /// Zeroes the gradients in the same launch after they were used, or skipped: 4 bytes more per parameter, instead of a
    /// memset per tensor. Gradients must then be writable, and may not overlap each other. Without it they are never written.
    pub fn zero_gradients(mut self) -> Self {
        self.options.zero = true;
        self
    }

    /// Raises the stop flag ([`DeviceView::stop`](crate::DeviceView::stop)) when `steps` updates have been applied; at least 1.
    /// Steps enqueued after that are applied all the same. [`Optimizer::stop_condition`] ends a loop inside a CUDA graph with it.
    pub fn stop_at(mut self, steps: u64) -> Self {
        self.features.stop_at = Some(steps);
        self
    }

    /// Raises the stop flag when the rate in force falls below `rate` in every group; above 0. It falls from one update to the
    /// next, or by an observation or an edit; a warm-up that starts below does not.
    pub fn stop_below(mut self, rate: f64) -> Self {
        self.features.stop_below = Some(rate);
        self
    }

    /// Raises the stop flag when every [`Plateau`](crate::Plateau) has given up: it would lower its scale once more, and its
    /// `min_scale` or `min_change` does not let it.
    pub fn stop_on_plateau(mut self) -> Self {
        self.features.stop_on_plateau = true;
        self
    }

    /// Records every call that applies or skips an update in a ring, which [`Optimizer::telemetry`] reads without waiting. It
    /// takes no launch.
    pub fn telemetry(mut self, telemetry: Telemetry) -> Self {
        self.features.telemetry = Some(telemetry);
        self
    }

    /// Lets the step itself observe a metric in device memory after every `updates` updates, at least 1, with no launch of its
    /// own: the launch that applies update `updates - 1` reads the metric as it is then, and the rate of the next update
    /// follows from it. A skipped update observes nothing. [`Optimizer::observe`] works beside it.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn observe_every(mut self, updates: u64, metric: Observed) -> Self {
        self.features.observe_every = Some(updates);
        self.observed = Some(metric);
        self
    }

    /// Gives the address of an f32 that the engine writes before each step: anything but 0, a NaN too, keeps the update
    /// from being applied. Parameters, optimizer state, the clock and the schedules then stay as they were, and the update
    /// is counted as skipped. Peer: `found_inf` of `torch.amp.GradScaler`.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn found_inf(mut self, address: u64) -> Self {
        self.handed_in.found_inf = Some(Scalar(address));
        self
    }

    /// Gives the address of an f32 that gradients are multiplied by, instead of a loss scale of ours.
    /// Peer: the inverse scale of `torch.amp.GradScaler`.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn inv_scale(mut self, address: u64) -> Self {
        self.handed_in.inv_scale = Some(Scalar(address));
        self
    }

    /// Gives the address of an f32 with the square of the 2-norm of all (scaled) gradients, for clipping: one that was
    /// summed over ranks, say. It saves the norm launch, unless that is needed to find values that are not finite. With the
    /// policy to skip, a norm that is not finite skips the update too.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn norm_square(mut self, address: u64) -> Self {
        self.handed_in.norm_square = Some(Scalar(address));
        self
    }

    /// Looks before each call that enqueues ([`Optimizer::step`], [`Optimizer::observe`], an edit) for unfinished work that it is
    /// not ordered after, and refuses the call with an [`Error::Argument`] where it finds some. For debugging, on CUDA; the
    /// variable `INSTEP_CHECK=1` does the same for every optimizer that is built.
    ///
    /// Driver calls that only ask are made, so still nothing waits. What they can tell: if the call's stream is idle, it waits
    /// for nothing; if then the call before it, on another stream, is unfinished, or there is work on a default stream (where
    /// gradients may come from) that the call's stream does not wait for by itself, nothing orders the two. Not seen is
    /// work on an engine's other streams, on any stream while the call's own is busy, in a capture and in replays of graphs.
    /// Work on a default stream that has nothing to do with the gradients is refused too: such an engine cannot use this.
    pub fn check_order(mut self) -> Self {
        self.check_order = true;
        self
    }

    /// Cuts the work in another way than the default, which was measured: for tests and benches.
    #[doc(hidden)]
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Checks everything, compiles and loads the kernels, and puts tables and the first step's scalars on the device. The
    /// last call that may wait: the first [`Optimizer::step`] may be captured, on any stream of the device.
    ///
    /// On CUDA each address is looked up in the driver: one that the device cannot reach (a pointer of the host, memory of
    /// another device) is refused, and so is a length that goes past the end of its allocation, in bytes instead of elements,
    /// say. What the driver does not know passes: memory of the host on a device that reaches all of it, for one. The end that
    /// counts is that of the driver's allocation: inside of one that an engine cuts up itself, nothing more can be told.
    ///
    /// Fails with [`Error::Argument`], which names the argument, its value and the rule, before anything is allocated;
    /// with [`Error::NoNvrtc`] or [`Error::Compile`] where the kernels cannot be compiled; with [`Error::Driver`].
    pub fn build(self) -> Result<Optimizer> {
        let (device, mut handed_in, check_order) = (self.device.clone(), self.handed_in, self.check_order);
        handed_in.metric = self.observed.map(Observed::of_every_step).transpose()?;
        if let Backend::Cuda(context) = &device.0 {
            // First: a length in bytes would be told of as an overlap.
            addresses::check(context, self.groups.iter().map(|(_, tensors)| &tensors[..]), handed_in)?;
        }
        let mut plan = self.plan(Purpose::Run)?;
        check_handed_in(handed_in, &plan)?;
        if let Some((Scalar(address), dtype)) = handed_in.metric {
            (plan.settings.metric, plan.settings.metric_type) = (address, dtype.number());
        }
        Ok(Optimizer(match &device.0 {
            Backend::Host => Engine::Host(host::Engine::new(plan, handed_in)?),
            Backend::Cuda(context) => Engine::Cuda(cuda::Engine::new(context, plan, handed_in)?.checked(check_order)?),
        }))
    }

    /// The CUDA text that is generated for these groups, without a device: programs and update rules. It depends on the
    /// structure of the schedules and on the rules, not on constants and tensors: a group may have none here.
    pub fn emit(self) -> Result<String> {
        Ok(Unit::new(&self.plan(Purpose::Text)?).generated().to_owned())
    }

    fn plan(self, purpose: Purpose) -> Result<Plan> {
        let HandedIn { found_inf, inv_scale, norm_square, metric: _ } = self.handed_in;
        let options = GradientOptions {
            found_inf: found_inf.is_some(),
            inv_scale: inv_scale.is_some(),
            norm_square: norm_square.is_some(),
            ..self.options
        };
        let groups = self.groups.into_iter().enumerate().map(|(index, (rule, tensors))| {
            let rule = rule.map_err(|e| e.within(&format!("groups[{index}].")))?;
            Ok((rule, tensors))
        });
        let groups = groups.collect::<Result<Vec<_>>>()?;
        let plan = Plan::new(&groups, self.increment, &options, &self.features, purpose)?;
        Ok(Plan { tuning: self.tuning.check()?, ..plan })
    }
}

/// What the engine hands in lies at addresses that the update does not write.
fn check_handed_in(handed_in: HandedIn, plan: &Plan) -> Result<()> {
    let HandedIn { found_inf, inv_scale, norm_square, metric } = handed_in;
    let of_f32 = [("found_inf", found_inf), ("inv_scale", inv_scale), ("norm_square", norm_square)];
    for (argument, scalar) in of_f32 {
        let Some(Scalar(address)) = scalar else { continue };
        if address == 0 || !address.is_multiple_of(4) {
            let rule = "must be the 4-byte aligned address of an f32";
            return Err(Error::argument(argument, format!("{address:#x}"), rule));
        }
    }
    let of_f32 = of_f32.map(|(argument, scalar)| (argument, scalar, Dtype::F32));
    let metric = metric.map(|(scalar, dtype)| ("observe_every.metric", Some(scalar), dtype));
    for (argument, scalar, dtype) in of_f32.into_iter().chain(metric) {
        let Some(Scalar(address)) = scalar else { continue };
        let touches = |begin: u64, len: u64| address < begin + 4 * len && begin < address + dtype.bytes();
        let written =
            |row: &TensorRow| touches(row.param(), row.len) || (plan.gradients.zero && touches(row.grad(), row.len));
        if let Some(index) = plan.tensors.iter().position(written) {
            let rule = format!("the update writes there: it lies in tensor {:?}", plan.names[index]);
            return Err(Error::argument(argument, format!("{address:#x}"), rule));
        }
    }
    Ok(())
}

/// Whether a variable of the environment is there and says neither nothing nor 0.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "0")
}
