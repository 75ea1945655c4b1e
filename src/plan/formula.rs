//! What a scalar is computed by: a schedule, or what follows from one and a count of updates. The text of `program_N` in
//! `generated.cuh` and the value on the host, of each.

use crate::program::math::{bias_correction, bias_correction_of_ln};
use crate::program::{Clocks, Constants, Node, emit};

/// The structure of a scalar; its constants are apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Formula {
    /// The value of a schedule.
    Value(Node),
    /// `1 - beta^n` after n updates, with the present value of a schedule of beta.
    BiasCorrection(Node),
    /// The same for a beta that never changes: the only constant is its logarithm.
    BiasCorrectionOfLn,
}

impl Formula {
    /// The text of `program_{index}`.
    pub fn emit(&self, index: usize) -> String {
        match self {
            Formula::Value(root) => emit::emit(index, root, |value| value),
            Formula::BiasCorrection(root) => {
                emit::emit(index, root, |value| format!("bias_correction({value}, updates)"))
            }
            Formula::BiasCorrectionOfLn => {
                let value = "bias_correction_of_ln(real(c, 0), updates)".to_owned();
                emit::function(index, "", &value)
            }
        }
    }

    /// The value on `clocks` for a cohort that has had `updates` updates, the present one included.
    pub fn value(&self, constants: &[u64], clocks: Clocks, updates: u64) -> f64 {
        match self {
            Formula::Value(root) => Constants(constants).value(root, clocks),
            Formula::BiasCorrection(root) => bias_correction(Constants(constants).value(root, clocks), updates),
            Formula::BiasCorrectionOfLn => bias_correction_of_ln(f64::from_bits(constants[0]), updates),
        }
    }
}
