//! Rates for an engine that keeps its update kernel, in the way of ggml: its AdamW reads seven floats from a tensor, which the host fills
//! before each step, so a captured graph would repeat those of the first. Here they are written on the device, by one launch in
//! the same graph, and move with the schedule.
//!
//! ```text
//! cargo run --example ggml    # on a GPU
//! ```

use instep::cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use instep::cudarc::nvrtc::Ptx;
use instep::{Device, RateGroup, RateOutput, Rates, Result, Source, recipes};

const LEN: usize = 1_000;
const STEPS: u64 = 500;

/// `opt_step_adamw` goes by what ggml's operator does: alpha, beta1, beta2, eps, weight decay, and 1 / (1 - beta^t) of both betas.
const KERNELS: &str = r#"
extern "C" __global__ void backward(const float* x, const float* target, float* grad, unsigned len) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < len) grad[i] = 2 * (x[i] - target[i]) / len;
}
extern "C" __global__ void opt_step_adamw(float* x, const float* grad, float* m, float* v, const float* pars, unsigned len) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= len) return;
  const float alpha = pars[0], beta1 = pars[1], beta2 = pars[2], eps = pars[3], wd = pars[4], beta1h = pars[5], beta2h = pars[6];
  m[i] = m[i] * beta1 + grad[i] * (1 - beta1);
  v[i] = v[i] * beta2 + grad[i] * grad[i] * (1 - beta2);
  x[i] = x[i] * (1 - alpha * wd) - alpha * (m[i] * beta1h) / (sqrtf(v[i] * beta2h) + eps);
}
"#;

fn main() -> Result<()> {
    // Asked first: without a driver it gives an error, where cudarc would panic.
    Device::cuda(0)?;
    let context = CudaContext::new(0)?;
    // SAFETY: all work goes to one stream, which orders it.
    let device = unsafe { Device::from_cudarc_for_capture(&context) }?;
    let engine = context.new_stream()?;
    let image = device.compile(&Source { name: "ggml.cu", text: KERNELS, headers: &[] })?;
    let module = context.load_module(Ptx::from_binary(image.to_vec()))?;
    let backward = device.load_function(&module, "backward")?;
    let opt_step_adamw = device.load_function(&module, "opt_step_adamw")?;

    let target: Vec<f32> = (0..LEN).map(|i| (i as f32 * 0.1).sin()).collect();
    let target = engine.clone_htod(&target)?;
    let zeros = || engine.alloc_zeros::<f32>(LEN);
    let (mut x, mut grad, mut m, mut v) = (zeros()?, zeros()?, zeros()?, zeros()?);
    let pars = engine.alloc_zeros::<f32>(7)?;

    let group = RateGroup::new(recipes::warmup_cosine(0.02, 0.0, 50, STEPS))
        .schedule("beta1", 0.9)
        .schedule("beta2", 0.999)
        .schedule("eps", 1e-8)
        .schedule("weight_decay", 0.01)
        .value("beta1h", |s| 1.0 / s.get("beta1").bias_correction())
        .value("beta2h", |s| 1.0 / s.get("beta2").bias_correction());
    let names = ["lr", "beta1", "beta2", "eps", "weight_decay", "beta1h", "beta2h"];
    let group = names.into_iter().zip(0..).fold(group, |group, (name, place)| {
        // SAFETY: `pars` outlives the rates and the graph, and all work goes to one stream.
        unsafe { group.write(name, RateOutput::from_cudarc(&pars.slice(place..=place))) }
    });
    let mut rates = Rates::builder(&device).group(group).build()?;

    let stream = device.stream(&engine)?;
    let len = LEN as u32;
    let step = rates.capture(&stream, |rates, stream| {
        rates.step(stream)?;
        let mut launch = engine.launch_builder(&backward);
        launch.arg(&x).arg(&target).arg(&mut grad).arg(&len);
        // SAFETY: these are the kernel's parameters, each as long as it reads or writes.
        unsafe { launch.launch(LaunchConfig::for_num_elems(len)) }?;
        let mut launch = engine.launch_builder(&opt_step_adamw);
        launch.arg(&mut x).arg(&grad).arg(&mut m).arg(&mut v).arg(&pars).arg(&len);
        // SAFETY: as above.
        unsafe { launch.launch(LaunchConfig::for_num_elems(len)) }?;
        Ok::<_, instep::Error>(())
    })?;
    let loss = |x: &[f32]| -> Result<f32> {
        let target = engine.clone_dtoh(&target)?;
        Ok(x.iter().zip(target).map(|(x, target)| (x - target).powi(2)).sum::<f32>() / LEN as f32)
    };
    let before = loss(&engine.clone_dtoh(&x)?)?;
    for _ in 0..STEPS {
        step.launch(&stream)?;
    }
    let (after, pars) = (loss(&engine.clone_dtoh(&x)?)?, engine.clone_dtoh(&pars)?);
    println!("ggml: loss {before:.4} -> {after:.6}, the last seven floats {pars:?}");
    Ok(())
}
