//! The state as one block, on the CPU: the tables and the memory are at hand, so nothing is read back.

use std::sync::atomic::Ordering;

use super::Engine;
use super::engine::refuse_flushed_subnormals;
use super::memory;
use super::metrics::BELOW;
use super::resolve::Half;
use crate::error::Result;
use crate::plan::state::{self, Tables};
use crate::plan::{LoadOptions, Loaded, Remembered, load};
use crate::program::Clocks;

impl Engine {
    pub fn state(&self) -> Result<Vec<u8>> {
        let t = self.control.t;
        let tables = Tables {
            control: *self.control,
            settings: self.plan.settings,
            constants: self.plan.constants.clone(),
            metric_states: state::half(&self.metric_states, t).to_vec(),
            windows: state::half(&self.windows, t).to_vec(),
            ages: state::half(&self.ages, t).to_vec(),
            remembered: self.remembered.durable(t),
        };
        state::encode(&self.plan, &tables, self.state.bytes())
    }

    /// Checks `block`, then takes all of it and evaluates the step in force anew.
    pub fn load_state(&mut self, block: &[u8], options: LoadOptions) -> Result<Loaded> {
        refuse_flushed_subnormals()?;
        let loading = load::decode(&self.plan, block, options)?;
        let params = loading.read_params(&self.plan).into_iter();
        let params: Vec<(usize, Vec<u8>)> =
            params.map(|(tensor, ..)| (tensor, memory::param_bytes(&self.plan, tensor))).collect();
        loading.place_states(&self.plan, &params, self.state.bytes_mut());
        let Tables { control, settings, constants, metric_states, windows, ages: _, remembered } = loading.tables;
        self.plan.take_grouping(loading.grouping);
        self.ages = self.plan.bases().repeat(2);
        self.remembered = Remembered::resumed(&self.plan, control.t, &remembered);
        let half = (control.t & 1) as usize;
        // The control block is written where it is: `device_view` gave its address.
        *self.control = control;
        self.metric_states[half * metric_states.len()..][..metric_states.len()].copy_from_slice(&metric_states);
        self.windows[half * windows.len()..][..windows.len()].copy_from_slice(&windows);
        (self.plan.settings, self.plan.constants) = (settings, constants);
        self.plan.take(loading.editable);
        self.evaluate(Clocks { t: control.t, progress: control.progress }, Half::InForce);
        self.stop_if_end(control.t, BELOW);
        self.ring().iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.runs().restart(control.t + control.skipped);
        Ok(loading.loaded)
    }
}
