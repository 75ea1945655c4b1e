//! One model on the device, ready to be updated in every way: the resident schedule of an [`Optimizer`], and the same
//! update with its scalars computed on the host ([`Way`]), each launched eagerly or replayed from a graph ([`Mode`]).

use std::ffi::c_void;

use bytemuck::{Pod, Zeroable};
use instep::{AdamW, Optimizer, OptimizerBuilder, Tensor};

use crate::driver::{Gpu, Graph, Kernel, Memory, Pinned, Result, parameter};
use crate::noise::{Type, noise};
use crate::options::Options;
use crate::rule::{self, Rates, Record, Rule};
use crate::way::{Mode, UNROLLED, Way};

/// Steps between two waits at most: a pinned value is rewritten only after the copy from it is done.
pub const RING: usize = 512;

const THREADS: u32 = 256; // kernels/walk.cuh
const WARPS: u32 = THREADS / 32;
const BLOCKS_PER_MULTIPROCESSOR: u32 = 4; // baseline.cu
const TILE: u64 = 2_048; // baseline.cu: 2 vectors of 4 elements a thread
const PACKED: u64 = 1_024; // src/plan/tuning.rs
const PACK: u32 = 1 << 31; // kernels/tables.cuh

/// Layout twin: `Tables` of `baseline.cu`.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Tables {
    tensors: u64,
    grads: u64,
    tiles: u64,
    tile_count: u32,
    tensor_bytes: u32,
}

const _: () = assert!(size_of::<Tables>() == 32, "baseline.cu: Tables");

pub struct Case<'g> {
    gpu: &'g Gpu,
    rule: Rule,
    options: Options,
    /// Elements of each tensor, and of all with the gaps between them.
    lengths: Vec<u64>,
    span: u64,
    rates: Rates,
    optimizer: Optimizer,
    tensors: Vec<Tensor>,
    tables: Tables,
    by_value: Kernel,
    filled: Kernel,
    literal: Kernel,
    record: Memory,
    ring: Pinned<Record>,
    params: Memory,
    grads: Memory,
    _states: Memory,
    _tables: [Memory; 3],
}

/// One way in one mode, with a clock of its own: the resident schedule's is the optimizer's.
pub struct Run {
    pub way: Way,
    pub mode: Mode,
    graph: Option<Graph>,
    t: u64,
}

impl Run {
    /// Kernels that one [`Case::advance`] launches, of a step that is one kernel.
    pub fn kernels(&self) -> usize {
        self.graph.as_ref().map_or(1, |graph| graph.kernels)
    }

    /// Steps that one [`Case::advance`] enqueues.
    pub fn steps(&self) -> usize {
        if self.mode == Mode::Unrolled { UNROLLED } else { 1 }
    }
}

impl<'g> Case<'g> {
    /// Bytes of device memory that a case needs, tables aside.
    pub fn bytes(rule: Rule, lengths: &[u64]) -> u64 {
        // Parameters, gradients, the optimizer's own states and the baseline's.
        4 * (2 + 2 * rule.states() as u64) * offsets(lengths).1
    }

    /// `lengths`: elements of each tensor, filled with noise. Only the resident way knows options.
    pub fn new(gpu: &'g Gpu, rule: Rule, options: Options, lengths: &[u64]) -> Result<Case<'g>> {
        let (offsets, span) = offsets(lengths);
        let shift = options.gradient_offset();
        let (params, grads) = (noise(gpu, Type::F32, span, 0)?, noise(gpu, Type::F32, span + shift, 1)?);
        let states = Memory::zeroed(gpu, 4 * span * rule.states() as u64)?;

        let place = |memory: &Memory, offset: u64| memory.address() + 4 * offset;
        let tensors: Vec<Tensor> = offsets
            .iter()
            .zip(lengths)
            .map(|(offset, len)| {
                // SAFETY: both allocations outlive the optimizer in `Case`, and one stream orders everything.
                unsafe { Tensor::f32(place(&params, *offset), place(&grads, *offset + shift), *len) }
            })
            .collect();
        let builder = options.ask(rule.group(Optimizer::builder(&gpu.device), rule::schedule(), &tensors));
        gpu.wait()?; // the build works on a stream of its own
        let optimizer = builder.build()?;

        let row = |(offset, len): (&u64, &u64)| {
            let states = (0..rule.states() as u64).map(|k| place(&states, k * span + offset));
            // Of a tensor's other numbers the walk needs none.
            [*len, 0, 0, 0, place(&params, *offset)].into_iter().chain(states).collect::<Vec<u64>>()
        };
        let of_grads: Vec<u64> = offsets.iter().map(|offset| place(&grads, *offset + shift)).collect();
        let rows: Vec<Vec<u64>> = offsets.iter().zip(lengths).map(row).collect();
        let tensor_bytes = 8 * rows[0].len() as u32;
        let wave = gpu.multiprocessors()? * BLOCKS_PER_MULTIPROCESSOR;
        let tiles = tiles(lengths, wave);
        let bytes = [u64::from(tensor_bytes) * rows.len() as u64, 8 * rows.len() as u64, 16 * tiles.len() as u64];
        let tables = [Memory::new(bytes[0])?, Memory::new(bytes[1])?, Memory::new(bytes[2])?];
        gpu.upload(tables[0].address(), &rows.concat())?;
        gpu.upload(tables[1].address(), &of_grads)?;
        gpu.upload(tables[2].address(), &tiles)?;

        let rates = Rates::new()?;
        let (lr, updates) = rule::LITERAL;
        let (emitted, literal) = (rule.emitted()?, rule.header(&rule.record(lr, updates)));
        let headers = [("generated.cuh", &*emitted), ("literal.cuh", &*literal)];
        let names = ["update_by_value", "update_filled", "update_literal"];
        let [by_value, filled, literal] = gpu.kernels("baseline.cu", include_str!("baseline.cu"), &headers, names)?;
        let tile_count = tiles.len() as u32;
        Ok(Case {
            gpu,
            rule,
            options,
            lengths: lengths.to_vec(),
            span,
            rates,
            optimizer,
            tensors,
            tables: Tables {
                tensors: tables[0].address(),
                grads: tables[1].address(),
                tiles: tables[2].address(),
                tile_count,
                tensor_bytes,
            },
            by_value,
            filled,
            literal,
            record: Memory::new(size_of::<Record>() as u64)?,
            ring: Pinned::new(RING)?,
            params,
            grads,
            _states: states,
            _tables: tables,
        })
    }

    /// Another AdamW over the same tensors, whose states are its own. It outlives `self` in no use.
    pub fn another(
        &self,
        rule: impl FnOnce(AdamW) -> AdamW,
        ask: impl FnOnce(OptimizerBuilder) -> OptimizerBuilder,
    ) -> Result<Optimizer> {
        let builder = Optimizer::builder(&self.gpu.device).group(rule(rule::adamw(rule::schedule())), &self.tensors);
        Ok(ask(builder).build()?)
    }

    pub fn elements(&self) -> u64 {
        self.lengths.iter().sum()
    }

    /// Bytes that one update moves, by the library's own statement, and what the options add.
    pub fn bytes_per_step(&self) -> u64 {
        let per_param = self.optimizer.tensors().next().map_or(0.0, |tensor| tensor.bytes_per_param);
        (self.elements() as f64 * per_param) as u64 + self.elements() * self.options.bytes()
    }

    /// The parameters of all tensors, one after the other.
    pub fn params(&self) -> Result<Vec<f32>> {
        self.values(&self.params, 0)
    }

    /// The gradients of all tensors, one after the other.
    pub fn grads(&self) -> Result<Vec<f32>> {
        self.values(&self.grads, self.options.gradient_offset())
    }

    fn values(&self, memory: &Memory, shift: u64) -> Result<Vec<f32>> {
        let all: Vec<f32> = self.gpu.read(memory.address() + 4 * shift, self.span as usize)?;
        let tensors = offsets(&self.lengths).0.into_iter().zip(&self.lengths);
        Ok(tensors.flat_map(|(offset, len)| &all[offset as usize..(offset + len) as usize]).copied().collect())
    }

    /// Prepares a way in a mode; captures its graph.
    pub fn run(&mut self, way: Way, mode: Mode) -> Result<Run> {
        let steps = match mode {
            Mode::Eager => return Ok(Run { way, mode, graph: None, t: 0 }),
            Mode::Replay => 1,
            Mode::Unrolled => UNROLLED,
        };
        let gpu = self.gpu;
        let graph = gpu.capture(|| (0..steps).try_for_each(|_| self.launch(way, 0)))?;
        Ok(Run { way, mode, graph: Some(graph), t: 0 })
    }

    /// Enqueues one step, or as many as the run's graph holds.
    pub fn advance(&mut self, run: &mut Run) -> Result<()> {
        let t = run.t;
        run.t += run.steps() as u64;
        if run.way == Way::Filled {
            let (slot, record) = ((t % RING as u64) as usize, self.scalars(t));
            self.ring.values_mut()[slot] = record;
            self.gpu.copy_from_pinned(self.record.address(), &self.ring, slot)?;
        }
        let Some(graph) = &run.graph else { return self.launch(run.way, t) };
        if run.way == Way::ByValue {
            let record = self.scalars(t);
            // SAFETY: the captured kernel is `update_by_value`, which takes these two; the tables outlive the run.
            unsafe { graph.set_parameters(&mut [parameter(&self.tables), parameter(&record)]) }?;
        }
        self.gpu.replay(graph)
    }

    /// What the host computes for update `t`.
    fn scalars(&self, t: u64) -> Record {
        self.rule.record(self.rates.at(t), t)
    }

    /// Enqueues the kernel of update `t`.
    fn launch(&mut self, way: Way, t: u64) -> Result<()> {
        let record = match way {
            Way::ByValue | Way::Frozen => self.scalars(t),
            Way::Resident | Way::Filled | Way::Literal => Record::zeroed(),
        };
        let address = self.record.address();
        match way {
            Way::Resident => Ok(self.optimizer.step(&self.gpu.stream)?),
            Way::ByValue | Way::Frozen => self.launch_baseline(self.by_value, parameter(&record)),
            Way::Filled => self.launch_baseline(self.filled, parameter(&address)),
            Way::Literal => self.launch_baseline(self.literal, std::ptr::null_mut()),
        }
    }

    /// Every kernel of `baseline.cu` takes the tables; the literal one reads no second parameter.
    fn launch_baseline(&self, kernel: Kernel, second: *mut c_void) -> Result<()> {
        // SAFETY: `second` is what `kernel` takes beside the tables; all addresses lie in memory of this case.
        unsafe { self.gpu.launch(kernel, self.tables.tile_count, THREADS, &mut [parameter(&self.tables), second]) }
    }
}

/// Where each tensor begins, on a boundary of 64 elements as allocators give it, and where the last ends.
pub fn offsets(lengths: &[u64]) -> (Vec<u64>, u64) {
    let mut end = 0u64;
    let offsets = lengths.iter().map(|len| {
        let begin = end;
        end = (begin + len).next_multiple_of(64);
        begin
    });
    (offsets.collect(), end)
}

impl Drop for Case<'_> {
    fn drop(&mut self) {
        // Pinned memory must not be freed under a copy; an error is reported by whoever waited for results.
        let _ = self.gpu.wait();
    }
}

/// Layout twin: `Tile` of `kernels/tables.cuh`, cut as the library cuts: small tensors first, as few a block as keep the grid
/// at one wave, of one run of rows.
fn tiles(lengths: &[u64], wave: u32) -> Vec<[u32; 4]> {
    let (small, large): (Vec<usize>, Vec<usize>) = (0..lengths.len()).partition(|i| lengths[*i] <= PACKED);
    let large_tiles: u64 = large.iter().map(|i| lengths[*i].div_ceil(TILE)).sum();
    let room = wave.saturating_sub(1).saturating_sub(large_tiles as u32).max(wave / 4).max(1);
    let most = WARPS * (small.len() as u32).div_ceil(WARPS).div_ceil(room).max(1);
    // A pack is a run of rows.
    let runs = small.chunk_by(|a, b| a + 1 == *b).flat_map(|run| run.chunks(most as usize));
    let packs = runs.map(|pack| [pack[0] as u32, PACK | pack.len() as u32, 0, 0]);
    let tiles =
        large.iter().flat_map(|i| (0..lengths[*i].div_ceil(TILE) as u32).map(move |tile| [*i as u32, tile, 0, 0]));
    packs.chain(tiles).collect()
}
