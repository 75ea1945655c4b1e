//! One optimizer on the device and the same on the host, whose tensors are stored in any forms.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Device, Dtype, Form, Optimizer, OptimizerBuilder, Precision, Stream, Tensor};

use super::memory::{Memory, assert_same_elements};
use crate::bits::host_bytes;
use crate::rig::{Array, Rig};
use crate::values::Random;

/// Types of parameters and gradients, and what is asked for the rest.
#[derive(Clone)]
pub struct Kind {
    pub param: Dtype,
    pub grad: Dtype,
    pub precision: Precision,
    /// The engine gives the masters.
    pub masters: bool,
    /// States are f16.
    pub f16_states: bool,
}

impl Kind {
    pub fn new(param: Dtype, grad: Dtype, precision: Precision) -> Kind {
        Kind { param, grad, precision: precision.quantize_from(0), masters: false, f16_states: false }
    }

    pub fn of_f16_states(param: Dtype, grad: Dtype, precision: Precision) -> Kind {
        Kind { f16_states: true, ..Kind::new(param, grad, precision) }
    }
}

/// How a rule is added to a builder.
pub type Add = fn(OptimizerBuilder, Precision, &[Tensor]) -> OptimizerBuilder;

/// A length, and by how many elements past a 16-byte boundary its parameter and its gradient begin.
pub type Shape = (usize, (usize, usize));

pub type Group<A = Add> = (A, Kind, Vec<Shape>);

type Draw = fn(&mut Random, usize) -> Vec<f32>;

pub struct Sides<'r> {
    rig: &'r Rig,
    pub device: Optimizer,
    pub host: Optimizer,
    pub params: Memory,
    pub grads: Memory,
    masters: Memory,
    draw: Draw,
    random: Random,
    found: Array,
    host_found: Box<f32>,
}

impl<'r> Sides<'r> {
    /// `options` gets the builder and the address of a flag that a test may hand in as `found_inf`.
    pub fn new<A: Fn(OptimizerBuilder, Precision, &[Tensor]) -> OptimizerBuilder>(
        rig: &'r Rig,
        draw: Draw,
        groups: &[Group<A>],
        options: impl Fn(OptimizerBuilder, u64) -> OptimizerBuilder,
    ) -> Sides<'r> {
        let mut random = Random(11);
        let shapes = || groups.iter().flat_map(|(_, kind, shapes)| shapes.iter().map(move |shape| (kind, *shape)));
        let params = shapes().map(|(kind, (len, (skew, _)))| (len, kind.param, skew));
        let mut params = Memory::new(rig, params, |len| draw(&mut random, len));
        let grads = shapes().map(|(kind, (len, (_, skew)))| (len, kind.grad, skew));
        let mut grads = Memory::new(rig, grads, |len| draw(&mut random, len));
        let masters = shapes().map(|(_, (len, (skew, _)))| (len, Dtype::F32, skew));
        let mut masters = Memory::new(rig, masters, |len| draw(&mut random, len));
        let (found, mut host_found) = (rig.array(&[0.0], 0), Box::new(0.0f32));
        let on_host =
            [params.host_address(), grads.host_address(), masters.host_address(), &raw mut *host_found as u64];
        let on_device = [params.device.address(), grads.device.address(), masters.device.address(), found.address()];
        let build = |device: &Device, [param, grad, master, found]: [u64; 4]| {
            let places = params.places.iter().zip(&grads.places).zip(&masters.places).zip(shapes());
            let mut tensors = places.map(|(((p, g), m), (kind, _))| {
                // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
                let tensor = unsafe { Tensor::new(p.buffer(param), g.buffer(grad)) };
                match kind.masters {
                    // SAFETY: as above.
                    true => unsafe { tensor.master(m.buffer(master).address) },
                    false => tensor,
                }
            });
            let builder = options(Optimizer::builder(device).seed(0x5eed_0fa1), found);
            let all = groups.iter().fold(builder, |builder, (add, kind, shapes)| {
                let tensors = tensors.by_ref().take(shapes.len()).collect::<Vec<_>>();
                add(builder, kind.precision.clone(), &tensors)
            });
            all.build().unwrap()
        };
        let (device, host) = (build(&rig.device, on_device), build(&Device::host(), on_host));
        Sides { rig, device, host, params, grads, masters, draw, random, found, host_found }
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

    pub fn step(&mut self) {
        self.device.step(&self.rig.stream).unwrap();
        self.host.step(&Stream::host()).unwrap();
    }

    /// Shows parameters for evaluation, or those for training.
    pub fn show(&mut self, eval: bool) {
        let show = if eval { Optimizer::eval } else { Optimizer::train };
        show(&mut self.device, &self.rig.stream).unwrap();
        show(&mut self.host, &Stream::host()).unwrap();
    }

    /// New parameters, of which the optimizers are told.
    pub fn load_params(&mut self) {
        self.params.write(self.rig, |len| (self.draw)(&mut self.random, len));
        self.device.parameters_changed(&self.rig.stream).unwrap();
        self.host.parameters_changed(&Stream::host()).unwrap();
    }

    /// Takes the parameters and gradients of another run.
    pub fn take_memory(&mut self, other: &Sides<'_>) {
        self.params.copy(self.rig, &other.params);
        self.grads.copy(self.rig, &other.grads);
    }

    /// New gradients. `bad` takes the place of the last element of all.
    pub fn renew(&mut self, bad: Option<f32>) {
        let last = self.grads.places.iter().rposition(|place| place.len > 0);
        let mut tensor = 0;
        self.grads.write(self.rig, |len| {
            let mut values = (self.draw)(&mut self.random, len);
            if let (Some(bad), true) = (bad, last == Some(tensor)) {
                values[len - 1] = bad;
            }
            tensor += 1;
            values
        });
    }

    /// What is handed in as `found_inf`.
    pub fn set_found(&mut self, flag: f32) {
        self.found.write(self.rig, &[flag]);
        *self.host_found = flag;
    }

    /// Parameters, gradients, masters, states and status are equal bit for bit.
    #[track_caller]
    pub fn assert_equal(&self, what: &str) {
        self.rig.finish();
        self.params.assert_equal(self.rig, &format!("{what}, param"));
        self.grads.assert_equal(self.rig, &format!("{what}, grad"));
        self.masters.assert_equal(self.rig, &format!("{what}, given master"));
        for (i, (device, host)) in self.device.tensors().zip(self.host.tensors()).enumerate() {
            let same = |dtype, bytes: usize, device: u64, host: u64, what: &str| {
                let (device, what) = (self.rig.read_bytes(device, bytes), format!("{what} of tensor {i}"));
                assert_same_elements(dtype, &device, &host_bytes(host, bytes), &what);
            };
            let len = host.len as usize;
            if let (Some(device), Some(host)) = (device.beside_param, host.beside_param) {
                match self.host.tensors().nth(i).unwrap().param_form {
                    Form::Master(_) => same(Some(Dtype::F32), 4 * len, device, host, &format!("{what}, master")),
                    _ => same(None, 2 * len, device, host, &format!("{what}, remainder")),
                }
            }
            for (device, host) in device.states.iter().zip(&host.states) {
                let what = format!("{what}, {} ({})", host.name, host.form);
                let (dtype, bytes) = match host.form {
                    Form::F32 => (Some(Dtype::F32), 4 * len),
                    Form::EightBit => (None, len),
                    _ => (None, 2 * len),
                };
                same(dtype, bytes, device.address, host.address, &what);
                if let (Some(device), Some(host)) = (device.scales, host.scales) {
                    same(Some(Dtype::F32), 4 * len.div_ceil(256), device, host, &format!("{what}, scales"));
                }
            }
        }
        let (device, host) =
            (self.device.status(&self.rig.stream).unwrap(), self.host.status(&Stream::host()).unwrap());
        let same_norm = device.norm.to_bits() == host.norm.to_bits() || (device.norm.is_nan() && host.norm.is_nan());
        assert!(same_norm, "{what}: norm {:e}, on the host {:e}", device.norm, host.norm);
        assert_eq!(format!("{device:?}"), format!("{host:?}"), "{what}");
    }
}
