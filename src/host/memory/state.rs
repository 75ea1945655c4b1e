//! The state memory of an optimizer on the CPU.

use bytemuck::{Pod, Zeroable};

use super::{Elements, view, view_mut};

/// Aligned memory for optimizer state.
#[repr(C, align(128))]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
pub(in crate::host) struct Window([u8; 128]);

/// The state memory of an optimizer: its own, or the engine's.
pub(in crate::host) struct StateMemory {
    pub address: u64,
    pub bytes: usize,
    pub _own: Vec<Window>,
}

impl StateMemory {
    pub fn bytes(&self) -> &[u8] {
        if self.bytes == 0 {
            return &[];
        }
        // SAFETY: so many bytes are there, of this optimizer's own or vouched for by the builder's caller, and nothing writes them now.
        unsafe { view(self.address, Elements { begin: 0, len: self.bytes }) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if self.bytes == 0 {
            return &mut [];
        }
        // SAFETY: as above, and nothing else uses them now.
        unsafe { view_mut(self.address, Elements { begin: 0, len: self.bytes }) }
    }
}
