//! The bundle for a visit to a GPU, made here: what its programs need of the machine, a dry run of its quick visit on the
//! stand-in for CUDA, and what its script does about programs that fail (`planted`). It is made of the programs of all tests, so
//! `cargo xtask test standin` runs this, which has built them, and plain `cargo test` does not.

mod machine;
mod planted;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader, SectionHeader};
use serde_json::Value;

use machine::Machine;

/// Debian 12 and all that is newer.
const NEWEST_GLIBC: (u32, u32) = (2, 36);
/// Parts of glibc, the last four empty since 2.34, and the compiler's own library.
const LIBRARIES: [&str; 8] = [
    "libc.so.6",
    "libm.so.6",
    "libgcc_s.so.1",
    "ld-linux-x86-64.so.2",
    "libdl.so.2",
    "libpthread.so.0",
    "librt.so.1",
    "libutil.so.1",
];
const PROGRAMS: [&str; 3] = ["device", "step", "digits"];

/// The bundle, made once; None where the tier is not asked for, after saying so.
fn bundle() -> Option<&'static Path> {
    static BUNDLE: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUNDLE.get_or_init(make).as_deref()
}

/// Whether the tier is asked for; says so where it is not.
fn asked_for() -> bool {
    let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
    let asked = required.split(',').any(|word| word.trim() == "standin");
    if !asked {
        skipped("they need the programs of all tests; `cargo xtask test standin` runs them");
    }
    asked
}

fn make() -> Option<PathBuf> {
    if !asked_for() {
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu-bundle");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--package", "xtask", "--", "gpu-bundle"]);
    let output = command.args(["--of", "tests", "--out"]).arg(&folder).output().expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(folder)
}

/// Past the capture of the test harness: what is skipped says so in any output.
fn skipped(why: &str) {
    writeln!(std::io::stderr(), "bundle tests: skipped: {why}").expect("stderr is open");
}

#[test]
fn no_program_needs_a_newer_glibc_or_another_library() {
    let Some(bundle) = bundle() else { return };
    for program in PROGRAMS {
        let needs = Needs::of(&fs::read(bundle.join("bin").join(program)).unwrap()).unwrap();
        assert!(needs.libraries.contains("libc.so.6") && !needs.versions.is_empty(), "{program}: {needs:?}");
        let others: Vec<_> = needs.libraries.iter().filter(|name| !LIBRARIES.contains(&name.as_str())).collect();
        assert_eq!(others, [""; 0], "{program}");
        let newer: Vec<_> = needs.versions.iter().filter(|version| glibc(version) > Some(NEWEST_GLIBC)).collect();
        assert_eq!(newer, [""; 0], "{program}");
        assert!(!needs.has_symbols, "{program} is not stripped");
    }
}

/// What the loader must find for a program.
#[derive(Debug)]
struct Needs {
    libraries: BTreeSet<String>,
    /// Of symbols: `GLIBC_2.34`, `GCC_3.0`.
    versions: BTreeSet<String>,
    has_symbols: bool,
}

impl Needs {
    fn of(bytes: &[u8]) -> object::Result<Needs> {
        let header = FileHeader64::<Endianness>::parse(bytes)?;
        let endian = header.endian()?;
        let sections = header.sections(endian, bytes)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();

        let mut libraries = BTreeSet::new();
        if let Some((entries, strings)) = sections.dynamic(endian, bytes)? {
            let strings = sections.strings(endian, bytes, strings)?;
            for entry in entries.iter().filter(|entry| entry.tag32(endian) == Some(DT_NEEDED)) {
                libraries.insert(text(entry.string(endian, strings)?));
            }
        }
        let mut versions = BTreeSet::new();
        if let Some((mut needed, strings)) = sections.gnu_verneed(endian, bytes)? {
            let strings = sections.strings(endian, bytes, strings)?;
            while let Some((_, mut symbols)) = needed.next()? {
                while let Some(symbol) = symbols.next()? {
                    versions.insert(text(symbol.name(endian, strings)?));
                }
            }
        }
        let has_symbols = sections.iter().any(|section| section.sh_type(endian) == object::elf::SHT_SYMTAB);
        Ok(Needs { libraries, versions, has_symbols })
    }
}

fn glibc(version: &str) -> Option<(u32, u32)> {
    let (major, minor) = version.strip_prefix("GLIBC_")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[test]
fn versions_of_glibc_compare_as_numbers() {
    assert!(glibc("GLIBC_2.4") < Some(NEWEST_GLIBC) && glibc("GLIBC_2.2.5") < Some(NEWEST_GLIBC));
    assert!(glibc("GLIBC_2.39") > Some(NEWEST_GLIBC));
    assert_eq!(glibc("GCC_3.0"), None);
}

#[test]
fn every_test_that_the_script_names_exists() {
    let Some(bundle) = bundle() else { return };
    let output = Command::new(bundle.join("bin/device")).args(["--list", "--format", "terse"]).output().unwrap();
    let known = String::from_utf8(output.stdout).unwrap();
    let quick = fs::read_to_string(bundle.join("quick.sh")).unwrap();
    let slow = quick.lines().find_map(|line| line.strip_prefix("slow_test=")).unwrap();
    for name in fs::read_to_string(bundle.join("sanitize.txt")).unwrap().lines().chain([slow]) {
        assert!(known.lines().any(|line| line.strip_suffix(": test") == Some(name)), "{name} is not a test");
    }
}

fn rows<'a>(results: &'a Value, part: &str) -> &'a [Value] {
    results["parts"][part]["rows"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn a_quick_visit_on_the_stand_in_passes_and_writes_both_results_files() {
    let Some(bundle) = bundle() else { return };
    let Some(machine) = Machine::with_standin("dry-run") else { return };
    machine.install("compute-sanitizer", "#!/bin/sh\necho '========= Device not supported'\nexit 1\n");
    // CUDA on the CPU is slower than a GPU.
    let run = machine.run(bundle, &["quick", "sanitize"], "quick=900 test=300");
    let printed = [String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr)].concat();
    assert!(run.status.success(), "{printed}");

    let (results, markdown) = machine.read();
    assert_eq!(results["standin"], true);
    assert_eq!(results["parts"]["bench"]["head"]["command"], "run.sh quick sanitize");
    assert!(markdown.contains("no figure here is a GPU's") && markdown.contains("CUDA on the CPU, "), "{markdown}");
    let tests = rows(&results, "tests");
    let named = fs::read_to_string(bundle.join("sanitize.txt")).unwrap().lines().count();
    // The examples, the bench's answers, and the slow test, which says that it is left out.
    assert_eq!(tests.len(), named + 4, "{tests:#?}");
    let (last, others) = tests.split_last().unwrap();
    assert!(others.iter().all(|row| row["result"] == "ok"), "{tests:#?}");
    assert_eq!(last["result"], "not run", "{last}");
    assert!(rows(&results, "sanitize").iter().all(|row| row["result"] == "refused"), "{markdown}");
    assert_eq!(rows(&results, "sanitize").len(), 4, "{markdown}");
    for part in ["bench", "peers"] {
        let timed: Vec<_> = rows(&results, part).iter().filter(|row| !row["time_ns"].is_null()).collect();
        assert!(
            rows(&results, part).len() >= 50 && timed.is_empty(),
            "{part} must say of each row why it was not measured: {timed:?}"
        );
    }
    // Each row of PyTorch's fused step has one of ours to be compared with.
    let key = |row: &Value| (row["row"].as_str().unwrap().to_owned(), row["size"].as_str().unwrap().to_owned());
    let ours: BTreeSet<_> = rows(&results, "bench").iter().map(key).collect();
    for (name, size) in rows(&results, "peers").iter().map(key) {
        let name = name.strip_prefix("torch fused ").unwrap_or_else(|| panic!("{name} is no row of a quick visit"));
        assert!(ours.contains(&(name.to_owned(), size.clone())), "{name}, {size}");
    }
}

#[test]
fn what_the_sanitizer_finds_fails_the_run_and_other_parts_keep_their_rows() {
    let Some(bundle) = bundle() else { return };
    let Some(machine) = Machine::with_standin("sanitizer") else { return };
    // The first run was killed in the middle of a row.
    fs::create_dir_all(machine.results()).unwrap();
    let cut = "{\"head\": {\"standin\": true}}\n{\"row\": \"copy\", \"gb_per_s\": 4000.0}\n{\"row\": \"to";
    fs::write(machine.results().join("peers.jsonl"), cut).unwrap();

    machine.install(
        "compute-sanitizer",
        "#!/bin/sh\ncase $2 in\nracecheck) echo '========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)' ;;\n\
         initcheck) echo '========= Uninitialized __global__ memory read'\n echo '========= ERROR SUMMARY: 2 errors'; exit 99 ;;\n\
         *) echo '========= ERROR SUMMARY: 0 errors' ;;\nesac\n",
    );
    let run = machine.run(bundle, &["sanitize"], "");
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let (results, markdown) = machine.read();
    let with = |result: &str| rows(&results, "sanitize").iter().filter(|row| row["result"] == result).count();
    let each = fs::read_to_string(bundle.join("sanitize.txt")).unwrap().lines().count();
    assert_eq!((with("clean"), with("errors")), (3 * each, each), "{markdown}");
    assert_eq!(rows(&results, "peers").len(), 1, "{markdown}");
    assert_eq!(rows(&results, "peers")[0]["copy_gb_per_s"], 4000.0);
    assert!(!markdown.contains("## bench"), "{markdown}");
}
