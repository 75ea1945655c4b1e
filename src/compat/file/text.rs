//! The text of a file as fields: JSON, TOML, YAML, or the flags of a command line.

use serde_json::{Map, Number, Value};

use crate::error::{Error, Result};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Toml,
    Yaml,
    Flags,
}

/// The fields of `text`, and how it is written.
pub(super) fn fields(text: &str) -> Result<(Map<String, Value>, Syntax)> {
    let syntax = syntax(text);
    let value = match syntax {
        Syntax::Json => serde_json::from_str(text).map_err(|detail| wrong("JSON", detail)),
        Syntax::Toml => toml::from_str(text).map_err(|detail| wrong("TOML", detail)),
        Syntax::Yaml => yaml(text),
        Syntax::Flags => flags(&words(text)?),
    };
    match value? {
        Value::Object(fields) => Ok((fields, syntax)),
        // The arguments of a command, as programs hand them over.
        Value::Array(list) if list.first().and_then(Value::as_str).is_some_and(|word| word.starts_with("--")) => {
            match flags(&list.iter().map(plain).collect::<Vec<_>>())? {
                Value::Object(fields) => Ok((fields, Syntax::Flags)),
                _ => Err(wrong("a command line", "it has no flag")),
            }
        }
        _ => Err(Error::Format { place: "the file".into(), detail: "must be an object of fields by name".into() }),
    }
}

fn wrong(syntax: &str, detail: impl std::fmt::Display) -> Error {
    Error::Format { place: "the file".into(), detail: format!("is not {syntax}: {}", detail.to_string().trim_end()) }
}

/// What `text` is likely to be, by its first line that says something.
fn syntax(text: &str) -> Syntax {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next().unwrap_or_default();
    let mut after = first.chars().skip(1).filter(|c| !c.is_whitespace());
    match first.chars().next() {
        Some('{') => Syntax::Json,
        // A list of values, where a table of TOML would have a name.
        Some('[')
            if first.ends_with('[') || after.next().is_none_or(|c| c == '"' || c == '{') && !first.contains(']') =>
        {
            Syntax::Json
        }
        Some('[') if serde_json::from_str::<Value>(text).is_ok() => Syntax::Json,
        Some('[') => Syntax::Toml,
        _ if is_command(text) => Syntax::Flags,
        _ if is_assignment(first) => Syntax::Toml,
        _ => Syntax::Yaml,
    }
}

/// Whether a line is a name, maybe dotted or quoted, and a value after `=`.
fn is_assignment(line: &str) -> bool {
    let Some((name, _)) = line.split_once('=') else { return false };
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '"' | '\'' | ' ');
    !name.trim().is_empty() && name.chars().all(is_name)
}

/// Whether some word begins with two dashes and a letter, and no line is a field of YAML.
fn is_command(text: &str) -> bool {
    let is_flag =
        |word: &str| word.strip_prefix("--").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
    let is_field = |line: &str| line.split_whitespace().next().is_some_and(|word| word.ends_with(':'));
    text.split_whitespace().any(is_flag) && !text.lines().any(is_field)
}

#[cfg(feature = "yaml")]
fn yaml(text: &str) -> Result<Value> {
    serde_saphyr::from_str(text).map_err(|detail| wrong("YAML", detail))
}

#[cfg(not(feature = "yaml"))]
fn yaml(_: &str) -> Result<Value> {
    let detail = "is neither JSON, TOML nor a command line; YAML is read with the feature `yaml`";
    Err(Error::Format { place: "the file".into(), detail: detail.into() })
}

/// The words of a command line, of which lines may end in a backslash.
fn words(text: &str) -> Result<Vec<String>> {
    shlex::split(text).ok_or_else(|| wrong("a command line", "a quotation mark is not closed"))
}

/// Each `--name value`, `--name=value` or `--name` alone, under its name with `_` for `-`. What stands before the first flag is the
/// command itself.
fn flags(words: &[String]) -> Result<Value> {
    let mut fields: Map<String, Value> = Map::new();
    let mut name: Option<String> = None;
    for word in words {
        match word.strip_prefix("--") {
            Some(flag) => {
                let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
                let flag = flag.replace('-', "_");
                // As in Python's argparse, the last of equal flags counts.
                fields.insert(flag.clone(), value.map_or(Value::Bool(true), scalar));
                name = value.is_none().then_some(flag);
            }
            None => {
                let Some(name) = &name else { continue };
                let value = scalar(word);
                match fields.get_mut(name) {
                    Some(Value::Array(list)) => list.push(value),
                    Some(Value::Bool(true)) | None => {
                        fields.insert(name.clone(), value);
                    }
                    Some(first) => *first = Value::Array(vec![first.take(), value]),
                }
            }
        }
    }
    Ok(Value::Object(fields))
}

/// A number if it is written as one, else a text.
fn scalar(word: &str) -> Value {
    let whole = word.parse::<u64>().map(Value::from).or_else(|_| word.parse::<i64>().map(Value::from));
    let starts_as_number = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    match (whole, word.parse::<f64>().ok().and_then(Number::from_f64)) {
        (Ok(whole), _) => whole,
        (Err(_), Some(number)) if starts_as_number => Value::Number(number),
        _ => Value::from(word),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_is_known_by_its_first_line() {
        let cases = [
            ("{\"a\": 1}", Syntax::Json),
            ("# a comment\n[groups]\nlr = 1", Syntax::Toml),
            ("a = 1", Syntax::Toml),
            ("lr.cosine = { from = 1 }", Syntax::Toml),
            ("[[groups]]\nlr = 1", Syntax::Toml),
            ("[\"--lr\", \"1e-4\"]", Syntax::Json),
            ("[\n  \"--lr\"\n]", Syntax::Json),
            ("a: 1\nb:\n  c: --not-a-flag", Syntax::Yaml),
            ("torchrun pretrain_gpt.py \\\n  --lr 1e-4 \\\n  --bf16", Syntax::Flags),
            ("--lr=1e-4", Syntax::Flags),
        ];
        for (text, expected) in cases {
            assert_eq!(syntax(text), expected, "{text}");
        }
    }

    #[test]
    fn flags_are_fields() {
        let text = "python train.py --lr 1e-4 --min-lr=-1 --bf16 --betas 0.9 0.95 --data-path 'a b' --lr 0.5 \\\n --split 98,2,0";
        let (read, _) = fields(text).unwrap();
        let expected = json!({
            "lr": 0.5, "min_lr": -1, "bf16": true, "betas": [0.9, 0.95], "data_path": "a b", "split": "98,2,0"
        });
        assert_eq!(Value::Object(read), expected);
        assert_eq!(fields(r#"["--lr", 0.5, "--bf16"]"#).unwrap().0, fields("--lr 0.5 --bf16").unwrap().0);
    }

    #[test]
    fn what_is_in_no_format_says_which_was_tried() {
        let cases =
            [("{\"a\": }", "is not JSON: "), ("a = = 1", "is not TOML: "), ("--a 'b", "is not a command line: ")];
        for (text, expected) in cases {
            let Err(Error::Format { detail, .. }) = fields(text) else { panic!("{text}") };
            assert!(detail.starts_with(expected), "{detail}");
        }
    }
}
