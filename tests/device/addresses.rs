//! Addresses and lengths that are no memory of the device: the driver says so at `build`, before anything is enqueued or
//! allocated, and what it cannot know passes.

use std::ffi::c_void;

use cudarc::driver::{result, sys};
use instep::{AdamW, Clip, Device, Dtype, Error, Observed, Optimizer, OptimizerBuilder, Plateau, Sgd, Tensor};

use crate::rig::{Array, Rig};

/// The message with which `build` refuses, after nothing but questions.
#[track_caller]
fn refused(rig: &Rig, builder: OptimizerBuilder) -> String {
    if let Some(standin) = rig.standin {
        standin.reset_calls();
    }
    let error = builder.build().map(|_| ()).expect_err("it must be refused");
    assert!(matches!(error, Error::Argument { .. }), "{error}");
    if let Some(standin) = rig.standin {
        let asked = ["cuCtxGetCurrent", "cuPointerGetAttributes", "cuDeviceGetAttribute", "cuDeviceCanAccessPeer"];
        let log = standin.call_log();
        assert!(log.keys().all(|call| asked.contains(&call.as_str())), "{error}, after {log:?}");
    }
    error.to_string()
}

fn tensor(param: u64, grad: u64, len: u64) -> Tensor {
    // SAFETY: what is wrong is refused; the rest outlives the optimizer.
    unsafe { Tensor::f32(param, grad, len) }
}

fn sgd(rig: &Rig, tensors: &[Tensor]) -> OptimizerBuilder {
    Optimizer::builder(&rig.device).group(Sgd::new(0.5), tensors)
}

/// `bytes` of memory of their own, whose end is that of the allocation.
struct Exact(u64);

impl Exact {
    fn new(rig: &Rig, bytes: usize) -> Exact {
        rig.context.bind_to_thread().unwrap();
        // SAFETY: a plain allocation in the current context.
        Exact(unsafe { result::malloc_sync(bytes) }.unwrap())
    }
}

impl Drop for Exact {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, freed here only.
        let _ = unsafe { result::free_sync(self.0) };
    }
}

/// Whether the device reaches all memory of the process: with such a one a pointer of the host is as good as any.
fn reaches_the_host(rig: &Rig) -> bool {
    let which = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PAGEABLE_MEMORY_ACCESS;
    rig.context.attribute(which).unwrap() != 0
}

#[test]
fn a_pointer_of_the_host_is_refused_where_the_device_cannot_follow_it() {
    let Some(rig) = Rig::new() else { return };
    if reaches_the_host(&rig) {
        return println!("skipped: this device reaches all memory of the host");
    }
    let (good, host) = (rig.array(&[1.0; 8], 0), vec![0.0f32; 8]);
    let at = host.as_ptr() as u64;
    let rule = "it is memory of the host that the device cannot reach, or no memory at all";
    let tensors: Vec<_> =
        (0..4).map(|i| tensor(good.address() + 8 * i, if i == 3 { at } else { at + 64 }, 2)).collect();
    let good_grads = rig.array(&[1.0; 8], 0);
    let mut fine = tensors.clone();
    for (i, fine) in fine.iter_mut().enumerate() {
        *fine = tensor(good.address() + 8 * i as u64, good_grads.address() + 8 * i as u64, 2);
    }
    let with = |i: usize, bad: Tensor| {
        let mut all = fine.clone();
        all[i] = bad;
        all
    };
    let text = refused(&rig, sgd(&rig, &with(3, tensors[3].clone())));
    assert_eq!(text, format!("groups[0].tensors[3].grad.address is {at:#x}, but {rule}"));
    let text = refused(&rig, sgd(&rig, &fine[..1]).group(AdamW::new(0.1), &with(2, tensor(at, at + 8, 2))[1..]));
    assert_eq!(text, format!("groups[1].tensors[1].param.address is {at:#x}, but {rule}"));
    // SAFETY: refused.
    let builder = unsafe { sgd(&rig, &fine).found_inf(at) };
    assert_eq!(refused(&rig, builder), format!("found_inf is {at:#x}, but {rule}"));
    // SAFETY: refused.
    let builder = unsafe { sgd(&rig, &fine).inv_scale(at) };
    assert_eq!(refused(&rig, builder), format!("inv_scale is {at:#x}, but {rule}"));
    // SAFETY: refused.
    let builder = unsafe { sgd(&rig, &fine).clip(Clip::torch_norm(1.0)).norm_square(at) };
    assert_eq!(refused(&rig, builder), format!("norm_square is {at:#x}, but {rule}"));
    let builder = Optimizer::builder(&rig.device).group(Sgd::new(0.5).metric(Plateau::new()), &fine);
    // SAFETY: refused.
    let builder = unsafe { builder.observe_every(1, Observed::f32(at)) };
    assert_eq!(refused(&rig, builder), format!("observe_every.metric is {at:#x}, but {rule}"));
}

#[test]
fn a_length_in_bytes_is_refused_with_what_fits() {
    let Some(rig) = Rig::new() else { return };
    let (param, grad) = (Exact::new(&rig, 4_000), Exact::new(&rig, 8_000));
    let (p, g) = (param.0, grad.0);
    let end = "to the end of that memory only";
    let cases = [
        (
            tensor(p, g, 4_000),
            format!(
                "groups[0].tensors[0].param.len is 4000, but from {p:#x} {end} 1000 elements fit; a length is in elements, \
                 not in bytes"
            ),
        ),
        (
            tensor(p, g, 1_001),
            format!("groups[0].tensors[0].param.len is 1001, but from {p:#x} {end} 1000 elements fit"),
        ),
        (
            tensor(p + 16, g, 1_000),
            format!(
                "groups[0].tensors[0].param.len is 1000, but from {:#x} {end} 996 elements fit; a length is in elements, not \
                 in bytes",
                p + 16
            ),
        ),
        (
            tensor(p, g + 4_004, 1_000),
            format!(
                "groups[0].tensors[0].grad.len is 1000, but from {:#x} {end} 999 elements fit; a length is in elements, not \
                 in bytes",
                g + 4_004
            ),
        ),
    ];
    for (bad, text) in cases {
        assert_eq!(refused(&rig, sgd(&rig, &[bad])), text);
    }
    let builder = sgd(&rig, &[tensor(p, g, 10)]);
    let metric = Observed::Device { address: g + 7_996 - 4, dtype: Dtype::F64 };
    let group = Sgd::new(0.5).metric(Plateau::new());
    // SAFETY: the metric lies in memory that outlives the optimizer.
    unsafe { builder.group(group, &[tensor(p + 80, g + 80, 1)]).observe_every(1, metric) }.build().unwrap();
    sgd(&rig, &[tensor(p, g, 1_000)]).build().expect("a tensor may fill its allocation");
}

#[test]
fn memory_of_another_device_or_context_is_refused() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: one GPU has no memory of another one") };
    let (param, grad) = (Exact::new(&rig, 64), Exact::new(&rig, 64));
    assert!(standin.move_to_device(grad.0, 3));
    let text = refused(&rig, sgd(&rig, &[tensor(param.0, grad.0, 16)]));
    let rule = "it is memory of device 3, which device 0 has no access to";
    assert_eq!(text, format!("groups[0].tensors[0].grad.address is {:#x}, but {rule}", grad.0));
    assert!(standin.move_to_device(grad.0, 0));

    let device = result::device::get(0).unwrap();
    let mut raw = std::ptr::null_mut();
    // SAFETY: a second context, destroyed below.
    unsafe { sys::cuCtxCreate_v4(&mut raw, std::ptr::null_mut(), 0, device) }.result().unwrap();
    rig.context.bind_to_thread().unwrap();
    // SAFETY: `raw` lives until the end of this test.
    let other = unsafe { Device::from_raw_context(raw.cast::<c_void>()) }.unwrap();
    let builder = Optimizer::builder(&other).group(Sgd::new(0.5), &[tensor(param.0, grad.0, 16)]);
    let rule = "it is memory of another context of the device";
    assert_eq!(refused_elsewhere(builder), format!("groups[0].tensors[0].param.address is {:#x}, but {rule}", param.0));
    drop(other);
    // SAFETY: nothing of the second context is used any more.
    unsafe { sys::cuCtxDestroy_v2(raw) }.result().unwrap();
}

fn refused_elsewhere(builder: OptimizerBuilder) -> String {
    builder.build().map(|_| ()).expect_err("it must be refused").to_string()
}

#[test]
fn memory_of_a_pool_and_pinned_memory_of_the_host_pass() {
    let Some(rig) = Rig::new() else { return };
    // The engine's arrays are of cuMemAllocAsync.
    let grad = rig.array(&[1.0; 64], 0);
    // SAFETY: given back below, after the optimizer and its work.
    let pinned = unsafe { result::malloc_host(256, 0) }.unwrap();
    // SAFETY: 64 floats of page-aligned memory that nobody else knows.
    unsafe { std::slice::from_raw_parts_mut(pinned.cast::<f32>(), 64) }.fill(1.0);
    let mut opt = sgd(&rig, &[tensor(pinned as u64, grad.address(), 64)]).build().unwrap();
    opt.step(&rig.stream).unwrap();
    rig.finish();
    // SAFETY: as above, and the step is done.
    assert_eq!(unsafe { std::slice::from_raw_parts(pinned.cast::<f32>(), 64) }, [0.5; 64]);
    drop(opt);
    // SAFETY: of `malloc_host`, not used any more.
    unsafe { result::free_host(pinned) }.unwrap();
}

#[test]
fn managed_registered_and_mapped_memory_pass() {
    let Some(rig) = Rig::new() else { return };
    if rig.standin.is_some() {
        return println!("skipped: the stand-in has no managed memory, and no kernel of it reaches registered memory");
    }
    let grad = rig.array(&[1.0; 64], 0);
    let mut managed = 0;
    let global = sys::CUmemAttach_flags::CU_MEM_ATTACH_GLOBAL as u32;
    // SAFETY: given back below.
    unsafe { sys::cuMemAllocManaged(&mut managed, 256, global) }.result().unwrap();
    let mut registered = vec![1.0f32; 4_096];
    let at = registered.as_mut_ptr();
    // SAFETY: memory of the vector, which outlives the registration.
    unsafe { sys::cuMemHostRegister_v2(at.cast(), 4 * 4_096, 0) }.result().unwrap();
    for param in [managed, at as u64] {
        let mut opt = sgd(&rig, &[tensor(param, grad.address(), 64)]).build().unwrap();
        opt.step(&rig.stream).unwrap();
        rig.finish();
    }
    assert_eq!(registered[..64], [0.5; 64]);
    // SAFETY: nothing uses the memory any more.
    unsafe { sys::cuMemHostUnregister(at.cast()) }.result().unwrap();
    // SAFETY: as above.
    unsafe { sys::cuMemFree_v2(managed) }.result().unwrap();
}

#[test]
fn tensors_of_one_allocation_take_one_question() {
    let Some(rig) = Rig::new() else { return };
    let Some(standin) = rig.standin else { return println!("skipped: driver calls are counted on the stand-in") };
    let arrays: [Array; 2] = [rig.array(&vec![1.0; 40_000], 0), rig.array(&vec![1.0; 40_000], 0)];
    let [param, grad] = arrays.each_ref().map(Array::address);
    let tensors: Vec<_> = (0..10_000).map(|i| tensor(param + 16 * i, grad + 16 * i, 4)).collect();
    standin.reset_calls();
    sgd(&rig, &tensors).build().unwrap();
    assert_eq!(standin.calls("cuPointerGetAttributes"), 2);
}
