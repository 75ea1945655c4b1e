//! A parameter as it lies in memory.

use super::{Elements, view};
use crate::plan::Plan;

/// The bytes of the parameter of tensor `tensor`, which has 16 bits an element.
///
/// Sound for the reasons that [`update`](super::update) gives; it is only read.
pub(in crate::host) fn param_bytes(plan: &Plan, tensor: usize) -> Vec<u8> {
    let row = &plan.tensors[tensor];
    // SAFETY: the caller vouches for the tensor, and nothing writes it meanwhile.
    let param: &[u16] = unsafe { view(row.param(), Elements { begin: 0, len: row.len as usize }) };
    bytemuck::cast_slice(param).to_vec()
}
