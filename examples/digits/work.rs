//! What the CUDA form puts on its stream: the kernels of `digits.cu` and the optimizer's, in order. Captured or not, it is
//! the same; `graphs.rs` captures it.

use std::sync::Arc;

use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaStream, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{Device, Observed, Optimizer, Source, Stream};

use crate::Result;
use crate::buffers::Buffers;
use crate::data::Digits;
use crate::network::{self, BATCH, HIDDEN, PARAMS};
use crate::stored::Form;

/// The optimizer, and all that one step and one validation launch.
pub struct Work {
    pub optimizer: Optimizer,
    pub kernels: Kernels,
    pub buffers: Buffers,
    pub held_out: u32,
    /// Whether the optimizer has a rule that observes the validation loss.
    pub observes: bool,
    /// `stream`, as the optimizer takes it.
    pub borrowed: Stream,
    pub stream: Arc<CudaStream>,
}

impl Work {
    /// One training step: four or more nodes of a graph, the last of which is the update.
    pub fn step(&mut self) -> Result<()> {
        self.launch(&self.kernels.backpropagate, BATCH as u32)?;
        self.launch(&self.kernels.reduce_gradients, PARAMS.div_ceil(HIDDEN) as u32)?;
        self.launch(&self.kernels.record, 1)?;
        Ok(self.optimizer.step(&self.borrowed)?)
    }

    /// One validation. The plateau rule, if there is one, sees its loss before the next step, and on the device.
    pub fn validation(&mut self) -> Result<()> {
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

/// The compiled kernels of `digits.cu`.
pub struct Kernels {
    backpropagate: CudaFunction,
    reduce_gradients: CudaFunction,
    record: CudaFunction,
    validate: CudaFunction,
    conclude: CudaFunction,
}

impl Kernels {
    pub fn load(context: &Arc<CudaContext>, device: &Device, digits: &Digits, form: Form) -> Result<Self> {
        let module = load(context, device, digits, form, ("digits.cu", include_str!("digits.cu")))?;
        Ok(Self {
            backpropagate: function(&module, "backpropagate")?,
            reduce_gradients: function(&module, "reduce_gradients")?,
            record: function(&module, "record")?,
            validate: function(&module, "validate")?,
            conclude: function(&module, "conclude")?,
        })
    }
}

/// Compiles a unit, given by name and text, which may include the network's numbers and its type.
pub fn load(
    context: &Arc<CudaContext>,
    device: &Device,
    digits: &Digits,
    form: Form,
    (name, text): (&str, &str),
) -> Result<Arc<CudaModule>> {
    let header = network::header(digits, form);
    let image = device.compile(&Source { name, text, headers: &[("network.h", &header)] })?;
    Ok(context.load_module(Ptx::from_binary(image.to_vec()))?)
}

/// A kernel, loaded now: the driver loads lazily, and may not do so inside a capture.
pub fn function(module: &Arc<CudaModule>, name: &str) -> Result<CudaFunction> {
    let function = module.load_function(name)?;
    function.num_regs()?;
    Ok(function)
}
