//! What is missing, or broken, is told apart and told what to do about, and nothing panics. Each case is a process of its
//! own, as a library that was found once stays in a process. The driver is the stand-in, so no GPU is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use instep::{Device, Error, Source};

const SOURCE: Source<'static> =
    Source { name: "nothing.cu", text: "extern \"C\" __global__ void nothing(int) {}", headers: &[] };

/// The first thing that an engine does, in the environment that the test below gives to this process.
#[test]
#[ignore = "one of the processes of the tests below"]
fn engine() {
    let error = match Device::cuda(0).and_then(|device| device.compile(&SOURCE)) {
        Ok(image) => return println!("compiled {} bytes;", image.len()),
        Err(error) => error,
    };
    let variant = match &error {
        Error::NoDriver { .. } => "NoDriver",
        Error::NoDevice { .. } => "NoDevice",
        Error::NoNvrtc { .. } => "NoNvrtc",
        Error::Compile { .. } => "Compile",
        Error::Driver { .. } => "Driver",
        other => panic!("{other:?}"),
    };
    // Formatting is part of the claim: cudarc's own errors panic when they are printed without a driver.
    println!("{variant}: {error} / {error:?}");
}

/// What [`engine`] prints when it finds its libraries in `folder`.
fn outcome(folder: &Path, variables: &[(&str, &str)]) -> String {
    let mut process = Command::new(std::env::current_exe().unwrap());
    process.args(["--exact", "engine", "--ignored", "--nocapture"]);
    for name in ["CUDA_HOME", "CUDA_PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "HOME", "INSTEP_NVRTC"] {
        process.env_remove(name);
    }
    process.env("LD_LIBRARY_PATH", folder).env("INSTEP_CACHE_DIR", "0").envs(variables.iter().copied());
    let output = process.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "an engine must not panic:\n{out}\n{err}");
    out.into_owned()
}

/// The stand-in's folder; where it cannot be built, the tests that need it are skipped and say so.
fn stand_in() -> Option<PathBuf> {
    cuda_on_cpu::folder().inspect_err(|why| eprintln!("skipped: no stand-in for CUDA: {why}")).ok()
}

fn expect(outcome: &str, parts: &[&str]) {
    for part in parts {
        assert!(outcome.contains(part), "{part:?} is not in:\n{outcome}");
    }
}

#[test]
fn no_driver_at_all() {
    // A file that is no library ends the loader's search, so a driver of this machine is not found either.
    let folder = std::env::temp_dir().join(format!("instep-absent-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["libcuda.so", "libcuda.so.1"] {
        std::fs::write(folder.join(name), "no library").unwrap();
    }
    let outcome = outcome(&folder, &[]);
    std::fs::remove_dir_all(&folder).unwrap();
    expect(
        &outcome,
        &["NoDriver: no CUDA driver: ", "libcuda.so.1", "install the NVIDIA driver, or use Device::host()"],
    );
}

#[test]
fn a_driver_without_a_device() {
    let Some(folder) = stand_in() else { return };
    for variables in [[("CUDA_ON_CPU_DEVICES", "0")], [("CUDA_ON_CPU_INIT", "100")]] {
        expect(&outcome(&folder, &variables), &["NoDevice: no CUDA device: ", "check `nvidia-smi`", "Device::host()"]);
    }
}

#[test]
fn a_driver_that_fails_to_start() {
    let Some(folder) = stand_in() else { return };
    let outcome = outcome(&folder, &[("CUDA_ON_CPU_INIT", "803")]);
    expect(&outcome, &["Driver: cuInit failed: CUDA_ERROR_SYSTEM_DRIVER_MISMATCH (803)"]);
}

#[test]
fn no_nvrtc() {
    let Some(folder) = stand_in() else { return };
    let outcome = outcome(&folder, &[("INSTEP_NVRTC", "/nowhere/libnvrtc.so")]);
    expect(&outcome, &["NoNvrtc: no NVRTC: ", "/nowhere/libnvrtc.so", "install the CUDA toolkit", "INSTEP_NVRTC"]);
}

#[test]
fn an_nvrtc_that_fails() {
    let Some(folder) = stand_in() else { return };
    let outcome = outcome(&folder, &[("CUDA_ON_CPU_NVRTC_FAIL", "1")]);
    let message =
        "Compile: NVRTC could not compile nothing.cu (NVRTC_ERROR_COMPILATION); its log:\nnothing.cu(1): error: ";
    expect(&outcome, &[message]);
}

#[test]
fn nothing_absent() {
    let Some(folder) = stand_in() else { return };
    expect(&outcome(&folder, &[]), &["compiled "]);
}
