//! The peers' optimizers through kernels: the cases of `tests/golden_optimizers.rs`, judged alike.

use cudarc::driver::{CudaSlice, DevicePtr};
use instep::{Device, Stream};

use super::optimizers::judge::{OWN, TORCH_FOR_LOOP};
use super::optimizers::run::Place;
use super::optimizers::{cases, check, mixed};
use crate::rig::Rig;

impl Place for Rig {
    type Memory = CudaSlice<u8>;

    fn device(&self) -> &Device {
        &self.device
    }

    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn memory(&self, bytes: &[u8]) -> CudaSlice<u8> {
        let padded = [bytes, &[0xff; 4]].concat(); // never empty, and something to overrun
        let memory = self.engine.clone_htod(&padded).unwrap();
        self.finish(); // building reads parameters of 16 bits
        memory
    }

    fn address(&self, memory: &CudaSlice<u8>) -> u64 {
        memory.device_ptr(memory.stream()).0
    }

    fn write(&self, address: u64, bytes: &[u8]) {
        self.finish();
        self.context.bind_to_thread().unwrap();
        // SAFETY: callers give the address of as many bytes of living memory.
        unsafe { cudarc::driver::result::memcpy_htod_sync(address, bytes) }.unwrap();
    }

    fn read(&self, address: u64, len: usize) -> Vec<u8> {
        self.finish();
        self.context.bind_to_thread().unwrap();
        let mut bytes = vec![0; len];
        // SAFETY: as above.
        unsafe { cudarc::driver::result::memcpy_dtoh_sync(&mut bytes, address) }.unwrap();
        bytes
    }
}

#[test]
fn golden_optimizers_are_reproduced_or_refused() {
    let Some(rig) = Rig::new() else { return };
    check(cases(), &rig, &OWN).print("golden optimizers on the device", 144);
    check(cases(), &rig, &TORCH_FOR_LOOP).print("golden optimizers on the device in torch's order", 86);
    rig.finish();
}

#[test]
fn golden_mixed_cases_are_reproduced() {
    let Some(rig) = Rig::new() else { return };
    mixed::check_all("golden mixed on the device", &rig);
    rig.finish();
}
