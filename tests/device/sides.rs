//! One optimizer on the device and the same on the host, over tensors of any lengths at any addresses, which lie in one
//! allocation with gaps between them: what is written past a tensor shows. `twins` has those that are edited.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Device, Optimizer, OptimizerBuilder, Stream, Tensor};

use crate::bits::host_values;
use crate::rig::{Array, Rig};
use crate::values::{Random, assert_same_bits};

/// A length, and by how many elements past a 16-byte boundary its parameter and its gradient begin.
pub type Shape = (usize, (usize, usize));

/// How a group is added to a builder, and its tensors.
pub type Group<'a> = (&'a dyn Fn(OptimizerBuilder, &[Tensor]) -> OptimizerBuilder, Vec<Shape>);

/// How values are drawn: [`Random::wild`], [`Random::units`].
type Draw = fn(&mut Random, usize) -> Vec<f32>;

/// Elements between two tensors at least, and what stands there.
const GAP: usize = 5;
const NOTHING: f32 = 7.5e33;

/// The same memory on both sides.
struct Memory {
    device: Array,
    host: Box<[f32]>,
    /// First element and length of each tensor.
    tensors: Vec<(usize, usize)>,
}

impl Memory {
    fn new(
        rig: &Rig,
        shapes: impl Iterator<Item = (usize, usize)>,
        mut values: impl FnMut(usize) -> Vec<f32>,
    ) -> Memory {
        let (mut all, mut tensors) = (Vec::new(), Vec::new());
        for (len, skew) in shapes {
            all.resize((all.len() + GAP).next_multiple_of(4) + skew, NOTHING);
            tensors.push((all.len(), len));
            all.extend(values(len));
        }
        all.resize(all.len() + GAP, NOTHING);
        Memory { device: rig.array(&all, 0), host: all.into(), tensors }
    }

    /// Compares all tensors, each with the gap behind it.
    fn assert_equal(&self, rig: &Rig, what: &str) {
        let device = self.device.read(rig);
        for (i, (first, len)) in self.tensors.iter().enumerate() {
            let range = *first..self.tensors.get(i + 1).map_or(device.len(), |next| next.0);
            assert_same_bits(
                &device[range.clone()],
                &self.host[range],
                &format!("{what}, tensor {i} of {len} elements"),
            );
        }
    }
}

pub struct Sides<'r> {
    rig: &'r Rig,
    pub device: Optimizer,
    pub host: Optimizer,
    params: Memory,
    grads: Memory,
    draw: Draw,
    random: Random,
    found: Array,
    host_found: Box<f32>,
}

impl<'r> Sides<'r> {
    /// `options` gets the builder and the address of a flag that a test may hand in as `found_inf`.
    pub fn new(
        rig: &'r Rig,
        draw: Draw,
        groups: &[Group<'_>],
        options: impl Fn(OptimizerBuilder, u64) -> OptimizerBuilder,
    ) -> Sides<'r> {
        let mut random = Random(7);
        let shapes = || groups.iter().flat_map(|(_, shapes)| shapes.iter().copied());
        let params = shapes().map(|(len, (skew, _))| (len, skew));
        let mut params = Memory::new(rig, params, |len| draw(&mut random, len));
        let grads = shapes().map(|(len, (_, skew))| (len, skew));
        let mut grads = Memory::new(rig, grads, |len| draw(&mut random, len));
        let (found, mut host_found) = (rig.array(&[0.0], 0), Box::new(0.0f32));
        let on_host = [params.host.as_mut_ptr() as u64, grads.host.as_mut_ptr() as u64, &raw mut *host_found as u64];
        let on_device = [params.device.address(), grads.device.address(), found.address()];
        let build = |device: &Device, [param, grad, found]: [u64; 3]| {
            let places = params.tensors.iter().zip(&grads.tensors);
            let mut tensors = places.map(|((p, len), (g, _))| {
                // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
                unsafe { Tensor::f32(param + 4 * *p as u64, grad + 4 * *g as u64, *len as u64) }
            });
            let builder = options(Optimizer::builder(device), found);
            let all = groups.iter().fold(builder, |builder, (add, shapes)| {
                add(builder, &tensors.by_ref().take(shapes.len()).collect::<Vec<_>>())
            });
            all.build().unwrap()
        };
        let (device, host) = (build(&rig.device, on_device), build(&Device::host(), on_host));
        Sides { rig, device, host, params, grads, draw, random, found, host_found }
    }

    /// Captures one step of the device's optimizer.
    pub fn capture(&mut self) -> CudaGraph {
        self.rig.finish();
        self.rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
        self.device.step(&self.rig.stream).unwrap();
        self.rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap()
    }

    /// A replay of a captured step, and the same on the host.
    pub fn replay(&mut self, step: &CudaGraph) {
        step.launch().unwrap();
        self.host.step(&Stream::host()).unwrap();
    }

    /// All parameters, as they lie in memory.
    pub fn params(&self) -> Vec<f32> {
        self.params.host.to_vec()
    }

    /// The parameters of each tensor, on the host.
    pub fn parameters(&self) -> Vec<Vec<f32>> {
        let of = |(first, len): &(usize, usize)| self.params.host[*first..first + len].to_vec();
        self.params.tensors.iter().map(of).collect()
    }

    /// Overwrites all parameters.
    pub fn set_params(&mut self, params: &[f32]) {
        self.params.host.copy_from_slice(params);
        self.params.device.write(self.rig, params);
    }

    pub fn step(&mut self) {
        self.device.step(&self.rig.stream).unwrap();
        self.host.step(&Stream::host()).unwrap();
    }

    /// New gradients. `bad` takes the place of some element near the end, on the tail of a vector.
    pub fn renew(&mut self, bad: Option<f32>) {
        for (first, len) in &self.grads.tensors {
            self.grads.host[*first..first + len].copy_from_slice(&(self.draw)(&mut self.random, *len));
        }
        if let (Some(bad), Some((first, len))) = (bad, self.grads.tensors.iter().rev().find(|(_, len)| *len > 0)) {
            self.grads.host[first + len - 1] = bad;
        }
        self.grads.device.write(self.rig, &self.grads.host);
    }

    /// What is handed in as `found_inf`.
    pub fn set_found(&mut self, flag: f32) {
        self.found.write(self.rig, &[flag]);
        *self.host_found = flag;
    }

    /// The gradients of all tensors.
    pub fn gradients(&self) -> impl Iterator<Item = f32> {
        self.grads.tensors.iter().flat_map(|(first, len)| &self.grads.host[*first..first + len]).copied()
    }

    /// Parameters, gradients, states and status are equal bit for bit.
    pub fn assert_equal(&self, what: &str) {
        self.rig.finish();
        self.params.assert_equal(self.rig, &format!("{what}, param"));
        self.grads.assert_equal(self.rig, &format!("{what}, grad"));
        for (i, (device, host)) in self.device.tensors().zip(self.host.tensors()).enumerate() {
            for (device_state, host_state) in device.states.iter().zip(&host.states) {
                let (len, what) = (host.len as usize, format!("{what}, {} of tensor {i}", host_state.name));
                let [device, host] = [device_state.address, host_state.address];
                assert_same_bits(&self.rig.read(device, len), host_values(host, len), &what);
            }
        }
        let (device, host) =
            (self.device.status(&self.rig.stream).unwrap(), self.host.status(&Stream::host()).unwrap());
        let same_norm = device.norm.to_bits() == host.norm.to_bits() || (device.norm.is_nan() && host.norm.is_nan());
        assert!(same_norm, "{what}: norm {:e}, on the host {:e}", device.norm, host.norm);
        assert_eq!(format!("{device:?}"), format!("{host:?}"), "{what}");
    }
}
