//! Prints the static report, and writes it to the file that is given. `cargo xtask kernels` runs it with the two variables
//! set by which it finds NVIDIA's tools: `INSTEP_NVRTC`, the folder of libnvrtc, and `INSTEP_CUDA_TOOLS`, that of
//! `bin/nvdisasm`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use machine_code::nvrtc::Nvrtc;
use machine_code::{Tools, report};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).ok_or(format!("{name} is not set"));
    let tools = Tools { nvrtc: Nvrtc::load(&folder("INSTEP_NVRTC")?)?, programs: folder("INSTEP_CUDA_TOOLS")? };
    let file = std::env::args_os().nth(1).ok_or("usage: machine-code FILE")?;
    let mut table = String::new();
    report::write(&tools, |line| {
        println!("{line}");
        table.push_str(line);
        table.push('\n');
    })?;
    let file = Path::new(&file);
    std::fs::write(file, table).map_err(|problem| format!("{}: {problem}", file.display()))
}
