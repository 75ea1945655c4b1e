//! The CPU backend as a place for golden cases.

use instep::{Device, Stream};

use super::optimizers::run::Place;

pub struct Host {
    device: Device,
    stream: Stream,
}

impl Default for Host {
    fn default() -> Host {
        Host { device: Device::host(), stream: Stream::host() }
    }
}

impl Place for Host {
    type Memory = Box<[u32]>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn memory(&self, bytes: &[u8]) -> Box<[u32]> {
        bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect()
    }

    fn address(&self, memory: &Box<[u32]>) -> u64 {
        memory.as_ptr() as u64
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        // SAFETY: callers give the address of as many bytes of living memory, and no step runs.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    }

    fn read(&self, address: u64, len: usize) -> Vec<u8> {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(address as *const u8, len) }.to_vec()
    }
}
