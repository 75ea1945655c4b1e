//! `instep doctor`: what this machine has for the CUDA path, one line each, and what to do about the rest.

use std::process::ExitCode;

use instep::Doctor;

pub fn run() -> ExitCode {
    let Doctor { devices, nvrtc, cache, .. } = Doctor::examine();
    let devices = devices.map(|devices| {
        let line = |device: &instep::DeviceFound| {
            let (major, minor) = device.compute_capability;
            format!("{}, compute capability {major}.{minor}", device.name)
        };
        devices.iter().map(line).collect::<Vec<_>>().join("; ")
    });
    let nvrtc = nvrtc.map(|nvrtc| {
        let (major, minor) = nvrtc.version;
        let path = nvrtc.path.map_or_else(|| "path unknown".to_owned(), |path| path.display().to_string());
        format!("version {major}.{minor}, compiles up to sm_{}, {path}", nvrtc.newest_architecture)
    });
    let cache = match cache {
        None => Ok("off: kernels are compiled anew by each process (INSTEP_CACHE_DIR)".to_owned()),
        Some(found) => found.map(|cache| {
            format!("{}, {} kernels, {} KiB", cache.folder.display(), cache.entries, cache.bytes.div_ceil(1_024))
        }),
    };
    let mut missing = 0;
    for (what, outcome) in [("driver and GPU", devices), ("NVRTC", nvrtc), ("cache", cache)] {
        match outcome {
            Ok(found) => println!("{:<8} {what}: {found}", "found"),
            Err(problem) => {
                missing += 1;
                println!("{:<8} {what}: {problem}", "missing");
            }
        }
    }
    if missing == 0 {
        println!("The CUDA path works.");
        return ExitCode::SUCCESS;
    }
    println!("The CUDA path does not work on this machine; Device::host() does.");
    ExitCode::FAILURE
}
