//! instep's step for candle's variables: one file, to be copied. Start at [`Step::builder`].
//!
//! candle's backward pass makes new gradient tensors every time, so every step tells where they are (`rebind_all`). Variables stay
//! where they are: candle's layers hold their storage, and the step writes into it.

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, DType, Error, InplaceOp1, Layout, Result, Shape, Storage, Tensor, Var};
use candle_nn::VarMap;
use instep::{Buffer, Dtype, Dynamic, Edit, GroupRule, Optimizer, OptimizerBuilder, Stream};

/// All variables of `vars` as those that decay and those that do not (biases, scales of norms: whatever has one dimension), each
/// with its name and in the order of names: the map's own order differs from run to run.
pub fn decaying(vars: &VarMap) -> Result<[Vec<(String, Var)>; 2]> {
    let known = vars.data().lock().map_err(Error::msg)?;
    let mut all: Vec<(String, Var)> = known.iter().map(|(name, var)| (name.clone(), var.clone())).collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let (matrices, others) = all.into_iter().partition(|(_, var)| var.rank() > 1);
    Ok([matrices, others])
}

/// An instep optimizer over candle's variables.
#[derive(Debug)]
pub struct Step {
    // First, so that it is dropped before the variables, whose addresses it holds.
    optimizer: Optimizer,
    stream: Stream,
    vars: Vec<Held>,
    /// Where variables lie: first byte and the one after the last, in the order of addresses.
    written: Vec<(u64, u64)>,
}

/// A variable, and where its values lie.
#[derive(Debug)]
struct Held {
    name: String,
    var: Var,
    address: u64,
}

/// Collects groups of variables.
#[must_use = "call `build`"]
pub struct StepBuilder {
    builder: OptimizerBuilder,
    device: candle_core::Device,
    stream: Stream,
    vars: Vec<Held>,
}

impl std::fmt::Debug for StepBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StepBuilder").field("vars", &self.vars).finish_non_exhaustive()
    }
}

impl Step {
    /// Starts an optimizer for variables on `device`, on the stream that candle uses there.
    ///
    /// # Safety
    ///
    /// While a step runs nothing else reads or writes the variables:
    /// * on the CPU no other thread does during [`Step::step`];
    /// * on CUDA all work on them is put on the stream of `device`, as candle does by itself. That of `Device::new_cuda` is another one on
    ///   each thread: build and step on the thread that trains, or use `Device::new_cuda_with_stream`.
    ///
    /// [`StepBuilder::options`] asks for no `zero_gradients`, and adds no tensors: gradients are read here, never written.
    pub unsafe fn builder(device: &candle_core::Device) -> Result<StepBuilder> {
        let (place, stream) = match device {
            candle_core::Device::Cpu => (instep::Device::host(), Stream::host()),
            #[cfg(feature = "cuda")]
            candle_core::Device::Cuda(cuda) => {
                let stream = cuda.cuda_stream();
                let place = instep::Device::from_cudarc(stream.context()).map_err(Error::wrap)?;
                let stream = place.stream(&stream).map_err(Error::wrap)?;
                (place, stream)
            }
            other => return Err(Error::msg(format!("device is {:?}, but must be the CPU or CUDA", other.location()))),
        };
        // Gradients come with the first step, and are elsewhere in each.
        let builder = Optimizer::builder(&place).dynamic(Dynamic::new());
        Ok(StepBuilder { builder, device: device.clone(), stream, vars: Vec::new() })
    }

    /// One update by the gradients of a backward pass. A variable without one rests: it does not decay either, and its states and count
    /// stay. On CUDA the update is enqueued, and `grads` may be dropped at once: candle frees in stream order.
    ///
    /// Nothing is changed where it fails: where a gradient has another type, shape or device than its variable, or lies in a
    /// variable's memory, and where a variable has another storage than at build.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        for held in &self.vars {
            if buffer(&held.name, &held.var)?.address != held.address {
                return Err(Error::msg(format!("{} has another storage than at build", held.name)));
            }
        }
        // Copies of those that are not contiguous live until the step is done, or enqueued.
        let found = self.vars.iter().map(|held| held.gradient(grads)).collect::<Result<Vec<Option<Tensor>>>>()?;
        // Nobody writes into gradients while these are held.
        let locked: Vec<_> = found.iter().map(|grad| grad.as_ref().map(Tensor::storage_and_layout)).collect();
        let mut addresses = Vec::with_capacity(locked.len());
        for (held, grad) in self.vars.iter().zip(&locked) {
            let grad = grad.as_ref().map(|(storage, layout)| read_address(storage, layout)).transpose()?;
            if let Some(grad) = grad
                && self.is_written(grad, held.bytes())
            {
                return Err(Error::msg(format!("the gradient of {} lies in the memory of a variable", held.name)));
            }
            addresses.push(grad);
        }
        // SAFETY: each is a buffer as long as its variable's, of its type and on its device, locked until the step is done; on CUDA, until
        // it is enqueued on the stream in whose order candle frees it. The next step gives others before it runs.
        unsafe { self.optimizer.rebind_all(&addresses, &self.stream) }.map_err(Error::wrap)?;
        self.optimizer.step(&self.stream).map_err(Error::wrap)
    }

    /// The backward pass of `loss`, and one update by its gradients.
    pub fn backward_step(&mut self, loss: &Tensor) -> Result<()> {
        self.step(&loss.backward()?)
    }

    /// Tells that variables were set from outside (`VarMap::load`, `Var::set`): what lies beside those of 16 bits is made anew. Without it
    /// the next step goes on from the values that these had.
    pub fn variables_changed(&mut self) -> Result<()> {
        self.optimizer.parameters_changed(&self.stream).map_err(Error::wrap)
    }

    /// What can be asked of the optimizer: its status, its state for a checkpoint.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Goes on from what `optimizer().state(step.stream())` gave. The variables are candle's to save and to load.
    pub fn load_state(&mut self, state: &[u8]) -> Result<()> {
        self.optimizer.load_state(state, &self.stream).map_err(Error::wrap)
    }

    /// New values for knobs of schedules, from the next step on: `step.edit(|edit| edit.set("peak_lr", 1e-4))`.
    pub fn edit(&mut self, values: impl FnOnce(Edit<'_>) -> Edit<'_>) -> Result<()> {
        values(self.optimizer.edit()).apply(&self.stream).map_err(Error::wrap)
    }

    /// The stream of the steps.
    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Whether some variable lies in these `bytes`.
    fn is_written(&self, address: u64, bytes: u64) -> bool {
        let after = self.written.partition_point(|(_, end)| *end <= address);
        self.written.get(after).is_some_and(|(begin, _)| *begin < address + bytes)
    }
}

impl StepBuilder {
    /// Adds a group: a rule, and the variables that it updates. Fails for a variable that is not contiguous, of a type without a
    /// step, or on another device.
    pub fn group(mut self, rule: impl GroupRule, vars: &[(String, Var)]) -> Result<StepBuilder> {
        let mut tensors = Vec::with_capacity(vars.len());
        for (name, var) in vars {
            if var.device().location() != self.device.location() {
                return Err(Error::msg(format!(
                    "{name} is on {:?}, not where the optimizer is",
                    var.device().location()
                )));
            }
            let param = buffer(name, var)?;
            // A gradient at 0 is none yet.
            // SAFETY: the variable's storage is held beside the optimizer and is where it was in every step; the rest is what
            // the caller of `Step::builder` promised.
            tensors.push(unsafe { instep::Tensor::new(param, Buffer { address: 0, ..param }) }.name(name));
            self.vars.push(Held { name: name.clone(), var: var.clone(), address: param.address });
        }
        self.builder = self.builder.group(rule, &tensors);
        Ok(self)
    }

    /// Whatever else instep's builder can, within what [`Step::builder`] says: `.options(|builder| builder.clip(Clip::torch_norm(1.0)))`.
    pub fn options(mut self, options: impl FnOnce(OptimizerBuilder) -> OptimizerBuilder) -> StepBuilder {
        self.builder = options(self.builder);
        self
    }

    /// Compiles the step, or finds it in the cache.
    pub fn build(self) -> Result<Step> {
        let optimizer = self.builder.build().map_err(Error::wrap)?;
        let mut written: Vec<(u64, u64)> =
            self.vars.iter().map(|held| (held.address, held.address + held.bytes())).collect();
        written.sort_unstable();
        Ok(Step { optimizer, stream: self.stream, vars: self.vars, written })
    }
}

impl Held {
    fn bytes(&self) -> u64 {
        (self.var.elem_count() * self.var.dtype().size_in_bytes()) as u64
    }

    /// Its gradient, contiguous; None where there is none.
    fn gradient(&self, grads: &GradStore) -> Result<Option<Tensor>> {
        let Some(grad) = grads.get(&self.var) else { return Ok(None) };
        let told = |tensor: &Tensor| (tensor.dtype(), Shape::from(tensor.dims()), tensor.device().location());
        let (is, must) = (told(grad), told(&self.var));
        match is == must {
            true => grad.contiguous().map(Some),
            false => Err(Error::msg(format!("the gradient of {} is {is:?}, but must be {must:?}", self.name))),
        }
    }
}

/// Where the values of a variable lie, to be written.
fn buffer(name: &str, var: &Var) -> Result<Buffer> {
    let dtype = match var.dtype() {
        DType::F32 => Dtype::F32,
        DType::BF16 => Dtype::Bf16,
        DType::F16 => Dtype::F16,
        other => return Err(Error::msg(format!("{name} is {other:?}, but must be f32, bf16 or f16"))),
    };
    if !var.is_contiguous() {
        return Err(Error::msg(format!("{name} is not contiguous")));
    }
    let address = WrittenAt(std::cell::Cell::new(0));
    var.inplace_op1(&address)?;
    Ok(Buffer { address: address.0.get(), len: var.elem_count() as u64, dtype })
}

/// An operation that changes nothing. candle hands storage to be written to operations alone, and a pointer made from a shared
/// reference must not be written through.
struct WrittenAt(std::cell::Cell<u64>);

impl InplaceOp1 for WrittenAt {
    fn name(&self) -> &'static str {
        "address"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        self.0.set(match storage {
            CpuStorage::F32(values) => exposed(values.as_mut_ptr(), layout),
            CpuStorage::BF16(values) => exposed(values.as_mut_ptr(), layout),
            CpuStorage::F16(values) => exposed(values.as_mut_ptr(), layout),
            _ => return Err(Error::msg("a variable is not f32, bf16 or f16")),
        });
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, storage: &mut candle_core::CudaStorage, layout: &Layout) -> Result<()> {
        self.0.set(cuda_address(storage, layout)?);
        Ok(())
    }
}

/// Where the values of a gradient lie, to be read.
fn read_address(storage: &Storage, layout: &Layout) -> Result<u64> {
    match storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(exposed(values.as_ptr(), layout)),
        Storage::Cpu(CpuStorage::BF16(values)) => Ok(exposed(values.as_ptr(), layout)),
        Storage::Cpu(CpuStorage::F16(values)) => Ok(exposed(values.as_ptr(), layout)),
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => cuda_address(storage, layout),
        _ => Err(Error::msg("a gradient is not f32, bf16 or f16")),
    }
}

/// The address of the first value, through which instep reaches the memory.
fn exposed<T>(values: *const T, layout: &Layout) -> u64 {
    values.wrapping_add(layout.start_offset()).expose_provenance() as u64
}

/// The same on CUDA. That the address is taken on the slice's own stream makes it good for work on that stream.
#[cfg(feature = "cuda")]
fn cuda_address(storage: &candle_core::CudaStorage, layout: &Layout) -> Result<u64> {
    use candle_core::cuda_backend::CudaStorageSlice;
    use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr};
    fn first<T>(slice: &CudaSlice<T>) -> u64 {
        slice.device_ptr(slice.stream()).0
    }
    let (first, bytes) = match &storage.slice {
        CudaStorageSlice::F32(slice) => (first(slice), 4),
        CudaStorageSlice::BF16(slice) => (first(slice), 2),
        CudaStorageSlice::F16(slice) => (first(slice), 2),
        _ => return Err(Error::msg("a tensor is not f32, bf16 or f16")),
    };
    Ok(first + bytes * layout.start_offset() as u64)
}
