//! The CUDA form, as a training engine would do it: its own context, stream and buffers through cudarc, its kernels in
//! `digits.cu`. One whole step, the optimizer's included, is captured into a graph once; a step is then one replay, and
//! nothing waits until a report. Event tracking is off: it would query events inside the capture.

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaGraph, CudaModule, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig,
    PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use instep::{Device, Optimizer, Source};

use crate::Result;
use crate::data::Digits;
use crate::network::{self, BATCH, DIGITS, HIDDEN, PARAMS};
use crate::recipe::{self, WEIGHTS};
use crate::training::{Report, Training};

/// What every kernel is given, by value. Layout twin: `digits.cu`, `Buffers`, where the lengths stand.
#[repr(C)]
#[derive(Clone, Copy)]
struct Buffers {
    images: u64,
    labels: u64,
    param: u64,
    grad: u64,
    batch: u64,
    hidden: u64,
    hidden_grad: u64,
    logit_grad: u64,
    image_loss: u64,
    predicted: u64,
    loss: u64,
    lr: u64,
    total_steps: u64,
    t: u64,
    scalars: [u64; 2],
}

const _: () = assert!(size_of::<Buffers>() == 16 * 8, "digits.cu: Buffers");

// SAFETY: plain integers in C layout, equal to the kernels' parameter, as both sides assert.
unsafe impl DeviceRepr for Buffers {}

pub struct CudaTraining {
    // In this order on purpose: each is dropped before what it uses.
    graph: CudaGraph,
    /// Keeps the module of all kernels, the graph's too.
    classify: CudaFunction,
    _optimizer: Optimizer,
    memory: Memory,
    buffers: Buffers,
    stream: Arc<CudaStream>,
    digits: Digits,
    steps: usize,
}

/// The buffers' owners. Freed on the training's stream, hence after all work enqueued there.
struct Memory {
    predicted: CudaSlice<u32>,
    loss: CudaSlice<f32>,
    lr: CudaSlice<f32>,
    _indices: [CudaSlice<u32>; 2],
    _values: [CudaSlice<f32>; 7],
}

impl CudaTraining {
    /// Compiles, allocates, captures: all that the training needs but the replays.
    pub fn new(digits: Digits, total_steps: u64) -> Result<Self> {
        let device = Device::cuda(0)?;
        let context = CudaContext::new(0)?;
        // SAFETY: all work goes to one stream, which orders it.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream()?;
        let module = load(&context, &device, &digits)?;
        let (memory, mut buffers) = allocate(&stream, &digits, total_steps)?;
        // SAFETY: the buffers hold PARAMS values and outlive the optimizer in `Self`; only this stream touches them.
        let mut optimizer = unsafe { recipe::optimizer(&device, buffers.param, buffers.grad, total_steps) }?;
        let view = optimizer.device_view();
        (buffers.t, buffers.scalars) = (view.t, view.scalars(WEIGHTS).ok_or("no such group")?);

        let [backpropagate, reduce_gradients, record, classify] =
            ["backpropagate", "reduce_gradients", "record", "classify"].map(|name| function(&module, name));
        let (backpropagate, reduce_gradients, record) = (backpropagate?, reduce_gradients?, record?);
        let borrowed = device.stream(&stream)?;
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
        launch(&stream, &backpropagate, BATCH as u32, &buffers)?;
        launch(&stream, &reduce_gradients, PARAMS.div_ceil(HIDDEN) as u32, &buffers)?;
        launch(&stream, &record, 1, &buffers)?;
        optimizer.step(&borrowed)?;
        let graph = stream.end_capture(CUgraphInstantiate_flags(0))?.ok_or("the captured graph is empty")?;

        Ok(Self { graph, classify: classify?, _optimizer: optimizer, memory, buffers, stream, digits, steps: 0 })
    }
}

impl Training for CudaTraining {
    fn advance(&mut self, steps: u64) -> Result<()> {
        for _ in 0..steps {
            self.graph.launch()?;
        }
        self.steps += steps as usize;
        Ok(())
    }

    fn report(&mut self) -> Result<Report> {
        launch(&self.stream, &self.classify, self.digits.held_out() as u32, &self.buffers)?;
        let predicted = self.stream.clone_dtoh(&self.memory.predicted)?;
        let loss = self.stream.clone_dtoh(&self.memory.loss.slice(..self.steps))?;
        let lr = self.stream.clone_dtoh(&self.memory.lr.slice(..self.steps))?;
        self.stream.synchronize()?;
        Ok(Report { correct: self.digits.correct(&predicted), loss, lr })
    }
}

/// The compiled kernels of `digits.cu`, in `context`.
fn load(context: &Arc<CudaContext>, device: &Device, digits: &Digits) -> Result<Arc<CudaModule>> {
    let header = network::header(digits);
    let text = include_str!("digits.cu");
    let image = device.compile(&Source { name: "digits.cu", text, headers: &[("network.h", &header)] })?;
    Ok(context.load_module(Ptx::from_binary(image.to_vec()))?)
}

/// A kernel, loaded now: the driver loads lazily, and may not do so inside a capture.
fn function(module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    let function = module.load_function(name)?;
    function.num_regs()?;
    Ok(function)
}

fn allocate(stream: &Arc<CudaStream>, digits: &Digits, total_steps: u64) -> Result<(Memory, Buffers)> {
    let images = stream.clone_htod(&digits.images)?;
    let labels = stream.clone_htod(&digits.labels)?;
    let param = stream.clone_htod(&network::initial_params())?;
    let grad = stream.alloc_zeros(PARAMS)?;
    let batch = stream.alloc_zeros(BATCH)?;
    let hidden = stream.alloc_zeros(BATCH * HIDDEN)?;
    let hidden_grad = stream.alloc_zeros(BATCH * HIDDEN)?;
    let logit_grad = stream.alloc_zeros(BATCH * DIGITS)?;
    let image_loss = stream.alloc_zeros(BATCH)?;
    let predicted = stream.alloc_zeros(digits.held_out())?;
    let loss = stream.alloc_zeros(total_steps as usize)?;
    let lr = stream.alloc_zeros(total_steps as usize)?;
    // The optimizer's build works on a stream of its own, so the buffers must be ready before.
    stream.synchronize()?;
    let buffers = Buffers {
        images: address(&images, stream),
        labels: address(&labels, stream),
        param: address(&param, stream),
        grad: address(&grad, stream),
        batch: address(&batch, stream),
        hidden: address(&hidden, stream),
        hidden_grad: address(&hidden_grad, stream),
        logit_grad: address(&logit_grad, stream),
        image_loss: address(&image_loss, stream),
        predicted: address(&predicted, stream),
        loss: address(&loss, stream),
        lr: address(&lr, stream),
        total_steps,
        t: 0,
        scalars: [0; 2],
    };
    let values = [images, param, grad, hidden, hidden_grad, logit_grad, image_loss];
    Ok((Memory { predicted, loss, lr, _indices: [labels, batch], _values: values }, buffers))
}

fn address<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    slice.device_ptr(stream).0
}

/// Enqueues `blocks` blocks of HIDDEN threads.
fn launch(stream: &Arc<CudaStream>, function: &CudaFunction, blocks: u32, buffers: &Buffers) -> Result<()> {
    let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (HIDDEN as u32, 1, 1), shared_mem_bytes: 0 };
    let mut arguments = stream.launch_builder(function);
    arguments.arg(buffers);
    // SAFETY: the kernels of `digits.cu` take one `Buffers`, whose addresses `Memory` and the optimizer keep valid.
    unsafe { arguments.launch(shape) }?;
    Ok(())
}
