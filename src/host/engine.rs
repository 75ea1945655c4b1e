//! One optimizer on the CPU: its durable state, its two halves, and an update over all chunks in parallel.

use bytemuck::Zeroable;

use super::memory;
use crate::error::{Error, Result};
use crate::plan::layout::{Control, MAX_HYPERPARAMETERS, Record};
use crate::plan::{FoundInf, Plan};
use crate::program::{Clocks, Constants};

/// 16-byte aligned memory for optimizer state.
type Window = Record;

pub(crate) struct Engine {
    pub(super) plan: Plan,
    pub(super) control: Box<Control>,
    /// Two halves of one value per scalar, as on the device.
    pub(super) values: Vec<f64>,
    /// Two halves of one record per cohort.
    records: Vec<Record>,
    found_inf: Option<FoundInf>,
    _state: Vec<Window>,
}

impl Engine {
    /// Allocates zeroed state and evaluates the first step.
    pub fn new(mut plan: Plan, found_inf: Option<FoundInf>) -> Result<Engine> {
        refuse_flushed_subnormals()?;
        let state = vec![Window::zeroed(); plan.state_bytes.div_ceil(size_of::<Window>() as u64) as usize];
        plan.place_state(state.as_ptr() as u64);
        let mut engine = Engine {
            values: vec![f64::NAN; 2 * plan.scalars.len()],
            records: vec![Record { value: [f32::NAN; 16] }; 2 * plan.cohorts.len()],
            control: Box::new(Control::new(plan.increment)),
            plan,
            found_inf,
            _state: state,
        };
        engine.evaluate(Clocks { t: 0, progress: 0 });
        Ok(engine)
    }

    /// One update of every tensor.
    pub fn step(&mut self) -> Result<()> {
        let t = self.control.t;
        let skip = self.found_inf.is_some_and(memory::found);
        if !skip {
            refuse_flushed_subnormals()?;
            let cohorts = self.plan.cohorts.len();
            let records = &self.records[(t & 1) as usize * cohorts..][..cohorts];
            memory::update(&self.plan, records, refuse_flushed_subnormals)?;
        }
        let progress = self.control.progress.wrapping_add(self.control.increment);
        self.evaluate(Clocks { t: t + 1, progress });
        match skip {
            true => self.control.skipped += 1,
            false => (self.control.t, self.control.progress) = (t + 1, progress),
        }
        Ok(())
    }

    /// Fills half `t & 1` with what update `t` needs: `evaluate` of `kernels/evaluate.cuh`.
    pub(super) fn evaluate(&mut self, clocks: Clocks) {
        let (plan, t) = (&self.plan, clocks.t);
        let half = (t & 1) as usize;
        let values = &mut self.values[half * plan.scalars.len()..][..plan.scalars.len()];
        for bundle in &plan.bundles {
            let program = &plan.programs[bundle.program as usize];
            let scalars = bundle.first as usize..(bundle.first + bundle.count) as usize;
            for (value, constants) in values[scalars.clone()].iter_mut().zip(&plan.scalars[scalars]) {
                *value = Constants(&plan.constants[*constants as usize..]).value(program, clocks);
            }
        }
        let records = &mut self.records[half * plan.cohorts.len()..][..plan.cohorts.len()];
        for (record, cohort) in records.iter_mut().zip(&plan.cohorts) {
            let group = &plan.groups[cohort.group as usize];
            let mut h = [0.0; MAX_HYPERPARAMETERS];
            for (value, scalar) in h.iter_mut().zip(group.scalar) {
                *value = values[scalar as usize];
            }
            let variant = plan.variants[group.variant as usize];
            record.value = variant.resolve(&h, t.wrapping_add(cohort.base));
        }
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Both halves, one after the other.
    pub fn records(&self) -> &[Record] {
        &self.records
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("control", &self.control).finish_non_exhaustive()
    }
}

/// The device keeps subnormals, so a thread that flushes them would give other bits.
fn refuse_flushed_subnormals() -> Result<()> {
    let subnormal = std::hint::black_box(f32::from_bits(1 << 20));
    match subnormal * std::hint::black_box(0.5) {
        0.0 => Err(Error::FlushedSubnormals),
        _ => Ok(()),
    }
}
