//! Collects groups and checks everything at [`OptimizerBuilder::build`].

use super::{Engine, Optimizer, cuda};
use crate::backend::{Backend, Device};
use crate::error::{Error, Result};
use crate::host;
use crate::kernels::Unit;
use crate::optim::{Description, Rule};
use crate::plan::{FoundInf, Plan, Tensor};

/// Collects the groups of an [`Optimizer`]. All checks are made by [`OptimizerBuilder::build`].
#[derive(Debug)]
#[must_use = "call `build`"]
pub struct OptimizerBuilder {
    device: Device,
    groups: Vec<(Result<Description>, Vec<Tensor>)>,
    found_inf: Option<FoundInf>,
    increment: u64,
}

impl OptimizerBuilder {
    pub(super) fn new(device: &Device) -> Self {
        Self { device: device.clone(), groups: Vec::new(), found_inf: None, increment: 1 }
    }

    /// Adds a parameter group: a rule with its hyperparameters, and the tensors that it updates. Groups of one optimizer
    /// may have different rules; all are updated in one launch.
    pub fn group(mut self, rule: impl Rule, tensors: &[Tensor]) -> Self {
        self.groups.push((rule.describe(), tensors.to_vec()));
        self
    }

    /// Sets by how much each applied update advances the progress clock, on which parts of schedules may run
    /// ([`Schedule::on_progress`](crate::Schedule::on_progress)): samples or tokens of a batch. 1 by default.
    pub fn progress_increment(mut self, increment: u64) -> Self {
        self.increment = increment;
        self
    }

    /// Gives the address of an f32 that the engine writes before each step: anything but 0, a NaN too, keeps the update
    /// from being applied. Parameters, optimizer state, the clock and the schedules then stay as they were, and the update
    /// is counted as skipped. Peer: `found_inf` of `torch.amp.GradScaler`.
    ///
    /// # Safety
    ///
    /// As for the gradients in [`Tensor::new`].
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn found_inf(mut self, address: u64) -> Self {
        self.found_inf = Some(FoundInf(address));
        self
    }

    /// Checks everything, compiles and loads the kernels, and puts tables and the first step's scalars on the device. The
    /// last call that may wait: the first [`Optimizer::step`] may be captured, on any stream of the device.
    ///
    /// Fails with [`Error::Argument`], which names the argument, its value and the rule, before anything is allocated;
    /// with [`Error::NoNvrtc`] or [`Error::Compile`] where the kernels cannot be compiled; with [`Error::Driver`].
    pub fn build(self) -> Result<Optimizer> {
        if let Some(FoundInf(address)) = self.found_inf
            && (address == 0 || !address.is_multiple_of(4))
        {
            let rule = "must be the 4-byte aligned address of an f32";
            return Err(Error::argument("found_inf", format!("{address:#x}"), rule));
        }
        let plan = plan(self.groups, self.increment)?;
        Ok(Optimizer(match &self.device.0 {
            Backend::Host => Engine::Host(host::Engine::new(plan, self.found_inf)?),
            Backend::Cuda(context) => Engine::Cuda(cuda::Engine::new(context, plan, self.found_inf)?),
        }))
    }

    /// The CUDA text that is generated for these groups, without a device: programs and update rules. It depends on the
    /// structure of the schedules and on the rules, not on constants and tensors.
    pub fn emit(self) -> Result<String> {
        Ok(Unit::new(&plan(self.groups, self.increment)?).generated().to_owned())
    }
}

fn plan(groups: Vec<(Result<Description>, Vec<Tensor>)>, increment: u64) -> Result<Plan> {
    let groups = groups.into_iter().enumerate().map(|(index, (rule, tensors))| {
        let rule = rule.map_err(|e| e.within(&format!("groups[{index}].")))?;
        Ok((rule, tensors))
    });
    Plan::new(&groups.collect::<Result<Vec<_>>>()?, increment)
}
