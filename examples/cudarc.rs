//! A training engine on cudarc in one file: kernels and buffers of its own, and forward pass, backward pass and update in one
//! CUDA graph, which is captured once and launched for every step. The learning rate moves all the same: it is part of the graph.
//!
//! ```text
//! cargo run --example cudarc    # on a GPU
//! ```

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{AdamW, Device, Optimizer, Result, Source, Stream, Tensor, recipes};

const HIDDEN: usize = 16;
const SAMPLES: usize = 32;
const STEPS: u64 = 400;

/// Fits `y = w2 · tanh(w1 x + b1)` to samples. `params` and `grads` hold w1, b1 and w2, one after the other.
const KERNELS: &str = r#"
#define HIDDEN 16
#define SAMPLES 32
// A block per sample, a thread per hidden unit.
extern "C" __global__ void forward(const float* x, const float* y, const float* params, float* hidden, float* error) {
  __shared__ float part[HIDDEN];
  const unsigned s = blockIdx.x, h = threadIdx.x;
  const float v = tanhf(params[h] * x[s] + params[HIDDEN + h]);
  hidden[s * HIDDEN + h] = v;
  part[h] = params[2 * HIDDEN + h] * v;
  __syncthreads();
  if (h > 0) return;
  float out = 0;
  for (int k = 0; k < HIDDEN; ++k) out += part[k];
  error[s] = out - y[s];
}
// One block, a thread per hidden unit.
extern "C" __global__ void backward(const float* x, const float* params, const float* hidden, const float* error,
                                    float* grads, float* loss) {
  const unsigned h = threadIdx.x;
  float w1 = 0, b1 = 0, w2 = 0, sum = 0;
  for (int s = 0; s < SAMPLES; ++s) {
    const float v = hidden[s * HIDDEN + h], d = 2 * error[s] / SAMPLES;
    const float through = d * params[2 * HIDDEN + h] * (1 - v * v);
    w1 += through * x[s];
    b1 += through;
    w2 += d * v;
    sum += error[s] * error[s] / SAMPLES;
  }
  grads[h] = w1;
  grads[HIDDEN + h] = b1;
  grads[2 * HIDDEN + h] = w2;
  if (h == 0) *loss = sum;
}
"#;

fn main() -> Result<()> {
    // Asked first: without a driver it gives an error, where cudarc would panic.
    Device::cuda(0)?;
    let context = CudaContext::new(0)?;
    // SAFETY: all work goes to one stream, which orders it.
    let device = unsafe { Device::from_cudarc_for_capture(&context) }?;
    let engine = context.new_stream()?;

    let image = device.compile(&Source { name: "network.cu", text: KERNELS, headers: &[] })?;
    let module = context.load_module(Ptx::from_binary(image.to_vec()))?;
    let forward = device.load_function(&module, "forward")?;
    let backward = device.load_function(&module, "backward")?;

    let x: Vec<f32> = (0..SAMPLES).map(|i| i as f32 / SAMPLES as f32 * 2.0 - 1.0).collect();
    let y: Vec<f32> = x.iter().map(|x| (3.0 * x).sin()).collect();
    let start: Vec<f32> = (0..3 * HIDDEN).map(|i| ((i * 37 % 61) as f32 / 30.0 - 1.0) * 0.7).collect();
    let (x, y) = (engine.clone_htod(&x)?, engine.clone_htod(&y)?);
    let (params, mut grads) = (engine.clone_htod(&start)?, engine.alloc_zeros::<f32>(3 * HIDDEN)?);
    let (mut hidden, mut error) = (engine.alloc_zeros::<f32>(SAMPLES * HIDDEN)?, engine.alloc_zeros::<f32>(SAMPLES)?);
    let mut loss = engine.alloc_zeros::<f32>(1)?;

    let tensors = ["w1", "b1", "w2"].into_iter().zip([0, 1, 2]).map(|(name, i)| {
        let at = i * HIDDEN..(i + 1) * HIDDEN;
        // SAFETY: the slices outlive the optimizer and its graph, and all work goes to one stream.
        unsafe { Tensor::from_cudarc(&params.slice(at.clone()), &grads.slice(at)) }.name(name)
    });
    let lr = recipes::warmup_cosine(0.05, 0.0, 20, STEPS);
    let builder = Optimizer::builder(&device).group(AdamW::new(lr).betas(0.9, 0.99), &tensors.collect::<Vec<_>>());
    let mut optimizer = builder.build()?;

    let stream: Stream = device.stream(&engine)?;
    let step = optimizer.capture(&stream, |optimizer, stream| {
        let shape =
            |blocks| LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (HIDDEN as u32, 1, 1), shared_mem_bytes: 0 };
        let mut launch = engine.launch_builder(&forward);
        launch.arg(&x).arg(&y).arg(&params).arg(&mut hidden).arg(&mut error);
        // SAFETY: these are the kernel's parameters, each as long as it reads or writes.
        unsafe { launch.launch(shape(SAMPLES as u32)) }?;
        let mut launch = engine.launch_builder(&backward);
        launch.arg(&x).arg(&params).arg(&hidden).arg(&error).arg(&mut grads).arg(&mut loss);
        // SAFETY: as above.
        unsafe { launch.launch(shape(1)) }?;
        optimizer.step(stream)
    })?;

    step.launch(&stream)?;
    let before = engine.clone_dtoh(&loss)?[0];
    for _ in 1..STEPS {
        step.launch(&stream)?;
    }
    let (after, status) = (engine.clone_dtoh(&loss)?[0], optimizer.status(&stream)?);
    let lr = status.scalar(0, "lr").unwrap_or_default();
    println!(
        "cudarc: loss {before:.4} -> {after:.6} after {} updates, device {:?}, next lr {lr}",
        status.t,
        device.name()
    );
    Ok(())
}
