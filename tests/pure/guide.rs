//! README and guide: each block of code is of a kind that something compiles, runs or reads; pages are in the index and among the
//! documentation tests; what they link to is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use instep::Config;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn pages() -> Vec<PathBuf> {
    let guide = fs::read_dir(root().join("docs/guide")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = guide.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

/// Kind and text of each fenced block.
fn blocks(text: &str) -> Vec<(String, String)> {
    let (mut blocks, mut open) = (Vec::new(), None::<(String, String)>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(kind)) => open = Some((kind.to_owned(), String::new())),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some((_, block)), None) => *block = format!("{block}{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is never closed");
    blocks
}

/// The text of the crates that are built apart from the workspace.
fn engines() -> String {
    let mut text = String::new();
    let mut folders = vec![root().join("engines")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).into_iter().flatten().map(|entry| entry.unwrap().path()) {
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                text.push_str(&fs::read_to_string(&path).unwrap());
            }
        }
    }
    text
}

#[test]
fn every_block_of_code_is_checked_by_something() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let engines = engines();
    for page in pages() {
        let name = page.strip_prefix(root()).unwrap().display().to_string();
        for (kind, block) in blocks(&fs::read_to_string(&page).unwrap()) {
            match kind.as_str() {
                "rust" | "rust,no_run" => {
                    let included = format!("include_str!(\"../{name}\")");
                    assert!(lib.contains(&included), "{name} is not among the documentation tests of src/lib.rs");
                }
                // Of another crate, where the same lines are.
                "rust,ignore" => {
                    let lines = block.lines().map(str::trim).filter(|line| !line.is_empty());
                    let missing: Vec<&str> = lines.filter(|line| !engines.contains(line)).collect();
                    assert!(missing.is_empty(), "{name}: not in engines/: {missing:#?}");
                }
                "toml" if block.contains("dependencies]") => {}
                "toml" => drop(Config::from_toml(&block).unwrap_or_else(|e| panic!("{name}: {e}\n{block}"))),
                // An outline, and no code of ours.
                "text" => {}
                "console" => check_console(&name, &block),
                _ => panic!("{name}: a block of {kind:?}, which nothing checks"),
            }
        }
    }
}

/// Commands of the command-line tool and of the repository are there.
fn check_console(page: &str, block: &str) {
    let commands = fs::read_to_string(root().join("src/bin/instep/commands.rs")).unwrap().to_lowercase();
    let xtask = fs::read_to_string(root().join("xtask/src/main.rs")).unwrap();
    for line in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let known = match words[..] {
            ["instep", command, ..] => {
                commands.contains(&format!("{command}(")) || commands.contains(&format!("{command},"))
            }
            ["cargo", "xtask", command, ..] => xtask.contains(&format!("\"{command}\"")),
            ["cargo", "run", "--release", "-p", package, ..] => root().join("examples").join(package).is_dir(),
            ["cargo", "run", "--example", example, ..] => {
                let file = root().join("examples").join(format!("{example}.rs"));
                file.exists() || root().join("examples").join(example).is_dir()
            }
            ["cargo", "install", ..] => true,
            _ => false,
        };
        assert!(known, "{page}: {line:?} is no command that is known");
    }
}

#[test]
fn every_page_is_in_the_index_and_what_it_links_to_is_there() {
    let index = fs::read_to_string(root().join("docs/guide/README.md")).unwrap();
    let mut linked = BTreeSet::new();
    for page in pages() {
        let folder = page.parent().unwrap();
        for target in fs::read_to_string(&page).unwrap().split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap();
            if target.is_empty() || target.starts_with("http") {
                continue;
            }
            let path = folder.join(target);
            assert!(path.exists(), "{}: {target} is not there", page.display());
            linked.insert(path.canonicalize().unwrap());
        }
        if folder.ends_with("guide") && !page.ends_with("README.md") && !page.ends_with("command-line.md") {
            let name = page.file_name().unwrap().to_string_lossy();
            assert!(index.contains(&format!("({name})")), "{name} is not in the index");
        }
    }
    assert!(linked.len() > 20, "{linked:?}");
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 120, "{lines} lines");
}
