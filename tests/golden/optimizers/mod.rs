//! The golden optimizer cases: read (`case`), run on a device (`run`) and judged (`judge`). The format and how to judge are
//! in the README of the tables.
//!
//! A case is built from its library, class, arguments, parameter groups, scheduler, clipping and loss scaling through
//! `instep::compat`; its name, notes and listed numbers are never an input.

pub mod case;
pub mod judge;
pub mod run;

use std::sync::Arc;

use serde_json::Value;

use super::files;
use case::{Case, Gradients, Unbuilt};
use judge::Arithmetic;
use run::Place;

/// How all cases went.
#[derive(Debug, Default)]
pub struct Report {
    passed: Vec<judge::Distances>,
    refused: Vec<String>,
    not_yet: Vec<String>,
    failed: Vec<String>,
}

/// Every case of every file in the folder, with the file that it is from.
pub fn cases() -> Vec<(Arc<Value>, Value)> {
    let folder = files::folder();
    let found = files::json_files(&folder, "optimizers");
    assert!(!found.is_empty(), "no optimizers*.json in {}", folder.display());
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
    let mut report = Report::default();
    let mut read: Vec<Gradients> = Vec::new();
    let mut built = Vec::new();
    for (file, value) in cases {
        let name = value["name"].as_str().unwrap_or("?").to_owned();
        match Case::new(&file, value, arithmetic, &mut read) {
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
            match judge::judge(case, trace, arithmetic) {
                Ok(distances) => report.passed.push(distances),
                Err(why) => report.failed.push(format!("{}: {why}", case.name)),
            }
        }
    }
    report
}

impl Report {
    /// How many cases passed, failed, were refused and are not there yet.
    pub fn counts(&self) -> [usize; 4] {
        [self.passed.len(), self.failed.len(), self.refused.len(), self.not_yet.len()]
    }

    /// Prints it, and fails if a case did, or if fewer than `known` of this repository's are reproduced: none may get lost.
    pub fn print(&self, what: &str, known: usize) {
        let [reproduced, failed, refused, _] = self.counts();
        let (passed, count) = (reproduced + refused, reproduced + refused + failed);
        println!("{what}: {count} cases, {passed} passed");
        let worst = self.passed.iter().fold(0.0, |worst: f64, distances| worst.max(distances.last));
        let ratio = self.passed.iter().filter_map(|distances| distances.ratio).fold(0.0, f64::max);
        println!("after the last step at most {worst:.1e} from the peer");
        if ratio > 0.0 {
            println!("on average at most {ratio:.2} times as far from binary64 as the peer");
        }
        for (title, lines) in [("refused", &self.refused), ("not there yet", &self.not_yet)] {
            println!("{title}: {}", lines.len());
            lines.iter().for_each(|line| println!("  {line}"));
        }
        assert!(self.failed.is_empty(), "{failed} of {count} failed:\n  {}", self.failed.join("\n  "));
        let least = if std::env::var_os("INSTEP_GOLDEN").is_some() { 1 } else { known };
        assert!(reproduced >= least, "{reproduced} cases are reproduced, but {least} were");
    }
}
