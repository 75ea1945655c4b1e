//! From parameter groups to tables: which tensor, which scalar, which variant, which block. Knows rules and addresses, no
//! device: the same plan drives the kernels and the CPU backend. Start at [`Plan::new`].
//!
//! `check` holds the rules about tensors, `groups` lays out groups and their tensors, whose streams are stored as `forms` says, `cohorts` who has had as
//! many updates as whom, `scalars` schedules (`formula`); `tiles`, `norm` and `measure` cut the work of a launch (`tuning`), within
//! `capacity`. While an optimizer lives, `edit` and `now` turn a change of knobs into writes to the table of constants, `change`
//! changes tensors that are there (`seats`), `add` and `more` bring tensors and groups, `parts` makes an update in parts. `outputs` says
//! where scalars go for kernels of the engine's. `emit` writes the CUDA text, `words` says what it is for. `state` turns what a run changes into a block of bytes
//! (`kept`, in the frame of `block`) and `load` puts one into another optimizer, whose tensors `regroup` puts to their counts.

mod add;
mod block;
mod capacity;
mod change;
mod check;
mod cohorts;
pub(crate) mod edit;
pub(crate) mod emit;
mod ends;
mod forms;
mod formula;
mod groups;
mod kept;
pub(crate) mod layout;
pub(crate) mod load;
mod measure;
pub(crate) mod metrics;
mod more;
mod norm;
mod now;
mod outputs;
mod parts;
mod regroup;
mod remember;
mod rows;
mod scalars;
mod seats;
pub(crate) mod state;
mod stated;
mod sums;
mod tensor;
mod tiles;
mod tuning;
mod words;

pub(crate) use capacity::{Capacity, Reserve};
pub(crate) use change::{Change, Turn};
pub(crate) use check::check_start;
pub(crate) use cohorts::{Age, Cohort, Scales};
pub(crate) use edit::{Editable, Request};
pub(crate) use ends::Fall;
pub(crate) use forms::Forms;
pub(crate) use formula::Formula;
pub(crate) use layout::NORM_BLOCK;
pub use load::{LoadOptions, Loaded};
pub(crate) use measure::MeasureTables;
pub(crate) use more::of_types;
pub(crate) use norm::NormTables;
pub(crate) use outputs::Output;
pub(crate) use parts::Parts;
pub(crate) use regroup::Grouping;
pub(crate) use remember::Remembered;
pub(crate) use rows::{Group, Lies, TensorRow};
pub(crate) use seats::{Seat, Standing};
pub(crate) use stated::Words;
pub use tensor::{Buffer, Dtype, Tensor, TensorElement};
pub(crate) use tensor::{Given, HandedIn, Scalar};
pub(crate) use tiles::Tiles;
pub use tuning::Tuning;

use crate::error::Result;
use crate::features::{FeatureOptions, Features};
use crate::gradient::{GradientOptions, Gradients};
use crate::precision::{Constant, Precision, Scaled, State};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::program::{Bounds, Program};
use crate::rule::{Compiled, Description, Of, Start, Stream};
use crate::schedule::Metric;
use crate::settings::Settings;
use crate::telemetry::{Layout, Telemetry};
use capacity::Room;
use layout::{BundleRow, OutputRow, ScalarRow, Widths};

/// Where the state of a tensor may begin: a multiple of a line of the caches, so that it fits vectors of every type.
pub(crate) const STATE_ALIGNMENT: u64 = 128;

/// Numbers of plans.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An optimizer that runs.
    Run,
    /// The generated text alone, for which a group needs no tensor.
    Text,
}

/// A parameter group as it is registered.
#[derive(Debug)]
pub(crate) struct Registered {
    pub rule: Description,
    /// That of all with the group's own over it.
    pub precision: Precision,
    /// The group has one of its own.
    pub own_precision: bool,
    pub tensors: Vec<Tensor>,
    /// The address of a flag of the engine's that the group follows.
    pub gate: Option<u64>,
}

/// What an optimizer is built on, besides its groups.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    /// By how much an applied update advances the progress clock.
    pub increment: u64,
    /// What the clock begins with.
    pub start: u64,
    /// Whether tensors may come, go and rest, and room for that.
    pub reserve: Option<Reserve>,
    /// Updates may be made in parts.
    pub parts: bool,
}

/// The tables of one optimizer, and the names that go with them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// State addresses are byte offsets into the state memory until [`Plan::place_state`] is called.
    pub tensors: Vec<TensorRow>,
    pub groups: Vec<Group>,
    pub cohorts: Vec<Cohort>,
    pub ages: Vec<Age>,
    pub bundles: Vec<BundleRow>,
    pub scalars: Vec<ScalarRow>,
    pub constants: Vec<u64>,
    /// How many of the scalars are schedules'; bias corrections follow.
    schedules: scalars::Schedules,
    /// The schedules with knobs in them.
    pub editable: Editable,
    /// What was said of each group.
    pub stated: Vec<stated::StatedGroup>,
    /// The distinct structures; a bundle's `program` is a place here.
    pub programs: Vec<Formula>,
    pub variants: Vec<Arc<Compiled>>,
    /// The rules once more, each with how its streams are stored.
    pub forms: Vec<Forms>,
    /// Addresses of flags of the engine's that groups follow.
    pub gates: Vec<u64>,
    /// That of groups which come later and say nothing of it.
    pub precision: Precision,
    /// The metric rule of groups that come later, as in [`Group`].
    pub shared_metric: u32,
    /// How many groups have come.
    more_groups: u32,
    /// Whether gradients come scaled.
    scaled_gradients: Scaled,
    /// Parameters for evaluation are shown, as far as the host's own calls tell.
    pub shown: bool,
    /// Unlike that of any other plan.
    pub number: u64,
    /// Whether tensors may come, go and rest, and room for that.
    pub reserve: Option<Reserve>,
    /// Whether some tensors scale the rates of their group, or may come to.
    pub scaled: bool,
    pub room: Room,
    /// The rows of the tensor table, once they are sorted: which tensor each is of.
    pub rows: Vec<u32>,
    /// The most tensors of a pack, once that is known.
    pub pack: u32,
    pub names: Vec<String>,
    /// The bounds of each group's rate.
    rates: Vec<ends::RateBounds>,
    /// The metric rules: one for each group that has one of its own, and the one that all others share.
    pub metrics: Vec<Metric>,
    /// What is done to gradients: what is compiled in, and its settings.
    pub gradients: Gradients,
    /// What a step does beside its updates.
    pub features: Features,
    pub settings: Settings,
    /// How records of calls lie in their ring, if there is one.
    pub telemetry: Option<Layout>,
    /// By how much an applied update advances the progress clock.
    pub increment: u64,
    /// How the work is cut.
    pub tuning: Tuning,
    /// What stochastic rounding begins with.
    pub seed: u64,
    /// What the clock begins with.
    pub start: u64,
    /// Scalars that go to addresses of the engine's.
    pub outputs: Vec<OutputRow>,
    /// For each tensor its gradient, and whether updates see it.
    pub seats: Vec<Seat>,
    /// Parts of the state memory that belong to no tensor: offset and bytes, in the order of the offsets.
    free: Vec<(u64, u64)>,
    /// Where updates are made in parts, the tensors that have come since the last one.
    pub parts: Option<Parts>,
    /// What of the reserve is in use: tensors, and their elements.
    added: (u32, u64),
    /// Bytes of state memory, and where it begins: 0 until [`Plan::place_state`] is called.
    pub state_bytes: u64,
    pub state_base: u64,
}

impl Plan {
    /// Checks the groups and lays them out. Errors name the group and the tensor.
    pub fn new(
        groups: &[Registered],
        declared: &[Registered],
        terms: Terms,
        options: &GradientOptions,
        features: &FeatureOptions,
        purpose: Purpose,
    ) -> Result<Plan> {
        let (lowered, knobs) = scalars::lower(groups)?;
        let (gradients, mut settings) = options.lower()?;
        let own: Vec<Option<Metric>> = groups.iter().map(|group| group.rule.metric).collect();
        let (metrics, places) = metrics::of_groups(&own, features.metric)?;
        let shared_metric = features.metric.map_or(0, |_| metrics.len() as u32);
        let telemetry = features.telemetry.as_ref();
        let features = features.lower(&metrics, &mut settings)?;
        let names = check::check(groups, options.zero, purpose, terms.reserve.is_some())?;
        let scaled = if options.loss_scale.is_some() || options.inv_scale { Scaled::Yes } else { Scaled::No };
        let mut plan = Plan {
            tensors: Vec::new(),
            groups: Vec::new(),
            cohorts: Vec::new(),
            bundles: Vec::new(),
            scalars: Vec::new(),
            constants: Vec::new(),
            ages: Vec::new(),
            schedules: scalars::Schedules::default(),
            gates: Vec::new(),
            scaled: terms.reserve.is_some_and(|reserve| reserve.scales),
            reserve: terms.reserve,
            precision: Precision::new(),
            shared_metric,
            more_groups: 0,
            scaled_gradients: scaled,
            shown: false,
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            room: Room::default(),
            rows: Vec::new(),
            pack: 0,
            editable: Editable::new(knobs),
            stated: stated::of_groups(groups, &lowered),
            programs: Vec::new(),
            variants: Vec::new(),
            forms: Vec::new(),
            names,
            rates: rate_bounds(groups, &lowered, &metrics, &places),
            metrics,
            gradients,
            features,
            settings,
            telemetry: None,
            increment: terms.increment,
            tuning: Tuning::default(),
            seed: 0,
            start: terms.start,
            outputs: Vec::new(),
            seats: Vec::new(),
            free: Vec::new(),
            parts: terms.parts.then(Parts::default),
            added: (0, 0),
            state_bytes: 0,
            state_base: 0,
        };
        for ((index, group), metric) in groups.iter().enumerate().zip(places) {
            let tape = &group.rule.rule.tape;
            let checked = group.precision.check_states(&tape.name, states(&tape.streams), scaled);
            let place = if group.own_precision { format!("groups[{index}].") } else { String::new() };
            checked.map_err(|e| e.within(&place))?;
            plan.lay_out_group(index, group, metric)?;
        }
        plan.lay_out_scalars(groups, lowered);
        for group in declared {
            plan.declare(group)?;
        }
        plan.order_forms();
        plan.make_room();
        plan.telemetry = telemetry.map(|telemetry| plan.lay_out_telemetry(telemetry)).transpose()?;
        Ok(plan)
    }

    /// Streams that start from a value: tensor, place, and what each element is.
    pub fn filled_states(&self) -> impl Iterator<Item = (&TensorRow, usize, Constant)> {
        self.living().map(|tensor| &self.tensors[tensor]).flat_map(move |row| {
            let streams = (2..).zip(self.variants[row.variant as usize].streams()).zip(&self.storages(row)[2..]);
            streams.filter_map(move |((place, stream), storage)| match stream.start {
                Start::Value(value) => Some((row, place, storage.constant(value))),
                Start::Zero | Start::Param | Start::FirstGradient => None,
            })
        })
    }

    /// How wide the rows are that depend on the rules.
    pub fn widths(&self) -> Widths {
        let most = |of: fn(&Arc<Compiled>) -> usize| self.variants.iter().map(of).max().unwrap_or(0);
        Widths {
            addresses: self.forms.iter().map(Forms::addresses).max().unwrap_or(0),
            inputs: most(|variant| variant.hyperparameters().len() + variant.corrected().len()),
            record: most(|variant| variant.record_len()).next_multiple_of(4),
            own: most(|variant| variant.standing.tensor_len).next_multiple_of(4),
            sums: most(|variant| variant.tape.sums.len()),
            memory: [
                most(|variant| variant.remembered(Of::Cohort).count()),
                most(|variant| variant.remembered(Of::Group).count()),
                most(|variant| variant.remembered(Of::Tensor).count()),
            ],
            scaled: self.scaled,
        }
    }

    /// The tensors of a group, in the order in which they are summed.
    pub fn tensors_of(&self, group: usize) -> impl ExactSizeIterator<Item = usize> + Clone + '_ {
        self.groups[group].tensors.iter().map(|tensor| *tensor as usize)
    }

    /// A group is shown by its first cohort.
    fn lay_out_telemetry(&self, telemetry: &Telemetry) -> Result<Layout> {
        let names =
            |group: &Group| self.variants[group.variant as usize].hyperparameters().map(str::to_owned).collect();
        let names: Vec<Vec<String>> = self.groups.iter().map(names).collect();
        let record = self.widths().record;
        let records: Vec<usize> = (0..self.groups.len()).map(|group| record * self.first_cohort(group)).collect();
        let state = |group: &Group| group.metric.checked_sub(1).map(|state| metrics::shown(state as usize).to_vec());
        let metrics: Vec<_> = self.groups.iter().map(|group| state(group).unwrap_or_default()).collect();
        telemetry.lay_out(&names, &records, &metrics, &self.remembered_of_groups())
    }

    /// The cohort that a group is shown by.
    pub fn first_cohort(&self, group: usize) -> usize {
        self.groups[group].first_cohort as usize
    }
}

/// What a precision needs to know of streams.
fn states(streams: &[Stream]) -> impl Iterator<Item = State<'_>> + Clone {
    streams.iter().map(|stream| State { name: &stream.name, exact: stream.exact, denominator: stream.denominator })
}

/// The bounds of each group's rate, its first hyperparameter. `lowered`: the hyperparameters of all groups; `places`: which
/// of `metrics` each follows, counted from 1.
fn rate_bounds(
    groups: &[Registered],
    lowered: &[Program],
    metrics: &[Metric],
    places: &[u32],
) -> Vec<ends::RateBounds> {
    let mut first = 0;
    let bounds = groups.iter().zip(places).map(|(Registered { rule, .. }, place)| {
        let Bounds { min, max } = lowered[first].bounds;
        first += rule.hyperparameters.len();
        let metric = place.checked_sub(1).map(|at| &metrics[at as usize]);
        ends::RateBounds { min, max, scales: metric.map_or([1.0; 2], Metric::scales) }
    });
    bounds.collect()
}
