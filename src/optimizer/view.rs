//! What can be seen of an optimizer: addresses for the engine's own kernels, and values for reports.

use std::mem::offset_of;
use std::sync::Arc;

use crate::plan::layout::{Control, MetricStateRow};
use crate::plan::{Plan, Remembered, TensorRow, state};
use crate::precision::Form;

/// Read-only addresses of an optimizer's state in its device's memory (on the host: in the host's). They stay the same for
/// the optimizer's life. A kernel that reads them is ordered with the steps by its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceView {
    /// `t`: u64, the number of applied updates, which is the step that the next update uses.
    pub t: u64,
    /// `skipped`: u64, the number of updates that gradients which are not finite kept from being applied.
    pub skipped: u64,
    /// `progress`: u64, the progress clock.
    pub progress: u64,
    /// `loss_scale`: f32, what the next backward pass is to multiply the loss by; 1 without loss scaling.
    pub loss_scale: u64,
    /// `norm`: f64, the norm of the last unscaled gradients, where one is computed: the one that clips or
    /// was asked for, or else the maximum norm.
    pub norm: u64,
    /// `clip_factor`: f32, what clipping multiplied the last gradients by.
    pub clip_factor: u64,
    /// `found`: u32, whether the last gradients had a value that is not finite, where they are looked at.
    pub found: u64,
    /// `raised`: u32, whether too many updates in a row were skipped.
    pub raised: u64,
    /// `stop`: u32, whether an end that was set has come.
    pub stop: u64,
    /// `overlapped`: u32, whether launches of this optimizer were seen to overlap.
    pub overlapped: u64,
    /// `shown`: u32, whether parameters for evaluation are shown: [`Optimizer::eval`](crate::Optimizer::eval).
    pub shown: u64,
    /// `called_while_shown`: u32, whether an update was to be made meanwhile.
    pub called_while_shown: u64,
    /// `calls`: u64, the number of all calls that have ended: applied, skipped, or accumulating alone.
    pub calls: u64,
    /// `micro_step`: u32, the number of calls since the last update, with gradient accumulation.
    pub micro_step: u64,
    scalars: Vec<[u64; 2]>,
    metric_scales: Vec<Option<[u64; 2]>>,
}

impl DeviceView {
    /// `control`, `records` and `states`, of metric rules, are addresses; a group is shown by its first cohort.
    pub(super) fn new(plan: &Plan, control: u64, records: u64, states: u64) -> DeviceView {
        let record = |index: usize| records + (index * plan.widths().record_bytes()) as u64;
        let scalars = (0..plan.groups.len()).map(|group| {
            let cohort = plan.first_cohort(group);
            [record(cohort), record(plan.room.cohorts + cohort)]
        });
        let scale =
            |index: usize| states + (index * size_of::<MetricStateRow>() + offset_of!(MetricStateRow, scale)) as u64;
        let metric_scales = plan.groups.iter().map(|group| {
            let state = group.metric.checked_sub(1)? as usize;
            Some([scale(state), scale(plan.metrics.len() + state)])
        });
        let at = |offset: usize| control + offset as u64;
        DeviceView {
            t: at(offset_of!(Control, t)),
            skipped: at(offset_of!(Control, skipped)),
            progress: at(offset_of!(Control, progress)),
            loss_scale: at(offset_of!(Control, loss_scale)),
            norm: at(offset_of!(Control, norm)),
            clip_factor: at(offset_of!(Control, clip_factor)),
            found: at(offset_of!(Control, found)),
            raised: at(offset_of!(Control, raised)),
            stop: at(offset_of!(Control, stop)),
            overlapped: at(offset_of!(Control, overlapped)),
            shown: at(offset_of!(Control, shown)),
            called_while_shown: at(offset_of!(Control, called_while_shown)),
            calls: at(offset_of!(Control, calls)),
            micro_step: at(offset_of!(Control, micro_step)),
            scalars: scalars.collect(),
            metric_scales: metric_scales.collect(),
        }
    }

    /// The addresses of group `group`'s scalars for even and for odd steps: f32 values, the hyperparameters in the order of
    /// [`Status::scalars`]. Between two steps, entry `t & 1` holds those of the next update and the other entry those of
    /// the last one (after a skipped update: those of the one after the next, as far as they are known). None if there is no
    /// such group.
    pub fn scalars(&self, group: usize) -> Option<[u64; 2]> {
        self.scalars.get(group).copied()
    }

    /// The addresses of what group `group`'s metric rule multiplies its rate by, an f64, for even and for odd steps, as
    /// [`DeviceView::scalars`] has them. None if there is no such group, or if it has no metric rule.
    pub fn metric_scale(&self, group: usize) -> Option<[u64; 2]> {
        self.metric_scales.get(group).copied().flatten()
    }
}

/// What an optimizer's state was when it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// The number of applied updates, which is the step that the next update uses.
    pub t: u64,
    /// The number of updates that gradients which are not finite kept from being applied.
    pub skipped: u64,
    /// The progress clock.
    pub progress: u64,
    /// What the next backward pass is to multiply the loss by; 1 without loss scaling.
    pub loss_scale: f32,
    /// The norm of the last unscaled gradients, where one is computed: the one that clips or was asked for, or else the
    /// maximum norm.
    pub norm: f64,
    /// What clipping multiplied the last gradients by.
    pub clip_factor: f32,
    /// Whether too many updates in a row were skipped: [`NonFinite::SkipAndRaise`](crate::NonFinite::SkipAndRaise).
    pub raised: bool,
    /// Whether an end has come: [`stop_at`](crate::OptimizerBuilder::stop_at),
    /// [`stop_below`](crate::OptimizerBuilder::stop_below), [`stop_on_plateau`](crate::OptimizerBuilder::stop_on_plateau),
    /// [`LossScale::stop_at_min`](crate::LossScale::stop_at_min).
    pub stop: bool,
    /// Whether launches of this optimizer ran at the same time, on two streams say: results are not to be trusted from then on.
    /// Steps of one optimizer are ordered by the caller: [`Tensor::new`](crate::Tensor::new).
    pub overlapped: bool,
    /// Whether a loop came to its bound, [`LoopBody::at_most`](crate::LoopBody::at_most), before its end.
    pub exhausted: bool,
    /// Whether parameters for evaluation are shown: [`Optimizer::eval`](crate::Optimizer::eval).
    pub shown: bool,
    /// Whether a step, a flush or [`Optimizer::parameters_changed`](crate::Optimizer::parameters_changed) was called meanwhile, which
    /// then did nothing.
    pub called_while_shown: bool,
    /// A graph was launched that was captured before [`Optimizer::rebuild`](crate::Optimizer::rebuild): it did nothing. Sticky, as
    /// [`Optimizer::called_after_rebuild`](crate::Optimizer::called_after_rebuild).
    pub called_after_rebuild: bool,
    /// The number of all calls that have ended: applied, skipped, or accumulating alone.
    pub calls: u64,
    /// The number of calls since the last update, with gradient accumulation.
    pub micro_step: u32,
    /// The number of skipped updates in a row until now.
    pub skipped_in_a_row: u32,
    /// Applied updates since the loss scale last changed or was to.
    pub growth_tracker: u32,
    /// Skipped updates until the loss scale backs off: [`LossScale::hysteresis`](crate::LossScale::hysteresis).
    pub hysteresis: u32,
    groups: Vec<Vec<(Arc<str>, f32)>>,
    metrics: Vec<Option<MetricStatus>>,
    remembered: Vec<Vec<(Arc<str>, f64)>>,
    of_tensors: Vec<Vec<(Arc<str>, f64)>>,
}

/// What a group's metric rule has come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MetricStatus {
    /// What it multiplies the rate by.
    pub scale: f64,
    /// The best metric so far; infinite before the first one.
    pub best: f64,
    /// Observations in a row that were not better.
    pub bad: u64,
    /// Observations that count neither way, after a change, until it looks again.
    pub cooldown: u64,
    /// How often it wanted to lower its scale and could not.
    pub at_min: u64,
}

impl Status {
    /// From the control block and both halves of the records and of the metric rules' states.
    pub(super) fn new(
        plan: &Plan,
        control: &Control,
        records: &[f32],
        states: &[MetricStateRow],
        remembered: &Remembered,
    ) -> Status {
        let half = &records[(control.t & 1) as usize * records.len() / 2..];
        let width = plan.widths().record;
        let groups = plan.groups.iter().enumerate().map(|(index, group)| {
            let names = plan.variants[group.variant as usize].hyperparameters();
            let values = &half[plan.first_cohort(index) * width..];
            names.map(Arc::from).zip(values.iter().copied()).collect()
        });
        let states = state::half(states, control.t);
        let metrics = plan.groups.iter().map(|group| {
            let MetricStateRow { scale, best, bad, cooldown, at_min, .. } =
                states[group.metric.checked_sub(1)? as usize];
            Some(MetricStatus { scale, best, bad, cooldown, at_min })
        });
        Status {
            t: control.t,
            skipped: control.skipped,
            progress: control.progress,
            loss_scale: control.loss_scale,
            norm: control.norm,
            clip_factor: control.clip_factor,
            raised: control.raised != 0,
            stop: control.stop != 0,
            overlapped: control.overlapped != 0,
            exhausted: control.exhausted != 0,
            shown: control.shown != 0,
            called_while_shown: control.called_while_shown != 0,
            called_after_rebuild: false,
            calls: control.calls,
            micro_step: control.micro_step,
            skipped_in_a_row: control.skipped_in_a_row,
            growth_tracker: control.growth_tracker,
            hysteresis: control.hysteresis,
            groups: groups.collect(),
            metrics: metrics.collect(),
            remembered: (0..plan.groups.len()).map(|group| remembered.of_group(plan, control.t, group)).collect(),
            of_tensors: (0..plan.tensors.len()).map(|tensor| remembered.of_tensor(plan, control.t, tensor)).collect(),
        }
    }

    /// Names and values of group `group`'s hyperparameters for update `t`, as the kernel uses them.
    pub fn scalars(&self, group: usize) -> Option<&[(Arc<str>, f32)]> {
        self.groups.get(group).map(Vec::as_slice)
    }

    /// What group `group`'s metric rule has come to for update `t`. None if there is no such group, or if it has none.
    pub fn metric(&self, group: usize) -> Option<MetricStatus> {
        self.metrics.get(group).copied().flatten()
    }

    /// What group `group`'s rule remembers under `name`, as the last applied update left it: an estimate such as `d` of
    /// [`Prodigy`](crate::Prodigy). Of what each cohort remembers, that of the group's first. None if there is no such group or name.
    pub fn remembered(&self, group: usize, name: &str) -> Option<f64> {
        find(self.remembered.get(group)?, name)
    }

    /// The same of tensor `tensor`, counted through all groups, for what a rule remembers of each tensor.
    pub fn tensor_remembered(&self, tensor: usize, name: &str) -> Option<f64> {
        find(self.of_tensors.get(tensor)?, name)
    }

    /// One of [`Status::scalars`], by name, e.g. `lr` or `weight_decay`.
    pub fn scalar(&self, group: usize, name: &str) -> Option<f32> {
        self.scalars(group)?.iter().find(|(known, _)| **known == *name).map(|(_, value)| *value)
    }
}

fn find(named: &[(Arc<str>, f64)], name: &str) -> Option<f64> {
    named.iter().find(|(known, _)| **known == *name).map(|(_, value)| *value)
}

/// A registered tensor and its optimizer state.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorView<'a> {
    /// The tensor's name.
    pub name: &'a str,
    /// The address of the parameter.
    pub param: u64,
    /// How the parameter is stored.
    pub param_form: Form,
    /// The address of what lies beside the parameter: of its f32 master, or of the 16-bit remainders (the lower half of the f32
    /// value; where its upper bit is set, the parameter was rounded up). An engine that continues from f32 values may write it between
    /// two steps.
    pub beside_param: Option<u64>,
    /// How the gradient is stored.
    pub grad_form: Form,
    /// Length in elements, of the parameter and of each state.
    pub len: u64,
    /// The number that its random bits come from.
    pub number: u32,
    /// The states, in the order of the rule.
    pub states: Vec<StateView<'a>>,
    /// Bytes that one update reads and writes per parameter.
    pub bytes_per_param: f64,
}

/// One state of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateView<'a> {
    /// Its name, e.g. `exp_avg`.
    pub name: &'a str,
    /// The address of element 0.
    pub address: u64,
    /// How it is stored.
    pub form: Form,
    /// The address of the f32 scales of its blocks, where it is 8-bit codes.
    pub scales: Option<u64>,
}

impl<'a> TensorView<'a> {
    pub(super) fn new(plan: &'a Plan, row: &TensorRow, name: &'a str) -> TensorView<'a> {
        let variant = &plan.variants[row.variant as usize];
        let forms = &plan.forms[row.form as usize];
        let second = |place: usize| {
            let form: Form = forms.storages[place].form;
            form.has_second().then_some(row.streams[place].second)
        };
        let state = |(place, stream): (usize, &'a crate::rule::Stream)| StateView {
            name: &stream.name,
            address: row.streams[place].first,
            form: forms.storages[place].form,
            scales: second(place),
        };
        TensorView {
            name,
            param: row.param(),
            param_form: forms.storages[0].form,
            beside_param: second(0),
            grad_form: forms.storages[1].form,
            len: row.len,
            number: row.number,
            states: (2..).zip(variant.streams()).map(state).collect(),
            bytes_per_param: forms.bytes_per_param(variant),
        }
    }
}
