//! The rooms of `src/`, and where `cudarc` and `unsafe` may appear.

use std::collections::BTreeSet;

use super::{files, none, root};

/// A room and the rooms that it may know. A room is a folder or a file of `src/`; it knows itself.
const ROOMS: [(&str, &[&str]); 21] = [
    ("error", &[]),
    ("nearest", &[]),
    ("schedule", &["error"]),
    ("program", &["error", "schedule"]),
    ("rule", &["error", "schedule", "program"]),
    ("optim", &["error", "nearest", "schedule", "program", "rule"]),
    ("settings", &[]),
    ("gradient", &["error", "settings"]),
    ("telemetry", &["error"]),
    ("precision", &["error"]),
    ("features", &["error", "schedule", "settings", "telemetry"]),
    (
        "config",
        &[
            "error",
            "nearest",
            "schedule",
            "program",
            "rule",
            "optim",
            "settings",
            "gradient",
            "telemetry",
            "features",
            "precision",
            "dynamic",
        ],
    ),
    ("compat", &["error", "nearest", "schedule", "optim", "gradient", "precision", "config"]),
    ("plan", &["error", "settings", "gradient", "telemetry", "features", "precision", "schedule", "program", "rule"]),
    ("host", &["error", "settings", "gradient", "telemetry", "precision", "program", "rule", "plan"]),
    ("device", &["error"]),
    ("dynamic", &["error", "device", "plan"]),
    ("kernels", &["plan"]),
    ("backend", &["error", "device"]),
    (
        "optimizer",
        &[
            "error",
            "settings",
            "schedule",
            "program",
            "rule",
            "optim",
            "precision",
            "plan",
            "host",
            "device",
            "kernels",
            "backend",
            "config",
            "gradient",
            "telemetry",
            "features",
            "dynamic",
        ],
    ),
    ("rates", &["error", "schedule", "rule", "gradient", "telemetry", "plan", "device", "backend", "optimizer"]),
];

/// The room that a file of `src/` belongs to; None for the crate's root and for the command-line tool, another crate.
fn room(path: &str) -> Option<&str> {
    let name = path.strip_prefix("src/")?.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (!["lib", "bin"].contains(&name)).then_some(name)
}

/// The modules or items that a line names after `crate::`.
fn named(line: &str) -> Vec<&str> {
    let word = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    line.match_indices("crate::").map(|(at, m)| &line[at + m.len()..]).map(|rest| &rest[..word(rest)]).collect()
}

#[test]
fn every_room_knows_only_the_rooms_it_may() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for file in files("src", &["rs"]) {
        let Some(room) = room(&file.path) else { continue };
        let Some((_, known)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            wrong.push(format!("{} is in no room of the table", file.path));
            continue;
        };
        seen.insert(room.to_owned());
        for (number, line) in file.code() {
            // The error's result is used everywhere, under its name in the crate's root.
            let others =
                named(line).into_iter().filter(|name| !["Result", "Error", ""].contains(name) && *name != room);
            let refused = others.filter(|name| !known.contains(name));
            wrong.extend(refused.map(|name| format!("{}:{number}: `{room}` may not know `{name}`", file.path)));
        }
    }
    none("rooms", wrong);
    assert_eq!(seen.len(), ROOMS.len(), "a room of the table is gone: {seen:?}");
}

#[test]
fn cudarc_appears_under_the_device_room_and_in_the_signatures_that_take_an_engines_handles() {
    let mut wrong = Vec::new();
    for file in files("src", &["rs"]).into_iter().filter(|file| room(&file.path) != Some("device")) {
        let lines = file.code().filter(|(_, line)| line.contains("cudarc"));
        for (number, line) in lines.filter(|(_, line)| line.replace("from_cudarc", "").contains("cudarc")) {
            let line = line.trim_start();
            let signature =
                file.path == "src/backend.rs" && ["pub fn ", "pub unsafe fn "].iter().any(|f| line.starts_with(f));
            let passed_on = file.path == "src/lib.rs" && line == "pub use cudarc;";
            if !signature && !passed_on {
                wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("cudarc", wrong);
}

#[test]
fn unsafe_code_is_in_the_device_room_in_views_of_memory_on_the_host_and_where_a_contract_is_passed_on() {
    let mut wrong = Vec::new();
    for file in files("src", &["rs"]) {
        if room(&file.path) == Some("device") || file.path.starts_with("src/host/memory") {
            continue;
        }
        let lines: Vec<&str> = file.text.lines().collect();
        let word = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
        for (number, line) in file.code().filter(|(_, line)| word(line) && !line.trim_start().starts_with("#[")) {
            // The function that the line is in, or is, and its attributes.
            let function = lines[..number].iter().rposition(|line| line.contains("fn "));
            let expected = function.is_some_and(|at| {
                let attributes = lines[at.saturating_sub(3)..at].iter();
                lines[at].contains("pub unsafe fn ")
                    && attributes.into_iter().any(|l| l.contains("#[expect(unsafe_code"))
            });
            if !expected {
                wrong.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    none("unsafe code", wrong);
    let lib = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    assert!(lib.contains("#![deny(unsafe_code)]"));
}

#[test]
fn every_unsafe_block_says_why_it_is_sound() {
    let all = ["src", "tests", "xtask", "examples"].into_iter().flat_map(|folder| files(folder, &["rs"]));
    let mut wrong = Vec::new();
    for file in all {
        let lines: Vec<&str> = file.text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or(line);
            let block = code.contains("unsafe {") && !code.contains('"');
            // Above the statement that the block is in, which may have begun a few lines before.
            let said = lines[i.saturating_sub(8)..=i].iter().any(|l| l.contains("SAFETY:"));
            if block && !said {
                wrong.push(format!("{}:{}: {}", file.path, i + 1, line.trim()));
            }
        }
    }
    none("unsafe blocks without a reason", wrong);
}

#[test]
fn no_source_file_is_longer_than_400_lines() {
    let folders = ["src", "kernels", "xtask", "tests/standin", "tests/device", "tests/pure", "examples"];
    let all = folders.into_iter().flat_map(|folder| files(folder, &["rs", "cu", "cuh", "h", "cpp"]));
    let lengths = all.map(|file| (file.path, file.text.lines().count()));
    none("too long", lengths.filter(|(_, lines)| *lines > 400).map(|(path, lines)| format!("{path}: {lines} lines")));
}

#[test]
fn no_file_or_module_has_a_name_that_says_nothing() {
    let empty = ["utils", "util", "common", "base", "prelude", "helpers", "misc"];
    let all = ["src", "kernels", "xtask", "tests"]
        .into_iter()
        .flat_map(|folder| files(folder, &["rs", "cu", "cuh", "h", "cpp"]));
    let named = all.filter(|file| {
        let parts = file.path.split(['/', '.']);
        parts.into_iter().any(|part| empty.contains(&part))
    });
    none("names", named.map(|file| file.path));
}
