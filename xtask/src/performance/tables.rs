//! The tables of the page: bars, peers, and every rule's rows by size.

use super::bars::{BARS, Bound, COMPARED, COST, KEPT, Verdict};
use super::results::{Results, Row, Time, tensors_and_elements};

pub const NOT_MEASURED: &str = "not measured";
/// Parts of the bench's notes.
const WRONG: &str = "WRONG RESULT: every replay uses the rate of the capture";
const CACHED: &str = "fits the L2 cache";
/// How the names of rows end that say how a step gets to the device, and the columns for them.
const MODES: [&str; 3] = ["eager", "one-step graph", "32 steps in a graph"];

/// A table in Markdown.
pub fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = line(columns.iter().map(|name| (*name).to_owned()).collect());
    let rule = line(columns.iter().map(|_| "---".to_owned()).collect());
    head + &rule + &rows.into_iter().map(line).collect::<String>()
}

/// With three digits, in the unit that suits it.
pub fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds.abs() {
        ns if ns < 1e3 => (nanoseconds, "ns"),
        ns if ns < 1e6 => (nanoseconds / 1e3, "µs"),
        _ => (nanoseconds / 1e6, "ms"),
    };
    match value.abs() {
        v if v < 10.0 => format!("{value:.2} {unit}"),
        v if v < 100.0 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    }
}

pub fn spread(time: Time) -> String {
    match time.samples {
        1 => duration(time.median),
        _ => format!("{} ± {:.0} %", duration(time.median), 50.0 * (time.high - time.low) / time.median.abs()),
    }
}

/// What rows have to reach.
pub fn bars(results: &Results) -> String {
    let rows = BARS.iter().map(|bar| {
        let row = results.ours(bar.row, bar.size);
        let measured = row.and_then(|row| match bar.bound {
            Bound::Nanoseconds(_) => Some(duration(row.time.median)),
            Bound::PercentOfCopy(_) => row.percent_of_copy.map(|percent| format!("{percent:.1} %")),
        });
        let verdict = row.and_then(|row| {
            let Time { median, low, high, samples } = row.time;
            bar.verdict((median, low, high, samples), row.percent_of_copy)
        });
        let verdict = match verdict {
            Some(Verdict::Met) => "met",
            Some(Verdict::Missed) => "**missed**",
            Some(Verdict::NotResolved) => "too noisy to say",
            None => NOT_MEASURED,
        };
        [bar.row, bar.size, &bar.bound.to_string(), &measured.unwrap_or_default(), verdict].map(str::to_owned).to_vec()
    });
    table(&["row", "size", "bar", "measured", ""], rows)
}

/// A row of ours beside PyTorch's, and how many times as long theirs takes.
pub struct Pair<'a> {
    pub name: &'static str,
    pub size: &'static str,
    pub ours: Option<&'a Row>,
    pub theirs: Option<&'a Row>,
}

impl Pair<'_> {
    pub fn ratio(&self) -> Option<f64> {
        Some(self.theirs?.time.median / self.ours?.time.median)
    }
}

pub fn pairs(results: &Results) -> Vec<Pair<'_>> {
    let names = COMPARED.iter().flat_map(|(name, sizes)| sizes.iter().map(move |size| (*name, *size)));
    names
        .map(|(name, size)| Pair { name, size, ours: results.ours(name, size), theirs: results.theirs(name, size) })
        .collect()
}

/// What the ratio has to be at least; 1 itself is too little.
fn least_ratio(name: &str, size: &str) -> f64 {
    match () {
        () if name.starts_with(KEPT) => 1.3,
        () if elements(size) >= 1e8 => 1.1,
        () => 1.0,
    }
}

/// Ours beside PyTorch's.
pub fn peers(results: &Results) -> String {
    let rows = pairs(results).into_iter().map(|pair| {
        let time = |row: Option<&Row>| row.map_or(NOT_MEASURED.to_owned(), |row| duration(row.time.median));
        let least = least_ratio(pair.name, pair.size);
        let (ratio, verdict) = match pair.ratio() {
            Some(ratio) if ratio >= least && ratio > 1.0 => (format!("{ratio:.2}"), "met"),
            Some(ratio) => (format!("{ratio:.2}"), "**missed**"),
            None => (String::new(), NOT_MEASURED),
        };
        let bar = if least > 1.0 { format!("at least {least}") } else { "more than 1".to_owned() };
        let cells = [pair.name.to_owned(), pair.size.to_owned(), time(pair.ours), time(pair.theirs)];
        cells.into_iter().chain([ratio, bar, verdict.to_owned()]).collect()
    });
    table(&["row", "size", "ours", "torch fused", "ratio", "bar", ""], rows)
}

/// What is before the mode in the name of a row, and the mode's place. Not of rows that have tables of their own.
fn split(name: &str) -> Option<(&str, usize)> {
    let modes = MODES.iter().enumerate();
    let group = |(i, mode): (usize, &&str)| Some((name.strip_suffix(*mode)?.strip_suffix(", ")?, i));
    modes.into_iter().find_map(group).filter(|(group, _)| !group.contains("closed loop") && !group.starts_with(KEPT))
}

/// A table for each rule with its options, or for another way to schedule it: a line a size.
pub fn steps(results: &Results) -> String {
    let expected = COMPARED.iter().flat_map(|(name, sizes)| sizes.iter().map(move |size| (*name, *size)));
    let measured = results.bench.iter().map(|row| (row.name.as_str(), row.size.as_str()));
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, size) in expected.chain(measured) {
        let Some((group, _)) = split(name) else { continue };
        let at = groups.iter().position(|(known, _)| *known == group).unwrap_or_else(|| {
            groups.push((group, Vec::new()));
            groups.len() - 1
        });
        if !groups[at].1.contains(&size) {
            groups[at].1.push(size);
        }
    }
    let mut text = String::new();
    for (group, mut sizes) in groups {
        sizes.sort_by(|a, b| elements(a).total_cmp(&elements(b)));
        let rows: Vec<_> = sizes.into_iter().map(|size| line(results, group, size)).collect();
        // A column that nobody fills, such as the cost of a schedule that the rows have not, is left out.
        let columns = ["size", "eager", "its host time", MODES[1], MODES[2], "GB/s", "% of copy", COST];
        let filled: Vec<usize> = (0..columns.len()).filter(|i| rows.iter().any(|row| !row[*i].is_empty())).collect();
        let columns: Vec<_> = filled.iter().map(|i| columns[*i]).collect();
        let rows = rows.iter().map(|row| {
            let mut cells: Vec<String> = filled.iter().map(|i| row[*i].clone()).collect();
            if cells.iter().skip(1).all(String::is_empty) {
                cells[1..].iter_mut().take(1).for_each(|cell| *cell = NOT_MEASURED.to_owned());
            }
            cells
        });
        text += &format!("\n### {group}\n\n");
        text += &if columns.len() > 1 { table(&columns, rows) } else { "Not measured.\n".to_owned() };
        let wrong = |row: &&Row| row.note.contains(WRONG) && split(&row.name).is_some_and(|(of, _)| of == group);
        if results.bench.iter().any(|row| wrong(&row)) {
            text += &format!("\n{WRONG}.\n");
        }
    }
    text
}

fn elements(size: &str) -> f64 {
    tensors_and_elements(size).map_or(f64::INFINITY, |(_, elements)| elements)
}

fn line(results: &Results, group: &str, size: &str) -> Vec<String> {
    let row = |mode: &str| results.ours(&format!("{group}, {mode}"), size);
    let time = |mode: &str| row(mode).map_or(String::new(), |row| spread(row.time));
    // What is read from the cache has no bandwidth to compare with a copy's.
    let graph = row(MODES[1]).filter(|row| !row.note.contains(CACHED));
    let number = |value: Option<f64>, digits: usize| value.map_or(String::new(), |value| format!("{value:.digits$}"));
    vec![
        size.to_owned(),
        time(MODES[0]),
        row(MODES[0]).and_then(|row| row.host).map_or(String::new(), |host| duration(host.median)),
        time(MODES[1]),
        time(MODES[2]),
        number(graph.and_then(|row| row.gigabytes_per_second), 0),
        number(graph.and_then(|row| row.percent_of_copy), 1),
        row(COST).map_or(String::new(), |row| duration(row.time.median)),
    ]
}

/// The rows of the bench whose names begin in this way, as they are.
pub fn plain(results: &Results, prefix: &str) -> String {
    let rows = results.bench.iter().filter(|row| row.name.starts_with(prefix));
    let cells = |row: &Row| {
        let bandwidth = row.gigabytes_per_second.map_or(String::new(), |value| format!("{value:.0}"));
        vec![row.name.clone(), row.size.clone(), spread(row.time), bandwidth, row.note.clone()]
    };
    table(&["row", "size", "time", "GB/s", "note"], rows.map(cells))
}
