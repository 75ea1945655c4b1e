//! What a plan says of each tensor and each group.

use crate::precision::Precision;

/// Where a stream lies: its elements, and what belongs to them if there is something (a master, a remainder, scales).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lies {
    pub first: u64,
    pub second: u64,
}

/// A registered tensor.
#[derive(Debug, Clone)]
pub(crate) struct TensorRow {
    /// Its place in the list.
    pub place: u32,
    /// Addresses of element 0: of the parameter, of nothing for the gradient, which has a [`Seat`](super::Seat), of the states in the
    /// order of the rule.
    pub streams: Vec<Lies>,
    pub len: u64,
    /// For random bits.
    pub number: u32,
    pub cohort: u32,
    pub group: u32,
    pub variant: u32,
    /// How its streams are stored, among those of the plan.
    pub form: u32,
    /// Its master is the engine's.
    pub master_given: bool,
    /// What lies beside its parameter is to be made.
    pub just_added: bool,
}

impl TensorRow {
    pub fn param(&self) -> u64 {
        self.streams[0].first
    }
}

/// A parameter group.
#[derive(Debug)]
pub(crate) struct Group {
    pub precision: Precision,
    /// Which scalar each hyperparameter is.
    pub scalars: Vec<u32>,
    pub variant: u32,
    /// The place of its metric rule, counted from 1; 0 if it has none. Groups may share one.
    pub metric: u32,
    /// Its tensors, in the order in which they are summed.
    pub tensors: Vec<u32>,
    /// The cohort that it is shown by, with or without tensors.
    pub first_cohort: u32,
    /// The flag of the engine's that it follows, counted from 1; 0 if it follows none.
    pub gate: u32,
}
