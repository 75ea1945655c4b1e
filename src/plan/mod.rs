//! From parameter groups to tables: which tensor, which chunk, which scalar, which variant. Knows rules and addresses, no
//! device: the same tables drive the kernels and the CPU backend. Start at [`Plan::new`].
//!
//! `check` holds the rules about tensors, `scalars` lays out schedules, `edit` and `now` turn a change of knobs into writes
//! to the table of constants, `emit` writes the CUDA text, `state` turns what a run changes into a block of bytes and back,
//! with `fit` (what must agree) and `block` (the frame).

mod block;
mod check;
mod edit;
pub(crate) mod emit;
mod fit;
pub(crate) mod layout;
pub(crate) mod metrics;
mod now;
mod scalars;
pub(crate) mod state;
mod tensor;

pub(crate) use edit::{Editable, Request};
pub use tensor::{Buffer, Dtype, Tensor};
pub(crate) use tensor::{HandedIn, Scalar};

use crate::error::Result;
use crate::features::{FeatureOptions, Features};
use crate::gradient::{GradientOptions, Gradients};
use crate::optim::{Description, Variant};
use crate::program::Node;
use crate::schedule::Metric;
use crate::settings::Settings;
use crate::telemetry::{Layout, Telemetry};
use layout::{BundleRow, CHUNK, ChunkRow, CohortRow, GroupRow, NORM_BLOCK, NormBlockRow, TensorRow, VECTOR};

/// What a plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An optimizer that runs.
    Run,
    /// The generated text alone, for which a group needs no tensor.
    Text,
}

/// The tables of one optimizer, and the names that go with them.
#[derive(Debug)]
pub(crate) struct Plan {
    /// State addresses are byte offsets into the state memory until [`Plan::place_state`] is called.
    pub tensors: Vec<TensorRow>,
    pub chunks: Vec<ChunkRow>,
    /// Empty if there is no norm launch.
    pub norm_blocks: Vec<NormBlockRow>,
    pub groups: Vec<GroupRow>,
    pub cohorts: Vec<CohortRow>,
    pub bundles: Vec<BundleRow>,
    /// Per scalar: where its constants begin.
    pub scalars: Vec<u32>,
    pub constants: Vec<u64>,
    /// The schedules with knobs in them.
    pub editable: Editable,
    /// The distinct structures; a bundle's `program` is a place here.
    pub programs: Vec<Node>,
    pub variants: Vec<Variant>,
    pub names: Vec<String>,
    /// The metric rules, one for each group that has one.
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
    /// Bytes of state memory, a multiple of 16, and where it begins: 0 until [`Plan::place_state`] is called.
    pub state_bytes: u64,
    pub state_base: u64,
}

impl Plan {
    /// Checks the groups and lays them out. Errors name the group and the tensor.
    pub fn new(
        groups: &[(Description, Vec<Tensor>)],
        increment: u64,
        options: &GradientOptions,
        features: &FeatureOptions,
        purpose: Purpose,
    ) -> Result<Plan> {
        let (lowered, knobs) = scalars::lower(groups)?;
        let (gradients, mut settings) = options.lower()?;
        let metrics: Vec<Metric> = groups.iter().filter_map(|(rule, _)| rule.metric).collect();
        let telemetry = features.telemetry.as_ref();
        let features = features.lower(&metrics, &mut settings)?;
        let names = check::check(groups, options.zero, purpose)?;
        let mut plan = Plan {
            tensors: Vec::new(),
            chunks: Vec::new(),
            norm_blocks: Vec::new(),
            groups: Vec::new(),
            cohorts: Vec::new(),
            bundles: Vec::new(),
            scalars: Vec::new(),
            constants: Vec::new(),
            editable: Editable::new(knobs),
            programs: Vec::new(),
            variants: Vec::new(),
            names,
            metrics,
            gradients,
            features,
            settings,
            telemetry: None,
            increment,
            state_bytes: 0,
            state_base: 0,
        };
        plan.lay_out_scalars(groups, lowered);
        for (index, (rule, tensors)) in groups.iter().enumerate() {
            plan.lay_out_group(index as u32, rule, tensors);
        }
        plan.lay_out_chunks();
        plan.telemetry = telemetry.map(|telemetry| plan.lay_out_telemetry(telemetry)).transpose()?;
        Ok(plan)
    }

    /// Turns the state offsets of the tensor table into addresses.
    pub fn place_state(&mut self, base: u64) {
        self.state_base = base;
        for tensor in &mut self.tensors {
            let states = self.variants[tensor.variant as usize].states().len();
            for address in &mut tensor.state[..states] {
                *address += base;
            }
        }
    }

    fn lay_out_group(&mut self, group: u32, rule: &Description, tensors: &[Tensor]) {
        let first_cohort = self.cohorts.len();
        let states = rule.variant.states().len();
        for tensor in tensors {
            let known = self.cohorts[first_cohort..].iter().position(|cohort| cohort.base == tensor.updates);
            let cohort = first_cohort
                + known.unwrap_or_else(|| {
                    self.cohorts.push(CohortRow { base: tensor.updates, group, reserved: 0 });
                    self.cohorts.len() - 1 - first_cohort
                });

            // State lies in its windows as the parameter does, so that one set of vectors serves all addresses.
            let skew = |address: u64| address / 4 % VECTOR;
            let vector = skew(tensor.param.address) == skew(tensor.grad.address);
            let skew = if vector { skew(tensor.param.address) } else { 0 };
            let mut state = [0; 2];
            for offset in &mut state[..states] {
                *offset = self.state_bytes + 4 * skew;
                self.state_bytes += (4 * (skew + tensor.param.len)).next_multiple_of(16);
            }
            self.tensors.push(TensorRow {
                param: tensor.param.address,
                grad: tensor.grad.address,
                state,
                len: tensor.param.len,
                cohort: cohort as u32,
                variant: self.groups[group as usize].variant,
                skew: skew as u32,
                vector: u32::from(vector),
                reserved: 0,
            });
        }
    }

    /// A group is shown by its first cohort.
    fn lay_out_telemetry(&self, telemetry: &Telemetry) -> Result<Layout> {
        let names = |group: &GroupRow| self.variants[group.variant as usize].hyperparameters();
        let names: Vec<_> = self.groups.iter().map(names).collect();
        let cohorts: Vec<usize> = (0..self.groups.len()).map(|group| self.first_cohort(group)).collect();
        telemetry.lay_out(&names, &cohorts)
    }

    /// The cohort that a group is shown by.
    pub fn first_cohort(&self, group: usize) -> usize {
        // Cohorts are laid out group by group, and no group of an optimizer that runs is without tensors.
        self.cohorts.partition_point(|cohort| (cohort.group as usize) < group)
    }

    fn lay_out_chunks(&mut self) {
        let chunks = |tensor: &TensorRow| match tensor.len {
            0 => 0,
            len => (len + u64::from(tensor.skew)).div_ceil(CHUNK) as u32,
        };
        self.chunks.reserve_exact(self.tensors.iter().map(|tensor| chunks(tensor) as usize).sum());
        if self.gradients.norm.is_some() {
            for (tensor, row) in self.tensors.iter().enumerate() {
                let blocks = 0..row.len.div_ceil(NORM_BLOCK) as u32;
                self.norm_blocks.extend(blocks.map(|index| NormBlockRow { tensor: tensor as u32, index }));
            }
        }
        for (tensor, row) in self.tensors.iter().enumerate() {
            self.chunks.extend((0..chunks(row)).map(|index| ChunkRow { tensor: tensor as u32, index }));
        }
    }
}
