//! The rate that the device applies is the host's schedule, rounded once to f32, at every step and under graph replay.

use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_GLOBAL;
use cudarc::driver::{LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{AdamW, Device, Optimizer, Schedule, Sgd, Source, Stream, Warmup, step};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};
use crate::zero_wait::assert_replays_only;

/// One of every form of the language, alone and composed.
pub fn schedules() -> Vec<Schedule> {
    let ramp = || Schedule::linear(1e-4, 3e-4).over(7);
    vec![
        Schedule::constant(0.25),
        ramp(),
        Schedule::cosine(3e-4, 3e-5).over(40),
        Schedule::polynomial(1e-2, 1e-5, 2.5).over(30),
        Schedule::exponential(1.0, 1e-6).over(25),
        Schedule::exponential_decay(0.1, 0.97),
        Schedule::step_decay(0.1, 0.5, 9),
        Schedule::multi_step(0.1, 0.1, [5, 17, 18]),
        Schedule::multi_step_fractions(0.1, 0.1, 60, [0.3, 0.6, 0.9]),
        ramp().then(Schedule::constant(3e-4).over(5)).then(Schedule::cosine(3e-4, 0.0).over(20)),
        Schedule::exponential_decay(1.0, 1.5).over(12).warmup(6),
        Schedule::cosine(1.0, 0.0).over(20).warmup_as(Warmup::FromFirst, 5),
        Schedule::cosine(1.0, 0.0).over(20).warmup_as(Warmup::Between, 5),
        Schedule::cosine(1.0, 0.0).over(20).warmup_as(Warmup::ZeroTwice, 5),
        ramp() * Schedule::step_decay(1.0, 0.9, 3) * 0.5,
        Schedule::exponential_decay(1.0, 1.1).clamp(1.5, 4.0),
        ramp().repeat(),
        Schedule::cosine(1.0, 0.1).over(8).repeat_times(3).then(Schedule::linear(0.1, 0.0).over(4)),
        Schedule::cosine_power(1.0, 0.1, 2.0, 1.5).over(50),
        Schedule::polynomial_k(1.0, 0.1, 0.9, 1.5).over(50),
        Schedule::one_minus_sqrt(1.0, 0.0).over(40),
        Schedule::power_rise(0.0, 1.0, 3.0).over(40),
        Schedule::tanh_ramp(1.0, 0.0, -7.0, 3.0).over(60),
        Schedule::rex(1.0, 0.0, 0.5).over(60),
        Schedule::half_life(1.0, 0.1).over(33),
        Schedule::log_rise(1e-5, 1e-3).over(50),
        Schedule::inverse_sqrt(0.1, 10.0),
        Schedule::inverse_time(0.1, 0.05),
        Schedule::power_law(0.3, -0.51, 1.0),
        Schedule::piecewise_constant([10, 20, 21], [1.0, 0.5, 0.25, 0.125]),
        Schedule::piecewise_linear([5, 20, 50], [0.1, 1.0, 0.2]),
        Schedule::piecewise_cosine([5, 20, 50], [0.1, 1.0, 0.2]),
        Schedule::table([0.5, 0.25, 0.75, 0.125]),
        Schedule::join([ramp(), Schedule::exponential_decay(1.0, 0.9), Schedule::constant(0.1)], [4, 30]),
        Schedule::cosine(1.0, 0.0).over(8).delay(3).every(4),
        Schedule::linear(1.0, 0.0).over(500).on_progress() * Schedule::linear(0.0, 1.0).over(10),
        (step() / 100.0).min(1.0) * 3e-4,
        (1.0 / (step() * 0.05 + 1.0) - (step().floor_div(10.0) * 0.001).min(0.05)).max(0.0),
        (step() * 0.1).sin().abs() + (step() * 0.1).cos().max(0.0) + (step() / 30.0 - 1.0).tanh().pow_int(2),
        step().modulo(7.0).less(3.0).select((step() + 1.0).pow(-0.5), (step() + 1.0).ln().exp().sqrt().floor()),
        step().less(20.0).select((20.0 - step()).pow(0.9), 1.0 - step().equal(30.0)),
        Schedule::linear(5.0, 1.0).over(0),
        Schedule::linear(1.0, 2.0).over(0).then(Schedule::linear(2.0, 1.0).over(3)),
    ]
}

#[test]
fn every_schedule_is_applied_as_the_host_says_at_every_step() {
    let Some(rig) = Rig::new() else { return };
    let schedules = schedules();
    let pairs: Vec<Pair> = schedules.iter().map(|_| Pair::new(&rig, vec![1.0], vec![1.0], (0, 0))).collect();
    let builder = schedules.iter().zip(&pairs).fold(Optimizer::builder(&rig.device), |builder, (schedule, pair)| {
        builder.group(Sgd::new(schedule.clone()), &[pair.device_tensor()])
    });
    let mut opt = builder.build().unwrap();
    for t in 0..75 {
        let status = opt.status(&rig.stream).unwrap();
        for (group, schedule) in schedules.iter().enumerate() {
            let (ours, host) = (status.scalar(group, "lr").unwrap(), schedule.at(t).unwrap() as f32);
            assert_eq!(ours.to_bits(), host.to_bits(), "step {t}, {schedule:?}: {ours:e}, host {host:e}");
        }
        opt.step(&rig.stream).unwrap();
    }
    rig.finish();
}

/// An engine's own kernel: notes the rate that the next update will use, read through `device_view`.
const NOTE: &str = "
using u64 = unsigned long long;
extern \"C\" __global__ void note(const u64* t, const float* even, const float* odd, float* out) {
  out[*t] = *t % 2 == 0 ? *even : *odd;
}";

#[test]
fn ten_thousand_replays_of_one_captured_step_follow_the_schedule_and_the_hosts_bits() {
    const REPLAYS: usize = 10_000;
    let Some(rig) = Rig::new() else { return };
    let lr = Schedule::linear(0.0, 3e-3).over(1_000).then(Schedule::cosine(3e-3, 3e-5).over(8_000));
    let mut random = Random(7);
    let mut pairs: Vec<Pair> = [65usize, 1, 300]
        .into_iter()
        .map(|len| Pair::new(&rig, random.units(len), random.units(len), (len % 4, len % 4)))
        .collect();
    let rule = || AdamW::new(lr.clone()).weight_decay(0.1);
    let tensors: Vec<_> = pairs.iter().map(Pair::device_tensor).collect();
    let mut opt = Optimizer::builder(&rig.device).group(rule(), &tensors).build().unwrap();
    let tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let mut host = Optimizer::builder(&Device::host()).group(rule(), &tensors).build().unwrap();

    let image = rig.device.compile(&Source { name: "note.cu", text: NOTE, headers: &[] }).unwrap();
    let note = rig.context.load_module(Ptx::from_binary(image.to_vec())).unwrap().load_function("note").unwrap();
    let view = opt.device_view();
    let [even, odd] = view.scalars(0).unwrap();
    let rates = rig.array(&vec![f32::NAN; REPLAYS], 0);
    let rates_address = rates.address();
    let launch = || {
        let mut launch = rig.engine.launch_builder(&note);
        launch.arg(&view.t).arg(&even).arg(&odd).arg(&rates_address);
        // SAFETY: the kernel reads the view and writes one of `REPLAYS` rates.
        unsafe { launch.launch(LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 }) }
    };

    // The engine's kernel is loaded before the capture; ours were loaded by `build`, and this is the first step ever.
    launch().unwrap();
    rig.finish();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    launch().unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(cudarc::driver::sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    assert_replays_only(&rig, &graph, REPLAYS as u64, || {});
    rig.finish();

    for _ in 0..REPLAYS {
        host.step(&Stream::host()).unwrap();
    }
    for (t, rate) in rates.read(&rig).into_iter().enumerate() {
        let expected = lr.at(t as u64).unwrap() as f32;
        assert_eq!(rate.to_bits(), expected.to_bits(), "applied at step {t}: {rate:e}, the schedule says {expected:e}");
    }
    for pair in &pairs {
        assert_same_bits(&pair.param.read(&rig), &pair.host_param, "after all replays");
    }
    assert_eq!(opt.status(&rig.stream).unwrap().t, REPLAYS as u64);
}

#[test]
fn the_first_launch_of_a_captured_graph_is_step_zero() {
    let Some(rig) = Rig::new() else { return };
    let pair = Pair::new(&rig, vec![1.0; 8], vec![1.0; 8], (0, 0));
    let lr = Schedule::linear(0.5, 0.0).over(4);
    let mut opt = Optimizer::builder(&rig.device).group(Sgd::new(lr), &[pair.device_tensor()]).build().unwrap();
    rig.engine.begin_capture(CU_STREAM_CAPTURE_MODE_GLOBAL).unwrap();
    opt.step(&rig.stream).unwrap();
    let graph = rig.engine.end_capture(cudarc::driver::sys::CUgraphInstantiate_flags(0)).unwrap().unwrap();
    for expected in [0.5, 0.125, -0.125, -0.25, -0.25] {
        graph.launch().unwrap();
        assert_eq!(pair.param.read(&rig), vec![expected; 8]);
    }
}
