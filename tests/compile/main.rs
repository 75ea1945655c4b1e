//! The compile tier: every kernel of a few optimizers, for every architecture, through the real compiler; no GPU needed.
//! `INSTEP_NVRTC` is the folder of libnvrtc, `INSTEP_CUDA_TOOLS` that of `bin/nvdisasm`; `cargo xtask tools` fetches both.

mod nvrtc;
mod sass;
mod units;
mod usage;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Once;
use std::{env, fs};

use nvrtc::Nvrtc;
use sass::{Access, Direction, Listing, Space};
use units::Unit;

const ARCHITECTURES: [u32; 7] = [75, 80, 86, 89, 90, 100, 120];

/// 65,536 registers of a multiprocessor for 1,024 resident threads.
const MAX_REGISTERS: u32 = 64;

/// Bytes that ptxas may park outside the loops over elements, once a launch or a chunk.
const fn parked(architecture: u32) -> u32 {
    if architecture <= 90 { 0 } else { 16 }
}

/// The value of `variable`; without it the test is skipped and says so, or fails where the tier is required.
fn folder(variable: &str) -> Option<PathBuf> {
    let folder = env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    if folder.is_none() {
        let required = env::var("INSTEP_REQUIRE").unwrap_or_default();
        assert!(
            !required.split(',').any(|word| word.trim() == "nvrtc"),
            "{variable} is not set, but nvrtc is required"
        );
        // Once, and past the capture of the test harness: a skipped tier says so in any output.
        static SAID: Once = Once::new();
        SAID.call_once(|| {
            let said =
                writeln!(io::stderr(), "compile tests: skipped: {variable} is not set; `cargo xtask test` sets it");
            said.expect("stderr is open");
        });
    }
    folder
}

fn nvrtc() -> Option<Nvrtc> {
    folder("INSTEP_NVRTC").map(|folder| Nvrtc::load(&folder).expect("INSTEP_NVRTC is a folder with NVRTC"))
}

/// What the compiler said besides ptxas' report.
fn complaints(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("ptxas info") && !line.starts_with("ptxas  "))
        .collect()
}

fn compiles_for_every_architecture(unit: &Unit) {
    let Some(nvrtc) = nvrtc() else { return };
    for architecture in ARCHITECTURES {
        let compiled = nvrtc.compile(unit, architecture).unwrap_or_else(|log| panic!("sm_{architecture}:\n{log}"));
        assert_eq!(complaints(&compiled.log), [""; 0], "sm_{architecture}");
        for kernel in ["update", "prime"] {
            let usage = usage::of(&compiled.log, kernel).unwrap();
            assert!(usage.registers <= MAX_REGISTERS, "{kernel}, sm_{architecture}: {usage:?}");
            assert!(usage.stack <= parked(architecture), "{kernel}, sm_{architecture}: {usage:?}");
        }
    }
}

#[test]
fn adamw_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::adamw());
}

#[test]
fn a_constant_rate_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::constant_adamw());
}

#[test]
fn sgd_compiles_for_every_architecture() {
    compiles_for_every_architecture(&units::sgd());
}

#[test]
fn many_rules_and_operations_in_one_launch_compile_for_every_architecture() {
    compiles_for_every_architecture(&units::everything());
}

#[test]
fn a_warning_is_noticed() {
    let Some(nvrtc) = nvrtc() else { return };
    let text = "extern \"C\" __global__ void update(int n) { int unused; }".to_string();
    let compiled = nvrtc.compile(&Unit { text, headers: Vec::new() }, 90).unwrap();
    assert!(complaints(&compiled.log)[0].contains("never referenced"), "{}", compiled.log);
}

#[test]
fn the_options_are_those_of_the_crate() {
    let (_, after) = include_str!("../../src/device/compile.rs").split_once("const OPTIONS: &[&str] = &[").unwrap();
    let (list, _) = after.split_once(']').unwrap();
    let theirs: Vec<&str> =
        list.split(',').map(|option| option.trim().trim_matches('"')).filter(|o| !o.is_empty()).collect();
    assert_eq!(theirs, nvrtc::OPTIONS);
}

/// Accesses of the loops that move elements in vectors of 16 bytes; the record loop of `evaluate` only stores such.
fn vector_loops(unit: &Unit, architecture: u32) -> Option<Vec<Vec<Access>>> {
    let (nvrtc, tools) = (nvrtc()?, folder("INSTEP_CUDA_TOOLS")?);
    let compiled = nvrtc.compile(unit, architecture).unwrap_or_else(|log| panic!("sm_{architecture}:\n{log}"));
    let file =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-sm_{architecture}.cubin", std::process::id()));
    fs::write(&file, &compiled.cubin).unwrap();
    let output = Command::new(tools.join("bin/nvdisasm")).arg("-c").arg(&file).output().expect("nvdisasm starts");
    fs::remove_file(&file).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let disassembly = String::from_utf8_lossy(&output.stdout);
    let mut loops = Listing::of(&disassembly, "update").unwrap().innermost_loops();
    let wide = |accesses: &[Access], direction| accesses.iter().any(|a| a.direction == direction && a.bits >= 128);
    loops.retain(|accesses| wide(accesses, Direction::Load) && wide(accesses, Direction::Store));
    Some(loops)
}

#[test]
fn adamw_moves_elements_by_16_byte_global_accesses_alone() {
    for architecture in ARCHITECTURES {
        let Some(loops) = vector_loops(&units::adamw(), architecture) else { return };
        assert!(!loops.is_empty(), "sm_{architecture}: no loop over vectors");
        for accesses in loops {
            let other = accesses.iter().find(|access| access.space != Space::Global || access.bits != 128);
            assert_eq!(other, None, "sm_{architecture}: among {accesses:?}");
            let count = |direction| accesses.iter().filter(|access| access.direction == direction).count();
            // param, grad, exp_avg, exp_avg_sq come in; all but grad go out.
            assert_eq!(3 * count(Direction::Load), 4 * count(Direction::Store), "sm_{architecture}: {accesses:?}");
        }
    }
}
