//! From parameter groups to tables: which tensor, which scalar, which variant, which block. Knows rules and addresses, no
//! device: the same plan drives the kernels and the CPU backend. Start at [`Plan::new`].
//!
//! `check` holds the rules about tensors, `forms` says how their streams are stored, `scalars` lays out schedules (`formula`), `tiles` and `norm` cut the work of a
//! launch (`tuning`), `edit` and `now` turn a change of knobs into writes to the table of constants, `emit` writes the CUDA
//! text, `state` turns what a run changes into a block of bytes, with `kept` (its content) and `block` (the frame), and `load` goes on from one.

mod block;
mod check;
mod edit;
pub(crate) mod emit;
mod ends;
mod forms;
mod formula;
mod kept;
pub(crate) mod layout;
pub(crate) mod load;
mod measure;
pub(crate) mod metrics;
mod norm;
mod now;
mod remember;
mod scalars;
pub(crate) mod state;
mod stated;
mod sums;
mod tensor;
mod tiles;
mod tuning;

pub(crate) use edit::{Editable, Request};
pub(crate) use ends::Fall;
pub(crate) use forms::Forms;
pub(crate) use formula::Formula;
pub(crate) use layout::NORM_BLOCK;
pub use load::{LoadOptions, Loaded};
pub(crate) use measure::MeasureTables;
pub(crate) use remember::Remembered;
pub use tensor::{Buffer, Dtype, Tensor};
pub(crate) use tensor::{HandedIn, Scalar};
pub use tuning::Tuning;

use crate::error::Result;
use crate::features::{FeatureOptions, Features};
use crate::gradient::{GradientOptions, Gradients};
use crate::precision::{Constant, Precision, Scaled, State};
use std::sync::Arc;

use crate::program::{Bounds, Program};
use crate::rule::{Compiled, Description, Of, Start, Stream};
use crate::schedule::Metric;
use crate::settings::Settings;
use crate::telemetry::{Layout, Telemetry};
use layout::{BundleRow, ScalarRow, Widths};

/// Where the state of a tensor may begin: a multiple of a line of the caches, so that it fits vectors of every type.
const STATE_ALIGNMENT: u64 = 128;

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
}

/// Where a stream lies: its elements, and what belongs to them if there is something (a master, a remainder, scales).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lies {
    pub first: u64,
    pub second: u64,
}

/// A registered tensor.
#[derive(Debug, Clone)]
pub(crate) struct TensorRow {
    /// Addresses of element 0: of the parameter, the gradient, the states in the order of the rule.
    pub streams: Vec<Lies>,
    pub len: u64,
    /// For random bits.
    pub number: u32,
    pub cohort: u32,
    pub variant: u32,
    /// How its streams are stored, among those of the plan.
    pub form: u32,
    /// Its master is the engine's.
    pub master_given: bool,
}

impl TensorRow {
    pub fn param(&self) -> u64 {
        self.streams[0].first
    }

    pub fn grad(&self) -> u64 {
        self.streams[1].first
    }
}

/// A parameter group.
#[derive(Debug)]
pub(crate) struct Group {
    /// Which scalar each hyperparameter is.
    pub scalars: Vec<u32>,
    pub variant: u32,
    /// The place of its metric rule, counted from 1; 0 if it has none. Groups may share one.
    pub metric: u32,
}

/// Tensors of a group that have had `t + base` (modulo 2^64) updates.
#[derive(Debug)]
pub(crate) struct Cohort {
    pub base: u64,
    pub group: u32,
    /// The scalars that its record is resolved from: the hyperparameters, then bias corrections.
    pub inputs: Vec<u32>,
}

/// The tables of one optimizer, and the names that go with them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// State addresses are byte offsets into the state memory until [`Plan::place_state`] is called.
    pub tensors: Vec<TensorRow>,
    pub groups: Vec<Group>,
    pub cohorts: Vec<Cohort>,
    pub bundles: Vec<BundleRow>,
    pub scalars: Vec<ScalarRow>,
    pub constants: Vec<u64>,
    /// The schedules with knobs in them.
    pub editable: Editable,
    /// What a state block says of the schedules, group by group.
    pub stated: Vec<Vec<stated::Stated>>,
    /// The distinct structures; a bundle's `program` is a place here.
    pub programs: Vec<Formula>,
    pub variants: Vec<Arc<Compiled>>,
    /// The rules once more, each with how its streams are stored.
    pub forms: Vec<Forms>,
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
    /// Bytes of state memory, and where it begins: 0 until [`Plan::place_state`] is called.
    pub state_bytes: u64,
    pub state_base: u64,
}

impl Plan {
    /// Checks the groups and lays them out. Errors name the group and the tensor.
    pub fn new(
        groups: &[Registered],
        increment: u64,
        options: &GradientOptions,
        features: &FeatureOptions,
        purpose: Purpose,
    ) -> Result<Plan> {
        let (lowered, knobs) = scalars::lower(groups)?;
        let (gradients, mut settings) = options.lower()?;
        let own: Vec<Option<Metric>> = groups.iter().map(|group| group.rule.metric).collect();
        let (metrics, places) = metrics::of_groups(&own, features.metric)?;
        let telemetry = features.telemetry.as_ref();
        let features = features.lower(&metrics, &mut settings)?;
        let names = check::check(groups, options.zero, purpose)?;
        let scaled = if options.loss_scale.is_some() || options.inv_scale { Scaled::Yes } else { Scaled::No };
        let mut plan = Plan {
            tensors: Vec::new(),
            groups: Vec::new(),
            cohorts: Vec::new(),
            bundles: Vec::new(),
            scalars: Vec::new(),
            constants: Vec::new(),
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
            increment,
            tuning: Tuning::default(),
            seed: 0,
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
        plan.telemetry = telemetry.map(|telemetry| plan.lay_out_telemetry(telemetry)).transpose()?;
        Ok(plan)
    }

    /// Streams that start from a value: tensor, place, and what each element is.
    pub fn filled_states(&self) -> impl Iterator<Item = (&TensorRow, usize, Constant)> {
        self.tensors.iter().flat_map(move |row| {
            let streams = (2..).zip(self.variants[row.variant as usize].streams()).zip(&self.storages(row)[2..]);
            streams.filter_map(move |((place, stream), storage)| match stream.start {
                Start::Value(value) => Some((row, place, storage.constant(value))),
                Start::Zero | Start::Param | Start::FirstGradient => None,
            })
        })
    }

    /// Turns the offsets into the state memory of the tensor table into addresses.
    pub fn place_state(&mut self, base: u64) {
        self.state_base = base;
        for row in &mut self.tensors {
            for (place, storage) in self.forms[row.form as usize].storages.iter().enumerate() {
                let lies = &mut row.streams[place];
                if place >= 2 {
                    lies.first += base;
                }
                if storage.form.has_second() && !(place == 0 && row.master_given) {
                    lies.second += base;
                }
            }
        }
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
        }
    }

    /// The tensors of a group: they lie together, in the order of the groups.
    pub fn tensors_of(&self, group: usize) -> std::ops::Range<usize> {
        let begin = |group: usize| {
            self.tensors.partition_point(|tensor| (self.cohorts[tensor.cohort as usize].group as usize) < group)
        };
        begin(group)..begin(group + 1)
    }

    /// `metric`: the place of its metric rule.
    fn lay_out_group(&mut self, index: usize, registered: &Registered, metric: u32) -> Result<()> {
        let Registered { rule, precision, tensors, .. } = registered;
        let group = self.groups.len() as u32;
        let known = self.variants.iter().position(|known| *known == rule.rule);
        let variant = known.unwrap_or_else(|| {
            self.variants.push(rule.rule.clone());
            self.variants.len() - 1
        }) as u32;
        self.groups.push(Group { scalars: Vec::new(), variant, metric });

        let first_cohort = self.cohorts.len();
        if tensors.is_empty() {
            // For the text alone, which is the same for every base.
            self.cohorts.push(Cohort { base: 0, group, inputs: Vec::new() });
            self.form(Forms { variant, storages: forms::of_text(&rule.rule, precision) });
        }
        for (i, tensor) in tensors.iter().enumerate() {
            let known = self.cohorts[first_cohort..].iter().position(|cohort| cohort.base == tensor.updates);
            let cohort = first_cohort
                + known.unwrap_or_else(|| {
                    self.cohorts.push(Cohort { base: tensor.updates, group, inputs: Vec::new() });
                    self.cohorts.len() - 1 - first_cohort
                });
            let path = format!("groups[{index}].tensors[{i}]");
            let storages = forms::of_tensor(&path, &rule.rule, precision, tensor)?;
            let len = tensor.param.len;
            let mut streams = Vec::with_capacity(storages.len());
            for (place, storage) in storages.iter().enumerate() {
                let [first, second] = storage.form.sizes(len);
                let first = match place {
                    0 => tensor.param.address,
                    1 => tensor.grad.address,
                    _ => self.allot(first),
                };
                let second = match (place, tensor.master) {
                    (0, Some(master)) => master.address,
                    _ => self.allot(second),
                };
                streams.push(Lies { first, second });
            }
            let form = self.form(Forms { variant, storages });
            let number = tensor.number.unwrap_or(self.tensors.len() as u32);
            let (cohort, master_given) = (cohort as u32, tensor.master.is_some());
            self.tensors.push(TensorRow { streams, len, number, cohort, variant, form, master_given });
        }
        Ok(())
    }

    /// Where so many bytes of the state memory begin.
    fn allot(&mut self, bytes: u64) -> u64 {
        let first = self.state_bytes;
        self.state_bytes += bytes.next_multiple_of(STATE_ALIGNMENT);
        first
    }

    /// The place of `forms` in the list, to which it is added if it is new.
    fn form(&mut self, forms: Forms) -> u32 {
        let known = self.forms.iter().position(|known| *known == forms);
        known.unwrap_or_else(|| {
            self.forms.push(forms);
            self.forms.len() - 1
        }) as u32
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
        // Cohorts are laid out group by group, and no group is without one.
        self.cohorts.partition_point(|cohort| (cohort.group as usize) < group)
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
