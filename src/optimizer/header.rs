//! Schedules as one CUDA header that needs no other file: for engines that keep their own kernels. Start at [`Config::header`].
//!
//! The functions that it needs are those of `kernels/`, in an inline namespace that is named after their text: headers of
//! several configurations, or of several versions, fit into one unit.

use std::collections::BTreeSet;
use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::error::{Result, number};
use crate::kernels;
use crate::program::names::{self, Kind};
use crate::program::{Program, emit};

/// What the functions call, of `kernels/`.
const FILES: [&str; 3] = ["math.cuh", "curves.cuh", "program.cuh"];

const HEAD: &str = "\
// Schedules as functions of the step, by instep. Needs no other file; for nvcc, NVRTC and C++17.
//
// Each function takes its clock and the address of its constants: the array behind it, or a copy of that which the device reaches.
// The clock is the number of updates that were applied before, 0 at the first. Where a part of a schedule runs on progress, the count of
// samples or tokens, that is the second argument.
//
// Compiled without contraction and without fast math, values have the same bits everywhere: nvcc and NVRTC with --fmad=false, g++ and
// clang with -ffp-contract=off.
//
// INSTEP_TABLE says what the arrays are, `static const` by default: `-DINSTEP_TABLE=\"static __device__ const\"` puts them on the device,
// where kernels name them.
#pragma once
#ifndef __CUDACC_RTC__
#include <math.h>
#include <string.h>
#endif
#ifndef INSTEP_TABLE
#define INSTEP_TABLE static const
#endif
#ifndef INSTEP_FUNCTION
#ifdef __CUDACC__
#define INSTEP_FUNCTION __host__ __device__ inline
#else
#define INSTEP_FUNCTION inline
#endif
#endif
";

/// What the functions of `kernels/` name and a plain C++ compiler does not have.
const NAMES: &str = "\
using u64 = unsigned long long;
using u32 = unsigned int;
static_assert(sizeof(u64) == 8 && sizeof(u32) == 4, \"64-bit machines only\");

INSTEP_FUNCTION double double_of_bits(u64 bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}
INSTEP_FUNCTION u64 bits_of_double(double x) {
  u64 bits;
  memcpy(&bits, &x, 8);
  return bits;
}
";

/// The functions of `kernels/`, without what is a device's alone.
fn functions() -> String {
    let mut text = String::new();
    for line in FILES.iter().flat_map(|file| kernels::text(file).lines()) {
        if line.starts_with('#') {
            continue;
        }
        let line = line
            .replace("__device__ __forceinline__", "INSTEP_FUNCTION")
            .replace("__longlong_as_double(", "double_of_bits((u64)")
            .replace("__double_as_longlong(", "bits_of_double(")
            .replace("load_staged(c + i)", "c[i]");
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// Every piece of `text` that is no letter or digit becomes one underscore, and none stands at an end: what a name may be made of.
fn word(text: &str) -> String {
    let pieces = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|piece| !piece.is_empty());
    pieces.collect::<Vec<_>>().join("_")
}

/// Words of C++ that a name may not be.
const WORDS: [&str; 17] = [
    "and_eq",
    "char16_t",
    "char32_t",
    "char8_t",
    "co_await",
    "co_return",
    "co_yield",
    "const_cast",
    "dynamic_cast",
    "not_eq",
    "or_eq",
    "reinterpret_cast",
    "static_assert",
    "static_cast",
    "thread_local",
    "wchar_t",
    "xor_eq",
];

/// The name of a function: that of its group and that of its hyperparameter. Neither it nor that of its constants is one of `taken`, into
/// which both are put.
fn name(group: Option<&str>, index: usize, hyperparameter: &str, taken: &mut BTreeSet<String>) -> String {
    let group = group.map(word).filter(|word| !word.is_empty()).unwrap_or_else(|| format!("group{index}"));
    let group = if group.starts_with(|c: char| c.is_ascii_digit()) { format!("group_{group}") } else { group };
    let plain = format!("{group}_{}", word(hyperparameter));
    let mut name = plain.clone();
    let mut number = 1;
    while taken.contains(&name) || taken.contains(&constants(&name)) {
        number += 1;
        name = format!("{plain}_{number}");
    }
    taken.extend([name.clone(), constants(&name)]);
    name
}

/// The name of the constants of the function `name`.
fn constants(name: &str) -> String {
    format!("{name}_constants")
}

impl Config {
    /// The schedules of all groups as one self-contained CUDA header, for kernels of one's own: for each hyperparameter that is given a function
    /// `instep::GROUP_NAME(t, constants)`, such as `decay_lr`, and its constants, `instep::decay_lr_constants`. It is C++ for the host too. Its values have the
    /// bits of [`Schedule::at`](crate::Schedule::at), where the compiler contracts nothing. A schedule on the progress clock takes that clock behind `t`.
    /// Knobs have the values that they have here. Groups without a name are `group0`, `group1`, ….
    ///
    /// ```
    /// use instep::{Config, GroupConfig, Schedule};
    /// let mut group = GroupConfig::new(Schedule::cosine(3e-4, 3e-5).over(1_800).warmup(200));
    /// group.name = Some("decay".into());
    /// let header = Config::new([group]).header()?;
    /// assert!(header.contains("INSTEP_FUNCTION double decay_lr(u64 t0, const u64* c) {"));
    /// # Ok::<(), instep::Error>(())
    /// ```
    ///
    /// # Errors
    /// What [`Config::check`] refuses.
    pub fn header(&self) -> Result<String> {
        self.check()?;
        let functions = functions();
        let digest = Sha256::digest(NAMES.to_owned() + &functions);
        let version: String = digest[..6].iter().map(|byte| format!("{byte:02x}")).collect();
        let mut text = HEAD.to_owned();
        let begin = format!("namespace instep {{\ninline namespace v{version} {{\n");
        let end = format!("}}  // namespace v{version}\n}}  // namespace instep\n");
        let guard = format!("INSTEP_FUNCTIONS_{}", version.to_uppercase());
        let _ = write!(text, "#ifndef {guard}\n#define {guard}\n{begin}{NAMES}\n{functions}{end}#endif\n\n{begin}");
        let mut taken: BTreeSet<String> = WORDS.map(str::to_owned).into();
        for (index, group) in self.groups.iter().enumerate() {
            for (hyperparameter, schedule) in group.hyperparameters() {
                let program =
                    Program::new(schedule).map_err(|e| e.within(&format!("groups[{index}].{hyperparameter}.")))?;
                let name = name(group.name.as_deref(), index, hyperparameter, &mut taken);
                let words = schedule.brief().replace(char::is_control, " ");
                let _ = write!(text, "\n// groups[{index}].{hyperparameter}: {words}\n{}", table(&name, &program));
                text.push_str(&emit::plain(&name, &program.root));
            }
        }
        text.push('\n');
        text.push_str(&end);
        Ok(text)
    }
}

/// The constants of a function, with what each is.
fn table(name: &str, program: &Program) -> String {
    let names = names::constants(&program.root);
    let mut text = format!("INSTEP_TABLE u64 {}[] = {{\n", constants(name));
    for (place, bits) in (0u32..).zip(&program.constants) {
        let what = match names.get(&place) {
            Some((name, Kind::Real)) => format!("{name}: {}", number(f64::from_bits(*bits))),
            Some((name, Kind::Count)) => format!("{name}: {bits}"),
            None => "not read".to_owned(),
        };
        let _ = writeln!(text, "    {bits:#018x}ull,  // {what}");
    }
    // An array has at least one element.
    if program.constants.is_empty() {
        text.push_str("    0,  // not read\n");
    }
    text + "};\n"
}
