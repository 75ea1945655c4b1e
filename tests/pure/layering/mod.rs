//! The repository keeps its own layout: which room knows which, where CUDA and `unsafe` may appear, how kernels touch
//! memory, and numbers that stand in two files. Reads the sources as text.

mod kernels;
mod rooms;
mod twins;

use std::path::{Path, PathBuf};

/// A source file: its path from the root of the repository, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    /// Lines of code, numbered from 1: comments are cut off, and modules under `cfg(test)` at the end left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().take_while(|line| line.trim() != "#[cfg(test)]" || self.is_root());
        let numbered = lines.enumerate().map(|(i, line)| (i + 1, line.split("//").next().unwrap_or(line)));
        numbered.filter(|(_, line)| !line.trim().is_empty())
    }

    /// Files whose `cfg(test)` lines are declarations of test modules, in the middle.
    fn is_root(&self) -> bool {
        self.path.ends_with("/mod.rs") || self.path.ends_with("src/lib.rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `folder` whose names end in one of `extensions`.
fn files(folder: &str, extensions: &[&str]) -> Vec<File> {
    fn walk(folder: &Path, all: &mut Vec<PathBuf>) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() { walk(&path, all) } else { all.push(path) }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|e| extensions.iter().any(|known| e == *known)));
    paths.sort();
    let read = |path: PathBuf| File {
        path: path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/"),
        text: std::fs::read_to_string(&path).unwrap(),
    };
    let files: Vec<File> = paths.into_iter().map(read).collect();
    assert!(!files.is_empty(), "{folder} has no such files");
    files
}

/// Fails with all of `wrong`.
#[track_caller]
fn none(what: &str, wrong: impl IntoIterator<Item = String>) {
    let wrong: Vec<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{what}:\n{}", wrong.join("\n"));
}

fn kernels() -> Vec<File> {
    files("kernels", &["cu", "cuh"])
}
