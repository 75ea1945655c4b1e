//! The protocol of a step: what it costs, what it leaves alone, what it refuses.

use std::ffi::c_void;
use std::time::{Duration, Instant};

use cuda_on_cpu::Direction;
use instep::{AdamW, Device, Error, Optimizer, Schedule, Sgd, Stream, Tensor};

use crate::rig::{Pair, Rig};
use crate::values::{Random, assert_same_bits};

fn pairs(rig: &Rig, lengths: &[usize]) -> Vec<Pair> {
    let mut random = Random(11);
    lengths.iter().map(|len| Pair::new(rig, random.units(*len), random.units(*len), (0, 0))).collect()
}

fn tensors(pairs: &[Pair]) -> Vec<Tensor> {
    pairs.iter().map(Pair::device_tensor).collect()
}

#[test]
fn a_step_is_one_launch_and_at_most_two_driver_calls_however_many_tensors_and_groups() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: driver calls are counted on the stand-in") };
    // One allocation, cut into many tensors.
    let (param, grad) = (rig.array(&vec![1.0; 40_000], 0), rig.array(&vec![1.0; 40_000], 0));
    for (count, groups) in [(1, 1), (148, 1), (148, 4), (10_000, 4), (10_000, 64)] {
        let tensor = |i: usize| {
            let offset = 16 * i as u64;
            // SAFETY: the arrays outlive the optimizer.
            unsafe { Tensor::f32(param.address() + offset, grad.address() + offset, 4) }
        };
        let builder = (0..groups).fold(Optimizer::builder(&rig.device), |builder, group| {
            let members: Vec<_> = (group..count).step_by(groups).map(tensor).collect();
            builder.group(AdamW::new(1e-3 * group as f64), &members)
        });
        let mut opt = builder.build().unwrap();
        standin.reset_calls();
        opt.step(&rig.stream).unwrap();
        let log = standin.call_log();
        assert!(standin.total_calls() <= 2, "{count} tensors, {groups} groups: {log:?}");
        assert_eq!(standin.calls("cuLaunchKernel"), 1, "{count} tensors, {groups} groups: {log:?}");
        rig.finish();
    }
}

#[test]
fn a_step_moves_the_bytes_per_parameter_that_its_rule_states() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: bytes are counted on the stand-in") };
    let pairs = pairs(&rig, &[1 << 16]);
    let mut opt = Optimizer::builder(&rig.device).group(AdamW::new(1e-3), &tensors(&pairs)).build().unwrap();
    let stated = opt.tensors().next().unwrap().bytes_per_param;
    standin.reset_traffic();
    opt.step(&rig.stream).unwrap();
    rig.finish();
    let wide = standin.traffic(Direction::Load, 16) + standin.traffic(Direction::Store, 16);
    let all: u64 = [1, 2, 4, 8, 16]
        .into_iter()
        .map(|width| standin.traffic(Direction::Load, width) + standin.traffic(Direction::Store, width))
        .sum();
    let per_param = |bytes: u64| bytes as f64 / f64::from(1 << 16);
    // Beside the elements 124 B a tile of 2,048 and what block 0 reads: `traffic` counts them.
    assert!(per_param(wide) >= stated, "16-byte accesses: {} B per parameter", per_param(wide));
    assert!(per_param(all) < stated + 0.1, "all accesses: {} B per parameter", per_param(all));
}

#[test]
fn found_inf_leaves_everything_as_it_was_and_is_counted() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig, &[70, 4_000]);
    let mut found = rig.array(&[0.0], 0);
    let mut host_found = Box::new(0.0f32);
    let lr = || Schedule::linear(0.1, 0.0).over(8);
    // SAFETY: both flags outlive the optimizers.
    let builder = unsafe { Optimizer::builder(&rig.device).found_inf(found.address()) };
    let mut opt = builder.group(AdamW::new(lr()), &tensors(&pairs)).build().unwrap();
    // SAFETY: as above.
    let builder = unsafe { Optimizer::builder(&Device::host()).found_inf(&raw mut *host_found as u64) };
    let host_tensors: Vec<_> = pairs.iter_mut().map(Pair::host_tensor).collect();
    let mut host = builder.group(AdamW::new(lr()), &host_tensors).build().unwrap();

    for (i, flag) in [0.0, 1.0, f32::NAN, 0.0, f32::INFINITY, 0.0].into_iter().enumerate() {
        let before: Vec<_> = pairs.iter().map(|pair| pair.param.read(&rig)).collect();
        found.write(&rig, &[flag]);
        *host_found = flag;
        opt.step(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
        for (pair, before) in pairs.iter().zip(before) {
            let after = pair.param.read(&rig);
            assert_same_bits(&after, &pair.host_param, &format!("call {i}, found_inf {flag}"));
            assert_eq!(after == before, flag != 0.0, "call {i}, found_inf {flag}");
        }
        assert_eq!(opt.status(&rig.stream).unwrap(), host.status(&Stream::host()).unwrap());
    }
    let status = opt.status(&rig.stream).unwrap();
    assert_eq!((status.t, status.skipped), (3, 3));
}

#[test]
fn tensors_with_earlier_updates_get_their_own_bias_correction() {
    let Some(rig) = Rig::new() else { return };
    let mut pairs = pairs(&rig, &[100, 100, 100]);
    let past = [0, 1_000, 1 << 40];
    let with_past = |tensors: Vec<Tensor>| -> Vec<Tensor> {
        tensors.into_iter().zip(past).map(|(tensor, updates)| tensor.updates(updates)).collect()
    };
    let device_tensors = with_past(tensors(&pairs));
    let host_tensors = with_past(pairs.iter_mut().map(Pair::host_tensor).collect());
    let mut opt = Optimizer::builder(&rig.device).group(AdamW::new(1e-2), &device_tensors).build().unwrap();
    let mut host = Optimizer::builder(&Device::host()).group(AdamW::new(1e-2), &host_tensors).build().unwrap();
    for _ in 0..3 {
        opt.step(&rig.stream).unwrap();
        host.step(&Stream::host()).unwrap();
    }
    for (pair, past) in pairs.iter().zip(past) {
        assert_same_bits(&pair.param.read(&rig), &pair.host_param, &format!("after {past} updates before"));
    }
    let first = &pairs[0].host_param;
    assert!(pairs[1].host_param.iter().zip(first.iter()).any(|(a, b)| a != b), "the past must matter");
}

#[test]
fn an_optimizer_of_empty_tensors_still_counts() {
    let Some(rig) = Rig::new() else { return };
    // SAFETY: nothing is behind an empty tensor.
    let empty = unsafe { Tensor::f32(0, 0, 0) };
    let mut opt = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &[empty]).build().unwrap();
    for _ in 0..3 {
        opt.step(&rig.stream).unwrap();
    }
    assert_eq!(opt.status(&rig.stream).unwrap().t, 3);
}

#[test]
fn a_stream_of_another_device_or_context_is_refused_before_anything_is_enqueued() {
    let Some(rig) = Rig::new() else { return };
    let pairs = pairs(&rig, &[10]);
    let mut opt = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &tensors(&pairs)).stop_at(9).build().unwrap();
    let condition = opt.stop_condition().unwrap();
    let argument = |error: Error| match error {
        Error::Argument { argument, .. } => argument,
        other => panic!("{other}"),
    };
    assert_eq!(argument(opt.step(&Stream::host()).unwrap_err()), "stream");

    rig.context.bind_to_thread().unwrap();
    let device = cudarc::driver::result::device::get(0).unwrap();
    let mut raw = std::ptr::null_mut();
    // SAFETY: a plain second context; it is made current and destroyed below.
    unsafe { cudarc::driver::sys::cuCtxCreate_v4(&mut raw, std::ptr::null_mut(), 0, device) }.result().unwrap();
    // SAFETY: `raw` lives until the end of this test.
    let other = unsafe { Device::from_raw_context(raw.cast::<c_void>()) }.unwrap();
    let stream = other.new_stream().unwrap();
    rig.context.bind_to_thread().unwrap();
    assert_eq!(argument(opt.step(&stream).unwrap_err()), "stream");
    // SAFETY: refused before anything is enqueued.
    let set = unsafe { condition.set(1, &stream) };
    assert_eq!(argument(set.unwrap_err()), "stream");
    // SAFETY: the stream is alive.
    let borrowed = unsafe { rig.device.stream_from_raw(stream.raw()) };
    assert_eq!(argument(borrowed.unwrap_err()), "stream");
    drop(stream);
    drop(other);
    // SAFETY: nothing of the second context is used any more.
    unsafe { cudarc::driver::sys::cuCtxDestroy_v2(raw) }.result().unwrap();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 0);
}

#[test]
fn the_legacy_and_the_per_thread_stream_work() {
    let Some(rig) = Rig::new() else { return };
    let pairs = pairs(&rig, &[10]);
    let mut opt = Optimizer::builder(&rig.device).group(Sgd::new(0.1), &tensors(&pairs)).build().unwrap();
    rig.finish(); // the special streams are not ordered after that of the arrays
    for special in [0usize, 2] {
        // SAFETY: a special handle.
        let stream = unsafe { rig.device.stream_from_raw(special as *mut c_void) }.unwrap();
        opt.step(&stream).unwrap();
        stream.synchronize().unwrap();
    }
    assert_eq!(opt.status(&rig.stream).unwrap().t, 2);
}

#[test]
fn a_driver_that_fails_gives_an_error_and_leaks_nothing() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: errors are injected on the stand-in") };
    let pairs = pairs(&rig, &[1_000]);
    let build = || Optimizer::builder(&rig.device).group(AdamW::new(1e-3), &tensors(&pairs)).build();
    drop(build().unwrap()); // whatever is made once per process is made now
    rig.finish();
    let before = standin.live_bytes();
    for (function, code) in [
        ("cuStreamCreate", 2),
        ("cuMemAlloc_v2", 2),
        ("cuModuleLoadData", 209),
        ("cuModuleGetFunction", 500),
        ("cuMemsetD8Async", 719),
        ("cuMemcpyHtoDAsync_v2", 700),
        ("cuLaunchKernel", 701),
        ("cuStreamSynchronize", 700),
    ] {
        standin.inject(function, code, 0).unwrap();
        let error = build().expect_err(function);
        let Error::Driver { call, code: found, name } = &error else { panic!("{function}: {error}") };
        assert_eq!((*call, *found), (function, code as u32), "{name}");
        standin.reset();
        assert_eq!(standin.live_bytes(), before, "after {function} failed");
    }
    let mut opt = build().unwrap();
    standin.inject("cuLaunchKernel", 701, 0).unwrap();
    opt.step(&rig.stream).unwrap_err();
    opt.step(&rig.stream).unwrap();
    assert_eq!(opt.status(&rig.stream).unwrap().t, 1, "a launch that failed is no update");
}

#[test]
fn a_step_over_148_small_tensors_takes_at_most_20_ms_on_the_stand_in() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_none() {
        return println!("skipped: a claim about the stand-in");
    }
    let lengths: Vec<usize> = (0..148).map(|i| if i % 2 == 0 { 768 } else { 64 }).collect();
    let pairs = pairs(&rig, &lengths);
    let mut opt = Optimizer::builder(&rig.device).group(AdamW::new(1e-3), &tensors(&pairs)).build().unwrap();
    let step = |opt: &mut Optimizer| {
        let start = Instant::now();
        opt.step(&rig.stream).unwrap();
        rig.finish();
        start.elapsed()
    };
    // The best of some: the machine may be busy with other things.
    let best = (0..20).map(|_| step(&mut opt)).min().unwrap();
    assert!(best <= Duration::from_millis(20), "{best:?}");
}
