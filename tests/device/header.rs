//! Schedules as a header for others' kernels: compiled as CUDA and as plain C++, its values are the host's, bit for bit.

use std::path::Path;
use std::process::Command;

use cudarc::driver::{LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use instep::{Config, GroupConfig, Schedule, Source};

use crate::rig::Rig;
use crate::schedules::schedules;

/// Through all boundaries, and far beyond.
fn steps() -> impl Iterator<Item = u64> + Clone {
    (0..150).chain([1_000, 65_537, 1 << 40, u64::MAX])
}

/// Every form of the language, a group each: `g0_lr`, `g1_lr`, …
fn every_form() -> Config {
    let group = |(i, schedule): (usize, Schedule)| {
        let mut group = GroupConfig::new(schedule);
        group.name = Some(format!("g{i}"));
        group
    };
    Config::new(schedules().into_iter().enumerate().map(group).collect::<Vec<_>>())
}

/// The text that sets `out` to each function's value at `t`, one after the other.
fn calls(header: &str) -> String {
    let call = |i: usize| {
        let progress = if header.contains(&format!("double g{i}_lr(u64 t0, u64 progress, ")) { "t, " } else { "" };
        format!("  *out++ = instep::g{i}_lr(t, {progress}instep::g{i}_lr_constants);\n")
    };
    (0..schedules().len()).map(call).collect()
}

/// Compares values, those of each step side by side, with the host's.
fn check(values: &[u64]) {
    let schedules = schedules();
    assert_eq!(values.len(), steps().count() * schedules.len());
    for (t, values) in steps().zip(values.chunks(schedules.len())) {
        for (bits, schedule) in values.iter().zip(&schedules) {
            let host = schedule.at(t).unwrap();
            let theirs = f64::from_bits(*bits);
            assert_eq!(*bits, host.to_bits(), "step {t}, {schedule:?}: {theirs:e}, host {host:e}");
        }
    }
}

#[test]
fn kernels_of_others_compute_the_hosts_values_of_every_form() {
    let Some(rig) = Rig::new() else { return };
    let header = every_form().header().unwrap();
    let text = format!(
        "#define INSTEP_TABLE static __device__ const\n#include \"schedules.h\"\n#include \"schedules.h\"\n\
         extern \"C\" __global__ void trace(double* out, unsigned long long t) {{\n{}}}\n",
        calls(&header)
    );
    let source = Source { name: "trace.cu", text: &text, headers: &[("schedules.h", &header)] };
    let image = rig.device.compile(&source).unwrap();
    let module = rig.context.load_module(Ptx::from_binary(image.to_vec())).unwrap();
    let trace = module.load_function("trace").unwrap();
    let count = schedules().len();
    let mut values = Vec::new();
    for t in steps() {
        let out = rig.engine.clone_htod(&vec![0u64; count]).unwrap();
        let mut arguments = rig.engine.launch_builder(&trace);
        arguments.arg(&out).arg(&t);
        let one_thread = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (1, 1, 1), shared_mem_bytes: 0 };
        // SAFETY: the kernel writes `count` doubles to `out`.
        unsafe { arguments.launch(one_thread) }.unwrap();
        values.extend(rig.engine.clone_dtoh(&out).unwrap());
    }
    rig.finish();
    check(&values);
}

/// Compiles `text` beside `headers` and returns what it prints; None where there is no compiler, after saying so.
fn run(folder: &Path, headers: &[(&str, &str)], text: &str) -> Option<String> {
    std::fs::create_dir_all(folder).unwrap();
    for (name, text) in headers {
        std::fs::write(folder.join(name), text).unwrap();
    }
    std::fs::write(folder.join("main.cpp"), text).unwrap();
    let options = ["-std=c++17", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "main.cpp", "-o", "main"];
    // Constants of functions that the text does not call.
    let options = options.into_iter().chain(["-Wno-unused-variable", "-Wno-unused-const-variable"]);
    let outputs = ["c++", "g++", "clang++"]
        .into_iter()
        .map(|compiler| Command::new(compiler).current_dir(folder).args(options.clone()).output());
    let Some(output) = outputs.flatten().next() else {
        println!("skipped: no C++ compiler: tried c++, g++, clang++");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(folder.join("main")).output().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    assert!(output.status.success());
    Some(String::from_utf8(output.stdout).unwrap())
}

/// A name without its like, names that are one name once they are written as names, and one that C++ has a word for.
fn strange_names() -> Config {
    let named = |name: &str, lr: f64| {
        let mut group = GroupConfig::new(lr);
        group.name = Some(name.to_owned());
        group
    };
    let groups = [named("1 weird-nåme", 1.0), named("a.b", 2.0), named("a/b", 3.0), named("__", 4.0)];
    Config::new(groups)
}

#[test]
fn a_plain_compiler_of_cpp_computes_them_too_from_two_headers_in_one_unit() {
    let (all, strange) = (every_form().header().unwrap(), strange_names().header().unwrap());
    let steps: Vec<String> = steps().map(|t| format!("{t}ull")).collect();
    let names = ["group_1_weird_n_me_lr", "a_b_lr", "a_b_lr_2", "group3_lr"];
    let strange_calls = names.map(|name| format!("  print(instep::{name}(0, instep::{name}_constants));\n")).concat();
    let text = format!(
        "#include \"all.h\"\n#include \"strange.h\"\n#include <stdio.h>\n\
         static void print(double x) {{\n  unsigned long long bits;\n  memcpy(&bits, &x, 8);\n  printf(\"%llu\\n\", bits);\n}}\n\
         static double* values(double* out, unsigned long long t) {{\n{}  return out;\n}}\n\
         static const unsigned long long steps[] = {{{}}};\n\
         int main() {{\n{strange_calls}  static double out[1024];\n  for (unsigned long long t : steps)\n    \
         for (double *x = out, *end = values(out, t); x < end; x++) print(*x);\n}}\n",
        calls(&all),
        steps.join(", "),
    );
    let folder = std::env::temp_dir().join(format!("instep-header-{}", std::process::id()));
    let Some(printed) = run(&folder, &[("all.h", &all), ("strange.h", &strange)], &text) else { return };
    let values: Vec<u64> = printed.lines().map(|line| line.parse().unwrap()).collect();
    let (strange, all) = values.split_at(names.len());
    assert_eq!(strange, [1.0f64, 2.0, 3.0, 4.0].map(f64::to_bits));
    check(all);
}
