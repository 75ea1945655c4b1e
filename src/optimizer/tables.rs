//! The tables of a plan, as a CUDA device gets them: one block of bytes, uploaded once.

use bytemuck::{NoUninit, Pod, Zeroable};

use crate::error::{Error, Result};
use crate::plan::layout::{
    Control, Counts, MASTER_GIVEN, MetricStateRow, NormTileRow, PartialRow, RuleTablesRow, Step, TelemetryRow, TileRow,
};
use crate::plan::{MeasureTables, Plan, Remembered, metrics};
use crate::telemetry::Layout;

/// What a block that evaluates stages in shared memory at most. `kernels/evaluate.cuh` has the same number.
const STAGED_BYTES: usize = 4096;
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
    /// For a device that runs `wave` blocks at once. `ring`: the address of that of telemetry.
    pub fn of(plan: &Plan, wave: u32, ring: u64) -> Tables {
        let tiles = plan.tiles(plan.tuning.wave.unwrap_or(wave));
        let norm = plan.gradients.norm.map(|_| plan.norm_tables(&tiles));
        let measure = plan.measures().then(|| plan.measure_tables(&tiles));
        let (widths, reserve) = (plan.widths(), plan.tuning.reserve);
        let (windows, metric_count) = (metrics::window_count(&plan.metrics), plan.metrics.len());
        let norm_tiles = norm.as_ref().map_or(0, |norm| norm.rows.len() as u32);
        let nodes = norm.as_ref().map_or(0, |norm| norm.tree.nodes.len());
        let measure_nodes = measure.as_ref().map_or(0, |measure| measure.tree.nodes.len());
        let counts = Counts {
            tiles: tiles.rows.len() as u32,
            norm_tiles,
            bundles: plan.bundles.len() as u32,
            cohorts: plan.cohorts.len() as u32,
            metrics: metric_count as u32,
            windows: windows as u32,
            reserved: [0; 2],
        };
        let mut bytes = Bytes::default();
        let control = bytes.put(&[Control::new(plan.increment, plan.gradients, &plan.settings)], LINE);
        // Right after it: all of this is read back together. The ticket of the update is a u64.
        let ticket = bytes.put(&vec![0u32; 2 + nodes + measure_nodes], size_of::<u64>());
        let records = bytes.put(&vec![f32::NAN; 2 * plan.cohorts.len() * widths.record], LINE);
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
        let first = bytes.put(&[counts], LINE);
        let mut step = Step {
            control,
            settings,
            counts: first,
            ticket,
            records,
            metric_states,
            bundles: bytes.put(&plan.bundles, STAGED),
            scalars: bytes.put(&plan.scalars, STAGED),
            cohorts: bytes.put(&cohorts(plan), STAGED),
            constants: bytes.put(&plan.constants, STAGED),
            ..Step::zeroed()
        };
        bytes.align(STAGED);
        let staged = bytes.0.len() - first as usize;
        step.staged_bytes = if staged <= STAGED_BYTES { staged as u32 } else { 0 };

        let slots = norm.as_ref().map(|norm| &norm.tensor_slots[..]);
        step.tensors = bytes.put(&tensors(plan, &tiles.order, slots), LINE);
        step.tiles = bytes.put(&tiles.rows, LINE);
        bytes.extend_by(reserve as usize * size_of::<TileRow>());
        step.values = bytes.put(&vec![f64::NAN; 2 * plan.scalars.len()], LINE);
        if let Some(norm) = &norm {
            step.norm_tiles = bytes.put(&norm.rows, LINE);
            bytes.extend_by((1 + reserve as usize) * size_of::<NormTileRow>());
            step.nodes = bytes.put(&norm.tree.nodes, LINE);
            step.sums = bytes.put(&vec![PartialRow::zeroed(); norm.tree.slots as usize], LINE);
        }
        let (measure_grid, rules) =
            bytes.put_rules(plan, measure.as_ref(), ticket + 4 * (2 + nodes as u64), remembered);
        if plan.measures() || plan.remembers() {
            step.rules = bytes.put(&[rules], LINE);
        }
        step.metrics = bytes.put(&metrics::rows(&plan.metrics), LINE);
        step.windows = bytes.put(&vec![0.0f64; 2 * windows], LINE);
        step.telemetry = plan.telemetry.as_ref().map_or(0, |layout| bytes.put_telemetry(layout, ring));
        step.cohort_bytes = widths.cohort_bytes() as u32;
        step.tensor_bytes = widths.tensor_bytes() as u32;
        step.record_bytes = widths.record_bytes() as u32;
        step.scalar_capacity = plan.scalars.len() as u32;
        step.cohort_capacity = plan.cohorts.len() as u32;
        step.metric_capacity = metric_count as u32;
        step.window_capacity = windows as u32;
        step.seed = plan.seed;
        // A grid is never empty: one block evaluates, and one judges a norm of nothing.
        let norm_grid = norm.map(|_| norm_tiles.max(1) + reserve);
        Tables { bytes: bytes.0, step, grid: 1 + counts.tiles + reserve, norm_grid, measure_grid, rules, seen }
    }
}

/// Rows of cohorts.
fn cohorts(plan: &Plan) -> Vec<u8> {
    let width = plan.widths().cohort_bytes();
    let mut bytes = Vec::with_capacity(width * plan.cohorts.len());
    for (i, cohort) in plan.cohorts.iter().enumerate() {
        let group = &plan.groups[cohort.group as usize];
        bytes.extend_from_slice(&cohort.base.to_ne_bytes());
        bytes.extend_from_slice(bytemuck::cast_slice(&[group.variant, group.metric]));
        bytes.extend_from_slice(bytemuck::cast_slice(&cohort.inputs));
        bytes.resize((i + 1) * width, 0);
    }
    bytes
}

/// Rows of tensors in this order. `slots`: where the sum of each goes, in the order of the list.
fn tensors(plan: &Plan, order: &[u32], slots: Option<&[u32]>) -> Vec<u8> {
    let width = plan.widths().tensor_bytes();
    let mut bytes = Vec::with_capacity(width * order.len());
    for (i, place) in order.iter().enumerate() {
        let tensor = &plan.tensors[*place as usize];
        let slot = slots.map_or(0, |slots| slots[*place as usize]);
        bytes.extend_from_slice(&tensor.len.to_ne_bytes());
        let flags = if tensor.master_given { MASTER_GIVEN } else { 0 };
        bytes.extend_from_slice(bytemuck::cast_slice(&[slot, *place, tensor.number, flags]));
        let seconds = tensor.streams.iter().zip(plan.storages(tensor)).filter(|(_, storage)| storage.form.has_second());
        let addresses = tensor.streams.iter().map(|lies| lies.first).chain(seconds.map(|(lies, _)| lies.second));
        addresses.for_each(|address| bytes.extend_from_slice(&address.to_ne_bytes()));
        bytes.resize((i + 1) * width, 0);
    }
    bytes
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

    fn align(&mut self, alignment: usize) {
        self.extend_by(self.0.len().next_multiple_of(alignment) - self.0.len());
    }

    fn extend_by(&mut self, bytes: usize) {
        self.0.resize(self.0.len() + bytes, 0);
    }

    /// What rules that measure or remember need, and how many blocks measure. `arrivals`: where tickets of its nodes are; then
    /// where what is remembered is.
    fn put_rules(
        &mut self,
        plan: &Plan,
        measure: Option<&MeasureTables>,
        arrivals: u64,
        [cohort_memory, group_memory, tensor_memory]: [u64; 3],
    ) -> (Option<u32>, RuleTablesRow) {
        let mut rules = RuleTablesRow {
            cohort_memory,
            group_memory,
            tensor_memory,
            own: self.put(&vec![f32::NAN; plan.tensors.len() * plan.widths().own], LINE),
            measure_arrivals: arrivals,
            group_count: plan.groups.len() as u32,
            tensor_count: plan.tensors.len() as u32,
            ..RuleTablesRow::default()
        };
        let Some(measure) = measure else { return (None, rules) };
        rules.measure_tile_count = measure.rows.len() as u32;
        rules.measure_tiles = self.put(&measure.rows, LINE);
        rules.measure_nodes = self.put(&measure.tree.nodes, LINE);
        rules.measure_slots = self.put(&measure.tensor_slots, LINE);
        rules.groups = self.put(&measure.groups, LINE);
        let sums = measure.tree.slots as usize * plan.widths().sums;
        rules.measure_sums = self.put(&vec![PartialRow::zeroed(); sums], LINE);
        // Without elements there is nothing to sum, and nothing follows.
        ((rules.measure_tile_count > 0).then_some(rules.measure_tile_count), rules)
    }

    /// Where records of calls go: a row, and then the places of the values.
    fn put_telemetry(&mut self, layout: &Layout, ring: u64) -> u64 {
        let row = TelemetryRow { ring, capacity: layout.records, value_count: layout.sources.len() as u32 };
        let offset = self.put(&[row], LINE);
        self.0.extend_from_slice(bytemuck::cast_slice(&layout.sources));
        offset
    }
}
