//! `instep trace`: a table of values, as CSV or JSON. Numbers are printed with all of their digits.

use std::fmt::Write;

use instep::Config;
use serde_json::{Map, Value, json};

use crate::commands::{Table, Trace};
use crate::steps::Selection;
use crate::{Result, input};

pub fn run(options: &Trace) -> Result<String> {
    let config = input::read(&options.file, &options.facts)?.config;
    let steps = match &options.steps {
        Some(selection) => selection.clone(),
        None => Selection::up_to(end(&config)?.unwrap_or(1_000)),
    };
    let mut columns = Vec::new();
    for (i, group) in config.groups.iter().enumerate() {
        for (name, schedule) in group.hyperparameters() {
            let label = input::label(group, i, name);
            let values = schedule.trace(steps.0.iter().copied()).map_err(|e| input::at(&options.file, e))?;
            columns.push((label, values));
        }
    }
    match options.format {
        Table::Csv => Ok(csv(&steps.0, &columns)),
        Table::Json => {
            let columns: Map<String, Value> =
                columns.into_iter().map(|(label, values)| (label, json!(values))).collect();
            Ok(format!("{:#}\n", json!({ "steps": steps.0, "values": columns })))
        }
    }
}

/// The last boundary of the longest schedule that has one.
pub fn end(config: &Config) -> Result<Option<u64>> {
    let mut end = None;
    for group in &config.groups {
        for (_, schedule) in group.hyperparameters() {
            end = end.max(schedule.len()?);
        }
    }
    Ok(end)
}

fn csv(steps: &[u64], columns: &[(String, Vec<f64>)]) -> String {
    let mut text = String::from("step");
    for (label, _) in columns {
        text.push(',');
        text += &quoted(label);
    }
    text.push('\n');
    for (row, step) in steps.iter().enumerate() {
        text += &step.to_string();
        for (_, values) in columns {
            // Writing into a string cannot fail.
            let _ = write!(text, ",{:?}", values[row]);
        }
        text.push('\n');
    }
    text
}

/// A field of a CSV line, quoted where RFC 4180 asks for it.
fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_with_a_comma_or_a_quote_is_one_field() {
        let text = csv(&[5], &[("a,\"b\".lr".to_owned(), vec![0.1])]);
        assert_eq!(text, "step,\"a,\"\"b\"\".lr\"\n5,0.1\n");
    }
}
