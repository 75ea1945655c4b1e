//! The state of a run on a CUDA device: read back, and written.

use bytemuck::Zeroable;

use super::cuda::Engine;
use super::shape::Shape;
use crate::device::{self, Stream};
use crate::error::Result;
use crate::plan::layout::THREADS;
use crate::plan::{LoadOptions, Loaded, Remembered, load, state};
use crate::settings::Settings;

impl Engine {
    /// Waits for `stream`, then reads the state back, all of it with one wait.
    pub fn state(&self, stream: &Stream) -> Result<Vec<u8>> {
        let (plan, step) = (&self.plan, &self.step);
        let mut settings = Settings::zeroed();
        // What follows the control block, up to what rules remember.
        let mut seen = vec![0u8; self.seen.end];
        // The bases of ages, and the constants behind them.
        let bases = (step.constants - step.ages) as usize / size_of::<u64>();
        let mut counts = vec![0u64; bases + plan.constants.len()];
        let mut windows = vec![0.0f64; 2 * step.window_capacity as usize];
        let mut memory = vec![0u8; plan.state_bytes as usize];
        let mut copies = [
            (step.control, &mut seen[..]),
            (step.settings, bytemuck::bytes_of_mut(&mut settings)),
            (step.ages, bytemuck::cast_slice_mut(&mut counts)),
            (step.windows, bytemuck::cast_slice_mut(&mut windows)),
            (plan.state_base, &mut memory),
        ];
        device::read_all(&self.context, stream, &mut copies)?;
        let control = self.seen.control(&seen);
        self.seen.expect_at_rest(&seen)?;
        let metric_states = state::half(&self.seen.metric_states(&seen), control.t).to_vec();
        let windows = state::half(&windows, control.t).to_vec();
        let remembered = self.seen.remembered(&seen).durable(control.t);
        let ages = state::half(&counts[..2 * step.age_capacity as usize], control.t).to_vec();
        let constants = counts[bases..].to_vec();
        let tables = state::Tables { control, settings, constants, metric_states, windows, ages, remembered };
        state::encode(plan, &tables, &memory)
    }

    /// Checks `block`, then writes all of it and evaluates the step in force anew.
    pub fn load_state(&mut self, block: &[u8], options: LoadOptions, stream: &Stream) -> Result<Loaded> {
        device::expect_waitable(&self.context, stream)?;
        let loading = load::decode(&self.plan, block, options)?;
        let (tables, step) = (&loading.tables, &self.step);
        let needed = loading.read_params(&self.plan);
        let mut params: Vec<(usize, Vec<u8>)> =
            needed.iter().map(|(tensor, _, bytes)| (*tensor, vec![0; *bytes as usize])).collect();
        if !needed.is_empty() {
            let mut copies: Vec<(u64, &mut [u8])> =
                needed.iter().zip(&mut params).map(|((_, lies, _), (_, to))| (lies.first, &mut to[..])).collect();
            device::read_all(&self.context, stream, &mut copies)?;
        }
        let mut memory = vec![0u8; self.plan.state_bytes as usize];
        loading.place_states(&self.plan, &params, &mut memory);
        // Tables that follow from whose count is whose, where that is another one; what rules need besides stays.
        let shape = self.plan.take_grouping(loading.grouping).then(|| Shape::of(&self.plan));
        // The bases of ages, and the constants behind them.
        let mut counts = self.plan.bases().repeat(2);
        counts.resize((step.constants - step.ages) as usize / size_of::<u64>(), 0);
        counts.extend_from_slice(&tables.constants);
        let half = |first: u64, len: usize| first + (tables.control.t & 1) * len as u64;
        let remembered = Remembered::resumed(&self.plan, tables.control.t, &tables.remembered);
        let mut copies: Vec<(u64, &[u8])> = vec![
            (step.ages, bytemuck::cast_slice(&counts)),
            (self.rules.cohort_memory, bytemuck::cast_slice(&remembered.cohorts)),
            (self.rules.group_memory, bytemuck::cast_slice(&remembered.groups)),
            (self.rules.tensor_memory, bytemuck::cast_slice(&remembered.tensors)),
            (step.control, bytemuck::bytes_of(&tables.control)),
            (step.settings, bytemuck::bytes_of(&tables.settings)),
            (
                half(step.metric_states, size_of_val(&*tables.metric_states)),
                bytemuck::cast_slice(&tables.metric_states),
            ),
            (half(step.windows, size_of_val(&*tables.windows)), bytemuck::cast_slice(&tables.windows)),
            (self.plan.state_base, &memory),
        ];
        let of_shape = shape.iter().flat_map(Shape::tables);
        copies.extend(of_shape.zip(&self.places.tables).map(|((rows, _), to)| (*to, &rows[..])));
        device::write_all(&self.context, stream, &copies, || self.prime.launch(stream, 1, THREADS, step))?;
        if let Some(ring) = &self.resident.ring {
            ring.clear(stream)?;
        }
        self.runs.restart(tables.control.t + tables.control.skipped);
        self.plan.settings = tables.settings;
        self.plan.take(loading.editable);
        Ok(loading.loaded)
    }
}
