//! The text of a file as fields: JSON, TOML, YAML, or the flags of a command line.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::shell;
use crate::error::{self, Error};

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Syntax {
    Json,
    Toml,
    Yaml,
    Flags,
}

/// The fields of `text`, and how it is written.
pub(super) fn fields(text: &str) -> error::Result<(Map<String, Value>, Syntax)> {
    let syntax = syntax(text);
    let value = match syntax {
        Syntax::Json => serde_json::from_str(text).map_err(|detail| wrong("JSON", detail)),
        Syntax::Toml => toml::from_str(text).map(|Plain(value)| value).map_err(|detail| wrong("TOML", detail)),
        Syntax::Yaml => yaml(text),
        Syntax::Flags => {
            let words = shell::words(text).map_err(|why| wrong("a command line", why));
            words.map(|words| flags(words.into_iter()))
        }
    };
    match value? {
        Value::Object(fields) => Ok((fields, syntax)),
        // The arguments of a command, as programs hand them over.
        Value::Array(list) if list.iter().filter_map(Value::as_str).any(|word| word.starts_with("--")) => {
            match flags(list.iter().map(|word| Some(plain(word)))) {
                Value::Object(fields) => Ok((fields, Syntax::Flags)),
                _ => Err(wrong("a command line", "it has no flag")),
            }
        }
        _ => Err(Error::Format { place: "the file".into(), detail: "must be an object of fields by name".into() }),
    }
}

fn wrong(syntax: &str, detail: impl fmt::Display) -> Error {
    Error::Format { place: "the file".into(), detail: format!("is not {syntax}: {}", detail.to_string().trim_end()) }
}

/// A value of TOML or YAML in the terms of JSON. An infinite number, which JSON has none of and would make null, is the word `inf`.
struct Plain(Value);

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Plain, D::Error> {
        deserializer.deserialize_any(ToPlain).map(Plain)
    }
}

struct ToPlain;

impl<'de> Visitor<'de> for ToPlain {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| value.to_string().into(), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ToPlain)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Plain(value)) = list.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((name, Plain(value))) = map.next_entry::<String, _>()? {
            fields.insert(name, value);
        }
        Ok(Value::Object(fields))
    }
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
    let without_comment =
        |line: &str| line.split(" #").next().filter(|line| !line.trim_start().starts_with('#')).map(str::to_owned);
    let said: Vec<String> = text.lines().filter_map(without_comment).collect();
    said.iter().any(|line| line.split_whitespace().any(is_flag)) && !said.iter().any(|line| is_field(line))
}

#[cfg(feature = "yaml")]
fn yaml(text: &str) -> error::Result<Value> {
    serde_saphyr::from_str(text).map(|Plain(value)| value).map_err(|detail| wrong("YAML", detail))
}

#[cfg(not(feature = "yaml"))]
fn yaml(_: &str) -> error::Result<Value> {
    let detail = "is neither JSON, TOML nor a command line; YAML is read with the feature `yaml`";
    Err(Error::Format { place: "the file".into(), detail: detail.into() })
}

/// Each `--name value`, `--name=value` or `--name` alone, under its name with `_` for `-`. What stands before the first flag is the
/// command itself; None ends what belongs to a flag. Short flags such as `-b 256` are fields alike.
fn flags(words: impl Iterator<Item = Option<String>>) -> Value {
    let mut fields: Map<String, Value> = Map::new();
    // The flag whose values follow, and how many did.
    let mut open: Option<(String, usize)> = None;
    for word in words {
        let Some(word) = word else {
            open = None;
            continue;
        };
        let is_flag = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_alphabetic());
        if let Some(flag) = word.strip_prefix("--").filter(is_flag).or_else(|| short_flag(&word)) {
            let (flag, value) = flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value)));
            let flag = flag.replace('-', "_");
            // As in Python's argparse, the last of equal flags counts.
            fields.insert(flag.clone(), value.map_or(Value::Bool(true), scalar));
            open = value.is_none().then_some((flag, 0));
            continue;
        }
        let Some((name, count)) = &mut open else { continue };
        let value = scalar(&word);
        match (*count, fields.get_mut(name)) {
            (2.., Some(Value::Array(list))) => list.push(value),
            (1, Some(first)) => *first = Value::Array(vec![first.take(), value]),
            _ => {
                fields.insert(name.clone(), value);
            }
        }
        *count += 1;
    }
    Value::Object(fields)
}

/// The one or two letters after a single dash.
fn short_flag(word: &str) -> Option<&str> {
    word.strip_prefix('-').filter(|name| matches!(name.len(), 1 | 2) && name.chars().all(|c| c.is_ascii_alphabetic()))
}

/// A number or a truth value if it is written as one, else a text.
fn scalar(word: &str) -> Value {
    match word {
        "true" | "True" => return Value::Bool(true),
        "false" | "False" => return Value::Bool(false),
        _ => {}
    }
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
    fn what_json_cannot_say_is_a_word() {
        let (read, _) = fields("a = inf\nb = [-inf, 1, 2.5, true]\nc = { d = nan }").unwrap();
        assert_eq!(Value::Object(read), json!({"a": "inf", "b": ["-inf", 1, 2.5, true], "c": {"d": "NaN"}}));
    }

    #[cfg(feature = "yaml")]
    #[test]
    fn yaml_is_plain_but_for_infinite_numbers() {
        let (read, _) = fields("a: {d: 1e-3, 4: x}\nb:\n  - ~\n  - 7\n  - false").unwrap();
        assert_eq!(Value::Object(read), json!({"a": {"d": 1e-3, "4": "x"}, "b": [null, 7, false]}));
        let Err(Error::Format { detail, .. }) = fields("a: .inf") else { panic!("JSON has none") };
        assert!(detail.contains("non-finite float `.inf` rejected"), "{detail}");
    }

    #[test]
    fn flags_are_fields() {
        let text = "python train.py --lr 1e-4 -b 256 --min-lr=-1 --bf16 --betas 0.9 0.95 --data-path 'a b' --lr 0.5 \\\n --split 98,2,0";
        let (read, _) = fields(text).unwrap();
        let expected = json!({
            "lr": 0.5, "b": 256, "min_lr": -1, "bf16": true, "betas": [0.9, 0.95], "data_path": "a b", "split": "98,2,0"
        });
        assert_eq!(Value::Object(read), expected);
        let (read, _) = fields("--a True --b False --c true false x").unwrap();
        assert_eq!(Value::Object(read), json!({"a": true, "b": false, "c": [true, false, "x"]}));
        assert_eq!(fields(r#"["run.py", "--lr", 0.5, "--bf16"]"#).unwrap().0, fields("--lr 0.5 --bf16").unwrap().0);
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
