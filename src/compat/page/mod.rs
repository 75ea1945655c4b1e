//! `docs/compat.md`, made of what the code says: names out of its tables, arguments and refusals out of its messages.
//! `INSTEP_BLESS=1 cargo test --lib compat::page` writes it anew.

mod calls;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::file::format_names;
use super::keras_callbacks::CALLBACKS;
use super::library::{LIBRARIES, Library};
use super::megatron_flags::OF_SCHEDULER;
use super::optimizer::{self, OptimizerConfiguration};
use super::{Configuration, Facts, read};
use calls::{LEAST, REFUSED};

/// Where the page stands in the repository.
const PAGE: &str = "docs/compat.md";

fn configuration(library: &Library, api: &str, mut params: Value) -> Configuration {
    if library.name == "composer" && params.get("max_duration").is_none() {
        params["max_duration"] = "100ba".into();
    }
    if library.name == "mmengine" && params.get("max_iters").is_none() {
        params["max_iters"] = 100.into();
    }
    let optimizer = json!({"class": "SGD", "args": {"lr": 0.1, "momentum": 0.9}, "groups": [{}]});
    let is_relative = !library.absolute || CALLBACKS.contains(&api);
    let optimizer = if is_relative { optimizer } else { Value::Null };
    Configuration { library: library.name.into(), api: api.into(), params, optimizer, horizon: None, resumed_at: None }
}

/// What a message lists as known.
fn listed(message: &str) -> BTreeSet<String> {
    let (_, list) = message.rsplit_once("there are ").unwrap_or_default();
    list.split(';').next().unwrap_or_default().split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn code<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The arguments of a call that must be given, and those that may.
fn arguments(library: &Library, api: &str, least: &Value) -> [BTreeSet<String>; 2] {
    let fields = least.as_object().expect("an object of arguments");
    let with = |more: Option<&str>, without: Option<&String>| {
        let mut fields = fields.clone();
        without.map(|name| fields.remove(name));
        more.map(|name| fields.insert(name.into(), json!({"nobody": "reads it"})));
        configuration(library, api, Value::Object(fields)).recipes()
    };
    let message = with(None, None).and(with(Some("?"), None)).map_or_else(
        |error| error.to_string(),
        |_| {
            assert_eq!(api, "pretrain_gpt", "of no other call most arguments concern something else");
            format!("params.? is one; there are {}", OF_SCHEDULER.join(", "))
        },
    );
    assert!(message.starts_with("params.? is"), "{api}: {message}");
    let must = fields.keys().filter(|name| with(None, Some(name)).is_err()).cloned().collect::<BTreeSet<_>>();
    let may = listed(&message).into_iter().filter(|name| !must.contains(name) && name != "?").collect();
    [must, may]
}

fn schedulers(page: &mut String, library: &Library) {
    let _ = writeln!(page, "\n| scheduler | must be given | may be given |\n|---|---|---|");
    for (_, api, least) in LEAST.iter().filter(|(name, ..)| *name == library.name) {
        let least: Value = serde_json::from_str(least).expect("JSON");
        let [must, may] = arguments(library, api, &least);
        let call = match least.get("name").and_then(Value::as_str) {
            Some(name) => format!("`{api}`, `{name}`"),
            None => format!("`{api}`"),
        };
        let _ = writeln!(page, "| {call} | {} | {} |", code(&must), code(&may));
    }
}

fn refusals(page: &mut String, library: &Library) {
    let of_library = REFUSED.iter().filter(|(name, ..)| *name == library.name);
    let _ = writeln!(page, "\nRefused, for example:\n");
    for (_, api, params) in of_library {
        let params: Value = serde_json::from_str(params).expect("JSON");
        let message = configuration(library, api, params.clone()).recipes().expect_err(api).to_string();
        let message = message.split("; docs/compat.md").next().unwrap_or_default();
        let _ = writeln!(page, "- `{api}` with `{params}`: `{message}`");
    }
}

/// Every class with the rule that it becomes, and its arguments.
fn classes(page: &mut String) {
    for (library, classes) in optimizer::by_library() {
        let _ = writeln!(page, "\n### {library}\n\n| class | rule | arguments |\n|---|---|---|");
        for (class, lr) in classes {
            // Of those that refuse their own defaults, with what they ask for.
            let config = |more: Option<&str>, given: Value| {
                let mut params = given;
                params[lr] = 0.1.into();
                if let Some(name) = more {
                    params[name] = json!({"nobody": "reads it"});
                }
                let optimizer = json!({"library": library, "api": class, "params": params});
                serde_json::from_value::<OptimizerConfiguration>(optimizer).expect("a configuration").config()
            };
            let given = [json!({}), json!({"momentum": 0.9}), json!({"optimize_1d": true})];
            let given = given.iter().find(|given| config(None, (*given).clone()).is_ok()).unwrap_or(&given[0]).clone();
            let config = |more| config(more, given.clone());
            let rule = match config(None) {
                Ok(config) => config.groups[0].rule.as_ref().map_or(String::new(), |rule| format!("`{}`", rule.name())),
                Err(error) => format!("refused: {error}"),
            };
            let arguments = config(Some("?")).expect_err("an argument of no class").to_string();
            let _ = writeln!(page, "| `{class}` | {rule} | {} |", code(&listed(&arguments)));
        }
    }
}

/// What the published files among the tests have that is taken, and why the rest is left.
fn files(page: &mut String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configurations/published");
    let mut found: BTreeMap<&str, [BTreeSet<String>; 2]> = BTreeMap::new();
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    paths.sort();
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a text");
        let facts = Facts {
            steps: Some(1_000),
            steps_per_epoch: Some(100),
            samples_per_step: Some(512),
            tokens_per_step: Some(1 << 20),
            ..Facts::default()
        };
        let Ok(reading) = read(&text, &facts) else { continue };
        let [took, left] = found.entry(reading.format).or_default();
        took.extend(reading.took.iter().map(|what| what.split(" = ").next().unwrap_or(what).to_owned()));
        left.extend(reading.left.iter().filter_map(|what| Some(what.rsplit_once(": ")?.1.to_owned())));
    }
    for format in format_names() {
        let _ = writeln!(page, "\n### {format}\n");
        let Some([took, left]) = found.get(format) else {
            let _ = writeln!(page, "Read whole.");
            continue;
        };
        let _ = writeln!(page, "Of the files that are tested, taken: {}.", code(took));
        if !left.is_empty() {
            let _ = writeln!(page, "\nLeft: what is {}.", left.iter().cloned().collect::<Vec<_>>().join("; "));
        }
    }
}

fn page() -> String {
    let mut page = String::from(OPENING);
    for library in LIBRARIES {
        let _ = writeln!(page, "\n## {} {}\n\n{}", library.name, library.version, library.clock);
        schedulers(&mut page, library);
        refusals(&mut page, library);
    }
    let _ = writeln!(page, "\n## Optimizers");
    classes(&mut page);
    let _ = writeln!(page, "\n## Files");
    files(&mut page);
    page
}

const OPENING: &str = "\
# What other libraries' configurations become

Made of the code's own tables and messages; a test compares it. For each library: the release that was read, what its schedulers count, \
the calls with their arguments, and what is refused with the words of the refusal. A call that is not here is refused, with the nearest \
that is.
";

#[test]
fn every_scheduler_has_its_row() {
    for library in LIBRARIES {
        let configuration = configuration(library, "none of that name", json!({}));
        let message = configuration.recipes().expect_err("no such call").to_string();
        let rows: BTreeSet<String> =
            LEAST.iter().filter(|(name, ..)| *name == library.name).map(|(_, api, _)| (*api).to_owned()).collect();
        let mut known = listed(&message);
        // Its arguments are a file's.
        known.remove("TrainingArguments");
        let missing: Vec<_> = known.iter().filter(|name| !rows.iter().any(|row| row.contains(&***name))).collect();
        assert!(missing.is_empty(), "{} lacks rows for {missing:?}", library.name);
    }
}

#[test]
fn the_page_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = page();
    let mut stands = std::fs::read_to_string(&path).unwrap_or_default();
    // The documentation has the page too: what is as it was, builds nothing anew.
    if stands != page && std::env::var("INSTEP_BLESS").is_ok_and(|value| value == "1") {
        std::fs::write(&path, &page).expect("the page can be written");
        stands.clone_from(&page);
    }
    let first = stands.lines().zip(page.lines()).find(|(stands, made)| stands != made);
    assert!(stands == page, "{PAGE} is out of date (INSTEP_BLESS=1 rewrites it); first difference: {first:?}");
}
