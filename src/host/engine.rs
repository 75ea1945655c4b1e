//! One optimizer on the CPU: its durable state, its two halves, and an update over all pieces of tensors in parallel.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytemuck::Zeroable;

use super::memory::Given as Terms;
use super::memory::{Piece, StateMemory, Window};
use super::metrics::BELOW;
use super::resolve::Half;
use super::{gradients, memory};
use crate::error::{Error, Result};
use crate::gradient::{Factor, ScaleState};
use crate::plan::layout::{Control, MetricStateRow};
use crate::plan::state::half;
use crate::plan::{Given, HandedIn, Plan, Remembered, Scalar, metrics};
use crate::precision::Dice;
use crate::program::Clocks;
use crate::settings::Settings;
use crate::telemetry::{Header, Layout, Runs};

/// What a call is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Step,
    /// Of the calls before it alone.
    Flush,
    /// Its tensors were updated by parts.
    Finish,
}

pub(crate) struct Engine {
    pub(super) plan: Plan,
    pub(super) control: Box<Control>,
    /// Two halves of one value per scalar, as on the device.
    pub(super) values: Vec<f64>,
    /// Two halves of one base per age.
    pub(super) ages: Vec<u64>,
    /// Two halves of one record per cohort, each as wide as the widest.
    pub(super) records: Vec<f32>,
    /// Two halves of one state per metric rule, and of all windows.
    pub(super) metric_states: Vec<MetricStateRow>,
    pub(super) windows: Vec<f64>,
    /// What rules remember, and each tensor's own scalars of the present update.
    pub(super) remembered: Remembered,
    pub(super) own: Vec<f32>,
    /// Records of calls; empty without telemetry. A reader on another thread may look at any time.
    ring: Arc<[AtomicU64]>,
    runs: Arc<Runs>,
    pub(super) handed_in: HandedIn,
    /// What one task updates.
    pub(super) pieces: Vec<Piece>,
    /// The optimizer state of all tensors, at the addresses of the tensor table.
    pub(super) state: StateMemory,
}

impl Engine {
    /// Allocates zeroed state and evaluates the first step.
    pub fn new(mut plan: Plan, handed_in: HandedIn, given: Option<Given>) -> Result<Engine> {
        refuse_flushed_subnormals()?;
        let own = if given.is_some() { 0 } else { plan.state_bytes };
        let mut own = vec![Window::zeroed(); own.div_ceil(size_of::<Window>() as u64) as usize];
        let address = given.map_or(own.as_mut_ptr() as u64, |given| given.address);
        let keep = given.is_some_and(|given| given.keep);
        let mut state = StateMemory { address, bytes: plan.state_bytes as usize, _own: own };
        plan.place_state(address);
        if !keep {
            state.bytes_mut().fill(0);
            memory::fill_states(&plan, |_| true);
        }
        let mut engine = Engine {
            values: vec![f64::NAN; 2 * plan.room.scalars],
            records: vec![f32::NAN; 2 * plan.room.cohorts * plan.widths().record],
            ages: plan.bases().repeat(2),
            pieces: memory::pieces(&plan),
            remembered: plan.remembered(),
            own: vec![f32::NAN; plan.room.tensors * plan.widths().own],
            metric_states: metrics::start(&plan.metrics).repeat(2),
            windows: vec![0.0; 2 * metrics::window_count(&plan.metrics)],
            ring: (0..plan.telemetry.as_ref().map_or(0, Layout::words)).map(|_| AtomicU64::new(0)).collect(),
            runs: Arc::default(),
            control: Box::new(Control::new(plan.start, plan.increment, plan.gradients, &plan.settings)),
            plan,
            handed_in,
            state,
        };
        if !keep {
            memory::remake(&engine.plan, &engine.pieces, |row| !row.master_given);
        }
        engine.evaluate(Clocks { t: engine.plan.start, progress: engine.control.progress }, Half::InForce);
        engine.stop_if_end(engine.plan.start, BELOW);
        engine.runs.restart(engine.plan.start);
        Ok(engine)
    }

    /// One update of every tensor, or one of the calls before it.
    pub fn step(&mut self) -> Result<()> {
        self.call(Call::Step)
    }

    /// An update of the calls before this, if there are any.
    pub fn flush(&mut self) -> Result<()> {
        self.call(Call::Flush)
    }

    /// Part of an update: that of some tensors.
    pub fn step_part(&mut self, tensors: &[u32]) -> Result<()> {
        if self.refused_while_shown() {
            return Ok(());
        }
        refuse_flushed_subnormals_on_all_threads()?;
        let calls = self.control.micro_step + 1;
        if self.plan.gradients.accumulate && calls < self.plan.settings.accumulate {
            return Ok(());
        }
        let pieces: Vec<Piece> =
            self.pieces.iter().copied().filter(|piece| tensors.contains(&piece.tensor())).collect();
        let skip = self.skips(gradients::found(&self.plan, &self.control, self.handed_in));
        self.update(skip, calls, Call::Step, &pieces);
        Ok(())
    }

    /// The rest of an update whose parts were made.
    pub fn finish(&mut self) -> Result<()> {
        self.call(Call::Finish)
    }

    /// Makes masters and remainders of the parameters anew.
    pub fn parameters_changed(&mut self) {
        if !self.plan.remakes() || self.refused_while_shown() {
            return;
        }
        memory::remake(&self.plan, &self.pieces, |_| true);
    }

    /// Shows parameters for evaluation, or puts those for training back.
    pub fn show(&mut self, show: bool) {
        let records = half(&self.records, self.control.t);
        if (self.control.shown != 0) != show {
            memory::show(&self.plan, &self.pieces, records, show);
        }
        self.control.shown = u32::from(show);
    }

    /// Whether an update must not be made now: `refused_while_shown` of `kernels/show.cuh`.
    fn refused_while_shown(&mut self) -> bool {
        let shown = self.control.shown != 0;
        self.control.called_while_shown |= u32::from(shown);
        shown
    }

    fn call(&mut self, call: Call) -> Result<()> {
        if self.refused_while_shown() {
            return Ok(());
        }
        let (plan, t) = (&self.plan, self.control.t);
        refuse_flushed_subnormals_on_all_threads()?;
        let calls = self.control.micro_step + u32::from(call != Call::Flush);
        let accumulates = match call {
            Call::Step | Call::Finish => plan.gradients.accumulate && calls < plan.settings.accumulate,
            Call::Flush => calls == 0,
        };
        if accumulates {
            self.control.calls += 1;
            self.commit_calls(calls);
            return Ok(());
        }
        memory::write_outputs(plan, half(&self.remembered.cohorts, t));
        gradients::look(plan, &mut self.control, self.handed_in, calls);
        let found = gradients::found(plan, &self.control, self.handed_in);
        let skip = self.skips(found);
        if call != Call::Finish {
            let pieces = std::mem::take(&mut self.pieces);
            self.update(skip, calls, call, &pieces);
            self.pieces = pieces;
        }
        let progress = self.control.progress.wrapping_add(self.control.increment);
        self.carry_metrics(t);
        self.carry_memory(t);
        self.observe_in_step(t + 1);
        self.evaluate(Clocks { t: t + 1, progress }, Half::Next);
        self.note_call(skip, calls);
        if self.plan.features.stops {
            self.look_for_end(t + 1);
        }
        self.commit(found, skip, progress, calls);
        Ok(())
    }

    fn skips(&self, found: bool) -> bool {
        found && (self.plan.gradients.skip || self.handed_in.found_inf.is_some())
    }

    /// Updates `pieces`, or skips that.
    fn update(&mut self, skip: bool, calls: u32, call: Call, pieces: &[Piece]) {
        let t = self.control.t;
        if !skip {
            let scalars = gradients::scalars(&self.plan, &self.control, self.handed_in, calls, call == Call::Flush);
            self.measure(t, scalars);
            let dice = Dice { seed: self.plan.seed, t };
            let given = Terms { records: half(&self.records, t), own: &self.own, gradient: scalars, dice };
            memory::update(&self.plan, pieces, given);
        }
        if self.plan.gradients.zero {
            memory::zero_gradients(&self.plan, pieces);
        }
    }

    /// `kernels/commit.cuh`.
    fn commit(&mut self, found: bool, skip: bool, progress: u64, calls: u32) {
        let (plan, control) = (&self.plan, &mut *self.control);
        let (options, settings) = (plan.gradients, &plan.settings);
        control.calls += 1;
        if options.factor == Factor::Computed {
            let verdict = gradients::computed(plan, control, self.handed_in, calls);
            (control.norm, control.clip_factor) = (verdict.norm, verdict.clip as f32);
        }
        if options.dynamic {
            let Control { loss_scale: scale, growth_tracker: tracker, hysteresis, .. } = *control;
            let next = options.next_loss_scale(settings, ScaleState { scale, tracker, hysteresis, ends: false }, found);
            (control.loss_scale, control.growth_tracker, control.hysteresis) =
                (next.scale, next.tracker, next.hysteresis);
            control.stop |= u32::from(next.ends);
        }
        self.commit_calls(0);
        let (settings, control) = (&self.plan.settings, &mut *self.control);
        if skip {
            control.raised = u32::from(raises(settings, control, skip));
            control.skipped_in_a_row += 1;
            control.skipped += 1;
            return;
        }
        control.skipped_in_a_row = 0;
        if self.plan.features.stops {
            self.commit_end();
        }
        let (settings, control) = (&self.plan.settings, &mut *self.control);
        (control.t, control.progress) = (control.t + 1, progress);
        if settings.stop_at != 0 && control.t >= settings.stop_at {
            control.stop = 1;
        }
    }

    /// The calls since the last update. Without a norm launch the factor of the next call is known now.
    fn commit_calls(&mut self, micro_step: u32) {
        let (options, settings, control) = (self.plan.gradients, &self.plan.settings, &mut *self.control);
        control.micro_step = micro_step;
        if options.factor == Factor::Stored && options.norm.is_none() && (options.dynamic || options.accumulate) {
            let unscale = 1.0 / f64::from(control.loss_scale);
            control.factor = options.judge(settings, 0.0, unscale, micro_step + 1).factor;
        }
    }

    /// The record of this call: `note_call` of `kernels/telemetry.cuh`.
    fn note_call(&self, skip: bool, calls: u32) {
        let (plan, control) = (&self.plan, &*self.control);
        let Some(layout) = &plan.telemetry else { return };
        let (norm, clip_factor) = match (plan.gradients.norm, plan.gradients.factor) {
            (Some(_), _) => (control.norm, control.clip_factor),
            (None, Factor::Computed) => {
                let verdict = gradients::computed(plan, control, self.handed_in, calls);
                (verdict.norm, verdict.clip as f32)
            }
            (None, _) => (0.0, 1.0),
        };
        let Control { t, skipped, loss_scale, .. } = *control;
        let raised = raises(&plan.settings, control, skip);
        let loss =
            self.handed_in.loss.map_or(0.0, |(Scalar(address), dtype)| memory::read_element(address, dtype) as f32);
        let overlapped = control.overlapped != 0;
        let header = Header { t, skipped, applied: !skip, raised, overlapped, loss_scale, clip_factor, norm, loss };
        let states = bytemuck::cast_slice(half(&self.metric_states, t));
        // A skipped update left nothing.
        let left = half(&self.remembered.groups, if skip { t.wrapping_sub(1) } else { t });
        layout.write(&self.ring, &header, half(&self.records, t), states, left);
    }

    /// Of the calls in the ring of telemetry.
    pub fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }

    /// The ring of telemetry.
    pub fn ring(&self) -> &Arc<[AtomicU64]> {
        &self.ring
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Both halves, one after the other.
    pub fn records(&self) -> &[f32] {
        &self.records
    }

    pub fn remembered(&self) -> &Remembered {
        &self.remembered
    }

    /// Both halves, one after the other.
    pub fn metric_states(&self) -> &[MetricStateRow] {
        &self.metric_states
    }
}

/// Whether the flag is raised once this call is done: `raises` of `kernels/gradients.cuh`.
fn raises(settings: &Settings, control: &Control, skip: bool) -> bool {
    let now = settings.raise_after != 0 && skip && control.skipped_in_a_row + 1 >= settings.raise_after;
    now || control.raised != 0
}

/// Before anything is written: a call is refused as a whole.
fn refuse_flushed_subnormals_on_all_threads() -> Result<()> {
    refuse_flushed_subnormals()?;
    rayon::broadcast(|_| refuse_flushed_subnormals()).into_iter().collect()
}

/// The device keeps subnormals, so a thread that flushes them would give other bits.
pub(super) fn refuse_flushed_subnormals() -> Result<()> {
    let subnormal = std::hint::black_box(f32::from_bits(1 << 20));
    match subnormal * std::hint::black_box(0.5) {
        0.0 => Err(Error::FlushedSubnormals),
        _ => Ok(()),
    }
}
