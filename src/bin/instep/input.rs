//! Reads a configuration: ours, or another library's as it is published.

use std::path::Path;

use instep::compat::{Metric, Reading, read as read_text};
use instep::{Config, GroupConfig, RuleConfig};

use crate::Result;
use crate::commands::{Facts, RuleName};

/// Reads and checks `path`; what its rates depend on beside the step is said.
pub fn read(path: &Path, facts: &Facts) -> Result<Reading> {
    let reading = read_silently(path, facts)?;
    note_metrics(path, &reading);
    Ok(reading)
}

/// Reads and checks `path`.
pub fn read_silently(path: &Path, facts: &Facts) -> Result<Reading> {
    let text = std::fs::read_to_string(path).map_err(|problem| at(path, problem))?;
    Ok(read_text(&text, &facts.known()).map_err(|problem| at(path, in_options(&problem.to_string())))?)
}

/// Gives the groups that name no update rule one: `rule`, or else sgd if a group has a momentum, else adamw.
pub fn name_rules(config: &mut Config, rule: Option<RuleName>) {
    let has_momentum = config.groups.iter().any(|group| group.get("momentum").is_some());
    let rule = rule.unwrap_or(if has_momentum { RuleName::Sgd } else { RuleName::Adamw });
    for group in config.groups.iter_mut().filter(|group| group.rule.is_none()) {
        group.rule = RuleConfig::named(match rule {
            RuleName::Adamw => "adamw",
            RuleName::Adam => "adam",
            RuleName::Sgd => "sgd",
        });
    }
}

/// What messages of the library call a fact, and the option that says it here. Longer ones first.
const OPTIONS: [(&str, &str); 9] = [
    ("`horizon`, Facts::steps or --total-steps", "--total-steps"),
    ("Facts::library", "--library"),
    ("facts.library", "--library"),
    ("facts.values.", "--set "),
    ("facts.steps_per_epoch", "--steps-per-epoch"),
    ("facts.samples_per_step", "--samples-per-step"),
    ("facts.tokens_per_step", "--tokens-per-step"),
    ("facts.steps", "--total-steps"),
    ("Facts::steps", "--total-steps"),
];

/// `message` with the options of this tool in place of the facts of the library: `Facts::value("lr", …)` is `--set lr=…`.
fn in_options(message: &str) -> String {
    let mut said = OPTIONS.iter().fold(message.to_owned(), |said, (ours, option)| said.replace(ours, option));
    while let Some((before, rest)) = said.split_once("Facts::value(\"") {
        let Some((name, after)) = rest.split_once("\", …)") else { break };
        said = format!("{before}--set {name}=…{after}");
    }
    said
}

/// A message about a file.
pub fn at(path: &Path, problem: impl std::fmt::Display) -> String {
    format!("{}: {problem}", path.display())
}

/// What a hyperparameter is called in tables and legends.
pub fn label(group: &GroupConfig, index: usize, name: &str) -> String {
    match &group.name {
        Some(group) => format!("{group}.{name}"),
        None => format!("groups[{index}].{name}"),
    }
}

/// What depends on metrics cannot be known ahead, and is not left out without a word.
fn note_metrics(path: &Path, reading: &Reading) {
    for (i, group) in reading.config.groups.iter().enumerate() {
        let kind = match group.metric.or(reading.config.metric) {
            None => continue,
            Some(Metric::Plateau(_)) => "plateau",
            Some(Metric::Greedy(_)) => "greedy",
        };
        let note = format!("note: groups[{i}].lr is scaled by observed metrics ({kind}); shown without that scale");
        eprintln!("instep: {}", at(path, note));
    }
}
