//! The engine's own side: a network, its kernels and its memory, on cudarc. No schedule and no update.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::{error, fs};

use cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{Device, Optimizer, Result, Source, Stream, Tensor};

type BoxedResult<T> = std::result::Result<T, Box<dyn error::Error>>;

const IN: usize = 8;
const HIDDEN: usize = 32;
const BATCH: usize = 16;
const SAMPLES: usize = 512;

/// A parameter with the sum of its gradients.
struct Param {
    name: &'static str,
    value: CudaSlice<f32>,
    grad: CudaSlice<f32>,
}

pub struct Network {
    pub device: Device,
    /// Of the batch before.
    pub loss: CudaSlice<f32>,
    engine: Arc<CudaStream>,
    params: [Param; 4],
    forward: CudaFunction,
    backward: CudaFunction,
    x: CudaSlice<f32>,
    y: CudaSlice<f32>,
    hidden: CudaSlice<f32>,
    error: CudaSlice<f32>,
}

impl Network {
    pub fn new() -> Result<Network> {
        // Asked first: without a driver it gives an error, where cudarc would panic.
        Device::cuda(0)?;
        let context = CudaContext::new(0)?;
        // SAFETY: all work goes to one stream, which orders it.
        let device = unsafe { Device::from_cudarc_for_capture(&context) }?;
        let engine = context.new_stream()?;
        let text = include_str!("network.cu");
        let image = device.compile(&Source { name: "network.cu", text, headers: &[] })?;
        let module = context.load_module(Ptx::from_binary(image.to_vec()))?;
        let x = random(1, SAMPLES * IN, 1.0);
        let y: Vec<f32> = x.chunks(IN).map(|x| (x[0] * 2.0).sin() + x[1] * x[2] + 0.3 * x[3]).collect();
        let param = |name, values: Vec<f32>| -> Result<Param> {
            Ok(Param { name, grad: engine.alloc_zeros(values.len())?, value: engine.clone_htod(&values)? })
        };
        Ok(Network {
            params: [
                param("w1", random(2, IN * HIDDEN, 0.35))?,
                param("w2", random(3, HIDDEN, 0.18))?,
                param("b1", vec![0.0; HIDDEN])?,
                param("b2", vec![0.0])?,
            ],
            loss: engine.alloc_zeros(1)?,
            forward: device.load_function(&module, "forward")?,
            backward: device.load_function(&module, "backward")?,
            x: engine.clone_htod(&x)?,
            y: engine.clone_htod(&y)?,
            hidden: engine.alloc_zeros(BATCH * HIDDEN)?,
            error: engine.alloc_zeros(BATCH)?,
            engine,
            device,
        })
    }

    /// The stream that all work is on, as the optimizer takes it.
    pub fn stream(&self) -> Result<Stream> {
        self.device.stream(&self.engine)
    }

    /// Matrices, then vectors.
    pub fn tensors(&self) -> (Vec<Tensor>, Vec<Tensor>) {
        let tensors = self.params.each_ref().map(|param| {
            // SAFETY: the program keeps the network until the optimizer and its graph are dropped; all work is on one stream.
            unsafe { Tensor::from_cudarc(&param.value, &param.grad) }.name(param.name)
        });
        (tensors[..2].to_vec(), tensors[2..].to_vec())
    }

    /// Enqueues the passes of one batch, which the device picks by the count of the optimizer's calls.
    pub fn forward_and_backward(&mut self, optimizer: &Optimizer) -> Result<()> {
        let view = optimizer.device_view();
        let shape =
            |blocks| LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (HIDDEN as u32, 1, 1), shared_mem_bytes: 0 };
        let [w1, w2, b1, b2] = &mut self.params;
        let mut launch = self.engine.launch_builder(&self.forward);
        launch.arg(&self.x).arg(&self.y).arg(&w1.value).arg(&b1.value).arg(&w2.value).arg(&b2.value);
        launch.arg(&view.calls).arg(&mut self.hidden).arg(&mut self.error);
        // SAFETY: these are the kernel's parameters, each as long as it reads or writes.
        unsafe { launch.launch(shape(BATCH as u32)) }?;
        let mut launch = self.engine.launch_builder(&self.backward);
        launch.arg(&self.x).arg(&w2.value).arg(&view.calls).arg(&view.loss_scale).arg(&self.hidden).arg(&self.error);
        launch.arg(&mut w1.grad).arg(&mut b1.grad).arg(&mut w2.grad).arg(&mut b2.grad).arg(&mut self.loss);
        // SAFETY: as above.
        unsafe { launch.launch(shape(IN as u32 + 1)) }?;
        Ok(())
    }

    /// Writes the optimizer's state and the parameters.
    pub fn save(&self, folder: &Path, optimizer: &Optimizer) -> BoxedResult<()> {
        fs::write(folder.join("state"), optimizer.state(&self.stream()?)?)?;
        Ok(fs::write(folder.join("weights"), self.weights()?)?)
    }

    /// Puts back what [`Network::save`] wrote.
    pub fn load(&mut self, folder: &Path, optimizer: &mut Optimizer) -> BoxedResult<()> {
        let weights = fs::read(folder.join("weights"))?;
        let mut rest = &weights[..];
        for param in &mut self.params {
            let own = rest.split_off(..4 * param.value.len()).ok_or("the file of weights is short")?;
            let values: Vec<f32> = own.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect();
            self.engine.memcpy_htod(&values, &mut param.value)?;
        }
        Ok(optimizer.load_state(&fs::read(folder.join("state"))?, &self.stream()?)?)
    }

    /// Where the training is, with a number that is another one if any bit of the parameters is.
    pub fn report(&self, optimizer: &Optimizer) -> Result<String> {
        let (status, loss) = (optimizer.status(&self.stream()?)?, self.engine.clone_dtoh(&self.loss)?[0]);
        let mut hasher = DefaultHasher::new();
        self.weights()?.hash(&mut hasher);
        let (updates, skipped, scale, stop) = (status.t, status.skipped, status.loss_scale, status.stop);
        let weights = hasher.finish();
        Ok(format!("updates={updates} skipped={skipped} scale={scale} stop={stop} loss={loss} weights={weights:016x}"))
    }

    /// The parameters, one after the other.
    fn weights(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for param in &self.params {
            bytes.extend(self.engine.clone_dtoh(&param.value)?.into_iter().flat_map(f32::to_le_bytes));
        }
        Ok(bytes)
    }
}

/// Numbers from -scale to scale.
fn random(seed: u64, len: usize, scale: f32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 * 2.0 - 1.0
    };
    (0..len).map(|_| next() * scale).collect()
}
