//! Scalars that each step writes to addresses of the engine's. They are what cohorts remember, as the update in force leaves it: an f64
//! that is in its place before the update runs.

use super::layout::{OutputRow, THREADS};
use super::{Dtype, Plan};
use crate::error::{Error, Result};
use crate::rule::Of;

/// Rows that a block writes, a thread each. `kernels/outputs.cuh` has the same number.
const OF_BLOCK: usize = THREADS as usize;

/// The most addresses of one optimizer: blocks of a launch stay few.
const MAX_OUTPUTS: usize = 1 << 20;

/// Where a scalar goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// Of which group it is.
    pub group: usize,
    /// Its place among what the group's cohorts remember.
    pub value: usize,
    /// Of the engine's; f32 or f64.
    pub address: u64,
    pub dtype: Dtype,
}

impl Output {
    /// What errors call its place among all.
    pub fn path(place: usize) -> String {
        format!("write[{place}].address")
    }
}

impl Plan {
    /// Checks addresses as far as that needs no driver, and lays them out.
    pub fn place_outputs(&mut self, outputs: &[Output]) -> Result<()> {
        let refused = |place: usize, address: u64, rule: String| {
            Err(Error::argument(Output::path(place), format!("{address:#x}"), rule))
        };
        if outputs.len() > MAX_OUTPUTS {
            return Err(Error::argument("write", outputs.len(), format!("must be at most {MAX_OUTPUTS} addresses")));
        }
        for (place, Output { address, dtype, .. }) in outputs.iter().copied().enumerate() {
            if address == 0 || !address.is_multiple_of(dtype.bytes()) {
                let rule = format!("must be the {}-byte aligned address of an {dtype}", dtype.bytes());
                return refused(place, address, rule);
            }
        }
        let mut order: Vec<usize> = (0..outputs.len()).collect();
        order.sort_by_key(|place| (outputs[*place].address, *place));
        for pair in order.windows(2) {
            let [one, other] = [pair[0], pair[1]];
            let end = u128::from(outputs[one].address) + u128::from(outputs[one].dtype.bytes());
            if u128::from(outputs[other].address) < end {
                let (first, second) = (one.min(other), one.max(other));
                let rule = format!("must not overlap write[{first}]: two scalars would go there");
                return refused(second, outputs[second].address, rule);
            }
        }
        let width = self.widths().memory[0];
        let row = |output: &Output| {
            let rule = &self.variants[self.groups[output.group].variant as usize];
            debug_assert!(output.value < rule.remembered(Of::Cohort).count(), "the rule remembers it");
            let pair = (self.first_cohort(output.group) * width + output.value) as u32;
            OutputRow { address: output.address, pair, wide: u32::from(output.dtype == Dtype::F64) }
        };
        self.outputs = outputs.iter().map(row).collect();
        Ok(())
    }

    /// Blocks of a launch that write scalars.
    pub fn output_blocks(&self) -> u32 {
        self.outputs.len().div_ceil(OF_BLOCK) as u32
    }
}
