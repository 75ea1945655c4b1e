//! One optimizer on the device and the same on the host, over tensors that come and go, each with two gradients to choose from.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use instep::{Device, Form, Optimizer, OptimizerBuilder, Stream, Tensor, TensorId};

use crate::bits::host_values;
use crate::rig::{Array, Rig};
use crate::values::{Random, differing};

/// f32 values on both sides.
pub struct Twin {
    pub device: Array,
    pub host: Box<[f32]>,
}

impl Twin {
    pub fn new(rig: &Rig, values: Vec<f32>, skew: usize) -> Twin {
        Twin { device: rig.array(&values, skew), host: values.into() }
    }

    pub fn set(&mut self, rig: &Rig, values: &[f32]) {
        self.host.copy_from_slice(values);
        self.device.write(rig, values);
    }

    /// The addresses on the device and on the host.
    pub fn addresses(&self) -> [u64; 2] {
        [self.device.address(), self.host.as_ptr() as u64]
    }
}

/// A tensor that an optimizer may have.
pub struct Place {
    pub name: String,
    pub group: usize,
    pub param: Twin,
    pub grads: [Twin; 2],
    /// Which gradient it has, if it has one.
    pub grad: Option<usize>,
    pub frozen: bool,
    /// Of the device's optimizer and the host's, while they have it.
    pub ids: Option<[TensorId; 2]>,
}

impl Place {
    fn len(&self) -> usize {
        self.param.host.len()
    }

    /// The tensor on one side, without a gradient where it has none.
    fn tensor(&mut self, side: usize) -> Tensor {
        let param = [self.param.device.address(), self.param.host.as_mut_ptr() as u64][side];
        let grad = self.grad.map_or(0, |grad| self.grads[grad].addresses()[side]);
        // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
        unsafe { Tensor::f32(param, grad, self.len() as u64) }.name(self.name.clone())
    }
}

pub struct World<'r> {
    pub rig: &'r Rig,
    pub device: Optimizer,
    pub host: Optimizer,
    pub places: Vec<Place>,
    pub random: Random,
}

impl<'r> World<'r> {
    /// `shapes`: the group, the length and the skew of each place; the first `there` of them are registered.
    pub fn new(
        rig: &'r Rig,
        seed: u64,
        shapes: &[(usize, usize, usize)],
        there: usize,
        build: impl Fn(OptimizerBuilder, usize, &dyn Fn(usize) -> Vec<Tensor>) -> OptimizerBuilder,
    ) -> World<'r> {
        let mut random = Random(seed);
        let place = |(i, (group, len, skew)): (usize, &(usize, usize, usize))| Place {
            name: format!("tensor {i}"),
            group: *group,
            param: Twin::new(rig, random.units(*len), *skew),
            grads: [0, 1].map(|k| Twin::new(rig, random.units(*len), (skew + k) % 4)),
            grad: Some(0),
            frozen: false,
            ids: None,
        };
        let mut places: Vec<Place> = shapes.iter().enumerate().map(place).collect();
        let mut built = [0, 1].map(|side| {
            let device = [rig.device.clone(), Device::host()][side].clone();
            let tensors: Vec<(usize, Tensor)> =
                places[..there].iter_mut().map(|place| (place.group, place.tensor(side))).collect();
            let of = |group: usize| -> Vec<Tensor> {
                tensors.iter().filter(|(known, _)| *known == group).map(|(_, tensor)| tensor.clone()).collect()
            };
            Some(build(Optimizer::builder(&device), side, &of).build().unwrap())
        });
        let [device, host] = built.each_mut().map(|built| built.take().unwrap());
        for place in &mut places[..there] {
            place.ids = Some([&device, &host].map(|opt| opt.tensor(&place.name).unwrap()));
        }
        World { rig, device, host, places, random }
    }

    /// Does the same on both sides; what they say must be the same too.
    pub fn both<T: std::fmt::Debug>(
        &mut self,
        mut call: impl FnMut(&mut Optimizer, usize, &Stream) -> instep::Result<T>,
    ) -> Option<[T; 2]> {
        let device = call(&mut self.device, 0, &self.rig.stream);
        let host = call(&mut self.host, 1, &Stream::host());
        match (device, host) {
            (Ok(device), Ok(host)) => Some([device, host]),
            (Err(device), Err(host)) => {
                assert_eq!(device.to_string(), host.to_string());
                None
            }
            (device, host) => panic!("on the device {device:?}, on the host {host:?}"),
        }
    }

    /// Places that the optimizers have.
    pub fn there(&self) -> Vec<usize> {
        (0..self.places.len()).filter(|place| self.places[*place].ids.is_some()).collect()
    }

    /// All places as tensors, of both sides.
    pub fn tensors(&mut self) -> [Vec<Tensor>; 2] {
        [0, 1].map(|side| self.places.iter_mut().map(|place| place.tensor(side)).collect())
    }

    /// Gives places the gradients that their `grad` says.
    pub fn rebind(&mut self, places: &[usize]) {
        let grads: Vec<[(TensorId, Option<u64>); 2]> = places
            .iter()
            .map(|place| {
                let place = &self.places[*place];
                let ids = place.ids.expect("it is there");
                [0, 1].map(|side| (ids[side], place.grad.map(|grad| place.grads[grad].addresses()[side])))
            })
            .collect();
        self.both(|opt, side, stream| {
            let grads: Vec<(TensorId, Option<u64>)> = grads.iter().map(|sides| sides[side]).collect();
            // SAFETY: the memory outlives the optimizers, and everything is ordered on one stream.
            unsafe { opt.rebind(&grads, stream) }
        });
    }

    pub fn freeze(&mut self, places: &[usize], frozen: bool) {
        let ids: Vec<[TensorId; 2]> = places.iter().map(|place| self.places[*place].ids.unwrap()).collect();
        self.both(|opt, side, stream| {
            let ids: Vec<TensorId> = ids.iter().map(|ids| ids[side]).collect();
            if frozen { opt.freeze(&ids, stream) } else { opt.thaw(&ids, stream) }
        });
        places.iter().for_each(|place| self.places[*place].frozen = frozen);
    }

    /// Adds a place; whether there was room.
    pub fn add(&mut self, place: usize, adapt: impl Fn(Tensor) -> Tensor) -> bool {
        self.places[place].frozen = false;
        let tensors = [0, 1].map(|side| adapt(self.places[place].tensor(side)));
        let group = self.places[place].group;
        let added = self.both(|opt, side, stream| opt.add(group, &tensors[side..=side], stream));
        self.places[place].ids = added.as_ref().map(|[device, host]| [device[0], host[0]]);
        added.is_some()
    }

    pub fn remove(&mut self, place: usize) {
        let ids = self.places[place].ids.take().unwrap();
        self.both(|opt, side, stream| opt.remove(&ids[side..=side], stream));
    }

    pub fn step(&mut self) {
        self.both(|opt, _, stream| opt.step(stream));
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

    /// How many elements of parameters, gradients and states differ; statuses must not.
    pub fn differing_bits(&self, what: &str) -> usize {
        self.rig.finish();
        let mut count = 0;
        let mut compare = |device: &[f32], host: &[f32], of: &str| {
            let (differ, first) = differing(device, host);
            if let Some(first) = first {
                println!("{what}, {of}: {differ} differ, first {first}: {:e} and {:e}", device[first], host[first]);
            }
            count += differ;
        };
        for place in &self.places {
            compare(&place.param.device.read(self.rig), &place.param.host, &format!("param of {}", place.name));
        }
        for (device, host) in self.device.tensors().zip(self.host.tensors()) {
            assert_eq!(device.name, host.name, "{what}");
            let wide = device.states.iter().zip(&host.states).filter(|(state, _)| state.form == Form::F32);
            for (state, host_state) in wide {
                let len = host.len as usize;
                let values = self.rig.read(state.address, len);
                compare(&values, host_values(host_state.address, len), &format!("{} of {}", state.name, host.name));
            }
        }
        // All of it, in whatever form it is stored.
        let states = [self.device.state(&self.rig.stream).unwrap(), self.host.state(&Stream::host()).unwrap()];
        assert!(states[0] == states[1], "{what}: states differ");
        let device = self.device.status(&self.rig.stream).unwrap();
        let host = self.host.status(&Stream::host()).unwrap();
        assert_eq!(format!("{device:?}"), format!("{host:?}"), "{what}");
        count
    }
}
