//! The peers' optimizers through kernels: the cases of `tests/golden_optimizers.rs`, judged alike.

use instep::{Device, Stream};

use super::optimizers::judge::{OWN, TORCH_FOR_LOOP};
use super::optimizers::run::Place;
use super::optimizers::{cases, check};
use crate::rig::{Array, Rig};

impl Place for Rig {
    type Memory = Array;

    fn device(&self) -> &Device {
        &self.device
    }

    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn memory(&self, values: &[f32]) -> Array {
        self.array(values, 0)
    }

    fn address(&self, memory: &Array) -> u64 {
        memory.address()
    }

    fn write(&self, memory: &mut Array, values: &[f32]) {
        memory.write(self, values);
    }

    fn read(&self, memory: &Array) -> Vec<f32> {
        memory.read(self)
    }

    fn read_state(&self, address: u64, len: usize) -> Vec<f32> {
        Rig::read(self, address, len)
    }
}

#[test]
fn golden_optimizers_are_reproduced_or_refused() {
    let Some(rig) = Rig::new() else { return };
    check(cases(), &rig, &OWN).print("golden optimizers on the device", 30);
    check(cases(), &rig, &TORCH_FOR_LOOP).print("golden optimizers on the device in torch's order", 29);
    rig.finish();
}
