//! The bundle for a visit to a GPU, made here: what its programs need of the machine, and a dry run of all its parts on the
//! stand-in for CUDA. Making it takes a build in release, so `cargo xtask test standin` runs this and plain `cargo test` does
//! not.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn, FileHeader, SectionHeader};
use serde_json::Value;

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

fn make() -> Option<PathBuf> {
    let required = std::env::var("INSTEP_REQUIRE").unwrap_or_default();
    if !required.split(',').any(|word| word.trim() == "standin") {
        skipped("they build in release; `cargo xtask test standin` runs them");
        return None;
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gpu-bundle");
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["run", "--quiet", "--package", "xtask", "--", "gpu-bundle"]);
    let output = command.arg("--out").arg(&folder).output().expect("cargo starts");
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
fn every_test_for_the_sanitizer_exists() {
    let Some(bundle) = bundle() else { return };
    let output = Command::new(bundle.join("bin/device")).args(["--list", "--format", "terse"]).output().unwrap();
    let known = String::from_utf8(output.stdout).unwrap();
    for name in fs::read_to_string(bundle.join("sanitize.txt")).unwrap().lines() {
        assert!(known.lines().any(|line| line.strip_suffix(": test") == Some(name)), "{name} is in sanitize.txt");
    }
}

/// A machine with the stand-in as its driver, and its NVRTC where pip puts NVIDIA's.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// None where the results cannot be joined, after saying so.
    fn new(name: &str) -> Option<Machine> {
        if Command::new("python3").arg("--version").output().is_err() {
            skipped("python3 is missing, which joins the results");
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("gpu-bundle-{name}"));
        let _ = fs::remove_dir_all(&folder);
        let standin = cuda_on_cpu::folder().expect("the tier has a C++ compiler");
        let packages = folder.join("venv/lib/python3.11/site-packages/nvidia/cu13");
        for new in [&folder.join("driver"), &folder.join("bin"), &packages] {
            fs::create_dir_all(new).unwrap();
        }
        for library in ["libcuda.so", "libcuda.so.1"] {
            std::os::unix::fs::symlink(standin.join(library), folder.join("driver").join(library)).unwrap();
        }
        std::os::unix::fs::symlink(standin, packages.join("lib")).unwrap();
        Some(Machine { folder })
    }

    /// Puts a program before all others of its name.
    fn install(&self, name: &str, text: &str) {
        let path = self.folder.join("bin").join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn run(&self, bundle: &Path, parts: &[&str]) -> Output {
        let mut path = std::ffi::OsString::from(self.folder.join("bin"));
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new("bash");
        command.arg(bundle.join("run.sh")).args(parts).env("PATH", path);
        command.env("LD_LIBRARY_PATH", self.folder.join("driver")).env("VIRTUAL_ENV", self.folder.join("venv"));
        command.env("INSTEP_STANDIN", "1").env("INSTEP_RESULTS", self.results());
        command.env_remove("INSTEP_NVRTC").output().expect("bash starts")
    }

    fn results(&self) -> PathBuf {
        self.folder.join("results")
    }

    /// results.json and results.md.
    fn read(&self) -> (Value, String) {
        let [json, markdown] = ["results.json", "results.md"].map(|name| fs::read_to_string(self.results().join(name)));
        (serde_json::from_str(&json.unwrap()).unwrap(), markdown.unwrap())
    }
}

fn rows<'a>(results: &'a Value, part: &str) -> &'a [Value] {
    results["parts"][part]["rows"].as_array().map_or(&[], Vec::as_slice)
}

#[test]
fn a_dry_run_on_the_stand_in_passes_and_writes_both_results_files() {
    let Some(bundle) = bundle() else { return };
    let Some(machine) = Machine::new("dry-run") else { return };
    machine.install("compute-sanitizer", "#!/bin/sh\necho '========= Device not supported'\nexit 1\n");
    let run = machine.run(bundle, &["all"]);
    let printed = [String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr)].concat();
    assert!(run.status.success(), "{printed}");

    let (results, markdown) = machine.read();
    assert_eq!(results["standin"], true);
    assert!(markdown.contains("no figure here is a GPU's") && markdown.contains("CUDA on the CPU, "), "{markdown}");
    let tests = rows(&results, "tests");
    assert!(tests.len() >= 8 && tests.iter().all(|row| row["result"] == "ok"), "{tests:#?}");
    assert!(rows(&results, "sanitize").iter().all(|row| row["result"] == "refused"), "{markdown}");
    assert_eq!(rows(&results, "sanitize").len(), 4, "{markdown}");
    for part in ["bench", "peers"] {
        let timed: Vec<_> = rows(&results, part).iter().filter(|row| !row["time_ns"].is_null()).collect();
        assert!(
            !rows(&results, part).is_empty() && timed.is_empty(),
            "{part} must say why it measured nothing: {timed:?}"
        );
    }
    // The peers' models are the bench's own.
    let peers = fs::read_to_string(bundle.join("peers.py")).unwrap();
    for row in rows(&results, "bench").iter().filter(|row| row["row"] == "AdamW, all ways") {
        let size = row["size"].as_str().unwrap();
        assert!(
            peers.contains(&format!("    \"{size}\": [")) || peers.contains(&format!("    \"{size}\": gpt2")),
            "{size}"
        );
    }
}

#[test]
fn what_the_sanitizer_finds_fails_the_run_and_other_parts_keep_their_rows() {
    let Some(bundle) = bundle() else { return };
    let Some(machine) = Machine::new("sanitizer") else { return };
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
    let run = machine.run(bundle, &["sanitize"]);
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let (results, markdown) = machine.read();
    let with = |result: &str| rows(&results, "sanitize").iter().filter(|row| row["result"] == result).count();
    let each = fs::read_to_string(bundle.join("sanitize.txt")).unwrap().lines().count();
    assert_eq!((with("clean"), with("errors")), (3 * each, each), "{markdown}");
    assert_eq!(rows(&results, "peers").len(), 1, "{markdown}");
    assert_eq!(rows(&results, "peers")[0]["copy_gb_per_s"], 4000.0);
    assert!(!markdown.contains("## bench"), "{markdown}");
}
