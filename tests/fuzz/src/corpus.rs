//! The inputs that are kept: for each outcome the shortest that came to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::input::{Input, Target};
use crate::root;
use crate::target::Outcome;

/// Texts longer than this are not kept.
const LONGEST: usize = 1_500;
/// The size of the file, in bytes, that is not exceeded.
const LARGEST: usize = 480_000;

/// The file of the repository.
pub fn path() -> PathBuf {
    root().join("tests/fuzz/corpus/inputs.jsonl")
}

/// The inputs in `path`, one a line.
///
/// # Errors
/// If the file cannot be read, or a line is no input.
pub fn load(path: &Path) -> io::Result<Vec<Input>> {
    let text = fs::read_to_string(path)?;
    text.lines().map(|line| serde_json::from_str(line).map_err(io::Error::from)).collect()
}

/// Inputs by who reads them and what comes of it.
#[derive(Debug, Default)]
pub struct Corpus(BTreeMap<(Target, bool, String), String>);

impl Corpus {
    /// Keeps `input` if it is the first or the shortest with this outcome.
    pub fn keep(&mut self, input: &Input, outcome: &Outcome) {
        if input.text.len() > LONGEST {
            return;
        }
        let key = match outcome {
            Outcome::Accepted(what) => (input.target, true, what.clone()),
            Outcome::Refused(rule) => (input.target, false, rule.clone()),
        };
        let line = input.line();
        let known = self.0.entry(key).or_insert_with(|| line.clone());
        if line.len() < known.len() {
            *known = line;
        }
    }

    /// Writes it, the shortest first, as far as it fits.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> io::Result<usize> {
        let mut lines: Vec<&String> = self.0.values().collect();
        lines.sort_by_key(|line| (line.len(), *line));
        let mut text = String::new();
        let mut count = 0;
        for line in lines {
            if text.len() + line.len() + 1 > LARGEST {
                break;
            }
            text += line;
            text.push('\n');
            count += 1;
        }
        fs::write(path, text)?;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::{LIMIT, overflow_is_checked, run};

    /// What once broke, and one input for each message, is read again.
    #[test]
    fn kept_inputs_neither_panic_nor_wait() {
        assert!(overflow_is_checked() || !cfg!(debug_assertions), "tests run with overflow checks");
        let inputs = load(&path()).unwrap();
        assert!(inputs.len() > 100, "{} inputs", inputs.len());
        for input in inputs {
            let report = run(&input);
            if let Err(panic) = report.outcome {
                panic!("{}\n{panic}", input.line());
            }
            assert!(report.took < LIMIT, "{:?} for {}", report.took, input.line());
        }
    }

    #[test]
    fn the_shortest_of_an_outcome_is_kept() {
        let mut corpus = Corpus::default();
        for (text, outcome) in [("long", "a"), ("sho", "a"), ("longer", "a"), ("x", "b")] {
            corpus.keep(&Input::new(Target::Json, text), &Outcome::Refused(outcome.into()));
        }
        let kept: Vec<String> =
            corpus.0.values().map(|line| serde_json::from_str::<Input>(line).unwrap().text).collect();
        assert_eq!(kept, ["sho", "x"]);
    }
}
