//! Rates for an engine whose update kernels read a rate buffer, in the way of bullet: a launch for each tensor, AdamW without bias
//! correction, a decay before the step and a clamp after it, a rate that drops with every superbatch. The host computes no rate
//! and uploads none: one launch writes the buffers of two groups, and the whole step is a graph.
//!
//! ```text
//! cargo run --example rate_buffer    # on a GPU
//! ```

use std::sync::Arc;

use instep::cudarc::driver::{CudaContext, CudaFunction, CudaSlice, CudaStream, LaunchConfig, PushKernelArg};
use instep::cudarc::nvrtc::Ptx;
use instep::{Device, RateGroup, RateOutput, Rates, Result, Schedule, Source};

const BATCHES_PER_SUPERBATCH: u64 = 40;
const SUPERBATCHES: u64 = 10;
/// Lengths of the tensors: weights, then biases.
const TENSORS: [usize; 4] = [768, 256, 16, 1];
const WEIGHTS: usize = 2;

const KERNELS: &str = r#"
extern "C" __global__ void backward(const float* weights, float* grads, float at, unsigned len) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < len) grads[i] = weights[i] - at;
}
// `rate` is the learning rate and what is kept of a weight.
extern "C" __global__ void adamw(float* weights, const float* grads, float* momentum, float* velocity, const float* rate, unsigned len) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= len) return;
  float w = weights[i] * rate[1];
  momentum[i] = 0.9f * momentum[i] + 0.1f * grads[i];
  velocity[i] = 0.999f * velocity[i] + 0.001f * grads[i] * grads[i];
  w -= rate[0] * momentum[i] / (sqrtf(velocity[i]) + 1e-8f);
  weights[i] = fminf(fmaxf(w, -1.98f), 1.98f);
}
"#;

/// The state of one tensor, as such an engine keeps it.
struct OptimiserState {
    weights: CudaSlice<f32>,
    grads: CudaSlice<f32>,
    momentum: CudaSlice<f32>,
    velocity: CudaSlice<f32>,
    learning_rate: Arc<CudaSlice<f32>>,
}

impl OptimiserState {
    fn new(stream: &Arc<CudaStream>, len: usize, learning_rate: Arc<CudaSlice<f32>>) -> Result<OptimiserState> {
        let zeros = || stream.alloc_zeros::<f32>(len);
        Ok(OptimiserState { weights: zeros()?, grads: zeros()?, momentum: zeros()?, velocity: zeros()?, learning_rate })
    }

    fn update(&mut self, stream: &Arc<CudaStream>, [backward, adamw]: [&CudaFunction; 2], at: f32) -> Result<()> {
        let len = self.weights.len() as u32;
        let shape = LaunchConfig::for_num_elems(len);
        let mut launch = stream.launch_builder(backward);
        launch.arg(&self.weights).arg(&mut self.grads).arg(&at).arg(&len);
        // SAFETY: these are the kernel's parameters, each as long as it reads or writes.
        unsafe { launch.launch(shape) }?;
        let mut launch = stream.launch_builder(adamw);
        launch.arg(&mut self.weights).arg(&self.grads).arg(&mut self.momentum).arg(&mut self.velocity);
        launch.arg(&*self.learning_rate).arg(&len);
        // SAFETY: as above.
        unsafe { launch.launch(shape) }?;
        Ok(())
    }
}

fn main() -> Result<()> {
    // Asked first: without a driver it gives an error, where cudarc would panic.
    Device::cuda(0)?;
    let context = CudaContext::new(0)?;
    // SAFETY: all work goes to one stream, which orders it.
    let device = unsafe { Device::from_cudarc_for_capture(&context) }?;
    let engine = context.new_stream()?;
    let image = device.compile(&Source { name: "rate_buffer.cu", text: KERNELS, headers: &[] })?;
    let module = context.load_module(Ptx::from_binary(image.to_vec()))?;
    let (backward, adamw) = (device.load_function(&module, "backward")?, device.load_function(&module, "adamw")?);

    // A buffer for weights, which decay, and one for biases, whose rate is half.
    let buffers = [Arc::new(engine.alloc_zeros::<f32>(2)?), Arc::new(engine.alloc_zeros::<f32>(2)?)];
    let lr = Schedule::step_decay(0.01, 0.5, BATCHES_PER_SUPERBATCH);
    let groups = [("weights", lr.clone(), 0.01), ("biases", lr * 0.5, 0.0)];
    let mut builder = Rates::builder(&device);
    for ((name, lr, weight_decay), buffer) in groups.into_iter().zip(&buffers) {
        let group = RateGroup::new(lr).name(name).schedule("weight_decay", weight_decay);
        let group = group.value("keep", |s| 1.0 - s.get("lr") * s.get("weight_decay"));
        let group = [("lr", 0), ("keep", 1)].into_iter().fold(group, |group, (name, at)| {
            // SAFETY: the buffers outlive the rates and the graph, and all work goes to one stream.
            unsafe { group.write(name, RateOutput::from_cudarc(&buffer.slice(at..=at))) }
        });
        builder = builder.group(group);
    }
    let mut rates = builder.build()?;
    let state = |(i, len)| OptimiserState::new(&engine, len, buffers[usize::from(i >= WEIGHTS)].clone());
    let mut states = TENSORS.into_iter().enumerate().map(state).collect::<Result<Vec<_>>>()?;

    let stream = device.stream(&engine)?;
    let batch = rates.capture(&stream, |rates, stream| {
        rates.step(stream)?;
        for state in &mut states {
            state.update(&engine, [&backward, &adamw], 0.75)?;
        }
        Ok::<_, instep::Error>(())
    })?;
    for superbatch in 1..=SUPERBATCHES {
        for _ in 0..BATCHES_PER_SUPERBATCH {
            batch.launch(&stream)?;
        }
        let used = engine.clone_dtoh(&*buffers[0])?;
        println!("superbatch {superbatch}: rate {}, kept {}", used[0], used[1]);
    }
    let mut worst = 0.0f32;
    for state in &states {
        worst = engine.clone_dtoh(&state.weights)?.iter().fold(worst, |worst, w| worst.max((w - 0.75).abs()));
    }
    println!("rate_buffer: off by {worst:.4} at most");
    Ok(())
}
