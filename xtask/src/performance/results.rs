//! The results of a visit, as `results.py` of the bundle writes them: parts with a head and rows.

use serde_json::Value;

/// Nanoseconds per step: median, 10th and 90th percentile, and the number of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time {
    pub median: f64,
    pub low: f64,
    pub high: f64,
    pub samples: u64,
}

/// A row that was measured.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub size: String,
    pub time: Time,
    pub host: Option<Time>,
    pub gigabytes_per_second: Option<f64>,
    pub percent_of_copy: Option<f64>,
    pub note: String,
}

#[derive(Debug)]
pub struct Results {
    heads: Value,
    pub bench: Vec<Row>,
    pub peers: Vec<Row>,
}

impl Results {
    pub fn parse(text: &str) -> Result<Results, String> {
        let value: Value = serde_json::from_str(text).map_err(|problem| problem.to_string())?;
        if value["standin"] != false {
            return Err("these are no results of a GPU".to_owned());
        }
        let parts = value["parts"].as_object().ok_or("there are no parts")?;
        let rows = |part: &str| -> Vec<Row> {
            let rows = parts.get(part).and_then(|part| part["rows"].as_array());
            rows.into_iter().flatten().filter_map(row).collect()
        };
        let heads = parts.iter().map(|(name, part)| (name.clone(), part["head"].clone())).collect();
        Ok(Results { heads: Value::Object(heads), bench: rows("bench"), peers: rows("peers") })
    }

    /// A line of a part's head.
    pub fn head(&self, part: &str, key: &str) -> Option<&str> {
        let head = &self.heads[part];
        head[key].as_str().or(head["machine"][key].as_str())
    }

    pub fn ours(&self, name: &str, size: &str) -> Option<&Row> {
        find(&self.bench, name, size)
    }

    /// The row of PyTorch's fused step that is ours of this name.
    pub fn theirs(&self, name: &str, size: &str) -> Option<&Row> {
        find(&self.peers, &format!("torch fused {}", peer(name)), size)
    }
}

/// What PyTorch has that is ours of this name: it rounds bf16 to nearest alone.
pub fn peer(name: &str) -> String {
    name.replace(" rounded stochastically", "")
}

fn find<'a>(rows: &'a [Row], name: &str, size: &str) -> Option<&'a Row> {
    rows.iter().find(|row| row.name == name && row.size == size)
}

/// None for a row without a time.
fn row(value: &Value) -> Option<Row> {
    let time = |key: &str| {
        let value = &value[key];
        let number = |key: &str| value[key].as_f64();
        let samples = value["samples"].as_u64()?;
        Some(Time { median: number("median")?, low: number("p10")?, high: number("p90")?, samples })
    };
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Some(Row {
        name: text("row"),
        size: text("size"),
        time: time("time_ns")?,
        host: time("host_ns"),
        gigabytes_per_second: value["gb_per_s"].as_f64(),
        percent_of_copy: value["percent_of_copy"].as_f64(),
        note: text("note"),
    })
}

/// Tensors and all their elements, by the name of a size: `148 x 64`, `1 x 1 Mi`, `148 tensors, 124 M`.
pub fn tensors_and_elements(size: &str) -> Option<(f64, f64)> {
    let (tensors, each, rest) = match size.split_once(" tensors, ") {
        Some((tensors, rest)) => (tensors, false, rest),
        None => size.split_once(" x ").map(|(tensors, rest)| (tensors, true, rest))?,
    };
    let (number, unit) = rest.split_once(' ').unwrap_or((rest, ""));
    let unit = match unit {
        "" => 1.0,
        "Mi" => f64::from(1 << 20),
        "M" => 1e6,
        "B" => 1e9,
        _ => return None,
    };
    let (tensors, elements) = (tensors.parse::<f64>().ok()?, number.parse::<f64>().ok()? * unit);
    Some((tensors, if each { tensors * elements } else { elements }))
}

#[test]
fn a_size_is_read_by_its_name() {
    assert_eq!(tensors_and_elements("148 x 64"), Some((148.0, 9_472.0)));
    assert_eq!(tensors_and_elements("1 x 1 Mi"), Some((1.0, 1_048_576.0)));
    assert_eq!(tensors_and_elements("148 tensors, 124 M"), Some((148.0, 124e6)));
    assert_eq!(tensors_and_elements("2 x 1024 MiB"), None);
}

#[test]
fn a_dry_run_and_a_row_without_a_time_are_no_results() {
    assert!(Results::parse("{\"standin\": true, \"parts\": {}}").is_err());
    let text = "{\"standin\": false, \"parts\": {\"bench\": {\"head\": {\"machine\": {\"GPU\": \"one\"}}, \"rows\": [{\"row\": \"a\", \"size\": \"1 x 64\"}]}}}";
    let results = Results::parse(text).unwrap();
    assert!(results.bench.is_empty());
    assert_eq!(results.head("bench", "GPU"), Some("one"));
}
