//! The CUDA form, as a training engine would do it: its own context, stream and buffers through cudarc, its kernels in
//! `digits.cu`. One whole step, the optimizer's included, is captured into a graph once, and so is one validation with
//! the observation of its loss. Training is then nothing but replays: the host waits for nothing and reads nothing
//! before the report. Event tracking is off: it would query events inside the captures.

use std::sync::Arc;

use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaContext, CudaFunction, CudaGraph, CudaModule, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{Device, Observed, Optimizer, Source, Stream};

use crate::Result;
use crate::buffers::{self, Buffers, Memory};
use crate::data::Digits;
use crate::network::{self, BATCH, HIDDEN, PARAMS};
use crate::optimizer::{WEIGHTS, optimizer};
use crate::recipe::Recipe;
use crate::training::{Report, Training, Validation};

pub struct CudaTraining {
    // In this order on purpose: each is dropped before what it uses.
    step: CudaGraph,
    validation: CudaGraph,
    /// Keeps the kernels and the state that the graphs use.
    work: Work,
    memory: Memory,
    steps: usize,
    /// The number of steps before each validation.
    validated_after: Vec<usize>,
}

impl CudaTraining {
    /// Compiles, allocates, captures: all that the training needs but the replays.
    pub fn new(digits: &Digits, recipe: &Recipe) -> Result<Self> {
        let device = Device::cuda(0)?;
        let context = CudaContext::new(0)?;
        // SAFETY: all work goes to one stream, which orders it.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream()?;
        let kernels = Kernels::load(&context, &device, digits)?;
        let (memory, mut buffers) = buffers::allocate(&stream, digits, recipe)?;
        // SAFETY: the buffers hold PARAMS values and outlive the optimizer in `Self`; only this stream touches them.
        let optimizer = unsafe { optimizer(&device, buffers.param, buffers.grad, recipe) }?;
        let view = optimizer.device_view();
        (buffers.t, buffers.scalars) = (view.t, view.scalars(WEIGHTS).ok_or("no such group")?);

        let (held_out, observes) = (digits.held_out() as u32, recipe.plateau().is_some());
        let borrowed = device.stream(&stream)?;
        let mut work = Work { optimizer, kernels, buffers, held_out, observes, borrowed, stream: stream.clone() };
        let step = capture(&stream, || work.step())?;
        let validation = capture(&stream, || work.validation())?;
        Ok(Self { step, validation, work, memory, steps: 0, validated_after: Vec::new() })
    }
}

impl Training for CudaTraining {
    fn epoch(&mut self, steps: u64) -> Result<()> {
        for _ in 0..steps {
            self.step.launch()?;
        }
        self.validation.launch()?;
        self.steps += steps as usize;
        self.validated_after.push(self.steps);
        Ok(())
    }

    fn validated(&self) -> Option<Validation> {
        None
    }

    fn report(&mut self) -> Result<Report> {
        let (stream, epochs) = (&self.work.stream, self.validated_after.len());
        let loss = stream.clone_dtoh(&self.memory.loss.slice(..self.steps))?;
        let lr = stream.clone_dtoh(&self.memory.lr.slice(..self.steps))?;
        let validation_loss = stream.clone_dtoh(&self.memory.validation_loss.slice(..epochs))?;
        let correct = stream.clone_dtoh(&self.memory.correct.slice(..epochs))?;
        stream.synchronize()?;
        let validations = self.validated_after.iter().zip(validation_loss).zip(correct);
        let validations = validations.map(|((&steps, loss), correct)| Validation { steps, loss, correct });
        Ok(Report { loss, lr, validations: validations.collect() })
    }
}

/// What is put on the stream, captured or not.
struct Work {
    optimizer: Optimizer,
    kernels: Kernels,
    buffers: Buffers,
    held_out: u32,
    /// Whether the optimizer has a rule that observes the validation loss.
    observes: bool,
    /// `stream`, as the optimizer takes it.
    borrowed: Stream,
    stream: Arc<CudaStream>,
}

impl Work {
    /// One training step: four or more nodes of a graph, the last of which is the update.
    fn step(&mut self) -> Result<()> {
        self.launch(&self.kernels.backpropagate, BATCH as u32)?;
        self.launch(&self.kernels.reduce_gradients, PARAMS.div_ceil(HIDDEN) as u32)?;
        self.launch(&self.kernels.record, 1)?;
        Ok(self.optimizer.step(&self.borrowed)?)
    }

    /// One validation. The plateau rule, if there is one, sees its loss before the next step, and on the device.
    fn validation(&mut self) -> Result<()> {
        self.launch(&self.kernels.validate, self.held_out)?;
        self.launch(&self.kernels.conclude, 1)?;
        if self.observes {
            // SAFETY: `Memory` keeps the f32 until the last launch of the graph; `conclude` wrote it, on this stream.
            unsafe { self.optimizer.observe(Observed::f32(self.buffers.metric), &self.borrowed) }?;
        }
        Ok(())
    }

    /// Enqueues `blocks` blocks of HIDDEN threads.
    fn launch(&self, function: &CudaFunction, blocks: u32) -> Result<()> {
        let shape = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (HIDDEN as u32, 1, 1), shared_mem_bytes: 0 };
        let mut arguments = self.stream.launch_builder(function);
        arguments.arg(&self.buffers);
        // SAFETY: the kernels of `digits.cu` take one `Buffers`, whose addresses `Memory` and the optimizer keep valid.
        unsafe { arguments.launch(shape) }?;
        Ok(())
    }
}

/// The graph of what `body` puts on `stream`.
fn capture(stream: &Arc<CudaStream>, body: impl FnOnce() -> Result<()>) -> Result<CudaGraph> {
    stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL)?;
    body()?;
    Ok(stream.end_capture(CUgraphInstantiate_flags(0))?.ok_or("the captured graph is empty")?)
}

/// The compiled kernels of `digits.cu`.
struct Kernels {
    backpropagate: CudaFunction,
    reduce_gradients: CudaFunction,
    record: CudaFunction,
    validate: CudaFunction,
    conclude: CudaFunction,
}

impl Kernels {
    fn load(context: &Arc<CudaContext>, device: &Device, digits: &Digits) -> Result<Self> {
        let header = network::header(digits);
        let text = include_str!("digits.cu");
        let image = device.compile(&Source { name: "digits.cu", text, headers: &[("network.h", &header)] })?;
        let module = context.load_module(Ptx::from_binary(image.to_vec()))?;
        Ok(Self {
            backpropagate: function(&module, "backpropagate")?,
            reduce_gradients: function(&module, "reduce_gradients")?,
            record: function(&module, "record")?,
            validate: function(&module, "validate")?,
            conclude: function(&module, "conclude")?,
        })
    }
}

/// A kernel, loaded now: the driver loads lazily, and may not do so inside a capture.
fn function(module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    let function = module.load_function(name)?;
    function.num_regs()?;
    Ok(function)
}
