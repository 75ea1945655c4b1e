//! Prints the static report, and writes it to the file that is given; after `rules`, the page of what each rule costs, or, with
//! names behind the file, prints the table of those rules alone. `cargo xtask kernels` and `cargo xtask rules` run it with the two
//! variables set by which it finds NVIDIA's tools: `INSTEP_NVRTC`, the folder of libnvrtc, and `INSTEP_CUDA_TOOLS`, that of
//! `bin/nvdisasm`.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use machine_code::nvrtc::Nvrtc;
use machine_code::{Tools, report, rules};

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
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["rules", file] => write(file, &rules::page(&tools, |line| println!("{line}"))?),
        ["rules", _, ref names @ ..] => {
            for line in rules::table(&tools, names, |_| ())? {
                println!("{line}");
            }
            Ok(())
        }
        [file] => {
            let mut table = String::new();
            report::write(&tools, |line| {
                println!("{line}");
                table.push_str(line);
                table.push('\n');
            })?;
            write(file, &table)
        }
        _ => Err("usage: machine-code FILE, or machine-code rules FILE [NAME...]".to_owned()),
    }
}

fn write(file: &str, text: &str) -> Result<(), String> {
    fs::write(file, text).map_err(|problem| format!("{file}: {problem}"))
}
