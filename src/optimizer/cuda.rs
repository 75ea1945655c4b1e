//! One optimizer on a CUDA device: its tables and state in device memory, its kernels, and the launch of a step.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

use bytemuck::Zeroable;

use super::condition::{self, LoopBody, StopCondition};
use super::observe::{Observed, When, no_metric};
use super::tables::{Seen, Tables};
use super::telemetry::Ring;
use super::view::{DeviceView, Status};
use crate::device::{self, Context, Function, Memory, Module, Pinned, Setup, Source, Stream, Turns};
use crate::error::{Error, Result};
use crate::kernels::{UNIT, Unit};
use crate::plan::layout::{Condition, EditRow, Observation, RuleTablesRow, Step, THREADS};
use crate::plan::{HandedIn, Lies, LoadOptions, Loaded, Plan, Remembered, Request, Scalar, load, state};
use crate::precision::{CODES_BLOCK, Constant};
use crate::settings::Settings;
use crate::telemetry::{Layout, Runs};

#[derive(Debug)]
pub(super) struct Engine {
    /// First: see there.
    resident: Arc<Resident>,
    context: Arc<Context>,
    update: Function<Step>,
    /// The norm launch and its grid, if there is one.
    norm: Option<(Function<Step>, u32)>,
    /// The measuring launch and its grid, if a rule sums over elements.
    measure: Option<(Function<Step>, u32)>,
    edit: Function<EditRow>,
    observe: Function<Observation>,
    prime: Function<Step>,
    /// Where something lies beside parameters.
    remake: Option<Function<Step>>,
    /// Where some parameters for evaluation are others.
    show: Option<Function<Step>>,
    step: Step,
    rules: RuleTablesRow,
    grid: u32,
    seen: Seen,
    /// Constants are those of the build.
    plan: Plan,
    runs: Arc<Runs>,
    /// In check mode.
    turns: Option<Turns>,
}

/// What enqueued and captured launches need on the device, shared with whoever enqueues some besides the engine.
#[derive(Debug)]
pub(super) struct Resident {
    /// What `step` and the tensor table point to. First, since freeing it waits for launches that still run, which the
    /// kernels below must outlive.
    _memory: [Memory; 2],
    /// Where records of calls go, if they go anywhere. After the memory: kernels write it.
    ring: Option<Ring>,
    /// The stop flag and that of too many skips, for the host. After the memory, as the ring.
    flags: Pinned,
    _update: Arc<Module>,
    /// Loaded when it is first asked for.
    pub condition: OnceLock<Function<Condition>>,
    /// Counts of launches of conditions with a bound, one each.
    pub launches: Mutex<Vec<Memory>>,
}

/// Words of [`Resident::flags`]; `kernels/tables.cuh` says which.
const FLAGS: usize = 2;

impl Engine {
    pub fn new(context: &Arc<Context>, mut plan: Plan, handed_in: HandedIn) -> Result<Engine> {
        let unit = Unit::new(&plan);
        let source = Source { name: UNIT, text: unit.text, headers: &unit.headers() };
        let module = Module::load(context, &device::compile(context, &source)?)?;
        let (prime, update) = (module.function::<Step>("prime")?, module.function::<Step>("update")?);
        let edit = module.function::<EditRow>("edit")?;
        let observe = module.function::<Observation>("observe")?;

        let mut setup = Setup::new(context)?;
        let state = Memory::new(context, plan.state_bytes as usize)?;
        setup.fill(&state, 0, state.len(), 0)?;
        for (row, place, value) in plan.filled_states() {
            let (Lies { first, second }, len) = (row.streams[place], row.len as usize);
            match value {
                Constant::F32(value) => setup.fill_f32(&state, first as usize, len, value)?,
                Constant::Half(value) => setup.fill_u16(&state, first as usize, len, value)?,
                Constant::EightBit(code, scale) => {
                    setup.fill(&state, first as usize, len, code)?;
                    setup.fill_f32(&state, second as usize, len.div_ceil(CODES_BLOCK as usize), scale)?;
                }
            }
        }
        plan.place_state(state.address());
        let ring = plan.telemetry.as_ref().map(|layout| ring(&setup, context, layout)).transpose()?;

        let wave = context.multiprocessors() * update.blocks_per_multiprocessor(THREADS)?;
        let Tables { mut bytes, mut step, grid, norm_grid, measure_grid, mut rules, seen } =
            Tables::of(&plan, wave, ring.as_ref().map_or(0, Ring::address));
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
            &mut step.constants,
            &mut step.tiles,
            &mut step.tensors,
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
        if let Some(remake) = remake.as_ref().filter(|_| plan.remakes_own()) {
            setup.wait_for_context(context)?;
            remake.launch(setup.stream(), grid, THREADS, &step)?;
        }
        let norm = norm_grid.map(|grid| Ok((module.function::<Step>("gradient_norm")?, grid))).transpose()?;
        let measure = measure_grid.map(|grid| Ok((module.function::<Step>("measure")?, grid))).transpose()?;
        setup.finish()?;
        let resident = Resident {
            _memory: [state, memory],
            ring,
            flags,
            _update: module,
            condition: OnceLock::new(),
            launches: Mutex::default(),
        };
        let (context, resident) = (context.clone(), Arc::new(resident));
        let runs = Arc::default();
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
            step,
            grid,
            seen,
            plan,
            runs,
            turns: None,
        })
    }

    /// The same in check mode, if it is asked for.
    pub fn checked(mut self, check: bool) -> Result<Engine> {
        self.turns = check.then(|| Turns::new(&self.context)).transpose()?;
        Ok(self)
    }

    /// Enqueues `work`; in check mode only where nothing is seen that it should be ordered after and is not.
    fn enqueue(&self, stream: &Stream, work: impl FnOnce() -> Result<()>) -> Result<()> {
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

    /// Enqueues that masters and remainders are made anew: one launch, none where there are none.
    pub fn parameters_changed(&self, stream: &Stream) -> Result<()> {
        stream.expect_context(&self.context)?;
        let Some(remake) = &self.remake else { return Ok(()) };
        let step = Step { choice: 1, ..self.step };
        self.enqueue(stream, || remake.launch(stream, self.grid, THREADS, &step))
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
    pub fn flags(&self) -> [bool; FLAGS] {
        let words = self.resident.flags.words();
        [0, 1].map(|word| words[word].load(Ordering::Relaxed) != 0)
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
        Ok(())
    }

    /// The stop flag as a condition. Compiles and loads its kernel at the first call.
    pub fn stop_condition(&self, body: &LoopBody) -> Result<StopCondition> {
        condition::expect_end(&self.plan, self.step.found_inf != 0, body)?;
        StopCondition::new(&self.context, &self.resident, self.step.control, body)
    }

    /// Waits for `stream`, then reads counters and scalars.
    pub fn status(&self, stream: &Stream) -> Result<Status> {
        let mut seen = vec![0u8; self.seen.end];
        device::read(&self.context, stream, self.step.control, &mut seen)?;
        let at = &self.seen;
        let (records, states, remembered) = (at.records(&seen), at.metric_states(&seen), at.remembered(&seen));
        Ok(Status::new(&self.plan, &at.control(&seen), &records, &states, &remembered))
    }

    /// Waits for `stream`, then reads the state back, all of it with one wait.
    pub fn state(&self, stream: &Stream) -> Result<Vec<u8>> {
        let (plan, step) = (&self.plan, &self.step);
        let mut settings = Settings::zeroed();
        // What follows the control block, up to what rules remember.
        let mut seen = vec![0u8; self.seen.end];
        let mut constants = vec![0u64; plan.constants.len()];
        let mut windows = vec![0.0f64; 2 * step.window_capacity as usize];
        let mut memory = vec![0u8; plan.state_bytes as usize];
        let mut copies = [
            (step.control, &mut seen[..]),
            (step.settings, bytemuck::bytes_of_mut(&mut settings)),
            (step.constants, bytemuck::cast_slice_mut(&mut constants)),
            (step.windows, bytemuck::cast_slice_mut(&mut windows)),
            (plan.state_base, &mut memory),
        ];
        device::read_all(&self.context, stream, &mut copies)?;
        let control = self.seen.control(&seen);
        self.seen.expect_at_rest(&seen)?;
        let metric_states = state::half(&self.seen.metric_states(&seen), control.t).to_vec();
        let windows = state::half(&windows, control.t).to_vec();
        let remembered = self.seen.remembered(&seen).durable(control.t);
        let tables = state::Tables { control, settings, constants, metric_states, windows, remembered };
        state::encode(plan, &tables, &memory)
    }

    /// Checks `block`, then writes all of it and evaluates the step in force anew.
    pub fn load_state(&mut self, block: &[u8], options: LoadOptions, stream: &Stream) -> Result<Loaded> {
        device::expect_waitable(&self.context, stream)?;
        let loading = load::decode(&self.plan, block, options)?;
        let (tables, step) = (&loading.tables, &self.step);
        let needed = loading.read_params(&self.plan);
        let mut params: Vec<(usize, Vec<u8>)> =
            needed.iter().map(|(tensor, _, bytes)| (*tensor, vec![0; *bytes as usize])).collect();
        if !needed.is_empty() {
            let mut copies: Vec<(u64, &mut [u8])> =
                needed.iter().zip(&mut params).map(|((_, lies, _), (_, to))| (lies.first, &mut to[..])).collect();
            device::read_all(&self.context, stream, &mut copies)?;
        }
        let mut memory = vec![0u8; self.plan.state_bytes as usize];
        loading.place_states(&self.plan, &params, &mut memory);
        let half = |first: u64, len: usize| first + (tables.control.t & 1) * len as u64;
        let remembered = Remembered::resumed(&self.plan, tables.control.t, &tables.remembered);
        let copies: [(u64, &[u8]); 9] = [
            (self.rules.cohort_memory, bytemuck::cast_slice(&remembered.cohorts)),
            (self.rules.group_memory, bytemuck::cast_slice(&remembered.groups)),
            (self.rules.tensor_memory, bytemuck::cast_slice(&remembered.tensors)),
            (step.control, bytemuck::bytes_of(&tables.control)),
            (step.settings, bytemuck::bytes_of(&tables.settings)),
            (step.constants, bytemuck::cast_slice(&tables.constants)),
            (
                half(step.metric_states, size_of_val(&*tables.metric_states)),
                bytemuck::cast_slice(&tables.metric_states),
            ),
            (half(step.windows, size_of_val(&*tables.windows)), bytemuck::cast_slice(&tables.windows)),
            (self.plan.state_base, &memory),
        ];
        device::write_all(&self.context, stream, &copies, || self.prime.launch(stream, 1, THREADS, step))?;
        if let Some(ring) = &self.resident.ring {
            ring.clear(stream)?;
        }
        self.runs.restart(tables.control.t + tables.control.skipped);
        self.plan.settings = tables.settings;
        self.plan.take(loading.editable);
        Ok(loading.loaded)
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
}

/// The ring of telemetry, zero at first.
fn ring(setup: &Setup, context: &Arc<Context>, layout: &Layout) -> Result<Ring> {
    if layout.mapped {
        return Ok(Ring::Mapped(Arc::new(Pinned::new(context, layout.words())?)));
    }
    let memory = Memory::new(context, layout.words() * size_of::<u64>())?;
    setup.fill(&memory, 0, memory.len(), 0)?;
    Ok(Ring::Device(Arc::new(memory)))
}
