//! One optimizer on a CUDA device: its tables and state in device memory, its kernels, and the launch of a step.

use std::sync::{Arc, Mutex, OnceLock};

use bytemuck::Zeroable;

use super::condition::{self, LoopBody, StopCondition};
use super::observe::{Observed, When, no_metric};
use super::places::{self, Moves, Places};
use super::resident::{FLAGS, Resident};
use super::sources;
use super::tables::{Seen, Tables};
use super::telemetry::Ring;
use super::view::{DeviceView, Status};
use crate::device::{self, Context, Function, Memory, Pack, Pinned, Setup, Stream, Turns};
use crate::error::{Error, Result};
use crate::kernels::Unit;
use crate::plan::layout::{EditRow, FINISH, Observation, PartRow, RuleTablesRow, Step, THREADS, remake};
use crate::plan::{Given, HandedIn, Plan, Request, Scalar};
use crate::telemetry::{Layout, Runs};

#[derive(Debug)]
pub(super) struct Engine {
    /// First: see there.
    pub(super) resident: Arc<Resident>,
    pub(super) context: Arc<Context>,
    update: Function<Step>,
    /// The norm launch and its grid, if there is one.
    norm: Option<(Function<Step>, u32)>,
    /// The measuring launch and its grid, if a rule sums over elements.
    measure: Option<(Function<Step>, u32)>,
    pub(super) edit: Function<EditRow>,
    observe: Function<Observation>,
    pub(super) prime: Function<Step>,
    /// Where something lies beside parameters.
    pub(super) remake: Option<Function<Step>>,
    /// Where some parameters for evaluation are others.
    show: Option<Function<Step>>,
    /// Where updates may be made in parts.
    part: Option<Function<PartRow>>,
    pub(super) step: Step,
    pub(super) rules: RuleTablesRow,
    pub(super) grid: u32,
    pub(super) seen: Seen,
    /// Constants are those of the build.
    pub(super) plan: Plan,
    pub(super) runs: Arc<Runs>,
    /// In check mode.
    turns: Option<Turns>,
    /// Where tensors may move, come and go.
    pub(super) moves: Option<Moves>,
    /// Where the tables of a shape are, and sums.
    pub(super) places: Places,
    /// Where kernels that are loaded later come from; None: they are compiled.
    kernels: Option<Pack>,
    /// Of the optimizers whose place this one has taken: graphs that were captured from them may still be launched.
    pub(super) retired: Vec<Arc<Resident>>,
}

impl Engine {
    pub fn new(
        context: &Arc<Context>,
        mut plan: Plan,
        handed_in: HandedIn,
        given: Option<Given>,
        kernels: Option<Pack>,
    ) -> Result<Engine> {
        let (unit, words) = (Unit::new(&plan), || plan.kernel_words());
        let module = device::load(context, &sources::update(&unit, &unit.headers()), kernels.as_ref(), words)?;
        let (prime, update) = (module.function::<Step>("prime")?, module.function::<Step>("update")?);
        let edit = module.function::<EditRow>("edit")?;
        let observe = module.function::<Observation>("observe")?;

        let mut setup = Setup::new(context)?;
        let state = match given {
            Some(given) => {
                setup.wait_for_context(context)?;
                Memory::of_others(context, given.address, plan.state_bytes as usize)
            }
            None => Memory::new(context, plan.state_bytes as usize)?,
        };
        let keep = given.is_some_and(|given| given.keep);
        if !keep {
            state.clear(setup.stream())?;
            for (row, place, value) in plan.filled_states() {
                places::fill(&state, setup.stream(), row.streams[place], row.len, value)?;
            }
        }
        plan.place_state(state.address());
        let ring = plan.telemetry.as_ref().map(|layout| ring(&setup, context, layout)).transpose()?;

        let wave = context.multiprocessors() * update.blocks_per_multiprocessor(THREADS)?;
        plan.sort_rows(plan.tuning.wave.unwrap_or(wave));
        let Tables { mut bytes, mut step, grid, norm_grid, measure_grid, mut rules, shape, sums, seen } =
            Tables::of(&plan, ring.as_ref().map_or(0, Ring::address));
        // Before the memory: if this fails below, what frees the memory waits for `prime`, which writes to both.
        let flags = Pinned::new(context, FLAGS)?;
        let memory = Memory::new(context, bytes.len())?;
        for address in [
            &mut step.control,
            &mut step.settings,
            &mut step.counts,
            &mut step.bundles,
            &mut step.scalars,
            &mut step.cohorts,
            &mut step.ages,
            &mut step.constants,
            &mut step.age_flags,
            &mut step.gates,
            &mut step.tiles,
            &mut step.tensors,
            &mut step.grads,
            &mut step.values,
            &mut step.records,
            &mut step.ticket,
            &mut step.norm_tiles,
            &mut step.nodes,
            &mut step.sums,
            &mut step.metrics,
            &mut step.metric_states,
            &mut step.windows,
            &mut step.telemetry,
        ] {
            *address += memory.address();
        }
        if step.rules != 0 {
            let at = step.rules as usize;
            rules.place(memory.address());
            bytes[at..at + size_of_val(&rules)].copy_from_slice(bytemuck::bytes_of(&rules));
            step.rules += memory.address();
        }
        let address = |scalar: Option<Scalar>| scalar.map_or(0, |Scalar(address)| address);
        step.found_inf = address(handed_in.found_inf);
        step.inv_scale = address(handed_in.inv_scale);
        step.norm_square = address(handed_in.norm_square);
        step.host_flags = flags.address();
        setup.upload(&memory, 0, &bytes)?;
        // What the engine hands in is not looked at: its work on that is not ordered before this.
        prime.launch(setup.stream(), 1, THREADS, &Step { found_inf: 0, inv_scale: 0, norm_square: 0, ..step })?;
        let remake = plan.remakes().then(|| module.function::<Step>("remake")).transpose()?;
        let show = plan.shows().then(|| module.function::<Step>("show")).transpose()?;
        if let Some(remake) = remake.as_ref().filter(|_| plan.remakes_own() && !keep) {
            setup.wait_for_context(context)?;
            remake.launch(setup.stream(), grid, THREADS, &step)?;
        }
        let part = plan.parts.is_some().then(|| module.function::<PartRow>("update_part")).transpose()?;
        let of_grid = |name, grid: Option<u32>| -> Result<_> {
            grid.map(|grid| Ok((module.function::<Step>(name)?, grid))).transpose()
        };
        let (norm, measure) = (of_grid("gradient_norm", norm_grid)?, of_grid("measure", measure_grid)?);
        setup.finish()?;
        let resident = Resident {
            state: Mutex::new(Some(state)),
            tables: memory,
            ring,
            flags,
            _update: module,
            condition: OnceLock::new(),
            launches: Mutex::default(),
        };
        let places = Places::new(resident.tables.address(), shape, sums);
        let (context, resident) = (context.clone(), Arc::new(resident));
        let runs: Arc<Runs> = Arc::default();
        runs.restart(plan.start);
        Ok(Engine {
            resident,
            context,
            update,
            norm,
            measure,
            rules,
            edit,
            observe,
            prime,
            remake,
            show,
            part,
            step,
            grid,
            seen,
            plan,
            runs,
            turns: None,
            moves: None,
            places,
            kernels,
            retired: Vec::new(),
        })
    }

    /// The same in check mode, if it is asked for.
    pub fn checked(mut self, check: bool) -> Result<Engine> {
        self.turns = check.then(|| Turns::new(&self.context)).transpose()?;
        Ok(self)
    }

    /// Enqueues `work`; in check mode only where nothing is seen that it should be ordered after and is not.
    pub(super) fn enqueue(&self, stream: &Stream, work: impl FnOnce() -> Result<()>) -> Result<()> {
        match &self.turns {
            Some(turns) => turns.enqueue(stream, work),
            None => work(),
        }
    }

    /// Enqueues one update.
    pub fn step(&self, stream: &Stream) -> Result<()> {
        self.enqueue(stream, || self.launch(stream, &self.step))
    }

    /// Enqueues an update of the calls before it, if there are any.
    pub fn flush(&self, stream: &Stream) -> Result<()> {
        self.enqueue(stream, || self.launch(stream, &Step { flush: 1, ..self.step }))
    }

    /// Enqueues a part of an update, which was checked: a launch for each 475 tensors.
    pub fn step_part(&self, tensors: &[u32], stream: &Stream) -> Result<()> {
        stream.expect_context(&self.context)?;
        let Some(part) = &self.part else { return Ok(()) };
        let launches = self.plan.part_launches(tensors, self.step);
        self.enqueue(stream, || {
            launches.iter().try_for_each(|launch| part.launch(stream, launch.blocks, THREADS, &*launch.row))
        })
    }

    /// Enqueues the rest of an update whose parts were made: one launch of one block.
    pub fn finish(&self, stream: &Stream) -> Result<()> {
        stream.expect_context(&self.context)?;
        let step = Step { choice: FINISH, ..self.step };
        self.enqueue(stream, || self.update.launch(stream, 1, THREADS, &step))
    }

    /// Enqueues that no launch finds work from now on, since another optimizer takes the place of this one, and gives the state memory
    /// back. What is left of this one, and of those before it.
    pub fn retire(&mut self, stream: &Stream) -> Result<Vec<Arc<Resident>>> {
        let row = EditRow { step: self.step, flags: EditRow::RETIRE, ..EditRow::zeroed() };
        self.edit.launch(stream, 1, THREADS, &row)?;
        self.resident.free_state();
        let mut retired = std::mem::take(&mut self.retired);
        retired.push(self.resident.clone());
        Ok(retired)
    }

    /// Whether a graph was launched that was captured from an optimizer whose place this one has taken.
    pub fn was_called_late(&self) -> bool {
        self.retired.iter().any(|resident| resident.was_called_late())
    }

    /// What captured graphs need.
    pub fn resident(&self) -> &Arc<Resident> {
        &self.resident
    }

    /// Enqueues that masters and remainders are made anew: one launch, none where there are none.
    pub fn parameters_changed(&self, stream: &Stream) -> Result<()> {
        stream.expect_context(&self.context)?;
        let Some(kernel) = &self.remake else { return Ok(()) };
        let step = Step { choice: remake::ALL, ..self.step };
        self.enqueue(stream, || kernel.launch(stream, self.grid, THREADS, &step))
    }

    /// Enqueues that parameters for evaluation are shown, or that those for training come back: one launch.
    pub fn show(&self, stream: &Stream, show: bool) -> Result<()> {
        stream.expect_context(&self.context)?;
        let Some(kernel) = &self.show else { return Ok(()) };
        let step = Step { choice: u32::from(show), ..self.step };
        self.enqueue(stream, || kernel.launch(stream, self.grid, THREADS, &step))
    }

    fn launch(&self, stream: &Stream, step: &Step) -> Result<()> {
        // Made current once for both launches.
        stream.expect_context(&self.context)?;
        let current = self.context.current()?;
        if let Some((norm, grid)) = &self.norm {
            norm.launch_in(&current, stream, *grid, THREADS, step)?;
        }
        if let Some((measure, grid)) = &self.measure {
            measure.launch_in(&current, stream, *grid, THREADS, step)?;
        }
        self.update.launch_in(&current, stream, self.grid, THREADS, step)
    }

    /// The stop flag and that of too many skips, as the device has told them.
    pub fn flags(&self) -> [bool; 2] {
        [0, 1].map(|word| self.resident.flag(word))
    }

    /// Feeds a metric to the state machines: one launch of one block.
    pub fn observe(&self, stream: &Stream, metric: Observed, when: When) -> Result<()> {
        stream.expect_context(&self.context)?;
        if self.plan.metrics.is_empty() {
            return Err(no_metric());
        }
        if matches!(metric, Observed::Value(_)) && stream.is_capturing()? {
            let rule = "a host's value would be frozen into the graph; give the address of a device's";
            return Err(Error::argument("metric", "a value", rule));
        }
        let observation = metric.check()?.observation(self.step, when);
        self.enqueue(stream, || self.observe.launch(stream, 1, THREADS, &observation))
    }

    /// Checks an edit, then enqueues it.
    pub fn edit(&mut self, stream: &Stream, request: &Request) -> Result<()> {
        stream.expect_context(&self.context)?;
        let prepared = self.plan.prepare(request)?;
        if stream.is_capturing()? {
            let rule = "every replay of the graph would make the edit again; make it on a stream that runs";
            return Err(Error::argument("stream", "capturing a graph", rule));
        }
        self.enqueue(stream, || {
            prepared.launches(self.step).into_iter().try_for_each(|row| self.edit.launch(stream, 1, THREADS, &row))
        })?;
        self.plan.edited(prepared);
        if request.lower_flags {
            self.retired.iter().for_each(|resident| resident.forget_calls());
        }
        Ok(())
    }

    /// The stop flag as a condition. Loads its kernel at the first call, which compiles it where there is no pack.
    pub fn stop_condition(&self, body: &LoopBody) -> Result<StopCondition> {
        condition::expect_end(&self.plan, self.step.found_inf != 0, body)?;
        StopCondition::new(&self.context, &self.resident, self.step.control, body, self.kernels.as_ref())
    }

    /// Waits for `stream`, then reads counters and scalars.
    pub fn status(&self, stream: &Stream) -> Result<Status> {
        let mut seen = vec![0u8; self.seen.end];
        device::read(&self.context, stream, self.step.control, &mut seen)?;
        let at = &self.seen;
        let (records, states, remembered) = (at.records(&seen), at.metric_states(&seen), at.remembered(&seen));
        let mut status = Status::new(&self.plan, &at.control(&seen), &records, &states, &remembered);
        status.called_after_rebuild = self.was_called_late();
        Ok(status)
    }

    pub fn device_view(&self) -> DeviceView {
        DeviceView::new(&self.plan, self.step.control, self.step.records, self.step.metric_states)
    }

    /// Of the calls in the ring of telemetry.
    pub fn runs(&self) -> &Arc<Runs> {
        &self.runs
    }

    pub fn ring(&self) -> Option<&Ring> {
        self.resident.ring.as_ref()
    }

    pub fn context(&self) -> &Arc<Context> {
        &self.context
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }
}

/// The ring of telemetry, zero at first.
fn ring(setup: &Setup, context: &Arc<Context>, layout: &Layout) -> Result<Ring> {
    if layout.mapped {
        return Ok(Ring::Mapped(Arc::new(Pinned::new(context, layout.words())?)));
    }
    let memory = Memory::new(context, layout.words() * size_of::<u64>())?;
    memory.clear(setup.stream())?;
    Ok(Ring::Device(Arc::new(memory)))
}
