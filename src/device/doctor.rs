//! What of the CUDA path is there: for people who set up a machine, and for bug reports. Start at [`Doctor::examine`].

use std::fs;
use std::path::PathBuf;

use super::cache::Cache;
use super::compile::{OPTIONS, Source};
use super::context::Context;
use super::driver::driver;
use super::nvrtc::Nvrtc;
use crate::error::{Error, Result};

/// What was found of each thing that the CUDA path needs; an error says what is missing and what to do.
#[derive(Debug)]
#[non_exhaustive]
pub struct Doctor {
    /// The driver's devices, each with a context that could be made, at least one.
    pub devices: Result<Vec<DeviceFound>>,
    /// The run-time compiler, which compiled a kernel.
    pub nvrtc: Result<NvrtcFound>,
    /// The folder of compiled kernels; None where they are not to be kept.
    pub cache: Option<Result<CacheFound>>,
}

/// A device that works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceFound {
    /// The driver's name for it.
    pub name: String,
    /// Major and minor, e.g. (9, 0).
    pub compute_capability: (u32, u32),
}

/// An NVRTC that works.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NvrtcFound {
    /// Major and minor.
    pub version: (u32, u32),
    /// Its file, where the system tells.
    pub path: Option<PathBuf>,
    /// The newest compute capability that it knows, times ten.
    pub newest_architecture: u32,
}

/// A cache that can be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheFound {
    /// The folder.
    pub folder: PathBuf,
    /// How many compiled kernels it holds.
    pub entries: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Doctor {
    /// Looks for everything. Makes a context on each device, compiles one kernel and writes one small file.
    pub fn examine() -> Doctor {
        Doctor { devices: devices(), nvrtc: nvrtc(), cache: Cache::of_process().folder().map(|f| cache(f.to_owned())) }
    }
}

fn devices() -> Result<Vec<DeviceFound>> {
    let count = driver()?.device_count()?;
    let device = |ordinal| {
        let context = Context::primary(ordinal)?;
        Ok(DeviceFound { name: context.name().to_owned(), compute_capability: context.compute_capability() })
    };
    (0..count).map(device).collect()
}

fn nvrtc() -> Result<NvrtcFound> {
    let nvrtc = Nvrtc::of_process()?;
    let newest = nvrtc.newest().unwrap_or(0);
    let source = Source { name: "doctor.cu", text: "extern \"C\" __global__ void nothing() {}", headers: &[] };
    nvrtc.compile(&source, OPTIONS, (newest / 10, newest % 10))?;
    Ok(NvrtcFound { version: nvrtc.version(), path: nvrtc.path().map(Into::into), newest_architecture: newest })
}

fn cache(folder: PathBuf) -> Result<CacheFound> {
    let probe = folder.join(format!("doctor.{}.tmp", std::process::id()));
    let written =
        fs::create_dir_all(&folder).and_then(|()| fs::write(&probe, b"")).and_then(|()| fs::remove_file(&probe));
    written.map_err(|problem| {
        let rule =
            format!("it cannot be written ({problem}); set INSTEP_CACHE_DIR to another folder, or to 0 for none");
        Error::argument("the cache folder", folder.display(), rule)
    })?;
    let files = fs::read_dir(&folder).into_iter().flatten().flatten();
    let images = files.filter(|file| file.path().extension().is_some_and(|ending| ending == "bin"));
    let sizes: Vec<u64> = images.filter_map(|file| Some(file.metadata().ok()?.len())).collect();
    Ok(CacheFound { folder, entries: sizes.len(), bytes: sizes.iter().sum() })
}
