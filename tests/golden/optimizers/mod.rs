//! The golden optimizer cases: read (`case`), run on a device (`run`) and judged (`judge`); with 16 bits somewhere (`mixed`), stored
//! as such (`storage`). The format and how to judge are
//! in the README of the tables.
//!
//! A case is built from its library, class, arguments, parameter groups, scheduler, clipping and loss scaling through
//! `instep::compat`; its name, notes and listed numbers are never an input.

pub mod case;
pub mod judge;
pub mod mixed;
pub mod run;
pub mod scalars;
pub mod storage;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::files;
use case::{Case, Gradients, Unbuilt};
use judge::{Arithmetic, Distances};
use run::{Place, Trace};

/// How all cases went.
#[derive(Debug, Default)]
pub struct Report {
    passed: Vec<Distances>,
    refused: Vec<String>,
    not_yet: Vec<String>,
    failed: Vec<String>,
}

/// Every case of every `optimizers*.json` in the folder, with the file that it is from.
pub fn cases() -> Vec<(Arc<Value>, Value)> {
    let cases = cases_of("optimizers");
    assert!(!cases.is_empty(), "no optimizers*.json in {}", files::folder().display());
    cases
}

/// The same of the files whose names begin with `start`.
fn cases_of(start: &str) -> Vec<(Arc<Value>, Value)> {
    let found = files::json_files(&files::folder(), start);
    let mut cases = Vec::new();
    for path in found {
        let mut file = files::load(&path);
        let Value::Array(all) = file["cases"].take() else { panic!("{}: no list of cases", path.display()) };
        let file = Arc::new(file);
        cases.extend(all.into_iter().map(|case| (file.clone(), case)));
    }
    cases
}

/// Runs and judges all `cases` with `arithmetic` at `place`.
pub fn check(cases: Vec<(Arc<Value>, Value)>, place: &impl Place, arithmetic: &Arithmetic) -> Report {
    let read = |file: &_, value, known: &mut _| Case::new(file, value, arithmetic, known);
    check_with(cases, place, read, |case, trace| judge::judge(case, trace, arithmetic))
}

/// Reads, runs and judges all `cases` at `place`.
fn check_with(
    cases: Vec<(Arc<Value>, Value)>,
    place: &impl Place,
    read: impl Fn(&Arc<Value>, Value, &mut Vec<Gradients>) -> Result<Case, Unbuilt>,
    judge: impl Fn(&Case, &Trace) -> Result<Distances, String>,
) -> Report {
    let mut report = Report::default();
    let (mut known, mut built) = (Vec::new(), Vec::new());
    for (file, value) in cases {
        let name = value["name"].as_str().unwrap_or("?").to_owned();
        match read(&file, value, &mut known) {
            Ok(case) => built.push(case),
            Err(Unbuilt::OfAnother) => {}
            Err(Unbuilt::NotYet(why)) => report.not_yet.push(format!("{name}: {why}")),
            Err(Unbuilt::Refused(why)) => report.refused.push(format!("{name}: {why}")),
            Err(Unbuilt::Failed(why)) => report.failed.push(format!("{name}: {why}")),
        }
    }
    for together in run::together(built) {
        let traces = run::run(place, &together);
        for (case, trace) in together.iter().zip(&traces) {
            match judge(case, trace) {
                Ok(distances) => report.passed.push(distances),
                Err(why) => report.failed.push(format!("{}: {why}", case.name)),
            }
        }
    }
    report
}

/// Whether the tables are this repository's.
fn own_tables() -> bool {
    std::env::var_os("INSTEP_GOLDEN").is_none()
}

impl Report {
    /// How many cases passed, failed, were refused and are not there yet.
    pub fn counts(&self) -> [usize; 4] {
        [self.passed.len(), self.failed.len(), self.refused.len(), self.not_yet.len()]
    }

    /// Prints it, and fails if a case did, or if fewer than `known` of this repository's are reproduced: none may get lost or be skipped.
    pub fn print(&self, what: &str, known: usize) {
        let [reproduced, failed, refused, _] = self.counts();
        let (passed, count) = (reproduced + refused, reproduced + refused + failed);
        println!("{what}: {count} cases, {passed} passed");
        let kinds: BTreeSet<&str> = self.passed.iter().map(|distances| &*distances.kind).collect();
        kinds.into_iter().for_each(|kind| self.print_kind(kind));
        for (title, lines) in [("refused", &self.refused), ("not there yet", &self.not_yet)] {
            println!("{title}: {}", lines.len());
            lines.iter().for_each(|line| println!("  {line}"));
        }
        assert!(self.failed.is_empty(), "{failed} of {count} failed:\n  {}", self.failed.join("\n  "));
        assert!(!own_tables() || self.not_yet.is_empty(), "some cases are skipped");
        let least = if own_tables() { known } else { 1 };
        assert!(reproduced >= least, "{reproduced} cases are reproduced, but {least} were");
    }

    fn print_kind(&self, kind: &str) {
        let of_kind = || self.passed.iter().filter(|distances| distances.kind == kind);
        let what = if kind.is_empty() { String::new() } else { format!("{kind}, {} cases: ", of_kind().count()) };
        let worst = of_kind().fold(0.0, |worst: f64, distances| worst.max(distances.last));
        println!("{what}after the last step at most {worst:.1e} from the peer");
        let ratio = of_kind().filter_map(|distances| distances.ratio).fold(0.0, f64::max);
        if ratio > 0.0 {
            println!("{what}on average at most {ratio:.2} times as far from binary64 as the peer");
        }
        let of_allowed = of_kind().filter_map(|distances| distances.of_allowed).fold(0.0, f64::max);
        if of_allowed > 0.0 {
            println!("{what}at most {of_allowed:.2} of the distance that is allowed");
        }
    }
}
