//! What of a device's tables follows from the tensors, their groups and their ages: it may be written again while the optimizer
//! lives, in the same places. Start at [`Shape::of`].

use bytemuck::NoUninit;

use crate::plan::layout::{
    AgeFlags, BundleRow, CohortHead, Counts, FORM_FLAG, GRAD_TYPE_FLAG, GroupRow, JUST_ADDED, MASTER_GIVEN,
    MeasureTileRow, NO_COHORT, NodeRow, NormTileRow, RuleTablesRow, ScalarRow, TensorHead, TileRow,
};
use crate::plan::{Capacity, MeasureTables, NormTables, Plan, metrics};

/// The bytes of a table's rows, and those that there is room for.
pub(super) type Table = (Vec<u8>, usize);

/// All of it, each table in the order in which a launch has them.
#[derive(Debug)]
pub(super) struct Shape {
    /// Rows in use, bundles, scalars, cohorts.
    pub staged: [Table; 4],
    /// What is said of ages and, from [`Shape::grads_at`] on, the addresses of gradients; tensors; tiles.
    pub walked: [Table; 3],
    pub grads_at: usize,
    /// Tiles and nodes of the norm launch, if there is one.
    pub norm: Option<[Table; 2]>,
    /// Tiles, nodes, slots, groups of the measuring launch, and the elements of cohorts.
    pub measure: Option<[Table; 5]>,
    /// What rules need besides: numbers of rows alone.
    pub rules: RuleTablesRow,
    pub capacity: Capacity,
}

impl Shape {
    /// For a plan whose rows are sorted.
    pub fn of(plan: &Plan) -> Shape {
        let tiles = plan.tiles();
        let norm = plan.gradients.norm.map(|_| plan.norm_tables(&tiles));
        let measure = plan.measures().then(|| plan.measure_tables(&tiles));
        let (capacity, room) = (plan.capacity(&tiles, norm.as_ref(), measure.as_ref()), plan.room);
        let counts = Counts {
            tiles: tiles.of_updates + plan.output_blocks(),
            norm_tiles: norm.as_ref().map_or(0, |norm| norm.rows.len() as u32),
            bundles: plan.bundles.len() as u32,
            cohorts: plan.cohorts.len() as u32,
            metrics: plan.metrics.len() as u32,
            windows: metrics::window_count(&plan.metrics) as u32,
            all_tiles: tiles.rows.len() as u32,
            ages: plan.ages.len() as u32,
        };
        let rules = RuleTablesRow {
            measure_tile_count: measure.as_ref().map_or(0, |measure| measure.rows.len() as u32),
            group_count: plan.groups.len() as u32,
            tensor_capacity: room.tensors as u32,
            output_count: plan.outputs.len() as u32,
            ..RuleTablesRow::default()
        };
        let widths = plan.widths();
        let seats = seats(plan);
        let seats_room = seats.len() - 8 * plan.rows.len() + 8 * room.tensors;
        let slots = norm.as_ref().map(|norm| &norm.tensor_slots[..]);
        Shape {
            staged: [
                table(&[counts], 1),
                table::<BundleRow>(&plan.bundles, room.bundles),
                table::<ScalarRow>(&plan.scalars, room.scalars),
                (cohorts(plan), room.cohorts * widths.cohort_bytes()),
            ],
            walked: [
                (seats, seats_room),
                (tensors(plan, slots), room.tensors * widths.tensor_bytes()),
                table::<TileRow>(&tiles.rows, capacity.tiles),
            ],
            grads_at: grads_at(plan),
            norm: norm.map(|norm: NormTables| {
                let summing = capacity.norm;
                [table::<NormTileRow>(&norm.rows, summing.tiles), table::<NodeRow>(&norm.tree.nodes, summing.nodes)]
            }),
            measure: measure.map(|measure: MeasureTables| {
                let summing = capacity.measure;
                [
                    table::<MeasureTileRow>(&measure.rows, summing.tiles),
                    table::<NodeRow>(&measure.tree.nodes, summing.nodes),
                    table::<u32>(&measure.tensor_slots, room.tensors),
                    table::<GroupRow>(&measure.groups, room.groups),
                    table::<u64>(&plan.cohort_lens(), room.cohorts),
                ]
            }),
            rules,
            capacity,
        }
    }
}

impl Shape {
    /// All tables, in their order; what rules need besides, which holds addresses, comes after them.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        let norm = self.norm.iter().flatten();
        self.staged.iter().chain(&self.walked).chain(norm).chain(self.measure.iter().flatten())
    }
}

fn table<T: NoUninit>(rows: &[T], room: usize) -> Table {
    (bytemuck::cast_slice(rows).to_vec(), room * size_of::<T>())
}

/// Rows of cohorts.
fn cohorts(plan: &Plan) -> Vec<u8> {
    let (width, scaled) = (plan.widths().cohort_bytes(), plan.widths().scaled);
    let mut bytes = Vec::with_capacity(width * plan.cohorts.len());
    for ((i, cohort), next) in plan.cohorts.iter().enumerate().zip(plan.next_cohorts()) {
        let group = &plan.groups[cohort.group as usize];
        let next = next.unwrap_or(NO_COHORT);
        let head = CohortHead { age: cohort.age, variant: group.variant, metric: group.metric, next };
        bytes.extend_from_slice(bytemuck::bytes_of(&head));
        if scaled {
            bytes.extend_from_slice(bytemuck::cast_slice(&[cohort.scales.rate, cohort.scales.decay]));
        }
        bytes.extend_from_slice(bytemuck::cast_slice(&cohort.inputs));
        bytes.resize((i + 1) * width, 0);
    }
    bytes
}

/// Where the addresses of gradients begin, after what is said of ages.
pub(super) fn grads_at(plan: &Plan) -> usize {
    (plan.room.ages * size_of::<AgeFlags>()).next_multiple_of(size_of::<u64>())
}

/// What is said of ages, and then the address of the gradient for each row of the tensor table: 0 where it rests.
pub(super) fn seats(plan: &Plan) -> Vec<u8> {
    let flags: Vec<AgeFlags> = plan.ages.iter().map(|age| AgeFlags::new(age.absent, age.gate)).collect();
    let mut bytes: Vec<u8> = bytemuck::cast_slice(&flags).to_vec();
    bytes.resize(grads_at(plan), 0);
    bytes.extend(plan.rows.iter().flat_map(|tensor| plan.seats[*tensor as usize].in_use().to_ne_bytes()));
    bytes
}

/// The rows of the tensor table. `slots`: where the sum of each goes, in the order of the list.
fn tensors(plan: &Plan, slots: Option<&[u32]>) -> Vec<u8> {
    let width = plan.widths().tensor_bytes();
    let mut bytes = Vec::with_capacity(width * plan.rows.len());
    for (i, place) in plan.rows.iter().enumerate() {
        let tensor = &plan.tensors[*place as usize];
        let given = if tensor.master_given { MASTER_GIVEN } else { 0 };
        let added = if tensor.just_added { JUST_ADDED } else { 0 };
        let head = TensorHead {
            len: if plan.is_there(*place as usize) { tensor.len } else { 0 },
            slot: slots.map_or(0, |slots| slots[*place as usize]),
            place: *place,
            number: tensor.number,
            flags: given
                | added
                | (plan.forms[tensor.form as usize].grad_type() << GRAD_TYPE_FLAG)
                | tensor.form << FORM_FLAG,
            cohort: tensor.cohort,
            gate: plan.groups[tensor.group as usize].gate,
        };
        bytes.extend_from_slice(bytemuck::bytes_of(&head));
        let seconds = tensor.streams.iter().zip(plan.storages(tensor)).filter(|(_, storage)| storage.form.has_second());
        let firsts = tensor.streams.iter().enumerate().filter(|(place, _)| *place != 1).map(|(_, lies)| lies.first);
        let addresses = firsts.chain(seconds.map(|(lies, _)| lies.second));
        addresses.for_each(|address| bytes.extend_from_slice(&address.to_ne_bytes()));
        bytes.resize((i + 1) * width, 0);
    }
    bytes
}
