//! The stand-in for NVRTC: options, headers, logs, images, and the planting of faults by patches.

mod rig;

use std::ffi::{CString, c_char, c_int};

use cudarc::nvrtc::sys::nvrtcResult::{self, *};
use cudarc::nvrtc::{Ptx, sys};
use rig::Rig;

const FUSED: &str = r#"
extern "C" __global__ void fused(const float* in, float* out) {
    __stcg(out, __ldcg(&in[0]) * __ldcg(&in[1]) + __ldcg(&in[2]));
}
"#;

/// A program with named headers, which cudarc does not offer.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(text: &str, headers: &[(&str, &str)]) -> Self {
        let c = |text: &str| CString::new(text).expect("no NUL");
        let (text, name) = (c(text), c("kernels.cu"));
        let (names, texts): (Vec<CString>, Vec<CString>) =
            headers.iter().map(|(name, text)| (c(name), c(text))).unzip();
        let pointers = |list: &[CString]| list.iter().map(|text| text.as_ptr()).collect::<Vec<*const c_char>>();
        let (names, texts) = (pointers(&names), pointers(&texts));
        let mut program = std::ptr::null_mut();
        let count = headers.len() as c_int;
        // SAFETY: NUL-terminated texts, copied by the call.
        let created = unsafe {
            sys::nvrtcCreateProgram(&mut program, text.as_ptr(), name.as_ptr(), count, texts.as_ptr(), names.as_ptr())
        };
        assert_eq!(created, NVRTC_SUCCESS);
        Self(program)
    }

    fn compile(&self, options: &[&str]) -> nvrtcResult {
        let options: Vec<CString> = options.iter().map(|option| CString::new(*option).expect("no NUL")).collect();
        let pointers: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: a live program and NUL-terminated options.
        unsafe { sys::nvrtcCompileProgram(self.0, pointers.len() as c_int, pointers.as_ptr()) }
    }

    fn log(&self) -> String {
        let mut bytes = 0;
        // SAFETY: a live program, room for one number.
        assert_eq!(unsafe { sys::nvrtcGetProgramLogSize(self.0, &mut bytes) }, NVRTC_SUCCESS);
        let mut log = vec![0u8; bytes];
        // SAFETY: as many bytes as were asked for.
        assert_eq!(unsafe { sys::nvrtcGetProgramLog(self.0, log.as_mut_ptr().cast()) }, NVRTC_SUCCESS);
        assert_eq!(log.pop(), Some(0), "the size counts the NUL");
        String::from_utf8_lossy(&log).into_owned()
    }

    fn cubin(&self) -> Vec<u8> {
        let mut bytes = 0;
        // SAFETY: a live program, room for one number.
        assert_eq!(unsafe { sys::nvrtcGetCUBINSize(self.0, &mut bytes) }, NVRTC_SUCCESS);
        let mut cubin = vec![0u8; bytes];
        if bytes > 0 {
            // SAFETY: as many bytes as were asked for.
            assert_eq!(unsafe { sys::nvrtcGetCUBIN(self.0, cubin.as_mut_ptr().cast()) }, NVRTC_SUCCESS);
        }
        cubin
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: created by `new`, destroyed once.
        unsafe { sys::nvrtcDestroyProgram(&mut self.0) };
    }
}

/// Compiles for this device and runs `kernel(in, out)` over three numbers.
fn run(rig: &Rig, text: &str, headers: &[(&str, &str)], options: &[&str], kernel: &str) -> f32 {
    let program = Program::new(text, headers);
    let options: Vec<&str> = options.iter().copied().chain(["--gpu-architecture=sm_90"]).collect();
    assert_eq!(program.compile(&options), NVRTC_SUCCESS, "{}", program.log());
    let module = rig.context.load_module(Ptx::from_binary(program.cubin())).expect("the image loads");
    let function = module.load_function(kernel).expect("the text has it");
    let input = rig.alloc(&[1.000_000_1_f32, 1.000_000_2, -1.000_000_3]);
    let out = rig.alloc(&[0.0f32]);
    rig.launch(&function, 1, 1, &[input, out]).expect("the launch is accepted");
    rig.read::<f32>(out, 1)[0]
}

#[test]
fn the_version_and_the_architectures_are_those_of_13_0() {
    let _rig = Rig::new();
    let (mut major, mut minor, mut count) = (0, 0, 0);
    // SAFETY: room for two numbers.
    assert_eq!(unsafe { sys::nvrtcVersion(&mut major, &mut minor) }, NVRTC_SUCCESS);
    assert_eq!((major, minor), (13, 0));
    // SAFETY: room for one number.
    assert_eq!(unsafe { sys::nvrtcGetNumSupportedArchs(&mut count) }, NVRTC_SUCCESS);
    let mut architectures = vec![0; count as usize];
    // SAFETY: as many numbers as were asked for.
    assert_eq!(unsafe { sys::nvrtcGetSupportedArchs(architectures.as_mut_ptr()) }, NVRTC_SUCCESS);
    assert_eq!(architectures, [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121]);
}

#[test]
fn contraction_is_on_until_it_is_turned_off() {
    let rig = Rig::new();
    let (a, b, c) = (1.000_000_1_f32, 1.000_000_2_f32, -1.000_000_3_f32);
    assert_eq!(run(&rig, FUSED, &[], &["--fmad=false"], "fused"), a * b + c);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("fma") {
        assert_eq!(run(&rig, FUSED, &[], &[], "fused"), a.mul_add(b, c));
    }
}

#[test]
fn headers_come_with_the_program_and_may_hold_kernels() {
    let rig = Rig::new();
    let text = "#include \"a/first.cuh\"\n// extern \"C\" __global__ void ghost(int x) {}\n";
    let first = r#"
#pragma once
#include "second.cuh"
extern "C" __global__ void __launch_bounds__(64) step(const float* in, float* out) { __stcg(out, doubled(__ldcg(in))); }
"#;
    let second = "#pragma once\n__device__ inline float doubled(float x) { return x * FACTOR; }\n";
    let headers = [("a/first.cuh", first), ("second.cuh", second)];
    let value = run(&rig, text, &headers, &["-DFACTOR=2.0f", "--std=c++17", "--fmad=false"], "step");
    assert_eq!(value, 2.000_000_2);
}

#[test]
fn text_can_tell_where_it_is() {
    let rig = Rig::new();
    let text = r#"
#if defined(CUDA_ON_CPU) && __CUDA_ARCH__ == 900
extern "C" __global__ void here(const float*, float* out) { __stcg(out, 900.0f); }
#endif
"#;
    assert_eq!(run(&rig, text, &[], &[], "here"), 900.0);
}

#[test]
fn a_mistake_comes_with_file_and_line() {
    let _rig = Rig::new();
    let program = Program::new("\n\nextern \"C\" __global__ void broken() { no_such_thing(); }\n", &[]);
    assert_eq!(program.compile(&[]), NVRTC_ERROR_COMPILATION);
    let log = program.log();
    assert!(log.contains("kernels.cu") && log.contains('3') && log.contains("no_such_thing"), "{log}");
}

#[test]
fn an_unknown_option_is_refused_by_name() {
    let _rig = Rig::new();
    let program = Program::new(FUSED, &[]);
    assert_eq!(program.compile(&["--fast-and-loose"]), NVRTC_ERROR_INVALID_OPTION);
    assert!(program.log().contains("--fast-and-loose"), "{}", program.log());
}

#[test]
fn only_real_architectures_have_a_cubin() {
    let _rig = Rig::new();
    let program = Program::new(FUSED, &[]);
    assert_eq!(program.compile(&["--gpu-architecture=compute_90"]), NVRTC_SUCCESS);
    assert_eq!(program.cubin().len(), 0);
    assert_eq!(program.compile(&["--gpu-architecture=sm_90"]), NVRTC_SUCCESS);
    assert!(!program.cubin().is_empty());
    assert_eq!(program.compile(&["--gpu-architecture=sm_91"]), NVRTC_ERROR_INVALID_OPTION);
}

#[test]
fn a_patch_plants_a_fault_and_must_match_once() {
    let rig = Rig::new();
    let header = ("twice.cuh", "__device__ inline float twice(float x) { return x + x; }\n");
    let text = "#include \"twice.cuh\"\nextern \"C\" __global__ void patched(const float*, float* out) \
                { __stcg(out, twice(21.0f)); }\n";
    assert_eq!(run(&rig, text, &[header], &[], "patched"), 42.0);
    rig.standin.patch("return x + x;", "return x;");
    assert_eq!(run(&rig, text, &[header], &[], "patched"), 21.0, "patches reach headers");
    for (from, why) in [("no such text", "0"), ("float", "many")] {
        rig.standin.clear_patches();
        rig.standin.patch(from, "");
        let program = Program::new(text, &[header]);
        assert_eq!(program.compile(&[]), NVRTC_ERROR_COMPILATION, "{why}");
        assert!(program.log().contains(from), "{}", program.log());
    }
    rig.standin.clear_patches();
    assert_eq!(run(&rig, text, &[header], &[], "patched"), 42.0);
}
