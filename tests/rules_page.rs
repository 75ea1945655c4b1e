//! `docs/rules.md` has every rule that files can name, with the states, bytes, hyperparameters and options that the code has.
#![cfg(feature = "serde")]

use std::collections::BTreeSet;

use instep::{Config, Device, Error, RuleConfig, Tensor};
use serde_json::Value;

const PAGE: &str = include_str!("../docs/rules.md");
const EVERY_RULE: &str = include_str!("every_rule.toml");

/// A configuration of one group with this rule, a piece of TOML, and these hyperparameters beside `lr`.
fn config(rule: &str, hyperparameters: &[String]) -> Result<Config, Error> {
    let given: String = hyperparameters.iter().map(|name| format!("{name} = 0.5\n")).collect();
    Config::from_toml(&format!("version = 1\n[[groups]]\nrule = {rule}\nlr = 0.1\n{given}"))
}

/// The names of the rules that may come first.
fn first() -> Vec<String> {
    let without = Config::from_toml("version = 1\n[[groups]]\nlr = 0.1\n").expect("a configuration");
    let message = without.builder(&Device::host(), &[&[]]).expect_err("no rule").to_string();
    let (_, names) = message.split_once("one of ").expect("a list of the rules");
    let names = names.split(", ").map(|name| name.trim().to_owned());
    // Those that come after others have no rate.
    let has_rate =
        |name: &String| RuleConfig::named(name).is_some_and(|rule| rule.hyperparameters().contains(&"lr".into()));
    names.filter(has_rate).collect()
}

/// The words of a rule in a configuration: names, options, their values.
fn words(rule: &Value, found: &mut BTreeSet<String>) {
    match rule {
        Value::String(word) => drop(found.insert(word.clone())),
        Value::Array(rules) => rules.iter().for_each(|rule| words(rule, found)),
        Value::Object(options) => {
            found.extend(options.keys().cloned());
            options.values().for_each(|value| words(value, found));
        }
        _ => {}
    }
}

/// The names of all rules that the other tests try, those that come after others among them.
fn tried() -> BTreeSet<String> {
    let config = Config::from_toml(EVERY_RULE).expect("a configuration").to_json().expect("JSON");
    let config: Value = serde_json::from_str(&config).expect("JSON");
    let mut found = BTreeSet::new();
    config["groups"].as_array().expect("groups").iter().for_each(|group| words(&group["rule"], &mut found));
    found.retain(|word| RuleConfig::named(word).is_some());
    found
}

/// As a cell of a table.
fn cell(words: &[String]) -> String {
    if words.is_empty() { "—".to_owned() } else { format!("`{}`", words.join("`, `")) }
}

/// The row of the second table, from what the code says.
fn row(name: &str, comes_after: bool) -> String {
    // What comes after another rule is told by what a group has more than with that rule alone.
    let (rule, with_option, bytes_without) = if comes_after {
        (format!("[\"sgd\", \"{name}\"]"), format!("[\"sgd\", {{ {name} = {{ none_such = true }} }}]"), 12.0)
    } else {
        (format!("\"{name}\""), format!("{{ {name} = {{ none_such = true }} }}"), 0.0)
    };
    let mut hyperparameters = RuleConfig::named(name).expect("a name").hyperparameters();
    hyperparameters.retain(|hyperparameter| hyperparameter != "lr");
    // Those of a rule that comes after another have no defaults.
    let given = if comes_after { &hyperparameters[..] } else { &[] };
    let message = config(&with_option, given).expect_err("no such option").to_string();
    let (_, options) = message.split_once("; there are ").unwrap_or_default();
    assert!(message.contains(": there are none") || !options.is_empty(), "{message}");
    // All rules but those that come after others have `maximize`.
    let options = options.trim().split(", ").filter(|option| !option.is_empty() && *option != "maximize");
    let options: Vec<String> = options.map(str::to_owned).collect();

    let config = config(&rule, given).expect("a configuration");
    let (mut param, grad) = ([0.0f32; 4], [0.0f32; 4]);
    // SAFETY: both outlive the optimizer, and nothing else touches them.
    let tensor = unsafe { Tensor::f32(param.as_mut_ptr() as u64, grad.as_ptr() as u64, 4) };
    let opt = config.builder(&Device::host(), &[&[tensor]]).expect("a builder").build().expect("an optimizer");
    let view = opt.tensors().next().expect("a tensor");
    let states: Vec<String> = view.states.iter().map(|state| state.name.to_owned()).collect();
    let bytes = view.bytes_per_param - bytes_without;
    format!("| `{name}` | {} | {bytes} | {} | {} |", cell(&states), cell(&hyperparameters), cell(&options))
}

#[test]
fn the_page_has_every_rule_with_what_it_keeps_moves_and_takes() {
    let first = first();
    let rows = tried().into_iter().map(|name| row(&name, !first.contains(&name)));
    let wrong: Vec<String> = rows.filter(|row| !PAGE.lines().any(|line| line == row)).collect();
    assert!(wrong.is_empty(), "docs/rules.md lacks these rows:\n{}", wrong.join("\n"));
}

#[test]
fn the_page_says_what_each_rule_is() {
    // The first table has the type first and the name second, the second table the name first.
    let (are, rest) = PAGE.split_once("## What they keep").expect("a second table");
    let names = |text: &str, place: usize| -> BTreeSet<String> {
        let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").nth(place));
        let names = cells.map(|cell| cell.trim_matches('`').to_owned());
        names.filter(|name| RuleConfig::named(name).is_some()).collect()
    };
    assert_eq!(names(are, 1), tried(), "what rules are");
    assert_eq!(names(rest, 0), tried(), "what rules keep");
}

#[test]
fn every_rule_that_may_come_first_is_tried() {
    let (first, tried) = (first(), tried());
    assert!(first.len() >= 31 && tried.len() >= first.len() + 3, "{first:?}, {tried:?}");
    let missing: Vec<&String> = first.iter().filter(|name| !tried.contains(*name)).collect();
    assert!(missing.is_empty(), "not in tests/every_rule.toml: {missing:?}");
    assert!(PAGE.contains(&format!("{} rules", first.len())), "the page's number of rules is not {}", first.len());
    let features = include_str!("../docs/features.md");
    assert!(features.contains(&format!("**Rules**: {} of them", first.len())), "nor is that of what works");
}
