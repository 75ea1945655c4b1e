//! The test tiers, and which integration test belongs to which: the one place to edit when a test file comes or goes.
//! Knows names alone; [`crate::test`] runs them.

use std::path::Path;

/// What a test needs beyond the Rust toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Nothing.
    Pure,
    /// A C++ compiler, which builds the stand-in for CUDA.
    Standin,
    /// NVIDIA's run-time compiler and disassembler, but no GPU.
    Compile,
    /// A GPU.
    Device,
}

/// Integration tests that need something. A file of `tests/` without a row is pure.
const NEEDS: &[(&str, &[Tier])] = &[
    ("absent", &[Tier::Standin]),
    ("bundle", &[Tier::Standin]),
    ("compile", &[Tier::Compile]),
    ("device", &[Tier::Standin, Tier::Device]),
    ("digits", &[Tier::Standin, Tier::Device]),
    ("engines", &[Tier::Standin, Tier::Device]),
    ("own_rule", &[Tier::Standin, Tier::Device]),
];

/// Where they lie.
const FOLDERS: [&str; 2] = ["tests", "examples/digits/tests"];

impl Tier {
    pub const ALL: [Self; 4] = [Self::Pure, Self::Standin, Self::Compile, Self::Device];

    pub fn name(self) -> &'static str {
        match self {
            Self::Pure => "pure",
            Self::Standin => "standin",
            Self::Compile => "compile",
            Self::Device => "device",
        }
    }

    /// The word in `INSTEP_REQUIRE` that forbids to skip this tier. The pure one is never skipped.
    pub fn requirement(self) -> Option<&'static str> {
        match self {
            Self::Pure => None,
            Self::Standin => Some("standin"),
            Self::Compile => Some("nvrtc"),
            Self::Device => Some("gpu"),
        }
    }

    /// Names of this tier's integration tests in the workspace at `root`, sorted.
    pub fn integration_tests(self, root: &Path) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for folder in FOLDERS {
            names.extend(test_files(&root.join(folder))?);
        }
        names.retain(|name| needs(name).contains(&self));
        if self == Self::Standin {
            names.extend(test_files(&root.join("tests/standin/tests"))?);
        }
        names.sort();
        Ok(names)
    }
}

fn needs(test: &str) -> &'static [Tier] {
    NEEDS.iter().find(|(name, _)| *name == test).map_or(&[Tier::Pure], |(_, tiers)| tiers)
}

/// Cargo's own rule: a `NAME.rs`, or a folder NAME with a `main.rs`, is a test. A folder that is not there holds none.
fn test_files(folder: &Path) -> Result<Vec<String>, String> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let unreadable = |problem| format!("{} cannot be listed: {problem}", folder.display());
    let mut names = Vec::new();
    for entry in folder.read_dir().map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_test = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        if let (true, Some(name)) = (is_test, path.file_stem()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn all_files() -> Vec<String> {
        FOLDERS.iter().flat_map(|folder| test_files(&crate::root().join(folder)).unwrap()).collect()
    }

    #[test]
    fn every_row_names_a_test_that_exists() {
        let files: Vec<String> = all_files();
        for (name, _) in NEEDS {
            assert!(files.iter().any(|file| file == name), "the test {name} has a row in NEEDS but does not exist");
        }
    }

    /// `cargo test --workspace --test NAME` would run both of two tests of one name, each in the other's tier.
    #[test]
    fn no_two_tests_of_the_workspace_share_a_name() {
        let mut names = all_files();
        names.extend(test_files(&crate::root().join("tests/standin/tests")).unwrap());
        let distinct: BTreeSet<&String> = names.iter().collect();
        assert_eq!(distinct.len(), names.len(), "two of these are one name: {names:?}");
    }

    #[test]
    fn every_test_belongs_to_a_tier() {
        let mut in_tiers = BTreeSet::new();
        for tier in Tier::ALL {
            in_tiers.extend(tier.integration_tests(crate::root()).unwrap());
        }
        for name in all_files() {
            assert!(in_tiers.contains(&name), "the test {name} is in no tier");
        }
    }
}
