//! The tables of a plan, as a CUDA device gets them: one block of bytes, uploaded once.

use bytemuck::{NoUninit, Zeroable};

use crate::plan::layout::{Control, Partial, Record, Step, TelemetryRow};
use crate::plan::{Plan, metrics};
use crate::telemetry::Layout;

/// The tables of a plan as one block of bytes; addresses in the returned [`Step`] are offsets into it.
#[derive(Default)]
pub(super) struct Tables {
    pub bytes: Vec<u8>,
}

impl Tables {
    /// `ring`: the address of that of telemetry.
    pub fn lay_out(&mut self, plan: &Plan, ring: u64) -> Step {
        Step {
            control: self.put(&[Control::new(plan.increment, plan.gradients, &plan.settings)]),
            values: self.put(&vec![f64::NAN; 2 * plan.scalars.len()]),
            records: self.put(&vec![Record { value: [f32::NAN; 16] }; 2 * plan.cohorts.len()]),
            tensors: self.put(&plan.tensors),
            constants: self.put(&plan.constants),
            scalars: self.put(&plan.scalars),
            bundles: self.put(&plan.bundles),
            groups: self.put(&plan.groups),
            cohorts: self.put(&plan.cohorts),
            chunks: self.put(&plan.chunks),
            settings: self.put(&[plan.settings]),
            norm_blocks: self.put(&plan.norm_blocks),
            partials: self.put(&vec![Partial::zeroed(); plan.norm_blocks.len()]),
            metrics: self.put(&metrics::rows(&plan.metrics)),
            metric_states: self.put(&metrics::start(&plan.metrics).repeat(2)),
            windows: self.put(&vec![0.0f64; 2 * metrics::window_count(&plan.metrics)]),
            found_inf: 0,
            inv_scale: 0,
            norm_square: 0,
            telemetry: plan.telemetry.as_ref().map_or(0, |layout| self.put_telemetry(layout, ring)),
            chunk_count: plan.chunks.len() as u32,
            bundle_count: plan.bundles.len() as u32,
            scalar_count: plan.scalars.len() as u32,
            cohort_count: plan.cohorts.len() as u32,
            norm_block_count: plan.norm_blocks.len() as u32,
            metric_count: plan.metrics.len() as u32,
            window_count: metrics::window_count(&plan.metrics) as u32,
            reserved: 0,
        }
    }

    /// Where records of calls go: a row, and then the places of the values.
    fn put_telemetry(&mut self, layout: &Layout, ring: u64) -> u64 {
        let row = TelemetryRow { ring, capacity: layout.records, value_count: layout.sources.len() as u32 };
        let offset = self.put(&[row]);
        self.bytes.extend_from_slice(bytemuck::cast_slice(&layout.sources));
        offset
    }

    /// Appends `rows` on a 128-byte boundary, so that no two tables share a line, and returns their offset.
    fn put<T: NoUninit>(&mut self, rows: &[T]) -> u64 {
        self.bytes.resize(self.bytes.len().next_multiple_of(128), 0);
        let offset = self.bytes.len() as u64;
        self.bytes.extend_from_slice(bytemuck::cast_slice(rows));
        offset
    }
}
