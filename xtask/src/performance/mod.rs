//! `cargo xtask performance`: `docs/performance.md` and the plots beside it, made from the results of a visit to a GPU and
//! from nothing else. Start at [`files`]; what rows have to reach is `benches/step/bars.rs`.

#[path = "../../../benches/step/bars.rs"]
mod bars;
mod forms;
mod page;
mod plots;
mod results;
mod tables;

use std::path::Path;
use std::process::ExitCode;

use results::Results;

/// Where the results are that the repository keeps.
const KEPT: &str = "docs/results/h100.json";

/// Makes all files in `docs/`.
pub fn run(root: &Path, words: &[String]) -> Result<ExitCode, String> {
    let file = match words {
        [] => root.join(KEPT),
        [file] => std::path::absolute(file).map_err(|problem| problem.to_string())?,
        _ => return Err(format!("`performance {}` is no way to call it: performance [RESULTS.json]", words.join(" "))),
    };
    for (name, text) in files(root, &file)? {
        let path = root.join("docs").join(name);
        std::fs::write(&path, text).map_err(|problem| format!("{}: {problem}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}

/// The files of `docs/` by their names, as they follow from the results in `file`.
fn files(root: &Path, file: &Path) -> Result<Vec<(&'static str, String)>, String> {
    let text = std::fs::read_to_string(file).map_err(|problem| format!("{}: {problem}", file.display()))?;
    let results = Results::parse(&text).map_err(|problem| format!("{}: {problem}", file.display()))?;
    let kept = file.strip_prefix(root.join("docs")).ok().and_then(Path::to_str);
    let name = kept.or(file.file_name().and_then(|name| name.to_str())).unwrap_or("results.json");
    Ok(vec![
        ("performance.md", page::text(&results, name)),
        (plots::TENSORS, plots::tensors(&results)?),
        (plots::SIZES, plots::sizes(&results)?),
        (plots::RATIOS, plots::ratios(&results)?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::process::Command;

    #[test]
    fn the_page_and_its_plots_are_what_the_command_makes_from_the_kept_results() {
        let root = crate::root();
        for (name, text) in files(root, &root.join(KEPT)).unwrap() {
            let kept = std::fs::read_to_string(root.join("docs").join(name)).unwrap_or_default();
            assert!(kept == text, "docs/{name} is not what `cargo xtask performance` makes");
        }
    }

    #[test]
    fn every_compared_row_is_one_that_the_peers_measure_and_no_other() {
        let script = crate::root().join("xtask/bundle/peers.py");
        let mut peers = Command::new("python3");
        let Ok(output) = peers.arg(script).args(["torch", "1", "quick"]).env("INSTEP_STANDIN", "1").output() else {
            return eprintln!("skipped: python3 is missing");
        };
        let rows = String::from_utf8(output.stdout).unwrap();
        let key = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap();
            let name = row["row"].as_str().unwrap().strip_prefix("torch fused ").unwrap().to_owned();
            (name, row["size"].as_str().unwrap().to_owned())
        };
        let measured: Vec<_> = rows.lines().map(key).collect();
        let expected = bars::COMPARED.iter().flat_map(|(row, sizes)| sizes.iter().map(move |size| (*row, *size)));
        let expected: BTreeSet<_> = expected.map(|(row, size)| (results::peer(row), size.to_owned())).collect();
        assert_eq!(measured.len(), expected.len(), "{measured:?}");
        assert!(expected.iter().all(|pair| measured.contains(pair)), "{expected:?} are not all in {measured:?}");
    }
}
