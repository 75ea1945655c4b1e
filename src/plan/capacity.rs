//! How large the tables are that an optimizer may change as long as it lives: what it has at build, and room for more. Start at
//! [`Plan::make_room`].

use super::layout::{BundleRow, Counts, NORM_BLOCK, SECTION, STAGED_BYTES, ScalarRow, WARP};
use super::sums::Tree;
use super::{Forms, Formula, MeasureTables, NormTables, Plan, STATE_ALIGNMENT, Tiles};

/// What may come beyond what is there at build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Reserve {
    pub tensors: u32,
    /// Of all tensors to come together.
    pub elements: u64,
    /// Ages, and so cohorts, in all; None: one a tensor.
    pub cohorts: Option<u32>,
    /// Groups to come.
    pub groups: u32,
    /// Tensors may come to scale the rates of their group.
    pub scales: bool,
}

/// Ages and cohorts that every optimizer has room for beyond those at build: a state that is loaded may tell tensors apart. As many as let
/// the tables be staged that are read ahead of each update.
const SPARE: [usize; 4] = [8, 4, 2, 0];

/// Numbers that the schedules of a group to come may have together.
pub(super) const CONSTANTS: usize = 64;

/// Rows of the tables of tensors and of what they have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Room {
    pub tensors: usize,
    pub ages: usize,
    pub cohorts: usize,
    pub scalars: usize,
    pub bundles: usize,
    pub constants: usize,
    pub groups: usize,
}

/// Rows of the tables of a device's launches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Capacity {
    pub tiles: usize,
    pub norm: Summing,
    pub measure: Summing,
}

/// Of a launch that sums.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summing {
    pub tiles: usize,
    pub nodes: usize,
    pub slots: usize,
}

impl Summing {
    fn of(tiles: usize, tree: &Tree, reserve: &Reserve) -> Summing {
        let tensors = reserve.tensors as usize;
        let blocks = reserve.elements.div_ceil(NORM_BLOCK) as usize + tensors;
        let sections = blocks.div_ceil(SECTION as usize) + tensors;
        // Nodes of a group, of its tensors, and of all groups.
        let of_groups = 3 * reserve.groups as usize;
        Summing {
            tiles: tiles + blocks,
            nodes: tree.nodes.len() + 2 * tensors + sections + of_groups + 1,
            slots: tree.slots as usize + 2 * tensors + sections + blocks + of_groups + 1,
        }
    }
}

impl Plan {
    /// Makes room for what there is and what is reserved.
    pub fn make_room(&mut self) {
        let rooms = SPARE.map(|spare| self.room_with(spare));
        self.room = rooms.into_iter().find(|room| self.staged_bytes(room) <= STAGED_BYTES).unwrap_or(rooms[0]);
        let more = self.most_state_bytes(&self.reserve.unwrap_or_default());
        if more > 0 {
            self.free.push((self.state_bytes, more));
            self.state_bytes += more;
        }
    }

    /// What a block stages of tables of this size.
    fn staged_bytes(&self, room: &Room) -> usize {
        let rows = [
            size_of::<Counts>(),
            room.bundles * size_of::<BundleRow>(),
            room.scalars * size_of::<ScalarRow>(),
            room.cohorts * self.widths().cohort_bytes(),
            2 * room.ages * size_of::<u64>(),
            room.constants * size_of::<u64>(),
        ];
        rows.iter().map(|bytes| bytes.next_multiple_of(size_of::<Counts>())).sum()
    }

    /// Room for so many ages and cohorts more, where nothing is reserved.
    fn room_with(&self, spare: usize) -> Room {
        let reserve = self.reserve.unwrap_or_default();
        let tensors = self.tensors.len() + reserve.tensors as usize;
        // Each group to come is shown by a cohort of its own.
        let groups = reserve.groups as usize;
        let most = |limit: Option<u32>, at_build: usize| match (self.reserve, limit) {
            (Some(_), None) => at_build.max(tensors + self.groups.len()) + groups,
            (Some(_), Some(limit)) => at_build.max(limit as usize) + groups,
            (None, _) => at_build + spare.min(self.tensors.len().saturating_sub(at_build)),
        };
        let (ages, cohorts) = (most(reserve.cohorts, self.ages.len()), most(reserve.cohorts, self.cohorts.len()));
        let corrected = self.variants.iter().map(|variant| variant.corrected().len()).max().unwrap_or(0);
        let inputs = self.variants.iter().map(|variant| variant.hyperparameters().len()).max().unwrap_or(0);
        // Of each cohort, or of each beta for each age.
        let betas = self.schedules.corrections.len() + groups * corrected;
        let corrections = (corrected * cohorts).min(betas * ages);
        let scalars = self.schedules.scalars + groups * inputs + corrections;
        // Each structure of a correction may begin a bundle that is not full, and each schedule to come has one of its own.
        let structures = self.programs.iter().filter(|formula| !matches!(formula, Formula::Value(_))).count();
        let bundles = self.schedules.bundles + groups * inputs + structures + corrections / WARP;
        let constants = self.constants.len() + groups * CONSTANTS;
        Room { tensors, ages, cohorts, scalars, bundles, constants, groups: self.groups.len() + groups }
    }

    /// State memory for the tensors to come, whatever their form among those that are there.
    fn most_state_bytes(&self, reserve: &Reserve) -> u64 {
        let of_form = |forms: &Forms| {
            let sizes = forms.storages.iter().enumerate().map(|(place, storage)| {
                let [first, second] = storage.form.sizes(reserve.elements);
                let pieces = u64::from(place >= 2) + u64::from(storage.form.has_second());
                let more = pieces * u64::from(reserve.tensors) * 2 * STATE_ALIGNMENT;
                if place >= 2 { first + second + more } else { second + more }
            });
            sizes.sum::<u64>().next_multiple_of(STATE_ALIGNMENT)
        };
        if reserve.tensors == 0 { 0 } else { self.forms.iter().map(of_form).max().unwrap_or(0) }
    }

    /// The same for the tables of launches. `norm`: tiles and levels of that launch.
    pub fn capacity(&self, tiles: &Tiles, norm: Option<&NormTables>, measure: Option<&MeasureTables>) -> Capacity {
        let reserve = self.reserve.unwrap_or_default();
        // One more for what is left of each, and one for the pack that it may part.
        let more = reserve.elements.div_ceil(self.tuning.tile()) as usize + 2 * reserve.tensors as usize;
        // Each cohort that there may be has a pack that is not full, of each form.
        let packs = match self.reserve {
            None if !tiles.packs.is_empty() && self.room.cohorts > 1 => self.room.cohorts * self.forms.len(),
            _ => 0,
        };
        let summing = |tiles, tree| Summing::of(tiles + packs, tree, &reserve);
        Capacity {
            tiles: tiles.rows.len() + more + packs,
            norm: norm.map(|norm| summing(norm.rows.len(), &norm.tree)).unwrap_or_default(),
            measure: measure.map(|measure| summing(measure.rows.len(), &measure.tree)).unwrap_or_default(),
        }
    }
}
