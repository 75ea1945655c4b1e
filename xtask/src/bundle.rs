//! `cargo xtask gpu-bundle`: a folder for a machine that has a GPU but neither Rust nor a network. It holds the device tests
//! with their golden tables, the bench and the example, in release and stripped, and what runs them: the files of
//! `xtask/bundle/`.

use crate::{Network, cargo, target_folder};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// What the folder may weigh: some machines take no more at once.
const MAX_BYTES: u64 = 55 << 20;

/// A program: its kind and name as cargo's arguments say them. Its name in the folder is the same.
const PROGRAMS: [(&str, &str); 3] = [("--test", "device"), ("--bench", "step"), ("--bin", "digits")];

/// Files that go along as they are, and whether each is run by its name.
const FILES: [(&str, &str, Mode); 5] = [
    ("run.sh", include_str!("../bundle/run.sh"), Mode::Program),
    ("quick.sh", include_str!("../bundle/quick.sh"), Mode::Text),
    ("results.py", include_str!("../bundle/results.py"), Mode::Text),
    ("peers.py", include_str!("../bundle/peers.py"), Mode::Text),
    ("sanitize.txt", include_str!("../bundle/sanitize.txt"), Mode::Text),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Text,
    Program,
}

/// What the programs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MadeOf {
    /// Built for the purpose.
    Release,
    /// Those of `cargo xtask test`, which are built already: for the tests of the bundle itself.
    Tests,
}

/// Makes the folder, or renews what it holds; results that lie there stay.
pub fn run(root: &Path, network: Network, words: &[String]) -> Result<ExitCode, String> {
    let (mut folder, mut made_of) = (target_folder().join("gpu-bundle"), MadeOf::Release);
    for pair in words.chunks(2) {
        match pair {
            [flag, value] if flag == "--out" => {
                folder = std::path::absolute(value).map_err(|problem| problem.to_string())?;
            }
            [flag, value] if flag == "--of" && value == "tests" => made_of = MadeOf::Tests,
            _ => return Err(format!("`gpu-bundle {}` is no way to call it: gpu-bundle [--out DIR]", words.join(" "))),
        }
    }
    let in_words = |problem| format!("{}: {problem}", folder.display());
    let built = build(root, network, made_of)?;
    fs::create_dir_all(folder.join("bin")).map_err(in_words)?;
    let mut bytes = 0;
    for (name, program) in &built {
        let copy = folder.join("bin").join(name);
        fs::copy(program, &copy).map_err(in_words)?;
        if made_of == MadeOf::Tests {
            strip(&copy)?;
        }
        bytes += copy.metadata().map_err(in_words)?.len();
    }
    for (name, text, mode) in FILES {
        bytes += text.len() as u64;
        write(&folder.join(name), text, mode).map_err(in_words)?;
    }
    bytes += copy_golden(&root.join("tests/golden"), &folder.join("golden")).map_err(in_words)?;
    write(&folder.join("revision"), &revision(root), Mode::Text).map_err(in_words)?;

    if bytes > MAX_BYTES {
        return Err(format!("the bundle has {bytes} bytes, but must not exceed {MAX_BYTES}"));
    }
    println!("{}: {:.1} MiB", folder.display(), bytes as f64 / f64::from(1 << 20));
    println!("copy it to a machine with a GPU and run: ./run.sh quick");
    Ok(ExitCode::SUCCESS)
}

/// Copies the golden tables, which the device tests read; returns their bytes.
fn copy_golden(from: &Path, to: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for part in ["", "peers"] {
        fs::create_dir_all(to.join(part))?;
        for entry in fs::read_dir(from.join(part))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                bytes += fs::copy(&path, to.join(part).join(path.file_name().expect("a file's entry")))?;
            }
        }
    }
    Ok(bytes)
}

/// Builds all programs; returns the name and the file of each.
fn build(root: &Path, network: Network, made_of: MadeOf) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let mut command = cargo(root, network);
    match made_of {
        MadeOf::Release => {
            command.args(["build", "--release", "--package", "instep", "--package", "digits"]);
            command.args(PROGRAMS.iter().flat_map(|(kind, name)| [*kind, *name]));
        }
        MadeOf::Tests => drop(command.args(crate::test::OF_ALL).arg("--no-run")),
    }
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().map_err(|problem| format!("cargo does not start: {problem}"))?;
    if !output.status.success() {
        return Err(format!("the build failed: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let missing = |name| format!("cargo names no file for {name}");
    let found = |kind, name| executable(&messages, kind, name).ok_or_else(|| missing(name));
    PROGRAMS.into_iter().map(|(flag, name)| Ok((name, found(&flag[2..], name)?))).collect()
}

/// Takes what only debuggers need out of a program, as release builds do.
fn strip(program: &Path) -> Result<(), String> {
    let status = Command::new("strip").arg(program).status();
    match status.map_err(|problem| format!("strip does not start: {problem}"))? {
        status if status.success() => Ok(()),
        status => Err(format!("strip {}: {status}", program.display())),
    }
}

/// The file of the target `name` in cargo's messages, one JSON object a line; of a program itself, not of its unit tests.
pub fn executable(messages: &str, kind: &str, name: &str) -> Option<PathBuf> {
    let meant = |message: &Value| {
        let (target, tests) = (&message["target"], message["profile"]["test"] == true);
        let of_kind = target["kind"].as_array().is_some_and(|kinds| kinds.contains(&kind.into()));
        target["name"] == name && of_kind && !(kind == "bin" && tests)
    };
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut files = messages.filter(meant);
    files.find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// What the bundle is made of: a commit, with a mark where the sources differ from it.
fn revision(root: &Path) -> String {
    let arguments = ["describe", "--always", "--dirty", "--exclude", "*"];
    let output = Command::new("git").current_dir(root).args(arguments).stderr(Stdio::null()).output();
    let described = output.ok().filter(|output| output.status.success());
    described.map_or("unknown\n".to_owned(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn write(path: &Path, text: &str, mode: Mode) -> std::io::Result<()> {
    fs::write(path, text)?;
    #[cfg(unix)]
    if mode == Mode::Program {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[test]
fn a_program_is_found_among_cargos_messages() {
    let messages = r#"{"reason":"compiler-artifact","target":{"name":"step","kind":["bench"]},"executable":null}
not json
{"reason":"compiler-artifact","target":{"name":"digits","kind":["test"]},"profile":{"test":true},"executable":"/t/digits-1"}
{"reason":"compiler-artifact","target":{"name":"digits","kind":["bin"]},"profile":{"test":true},"executable":"/t/digits-2"}
{"reason":"compiler-artifact","target":{"name":"digits","kind":["bin"]},"profile":{"test":false},"executable":"/t/digits"}
{"reason":"compiler-artifact","target":{"name":"step","kind":["bench"]},"profile":{"test":true},"executable":"/t/step-2"}"#;
    assert_eq!(executable(messages, "bench", "step"), Some(PathBuf::from("/t/step-2")));
    assert_eq!(executable(messages, "bin", "digits"), Some(PathBuf::from("/t/digits")));
    assert_eq!(executable(messages, "test", "device"), None);
}
