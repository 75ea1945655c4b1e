//! The whole closed loop, captured once and replayed: forward and backward pass (a kernel of the test's own), observation
//! of the loss, norm, clipping, dynamic loss scaling, skips and update, with nothing but graph launches from the host.

use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use cudarc::driver::{LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{AdamW, Clip, Device, LossScale, Momentum, Observed, Optimizer, OptimizerBuilder, Plateau, Schedule, Sgd};
use instep::{Source, Stream, Telemetry, Tensor};

use crate::rig::Rig;
use crate::values::{Random, assert_same_bits};
use crate::zero_wait::assert_replays_only;

const REPLAYS: u64 = 10_000;
const TENSORS: usize = 148;
/// Elements of each tensor: 1 to 24.
const LENGTHS: [usize; 4] = [24, 1, 7, 16];

/// Writes gradients and a loss that follow from the number of the call alone, which is `t + skipped`. One call in 61 has a
/// gradient that is not finite. The loss falls and stalls.
const ENGINE: &str = "
using u64 = unsigned long long;
using u32 = unsigned int;
__device__ u64 mix(u64 z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}
extern \"C\" __global__ void engine(const u64* t, const u64* skipped, const float* scale, float* grads, float* loss, u32 n) {
  const u64 call = *t + *skipped;
  const u64 seed = mix(call + 1);
  for (u32 i = threadIdx.x; i < n; i += blockDim.x) {
    const float unit = (float)(mix(seed + i) >> 40) * (1.0f / 8388608.0f) - 1.0f;
    grads[i] = unit * *scale;
    if (seed % 61 == 0 && i == (seed >> 8) % n) grads[i] = seed & 64 ? 1e38f * 1e38f : (1e38f * 1e38f) * 0.0f;
  }
  if (threadIdx.x == 0) *loss = 1.0f / (float)(1 + call / 700);
}";

fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The twin of the test's kernel.
fn engine(call: u64, scale: f32, grads: &mut [f32]) -> f32 {
    let (seed, n) = (mix(call + 1), grads.len() as u64);
    for (i, grad) in grads.iter_mut().enumerate() {
        *grad = ((mix(seed.wrapping_add(i as u64)) >> 40) as f32 * (1.0 / 8_388_608.0) - 1.0) * scale;
    }
    if seed.is_multiple_of(61) {
        grads[((seed >> 8) % n) as usize] = if seed & 64 != 0 { f32::INFINITY } else { f32::NAN };
    }
    1.0 / (1 + call / 700) as f32
}

/// Four groups over the tensors that lie one after the other at `params` and `grads`.
fn optimizer(builder: OptimizerBuilder, params: u64, grads: u64) -> Optimizer {
    let lr = |peak: f64| {
        let rise = Schedule::linear(0.0, peak).over(500);
        rise.then(Schedule::cosine(peak, peak / 100.0).over(9_000))
    };
    let plateau = || Plateau::new().factor(0.7).patience(300).cooldown(50).min_scale(0.05);
    let mut offset = 0;
    let tensors: Vec<Tensor> = (0..TENSORS)
        .map(|i| {
            let (begin, len) = (4 * offset as u64, LENGTHS[i % LENGTHS.len()]);
            offset += len;
            // SAFETY: both arrays outlive the optimizer, and tests order everything on one stream.
            unsafe { Tensor::f32(params + begin, grads + begin, len as u64) }
        })
        .collect();
    let quarter = TENSORS / 4;
    let optimizer = builder
        .group(AdamW::new(lr(1e-3)).weight_decay(0.1).metric(plateau()), &tensors[..quarter])
        .group(AdamW::new(lr(3e-4)).weight_decay(0.0), &tensors[quarter..2 * quarter])
        .group(Sgd::new(lr(1e-2)).metric(plateau().factor(0.5)), &tensors[2 * quarter..3 * quarter])
        .group(Sgd::new(lr(1e-2)).momentum(Momentum::Nesterov, 0.9), &tensors[3 * quarter..])
        .clip(Clip::torch_norm(1.0))
        .loss_scale(LossScale::dynamic().interval(100))
        // As long as the run, so that nothing is lost however late it is polled; mapped, so that a poll is no driver call.
        .telemetry(Telemetry::ring(REPLAYS as u32).groups([0, 2]).mapped());
    optimizer.build().unwrap()
}

#[test]
fn ten_thousand_replays_of_the_closed_loop_give_the_hosts_bits() {
    let Some(rig) = Rig::new() else { return };
    let elements = (0..TENSORS).map(|i| LENGTHS[i % LENGTHS.len()]).sum::<usize>();
    let start = Random(21).units(elements);
    let (params, grads, loss) = (rig.array(&start, 0), rig.array(&vec![0.0; elements], 0), rig.array(&[0.0], 0));
    let mut opt = optimizer(Optimizer::builder(&rig.device), params.address(), grads.address());

    let image = rig.device.compile(&Source { name: "engine.cu", text: ENGINE, headers: &[] }).unwrap();
    let kernel = rig.context.load_module(Ptx::from_binary(image.to_vec())).unwrap().load_function("engine").unwrap();
    let view = opt.device_view();
    let (grads_address, loss_address, count) = (grads.address(), loss.address(), elements as u32);
    let launch = || {
        let mut launch = rig.engine.launch_builder(&kernel);
        launch.arg(&view.t).arg(&view.skipped).arg(&view.loss_scale).arg(&grads_address).arg(&loss_address).arg(&count);
        // SAFETY: the kernel reads the view, and writes `count` gradients and the loss.
        unsafe { launch.launch(LaunchConfig { grid_dim: (1, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 }) }
    };
    launch().unwrap(); // loads the kernel; the capture begins with the same gradients
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    launch().unwrap();
    // SAFETY: `loss` outlives the graph.
    unsafe { opt.observe(Observed::f32(loss.address()), &rig.stream) }.unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(CUgraphInstantiate_flags(0)).unwrap().unwrap();
    let mut telemetry = opt.telemetry().unwrap();
    let mut records = Vec::new();
    assert_replays_only(&rig, &graph, REPLAYS, || records.extend(telemetry.poll().unwrap()));
    records.extend(telemetry.finish(&rig.stream).unwrap());

    let (mut host_params, mut host_grads) = (start.into_boxed_slice(), vec![0.0f32; elements].into_boxed_slice());
    let (params_at, grads_at) = (host_params.as_mut_ptr() as u64, host_grads.as_mut_ptr() as u64);
    let mut host = optimizer(Optimizer::builder(&Device::host()), params_at, grads_at);
    let mut host_telemetry = host.telemetry().unwrap();
    let mut scale = host.status(&Stream::host()).unwrap().loss_scale;
    for call in 0..REPLAYS {
        let loss = engine(call, scale, &mut host_grads);
        // SAFETY: a value has no address.
        unsafe { host.observe(f64::from(loss), &Stream::host()) }.unwrap();
        host.step(&Stream::host()).unwrap();
        scale = host.status(&Stream::host()).unwrap().loss_scale;
    }

    let (ours, theirs) = (opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap());
    assert_eq!(ours, theirs, "counters, rates, scales, norm and clip factor");
    assert_same_bits(&params.read(&rig), &host_params, "parameters");
    let host_records = host_telemetry.poll().unwrap();
    assert_eq!(records.len() as u64, REPLAYS, "every call is recorded once");
    for (call, (record, expected)) in records.iter().zip(&host_records).enumerate() {
        // As texts, in which numbers have their bits and every NaN is the same.
        assert_eq!(format!("{record:?}"), format!("{expected:?}"), "call {call}");
    }
    let skipped = records.iter().filter(|record| !record.applied).count() as u64;
    assert_eq!((skipped, telemetry.lost()), (ours.skipped, 0));
    assert!(ours.skipped > 50 && ours.t + ours.skipped == REPLAYS, "{ours:?}");
    assert!(
        ours.scalar(0, "lr").unwrap() < 0.5 * 1e-5 && ours.clip_factor < 1.0,
        "plateau and clipping acted: {ours:?}"
    );
    println!("closed loop: {REPLAYS} replays, {} skipped, 0 differing bits", ours.skipped);
}
