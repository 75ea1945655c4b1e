//! The tables of a plan, as a CUDA device gets them: one block of bytes, uploaded once. What follows from the tensors is in
//! `shape`, and may be written again.

use bytemuck::{NoUninit, Pod, Zeroable};

use super::shape::Shape;
use crate::error::{Error, Result};
use crate::plan::layout::{
    Control, MetricStateRow, NormTileRow, PartialRow, RuleTablesRow, STAGED_BYTES, Step, TelemetryRow, TileRow,
};
use crate::plan::{Plan, Remembered, metrics};
use crate::telemetry::Layout;

/// Each table begins on a line of the caches of its own, but for those that are staged together.
const LINE: usize = 128;
const STAGED: usize = 32;

/// The tables of a plan as one block of bytes; addresses in [`Tables::step`] are offsets into it.
pub(super) struct Tables {
    pub bytes: Vec<u8>,
    pub step: Step,
    /// Blocks of the update and of the norm launch, if there is one.
    pub grid: u32,
    pub norm_grid: Option<u32>,
    /// Blocks of the measuring launch; none where no rule sums.
    pub measure_grid: Option<u32>,
    /// Where the addresses of [`RuleTablesRow`] are, if there is one: offsets, as those of `step`.
    pub rules: RuleTablesRow,
    /// Where the contents of a [`Shape`] are, in its order: offsets, as those of `step`.
    pub shape: Vec<u64>,
    /// Sums, which are 0 where nobody writes them: offsets and bytes.
    pub sums: Vec<(u64, usize)>,
    /// What a report needs.
    pub seen: Seen,
}

/// Where what a report needs begins after the control block, in bytes. One copy brings all of it, so that no replay fits in
/// between.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    tickets: usize,
    records: usize,
    metric_states: usize,
    /// What rules remember of cohorts, groups and tensors.
    remembered: [usize; 3],
    pub end: usize,
}

/// From a copy of all that.
impl Seen {
    pub fn control(&self, seen: &[u8]) -> Control {
        bytemuck::pod_read_unaligned(&seen[..size_of::<Control>()])
    }

    /// Both halves.
    pub fn records(&self, seen: &[u8]) -> Vec<f32> {
        rows(&seen[self.records..self.metric_states])
    }

    /// Both halves.
    pub fn metric_states(&self, seen: &[u8]) -> Vec<MetricStateRow> {
        rows(&seen[self.metric_states..self.remembered[0]])
    }

    pub fn remembered(&self, seen: &[u8]) -> Remembered {
        let [cohorts, groups, tensors] = self.remembered;
        Remembered {
            cohorts: rows(&seen[cohorts..groups]),
            groups: rows(&seen[groups..tensors]),
            tensors: rows(&seen[tensors..]),
        }
    }

    /// Between two launches all tickets are 0.
    pub fn expect_at_rest(&self, seen: &[u8]) -> Result<()> {
        let tickets: Vec<u32> = rows(&seen[self.tickets..self.records]);
        match tickets.into_iter().find(|ticket| *ticket != 0) {
            None => Ok(()),
            Some(ticket) => {
                let rule = "must be 0: a step runs on another stream";
                Err(Error::argument("state.ticket", ticket, rule))
            }
        }
    }
}

/// What `bytes` hold, whatever their alignment.
fn rows<T: Pod>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

impl Tables {
    /// For a plan whose rows are sorted. `ring`: the address of that of telemetry.
    pub fn of(plan: &Plan, ring: u64) -> Tables {
        let shape = Shape::of(plan);
        let (widths, reserve, room, capacity) = (plan.widths(), plan.tuning.reserve, plan.room, shape.capacity);
        let (windows, metric_count) = (metrics::window_count(&plan.metrics), plan.metrics.len());
        let mut bytes = Bytes::default();
        let control = bytes.put(&[Control::new(plan.start, plan.increment, plan.gradients, &plan.settings)], LINE);
        // Right after it: all of this is read back together. The ticket of the update is a u64.
        let ticket = bytes.put(&vec![0u32; 2 + capacity.norm.nodes + capacity.measure.nodes], size_of::<u64>());
        let records = bytes.put(&vec![f32::NAN; 2 * room.cohorts * widths.record], LINE);
        let metric_states = bytes.put(&metrics::start(&plan.metrics).repeat(2), size_of::<u64>());
        let Remembered { cohorts: of_cohorts, groups, tensors: of_tensors } = plan.remembered();
        let remembered = [of_cohorts, groups, of_tensors].map(|table| bytes.put(&table, size_of::<f64>()));
        let seen = Seen {
            tickets: ticket as usize,
            records: records as usize,
            metric_states: metric_states as usize,
            remembered: remembered.map(|table| table as usize),
            end: bytes.0.len(),
        };
        let settings = bytes.put(&[plan.settings], LINE);

        let [counts, bundles, scalars, cohorts] = shape.staged.each_ref().map(|table| bytes.put_table(table, STAGED));
        let ages = bytes.put(&plan.bases().repeat(2), STAGED);
        let constants = bytes.put(&plan.constants, STAGED);
        bytes.extend_by((room.constants - plan.constants.len()) * size_of::<u64>());
        bytes.align(STAGED);
        let staged = bytes.0.len() - counts as usize;
        let [age_flags, tensors, tiles] = shape.walked.each_ref().map(|table| bytes.put_table(table, LINE));
        bytes.extend_by(reserve as usize * size_of::<TileRow>());
        let mut step = Step {
            control,
            settings,
            counts,
            ticket,
            records,
            metric_states,
            bundles,
            scalars,
            cohorts,
            ages,
            constants,
            staged_bytes: if staged <= STAGED_BYTES { staged as u32 } else { 0 },
            age_flags,
            grads: age_flags + shape.grads_at as u64,
            tensors,
            tiles,
            values: bytes.put(&vec![f64::NAN; 2 * room.scalars], LINE),
            gates: bytes.put(&plan.gates, LINE),
            ..Step::zeroed()
        };
        let (mut places, mut sums) = (vec![counts, bundles, scalars, cohorts, age_flags, tensors, tiles], Vec::new());
        if let Some(norm) = &shape.norm {
            [step.norm_tiles, step.nodes] = norm.each_ref().map(|table| bytes.put_table(table, LINE));
            bytes.extend_by((1 + reserve as usize) * size_of::<NormTileRow>());
            step.sums = bytes.put(&vec![PartialRow::zeroed(); capacity.norm.slots], LINE);
            places.extend([step.norm_tiles, step.nodes]);
            sums.push((step.sums, capacity.norm.slots * size_of::<PartialRow>()));
        }
        let mut rules = RuleTablesRow {
            own: bytes.put(&vec![f32::NAN; room.tensors * widths.own], LINE),
            cohort_memory: remembered[0],
            group_memory: remembered[1],
            tensor_memory: remembered[2],
            measure_arrivals: ticket + 4 * (2 + capacity.norm.nodes as u64),
            ..shape.rules
        };
        if let Some(measure) = &shape.measure {
            let tables = measure.each_ref().map(|table| bytes.put_table(table, LINE));
            [rules.measure_tiles, rules.measure_nodes, rules.measure_slots, rules.groups, rules.cohort_lens] = tables;
            let slots = capacity.measure.slots * widths.sums;
            rules.measure_sums = bytes.put(&vec![PartialRow::zeroed(); slots], LINE);
            places.extend(tables);
            sums.push((rules.measure_sums, slots * size_of::<PartialRow>()));
        }
        rules.outputs = bytes.put(&plan.outputs, LINE);
        if plan.measures() || plan.remembers() {
            step.rules = bytes.put(&[rules], LINE);
            places.push(step.rules);
        }
        step.metrics = bytes.put(&metrics::rows(&plan.metrics), LINE);
        step.windows = bytes.put(&vec![0.0f64; 2 * windows], LINE);
        step.telemetry = plan.telemetry.as_ref().map_or(0, |layout| bytes.put_telemetry(layout, ring));
        step.cohort_bytes = widths.cohort_bytes() as u32;
        step.tensor_bytes = widths.tensor_bytes() as u32;
        step.record_bytes = widths.record_bytes() as u32;
        step.scalar_capacity = room.scalars as u32;
        step.cohort_capacity = room.cohorts as u32;
        step.age_capacity = room.ages as u32;
        step.metric_capacity = metric_count as u32;
        step.window_capacity = windows as u32;
        step.seed = plan.seed;
        // A grid is never empty: one block evaluates, and one judges a norm of nothing.
        let grid = 1 + capacity.tiles as u32 + reserve + plan.output_blocks();
        let norm_grid = shape.norm.as_ref().map(|_| (capacity.norm.tiles as u32).max(1) + reserve);
        // Without elements there is nothing to sum, and nothing follows.
        let measure_grid = shape.measure.as_ref().map(|_| capacity.measure.tiles as u32).filter(|grid| *grid > 0);
        Tables { bytes: bytes.0, step, grid, norm_grid, measure_grid, rules, shape: places, sums, seen }
    }
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    /// Appends `rows` at a multiple of `alignment` and returns their offset.
    fn put<T: NoUninit>(&mut self, rows: &[T], alignment: usize) -> u64 {
        self.align(alignment);
        let offset = self.0.len() as u64;
        self.0.extend_from_slice(bytemuck::cast_slice(rows));
        offset
    }

    /// The same with the room that a table has.
    fn put_table(&mut self, (rows, room): &(Vec<u8>, usize), alignment: usize) -> u64 {
        let offset = self.put(rows, alignment);
        self.0.resize(offset as usize + rows.len().max(*room), 0);
        offset
    }

    fn align(&mut self, alignment: usize) {
        self.extend_by(self.0.len().next_multiple_of(alignment) - self.0.len());
    }

    fn extend_by(&mut self, bytes: usize) {
        self.0.resize(self.0.len() + bytes, 0);
    }

    /// Where records of calls go: a row, and then the places of the values.
    fn put_telemetry(&mut self, layout: &Layout, ring: u64) -> u64 {
        let row = TelemetryRow { ring, capacity: layout.records, value_count: layout.sources.len() as u32 };
        let offset = self.put(&[row], LINE);
        self.0.extend_from_slice(bytemuck::cast_slice(&layout.sources));
        offset
    }
}
