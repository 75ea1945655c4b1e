//! Parts of the driver API that cudarc's safe layer does not reach, and that layer itself in its default mode.

mod rig;

use std::ffi::{CStr, c_int, c_void};

use cudarc::driver::sys::CUresult::*;
use cudarc::driver::sys::{CUdevice_attribute, CUpointer_attribute};
use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg, result, sys};
use cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use rig::{Pinned, Rig, load_function};

const TEXT: &str = r#"
typedef unsigned long long u64;
extern "C" __constant__ float table[4] = {1.0f, 2.0f, 3.0f, 4.0f};
extern "C" __global__ void add(float* values, u64 count, u64 addend) {
    const u64 i = threadIdx.x + u64(blockIdx.x) * blockDim.x;
    if (i < count) __stcg(&values[i], __ldcg(&values[i]) + float(addend));
}
extern "C" __global__ void read_table(float* out) { __stcg(&out[threadIdx.x], table[threadIdx.x]); }
"#;

#[test]
fn the_safe_layer_works_with_event_tracking() {
    let rig = Rig::new();
    // SAFETY: no slice exists yet.
    unsafe { rig.context.enable_event_tracking() };
    let kernel = rig.load_once(TEXT).load_function("add").expect("the text has it");
    let other = rig.context.new_stream().expect("a stream");
    let mut values = rig.stream.clone_htod(&[1.0f32; 300]).expect("a copy");
    let (count, addend) = (300u64, 2u64);
    for stream in [&rig.stream, &other] {
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&mut values).arg(&count).arg(&addend);
        // SAFETY: the arguments fit the kernel, which checks the count.
        unsafe { launch.launch(LaunchConfig::for_num_elems(300)) }.expect("a launch");
    }
    let copy = values.try_clone().expect("a copy on the device");
    rig.stream.memset_zeros(&mut values).expect("a set");
    assert_eq!(rig.stream.clone_dtoh(&copy).expect("a copy"), [5.0; 300]);
    assert_eq!(rig.stream.clone_dtoh(&values).expect("a copy"), [0.0; 300]);
    drop((values, copy));
    rig.expect_clean();
}

#[test]
fn a_launch_takes_attributes_and_refuses_clusters() {
    let rig = Rig::new();
    let kernel = rig.load_once(TEXT).load_function("add").expect("the text has it");
    let value = rig.alloc(&[1.0f32]);
    let launch = |attribute: sys::CUlaunchAttributeID, grid: u32| {
        let (mut address, mut count, mut addend) = (value, 1u64, 1u64);
        let mut arguments: [*mut c_void; 3] =
            [(&raw mut address).cast(), (&raw mut count).cast(), (&raw mut addend).cast()];
        // SAFETY: plain data, for which zeros are valid: no attribute, no stream.
        let mut config: sys::CUlaunchConfig = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut one: sys::CUlaunchAttribute = unsafe { std::mem::zeroed() };
        one.id = attribute;
        one.value.cooperative = 1;
        (config.gridDimX, config.gridDimY, config.gridDimZ) = (grid, 1, 1);
        (config.blockDimX, config.blockDimY, config.blockDimZ) = (32, 1, 1);
        config.hStream = rig.stream.cu_stream();
        config.attrs = &mut one;
        config.numAttrs = 1;
        let (function, parameters) = (kernel.cu_function(), arguments.as_mut_ptr());
        // SAFETY: the arguments fit the kernel and live until the call returns, which copies them.
        unsafe { sys::cuLaunchKernelEx(&config, function, parameters, std::ptr::null_mut()) }
    };
    use sys::CUlaunchAttributeID_enum::*;
    assert_eq!(launch(CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, 1), CUDA_SUCCESS);
    assert_eq!(launch(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, 128), CUDA_SUCCESS, "4 multiprocessors of 32 blocks");
    assert_eq!(launch(CU_LAUNCH_ATTRIBUTE_COOPERATIVE, 129), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
    assert_eq!(launch(CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION, 1), CUDA_ERROR_NOT_SUPPORTED);
    assert_eq!(rig.read::<f32>(value, 1), [3.0]);
}

#[test]
fn symbols_are_found_in_their_newest_version() {
    let rig = Rig::new();
    let find = |name: &CStr| {
        let mut function: *mut c_void = std::ptr::null_mut();
        let mut status = sys::CUdriverProcAddressQueryResult::CU_GET_PROC_ADDRESS_SUCCESS;
        // SAFETY: a NUL-terminated name and room for two results.
        let code = unsafe { sys::cuGetProcAddress_v2(name.as_ptr(), &mut function, 13000, 0, &mut status) };
        (code, function)
    };
    let (code, function) = find(c"cuMemGetInfo");
    assert_eq!(code, CUDA_SUCCESS);
    // SAFETY: cuMemGetInfo_v2 has this type.
    let info: unsafe extern "C" fn(*mut usize, *mut usize) -> c_int = unsafe { std::mem::transmute(function) };
    let (mut free, mut total) = (0, 0);
    // SAFETY: room for two numbers.
    assert_eq!(unsafe { info(&mut free, &mut total) }, 0);
    assert!(0 < free && free <= total, "{free} of {total}");
    assert_eq!(find(c"cuNoSuchCall"), (CUDA_ERROR_NOT_FOUND, std::ptr::null_mut()));
    assert_eq!(find(c"cuda_on_cpu_reset").0, CUDA_ERROR_NOT_FOUND, "the control API is not CUDA's");
    drop(rig);
}

#[test]
fn pointers_tell_where_they_point() {
    let rig = Rig::new();
    let device = rig.alloc(&[0u8; 100]);
    let mut pinned = Pinned::new(64);
    let pinned = pinned.floats(1).as_mut_ptr() as u64;
    let ask = |attribute, address| {
        let mut value = 0u64;
        // SAFETY: room for the widest attribute.
        let code = unsafe { sys::cuPointerGetAttribute((&raw mut value).cast(), attribute, address) };
        (code, value)
    };
    use CUpointer_attribute::*;
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, device), (CUDA_SUCCESS, 2));
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, pinned), (CUDA_SUCCESS, 1));
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_RANGE_SIZE, device + 99), (CUDA_SUCCESS, 100));
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, device + 99), (CUDA_SUCCESS, device));
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_CONTEXT, device), (CUDA_SUCCESS, rig.context.cu_ctx() as u64));
    let local = 0u64;
    assert_eq!(ask(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, &raw const local as u64).0, CUDA_ERROR_INVALID_VALUE);
}

#[test]
fn registered_host_memory_counts_as_pinned() {
    let rig = Rig::new();
    let device = rig.alloc(&[1.0f32]);
    let mut host = vec![0.0f32; 16];
    let register = |host: &mut Vec<f32>| {
        // SAFETY: the vector lives, and stays where it is, until it is unregistered.
        unsafe { sys::cuMemHostRegister_v2(host.as_mut_ptr().cast(), 64, 0) }
    };
    assert_eq!(register(&mut host), CUDA_SUCCESS);
    assert_eq!(register(&mut host), CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    // SAFETY: registered memory that lives until the wait below.
    unsafe { result::memcpy_dtoh_async(&mut host[..1], device, rig.stream.cu_stream()) }.expect("a copy");
    assert_eq!(host[0], 0.0, "a copy to pinned memory does not wait");
    rig.expect_clean();
    assert_eq!(host[0], 1.0);
    let unregister = |host: &mut Vec<f32>| {
        // SAFETY: the address that was registered.
        unsafe { sys::cuMemHostUnregister(host.as_mut_ptr().cast()) }
    };
    assert_eq!(unregister(&mut host), CUDA_SUCCESS);
    assert_eq!(unregister(&mut host), CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
}

#[test]
fn functions_load_lazily_and_globals_are_memory() {
    let rig = Rig::new();
    let module = rig.load(TEXT);
    let kernel = module.load_function("read_table").expect("the text has it");
    use sys::CUfunctionLoadingState::*;
    let state = || {
        let mut state = CU_FUNCTION_LOADING_STATE_MAX;
        // SAFETY: writes one state of a live function.
        unsafe { sys::cuFuncIsLoaded(&mut state, kernel.cu_function()) }.result().expect("a function");
        state
    };
    assert_eq!(state(), CU_FUNCTION_LOADING_STATE_UNLOADED);
    load_function(&kernel);
    assert_eq!(state(), CU_FUNCTION_LOADING_STATE_LOADED);

    let table = module.get_global("table", &rig.stream).expect("the text has it");
    assert_eq!(rig.stream.clone_dtoh(&table).expect("a copy"), [1.0f32, 2.0, 3.0, 4.0].map(f32::to_le_bytes).concat());
    let out = rig.alloc(&[0.0f32; 4]);
    rig.launch(&kernel, 1, 4, &[out]).expect("a launch");
    assert_eq!(rig.read::<f32>(out, 4), [1.0, 2.0, 3.0, 4.0]);
    assert!(module.load_function("no_such_kernel").is_err());
}

#[test]
fn the_best_block_size_fills_the_device() {
    let rig = Rig::new();
    let kernel = rig.load_once(TEXT).load_function("add").expect("the text has it");
    let multiprocessors = rig.context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    let (mut grid, mut block): (c_int, c_int) = (0, 0);
    let function = kernel.cu_function();
    // SAFETY: room for two numbers, a live function, no callback.
    unsafe { sys::cuOccupancyMaxPotentialBlockSize(&mut grid, &mut block, function, None, 0, 0) }
        .result()
        .expect("a function");
    assert_eq!(grid * block, multiprocessors.expect("known") * 2048);
}

#[test]
fn an_image_for_another_architecture_is_refused() {
    let rig = Rig::new();
    for (arch, fits) in
        [("compute_90", true), ("compute_75", true), ("sm_90", true), ("sm_80", false), ("compute_100", false)]
    {
        let options = CompileOptions { arch: Some(arch), ..Default::default() };
        let image = compile_ptx_with_opts(TEXT, options).expect("it compiles");
        assert_eq!(rig.context.load_module(image).is_ok(), fits, "{arch}");
    }
}

#[test]
fn errors_have_their_names() {
    let _rig = Rig::new();
    let mut name = std::ptr::null();
    // SAFETY: writes one pointer to a static text.
    unsafe { sys::cuGetErrorName(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, &mut name) }.result().expect("a known code");
    // SAFETY: a static, NUL-terminated text.
    assert_eq!(unsafe { CStr::from_ptr(name) }, c"CUDA_ERROR_STREAM_CAPTURE_IMPLICIT");
}

#[test]
fn a_dropped_context_takes_its_memory_along() {
    let rig = Rig::new();
    let before = rig.standin.live_bytes();
    let mut raw = std::ptr::null_mut();
    // SAFETY: writes one handle; no parameters.
    unsafe { sys::cuCtxCreate_v4(&mut raw, std::ptr::null_mut(), 0, rig.context.cu_device()) }
        .result()
        .expect("a second context");
    // SAFETY: created above; the wrapper destroys it.
    let second = unsafe { CudaContext::from_raw_context(0, rig.context.cu_device(), raw) }.expect("a context");
    // SAFETY: a plain allocation, left to the context.
    unsafe { result::malloc_sync(4096) }.expect("memory");
    assert_eq!(rig.standin.live_bytes(), before + 4096);
    drop(second);
    assert_eq!(rig.standin.live_bytes(), before);
}
