//! What child processes see: the stand-in by `LD_LIBRARY_PATH` alone, without a device, or with a driver that does not
//! start. Each test runs this binary again with [`in_child`] as its only test.

use std::process::{Command, Output};

use cudarc::driver::sys::CUresult::{CUDA_ERROR_INVALID_DEVICE, CUDA_ERROR_NO_DEVICE};
use cudarc::driver::{CudaContext, DriverError};

const ROLE: &str = "CUDA_ON_CPU_TEST_ROLE";

fn run_child(role: &str, variables: &[(&str, &str)]) -> Output {
    let folder = cuda_on_cpu::folder().unwrap_or_else(|why| panic!("{why}"));
    Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "in_child", "--nocapture"])
        .env("LD_LIBRARY_PATH", folder)
        .env(ROLE, role)
        .envs(variables.iter().copied())
        .output()
        .expect("this program runs again")
}

/// The child's part; without a role, there is nothing to do.
#[test]
fn in_child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.as_str() {
        "no device" => {
            assert_eq!(CudaContext::device_count(), Ok(0));
            assert_eq!(CudaContext::new(0).err(), Some(DriverError(CUDA_ERROR_INVALID_DEVICE)));
        }
        "no start" => assert_eq!(CudaContext::device_count(), Err(DriverError(CUDA_ERROR_NO_DEVICE))),
        "compile" => {
            let name = CudaContext::new(0).and_then(|context| context.name());
            assert_eq!(name.as_deref(), Ok("CUDA on the CPU"));
            let compiled = cudarc::nvrtc::compile_ptx(r#"extern "C" __global__ void nothing() {}"#);
            assert_eq!(compiled.is_err(), std::env::var("CUDA_ON_CPU_NVRTC_FAIL").is_ok(), "{compiled:?}");
        }
        other => panic!("no role {other}"),
    }
    println!("the child played {role}");
}

fn assert_played(role: &str, variables: &[(&str, &str)]) -> String {
    let output = run_child(role, variables);
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains(&format!("the child played {role}")), "{text}\n{errors}");
    errors.into_owned()
}

#[test]
fn a_driver_without_a_device() {
    assert_played("no device", &[("CUDA_ON_CPU_DEVICES", "0")]);
}

#[test]
fn a_driver_that_does_not_start() {
    assert_played("no start", &[("CUDA_ON_CPU_INIT", "100")]);
}

#[test]
fn both_libraries_are_found_by_path_and_calls_are_traced() {
    let trace = assert_played("compile", &[("CUDA_ON_CPU_TRACE", "1")]);
    assert!(trace.contains("cuda-on-cpu: cuDevicePrimaryCtxRetain -> 0"), "{trace}");
}

#[test]
fn a_compiler_that_always_fails() {
    assert_played("compile", &[("CUDA_ON_CPU_NVRTC_FAIL", "1")]);
}

#[test]
fn many_processes_build_at_once() {
    let folders: Vec<_> = std::thread::scope(|scope| {
        let builders: Vec<_> = (0..4).map(|_| scope.spawn(cuda_on_cpu::build)).collect();
        builders.into_iter().map(|builder| builder.join().expect("no panic")).collect()
    });
    let first = folders[0].as_ref().unwrap_or_else(|why| panic!("{why}"));
    assert!(folders.iter().all(|folder| folder.as_ref() == Ok(first)), "{folders:?}");
    for name in ["libcuda.so", "libcuda.so.1", "libnvrtc.so", "libnvrtc.so.13", "simt.h"] {
        assert!(first.join(name).exists(), "{name} is missing in {}", first.display());
    }
}
