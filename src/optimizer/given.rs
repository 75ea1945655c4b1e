//! State memory that the engine gives, and how large it must be.

use std::sync::Arc;

use super::OptimizerBuilder;
use crate::error::{Error, Result, quoted};
use crate::plan::{Given, Plan, Purpose, STATE_ALIGNMENT};
use crate::precision::Form;

/// How the states of all tensors lie in one piece of memory: [`OptimizerBuilder::state_layout`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateLayout {
    /// Bytes in all, with what [`Dynamic`](crate::Dynamic) reserves.
    pub bytes: u64,
    /// The memory begins at a multiple of so many bytes.
    pub alignment: u64,
    /// Every piece, in the order of the tensors, of their states, and then of what lies beside the parameter.
    pub pieces: Vec<StatePiece>,
}

/// One state of a tensor, or the master or the remainder of its parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StatePiece {
    /// The tensor's name.
    pub tensor: Arc<str>,
    /// The state's name, e.g. `exp_avg`; `param` for what lies beside the parameter.
    pub name: String,
    /// How it is stored.
    pub form: Form,
    /// Where its elements begin, in bytes; of a master or a remainder that.
    pub offset: u64,
    /// Where the f32 scales of its blocks begin, if it is 8-bit codes.
    pub scales: Option<u64>,
    /// Length in elements.
    pub len: u64,
}

/// What is in state memory that an engine gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateContents {
    /// Nothing: states start as their rules say, masters from the parameters.
    Start,
    /// The values of all pieces, which the run goes on from ([`OptimizerBuilder::start_at`]).
    Values,
}

/// Checked when the optimizer is built.
#[derive(Debug, Clone, Copy)]
pub(super) struct GivenState {
    address: u64,
    bytes: u64,
    contents: StateContents,
}

impl GivenState {
    pub fn check(self, plan: &Plan) -> Result<Given> {
        let GivenState { address, bytes, contents } = self;
        let shown = format!("{address:#x}");
        if plan.state_bytes > 0 && (address == 0 || !address.is_multiple_of(STATE_ALIGNMENT)) {
            let rule = format!("must be a multiple of {STATE_ALIGNMENT}, and not 0");
            return Err(Error::argument("state_memory.address", shown, rule));
        }
        if bytes < plan.state_bytes {
            let rule = format!("this optimizer takes {}: see OptimizerBuilder::state_layout", plan.state_bytes);
            return Err(Error::argument("state_memory.bytes", bytes, rule));
        }
        let Some(end) = address.checked_add(bytes) else {
            return Err(Error::argument("state_memory.bytes", bytes, "the memory must end below 2^64"));
        };
        if let Some((what, tensor)) = plan.touching(address..end) {
            let rule = format!("it overlaps the {what} of tensor {}", quoted(&plan.names[tensor]));
            return Err(Error::argument("state_memory.address", shown, rule));
        }
        Ok(Given { address, keep: contents == StateContents::Values })
    }
}

impl OptimizerBuilder {
    /// How large the state memory of this optimizer is, and where in it each state lies, before anything is allocated.
    ///
    /// Fails as [`OptimizerBuilder::build`] does for groups and tensors.
    pub fn state_layout(&self) -> Result<StateLayout> {
        let plan = self.plan(Purpose::Run)?;
        let mut pieces = Vec::new();
        for (row, name) in plan.tensors.iter().zip(&plan.names) {
            let (tensor, storages) = (Arc::<str>::from(name.as_str()), plan.storages(row));
            let states = plan.variants[row.variant as usize].streams().iter().map(|stream| stream.name.to_string());
            for (place, name) in (2..).zip(states) {
                let (form, lies) = (storages[place].form, row.streams[place]);
                let scales = form.has_second().then_some(lies.second);
                pieces.push(StatePiece {
                    tensor: tensor.clone(),
                    name,
                    form,
                    offset: lies.first,
                    scales,
                    len: row.len,
                });
            }
            if storages[0].form.has_second() && !row.master_given {
                let (form, offset) = (storages[0].form, row.streams[0].second);
                let name = "param".to_owned();
                pieces.push(StatePiece { tensor, name, form, offset, scales: None, len: row.len });
            }
        }
        Ok(StateLayout { bytes: plan.state_bytes, alignment: STATE_ALIGNMENT, pieces })
    }

    /// Gives the memory for all states, `bytes` of it at `address`, instead of memory that the optimizer allocates:
    /// [`OptimizerBuilder::state_layout`] says how much it takes and what lies where. The memory stays the engine's. A build then waits for
    /// all work of the context, which may have written it.
    ///
    /// # Safety
    ///
    /// As for `param` of [`Tensor::new`](crate::Tensor::new); with [`StateContents::Values`] every piece holds values when the first step runs.
    #[expect(unsafe_code, reason = "states a contract; holds no unsafe operation")]
    pub unsafe fn state_memory(mut self, address: u64, bytes: u64, contents: StateContents) -> Self {
        self.given_state = Some(GivenState { address, bytes, contents });
        self
    }
}
