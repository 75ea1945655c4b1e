//! What NVIDIA's compiler makes of the kernels, found out without a GPU: [`units`] says what is compiled, [`nvrtc`] compiles
//! it, [`usage`] reads ptxas' report, [`sass`] the disassembly, [`multiprocessor`] knows how many threads that leaves room
//! for. Start at [`Compiled::of`]. `tests/compile` asserts on it, [`report`] makes the table of `cargo xtask kernels`,
//! [`rules`] that of `cargo xtask rules`.

pub mod forms;
pub mod multiprocessor;
pub mod nvrtc;
pub mod report;
pub mod rules;
pub mod sass;
pub mod units;
pub mod usage;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use nvrtc::Nvrtc;
use sass::{Listing, Stretch};
use units::{Expected, Unit};
use usage::Usage;

/// The architectures that the kernels are compiled for: 90 is sm_90.
pub const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// NVIDIA's tools.
#[derive(Debug)]
pub struct Tools {
    /// The compiler.
    pub nvrtc: Nvrtc,
    /// The folder that holds `bin/nvdisasm`.
    pub programs: PathBuf,
}

/// A unit for one architecture.
#[derive(Debug)]
pub struct Compiled {
    /// Machine code.
    pub cubin: Vec<u8>,
    /// All that the compiler said: warnings and ptxas' report.
    pub log: String,
}

impl Compiled {
    /// Compiles `unit`. A failure is the compiler's log.
    pub fn of(unit: &Unit, architecture: u32, nvrtc: &Nvrtc) -> Result<Self, String> {
        nvrtc.compile(unit, architecture).map_err(|log| format!("{}, sm_{architecture}:\n{log}", unit.name))
    }

    /// What `kernel` needs of a multiprocessor.
    pub fn usage(&self, kernel: &str) -> Result<Usage, String> {
        usage::of(&self.log, kernel)
    }

    /// What the compiler said besides ptxas' report.
    pub fn complaints(&self) -> Vec<&str> {
        let is_report = |line: &str| line.starts_with("ptxas info") || line.starts_with("ptxas  ");
        self.log.lines().filter(|line| !line.trim().is_empty() && !is_report(line)).collect()
    }

    /// The stretches of `kernel` that move elements by these accesses alone.
    pub fn main_paths(&self, kernel: &str, expected: &Expected, programs: &Path) -> Result<Vec<Stretch>, String> {
        let disassembly = disassemble(&self.cubin, programs)?;
        Ok(Listing::of(&disassembly, kernel)?.main_paths(expected))
    }
}

/// What `nvdisasm -c` prints of `cubin`.
fn disassemble(cubin: &[u8], programs: &Path) -> Result<String, String> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("machine-code-{}-{count}.cubin", std::process::id()));
    let in_words = |problem| format!("{}: {problem}", file.display());
    std::fs::write(&file, cubin).map_err(in_words)?;
    let output = Command::new(programs.join("bin/nvdisasm")).arg("-c").arg(&file).output();
    std::fs::remove_file(&file).map_err(in_words)?;
    let output = output.map_err(|problem| format!("nvdisasm does not start: {problem}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
