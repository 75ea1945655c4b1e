//! The one table of results, written as Markdown and JSON after every row, so that a run that is killed keeps what it had. What was not measured says so, with the reason, and has no number.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::timing::Spread;

/// One line of the table. Times are nanoseconds per step (per value for a schedule).
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub name: String,
    pub size: String,
    /// On the device; for what runs on the CPU alone, there.
    pub time: Option<Spread>,
    /// What enqueueing one step costs the host.
    pub host: Option<Spread>,
    pub gigabytes_per_second: Option<f64>,
    pub percent_of_copy: Option<f64>,
    /// Per step.
    pub driver_calls: Option<f64>,
    /// Kernels per step.
    pub launches: Option<f64>,
    pub note: String,
}

impl Row {
    pub fn new(name: impl Into<String>, size: impl Into<String>) -> Row {
        Row { name: name.into(), size: size.into(), ..Row::default() }
    }

    pub fn not_measured(name: impl Into<String>, size: impl Into<String>, why: &str) -> Row {
        // A driver's or a compiler's message may have many lines; a cell of the table has one.
        let why = why.split_whitespace().collect::<Vec<_>>().join(" ");
        Row { note: format!("not measured ({why})"), ..Row::new(name, size) }
    }

    /// Time per step, the bandwidth that follows from `bytes`, and its share of `copy`, in bytes per second.
    pub fn timed(mut self, time: Spread, bytes: u64, copy: Option<f64>) -> Row {
        let bandwidth = bytes as f64 / (time.median / 1e9);
        self.time = Some(time);
        if bytes > 0 {
            self.gigabytes_per_second = Some(bandwidth / 1e9);
            self.percent_of_copy = copy.map(|copy| 100.0 * bandwidth / copy);
        }
        self
    }

    fn cells(&self) -> [String; 9] {
        let number = |value: Option<f64>, digits: usize| value.map_or(String::new(), |v| format!("{v:.digits$}"));
        // Escaped, as the table's own mark.
        let text = |text: &str| text.replace('|', "\\|");
        [
            text(&self.name),
            text(&self.size),
            self.time.map_or(String::new(), duration),
            self.host.map_or(String::new(), duration),
            number(self.gigabytes_per_second, 1),
            number(self.percent_of_copy, 1),
            number(self.driver_calls, 2),
            number(self.launches, 2),
            text(&self.note),
        ]
    }

    pub fn to_json(&self) -> Value {
        let spread = |spread: Option<Spread>| {
            spread.map(|s| json!({"median": s.median, "p10": s.low, "p90": s.high, "samples": s.samples}))
        };
        json!({
            "row": self.name,
            "size": self.size,
            "time_ns": spread(self.time),
            "host_ns": spread(self.host),
            "gb_per_s": self.gigabytes_per_second,
            "percent_of_copy": self.percent_of_copy,
            "driver_calls": self.driver_calls,
            "launches": self.launches,
            "note": self.note,
        })
    }

    /// The row that another process of the bench printed with [`Row::to_json`].
    pub fn from_json(value: &Value) -> Row {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let spread = |key: &str| {
            let value = &value[key];
            let number = |key: &str| value[key].as_f64();
            let samples = value["samples"].as_u64()? as usize;
            Some(Spread { median: number("median")?, low: number("p10")?, high: number("p90")?, samples })
        };
        Row {
            name: text("row"),
            size: text("size"),
            time: spread("time_ns"),
            host: spread("host_ns"),
            gigabytes_per_second: value["gb_per_s"].as_f64(),
            percent_of_copy: value["percent_of_copy"].as_f64(),
            driver_calls: value["driver_calls"].as_f64(),
            launches: value["launches"].as_f64(),
            note: text("note"),
        }
    }
}

/// A median with half the width of its spread, e.g. `12.3 µs ± 1 %`; a single sample has no spread. A difference of two
/// times may be negative.
fn duration(spread: Spread) -> String {
    let ns = spread.median;
    let (value, unit) = match ns.abs() {
        size if size < 1e3 => (ns, "ns"),
        size if size < 1e6 => (ns / 1e3, "µs"),
        _ => (ns / 1e6, "ms"),
    };
    match spread.samples {
        1 => format!("{value:.2} {unit}"),
        _ => format!("{value:.2} {unit} ± {:.0} %", 50.0 * (spread.high - spread.low) / ns.abs()),
    }
}

const COLUMNS: [&str; 9] =
    ["row", "size", "time", "host time", "GB/s", "% of copy", "driver calls", "launches", "note"];

/// The files `step.md` and `step.json` in a folder, and what they hold.
pub struct Report {
    folder: PathBuf,
    head: Vec<(String, String)>,
    rows: Vec<Row>,
}

impl Report {
    pub fn new(folder: PathBuf, head: Vec<(String, String)>) -> std::io::Result<Report> {
        std::fs::create_dir_all(&folder)?;
        let report = Report { folder, head, rows: Vec::new() };
        report.write()?;
        Ok(report)
    }

    /// Adds a line to the head of the files.
    pub fn describe(&mut self, name: &str, value: impl Into<String>) -> std::io::Result<()> {
        let value = value.into();
        eprintln!("{name}: {value}");
        self.head.push((name.to_owned(), value));
        self.write()
    }

    /// Shows a row on stderr and puts it into the files.
    pub fn add(&mut self, row: Row) -> std::io::Result<()> {
        eprintln!("{}", line(&row.cells()));
        self.rows.push(row);
        self.write()
    }

    /// The whole table.
    pub fn markdown(&self) -> String {
        let head: String = self.head.iter().map(|(name, value)| format!("{name}: {value}  \n")).collect();
        let rule = COLUMNS.map(|_| "---".to_owned());
        let rows: String = self.rows.iter().map(|row| line(&row.cells()) + "\n").collect();
        format!("{head}\n{}\n{}\n{rows}", line(&COLUMNS.map(str::to_owned)), line(&rule))
    }

    fn json(&self) -> Value {
        let head: serde_json::Map<_, _> = self.head.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        json!({"head": head, "rows": self.rows.iter().map(Row::to_json).collect::<Vec<_>>()})
    }

    fn write(&self) -> std::io::Result<()> {
        replace(&self.folder.join("step.md"), &self.markdown())?;
        replace(&self.folder.join("step.json"), &format!("{:#}\n", self.json()))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn line(cells: &[String; 9]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Whole or not at all: a reader, or a run that is killed here, finds the old file or the new one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let scratch = path.with_extension("new");
    std::fs::File::create(&scratch)?.write_all(text.as_bytes())?;
    std::fs::rename(&scratch, path)
}
