//! Scalars of the update in force, written to addresses of the engine's: `kernels/outputs.cuh`.

use crate::plan::Plan;

/// Writes them. `memory`: what cohorts remember, the half in force.
pub(in crate::host) fn write_outputs(plan: &Plan, memory: &[f64]) {
    for output in &plan.outputs {
        let value = memory[2 * output.pair as usize + 1];
        let address = output.address as usize;
        match output.wide {
            // SAFETY: the address is not null and aligned, and whoever gave it vouched for a writable f64 there that is at rest.
            1 => unsafe { *(address as *mut f64) = value },
            // SAFETY: as above, for an f32.
            _ => unsafe { *(address as *mut f32) = value as f32 },
        }
    }
}
