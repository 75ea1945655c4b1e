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
    type Memory = Box<[f32]>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn memory(&self, values: &[f32]) -> Box<[f32]> {
        values.into()
    }

    fn address(&self, memory: &Box<[f32]>) -> u64 {
        memory.as_ptr() as u64
    }

    fn write(&self, memory: &mut Box<[f32]>, values: &[f32]) {
        memory.copy_from_slice(values);
    }

    fn read(&self, memory: &Box<[f32]>) -> Vec<f32> {
        memory.to_vec()
    }

    fn read_state(&self, address: u64, len: usize) -> Vec<f32> {
        // SAFETY: the address and length of a state of an optimizer that lives, and no step runs.
        unsafe { std::slice::from_raw_parts(address as *const f32, len) }.to_vec()
    }
}
