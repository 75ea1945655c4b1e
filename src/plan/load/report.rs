//! What differs, while it is found, and what is told of it. Start at [`Findings`].

use std::collections::HashSet;
use std::fmt;

use super::options::{LoadOptions, Word};
use crate::error::{Difference, Error, Result, quoted};

/// What a state that was loaded had in another way than the optimizer: [`Optimizer::load_state_with`](crate::Optimizer::load_state_with).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    t: u64,
    changes: Vec<Difference>,
    kept: Vec<Difference>,
}

impl Loaded {
    /// The number of applied updates that the run goes on from.
    pub fn t(&self) -> u64 {
        self.t
    }

    /// What is another way from now on than it was in the run that the state is of: what the options allowed.
    pub fn changes(&self) -> &[Difference] {
        &self.changes
    }

    /// Knobs, and the like of them that an edit sets, whose values in the state are others than the code's: those of the state are
    /// in force.
    pub fn kept(&self) -> &[Difference] {
        &self.kept
    }
}

/// A line for each.
impl fmt::Display for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "goes on at update {}", self.t)?;
        self.changes.iter().chain(&self.kept).try_for_each(|difference| write!(f, "\n{difference}"))
    }
}

/// What was found so far.
#[derive(Debug)]
pub(super) struct Findings {
    options: LoadOptions,
    refused: Vec<Difference>,
    loaded: Loaded,
    /// Lines that were told.
    seen: HashSet<String>,
}

impl Findings {
    pub fn new(options: LoadOptions, t: u64) -> Findings {
        Findings {
            options,
            refused: Vec::new(),
            loaded: Loaded { t, changes: Vec::new(), kept: Vec::new() },
            seen: HashSet::new(),
        }
    }

    /// Something differs that `word` allows. Of two alike one is told.
    pub fn differs(
        &mut self,
        word: Word,
        place: impl Into<String>,
        stored: impl Into<String>,
        here: impl Into<String>,
    ) {
        self.differs_with(word, place, stored, here, "");
    }

    /// The same, with what follows from it.
    pub fn differs_with(
        &mut self,
        word: Word,
        place: impl Into<String>,
        stored: impl Into<String>,
        here: impl Into<String>,
        note: impl Into<String>,
    ) {
        let difference = Difference {
            place: place.into(),
            stored: stored.into(),
            here: here.into(),
            word: Some(word.name()),
            note: note.into(),
        };
        let all = if self.options.has(word) { &mut self.loaded.changes } else { &mut self.refused };
        if self.seen.insert(difference.to_string()) {
            all.push(difference);
        }
    }

    /// Something differs that nothing allows.
    pub fn refuse(
        &mut self,
        place: impl Into<String>,
        stored: impl Into<String>,
        here: impl Into<String>,
        note: impl Into<String>,
    ) {
        let (place, stored, here, note) = (place.into(), stored.into(), here.into(), note.into());
        let difference = Difference { place, stored, here, word: None, note };
        if self.seen.insert(difference.to_string()) {
            self.refused.push(difference);
        }
    }

    /// The error of a check, as something that nothing allows.
    pub fn refuse_error(&mut self, error: Error) {
        match error {
            Error::Argument { argument, value, rule } => self.refuse(argument, value, "", rule),
            other => self.refuse("state", other.to_string(), "", ""),
        }
    }

    /// The value of the block is in force, which is another one than the code's.
    pub fn keeps(&mut self, place: impl Into<String>, stored: impl Into<String>, here: impl Into<String>) {
        let note = "the state's is in force".to_owned();
        let (place, stored, here) = (place.into(), stored.into(), here.into());
        self.loaded.kept.push(Difference { place, stored, here, word: None, note });
    }

    /// Whether nothing was found that is not allowed.
    pub fn all_allowed(&self) -> bool {
        self.refused.is_empty()
    }

    /// The report, or one error with all that is not allowed.
    pub fn finish(self) -> Result<Loaded> {
        match self.refused.is_empty() {
            true => Ok(self.loaded),
            false => Err(Error::Differs { differences: self.refused }),
        }
    }
}

/// Names as a text has them: all of a few, the first of many.
pub(super) fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| quoted(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
