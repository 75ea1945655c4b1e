//! Collects groups and checks everything at [`OptimizerBuilder::build`].

use std::collections::BTreeSet;

use super::given::GivenState;
use super::group::GroupRule;
use super::{Engine, Observed, Optimizer, addresses, cuda};
use crate::backend::{Backend, Device};
use crate::device::Pack;
use crate::dynamic::Dynamic;
use crate::error::{Error, Result};
use crate::features::FeatureOptions;
use crate::gradient::{Accumulate, Clip, GradientOptions, LossScale, NonFinite, Norm};
use crate::host;
use crate::kernels::Unit;
use crate::plan::{HandedIn, Output, Plan, Purpose, Registered, Scalar, Tensor, Terms, Tuning, check_start};
use crate::precision::Precision;
use crate::rule::{Description, Traced};
use crate::schedule::Metric;
use crate::telemetry::Telemetry;

/// A group as it was told.
pub(super) struct GroupOf {
    pub rule: Result<Description>,
    /// None: that of all.
    pub precision: Option<Precision>,
    pub tensors: Vec<Tensor>,
    pub gate: Option<u64>,
}

/// Collects the groups of an [`Optimizer`]. All checks are made by [`OptimizerBuilder::build`].
#[must_use = "call `build`"]
pub struct OptimizerBuilder {
    pub(super) device: Device,
    pub(super) groups: Vec<GroupOf>,
    /// Groups that may come later, whose tensors say types alone.
    pub(super) declared: Vec<GroupOf>,
    pub(super) precision: Precision,
    pub(super) seed: u64,
    pub(super) handed_in: HandedIn,
    pub(super) options: GradientOptions,
    pub(super) features: FeatureOptions,
    pub(super) observed: Option<Observed>,
    pub(super) loss: Option<Observed>,
    pub(super) increment: u64,
    pub(super) tuning: Tuning,
    pub(super) check_order: bool,
    pub(super) start: u64,
    pub(super) dynamic: Option<Dynamic>,
    pub(super) parts: bool,
    pub(super) given_state: Option<GivenState>,
    /// Scalars that go to addresses of the engine's.
    pub(super) outputs: Vec<Output>,
    /// None: they are compiled.
    pub(super) kernels: Option<Pack>,
    /// `follow` came before any group.
    pub(super) follows_nothing: bool,
}

impl OptimizerBuilder {
    pub(super) fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            groups: Vec::new(),
            declared: Vec::new(),
            precision: Precision::new(),
            seed: 0,
            handed_in: HandedIn::default(),
            options: GradientOptions::default(),
            features: FeatureOptions::default(),
            observed: None,
            loss: None,
            increment: 1,
            tuning: Tuning::default(),
            check_order: false,
            start: 0,
            dynamic: None,
            parts: false,
            given_state: None,
            outputs: Vec::new(),
            kernels: None,
            follows_nothing: false,
        }
    }

    /// Adds a parameter group: a rule with its hyperparameters, and the tensors that it updates. Groups of one optimizer
    /// may have different rules; all are updated in one launch.
    pub fn group(mut self, rule: impl GroupRule, tensors: &[Tensor]) -> Self {
        self.groups.push(GroupOf {
            rule: rule.traced().and_then(Traced::compile),
            precision: None,
            tensors: tensors.to_vec(),
            gate: None,
        });
        self
    }

    /// Adds a parameter group that has a precision of its own: what it says stands before what
    /// [`OptimizerBuilder::precision`] says for all.
    pub fn group_in(mut self, precision: Precision, rule: impl GroupRule, tensors: &[Tensor]) -> Self {
        self.groups.push(GroupOf {
            rule: rule.traced().and_then(Traced::compile),
            precision: Some(precision),
            tensors: tensors.to_vec(),
            gate: None,
        });
        self
    }

    /// Sets in what precision the parameters and states of all groups are stored, but for what a group says itself
    /// ([`OptimizerBuilder::group_in`]). A state that is named here is one of some group's rule.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Sets the seed of stochastic rounding, 0 by default. A run that is resumed needs the seed that it had: its state says it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Multiplies the learning rates of all groups that have no metric rule of their own by one factor that follows observed
    /// metrics, a [`Plateau`](crate::Plateau) or a [`Greedy`](crate::Greedy): one state machine, shared by these groups. A rule
    /// on a group ([`AdamW::metric`](crate::AdamRule::metric), [`Sgd::metric`](crate::Sgd::metric)) acts on that group alone,
    /// and the others keep their rates; it is for a group that is to differ, or for all groups with bounds that differ.
    /// Peer: torch `ReduceLROnPlateau`, which has one state for all groups. See [`Optimizer::observe`].
    ///
    /// ```
    /// use instep::{AdamW, Device, Optimizer, Plateau, Sgd, Stream, Tensor};
    /// let (mut params, grads) = ([[1.0f32; 4]; 2], [[0.5f32; 4]; 2]);
    /// // SAFETY: the arrays outlive the optimizer, and nothing else touches them while a step runs.
    /// let mut tensor = |i: usize| unsafe { Tensor::f32(params[i].as_mut_ptr() as u64, grads[i].as_ptr() as u64, 4) };
    /// let builder = Optimizer::builder(&Device::host()).metric(Plateau::new().factor(0.5).patience(0));
    /// let builder = builder.group(AdamW::new(1e-3), &[tensor(0)]).group(Sgd::new(0.1), &[tensor(1)]);
    /// let mut opt = builder.build()?;
    /// for loss in [1.0, 1.0] {
    ///     // SAFETY: a value has no address.
    ///     unsafe { opt.observe(loss, &Stream::host()) }?;
    /// }
    /// let status = opt.status(&Stream::host())?;
    /// assert_eq!((status.scalar(0, "lr"), status.scalar(1, "lr")), (Some(5e-4), Some(0.05)));
    /// # Ok::<(), instep::Error>(())
    /// ```
    pub fn metric(mut self, metric: impl Into<Metric>) -> Self {
        self.features.metric = Some(metric.into());
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

    /// Computes this norm of all unscaled gradients at every update, whether it clips or not: [`Status::norm`](crate::Status::norm),
    /// [`DeviceView::norm`](crate::DeviceView::norm), telemetry. It takes one launch more per step, where clipping or looking
    /// for values that are not finite does not take it already.
    pub fn norm(mut self, norm: Norm) -> Self {
        self.options.norm = Some(norm);
        self
    }

    /// Divides gradients by a loss scale, whose value is device state. A dynamic one skips updates with gradients that are
    /// not finite, and takes one launch more per step to find them (none if the engine hands in `found_inf`).
    pub fn loss_scale(mut self, scale: LossScale) -> Self {
        self.options.loss_scale = Some(scale);
        self
    }

    /// Says what to do when a gradient is not finite. To skip takes one launch more per step (none if the engine hands in
    /// `found_inf`). A dynamic loss scale skips, so that it cannot be asked to let such gradients propagate.
    pub fn non_finite(mut self, policy: NonFinite) -> Self {
        self.options.non_finite = Some(policy);
        self
    }

    /// Lets gradients accumulate: only every n-th call of a step updates; the kernels of the others return at once. What the
    /// engine hands in is used by the n-th call alone, and must not be written to during any.
    ///
    /// The optimizer adds nothing up: backward passes add into the same gradient buffers, call after call, and whoever owns
    /// them zeroes them before the first call of the next update. That is the engine, after the n-th call, or the optimizer
    /// with [`OptimizerBuilder::zero_gradients`], whose n-th call zeroes them, skipped or not, and no other does.
    /// [`Optimizer::observe_per_update`] counts an observation once an update.
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
    /// `min_scale` or `min_change` does not let it. One that groups share ([`OptimizerBuilder::metric`]) gives up once for
    /// all of them.
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

    /// Shows a loss of the engine's in the record of every call: [`TelemetryRecord::loss`](crate::TelemetryRecord::loss). It is read
    /// when the call runs, with no launch of its own.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn record_loss(mut self, loss: Observed) -> Self {
        self.loss = Some(loss);
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
    /// Where something lies beside a parameter (a master, a remainder), this waits for all work of the context, so that it is
    /// made from what was enqueued before; not while a stream captures, which the driver refuses.
    ///
    /// Fails with [`Error::Argument`], which names the argument, its value and the rule, before anything is allocated;
    /// with [`Error::NoNvrtc`] or [`Error::Compile`] where the kernels cannot be compiled, or [`Error::NoKernel`] where the pack of
    /// [`OptimizerBuilder::kernels`] lacks them; with [`Error::Driver`].
    pub fn build(self) -> Result<Optimizer> {
        let check_order = self.check_order || is_set("INSTEP_CHECK");
        if self.follows_nothing {
            return Err(Error::argument("follow", "called first", "it says what the group before it follows"));
        }
        let (device, mut handed_in) = (&self.device, self.handed_in);
        let of_every_step = |observed: Option<Observed>, argument: &str| {
            observed.map(|observed| observed.of_every_step(argument)).transpose()
        };
        handed_in.metric = of_every_step(self.observed, "observe_every.metric")?;
        handed_in.loss = of_every_step(self.loss, "record_loss.loss")?;
        if handed_in.loss.is_some() && self.features.telemetry.is_none() {
            let rule = "no record shows it: call telemetry(..) on the builder";
            return Err(Error::argument("record_loss.loss", "given", rule));
        }
        if let (Some(updates), None) = (self.features.observe_every, handed_in.metric) {
            let rule = "its address is missing: say it with observe_every(..) on the builder";
            return Err(Error::argument("observe_every.updates", updates, rule));
        }
        if let Backend::Cuda(context) = &device.0 {
            // First: a length in bytes would be told of as an overlap.
            addresses::check(context, self.groups.iter().map(|group| &group.tensors[..]), handed_in)?;
            addresses::check_outputs(context, &self.outputs)?;
        }
        let mut plan = self.plan(Purpose::Run)?;
        let given = self.given_state.map(|given| given.check(&plan)).transpose()?;
        addresses::check_handed_in(handed_in, &plan)?;
        let context = match &device.0 {
            Backend::Cuda(context) => Some(&**context),
            Backend::Host => None,
        };
        addresses::check_gates(context, &plan)?;
        if let Some((Scalar(address), dtype)) = handed_in.metric {
            (plan.settings.metric, plan.settings.metric_type) = (address, dtype.number());
        }
        if let Some((Scalar(address), dtype)) = handed_in.loss {
            (plan.settings.loss, plan.settings.loss_type) = (address, dtype.number());
        }
        Ok(Optimizer(match &device.0 {
            Backend::Host => Engine::Host(Box::new(host::Engine::new(plan, handed_in, given)?)),
            Backend::Cuda(context) => Engine::Cuda(Box::new(
                cuda::Engine::new(context, plan, handed_in, given, self.kernels)?
                    .checked(check_order)?
                    .moving(self.dynamic.as_ref())?,
            )),
        }))
    }

    /// The CUDA text that is generated for these groups, without a device: programs, update rules and how their streams are stored. It
    /// depends on the structure of the schedules, on the rules and on the types of the tensors, not on constants and addresses. A
    /// group may have no tensors here; its text is then that of large f32 ones.
    pub fn emit(self) -> Result<String> {
        Ok(Unit::new(&self.plan(Purpose::Text)?).generated().to_owned())
    }

    pub(super) fn plan(&self, purpose: Purpose) -> Result<Plan> {
        let HandedIn { found_inf, inv_scale, norm_square, .. } = self.handed_in;
        let options = GradientOptions {
            found_inf: found_inf.is_some(),
            inv_scale: inv_scale.is_some(),
            norm_square: norm_square.is_some(),
            ..self.options.clone()
        };
        let precision = &self.precision;
        let reserve = self.dynamic.as_ref().map(Dynamic::reserve).transpose()?;
        check_start(self.start)?;
        let terms = Terms { increment: self.increment, start: self.start, reserve, parts: self.parts };
        let groups = self.groups.iter().enumerate();
        let groups = groups.map(|(index, group)| registered(group, precision, &format!("groups[{index}].")));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        let streams = groups.iter().flat_map(|group| group.rule.rule.streams());
        let names: BTreeSet<&str> = streams.map(|stream| &*stream.name).collect();
        precision.check_names("any rule of this optimizer", &names.into_iter().collect::<Vec<_>>())?;
        let declared = self
            .declared
            .iter()
            .enumerate()
            .map(|(index, group)| registered(group, precision, &format!("declared[{index}].")));
        let declared = declared.collect::<Result<Vec<_>>>()?;
        let mut plan = Plan::new(&groups, &declared, terms, &options, &self.features, purpose)?;
        (plan.tuning, plan.seed) = (self.tuning.check()?, self.seed);
        plan.precision = precision.clone();
        plan.check_tuning()?;
        plan.place_outputs(&self.outputs)?;
        Ok(plan)
    }
}

/// A group as a plan takes it. `precision`: that of all; `path`: of the group, in errors.
pub(super) fn registered(group: &GroupOf, precision: &Precision, path: &str) -> Result<Registered> {
    let GroupOf { rule, precision: own, tensors, gate } = group;
    let rule = rule.clone().map_err(|e| e.within(path))?;
    if let Some(own) = own {
        let names: Vec<&str> = rule.rule.streams().iter().map(|stream| &*stream.name).collect();
        own.check_names(&format!("the rule {}", rule.rule.tape.name), &names).map_err(|e| e.within(path))?;
    }
    let of_group = own.as_ref().map_or_else(|| precision.clone(), |own| own.over(precision));
    Ok(Registered { rule, precision: of_group, own_precision: own.is_some(), tensors: tensors.clone(), gate: *gate })
}

/// Whether a variable of the environment is there and says neither nothing nor 0.
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "0")
}
